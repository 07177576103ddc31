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
from analytics.unit_days import KEYS, WEIGHTS, UnitDays, whole
from analytics.values import ARMS, tested_value

if TYPE_CHECKING:
    from analytics.metrics import Metric

_SUMS = ("tested", "above", "shown")
_VALUE_ORDER = ("cohort", "arm", "value", "unit", "stratum", "weight")


@dataclass(frozen=True)
class LevelOne:
    """One metric's traces, added up.

    Attributes:
        metric: the metric.
        rows: which unit had traces when.
        added: for each of the rows, in fixed point, ``tested`` (the tested values), ``above`` (the upper threshold; 0
            but for tails) and ``shown`` (the values as they are; 0 for quantiles), each trace times its weight.
        values: of a quantile, every value: ``cohort, arm, value, unit, stratum, weight``, sorted; else no row.
        exemplars: ``cohort, arm, trace_id, raw`` of the worst traces.
    """

    metric: Metric
    rows: UnitDays
    added: pl.DataFrame
    values: pl.DataFrame
    exemplars: pl.DataFrame

    @property
    def sums(self) -> pl.DataFrame:
        """A row per :data:`analytics.unit_days.KEYS`, sorted by them: ``n`` traces, and the sums in fixed point."""
        sums = [pl.col(*WEIGHTS[1:], *_SUMS).cast(pl.Int128)]
        return self.rows.frame.hstack(self.added).with_columns(sums)

    def __add__(self, other: LevelOne) -> LevelOne:
        """Both together; they must be of the same metric with the same thresholds, and no trace may be in both."""
        sums = _added(pl.concat([self.sums, other.sums]))
        return LevelOne(
            self.metric,
            UnitDays(sums.select(*KEYS, *WEIGHTS)),
            sums.select(_SUMS),
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
            rows=UnitDays(relabelled(self.rows.frame)),
            values=relabelled(self.values).sort(_VALUE_ORDER) if values else self.values.clear(),
            exemplars=self.exemplars.clear(),
        )


def level_one(
    values: pl.DataFrame, thresholds: pl.DataFrame | None, metric: Metric, rows: UnitDays | None = None
) -> LevelOne:
    """Add up the traces of one metric.

    Args:
        values: as :func:`analytics.values.metric_values` gives them.
        thresholds: as :func:`analytics.values.thresholds` gives them; None for a rate.
        metric: the metric.
        rows: those of these traces, where they are known.
    """
    rows = UnitDays.of(values) if rows is None else rows
    limited = values.select("cohort", "weight", "value")
    if thresholds is not None:
        limited = _limited(limited, thresholds.drop("look"))
    weight = pl.col("weight")
    kept = metric.kind in (MetricKind.QUANTILE, MetricKind.TAIL)
    asked = {"tested": whole(weight * tested_value(metric))}
    if metric.kind is MetricKind.TAIL:
        asked["above"] = whole(weight * (pl.col("value") > pl.col("t1")).fill_null(value=False).cast(pl.Float64))
    if metric.kind is MetricKind.MEAN:
        asked["shown"] = whole(weight * pl.col("value"))
    added = {each.name: rows.added(each) for each in limited.select(**asked)}
    nothing = pl.repeat(0, rows.frame.height, dtype=pl.Int64, eager=True)
    if metric.kind is MetricKind.RATE:
        added["shown"] = added["tested"]
    return LevelOne(
        metric,
        rows,
        pl.DataFrame({name: added.get(name, nothing) for name in _SUMS}),
        rows.made(("values", metric.column), lambda: _sorted(values)) if kept else values.clear().select(_VALUE_ORDER),
        rows.made(
            ("worst", metric.column, metric.kind is MetricKind.RATE, metric.higher_is), lambda: worst(values, metric)
        ),
    )


def _limited(values: pl.DataFrame, thresholds: pl.DataFrame) -> pl.DataFrame:
    """The values with the thresholds of their cohorts."""
    if values.is_empty() or values["cohort"][0] != values["cohort"][-1]:
        return values.join(thresholds, on="cohort", how="left", maintain_order="left")
    # By their order all are of one cohort.
    known = thresholds.filter(pl.col("cohort") == values["cohort"][0]).drop("cohort")
    limits = known.row(0) if known.height else (None,) * known.width
    return values.with_columns(
        # As columns: of a single number the logarithm's last digit may be another.
        pl.repeat(limit, values.height, dtype=pl.Float64, eager=True).alias(name)
        for name, limit in zip(known.columns, limits, strict=True)
    )


def _sorted(values: pl.DataFrame) -> pl.DataFrame:
    """The values in their order."""
    rows = values.select(_VALUE_ORDER)
    alike = all((rows[name] == rows[name].head(1)).all() for name in ("cohort", "stratum", "weight"))
    if not alike or rows.is_empty():
        return rows.sort(_VALUE_ORDER)
    # They come in the order of units.
    arms = (rows.filter(pl.col("arm") == arm) for arm in ARMS)
    return pl.concat([of_arm.sort("value", maintain_order=True) for of_arm in arms])


def _added(rows: pl.DataFrame) -> pl.DataFrame:
    sums = (*WEIGHTS, *_SUMS)
    return rows.group_by(KEYS).agg(pl.col(sums).sum()).sort(KEYS).select(*KEYS, *sums)
