"""What is fixed of every metric before traces are added up: thresholds, and the base arm's values of before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analytics.metrics import Metric, MetricKind
from analytics.quantile_samples import weighted_quantile
from analytics.values import FREEZE_BEFORE, MetricReader, shown_quantile, thresholds

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@dataclass(frozen=True)
class FrozenMetric:
    """What is fixed of one metric before its traces are added up.

    Attributes:
        thresholds: as :func:`analytics.values.thresholds` gives them.
        before: ``cohort`` and ``value``: the base arm's in the pre-period, where there are traces enough.
        seen: whether any trace before the comparison had a value.
    """

    thresholds: pl.DataFrame | None
    before: pl.DataFrame
    seen: bool


@dataclass(frozen=True)
class Frozen:
    """What is fixed before traces are added up.

    Attributes:
        by_metric: metric name → what is fixed of it.
        expected: cohort → the base arm's traces a day before the comparison.
    """

    by_metric: Mapping[str, FrozenMetric]
    expected: Mapping[str, float]


def freeze_rows(window: pl.DataFrame, pre_period: pl.DataFrame, metrics: tuple[Metric, ...], as_of: datetime) -> Frozen:
    """Fix what has to be before traces are added up.

    Args:
        window: the comparison window, as :func:`analytics.cells.compared_rows` gives it.
        pre_period: what was before it, as :func:`analytics.values.prepared` gives it.
        metrics: what is aggregated.
        as_of: only values that were final by then count (UTC, naive).
    """
    earlier = pre_period.filter(pl.col("arm") == "base")
    of_window, of_earlier = MetricReader(window, as_of), MetricReader(earlier, as_of)

    shown: dict[tuple[timedelta, str, bool], pl.DataFrame] = {}

    def of(metric: Metric) -> FrozenMetric:
        before = of_earlier.values(metric)
        asked = metric.maturity, metric.column, metric.kind is MetricKind.RATE
        if asked not in shown:
            shown[asked] = _enough(before)
        return FrozenMetric(
            None if metric.kind is MetricKind.RATE else thresholds(of_window.values(metric), before, metric),
            _shown(shown[asked], metric),
            not before.is_empty(),
        )

    days = earlier["end_time"].dt.date().n_unique()
    return Frozen(
        {metric.name: of(metric) for metric in metrics},
        {str(cohort): count / days for cohort, count in earlier.group_by("cohort").len().sort("cohort").rows()},
    )


def _enough(before: pl.DataFrame) -> pl.DataFrame:
    """The values before the comparison of cohorts that have enough, in order."""
    sizes = before.group_by("cohort").len()
    if sizes["len"].min() is not None and (sizes["len"] >= FREEZE_BEFORE).all():
        return before.select("cohort", "value", "weight").sort("cohort", "value")
    return before.filter(pl.len().over("cohort") >= FREEZE_BEFORE).sort("cohort", "value")


def _shown(enough: pl.DataFrame, metric: Metric) -> pl.DataFrame:
    """The same of the values before the comparison, ``cohort`` and ``value``, where there are enough."""
    if metric.kind in (MetricKind.RATE, MetricKind.MEAN):
        value = (pl.col("value") * pl.col("weight")).sum() / pl.col("weight").sum()
        return enough.group_by("cohort", maintain_order=True).agg(value=value)
    by_cohort = enough.group_by("cohort", maintain_order=True)
    rows = [(cohort, weighted_quantile(of, shown_quantile(metric))) for (cohort,), of in by_cohort]
    return pl.DataFrame(rows, schema={"cohort": pl.String, "value": pl.Float64}, orient="row")
