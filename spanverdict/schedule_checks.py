"""What the doctor finds of scheduled reports: what failed, what nobody makes, when the next is due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from spanverdict.doctor import MOST_GROUPS, Finding, Status
from spanverdict.schedule_config import ScheduleConfig
from spanverdict.schedule_runs import FAILED, RUNNING, first_seen, open_runs
from sql import statements
from sql.access import Access

PATIENCE = timedelta(minutes=10)
"""How long after it was due a report may be begun before it is worth a warning."""

_CHECK = "schedules"

_NOBODY = "let `spanverdict serve` run with this configuration, or cron run `spanverdict report --scheduled`."


def examine_schedules(store: Access, schedules: Sequence[ScheduleConfig], now: datetime) -> Iterator[Finding]:
    """Look at each schedule; nothing is written.

    Args:
        store: what was made.
        schedules: what is configured.
        now: the present (UTC, naive).

    Yields:
        One finding for each schedule that is well, one for each thing that is not with another.

    Raises:
        StoreError: the store could not answer.
    """
    if not schedules:
        return
    seen = first_seen(store, schedules)
    rows = store.read(statements.read("schedule_states")).to_pylist()
    for schedule in schedules:
        if schedule.name not in seen:
            yield Finding(Status.WARN, _CHECK, f"{schedule.name} has not been seen by anything that runs it.", _NOBODY)
            continue
        last = [row for row in rows if row["schedule"] == schedule.name]
        found = [*_failures(schedule, last), *_delays(store, schedule, seen, now)]
        yield from found or [Finding(Status.OK, _CHECK, f"{schedule.name}: {_last(last)}; {_next(schedule, now)}.")]


def _failures(schedule: ScheduleConfig, last: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    for row in [row for row in last if row["status"] == FAILED][:MOST_GROUPS]:
        yield Finding(
            Status.WARN,
            _CHECK,
            f"{schedule.name}: the report on {row['promotion']} of {_moment(row['slot'])} failed: {row['error']}",
            f"mend it; `spanverdict report PROMOTION --as-of {row['slot'].isoformat()}Z` makes it by hand.",
        )


def _delays(store: Access, schedule: ScheduleConfig, seen: dict[str, datetime], now: datetime) -> Iterator[Finding]:
    due = open_runs(store, [schedule], seen, now).due
    for run in [run for run in due if run.slot + schedule.delay + PATIENCE <= now][:MOST_GROUPS]:
        detail = f"{schedule.name}: the report on {run.promotion} of {_moment(run.slot)} was not made."
        yield Finding(Status.WARN, _CHECK, detail, _NOBODY)


def _last(last: Sequence[dict[str, Any]]) -> str:
    if not last:
        return "no report yet"
    verb = "is being made" if any(row["status"] == RUNNING for row in last) else "was made"
    return f"the latest, of {_moment(last[0]['slot'])}, {verb}"


def _next(schedule: ScheduleConfig, now: datetime) -> str:
    slot = schedule.slots.following(now)
    return "there is no next" if slot is None else f"the next is of {_moment(slot)}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
