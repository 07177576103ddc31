"""Processes of the product, as tests start them."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path(__file__).parent.parent

PRODUCT_PATH = os.pathsep.join((str(_ROOT), str(_ROOT / "tests" / "without_pandas")))
"""PYTHONPATH: the product from its source, and no pandas."""
