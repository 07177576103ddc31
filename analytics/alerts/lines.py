"""A message as lines of plain inert text, which every channel for people shows in its own markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from analytics.alerts.change import Change
from analytics.alerts.events import Event
from analytics.alerts.message import Kind, Message
from analytics.report import formatting
from analytics.report.text import name, visible

MOST_LINES = 20
"""Events that are shown; how many more there are is said."""

_LONGEST = 700

_TITLES = {
    Change.GUARD: ("to roll back now", "to roll back now"),
    Change.REGRESSED: ("regression", "regressions"),
    Change.FAILED_RUN: ("failed run", "failed runs"),
    Change.INVALID: ("invalid", "invalid"),
    Change.DECISION: ("decision", "decisions"),
    Change.RESOLVED: ("resolved", "resolved"),
    Change.IMPROVED: ("improvement", "improvements"),
    Change.NO_REGRESSION: ("cleared", "cleared"),
}


@dataclass(frozen=True)
class Lines:
    """What a person reads.

    Attributes:
        title: of a few words, such as "refunds-v2: 2 regressions, 1 decision".
        headline: one sentence.
        events: one paragraph for each event, or for several that say the same.
        left_out: a sentence on events that are not shown; empty if all are.
        what_to_do: one sentence.
        origin: which report it is, and of when; empty where there is none.
    """

    title: str
    headline: str
    events: tuple[str, ...]
    left_out: str
    what_to_do: str
    origin: str

    def text(self, url: str | None = None) -> str:
        """All of it, one below the other."""
        parts = [self.headline, *self.events, self.left_out, self.what_to_do, self.origin, url or ""]
        return "\n\n".join(filter(None, parts))


def lines(message: Message) -> Lines:
    """Write a message for people."""
    paragraphs = list(_paragraphs(message.events))
    hidden = sum(count for _, count in paragraphs[MOST_LINES:]) + message.events_left_out
    return Lines(
        title=_title(message),
        headline=message.headline,
        events=tuple(text for text, _ in paragraphs[:MOST_LINES]),
        left_out=f"And {formatting.count(hidden, 'more change')}." if hidden else "",
        what_to_do=message.what_to_do,
        origin=_origin(message),
    )


def _title(message: Message) -> str:
    if message.kind is Kind.TEST:
        return "TEST: spanverdict alerts"
    whose = "spanverdict" if message.promotion is None else name(message.promotion["name"] or "")
    counts = [(change, len(list(events))) for change, events in groupby(message.events, lambda event: event.change)]
    said = ", ".join(f"{count} {_TITLES[change][count > 1]}" for change, count in counts)
    return f"{whose}: {said or 'no change'}"


def _paragraphs(events: Sequence[Event]) -> Iterator[tuple[str, int]]:
    """A paragraph for each event with how many it stands for: what becomes invalid in one cohort is told at once."""
    for (change, cohort), group in groupby(events, lambda event: (event.change, event.cohort)):
        members = list(group)
        if change is Change.INVALID and len(members) > 1 and cohort is not None:
            metrics = [name(formatting.metric_label(event.metric or "")) for event in members]
            told = visible(", ".join(metrics), _LONGEST // 2)
            yield visible(f"Invalid on {name(cohort)}: {told}. {members[0].sentence}", _LONGEST), len(members)
            continue
        for event in members:
            yield "\n".join([visible(event.sentence, _LONGEST), *_facts(event)]), 1


def _facts(event: Event) -> Iterator[str]:
    """Where it begins, and the traces to look at."""
    if event.change not in (Change.REGRESSED, Change.GUARD):
        return
    begins = event.facts.get("begins_at")
    if begins:
        yield visible(begins, _LONGEST)
    exemplars = event.facts.get("exemplars") or {}
    told = [f"{arm} {', '.join(map(name, ids))}" for arm, ids in sorted(exemplars.items(), reverse=True) if ids]
    if told:
        yield f"Traces: {'; '.join(told)}"


def _origin(message: Message) -> str:
    if message.report is None:
        return ""
    models = ""
    if message.promotion is not None and message.promotion["base"] and message.promotion["candidate"]:
        models = f"{name(message.promotion['candidate'])} against {name(message.promotion['base'])}, "
    return f"{models}as of {message.report['as_of']}, report {message.report['report_id']}"
