"""OTLP's times as the store's."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

LATEST_TIME = 2**63 - 2
"""The last nanosecond (in 2262) that the store's timestamps hold."""


def timestamps(nanoseconds: npt.NDArray[np.uint64]) -> pa.Array:
    """Nanoseconds since 1970 as timestamps; what is too late for the store is its last moment."""
    return pa.array(np.minimum(nanoseconds, LATEST_TIME).astype(np.int64)).view(pa.timestamp("ns"))


def repeated(moment: datetime, length: int) -> pa.Array:
    """One moment for all rows."""
    return pa.repeat(pa.scalar(moment, pa.timestamp("us")), length)
