"""What of a report is worth saying, and in which order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics.report.formatting import metric_label
from analytics.report.model import Check, CheckStatus, CohortResult, Decision, MetricResult, Report, Verdict

SHARED_TITLE = "On what both arms shared"
"""The heading of the comparison on shared versions."""

DECIDED = frozenset({Verdict.REGRESSED, Verdict.IMPROVED, Verdict.NO_REGRESSION})


@dataclass(frozen=True)
class Finding:
    """One metric of one cohort, named."""

    cohort: str
    result: MetricResult


def findings(report: Report, *verdicts: Verdict) -> tuple[Finding, ...]:
    """The metrics with one of the verdicts, the gravest first.

    Gravity is the effect in margins, so that rates, milliseconds and dollars can stand in one order; then the
    p-value; then the names.
    """
    chosen = [
        Finding(cohort.cohort, result)
        for cohort in report.cohorts
        for result in cohort.metrics
        if result.verdict in verdicts
    ]
    return tuple(sorted(chosen, key=_gravity))


def undecided(cohort: CohortResult) -> tuple[Finding, ...]:
    """The cohort's inconclusive metrics, in its own order."""
    return tuple(Finding(cohort.cohort, result) for result in cohort.metrics if result.verdict is Verdict.INCONCLUSIVE)


def kept_alarms(report: Report) -> tuple[Finding, ...]:
    """Alarms that stand although the metric is not called regressed today, by cohort and metric."""
    return tuple(
        Finding(cohort.cohort, result)
        for cohort in report.cohorts
        for result in cohort.metrics
        if result.alert_raised_on is not None and result.verdict is not Verdict.REGRESSED
    )


@dataclass(frozen=True)
class NotCompared:
    """Metrics that could not be compared, why, and where.

    Attributes:
        metrics: their names.
        cohorts: the cohorts in which just these metrics could not be compared for this reason.
        reason: why, as one sentence.
        everything: whether these are all metrics of the cohorts.
    """

    metrics: tuple[str, ...]
    cohorts: tuple[str, ...]
    reason: str
    everything: bool


def not_compared(report: Report) -> tuple[NotCompared, ...]:
    """The invalid metrics; those of one reason are said once, and so are cohorts in which it meets the same metrics.

    Of a failed check the name is reason enough: what it saw stands with the checks.
    """
    checks = {f"the check {check.check} failed: {check.detail}": check.check for check in report.checks}
    where: dict[tuple[str, tuple[str, ...], bool], list[str]] = {}
    for cohort in report.cohorts:
        reasons: dict[str, list[str]] = {}
        for result in cohort.metrics:
            if result.verdict is Verdict.INVALID:
                why = result.reason.removeprefix(f"{metric_label(result.metric)}: ")
                if why in checks:
                    why = f"the check {checks[why]} failed: see below."
                reasons.setdefault(f"{why[:1].upper()}{why[1:]}", []).append(result.metric)
        for why, metrics in reasons.items():
            everything = 1 < len(metrics) == len(cohort.metrics)
            where.setdefault((why, tuple(metrics), everything), []).append(cohort.cohort)
    return tuple(
        NotCompared(metrics, tuple(cohorts), why, everything) for (why, metrics, everything), cohorts in where.items()
    )


@dataclass(frozen=True)
class Maturing:
    """A metric whose labels come later, over all cohorts.

    Attributes:
        metric: its name.
        window: how long after a trace's end its value is final.
        source: "configured", "learned" or "default".
        coverage: arm → share of its traces that are old enough; None without traces.
        next_verdict_at: when the first of the cohorts that are not decided can expect a verdict; None if none can.
    """

    metric: str
    window: timedelta
    source: str
    coverage: dict[str, float | None]
    next_verdict_at: datetime | None


