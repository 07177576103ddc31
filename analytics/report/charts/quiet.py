"""Keeps matplotlib from telling whoever runs a report where it keeps its fonts; to be imported before it is."""

from __future__ import annotations

import logging

logging.getLogger("matplotlib").setLevel(logging.ERROR)
