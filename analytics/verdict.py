"""Verdicts: what the evidence says about each metric of each cohort, in one sentence, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from analytics.cells import ARMS, Cells, MetricCells
from analytics.metrics import Metric, MetricKind
from analytics.report.model import (
    ArmValue,
    Check,
    CheckStatus,
    CohortResult,
    Decision,
    MetricResult,
    Verdict,
)
from analytics.stats.assessment import Assessment, Tested, assess, family, last_look
from analytics.stats.bounds import traces_needed
from analytics.stats.contrast import (
    RATIO_SCALES,
    Contrast,
    log_ratio,
    mean_difference,
    rate_difference,
)
from analytics.stats.evidence import (
    EXCESS_SCALES,
    Evidence,
    mean_evidence,
    p_value,
    rate_evidence,
    tail_evidence,
)
from analytics.stats.failure import Failure
from analytics.stats.quantile import difference_interval, quantile_contrast
from analytics.stats.sums import BoolArray, FloatArray, TwoArmSums

_RATE_MARGIN = 0.01
_RATE_MARGIN_SHARE = 0.25

_excess_difference = partial(mean_difference, scales=EXCESS_SCALES, relative=True)
_log_mean_difference = partial(mean_difference, scales=RATIO_SCALES, relative=False)
_CONTRASTS: Mapping[MetricKind, Callable[[TwoArmSums], Contrast]] = {
    MetricKind.RATE: rate_difference,
    MetricKind.MEAN: log_ratio,
    MetricKind.QUANTILE: _log_mean_difference,
    MetricKind.TAIL: _excess_difference,
}


@dataclass(frozen=True)
class _Test:
    """One metric's data, oriented so that higher is worse, and the evidence in it."""

    metric: Metric
    data: MetricCells
    sums: TwoArmSums
    evidence: Evidence
    included: BoolArray

    @property
    def sign(self) -> float:
        """1 if a higher value is worse, else -1."""
        return 1.0 if self.metric.higher_is == "worse" else -1.0


