"""Which news follow from a report, given what was announced before.

A verdict is news when it changes, not each time it is found. An alarm is news when it is raised and when it is over;
what becomes of it meanwhile (invalid for a day, inconclusive while it is kept) opens no second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from analytics.alerts.change import Change
from analytics.alerts.events import Event, facts_of, verdict_sentence
from analytics.report import formatting
from analytics.report.findings import checks_with
from analytics.report.model import CheckStatus, CohortResult, Decision, MetricResult, Report, Verdict
from analytics.report.text import name, sentence

_SHOWN_CHECKS = 5


@dataclass(frozen=True)
class State:
    """What is known of a metric of a cohort, or of a cohort.

    Attributes:
        value: the verdict, or the decision.
        is_open: whether an alarm was told that is not over.
    """

    value: str
    is_open: bool = False


States = Mapping[tuple[str, str | None], State]
"""(cohort, metric) → what is known; a cohort's decision stands under no metric. Of runs: (schedule, None)."""


@dataclass(frozen=True)
class Known:
    """What a stream of announcements knows.

    Attributes:
        number: how many there were.
        as_of: the latest moment that one spoke of (UTC, naive); None before the first.
        states: what is known since.
        is_announced: whether the report that is at hand was announced already.
    """

    number: int = 0
    as_of: datetime | None = None
    states: States = field(default_factory=dict)
    is_announced: bool = False


def changes(report: Report, known: Known) -> tuple[tuple[Event, ...], States]:
    """The news of a report, and what is known after it.

    The first report of a promotion tells regressions, decisions to promote or to roll back, and failed checks in one
    event; metrics that have no verdict yet are what one expects.

    Args:
        report: the report.
        known: what the reports before it made known.
    """
    events: list[Event] = []
    states = dict(known.states)
    if known.number == 0:
        events += _failed_checks(report)
    for cohort in report.cohorts:
        for result in cohort.metrics:
            key = (cohort.cohort, result.metric)
            before = states.get(key)
            change, states[key] = _verdict_change(before, result)
            if change is not None:
                events.append(
                    Event(
                        change,
                        report.promotion.name,
                        *key,
                        before.value if before else None,
                        result.verdict.value,
                        verdict_sentence(change, cohort.cohort, result),
                        facts_of(result),
                    )
                )
        of_cohort = (cohort.cohort, None)
        decided = states.get(of_cohort, State(Decision.HOLD.value)).value
        if decided != cohort.decision.value:
            events.append(_decision(report, cohort, decided))
        states[of_cohort] = State(cohort.decision.value)
    return tuple(events), states


def _verdict_change(before: State | None, result: MetricResult) -> tuple[Change | None, State]:
    """The kind of news in a verdict, None where it is none, and what is known after it."""
    was = before.value if before else None
    is_open = before is not None and before.is_open
    verdict = result.verdict
    if verdict is Verdict.REGRESSED:
        return (None if is_open else Change.REGRESSED), State(verdict.value, is_open=True)
    if verdict is Verdict.INVALID:
        is_news = before is not None and was != verdict.value
        return (Change.INVALID if is_news else None), State(verdict.value, is_open=is_open)
    if is_open:
        # An alarm that the report keeps stands, although today's estimate may point the other way.
        is_kept = verdict is Verdict.INCONCLUSIVE and result.alert_raised_on is not None
        return (None if is_kept else Change.RESOLVED), State(verdict.value, is_open=is_kept)
    if verdict.value == was:
        return None, State(verdict.value)
    if verdict is Verdict.IMPROVED:
        return Change.IMPROVED, State(verdict.value)
    return (Change.NO_REGRESSION if verdict is Verdict.NO_REGRESSION else None), State(verdict.value)


def _decision(report: Report, cohort: CohortResult, before: str) -> Event:
    now, then = formatting.DECISION_WORDS[cohort.decision], formatting.DECISION_WORDS[Decision(before)]
    return Event(
        Change.DECISION,
        report.promotion.name,
        cohort.cohort,
        None,
        before,
        cohort.decision.value,
        f"Decision on {name(cohort.cohort)}: {now} (before: {then}); {sentence(cohort.reason)}",
    )


def _failed_checks(report: Report) -> list[Event]:
    failed = checks_with(report, CheckStatus.FAIL)
    if not failed:
        return []
    told = " ".join(
        f"{name(check.check)}{'' if check.cohort is None else f' on {name(check.cohort)}'}: {sentence(check.detail)}"
        for check in failed[:_SHOWN_CHECKS]
    )
    more = len(failed) - _SHOWN_CHECKS
    rest = f" And {more} more." if more > 0 else ""
    said = f"{formatting.count(len(failed), 'check')} failed. {told}{rest}"
    return [Event(Change.INVALID, report.promotion.name, None, None, None, Verdict.INVALID.value, said)]
