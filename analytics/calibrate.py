"""Calibration: what the installed configuration really does on the user's own traffic.

The base model's traffic is split at random again and again, and each split is judged as a promotion is: the same cells,
metrics, margins, weights and family. No split has a difference, so that every alarm is a false one. Then one metric at
a time is made worse by a known size in all cohorts, to see in which of them that is found.

Alarms are anytime-valid and never taken back, so a cell's evidence at the last look holds those of every look before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import polars.selectors as cs

from analytics.cells import Cells, PartialCells, cells, finished, freeze, partial_cells
from analytics.frozen import Frozen
from analytics.job import report_metrics
from analytics.job_options import JobOptions, JobOptionsError
from analytics.metric_tests import MetricTest, margins
from analytics.metrics import Metric, MetricKind
from analytics.placebo import BY_USER, Traffic, base_traffic, injected
from analytics.promotions import CONCURRENT, Promotion, find_promotion
from analytics.report.calibration import Calibration, CalibrationCell, CalibrationRow
from analytics.report.model import Verdict
from analytics.report_input import read_traces
from analytics.stats.family import NEVER, Tested
from analytics.stats.horizon import Horizon
from analytics.stats.wilson import wilson_upper
from analytics.verdict import BETWEEN_ARMS, Engine, between_arms_until, family_of, verdict_of

if TYPE_CHECKING:
    from analytics.stats.sums import BoolArray, FloatArray
    from sql.access import Access

SIZES = (1.0, 2.0)
"""Sizes of injected regressions, as multiples of each cell's margin."""

WELL_FOUND = 0.8
"""The share of injected regressions that must be found where a cohort's traffic counts as enough."""

_PASSES = (Verdict.NO_REGRESSION, Verdict.IMPROVED)


@dataclass(frozen=True)
class Plan:
    """How much is tried.

    Attributes:
        splits: random splits without a difference.
        injections: in how many of them each metric is made worse, by each size.
        seed: the same seed gives the same splits.
    """

    splits: int = 200
    injections: int = 20
    seed: int = 1


@dataclass
class _Tries:
    """Injected regressions of one cell and size.

    Attributes:
        sizes: what was injected.
        days: on which day each was found; None if it was not.
        passed: which were called NO_REGRESSION or IMPROVED at the last look.
    """

    sizes: list[float] = field(default_factory=list)
    days: list[int | None] = field(default_factory=list)
    passed: list[bool] = field(default_factory=list)

    def __add__(self, other: _Tries) -> _Tries:
        return _Tries(self.sizes + other.sizes, self.days + other.days, self.passed + other.passed)

    @property
    def size(self) -> float | None:
        """The median size; None where nothing was injected."""
        return float(np.median(self.sizes)) if self.sizes else None

    @property
    def found(self) -> float | None:
        """The share that was found."""
        return sum(day is not None for day in self.days) / len(self.days) if self.days else None

    @property
    def median_day(self) -> int | None:
        """The day by which half of all were found."""
        found = sorted(day for day in self.days if day is not None)
        half = ceil(len(self.days) / 2)
        return found[half - 1] if half and len(found) >= half else None

    @property
    def missed(self) -> float | None:
        """The share that passed as no regression; None where that was not asked."""
        return sum(self.passed) / len(self.passed) if self.passed else None


_Found = dict[tuple[str, float, str], _Tries]


_PValues = tuple["FloatArray", "FloatArray"]


@dataclass(frozen=True)
class _Split:
    """One split, judged.

    Attributes:
        cells: its cells.
        tests: by metric.
        p_values: of "worse" and of "better", by metric.
        tested: by metric.
    """

    cells: Cells
    tests: Mapping[str, MetricTest]
    p_values: Mapping[str, _PValues]
    tested: Mapping[str, Tested]


def read_traffic(
    store: Access, name: str, options: JobOptions, *, as_of: datetime
) -> tuple[Promotion, Traffic, tuple[Metric, ...]]:
    """Read what a promotion's calibration rests on: the promotion, the base model's traffic, the report's metrics.

    Args:
        store: where spans, evaluations and feedback are.
        name: the promotion's name.
        options: prices, rules and margins.
        as_of: the moment the world is looked at (UTC, naive).

    Raises:
        NoPromotionError: there is no such promotion.
        QueryError: the store could not answer.
        JobOptionsError: the promotion's design has no users to split, or the configuration cannot be used.
        TooLittleTrafficError: there is too little traffic of the base model.
    """
    promotion = find_promotion(store, name)
    if promotion.design != CONCURRENT:
        raise JobOptionsError(
            f"{name} has the design {promotion.design}: a calibration splits users at random, as only the design "
            f"{CONCURRENT} does, so register a promotion of that design to calibrate on."
        )
    read = read_traces(store, promotion, options, as_of)
    # Splits are many, and made of few traces: plain columns serve them.
    traces = read.traces.with_columns(cs.categorical().cast(pl.String), cs.integer().cast(pl.Int64))
    traffic = base_traffic(traces, promotion, options.pooling, as_of)
    return promotion, traffic, report_metrics(promotion, options, traffic.window, read.maturities)


