"""Level one: each unit's traces of a day as sums that add, so that parts computed apart merge to the very same whole.

Sums of values are kept in fixed point, as whole numbers, whose addition does not depend on the order. What is not a sum
merges as well: the values of a quantile by sorting them together, the worst traces by taking the worst of both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from analytics.exemplars import worst
from analytics.metrics import MetricKind
from analytics.pairs import PAIR
from analytics.values import tested_value

if TYPE_CHECKING:
    from analytics.metrics import Metric

ONE = 2.0**40
"""What one of a metric's unit is in fixed point."""

# Beyond this a value of the fixed point would not fit into 128 bits together with others.
_LARGEST = 2.0**120

_KEYS = ("cohort", "unit", "look", "stratum", "period", PAIR, "arm")
_SUMS = ("n", "weight", "weight_squared", "tested", "above", "shown")
_VALUE_ORDER = ("cohort", "arm", "value", "unit", "stratum", "weight")


@dataclass(frozen=True)
class LevelOne:
    """One metric's traces, added up.

    Attributes:
        metric: the metric.
        sums: a row per ``cohort, unit, look, stratum, period, pair, arm``, sorted by them: ``n`` traces, and in fixed
            point ``weight``, ``weight_squared``, ``tested`` (the tested values), ``above`` (the upper threshold) and
            ``shown`` (the values as they are), each trace times its weight.
        values: of a quantile, every value: ``cohort, arm, value, unit, stratum, weight``, sorted; else no row.
        exemplars: ``cohort, arm, trace_id, raw`` of the worst traces.
    """

    metric: Metric
    sums: pl.DataFrame
    values: pl.DataFrame
    exemplars: pl.DataFrame

    def __add__(self, other: LevelOne) -> LevelOne:
        """Both together; they must be of the same metric with the same thresholds, and no trace may be in both."""
        return LevelOne(
            self.metric,
            _added(pl.concat([self.sums, other.sums])),
            pl.concat([self.values, other.values]).sort(_VALUE_ORDER),
            worst(pl.concat([self.exemplars, other.exemplars]), self.metric),
        )

    def with_arms(self, arms: pl.DataFrame, *, values: bool) -> LevelOne:
        """The same with every unit in one arm, and no exemplars.

        Args:
            arms: ``unit`` and ``arm``, each unit once.
            values: whether the values of a quantile are kept; no test reads them.
        """

        def relabelled(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.drop("arm").join(arms, on="unit", how="left", maintain_order="left").select(frame.columns)

        # A unit in one arm has one row of a key, so the order of the sums stays.
        return replace(
            self,
            sums=relabelled(self.sums),
            values=relabelled(self.values).sort(_VALUE_ORDER) if values else self.values.clear(),
            exemplars=self.exemplars.clear(),
        )


def level_one(values: pl.DataFrame, thresholds: pl.DataFrame | None, metric: Metric) -> LevelOne:
    """Add up the traces of one metric.

    Args:
        values: as :func:`analytics.values.metric_values` gives them.
        thresholds: as :func:`analytics.values.thresholds` gives them; None for a rate.
        metric: the metric.
    """
    joined = values
    if thresholds is not None:
        joined = values.join(thresholds.drop("look"), on="cohort", how="left", maintain_order="left")
    pair = pl.col(PAIR).cast(pl.String) if PAIR in values.columns else pl.lit(None, dtype=pl.String)
    above = (pl.col("value") > pl.col("t1")).fill_null(value=False) if metric.kind is MetricKind.TAIL else pl.lit(0.0)
    weight = pl.col("weight")
    sums = joined.select(
        *(name for name in _KEYS if name != PAIR),
        pair.alias(PAIR),
        n=pl.lit(1, dtype=pl.Int64),
        weight=fixed_point(weight),
        weight_squared=fixed_point(weight**2),
        tested=fixed_point(weight * tested_value(metric)),
        above=fixed_point(weight * above.cast(pl.Float64)),
        shown=fixed_point(weight * pl.col("value")),
    )
    kept = metric.kind in (MetricKind.QUANTILE, MetricKind.TAIL)
    return LevelOne(
        metric,
        _added(sums),
        (values if kept else values.clear()).select(_VALUE_ORDER).sort(_VALUE_ORDER),
        worst(values, metric),
    )


def fixed_point(value: pl.Expr) -> pl.Expr:
    """A value as a whole number of :data:`ONE`-ths, whose sums do not depend on the order."""
    return (value.cast(pl.Float64) * ONE).round().clip(-_LARGEST, _LARGEST).cast(pl.Int128)


def _added(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by(_KEYS).agg(pl.col(_SUMS).sum()).sort(_KEYS).select(*_KEYS, *_SUMS)