def maturing(report: Report) -> tuple[Maturing, ...]:
    """The metrics that wait for labels, in the order in which the cohorts list them."""
    found = []
    for metric in metric_names(report):
        states = [
            (cohort.traces, result.maturity)
            for cohort in report.cohorts
            for result in cohort.metrics
            if result.metric == metric and result.maturity is not None and result.maturity.window_hours > 0
        ]
        if not states:
            continue
        coverage: dict[str, float | None] = {}
        for arm in ("base", "candidate"):
            traces = sum(counts.get(arm, 0) for counts, _ in states)
            mature = sum(counts.get(arm, 0) * (state.coverage[arm] or 0.0) for counts, state in states)
            coverage[arm] = mature / traces if traces else None
        moments = [state.next_verdict_at for _, state in states if state.next_verdict_at is not None]
        first = states[0][1]
        window = timedelta(hours=first.window_hours)
        found.append(Maturing(metric, window, first.source, coverage, min(moments, default=None)))
    return tuple(found)


def _gravity(finding: Finding) -> tuple[float, float, str, str]:
    result = finding.result
    margins = 0.0
    if result.effect is not None and result.margin and math.isfinite(result.effect / result.margin):
        margins = abs(result.effect / result.margin)
    p_value = 1.0 if result.p_value is None or math.isnan(result.p_value) else result.p_value
    return -margins, p_value, finding.cohort, result.metric


def worst_first(report: Report) -> tuple[CohortResult, ...]:
    """The cohorts, those to roll back first, then those to hold; within each decision in the report's order."""
    order = (Decision.ROLL_BACK, Decision.HOLD, Decision.PROMOTE)
    return tuple(sorted(report.cohorts, key=lambda cohort: order.index(cohort.decision)))


def metric_names(report: Report) -> tuple[str, ...]:
    """Every metric of the report once, in the order in which the cohorts list them."""
    return tuple(dict.fromkeys(result.metric for cohort in report.cohorts for result in cohort.metrics))


def result_of(cohort: CohortResult, metric: str) -> MetricResult | None:
    """The cohort's result for a metric; None if it has none."""
    return next((result for result in cohort.metrics if result.metric == metric), None)


def shown_exemplars(result: MetricResult) -> dict[str, list[str]]:
    """The traces to look at: those that show best where a regression begins, else those with the worst values."""
    found = result.attribution.exemplars if result.attribution is not None else {}
    return found if found.get("candidate") else result.exemplars


@dataclass(frozen=True)
class SharedCohort:
    """One cohort in which a version drifted, on what both arms shared.

    Attributes:
        cohort: its name.
        kept: how much of it remains, and of what, as a sentence.
        verdicts: verdict → the metrics with it; empty where nothing is shared.
        regressed: the metrics that regressed there.
    """

    cohort: str
    kept: str
    verdicts: dict[Verdict, tuple[str, ...]]
    regressed: tuple[MetricResult, ...]


def shared_cohorts(report: Report) -> tuple[SharedCohort, ...]:
    """The comparison on shared versions, by cohort; empty where no version drifted."""
    if report.shared is None:
        return ()
    results = {cohort.cohort: cohort.metrics for cohort in report.shared.cohorts}
    found = []
    for cohort, kept in sorted(report.shared.kept.items()):
        metrics = results.get(cohort, ())
        verdicts = {verdict: tuple(r.metric for r in metrics if r.verdict is verdict) for verdict in Verdict}
        remain = (
            "Compared are the versions that 20 users of each arm met: "
            f"{100 * kept['base']:.0f} % of base and {100 * kept['candidate']:.0f} % of candidate traces remain."
            if metrics
            else "No version was met by 20 users of each arm, so nothing can be compared: give both arms the same."
        )
        regressed = tuple(r for r in metrics if r.verdict is Verdict.REGRESSED)
        found.append(SharedCohort(cohort, remain, {v: names for v, names in verdicts.items() if names}, regressed))
    return tuple(found)


def check_order(check: Check) -> tuple[int, str, str, str]:
    """The order of checks: failed ones first, then by name, cohort and detail."""
    severity = (CheckStatus.FAIL, CheckStatus.WARN, CheckStatus.PASS).index(check.status)
    return severity, check.check, check.cohort or "", check.detail


def checks_with(report: Report, *statuses: CheckStatus) -> tuple[Check, ...]:
    """The validity checks with one of the statuses, failed ones first."""
    return tuple(sorted((check for check in report.checks if check.status in statuses), key=check_order))
