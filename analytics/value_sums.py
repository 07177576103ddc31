"""Sums over units of many values of the same traces, as each were a cell of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.cluster_sums import two_arm_sums
from analytics.layout import Axes
from analytics.pairs import PAIR
from analytics.unit_days import ONE, UnitDays

if TYPE_CHECKING:
    from analytics.stats.sums import BoolArray, FloatArray, TwoArmSums


def value_sums(traces: pl.DataFrame, values: FloatArray, known: BoolArray, *, within_strata: bool = True) -> TwoArmSums:
    """The sums of several values, cumulative over the looks.

    Args:
        traces: ``arm, unit, look, stratum, period, weight``, sorted by unit and look.
        values: (values, traces).
        known: where a trace has that value, the same shape.
        within_strata: whether the arms are compared within strata; else within periods alone.

    Returns:
        Arrays of shape (values, looks).
    """
    looks = tuple(traces["look"].unique().sort())
    names = tuple(f"{number:05}" for number in range(len(values)))
    cell, place = np.nonzero(known)
    rows = traces.select("arm", "unit", "look", "stratum", "period", "weight")[place]
    weight = rows["weight"].to_numpy()
    frame = rows.with_columns(
        pl.lit(None, dtype=pl.String).alias(PAIR),
        cohort=pl.Series(names, dtype=pl.String).gather(cell),
        stratum=pl.col("stratum") if within_strata else pl.lit(""),
        n=pl.lit(1, dtype=pl.Int64),
        weight=pl.Series(weight * ONE),
        weight_squared=pl.Series(weight**2 * ONE),
    )
    tested = pl.Series(weight * values[cell, place] * ONE)
    return two_arm_sums(UnitDays(frame), tested, Axes(names, looks), within_one=False)
