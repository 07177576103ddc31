"""From the wide traces frame to the kernel's arrays: one cell per cohort and metric, one look per UTC day.

A trace is looked at on the day on which its value is final (its end plus the metric's maturity). The unit of
inference is the ``unit`` column. The way there adds up: thresholds are frozen first; the traces of any part of the data
become level-one sums, which merge to those of the whole; from them come the sums over units, which every look reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.cluster_sums import Running, two_arm_sums
from analytics.exemplars import by_cohort
from analytics.frozen import Frozen, FrozenMetric, freeze_rows
from analytics.layout import Axes, Layout
from analytics.level_one import LevelOne, level_one
from analytics.metrics import Metric, MetricKind
from analytics.pairs import PAIR, one_row_per_arm
from analytics.parts import ahead, cohort_parts, stacked
from analytics.quantile_samples import quantile_samples, shown_quantiles
from analytics.stats.quantile import QuantileSample
from analytics.stats.sums import FloatArray, IndexArray, TwoArmSums
from analytics.unit_days import ONE
from analytics.values import ARMS, MetricReader, prepared

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
    ended = prepared(traces, as_of)
    rows = _compared(ended, metrics, as_of)
    frozen = freeze_rows(rows, prepared(pre_period, as_of), metrics, as_of)
    parts = [(ended, rows)] if PAIR in rows.columns else [(part, part) for part in cohort_parts(ended)]
    if len(parts) < 2:  # noqa: PLR2004 (one part is the whole)
        return finished(_added_up(ended, rows, frozen, metrics, as_of), frozen, metrics, as_of=as_of)
    partials = ahead(parts, lambda part: _added_up(*part, frozen, metrics, as_of))
    return _finished(partials, frozen, metrics, _Whole.of(rows, metrics, as_of), as_of)


def freeze(traces: pl.DataFrame, pre_period: pl.DataFrame, metrics: Iterable[Metric], *, as_of: datetime) -> Frozen:
    """Fix what has to be before traces are added up; the arguments are those of :func:`cells`."""
    metrics = tuple(metrics)
    return freeze_rows(compared_rows(traces, metrics, as_of), prepared(pre_period, as_of), metrics, as_of)


def partial_cells(traces: pl.DataFrame, frozen: Frozen, metrics: Iterable[Metric], *, as_of: datetime) -> PartialCells:
    """Add up the traces of the comparison window, or of any part of it; a pair must not be torn apart."""
    metrics = tuple(metrics)
    ended = prepared(traces, as_of)
    return _added_up(ended, _compared(ended, metrics, as_of), frozen, metrics, as_of)


def _added_up(
    ended: pl.DataFrame, rows: pl.DataFrame, frozen: Frozen, metrics: tuple[Metric, ...], as_of: datetime
) -> PartialCells:
    counted = (
        ended.group_by("cohort", "arm", pl.col("end_time").dt.date().alias("day"))
        .agg(n=pl.len().cast(pl.Int64))
        .sort(_COUNTED)
    )
    reader = MetricReader(rows, as_of)
    return PartialCells(
        counted,
        {
            metric.name: level_one(
                reader.values(metric), frozen.by_metric[metric.name].thresholds, metric, reader.unit_days(metric)
            )
            for metric in metrics
        },
    )


def finished(partial: PartialCells, frozen: Frozen, metrics: Iterable[Metric], *, as_of: datetime) -> Cells:
    """The cells of traces that were added up."""
    return _finished([partial], frozen, tuple(metrics), None, as_of)


def _finished(
    partials: Iterable[PartialCells],
    frozen: Frozen,
    metrics: tuple[Metric, ...],
    whole: _Whole | None,
    as_of: datetime,
) -> Cells:
    """The cells of parts that have no cohort in common and come in the order of their cohorts; of one without whole."""
    pieces: dict[str, list[MetricCells]] = {metric.name: [] for metric in metrics}
    running = {metric.name: None if whole is None else whole.running(metric) for metric in metrics}
    cohorts: list[str] = []
    counted, days = [], set[date]()
    every: tuple[date, ...] = () if whole is None else whole.looks
    for partial in partials:
        found = {day for level in partial.levels.values() for day in level.rows.frame["look"].unique()}
        days |= found
        every = every or tuple(sorted(found)) or (as_of.date(),)
        axes = Axes(tuple(partial.traces["cohort"].unique().sort()), every)
        cohorts += axes.cohorts
        counted.append(partial.traces)
        for name, levels in pieces.items():
            levels.append(_metric_cells(partial.levels[name], frozen.by_metric[name], axes, running[name]))
    axes = Axes(tuple(cohorts), tuple(sorted(days)) or (as_of.date(),))
    columns = np.flatnonzero([look in days for look in every]) if days else np.zeros(1, dtype=np.intp)
    totals = {cohort: dict.fromkeys(ARMS, 0) for cohort in cohorts}
    expected = dict(frozen.expected)
    began: dict[str, date | None] = dict.fromkeys(frozen.expected)
    for cohort, arm, day, count in pl.concat(counted).sort("cohort", "day").select(*_COUNTED, "n").rows():
        totals[cohort][arm] += count
        if began.setdefault(cohort, day) == day:
            expected[cohort] = expected.get(cohort, 0.0) + count
    by_metric = {
        name: _joined(levels, columns, _first_looks(frozen.by_metric[name], axes)) for name, levels in pieces.items()
    }
    return Cells(axes.cohorts, axes.looks, totals, by_metric, expected, began)


@dataclass(frozen=True)
class _Whole:
    """What has to be known of the whole before its parts are summed.

    Attributes:
        looks: the days on which a metric may have become final.
        labels: metric name → the largest number of strata and periods of a cohort.
        weighted: the metrics that have a weighted trace.
    """

    looks: tuple[date, ...]
    labels: Mapping[str, int]
    weighted: frozenset[str]

    @classmethod
    def of(cls, rows: pl.DataFrame, metrics: tuple[Metric, ...], as_of: datetime) -> _Whole:
        looks = set[date]()
        for maturity in {metric.maturity for metric in metrics}:
            final = rows.select(final=pl.col("end_time") + maturity).filter(pl.col("final") <= as_of)
            looks |= set(final["final"].dt.date().unique())
        labels = dict.fromkeys((metric.name for metric in metrics), 1)
        weighted = set[str]()
        divided = any((rows[name] != rows[name][0]).any() for name in ("stratum", "period"))
        if divided or (rows["weight"] != 1.0).any():
            known = {
                metric.name: (pl.col("end_time") + metric.maturity <= as_of)
                & pl.col(metric.column).cast(pl.Float64).is_finite().fill_null(value=False)
                for metric in metrics
                if metric.column in rows.columns
            }
            told = rows.group_by("cohort", "stratum", "period").agg(
                *(each.any().alias(name) for name, each in known.items()),
                *((each & (pl.col("weight") != 1.0)).any().alias(f"weighted {name}") for name, each in known.items()),
            )
            weighted = {name for name in known if told[f"weighted {name}"].any()}
            most = told.group_by("cohort").agg(pl.col(list(known)).sum()).select(pl.col(list(known)).max())
            labels |= {name: max(1, most[name][0]) for name in known}
        return cls(tuple(sorted(looks)) or (as_of.date(),), labels, frozenset(weighted))

    def running(self, metric: Metric) -> tuple[Running, Running]:
        """For the tested values and for the upper threshold."""
        each = self.labels[metric.name], metric.name in self.weighted
        return Running(*each), Running(*each)


def _joined(pieces: Sequence[MetricCells], columns: IndexArray, first_look: IndexArray) -> MetricCells:
    """One metric's cells of all parts, on the looks on which anything became final."""
    began = [piece.began for piece in pieces if piece.began is not None]
    return MetricCells(
        sums=stacked([piece.sums for piece in pieces], columns),
        exceedance=stacked([piece.exceedance for piece in pieces], columns),
        first_look=first_look,
        counts=np.concatenate([piece.counts for piece in pieces]),
        values=np.concatenate([piece.values for piece in pieces]),
        before=np.concatenate([piece.before for piece in pieces]),
        samples=tuple(sample for piece in pieces for sample in piece.samples),
        strata=tuple(strata for piece in pieces for strata in piece.strata),
        began=min(began, default=None),
        known=any(piece.known for piece in pieces),
        exemplars={cohort: traces for piece in pieces for cohort, traces in piece.exemplars.items()},
    )


