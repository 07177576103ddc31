"""Drawn families as the wide traces frame that reports are made of."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from analytics.simulation.family import Drawn

START = datetime(2026, 11, 2)


def traces_frame(drawn: Drawn) -> pl.DataFrame:
    """One row per trace with a column per drawn value; traces of a day end one after the other."""
    numbers = np.arange(len(drawn.user))
    ends = drawn.day * 86_400 * 10**9 + numbers % 86_000 * 10**9
    return pl.DataFrame(
        {
            "trace_id": numbers.astype(str),
            "end_time": np.datetime64(START, "ns") + ends.astype("timedelta64[ns]"),
            "cohort": np.char.add("cohort-", np.char.zfill(drawn.cohort.astype(str), 4)),
            "arm": np.where(drawn.candidate, "candidate", "base"),
            "unit": drawn.user.astype(str),
            **drawn.values,
        }
    )
