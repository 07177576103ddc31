"""Both arms day by day, by the definition of the cell's observed value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.metrics import MetricKind
from analytics.quantile_samples import weighted_quantile
from analytics.report.evidence import DayValues, OverTime
from analytics.report.values import ArmValue
from analytics.unit_days import fixed_point
from analytics.values import ARMS, metric_values, shown_quantile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from analytics.evidence.asked import Asked
    from analytics.metrics import Metric

_DAY = "day"
_KEYS = ("cohort", "arm", _DAY)
_NOTHING = ArmValue(0, None)

_Days = dict[tuple[str, str, "date"], ArmValue]


def over_time(
    asked: Sequence[Asked], rows: pl.DataFrame, metrics: Sequence[Metric], *, as_of: datetime
) -> tuple[OverTime, ...]:
    """Read the cells day by day.

    Args:
        asked: the cells.
        rows: what was compared, as :func:`analytics.cells.compared_rows` gives it; a trace belongs to the UTC day on
            which it began.
        metrics: those that were judged.
        as_of: only values that were final by then count (UTC, naive).

    Returns:
        One for each cell, in their order.
    """
    of_metric: dict[str, list[str]] = {}
    for cohort, result in asked:
        of_metric.setdefault(result.metric, []).append(cohort.cohort)
    daily = rows.with_columns(pl.col("start_time").dt.date().alias(_DAY))
    values = {
        metric.name: _by_day(daily.filter(pl.col("cohort").is_in(of_metric[metric.name])), metric, as_of)
        for metric in metrics
        if metric.name in of_metric
    }
    days: dict[str, list[date]] = {}
    for cohort_name, day in daily.select("cohort", _DAY).unique().sort("cohort", _DAY).iter_rows():
        days.setdefault(cohort_name, []).append(day)
    return tuple(
        OverTime(
            cohort.cohort,
            result.metric,
            result.unit,
            tuple(_day(values[result.metric], cohort.cohort, day) for day in days.get(cohort.cohort, ())),
        )
        for cohort, result in asked
    )


def _day(values: Mapping[tuple[str, str, date], ArmValue], cohort: str, day: date) -> DayValues:
    base, candidate = (values.get((cohort, arm, day), _NOTHING) for arm in ARMS)
    return DayValues(day, base, candidate)


def _by_day(rows: pl.DataFrame, metric: Metric, as_of: datetime) -> _Days:
    values = metric_values(rows, metric, as_of, also=[_DAY])
    if metric.kind in (MetricKind.QUANTILE, MetricKind.TAIL):
        return _quantiles(values, shown_quantile(metric))
    weight = pl.col("weight")
    means = (
        values.group_by(_KEYS)
        .agg(pl.len(), shown=fixed_point(weight * pl.col("value")).sum(), weight=fixed_point(weight).sum())
        .select(*_KEYS, "len", value=pl.col("shown").cast(pl.Float64) / pl.col("weight").cast(pl.Float64))
    )
    return {(cohort, arm, day): ArmValue(n, value) for cohort, arm, day, n, value in means.iter_rows()}


def _quantiles(values: pl.DataFrame, probability: float) -> _Days:
    # Which of two alike comes first matters where they weigh differently.
    ties = ("unit", "stratum", "weight") if (values["weight"] != 1.0).any() else ()
    ordered = values.sort(*_KEYS, "value", *ties)
    sizes = ordered.group_by(_KEYS, maintain_order=True).len()
    found: _Days = {}
    start = 0
    for cohort, arm, day, n in sizes.iter_rows():
        found[cohort, arm, day] = ArmValue(n, weighted_quantile(ordered[start : start + n], probability))
        start += n
    return found