def _first_looks(frozen: FrozenMetric, axes: Axes) -> IndexArray:
    """The look from which on each cohort's thresholds are known; the number of looks if never."""
    looks = np.full(len(axes.cohorts), 0 if frozen.thresholds is None else len(axes.looks))
    if frozen.thresholds is not None:
        known = frozen.thresholds.filter(pl.col("cohort").is_in(axes.cohorts))
        looks[axes.rows(known)] = axes.columns(known.with_columns(pl.col("look").fill_null(axes.looks[0])))
    return looks


def compared_rows(traces: pl.DataFrame, metrics: tuple[Metric, ...], as_of: datetime) -> pl.DataFrame:
    """What cells add up, as :func:`analytics.values.prepared` gives it: traces, or of pairs one row per arm."""
    return _compared(prepared(traces, as_of), metrics, as_of)


def _compared(ended: pl.DataFrame, metrics: tuple[Metric, ...], as_of: datetime) -> pl.DataFrame:
    return prepared(one_row_per_arm(ended, metrics), as_of) if PAIR in ended.columns else ended


def _metric_cells(
    level: LevelOne, frozen: FrozenMetric, axes: Axes, running: tuple[Running, Running] | None
) -> MetricCells:
    metric = level.metric
    of_tested, of_above = (None, None) if running is None else running
    rate = metric.kind is MetricKind.RATE
    layout = Layout.of(level.rows, axes)
    tail = metric.kind is MetricKind.TAIL
    earlier = frozen.before.filter(pl.col("cohort").is_in(axes.cohorts))
    strata = _strata(level, axes)
    return MetricCells(
        sums=two_arm_sums(level.rows, level.added["tested"], axes, within_one=rate, running=of_tested),
        exceedance=two_arm_sums(level.rows, level.added["above"], axes, within_one=True, running=of_above)
        if tail
        else None,
        first_look=_first_looks(frozen, axes),
        counts=layout.traces_by_arm.astype(np.intp),
        values=_observed(level, axes),
        before=axes.per_cohort(earlier, "value"),
        samples=quantile_samples(level, axes, strata) if tail else (),
        strata=strata,
        began=None if frozen.seen else _began(level),
        known=frozen.seen or not level.rows.frame.is_empty(),
        exemplars=by_cohort(level.exemplars),
    )


