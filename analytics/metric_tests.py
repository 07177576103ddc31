"""Findings: one metric's cells in its own unit, with interval, margin and what more traffic would show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import ceil, expm1, inf, isfinite
from typing import TYPE_CHECKING

import numpy as np

from analytics.cells import MetricCells
from analytics.composition import composition
from analytics.metrics import Metric, MetricKind
from analytics.stats.assessment import Assessment, DeclaredEnd, assess
from analytics.stats.bounds import critical_t, traces_needed
from analytics.stats.contrast import (
    RATIO_SCALES,
    Contrast,
    log_ratio,
    mean_difference,
    rate_difference,
)
from analytics.stats.evidence import (
    EXCESS_SCALES,
    MINIMUM_UNITS,
    Evidence,
    mean_evidence,
    rate_evidence,
    tail_evidence,
)
from analytics.stats.failure import Failure
from analytics.stats.family import anytime_p_values
from analytics.stats.horizon import split_p_value
from analytics.stats.quantile import QuantileSample, bounding_factor, difference_interval, quantile_contrast
from analytics.values import freeze_pooled, tail_share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from analytics.report.model import Composition
    from analytics.stats.family import Tested
    from analytics.stats.horizon import Horizon
    from analytics.stats.sums import FloatArray, TwoArmSums

_RATE_MARGIN = 0.01
_LARGEST_RATE_MARGIN = 0.05
_RATE_MARGIN_SHARE = 0.25
# A bound beyond this says nothing that a person could use.
_LARGEST_LOG_RATIO = 20.0

_CONTRASTS: Mapping[MetricKind, Callable[[TwoArmSums], Contrast]] = {
    MetricKind.RATE: rate_difference,
    MetricKind.MEAN: log_ratio,
    MetricKind.QUANTILE: partial(mean_difference, scales=RATIO_SCALES, relative=False),
    MetricKind.TAIL: partial(mean_difference, scales=EXCESS_SCALES, relative=True),
}


@dataclass(frozen=True)
class MetricTest:
    """One metric's data, oriented so that higher is worse, and the evidence in it.

    Attributes:
        metric: the metric.
        data: its cells.
        sums: what is tested, oriented; (cohorts, looks).
        evidence: log e-values, (cohorts, looks).
        declared: the half of the error that a declared end spends; None where the comparison is open.
    """

    metric: Metric
    data: MetricCells
    sums: TwoArmSums
    evidence: Evidence
    declared: DeclaredEnd | None = None

    def p_values(self) -> tuple[FloatArray, FloatArray]:
        """P-values of "worse" and of "better" at every look, valid over all of them; (cohorts, looks)."""
        worse, better = anytime_p_values(self.evidence.worse), anytime_p_values(self.evidence.better)
        if self.declared is None:
            return worse, better
        contrast = _CONTRASTS[self.metric.kind](self.sums)
        spent = self.declared.p_values(self.sums, contrast, self.data.first_look)
        return split_p_value(worse, spent.worse), split_p_value(better, spent.better)

    @property
    def sign(self) -> float:
        """1 if a higher value is worse, else -1."""
        return _sign(self.metric)


@dataclass(frozen=True)
class Finding:
    """One cell in the metric's unit; NaN and infinite ends are "unknown".

    Attributes:
        effect: candidate less base; where they are compared within strata, what differs there.
        interval: at the level of the family-wise test.
        alone: at the level of one cell.
        margin: oriented as ``effect``.
        needed: further traces; infinite if no amount would do.
        detectable: smallest detectable regression.
        worse: "worse" is shown family-wise, and today's estimate agrees.
        better: "better" is shown family-wise, and today's estimate agrees.
        ready: whether "no regression" could be shown.
        failure: why there is no estimate, or only a poor one.
        composition: what part of the raw difference is the arms' mix of strata; None without strata.
        among: what the effect is among, where it is not the plain difference of the values; empty where it is.
        caveat: what a reader of "regressed" or "improved" has to know, as the end of a sentence.
        moved_by_few: whether values beyond the caps moved the mean out of the interval of the capped test.
    """

    effect: float
    interval: tuple[float, float]
    alone: tuple[float, float]
    margin: float
    needed: float
    detectable: float
    worse: bool
    better: bool
    ready: bool
    failure: Failure | None
    composition: Composition | None = None
    among: str = ""
    caveat: str = ""
    moved_by_few: bool = False


def metric_test(metric: Metric, data: MetricCells, horizon: Horizon | None = None) -> MetricTest:
    """Orient a metric's sums and weigh the evidence at every look.

    Args:
        metric: the metric.
        data: its cells.
        horizon: which looks spend half of the error, where an end was declared.
    """

    def oriented(sums: TwoArmSums) -> TwoArmSums:
        if metric.higher_is == "worse":
            return sums
        # What is rare of a rate are its failures, so that it is they that are counted.
        return sums.complement() if metric.kind is MetricKind.RATE else sums.swapped()

    sums = oriented(data.sums)
    if metric.kind is MetricKind.RATE:
        evidence = rate_evidence(sums)
    elif data.exceedance is not None:
        evidence = tail_evidence(sums, oriented(data.exceedance), data.first_look)
    else:
        evidence = mean_evidence(sums, _CONTRASTS[metric.kind](sums), data.first_look)
    declared = None if horizon is None else DeclaredEnd(horizon, metric.maturity)
    return MetricTest(metric, data, sums, evidence, declared)


def change(log_ratio: float) -> float:
    """The relative change that a log ratio means; infinite where it is out of bounds."""
    return inf if log_ratio > _LARGEST_LOG_RATIO else expm1(log_ratio)


def _sign(metric: Metric) -> float:
    return 1.0 if metric.higher_is == "worse" else -1.0


def margins(test: MetricTest) -> FloatArray:
    """Margins in the metric's unit, above 0; relative ones rest on the pre-period where it is known."""
    metric, data = test.metric, test.data
    base = np.where(np.isnan(data.before), data.values[:, 0], data.before)
    if metric.margin is None:
        # A quarter of the failures, whichever way the rate counts them.
        failing = np.nan_to_num(base if metric.higher_is == "worse" else 1 - base)
        return np.clip(_RATE_MARGIN_SHARE * failing, _RATE_MARGIN, _LARGEST_RATE_MARGIN)
    if metric.margin_kind == "absolute":
        return np.full(len(base), metric.margin)
    return metric.margin * base


