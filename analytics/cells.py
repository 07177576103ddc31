"""From the wide traces frame to the kernel's arrays: one cell per cohort and metric, one look per UTC day.

A trace is looked at on the day on which its value is final (its end plus the metric's maturity). The unit of
inference is the ``unit`` column. The way there adds up: thresholds are frozen first; the traces of any part of the data
become level-one sums, which merge to those of the whole; from them come the sums over units, which every look reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.cluster_sums import Axes, two_arm_sums
from analytics.exemplars import by_cohort
from analytics.level_one import ONE, LevelOne, level_one
from analytics.metrics import Metric, MetricKind
from analytics.pairs import PAIR, one_row_per_arm
from analytics.quantile_samples import quantile_samples, shown_quantiles, weighted_quantile
from analytics.stats.quantile import QuantileSample
from analytics.stats.sums import FloatArray, IndexArray, TwoArmSums
from analytics.values import ARMS, FREEZE_BEFORE, metric_values, prepared, shown_quantile, thresholds

if TYPE_CHECKING:
    from datetime import datetime


_COUNTED = ("cohort", "arm", "day")


@dataclass(frozen=True)
class StratumSums:
    """What the arms have in one stratum of a cohort at the last look, in the metric's unit.

    Attributes:
        stratum: its name.
        n: traces of base and candidate.
        y: their value totals; of quantiles None.
    """

    stratum: str
    n: tuple[float, float]
    y: tuple[float, float] | None


@dataclass(frozen=True)
class MetricCells:
    """One metric over all cohorts.

    Attributes:
        sums: what is tested: 0/1 values, winsorised values, logarithms or log excesses; (cohorts, looks).
        exceedance: for TAIL, "above the frozen quantile"; None for the other kinds.
        first_look: the look from which on each cohort's thresholds are known; the number of looks if never.
        counts: traces with a value, (cohorts, arms).
        values: the arms' observed values in the metric's unit, (cohorts, arms); NaN without traces.
        before: the base arm's value in the pre-period, (cohorts,); NaN where too few traces.
        samples: for TAIL, the arms' values of each cohort; None for an arm without traces.
        strata: of rates and means the strata of each cohort, (cohorts,); empty where there is one only.
        began: the day (UTC) of the first trace that has a value; None where there were such before the comparison.
        known: whether any trace has a value, or had one before the comparison.
        exemplars: cohort → arm → trace ids that show the metric at its worst, worst first.
    """

    sums: TwoArmSums
    exceedance: TwoArmSums | None
    first_look: IndexArray
    counts: IndexArray
    values: FloatArray
    before: FloatArray
    samples: tuple[tuple[QuantileSample | None, QuantileSample | None], ...]
    strata: tuple[tuple[StratumSums, ...], ...]
    began: date | None
    known: bool
    exemplars: Mapping[str, Mapping[str, list[str]]]


@dataclass(frozen=True)
class Cells:
    """All cells of one comparison.

    Attributes:
        cohorts: by name.
        looks: the UTC days on which something became final.
        traces: cohort → arm → traces that had ended.
        by_metric: metric name → its cells.
        expected: cohort → traces a day that were to be expected of it: the base arm's before, else those of its first
            day.
        began: cohort → the day of its first trace; None where it had traces before.
    """

    cohorts: tuple[str, ...]
    looks: tuple[date, ...]
    traces: Mapping[str, Mapping[str, int]]
    by_metric: Mapping[str, MetricCells]
    expected: Mapping[str, float]
    began: Mapping[str, date | None]


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


@dataclass(frozen=True)
class PartialCells:
    """Traces added up, of all the data or of a part; parts that share no trace merge by ``+`` to the very same whole.

    Attributes:
        traces: ``cohort, arm, day, n``: traces by the day (UTC) on which they ended, sorted.
        levels: metric name → its level-one sums.
    """

    traces: pl.DataFrame
    levels: Mapping[str, LevelOne]

    def __add__(self, other: PartialCells) -> PartialCells:
        both = pl.concat([self.traces, other.traces])
        return PartialCells(
            both.group_by(_COUNTED).agg(pl.col("n").sum()).sort(_COUNTED),
            {name: level + other.levels[name] for name, level in self.levels.items()},
        )


def cells(traces: pl.DataFrame, pre_period: pl.DataFrame, metrics: tuple[Metric, ...], *, as_of: datetime) -> Cells:
    """Aggregate traces into cells.

    Args:
        traces: the wide traces frame since the promotion; traces of neither arm are left out. A column ``pair``
            tells which rows of the arms belong together; what has a value in one arm only is then left out. Where a
            cohort has several values of ``stratum`` or ``period`` its arms are compared within them, day by day.
            ``keep_probability`` weighs a trace by its inverse (Hajek's estimator).
        pre_period: the same from before it; may be empty.
        metrics: what to aggregate.
        as_of: only values that were final by then count (UTC, naive).
    """
    frozen = freeze(traces, pre_period, metrics, as_of=as_of)
    return finished(partial_cells(traces, frozen, metrics, as_of=as_of), frozen, metrics, as_of=as_of)


def freeze(traces: pl.DataFrame, pre_period: pl.DataFrame, metrics: Iterable[Metric], *, as_of: datetime) -> Frozen:
    """Fix what has to be before traces are added up; the arguments are those of :func:`cells`."""
    metrics = tuple(metrics)
    window = compared_rows(traces, metrics, as_of)
    earlier = prepared(pre_period, as_of).filter(pl.col("arm") == "base")

    def of(metric: Metric) -> FrozenMetric:
        before = metric_values(earlier, metric, as_of)
        values = metric_values(window, metric, as_of)
        return FrozenMetric(
            thresholds(values, before, metric),
            _shown(before, metric),
            not before.is_empty(),
        )

    days = earlier["end_time"].dt.date().n_unique()
    return Frozen(
        {metric.name: of(metric) for metric in metrics},
        {cohort: count / days for cohort, count in earlier.group_by("cohort").len().sort("cohort").rows()},
    )


def partial_cells(traces: pl.DataFrame, frozen: Frozen, metrics: Iterable[Metric], *, as_of: datetime) -> PartialCells:
    """Add up the traces of the comparison window, or of any part of it; a pair must not be torn apart."""
    metrics = tuple(metrics)
    ended = prepared(traces, as_of).with_columns(day=pl.col("end_time").dt.date())
    counted = ended.group_by(_COUNTED).agg(n=pl.len().cast(pl.Int64)).sort(_COUNTED)
    window = compared_rows(traces, metrics, as_of)
    return PartialCells(
        counted,
        {
            metric.name: level_one(
                metric_values(window, metric, as_of), frozen.by_metric[metric.name].thresholds, metric
            )
            for metric in metrics
        },
    )


def finished(partial: PartialCells, frozen: Frozen, metrics: Iterable[Metric], *, as_of: datetime) -> Cells:
    """The cells of traces that were added up."""
    cohorts = tuple(partial.traces["cohort"].unique().sort())
    days = {day for level in partial.levels.values() for day in level.sums["look"].unique()}
    axes = Axes(cohorts, tuple(sorted(days)) or (as_of.date(),))
    totals = {cohort: dict.fromkeys(ARMS, 0) for cohort in cohorts}
    expected = dict(frozen.expected)
    began: dict[str, date | None] = dict.fromkeys(frozen.expected)
    for cohort, arm, day, count in partial.traces.sort("cohort", "day").select(*_COUNTED, "n").rows():
        totals[cohort][arm] += count
        if began.setdefault(cohort, day) == day:
            expected[cohort] = expected.get(cohort, 0.0) + count
    by_metric = {
        metric.name: _metric_cells(partial.levels[metric.name], frozen.by_metric[metric.name], axes)
        for metric in metrics
    }
    return Cells(cohorts, axes.looks, totals, by_metric, expected, began)


def compared_rows(traces: pl.DataFrame, metrics: tuple[Metric, ...], as_of: datetime) -> pl.DataFrame:
    """What cells add up, as :func:`analytics.values.prepared` gives it: traces, or of pairs one row per arm."""
    window = prepared(traces, as_of)
    return prepared(one_row_per_arm(window, metrics), as_of) if PAIR in window.columns else window


def _metric_cells(level: LevelOne, frozen: FrozenMetric, axes: Axes) -> MetricCells:
    metric = level.metric
    known_looks = np.full(len(axes.cohorts), 0 if frozen.thresholds is None else len(axes.looks))
    if frozen.thresholds is not None:
        known = frozen.thresholds.filter(pl.col("cohort").is_in(axes.cohorts))
        known_looks[axes.rows(known)] = axes.columns(known.with_columns(pl.col("look").fill_null(axes.looks[0])))
    rate = metric.kind is MetricKind.RATE
    counts = level.sums.group_by("cohort", "arm").agg(pl.col("n").sum())
    tail = metric.kind is MetricKind.TAIL
    earlier = frozen.before.filter(pl.col("cohort").is_in(axes.cohorts))
    strata = _strata(level, axes)
    return MetricCells(
        sums=two_arm_sums(level.sums, "tested", axes, within_one=rate),
        exceedance=two_arm_sums(level.sums, "above", axes, within_one=True) if tail else None,
        first_look=known_looks,
        counts=np.nan_to_num(axes.per_arm(counts, "n")).astype(np.intp),
        values=_observed(level, axes),
        before=axes.per_cohort(earlier, "value"),
        samples=quantile_samples(level, axes, strata) if tail else (),
        strata=strata,
        began=None if frozen.seen else _began(level),
        known=frozen.seen or not level.sums.is_empty(),
        exemplars=by_cohort(level.exemplars),
    )


def _began(level: LevelOne) -> date | None:
    first = level.sums["look"].min()
    return first - level.metric.maturity if isinstance(first, date) else None


def _observed(level: LevelOne, axes: Axes) -> FloatArray:
    """The value that a report shows: the mean of all values as they are, or the quantile."""
    if level.metric.kind in (MetricKind.QUANTILE, MetricKind.TAIL):
        return shown_quantiles(level, axes)
    sums = level.sums.group_by("cohort", "arm").agg(pl.col("shown", "weight").sum())
    means = sums.with_columns(value=pl.col("shown").cast(pl.Float64) / pl.col("weight").cast(pl.Float64))
    return axes.per_arm(means, "value")


def _shown(before: pl.DataFrame, metric: Metric) -> pl.DataFrame:
    """The same of the values before the comparison, ``cohort`` and ``value``, where there are enough."""
    enough = before.filter(pl.len().over("cohort") >= FREEZE_BEFORE).sort("cohort", "value")
    if metric.kind in (MetricKind.RATE, MetricKind.MEAN):
        value = (pl.col("value") * pl.col("weight")).sum() / pl.col("weight").sum()
        return enough.group_by("cohort", maintain_order=True).agg(value=value)
    by_cohort = enough.group_by("cohort", maintain_order=True)
    rows = [(cohort, weighted_quantile(of, shown_quantile(metric))) for (cohort,), of in by_cohort]
    return pl.DataFrame(rows, schema={"cohort": pl.String, "value": pl.Float64}, orient="row")


def _strata(level: LevelOne, axes: Axes) -> tuple[tuple[StratumSums, ...], ...]:
    """The strata of each cohort, by name; none where a cohort has one only, or pairs."""
    summed = (
        level.sums.filter(pl.col(PAIR).is_null())
        .group_by("cohort", "stratum", "arm")
        .agg(pl.col("weight", "shown").sum().cast(pl.Float64) / ONE)
        .sort("cohort", "stratum", "arm")
    )
    found: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for cohort, stratum, arm, weight, shown in summed.rows():
        found.setdefault(cohort, {}).setdefault(stratum, {})[arm] = (weight, shown)
    with_sums = level.metric.kind in (MetricKind.RATE, MetricKind.MEAN)

    def of(stratum: str, arms: Mapping[str, tuple[float, float]]) -> StratumSums:
        (n_a, y_a), (n_b, y_b) = (arms.get(arm, (0.0, 0.0)) for arm in ARMS)
        return StratumSums(stratum, (n_a, n_b), (y_a, y_b) if with_sums else None)

    return tuple(
        tuple(of(stratum, arms) for stratum, arms in strata.items()) if len(strata) > 1 else ()
        for strata in (found.get(cohort, {}) for cohort in axes.cohorts)
    )