def calibrate(
    traffic: Traffic,
    metrics: Sequence[Metric],
    plan: Plan,
    *,
    alpha: float,
    as_of: datetime,
    progress: Callable[[], object] = lambda: None,
) -> Calibration:
    """Judge placebo promotions.

    Args:
        traffic: what is split.
        metrics: those of the report.
        plan: how much is tried.
        alpha: family-wise error rate of each direction.
        as_of: the moment the world is looked at (UTC, naive).
        progress: told after each split.
    """
    names = [metric.name for metric in metrics]
    worse = {name: np.zeros((plan.splits, len(traffic.cohorts)), dtype=np.bool_) for name in names}
    better = {name: np.zeros_like(worse[name]) for name in names}
    found: _Found = {}
    judge = _Judge.of(traffic, tuple(metrics), alpha, as_of)
    for number in range(plan.splits):
        candidate = traffic.candidates(plan.seed, number)
        window = traffic.with_arms(candidate)
        injecting = number < plan.injections
        plain = judge.split(window, values=injecting)
        for name, tested in plain.tested.items():
            worse[name][number], better[name][number] = tested.worse, tested.better
        if injecting:
            _inject(found, judge, window, candidate, plain, plan.seed, number)
        progress()
    return _summary(traffic, metrics, plan, worse, better, found, as_of)


@dataclass(frozen=True)
class _Judge:
    """Judges splits of the traffic, as a report judges its window.

    The traffic is added up once: what is frozen does not depend on the arms, and whole users change arms in the sums.

    Attributes:
        traffic: what is split.
        metrics: those of the report.
        alpha: family-wise error rate of each direction.
        as_of: the moment the world is looked at (UTC, naive).
        engine: how the design is tested.
        frozen: the metrics' thresholds.
        partial: their sums, with everybody in the base arm.
    """

    traffic: Traffic
    metrics: tuple[Metric, ...]
    alpha: float
    as_of: datetime
    engine: Engine
    frozen: Frozen
    partial: PartialCells

    @classmethod
    def of(cls, traffic: Traffic, metrics: tuple[Metric, ...], alpha: float, as_of: datetime) -> _Judge:
        frozen = freeze(traffic.window, traffic.pre_period, metrics, as_of=as_of)
        partial = partial_cells(traffic.window, frozen, metrics, as_of=as_of)
        engine = BETWEEN_ARMS
        if traffic.declared_end is not None:
            looks = finished(partial, frozen, metrics, as_of=as_of).looks
            engine = between_arms_until(
                Horizon.of(looks, start=traffic.began, planned_end=traffic.declared_end, as_of=as_of)
            )
        return cls(traffic, metrics, alpha, as_of, engine, frozen, partial)

    def split(self, window: pl.DataFrame, *, values: bool) -> _Split:
        """Judge the window with the arms of a split; without ``values`` no quantile is shown, only tested."""
        if self.traffic.split_by == BY_USER:
            arms = window.select("unit", "arm").unique("unit")
            levels = {name: level.with_arms(arms, values=values) for name, level in self.partial.levels.items()}
            # How many traces each arm has is shown only; no test reads it.
            partial = replace(self.partial, levels=levels)
        else:
            partial = partial_cells(window, self.frozen, self.metrics, as_of=self.as_of)
        aggregated = finished(partial, self.frozen, self.metrics, as_of=self.as_of)
        tests = {metric.name: self.engine.test(metric, aggregated.by_metric[metric.name]) for metric in self.metrics}
        p_values = {name: test.p_values() for name, test in tests.items()}
        return _Split(aggregated, tests, p_values, self.family(aggregated, p_values))

    def family(self, aggregated: Cells, p_values: Mapping[str, _PValues]) -> dict[str, Tested]:
        """What the family-wise procedure says, by metric."""
        tested = family_of(aggregated, self.metrics, [p_values[metric.name] for metric in self.metrics], self.alpha)
        return {metric.name: each for metric, each in zip(self.metrics, tested, strict=True)}


