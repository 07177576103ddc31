"""A message: the events of one announcement for one channel, as every channel renders it and as webhooks get it.

Its JSON is described by ``message.schema.json``, and is what the store keeps until it is sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from analytics.alerts.change import Change
from analytics.alerts.events import Event
from analytics.report import formatting
from analytics.report.headline import headline
from analytics.report.model import Decision, Report
from analytics.report.text import name, sentence

SCHEMA_VERSION = 1

MOST_EVENTS = 100
"""Events of a message; how many more there were it says."""

_ORDER = (
    Change.GUARD,
    Change.REGRESSED,
    Change.FAILED_RUN,
    Change.INVALID,
    Change.DECISION,
    Change.RESOLVED,
    Change.IMPROVED,
    Change.NO_REGRESSION,
)
"""The gravest first."""

_NAMED_COHORTS = 3


class Kind(StrEnum):
    """What a message is about."""

    REPORT = "report.changed"
    FAILED_RUN = "run.failed"
    GUARD = "guard.roll_back"
    TEST = "test"


@dataclass(frozen=True)
class Message:
    """What one channel is told.

    Attributes:
        kind: what it is about.
        timestamp: when it was announced (UTC, naive).
        headline: one sentence, as plain inert text.
        what_to_do: one sentence, as plain inert text.
        promotion: its ``name``, ``base`` and ``candidate``; None where none is concerned, or only its name is known.
        report: its ``report_id``, ``as_of`` and ``overall`` verdict; None where there is none.
        schedule: the schedule whose run failed; None otherwise.
        events: the news, the gravest first.
        events_left_out: how many more there were.
        verdicts: cohort → verdict → how many metrics have it.
    """

    kind: Kind
    timestamp: datetime
    headline: str
    what_to_do: str
    promotion: Mapping[str, str | None] | None = None
    report: Mapping[str, str] | None = None
    schedule: str | None = None
    events: tuple[Event, ...] = ()
    events_left_out: int = 0
    verdicts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON holds it, the same for the same message."""
        return {
            "schema_version": SCHEMA_VERSION,
            "type": self.kind.value,
            "timestamp": formatting.iso(self.timestamp),
            "headline": self.headline,
            "what_to_do": self.what_to_do,
            "promotion": None if self.promotion is None else dict(self.promotion),
            "report": None if self.report is None else dict(self.report),
            "schedule": self.schedule,
            "events": [
                {
                    "event_id": event.identity(self.report["report_id"] if self.report else None),
                    "change": event.change.value,
                    "promotion": event.promotion,
                    "cohort": event.cohort,
                    "metric": event.metric,
                    "before": event.before,
                    "after": event.after,
                    "sentence": event.sentence,
                    "facts": dict(event.facts),
                }
                for event in self.events
            ],
            "events_left_out": self.events_left_out,
            "verdicts": {cohort: dict(counts) for cohort, counts in self.verdicts.items()},
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Message:
        """What :meth:`to_dict` gave."""
        return cls(
            kind=Kind(given["type"]),
            timestamp=datetime.fromisoformat(given["timestamp"]).replace(tzinfo=None),
            headline=given["headline"],
            what_to_do=given["what_to_do"],
            promotion=given["promotion"],
            report=given["report"],
            schedule=given["schedule"],
            events=tuple(
                Event(
                    Change(event["change"]),
                    event["promotion"],
                    event["cohort"],
                    event["metric"],
                    event["before"],
                    event["after"],
                    event["sentence"],
                    event["facts"],
                )
                for event in given["events"]
            ),
            events_left_out=given["events_left_out"],
            verdicts=given["verdicts"],
        )


def report_message(report: Report, report_id: str, events: Sequence[Event], now: datetime) -> Message:
    """The message about a report.

    Args:
        report: the report.
        report_id: its identity in the store.
        events: the news that the channel wants.
        now: when it is announced (UTC, naive).
    """
    return Message(
        kind=Kind.REPORT,
        timestamp=now,
        headline=headline(report),
        what_to_do=_what_to_do(report.promotion.name, events),
        promotion=_promotion(report),
        report=_report(report, report_id),
        **_events(events),
        verdicts={
            cohort.cohort: dict(sorted(Counter(result.verdict.value for result in cohort.metrics).items()))
            for cohort in report.cohorts
        },
    )


def guard_message(report: Report, report_id: str, events: Sequence[Event], now: datetime) -> Message:
    """The message about cohorts that a guard rolls back; arguments as for :func:`report_message`."""
    cohorts = _cohorts([event.cohort or "" for event in events])
    return Message(
        kind=Kind.GUARD,
        timestamp=now,
        headline=f"Roll back {name(report.promotion.name)} on {cohorts}: a guarded metric regressed.",
        what_to_do=f"Send {cohorts} back to {name(report.promotion.base)}, unless the roll-back webhook has done so, "
        "and look at the traces.",
        promotion=_promotion(report),
        report=_report(report, report_id),
        **_events(events),
    )


def failed_run_message(schedule: str, promotion: str | None, event: Event, now: datetime) -> Message:
    """The message about a scheduled run that failed.

    Args:
        schedule: the schedule's name.
        promotion: the promotion's name; None where the run failed as a whole.
        event: the news.
        now: when it is announced (UTC, naive).
    """
    whose = f"of {name(promotion)}" if promotion is not None else "of its promotions"
    return Message(
        kind=Kind.FAILED_RUN,
        timestamp=now,
        headline=f"The scheduled report {whose} by {name(schedule)} failed.",
        what_to_do="Mend what the sentence names. `spanverdict doctor` may say more.",
        promotion=None if promotion is None else {"name": promotion, "base": None, "candidate": None},
        schedule=schedule,
        events=(event,),
    )


def test_message(channel: str, now: datetime) -> Message:
    """A message that says it is a test, with an event of each kind that a channel shows differently.

    Args:
        channel: the channel's name.
        now: when it is sent (UTC, naive).
    """
    facts = {
        "unit": "rate",
        "base": {"n": 1000, "value": 0.061},
        "candidate": {"n": 1000, "value": 0.098},
        "effect": 0.037,
        "interval": [0.024, 0.051],
        "margin": 0.01,
        "alert_raised_on": None,
        "begins_at": None,
        "exemplars": {"base": [], "candidate": ["0" * 32]},
    }
    said = "Regressed: groundedness failures on example_cohort rose from 6.1 % to 9.8 % (+2.4 to +5.1 points)."
    return Message(
        kind=Kind.TEST,
        timestamp=now,
        headline=f"This is a test of the channel {name(channel)}: nothing happened.",
        what_to_do="Nothing: if you can read this, the channel works.",
        promotion={"name": "example", "base": "base-model", "candidate": "candidate-model"},
        events=(
            Event(
                Change.REGRESSED,
                "example",
                "example_cohort",
                "groundedness_fail_rate",
                "NO_REGRESSION",
                "REGRESSED",
                said,
                facts,
            ),
        ),
    )


def _promotion(report: Report) -> dict[str, str | None]:
    promotion = report.promotion
    return {"name": promotion.name, "base": promotion.base, "candidate": promotion.candidate}


def _report(report: Report, report_id: str) -> dict[str, str]:
    return {"report_id": report_id, "as_of": formatting.iso(report.as_of), "overall": report.overall.value}


def _events(events: Sequence[Event]) -> dict[str, Any]:
    # Within a kind the order stays: that of the report.
    ordered = sorted(events, key=lambda event: _ORDER.index(event.change))
    return {"events": tuple(ordered[:MOST_EVENTS]), "events_left_out": max(0, len(ordered) - MOST_EVENTS)}


def _what_to_do(promotion: str, events: Sequence[Event]) -> str:
    worse = [event.cohort or "" for event in events if event.change is Change.REGRESSED]
    ready = [event.cohort or "" for event in events if event.after == Decision.PROMOTE.value]
    invalid = any(event.change is Change.INVALID for event in events)
    said = []
    if worse:
        said.append(f"Take {name(promotion)} back on {_cohorts(worse)}, and look at the traces named above.")
    if ready:
        said.append(f"{_cohorts(ready)} may be promoted: `spanverdict routes` writes the plan.")
    if invalid:
        said.append("Mend what failed checks name; until then what they cover has no verdict.")
    return sentence(" ".join(said)) if said else "Nothing has to be done."


def _cohorts(cohorts: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(cohorts))
    if len(distinct) > _NAMED_COHORTS:
        return f"{len(distinct)} cohorts"
    names = [name(cohort) for cohort in distinct]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
