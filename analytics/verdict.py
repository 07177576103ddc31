"""Verdicts: what the evidence says about each metric of each cohort, in one sentence, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from analytics.family_members import members
from analytics.metric_tests import Finding, MetricTest, findings, metric_test
from analytics.metrics import EVALUATION_PREFIX, Metric, MetricKind
from analytics.report import formatting
from analytics.report.model import Check, CheckStatus, CohortResult, Decision, MetricResult, Verdict, WatchItem
from analytics.report.values import ArmValue
from analytics.stats.before_after import FEWEST_DAYS_BEFORE
from analytics.stats.evidence import MINIMUM_UNITS
from analytics.stats.failure import Failure
from analytics.stats.family import NEVER, family
from analytics.stats.multiplicity import e_bh
from analytics.values import ARMS, freeze_pooled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analytics.cells import Cells, MetricCells
    from analytics.stats.family import Tested
    from analytics.stats.horizon import Horizon
    from analytics.stats.sums import FloatArray

# e to this is about what a float holds.
_LARGEST_LOG_E = 700.0

_NOT_JUDGED = {
    Failure.NO_DATA: "no trace has a value yet",
    Failure.NO_BASE: "no trace of the base arm has a value yet, so there is nothing to compare with",
    Failure.NO_CANDIDATE: "no trace of the candidate arm has a value yet, so there is nothing to compare",
    Failure.NO_SHARED_STRATA: "in no stratum have both arms values of the same day, so nothing can be compared",
    Failure.NO_RATIO: "the values of one arm are zero throughout, so no ratio of the arms can be tested",
    Failure.NO_VARIATION: "no value differs between the arms, so there is nothing to test",
}

_WITHOUT_TEST = (Failure.NO_RATIO, Failure.NO_VARIATION)
"""There is a difference, if of 0, but no test of it."""

WATCH_LEVEL = 0.10
"""False discovery rate of the watch list."""


@dataclass(frozen=True)
class Judgement:
    """What a comparison says.

    Attributes:
        cohorts: one result per cohort, by name.
        watch_list: cells without an alarm that today's evidence speaks against, the most first.
    """

    cohorts: tuple[CohortResult, ...]
    watch_list: tuple[WatchItem, ...] = ()


@dataclass(frozen=True)
class Engine:
    """How the data of a metric become evidence, and the evidence findings.

    Attributes:
        test: a metric and its cells → the evidence at every look.
        findings: a test, what the family-wise procedure said of its cells, and the level of one cell → a finding per
            cohort.
    """

    test: Callable[[Metric, MetricCells], MetricTest]
    findings: Callable[[MetricTest, Tested, float], list[Finding]]


BETWEEN_ARMS = Engine(metric_test, findings)
"""Both arms at the same time, or on the same things."""


def between_arms_until(horizon: Horizon) -> Engine:
    """The same where an end was declared: half of the error is spent by then."""
    return Engine(partial(metric_test, horizon=horizon), findings)


def judge(
    cells: Cells,
    metrics: Sequence[Metric],
    *,
    alpha: float = 0.05,
    checks: Sequence[Check] = (),
    engine: Engine = BETWEEN_ARMS,
) -> Judgement:
    """Judge every metric of every cohort.

    "Regressed" and "improved" each hold their family-wise error rate at ``alpha`` over all cells and all
    looks; "no regression" is per cell, since a promotion requires it of all. The watch list is by e-BH on the evidence
    of the last look.

    Args:
        cells: the aggregated traces.
        metrics: those of ``cells`` to judge.
        alpha: family-wise error rate of each direction.
        checks: validity checks; a failed one makes the metrics it names INVALID.
        engine: how the design of the comparison is tested.
    """
    tests = [engine.test(metric, cells.by_metric[metric.name]) for metric in metrics]
    if not tests or not cells.cohorts:
        return Judgement(tuple(_cohort(name, cells, [], blocked=False) for name in cells.cohorts))
    shown = [test.p_values() for test in tests]
    tested = family_of(cells, metrics, shown, alpha)
    found_by_metric = [engine.findings(test, result, alpha) for test, result in zip(tests, tested, strict=True)]
    p_values = [worse[:, -1] for worse, _ in shown]
    results = []
    for row, cohort in enumerate(cells.cohorts):
        blocked, judged = False, []
        for test, family_result, found, p in zip(tests, tested, found_by_metric, p_values, strict=True):
            failed = _failed_check(checks, cohort, test.metric.name)
            # No data is never a pass. Equal values throughout are: there is no difference to find.
            unjudged = found[row].failure in _NOT_JUDGED and found[row].failure is not Failure.NO_VARIATION
            blocked = blocked or failed is not None or unjudged
            result = _result(test, row, cohort, found[row], float(p[row]), failed)
            since = int(family_result.worse_look[row])
            # An alarm is about the comparison; where that is not valid there is none.
            alarmed = since != NEVER and failed is None
            judged.append(replace(result, alert_raised_on=cells.looks[since] if alarmed else None))
        results.append(_cohort(cohort, cells, judged, blocked=blocked))
    return Judgement(tuple(results), _watch_list(results, tests))


def family_of(
    cells: Cells, metrics: Sequence[Metric], p_values: Sequence[tuple[FloatArray, FloatArray]], alpha: float
) -> list[Tested]:
    """What the family-wise procedure says of all cells together, by metric.

    Args:
        cells: the comparison.
        metrics: those of ``cells`` that are judged.
        p_values: of each metric, of "worse" and of "better" at every look, (cohorts, looks).
        alpha: family-wise error rate of each direction.
    """
    *of_metrics, absent = members(cells, metrics)
    nothing = np.ones((len(absent.weight), len(cells.looks)))
    worse, better = zip(*p_values, (nothing, nothing), strict=True)
    return family(worse, better, [*of_metrics, absent], alpha)[:-1]


def _watch_list(results: Sequence[CohortResult], tests: Sequence[MetricTest]) -> tuple[WatchItem, ...]:
    """Cells without an alarm that e-BH discovers.

    The e-value of a cell that has an alarm, or that is INVALID, is taken as 0, which keeps it one: what is listed has
    the false discovery rate by itself, and strong evidence elsewhere does not let weak evidence in.
    """
    today = np.array([test.evidence.worse[:, -1] for test in tests])
    open_still = np.array(
        [
            [result.alert_raised_on is None and result.verdict is not Verdict.INVALID for result in cohort.metrics]
            for cohort in results
        ]
    ).T
    found = e_bh(np.where(open_still, today, -np.inf).ravel(), WATCH_LEVEL).reshape(today.shape)
    items = [
        WatchItem(cohort.cohort, result.metric, float(np.exp(min(today[column, row], _LARGEST_LOG_E))))
        for row, cohort in enumerate(results)
        for column, result in enumerate(cohort.metrics)
        if found[column, row]
    ]
    return tuple(sorted(items, key=lambda item: (-item.e_value, item.cohort, item.metric)))


def overall(cohorts: Sequence[CohortResult]) -> Verdict:
    """The verdict over all cohorts.

    REGRESSED if any metric is; NO_REGRESSION, or IMPROVED if any metric is, where every cohort can be
    promoted; INVALID if nothing could be judged; else INCONCLUSIVE.
    """
    verdicts = {result.verdict for cohort in cohorts for result in cohort.metrics}
    if Verdict.REGRESSED in verdicts:
        return Verdict.REGRESSED
    if cohorts and all(cohort.decision is Decision.PROMOTE for cohort in cohorts):
        return Verdict.IMPROVED if Verdict.IMPROVED in verdicts else Verdict.NO_REGRESSION
    return Verdict.INVALID if verdicts <= {Verdict.INVALID} else Verdict.INCONCLUSIVE


def _failed_check(checks: Sequence[Check], cohort: str, metric: str) -> Check | None:
    """The first failed check that covers the cell."""
    return next(
        (
            check
            for check in checks
            if check.status == CheckStatus.FAIL
            and check.cohort in (None, cohort)
            and (check.metrics is None or metric in check.metrics)
        ),
        None,
    )


def verdict_of(metric: Metric, found: Finding, failed: Check | None) -> Verdict:
    """The verdict that follows from a finding; INVALID where a check failed or nothing could be tested."""
    if failed is not None or found.failure in _NOT_JUDGED:
        return Verdict.INVALID
    within = found.ready and _worst(metric, found.alone) < abs(found.margin)
    if found.worse:
        return Verdict.NO_REGRESSION if within else Verdict.REGRESSED
    if found.better:
        return Verdict.IMPROVED
    return Verdict.NO_REGRESSION if within else Verdict.INCONCLUSIVE


def _worst(metric: Metric, interval: tuple[float, float]) -> float:
    """How much worse the interval still allows the candidate to be."""
    return interval[1] if metric.higher_is == "worse" else -interval[0]


def _mildest(metric: Metric, interval: tuple[float, float]) -> float:
    """How much worse the interval says the candidate is at least."""
    return interval[0] if metric.higher_is == "worse" else -interval[1]


def _result(test: MetricTest, row: int, cohort: str, found: Finding, p: float, failed: Check | None) -> MetricResult:
    metric = test.metric
    verdict = verdict_of(metric, found, failed)
    estimated = found.failure not in _NOT_JUDGED
    interval = found.alone if verdict is Verdict.NO_REGRESSION else found.interval
    bounded = estimated and all(isfinite(end) for end in interval)
    undecided = verdict is Verdict.INCONCLUSIVE and isfinite(found.needed)
    base, candidate = (
        ArmValue(int(n), float(value) if n else None)
        for n, value in zip(test.data.counts[row], test.data.values[row], strict=True)
    )
    return MetricResult(
        metric=metric.name,
        verdict=verdict,
        reason=_reason(test, verdict, base, candidate, found, failed),
        base=base,
        candidate=candidate,
        effect=found.effect if estimated or found.failure in _WITHOUT_TEST else None,
        interval=interval if bounded else None,
        margin=found.margin if isfinite(found.margin) else None,
        unit=metric.unit,
        more_traces_needed=int(found.needed) if undecided else None,
        smallest_detectable=found.detectable if estimated and isfinite(found.detectable) else None,
        p_value=p if estimated else None,
        composition=found.composition,
        exemplars={arm: list(test.data.exemplars.get(cohort, {}).get(arm, [])) for arm in ARMS},
    )


def _reason(
    test: MetricTest,
    verdict: Verdict,
    base: ArmValue,
    candidate: ArmValue,
    found: Finding,
    failed: Check | None,
) -> str:
    """One sentence with the numbers that decided."""
    metric = test.metric
    label = formatting.metric_label(metric.name)
    if failed is not None:
        return f"{label}: the check {failed.check} failed: {failed.detail}"
    if found.failure in _NOT_JUDGED:
        return f"{label}: {_NOT_JUDGED[found.failure]}{_hint(metric, found.failure)}."
    unit, before, after = metric.unit, base.value or 0.0, candidate.value or 0.0
    then, now = formatting.value(before, unit), formatting.value(after, unit)
    # What reads alike did not move for a reader.
    moved = f"stayed at {now}" if then == now else f"{'rose' if after > before else 'fell'} from {then} to {now}"
    interval = found.alone if verdict is Verdict.NO_REGRESSION else found.interval
    bounded = all(isfinite(end) for end in interval)
    ends = f" ({formatting.interval(interval, unit)})" if bounded else ""
    margin = formatting.size(abs(found.margin), unit)
    if found.among and bounded:
        ends = f", {formatting.difference(found.effect, unit)} {found.among}{ends}"
    test_note = _test_note(metric, verdict, found)
    consequence = _consequence(metric, verdict, found, interval, margin)
    caveat = found.caveat if verdict in (Verdict.REGRESSED, Verdict.IMPROVED) else ""
    return f"{label} {moved}{ends}{test_note}{consequence}{caveat}."


def _hint(metric: Metric, failure: Failure) -> str:
    """What a person may do about missing values, or when there will be some."""
    if failure is Failure.NO_VARIATION or failure is Failure.NO_RATIO:
        return ""
    waits = f"; it is final {formatting.hours(metric.maturity)} after a trace's end" if metric.maturity else ""
    if metric.column.startswith(EVALUATION_PREFIX):
        section = f"[evaluators.{metric.column.removeprefix(EVALUATION_PREFIX)}]"
        return f"{waits}; a score without a label that is understood needs threshold and higher_is under {section}"
    return waits


def _test_note(metric: Metric, verdict: Verdict, found: Finding) -> str:
    if metric.kind is MetricKind.TAIL and verdict in (Verdict.REGRESSED, Verdict.IMPROVED):
        heavier = (verdict is Verdict.REGRESSED) == (metric.higher_is == "worse")
        return f", with a {'heavier' if heavier else 'lighter'} tail by the test of the slowest traces"
    return ", a few very large values moving the mean more than the test lets them" if found.moved_by_few else ""


def _consequence(metric: Metric, verdict: Verdict, found: Finding, interval: tuple[float, float], margin: str) -> str:
    mildest = _mildest(metric, interval)
    match verdict:
        case Verdict.REGRESSED if mildest > abs(found.margin):
            return f", beyond the margin of {margin}"
        case Verdict.REGRESSED:
            return f", not shown to be within the margin of {margin}"
        case Verdict.IMPROVED:
            return ", better"
        case Verdict.NO_REGRESSION if found.worse:
            return f", worse, but within the margin of {margin}"
        case Verdict.NO_REGRESSION:
            return f", within the margin of {margin}"
        case _:
            return _undecided(metric, found, margin)


def _undecided(metric: Metric, found: Finding, margin: str) -> str:
    few = ""
    if found.failure is Failure.NO_THRESHOLD:
        return f": too few traces to compare yet; a comparison begins at {freeze_pooled(metric)}"
    if found.failure is Failure.TOO_FEW_DAYS:
        return f": a comparison by days needs {FEWEST_DAYS_BEFORE} whole days before the change and one after it"
    if found.failure is Failure.TOO_FEW_UNITS:
        few = f"fewer than {MINIMUM_UNITS} users or items in an arm, "
    if isfinite(found.needed):
        # Two digits: it is a forecast.
        traces = formatting.count(round(float(f"{found.needed:.1e}")), "more trace")
        return f": {few}not enough to decide; about {traces} could show it within the margin of {margin}"
    return (
        f": {few}not enough to decide; at the present estimate no amount of traffic would show it within"
        f" the margin of {margin}"
    )


def _cohort(cohort: str, cells: Cells, results: Sequence[MetricResult], *, blocked: bool) -> CohortResult:
    """What follows for the cohort from its metrics.

    Args:
        cohort: its name.
        cells: for the traffic.
        results: its metrics.
        blocked: whether a failed check, or a metric without data to judge, stands against a promotion.
    """
    by_verdict = {
        verdict: [formatting.metric_label(r.metric) for r in results if r.verdict is verdict] for verdict in Verdict
    }
    good = [*by_verdict[Verdict.IMPROVED], *by_verdict[Verdict.NO_REGRESSION]]
    if regressed := by_verdict[Verdict.REGRESSED]:
        decision, reason = Decision.ROLL_BACK, f"worse: {', '.join(regressed)}."
    elif not good:
        comparable = len(by_verdict[Verdict.INVALID]) < len(results)
        decision, reason = Decision.HOLD, "nothing is decided yet." if comparable else "nothing can be compared."
    elif undecided := by_verdict[Verdict.INCONCLUSIVE]:
        decision, reason = Decision.HOLD, f"not decided yet: {', '.join(undecided)}."
    elif blocked:
        decision, reason = Decision.HOLD, f"not judged: {', '.join(by_verdict[Verdict.INVALID])}."
    elif improved := by_verdict[Verdict.IMPROVED]:
        decision, reason = Decision.PROMOTE, f"nothing regressed; better: {', '.join(improved)}."
    else:
        decision, reason = Decision.PROMOTE, "nothing regressed."
    return CohortResult(cohort, decision, reason, dict(cells.traces[cohort]), tuple(results))