def _inject(
    found: _Found,
    judge: _Judge,
    window: pl.DataFrame,
    candidate: BoolArray,
    plain: _Split,
    seed: int,
    number: int,
) -> None:
    """Make one metric after the other worse by each size, and note in which cohorts that was found.

    The injected columns are aggregated together; each then takes its metric's place in the family of the others.
    """
    columns, sizes, copies, stands = {}, {}, [], {}
    for test in plain.tests.values():
        for factor in SIZES:
            column = f"injected {factor:g} {test.metric.name}"
            wanted = _sizes(test, factor)
            columns[column], sizes[column] = injected(judge.traffic, candidate, test.metric, wanted, seed, number)
            copies.append(replace(test.metric, name=column, column=column))
            stands[column] = (test.metric, factor)
    changed = window.with_columns(series.alias(column) for column, series in columns.items())
    # Nothing is changed before the placebo promotion.
    before = judge.traffic.pre_period.with_columns(
        pl.col(metric.column).alias(column) for column, (metric, _) in stands.items()
    )
    aggregated = cells(changed, before, tuple(copies), as_of=judge.as_of)
    for column, (metric, factor) in stands.items():
        test = judge.engine.test(metric, aggregated.by_metric[column])
        tested = judge.family(plain.cells, {**plain.p_values, metric.name: test.p_values()})[metric.name]
        counts = test.data.counts.sum(axis=1)
        shown = judge.engine.findings(test, tested, judge.alpha) if factor == min(SIZES) else None
        for row, cohort in enumerate(aggregated.cohorts):
            if np.isnan(sizes[column][row]) or not counts[row]:
                continue
            tries = found.setdefault((metric.name, factor, cohort), _Tries())
            tries.sizes.append(float(sizes[column][row]))
            tries.days.append(_day(int(tested.worse_look[row]), aggregated, judge.traffic))
            if shown is not None:
                tries.passed.append(verdict_of(metric, shown[row], None) in _PASSES)


def _sizes(test: MetricTest, factor: float) -> FloatArray:
    """So many times each cell's margin, for the worse: differences of a rate, factors of what else."""
    worse = test.sign * factor * margins(test)
    if test.metric.kind is MetricKind.RATE:
        return np.asarray(worse, dtype=np.float64)
    base = test.data.values[:, 0]
    return np.asarray(1 + np.divide(worse, base, out=np.full(len(base), np.nan), where=base > 0), dtype=np.float64)


def _day(look: int, aggregated: Cells, traffic: Traffic) -> int | None:
    """The day of the window on which an alarm was raised, the first being 1."""
    return None if look == NEVER else (aggregated.looks[look] - traffic.began.date()).days + 1


def _summary(
    traffic: Traffic,
    metrics: Sequence[Metric],
    plan: Plan,
    worse: Mapping[str, BoolArray],
    better: Mapping[str, BoolArray],
    found: _Found,
    as_of: datetime,
) -> Calibration:
    alarmed = np.any([each.any(axis=1) for each in worse.values()], axis=0)
    improved = np.any([each.any(axis=1) for each in better.values()], axis=0)
    counts = dict(traffic.window.group_by("cohort").len().iter_rows())
    per_day = [counts[cohort] / traffic.days for cohort in traffic.cohorts]
    rows = [
        _row(metric, factor, worse[metric.name], better[metric.name], found, traffic, per_day)
        for metric in metrics
        for factor in SIZES
    ]
    return Calibration(
        as_of=as_of,
        splits=plan.splits,
        days=traffic.days,
        false_regressed=float(alarmed.mean()),
        false_improved=float(improved.mean()),
        upper_limit=wilson_upper(int(alarmed.sum()), plan.splits),
        metrics=tuple(rows),
        traces=traffic.window.height,
        injections=min(plan.injections, plan.splits),
        candidate_share=traffic.share,
        split_by=traffic.split_by,
        seed=plan.seed,
    )


def _row(
    metric: Metric,
    factor: float,
    worse: BoolArray,
    better: BoolArray,
    found: _Found,
    traffic: Traffic,
    per_day: Sequence[float],
) -> CalibrationRow:
    tries = [found.get((metric.name, factor, cohort), _Tries()) for cohort in traffic.cohorts]
    together = sum(tries, _Tries())
    enough = [
        traces
        for each, traces in zip(tries, per_day, strict=True)
        if each.found is not None and each.found >= WELL_FOUND
    ]
    return CalibrationRow(
        metric=metric.name,
        false_alarms=float(worse.any(axis=1).mean()),
        injected=together.size,
        found=together.found,
        unit="rate" if metric.kind is MetricKind.RATE else "ratio",
        margins=factor,
        false_improvements=float(better.any(axis=1).mean()),
        median_day=together.median_day,
        smallest_traffic=min(enough, default=None),
        missed=together.missed,
        cohorts=tuple(
            CalibrationCell(
                cohort=cohort,
                traces_per_day=traces,
                false_alarms=float(worse[:, place].mean()),
                injected=each.size,
                found=each.found,
                median_day=each.median_day,
                missed=each.missed,
            )
            for place, (cohort, traces, each) in enumerate(zip(traffic.cohorts, per_day, tries, strict=True))
        ),
    )
