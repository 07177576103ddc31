"""A report's traces in parts: each holds those whose first span in the window began on one day (UTC).

What a part's rows rest on is known without reading them: a digest of its spans, of the failed validations that speak of
them, and of what promotion and configuration ask for. A part with the same digest has the same rows, so that rows may
be kept, and of a day that is over they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import polars as pl

from sql import statements

if TYPE_CHECKING:
    from sql.access import Access

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class TracePart:
    """One part of a window.

    Attributes:
        day: the day (UTC) on which its traces began.
        since: when its spans begin (UTC, naive).
        part_until: when spans end to belong to it because they began on its day.
        until: when the last span ends of traces that go on after the day.
        crossing: ids of those traces.
        elsewhere: ids of traces that have spans on the day and belong to an earlier part.
        is_over: whether the whole of the day lies in the window.
        traces: how many traces it has, also of those that a report leaves out.
        spans: how many spans.
        digest: of what its rows rest on.
    """

    day: date
    since: datetime
    part_until: datetime
    until: datetime
    crossing: tuple[str, ...]
    elsewhere: tuple[str, ...]
    is_over: bool
    traces: int
    spans: int
    digest: str

    @property
    def parameters(self) -> dict[str, Any]:
        """What the reads ``report_spans`` and ``report_conditions`` need to know of it."""
        return {
            "since": self.since,
            "part_until": self.part_until,
            "until": self.until,
            "crossing": list(self.crossing),
            "elsewhere": list(self.elsewhere),
        }


def whole_window(since: datetime, until: datetime) -> dict[str, Any]:
    """The parameters of a part that is the whole of a window (UTC, naive)."""
    return {"since": since, "part_until": until, "until": until, "crossing": [], "elsewhere": []}


def trace_parts(
    store: Access, failures: pl.DataFrame, given: Sequence[object], *, since: datetime, until: datetime
) -> list[TracePart]:
    """The parts of a window that have spans, by day.

    Args:
        store: where spans are.
        failures: failed validations, as :func:`analytics.traces.judged_by` gives them.
        given: what else the rows rest on, by its representation as text.
        since: when the window begins (UTC, naive).
        until: when it ends (UTC, naive).
    """
    found = store.read(statements.read("report_parts"), {"since": since, "until": until}).to_pylist()
    parts = []
    crossing: list[tuple[str, date]] = []
    for row in found:
        begins = datetime.combine(row["day"], time())
        over = begins + _DAY
        ours = [(each["trace_id"], each["ends_by"]) for each in row["crossing"]]
        last = max([over, *(moment for _, moment in ours)])
        parts.append(
            TracePart(
                day=row["day"],
                since=max(begins, since),
                part_until=min(over, until),
                until=min(last, until),
                crossing=tuple(trace for trace, _ in ours),
                elsewhere=tuple(trace for trace, through in crossing if through >= row["day"]),
                is_over=over <= until and begins >= since,
                traces=row["traces"],
                spans=row["spans"],
                digest=str(row["digest"]),
            )
        )
        crossing += [(trace, moment.date()) for trace, moment in ours]
    said = dict(_failures_by_day(store, failures, since=since, until=until))
    everywhere = said.pop(None, "")
    asked = repr((tuple(given), version("spanverdict")))
    return [
        replace(part, digest=_digest(asked, part.day, part.since, part.digest, said.get(part.day, ""), everywhere))
        for part in parts
    ]


def _failures_by_day(
    store: Access, failures: pl.DataFrame, *, since: datetime, until: datetime
) -> Iterator[tuple[date | None, str]]:
    """Digests of the failed validations by the day of the trace that they name; None: of those that name none."""
    if failures.is_empty():
        return
    named = failures["trace_id"].drop_nulls().unique().sort().to_list()
    answer = store.read(statements.read("trace_days"), {"trace_ids": named, "since": since, "until": until})
    days = pl.DataFrame(pl.from_arrow(answer))
    # What names a trace that is not there may mean another one by what else it names.
    of_days = failures.join(days, on="trace_id", how="left", maintain_order="left").sort("day", "evaluation_id")
    told = ("evaluation_id", "event_time", "trace_id", "span_id", "response_id", "conversation_id", "name")
    for (day,), rows in of_days.group_by("day", maintain_order=True):
        yield day if isinstance(day, date) else None, _digest(rows.select(told).write_csv())


def _digest(*told: object) -> str:
    return hashlib.sha256(repr(told).encode()).hexdigest()
