"""What a report found, short enough to act on: each regression with its numbers and the traces that show it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from analytics.report.findings import Finding, findings, kept_alarms, shown_exemplars
from analytics.report.formatting import arm, effect, instant, size
from analytics.report.headline import headline
from analytics.report.model import CheckStatus, Report, Verdict

MOST_FINDINGS = 20
"""Findings of a kind that are told; the report has all."""

OF_EACH_ARM = 3
"""Traces of one arm that a finding names."""


def what_was_found(report_id: str, report: Report) -> dict[str, Any]:
    """A report's regressions, gravest first, as JSON-ready values; numbers as a person writes them.

    Args:
        report_id: the report's identity.
        report: what it says.
    """
    regressed = findings(report, Verdict.REGRESSED)
    alarms = kept_alarms(report)
    cells = [result for cohort in report.cohorts for result in cohort.metrics]
    found: dict[str, Any] = {
        "promotion": report.promotion.name,
        "base": report.promotion.base,
        "candidate": report.promotion.candidate,
        "report_id": report_id,
        "as_of": instant(report.as_of),
        "headline": headline(report),
        "overall": report.overall.value,
        "decisions": {cohort.cohort: cohort.decision.value for cohort in report.cohorts[:MOST_FINDINGS]},
        "verdicts": dict(Counter(result.verdict.value for result in cells)),
        "regressions": [_told(finding) for finding in regressed[:MOST_FINDINGS]],
        "earlier_alarms": [_told(finding) for finding in alarms[:MOST_FINDINGS]],
        "failed_checks": [
            {"check": check.check, "cohort": check.cohort, "detail": check.detail}
            for check in report.checks
            if check.status is CheckStatus.FAIL
        ][:MOST_FINDINGS],
    }
    left_out = {
        "cohorts": len(report.cohorts) - MOST_FINDINGS,
        "regressions": len(regressed) - MOST_FINDINGS,
        "earlier_alarms": len(alarms) - MOST_FINDINGS,
    }
    if any(number > 0 for number in left_out.values()):
        found["left_out"] = {name: number for name, number in left_out.items() if number > 0}
    return found


def _told(finding: Finding) -> dict[str, Any]:
    result = finding.result
    where = result.attribution
    return {
        "cohort": finding.cohort,
        "metric": result.metric,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "base": arm(result.base, result.unit),
        "candidate": arm(result.candidate, result.unit),
        "effect": effect(result),
        "margin": size(result.margin, result.unit),
        "begins": None if where is None else where.summary,
        "traces": {side: ids[:OF_EACH_ARM] for side, ids in shown_exemplars(result).items()},
    }