@dataclass(frozen=True)
class _Finding:
    """One cell in the metric's unit, ``effect`` as candidate less base; infinite ends and NaN are "unknown".

    Attributes:
        effect: candidate less base.
        interval: at the level of the family-wise test.
        alone: at the level of one cell.
        margin: oriented as ``effect``.
        needed: further traces; infinite if no amount would do.
        detectable: smallest detectable regression.
        worse: "worse" is shown family-wise, and today's estimate agrees.
        better: "better" is shown family-wise, and today's estimate agrees.
        ready: whether "no regression" could be shown.
        failure: why there is no estimate, or only a poor one.
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


def judge(
    cells: Cells, metrics: Sequence[Metric], *, alpha: float = 0.05, checks: Sequence[Check] = ()
) -> tuple[CohortResult, ...]:
    """Judge every metric of every cohort.

    "Regressed" and "improved" each hold their family-wise error rate at ``alpha`` over all cells and all looks;
    "no regression" is per cell, since a promotion requires it of all.

    Args:
        cells: the aggregated traces.
        metrics: those of ``cells`` to judge.
        alpha: family-wise error rate of each direction.
        checks: validity checks; a failed one makes the metrics it names INVALID.
    """
    tests = [_test(metric, cells.by_metric[metric.name]) for metric in metrics]
    if not tests or not cells.cohorts:
        return tuple(_cohort(name, cells, [], blocked=False) for name in cells.cohorts)
    weights = [metric.weight for metric in metrics]
    tested = family([t.evidence for t in tests], weights, [t.included for t in tests], alpha)
    findings = [_findings(test, result, alpha) for test, result in zip(tests, tested, strict=True)]
    p_values = [p_value(test.evidence.worse) for test in tests]
    results = []
    for row, cohort in enumerate(cells.cohorts):
        blocked, judged = False, []
        for test, found, p in zip(tests, findings, p_values, strict=True):
            failed = _failed_check(checks, cohort, test.metric.name)
            lopsided = found[row].failure in (Failure.NO_BASE, Failure.NO_CANDIDATE)
            blocked = blocked or failed is not None or lopsided
            judged.append(_result(test, row, cohort, found[row], float(p[row]), failed))
        results.append(_cohort(cohort, cells, judged, blocked=blocked))
    return tuple(results)


def overall(cohorts: Sequence[CohortResult]) -> Verdict:
    """The verdict over all cohorts.

    REGRESSED if any metric is; NO_REGRESSION, or IMPROVED if any metric is, where every cohort can be promoted;
    INVALID if nothing could be judged; else INCONCLUSIVE.
    """
    verdicts = {result.verdict for cohort in cohorts for result in cohort.metrics}
    if Verdict.REGRESSED in verdicts:
        return Verdict.REGRESSED
    if cohorts and all(cohort.decision is Decision.PROMOTE for cohort in cohorts):
        return Verdict.IMPROVED if Verdict.IMPROVED in verdicts else Verdict.NO_REGRESSION
    return Verdict.INVALID if verdicts <= {Verdict.INVALID} else Verdict.INCONCLUSIVE


def _test(metric: Metric, data: MetricCells) -> _Test:
    def oriented(sums: TwoArmSums) -> TwoArmSums:
        return sums if metric.higher_is == "worse" else sums.swapped()

    sums = oriented(data.sums)
    if metric.kind is MetricKind.RATE:
        evidence = rate_evidence(sums)
    elif data.exceedance is not None:
        evidence = tail_evidence(sums, oriented(data.exceedance), data.first_look)
    else:
        evidence = mean_evidence(sums, _CONTRASTS[metric.kind](sums), data.first_look)
    return _Test(metric, data, sums, evidence, data.counts.sum(axis=1) > 0)


def _margins(test: _Test) -> FloatArray:
    """Margins in the metric's unit, above 0; the base's pre-period value is preferred, since it cannot drift."""
    metric, data = test.metric, test.data
    base = np.where(np.isnan(data.before), data.values[:, 0], data.before)
    if metric.margin is None:
        return np.maximum(_RATE_MARGIN, _RATE_MARGIN_SHARE * np.nan_to_num(base))
    if metric.margin_kind == "absolute":
        return np.full(len(base), metric.margin)
    return metric.margin * base


def _findings(test: _Test, tested: Tested, alpha: float) -> list[_Finding]:
    base, margins = test.data.values[:, 0], _margins(test)
    known = np.where(np.isnan(margins), 0.0, margins)
    if test.metric.kind in (MetricKind.MEAN, MetricKind.QUANTILE):
        share = known / np.where(base > 0, base, 1.0)
        scaled = np.log1p(share) if test.sign > 0 else -np.log1p(-np.minimum(share, 1 - 1e-9))
    else:
        scaled = known
    found = assess(
        test.sums,
        _CONTRASTS[test.metric.kind],
        test.evidence,
        tested,
        margin=scaled,
        first_look=test.data.first_look,
        alpha=alpha,
    )
    finding = _tail_finding if test.metric.kind is MetricKind.TAIL else _finding
    return [finding(test, tested, found, margins, row, alpha) for row in range(len(base))]


def _failure(test: _Test, found: Assessment, row: int) -> Failure | None:
    base, candidate = test.data.counts[row]
    failures = {
        Failure.NO_DATA: not base and not candidate,
        Failure.NO_BASE: not base,
        Failure.NO_CANDIDATE: not candidate,
        Failure.NO_VARIATION: test.metric.kind is not MetricKind.RATE and not found.varies[row],
        Failure.NO_THRESHOLD: test.data.first_look[row] >= test.evidence.worse.shape[1],
        Failure.TOO_FEW_UNITS: min(
            test.sums.base.units[row, -1], test.sums.candidate.units[row, -1]
        ) < MINIMUM_UNITS,
        Failure.TOO_FEW_EVENTS: not found.ready[row],
    }
    return next((failure for failure, present in failures.items() if present), None)