def scaled_margins(test: MetricTest, accepted: FloatArray) -> FloatArray:
    """The margins on the scale of the test: log ratios for means and medians, else as they are; 0 where unknown."""
    base, known = test.data.values[:, 0], np.where(np.isnan(accepted), 0.0, accepted)
    if test.metric.kind not in (MetricKind.MEAN, MetricKind.QUANTILE):
        return known
    share = known / np.where(base > 0, base, 1.0)
    return np.log1p(share) if test.sign > 0 else -np.log1p(-np.minimum(share, 1 - 1e-9))


def findings(test: MetricTest, tested: Tested, alpha: float) -> list[Finding]:
    """What can be said of each cohort.

    Args:
        test: the metric's data and evidence.
        tested: what the family-wise procedure said of its cells.
        alpha: level of one cell.
    """
    accepted = margins(test)
    found = assess(
        test.sums,
        _CONTRASTS[test.metric.kind],
        test.evidence,
        tested,
        margin=scaled_margins(test, accepted),
        first_look=test.data.first_look,
        alpha=alpha,
        declared=test.declared,
    )
    to_unit = _tail_finding if test.metric.kind is MetricKind.TAIL else _mean_finding
    cells = [to_unit(test, tested, found, float(accepted[row]), row, alpha) for row in range(len(accepted))]
    enough = freeze_pooled(test.metric)
    return [_until_thresholds(cell, enough - int(test.data.counts[row].sum())) for row, cell in enumerate(cells)]


def _until_thresholds(cell: Finding, missing: int) -> Finding:
    """Before thresholds are known the only forecast is when they will be."""
    if cell.failure is not Failure.NO_THRESHOLD:
        return cell
    return replace(cell, needed=float(max(1, missing)))


def _failure(test: MetricTest, found: Assessment, row: int) -> Failure | None:
    base, candidate = test.data.counts[row]
    units = min(test.sums.base.units[row, -1], test.sums.candidate.units[row, -1])
    constant = test.metric.kind is not MetricKind.RATE and not found.varies[row]
    # The first that applies explains the most.
    present = {
        Failure.NO_DATA: not base and not candidate,
        Failure.NO_BASE: not base,
        Failure.NO_CANDIDATE: not candidate,
        Failure.NO_SHARED_STRATA: not test.sums.both_arms[row, -1],
        Failure.NO_THRESHOLD: test.data.first_look[row] >= test.evidence.worse.shape[1],
        Failure.NO_RATIO: constant and not np.isclose(*test.data.values[row]),
        Failure.NO_VARIATION: constant,
        Failure.TOO_FEW_UNITS: units < MINIMUM_UNITS,
        Failure.TOO_FEW_EVENTS: not found.ready[row],
    }
    return next((failure for failure, applies in present.items() if applies), None)