def _began(level: LevelOne) -> date | None:
    first = level.rows.frame["look"].min()
    return first - level.metric.maturity if isinstance(first, date) else None


def _observed(level: LevelOne, axes: Axes) -> FloatArray:
    """The value that a report shows: the mean of all values as they are, or the quantile."""
    if level.metric.kind in (MetricKind.QUANTILE, MetricKind.TAIL):
        return shown_quantiles(level, axes)
    layout = Layout.of(level.rows, axes)
    weight = level.rows.made((axes, "weight"), lambda: layout.sums_by_arm(level.rows.frame["weight"]))
    shown = layout.sums_by_arm(level.added["shown"])
    return np.divide(shown, weight, out=np.full_like(shown, np.nan), where=weight > 0)


def _has_strata(rows: pl.DataFrame) -> bool:
    """Whether any rows but those of pairs may be of different strata."""
    return rows[PAIR].null_count() > 0 and bool((rows["stratum"] != rows["stratum"].shift(1)).any())


def _strata(level: LevelOne, axes: Axes) -> tuple[tuple[StratumSums, ...], ...]:
    """The strata of each cohort, by name; none where a cohort has one only, or pairs."""
    if not level.rows.made("strata", lambda: _has_strata(level.rows.frame)):
        return ((),) * len(axes.cohorts)
    rows = level.rows.frame.with_columns(level.added["shown"]).filter(pl.col(PAIR).is_null())
    summed = (
        rows.select("cohort", "stratum", "arm", pl.col("weight", "shown").cast(pl.Int128))
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
