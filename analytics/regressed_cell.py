"""The traces of one regressed cell, and how bad each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.metrics import MetricKind
from analytics.symptoms import excess
from analytics.values import ARMS, prepared

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from analytics.metrics import Metric
    from analytics.stats.sums import BoolArray, FloatArray

_SHORTEST_MS = 1e-3


@dataclass(frozen=True)
class Cell:
    """The traces of one cohort that have a final value of one metric.

    Attributes:
        traces: rows of the traces frame with ``person`` (the unit that the frame names), ``look``, ``raw`` and
            ``weight``, by unit and look.
        metric: the metric.
        bad: how bad each trace is, in a measure whose mean is compared: 0/1, a value, a log or a log excess.
        weights: arm → the weight of each trace in a mean of that arm's, 0 for traces of the other arm.
    """

    traces: pl.DataFrame
    metric: Metric
    bad: FloatArray
    weights: Mapping[str, FloatArray]

    @classmethod
    def of(cls, traces: pl.DataFrame, metric: Metric, as_of: datetime, *, by_day: bool = False) -> Cell:
        """The cell of a cohort's traces; the arguments are those of :func:`analytics.attribution.with_attribution`."""
        final = pl.col("end_time") + metric.maturity
        raw = pl.col(metric.column).cast(pl.Float64)
        known = (
            prepared(traces, as_of)
            .filter((final <= as_of) & raw.is_finite())
            .with_columns(raw=raw, look=final.dt.date(), person=pl.col("unit"))
        )
        if by_day:
            # One arm is gone when the other comes: no day has both, so all days are looked at together.
            known = known.with_columns(unit=pl.col("look").cast(pl.String), look=pl.col("look").max())
        known = known.sort("unit", "look", "trace_id", "arm")
        arm, weight = known["arm"].to_numpy(), known["weight"].to_numpy()
        weights = {name: np.where(arm == name, weight, 0.0) for name in ARMS}
        return cls(known, metric, _badness(known["raw"].to_numpy(), metric), weights)

    def arm(self, name: str) -> BoolArray:
        """Which traces are an arm's."""
        return self.weights[name] > 0


def _badness(raw: FloatArray, metric: Metric) -> FloatArray:
    more_is_worse = metric.higher_is == "worse"
    match metric.kind:
        case MetricKind.RATE:
            happened = (raw > 0).astype(np.float64)
            return happened if more_is_worse else 1.0 - happened
        case MetricKind.MEAN:
            return raw if more_is_worse else -raw
        case MetricKind.QUANTILE:
            return np.asarray(np.log(np.maximum(raw, _SHORTEST_MS)), dtype=np.float64)
        case MetricKind.TAIL:
            return excess(raw, metric.quantile or 0.0)
