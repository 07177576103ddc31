"""What the store keeps of schedules: since when each is known, what is due, who makes it, what became of it."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from spanverdict.schedule_config import ScheduleConfig
from sql import statements
from sql.access import Access

RUNNING = "running"
DONE = "done"
FAILED = "failed"

MOST_ATTEMPTS = 3
"""How often a report is begun whose process ends without a word: it may be what ends it."""

_MOMENT = pa.timestamp("us")
_SCHEMA = pa.schema(
    {
        "schedule": pa.string(),
        "slot": _MOMENT,
        "promotion": pa.string(),
        "status": pa.string(),
        "attempts": pa.int32(),
        "holder": pa.string(),
        "lease_until": _MOMENT,
        "started_at": _MOMENT,
        "finished_at": _MOMENT,
        "report_id": pa.string(),
        "overall": pa.string(),
        "error": pa.string(),
    }
)
_SEEN = pa.schema({"schedule": pa.string(), "cron": pa.string(), "time_zone": pa.string(), "first_seen_at": _MOMENT})


@dataclass(frozen=True)
class Run:
    """A report of one slot, and who makes it.

    Attributes:
        schedule: the schedule's name.
        slot: the moment that it speaks of (UTC, naive).
        promotion: the promotion's name.
        attempts: how often it was begun; 0 where nobody has begun it.
        holder: who makes it, a word that nobody else has.
        lease_until: until when nobody else makes it (UTC, naive); None where nobody has begun it.
    """

    schedule: str
    slot: datetime
    promotion: str
    attempts: int = 0
    holder: str = ""
    lease_until: datetime | None = None


@dataclass(frozen=True)
class Open:
    """What there is to do.

    Attributes:
        due: what nobody has made and nobody makes, by schedule, in the order of the configuration.
        held: what somebody makes, or made when its process died.
        lost: what was begun and will not be made, and why, as a sentence.
        due_at: when a slot that has come already will be due (UTC, naive); None if there is none.
    """

    due: tuple[Run, ...]
    held: tuple[Run, ...]
    lost: tuple[tuple[Run, str], ...]
    due_at: datetime | None


def register(store: Access, schedules: Sequence[ScheduleConfig], now: datetime) -> dict[str, datetime]:
    """Note schedules that were not seen before; each begins with the slot after that.

    Args:
        store: where they are noted.
        schedules: what is configured.
        now: the present (UTC, naive).

    Returns:
        The name of each → when it was first seen (UTC, naive).
    """
    seen = first_seen(store, schedules)
    new = [
        {"schedule": each.name, "cron": each.cron, "time_zone": each.time_zone, "first_seen_at": now}
        for each in schedules
        if each.name not in seen
    ]
    if new:
        store.write({"schedules": pa.Table.from_pylist(new, _SEEN)})
        seen = first_seen(store, schedules)
    return seen


def first_seen(store: Access, schedules: Sequence[ScheduleConfig]) -> dict[str, datetime]:
    """The name of each schedule that was seen with its present times → when it was first (UTC, naive)."""
    rows = store.read(statements.read("schedules")).to_pylist()
    known = {(row["schedule"], row["cron"], row["time_zone"]): row["first_seen_at"] for row in rows}
    keys = {each.name: (each.name, each.cron, each.time_zone) for each in schedules}
    return {name: known[key] for name, key in keys.items() if key in known}


def open_runs(
    store: Access,
    schedules: Sequence[ScheduleConfig],
    seen: Mapping[str, datetime],
    now: datetime,
    *,
    others: Collection[str] = (),
) -> Open:
    """What is to be made now: of each schedule the latest slot, if it is not made yet.

    Args:
        store: what was made.
        schedules: those that are looked at.
        seen: their names → when each was first seen (UTC, naive); others have no slot yet.
        now: the present (UTC, naive).
        others: names of schedules that are configured and not looked at: what they left open is theirs.
    """
    slots = latest_slots(schedules, seen, now)
    known = _known(store, min(slots.values(), default=now))
    promotions = store.read(statements.read("promotions")).to_pylist() if slots else []
    due, held, lost = [], [], []
    wanted = set()
    for schedule in schedules:
        if schedule.name not in slots:
            continue
        for promotion in _promotions(schedule, promotions, slots[schedule.name]):
            key = (schedule.name, slots[schedule.name], promotion)
            wanted.add(key)
            status, run = known.get(key, (RUNNING, Run(*key)))
            if status != RUNNING:
                continue
            if _is_held(run, now):
                held.append(run)
            elif run.attempts < MOST_ATTEMPTS:
                due.append(run)
            else:
                lost.append((run, f"The process that made it ended without a word, {run.attempts} times."))
    for key, (status, run) in known.items():
        if status == RUNNING and key not in wanted and run.schedule not in others and not _is_held(run, now):
            lost.append((run, "The process that made it ended without a word, and its slot is no longer the latest."))
    return Open(tuple(due), tuple(held), tuple(lost), _due_at(schedules, seen, now))


def latest_slots(
    schedules: Sequence[ScheduleConfig], seen: Mapping[str, datetime], now: datetime
) -> dict[str, datetime]:
    """The name of each schedule that had a slot since it was first seen → its latest that is due (UTC, naive)."""
    slots = {each.name: each.slots.latest(now - each.delay) for each in schedules if each.name in seen}
    return {name: slot for name, slot in slots.items() if slot is not None and slot > seen[name]}


def _due_at(schedules: Sequence[ScheduleConfig], seen: Mapping[str, datetime], now: datetime) -> datetime | None:
    """When the next slot that has come already is due."""
    coming = []
    for schedule in (each for each in schedules if each.name in seen):
        slot = schedule.slots.following(max(now - schedule.delay, seen[schedule.name]))
        if slot is not None and slot <= now:
            coming.append(slot + schedule.delay)
    return min(coming, default=None)


def _known(store: Access, since: datetime) -> dict[tuple[str, datetime, str], tuple[str, Run]]:
    """What was begun, since a slot or at all without an end: its key → its status and itself."""
    rows = store.read(statements.read("schedule_runs"), {"since": since}).to_pylist()
    return {(row["schedule"], row["slot"], row["promotion"]): (row.pop("status"), Run(**row)) for row in rows}


def _is_held(run: Run, now: datetime) -> bool:
    return run.lease_until is not None and run.lease_until > now


def _promotions(schedule: ScheduleConfig, rows: Sequence[dict[str, Any]], slot: datetime) -> Iterator[str]:
    """The promotions that a slot is about: those named, else all; of those that are known, the ones that ran then."""
    known = {row["name"]: row for row in rows}
    for name in dict.fromkeys(schedule.promotions) or known:
        row = known.get(name)
        # One that is named and not known is tried, and fails with a sentence that somebody reads.
        if row is None or _ran(row, slot):
            yield name


def _ran(row: dict[str, Any], slot: datetime) -> bool:
    has_ended = row["ended_at"] is not None and row["ended_at"] <= slot
    return bool(row["created_at"] <= slot and row["started_at"] < slot and not has_ended)


def claim(store: Access, run: Run, now: datetime, lease: timedelta) -> Run | None:
    """Take a run for oneself; None if somebody else was faster, or makes another one at present.

    Args:
        store: where claims are; of all who try, one wins.
        run: what is due.
        now: the present (UTC, naive).
        lease: how long nobody else may take it.
    """
    taken = replace(run, holder=secrets.token_hex(8), lease_until=now + lease, attempts=run.attempts + 1)
    row = _row(taken, RUNNING) | {"started_at": now}
    return taken if store.write({"schedule_claims": pa.Table.from_pylist([row], _SCHEMA)})["schedule_claims"] else None


def renew(store: Access, run: Run, until: datetime) -> bool:
    """Hold a run for longer; False if it was taken over meanwhile."""
    return _tell(store, _row(replace(run, lease_until=until), RUNNING))


def release(store: Access, run: Run, now: datetime, *, begun: bool) -> bool:
    """Leave a run to others.

    Args:
        store: where claims are.
        run: what is held.
        now: the present (UTC, naive).
        begun: whether this attempt counts.
    """
    attempts = run.attempts if begun else run.attempts - 1
    return _tell(store, _row(replace(run, lease_until=now, attempts=attempts), RUNNING))


def finish(store: Access, run: Run, now: datetime, report_id: str, overall: str) -> bool:
    """Note that a report was made; False if it was taken over meanwhile.

    Args:
        store: where claims are.
        run: what is held.
        now: the present (UTC, naive).
        report_id: the report's identity.
        overall: its overall verdict.
    """
    return _tell(store, _row(run, DONE) | {"finished_at": now, "report_id": report_id, "overall": overall})


def fail(store: Access, run: Run, now: datetime, sentence: str) -> bool:
    """Note that a report could not be made, and why; False if it was taken over meanwhile."""
    return _tell(store, _row(run, FAILED) | {"finished_at": now, "error": sentence})


def _row(run: Run, status: str) -> dict[str, Any]:
    return {
        "schedule": run.schedule,
        "slot": run.slot,
        "promotion": run.promotion,
        "status": status,
        "attempts": run.attempts,
        "holder": run.holder,
        "lease_until": run.lease_until,
    }


def _tell(store: Access, row: dict[str, Any]) -> bool:
    stored = store.write({"schedule_progress": pa.Table.from_pylist([row], _SCHEMA)})
    return bool(stored["schedule_progress"])