def _mean_finding(
    test: MetricTest, tested: Tested, found: Assessment, margin: float, row: int, _alpha: float
) -> Finding:
    """A rate, a mean or a median: ends in log ratios become differences through the base arm's value."""
    base, candidate = (float(value) for value in test.data.values[row])
    effect, sign = candidate - base, test.sign
    is_rate = test.metric.kind is MetricKind.RATE
    if test.sums.blocks is not None:
        within = sign * float(found.effect[row])
        effect = within if is_rate else base * change(within)

    def in_unit(low: float, high: float) -> tuple[float, float]:
        ends = sorted((sign * low, sign * high))
        if not is_rate:
            ends = [base * change(end) for end in ends]
            # The test rests on winsorised values, the effect on all: the interval must hold both.
            return min(ends[0], effect), max(ends[1], effect)
        return ends[0], ends[1]

    detectable = float(found.detectable[row])
    if not is_rate:
        detectable = abs(base * change(sign * detectable))
    agrees = float(found.effect[row])
    interval = in_unit(float(found.low[row]), float(found.high[row]))
    return Finding(
        effect=effect,
        interval=interval,
        alone=in_unit(float(found.low_alone[row]), float(found.high_alone[row])),
        margin=sign * margin,
        needed=_as_kept(test, float(found.needed[row]), row),
        detectable=detectable,
        worse=bool(tested.worse[row]) and agrees > 0,
        better=bool(tested.better[row]) and agrees < 0,
        ready=bool(found.ready[row]),
        failure=_failure(test, found, row),
        composition=composition(test.data.strata[row], float(found.error[row]) * (1.0 if is_rate else base)),
        among="" if test.sums.blocks is None else "among like traces",
        moved_by_few=test.metric.kind is MetricKind.MEAN and effect in interval,
    )


def _as_kept(test: MetricTest, traces: float, row: int) -> float:
    """How many traces have to be kept, at the sampling so far, to stand for so many."""
    stand_for = float(test.sums.base.n[row, -1] + test.sums.candidate.n[row, -1])
    return ceil(traces * int(test.data.counts[row].sum()) / stand_for) if isfinite(traces) and stand_for else traces


def _tail_finding(
    test: MetricTest, tested: Tested, found: Assessment, margin: float, row: int, alpha: float
) -> Finding:
    """A tail quantile: tested by its log excess, shown with the interval of the quantiles' difference."""
    base, candidate = (float(value) for value in test.data.values[row])
    sign, quantile = test.sign, test.metric.quantile
    of_base, of_candidate = test.data.samples[row]
    effect, interval, needed, detectable = candidate - base, (-inf, inf), inf, inf
    if of_base is not None and of_candidate is not None and quantile is not None:
        if test.sums.blocks is not None:
            effect = of_candidate.quantile(quantile) - of_base.quantile(quantile)
        interval = difference_interval(of_base, of_candidate, quantile, alpha) or interval
        contrast = quantile_contrast(of_base, of_candidate, quantile)
        if contrast is not None:
            needed = _tail_traces_needed(test, contrast, interval, (of_base, of_candidate), margin, row, alpha)
        # Shifting the tail by s in the logarithm moves the mean excess by s times the tail's share.
        shift = float(found.detectable[row]) / tail_share(quantile)
        detectable = base * change(shift)
    agrees = float(found.effect[row])
    return Finding(
        effect=effect,
        interval=interval,
        alone=interval,
        margin=sign * margin,
        needed=needed,
        detectable=detectable,
        worse=bool(tested.worse[row]) and agrees > 0,
        better=bool(tested.better[row]) and agrees < 0,
        ready=bool(found.ready[row]) and bool(np.isfinite(interval).all()),
        failure=_failure(test, found, row),
        among="" if test.sums.blocks is None else "among like traces",
    )


def _tail_traces_needed(
    test: MetricTest,
    contrast: Contrast,
    interval: tuple[float, float],
    samples: tuple[QuantileSample, QuantileSample],
    margin: float,
    row: int,
    alpha: float,
) -> float:
    """Further traces until the quantiles' interval, with its reach on the side of the margin, would end within."""
    critical = critical_t(contrast, np.array([alpha]))
    effect = float(contrast.effect[0])
    reach = interval[1] - effect if test.sign > 0 else effect - interval[0]
    variance = (reach / critical) ** 2 if isfinite(reach) else contrast.variance
    last = test.sums.at(np.array([row]), np.array([test.sums.base.n.shape[1] - 1]))
    oriented = replace(contrast, effect=test.sign * contrast.effect, variance=variance)
    needed = _as_kept(test, float(traces_needed(oriented, last, np.array([margin]), alpha)[0]), row)
    factor = bounding_factor(*samples, test.metric.quantile or 0.0, float(critical[0]))
    return max(needed, ceil((factor - 1) * int(test.data.counts[row].sum())))
