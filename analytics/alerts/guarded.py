"""What a guard finds: cohorts in which a guarded metric regressed and that were not told of before."""

from __future__ import annotations

from collections.abc import Collection

from analytics.alerts.change import Change
from analytics.alerts.changes import Known, State, States
from analytics.alerts.events import Event, facts_of, verdict_sentence
from analytics.report.findings import findings
from analytics.report.model import Decision, Report, Verdict


def guard_finds(
    report: Report, known: Known, *, metrics: Collection[str] = (), cohorts: Collection[str] = ()
) -> tuple[tuple[Event, ...], States]:
    """One event for each cohort that is to be rolled back now: its gravest regression of a guarded metric.

    A cohort is told of once in the life of a promotion.

    Args:
        report: the report as of now.
        known: the cohorts that the guard has told of.
        metrics: the guarded metrics; all of them if empty.
        cohorts: the guarded cohorts; all of them if empty.
    """
    states = dict(known.states)
    events = []
    for finding in findings(report, Verdict.REGRESSED):
        key = (finding.cohort, None)
        is_guarded = (not metrics or finding.result.metric in metrics) and (not cohorts or finding.cohort in cohorts)
        if key in states or not is_guarded:
            continue
        states[key] = State(Decision.ROLL_BACK.value, is_open=True)
        events.append(
            Event(
                Change.GUARD,
                report.promotion.name,
                finding.cohort,
                finding.result.metric,
                None,
                Decision.ROLL_BACK.value,
                verdict_sentence(Change.GUARD, finding.cohort, finding.result),
                facts_of(finding.result),
            )
        )
    return tuple(events), states
