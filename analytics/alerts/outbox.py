"""Alerts in the store: what is known, what was announced, what is to be sent.

An announcement is written whole or not at all, and only if nothing was announced on its stream since the state was
read. A delivery is claimed before it is sent, so two processes that deliver at once do not send it twice; one whose
process died is sent again when its claim has run out.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import pyarrow as pa

from analytics.alerts.changes import Known, State, States
from analytics.alerts.events import Event
from analytics.alerts.message import Message
from sql import statements
from sql.access import Access

CLAIM = timedelta(minutes=3)
"""How long a process may take to send what it claimed, twice the longest timeout and more; then another may."""

_MOMENT = pa.timestamp("us")
_STATE = pa.struct({"subject": pa.string(), "metric": pa.string(), "value": pa.string(), "is_open": pa.bool_()})
_EVENT = pa.struct(
    {name: pa.string() for name in ("event_id", "change", "promotion", "cohort", "metric", "before", "after")}
    | {"sentence": pa.string(), "facts": pa.string()}
)
_DELIVERY = pa.struct(
    {name: pa.string() for name in ("delivery_id", "purpose", "channel", "message", "status")} | {"ended_at": _MOMENT}
)
_ANNOUNCEMENT = pa.schema(
    {
        "announcement_id": pa.string(),
        "stream": pa.string(),
        "after_number": pa.int64(),
        "report_id": pa.string(),
        "as_of": _MOMENT,
        "announced_at": _MOMENT,
        "states": pa.list_(_STATE),
        "events": pa.list_(_EVENT),
        "deliveries": pa.list_(_DELIVERY),
    }
)
_CLAIMS = pa.schema({"delivery_id": pa.string(), "claim": pa.string(), "claimed_at": _MOMENT, "claimed_until": _MOMENT})
_OUTCOMES = pa.schema(
    {
        "delivery_id": pa.string(),
        "claim": pa.string(),
        "status": pa.string(),
        "next_attempt_at": _MOMENT,
        "last_error": pa.string(),
        "ended_at": _MOMENT,
    }
)


class Purpose(StrEnum):
    """What a delivery is for."""

    ALERT = "alert"
    ROLL_BACK = "roll_back"


class Status(StrEnum):
    """How far a delivery has come."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    DROPPED = "dropped"
    DRY_RUN = "dry_run"


@dataclass(frozen=True)
class Addressed:
    """A message and where it goes.

    Attributes:
        purpose: what it is for.
        channel: the channel's name, for a roll-back the guarded promotion's.
        message: what is told.
        dry_run: whether it is only to be looked at.
    """

    purpose: Purpose
    channel: str
    message: Message
    dry_run: bool = False


@dataclass(frozen=True)
class Announcement:
    """What is to be written of one report, failed run or guard's finding.

    Attributes:
        stream: what it continues.
        known: what was known when it was made.
        report_id: the report it rests on; None without one.
        as_of: the moment it speaks of (UTC, naive).
        now: the present (UTC, naive).
        states: what is known after it.
        events: what changed.
        addressed: the messages that tell of it.
    """

    stream: str
    known: Known
    report_id: str | None
    as_of: datetime
    now: datetime
    states: States
    events: Sequence[Event]
    addressed: Sequence[Addressed]


@dataclass(frozen=True)
class Delivery:
    """A message to be sent.

    Attributes:
        delivery_id: its identity, the same at every attempt.
        purpose: what it is for.
        channel: where it goes.
        message: what is told.
        attempts: how often it was tried, with the attempt that was claimed.
        created_at: since when it waits (UTC, naive).
        claim: whose it is now; None if nobody's.
    """

    delivery_id: str
    purpose: Purpose
    channel: str
    message: Message
    attempts: int
    created_at: datetime
    claim: str | None


def read_known(store: Access, stream: str, report_id: str | None) -> Known:
    """What a stream knows.

    Args:
        store: where alerts are.
        stream: such as ``reports/refunds-v2``.
        report_id: the report at hand.
    """
    # The number first: what is written between the two reads then counts as "since".
    told = store.read(statements.read("alert_known"), {"stream": stream, "report_id": report_id}).to_pylist()[0]
    rows = store.read(statements.read("alert_states"), {"stream": stream}).to_pylist()
    states = {(row["subject"], row["metric"]): State(row["value"], row["is_open"]) for row in rows}
    return Known(told["number"], told["as_of"], states, told["is_announced"])


def write_announcement(store: Access, made: Announcement) -> bool:
    """Write an announcement; returns whether it was, or was overtaken by another on its stream."""
    announcement_id = uuid.uuid4().hex
    row = {
        "announcement_id": announcement_id,
        "stream": made.stream,
        "after_number": made.known.number,
        "report_id": made.report_id,
        "as_of": made.as_of,
        "announced_at": made.now,
        "states": [
            {"subject": subject, "metric": metric, "value": state.value, "is_open": state.is_open}
            for (subject, metric), state in made.states.items()
        ],
        "events": [_event(event, made.report_id) for event in made.events],
        "deliveries": [
            _delivery(number, each, announcement_id, made.now) for number, each in enumerate(made.addressed)
        ],
    }
    return store.write({"alert_announcements": pa.Table.from_pylist([row], _ANNOUNCEMENT)})["alert_announcements"] > 0


def _event(event: Event, report_id: str | None) -> dict[str, Any]:
    return {
        "event_id": event.identity(report_id),
        "change": event.change.value,
        "promotion": event.promotion,
        "cohort": event.cohort,
        "metric": event.metric,
        "before": event.before,
        "after": event.after,
        "sentence": event.sentence,
        "facts": json.dumps(event.facts, allow_nan=False),
    }


def _delivery(number: int, addressed: Addressed, announcement_id: str, now: datetime) -> dict[str, Any]:
    known = f"{announcement_id}/{number}/{addressed.purpose.value}/{addressed.channel}"
    return {
        "delivery_id": f"msg_{hashlib.sha256(known.encode()).hexdigest()[:32]}",
        "purpose": addressed.purpose.value,
        "channel": addressed.channel,
        "message": json.dumps(addressed.message.to_dict(), allow_nan=False),
        "status": (Status.DRY_RUN if addressed.dry_run else Status.PENDING).value,
        "ended_at": now if addressed.dry_run else None,
    }


def due(store: Access, now: datetime) -> list[str]:
    """The identities of the deliveries that are to be sent now, the oldest first."""
    ids: list[str] = store.read(statements.read("alert_due"), {"now": now})["delivery_id"].to_pylist()
    return ids


def dry_runs(store: Access, most: int) -> list[str]:
    """The identities of the newest deliveries that are only to be looked at."""
    ids: list[str] = store.read(statements.read("alert_dry_run"), {"most": most})["delivery_id"].to_pylist()
    return ids


def messages(store: Access, ids: Sequence[str]) -> list[Delivery]:
    """Deliveries by their identities, the oldest first."""
    rows = store.read(statements.read("alert_messages"), {"deliveries": list(ids)}).to_pylist()
    return [
        Delivery(
            delivery_id=row["delivery_id"],
            purpose=Purpose(row["purpose"]),
            channel=row["channel"],
            message=Message.from_dict(json.loads(row["message"])),
            attempts=row["attempts"],
            created_at=row["created_at"],
            claim=row["claim"],
        )
        for row in rows
    ]


def claim(store: Access, delivery_id: str, now: datetime) -> Delivery | None:
    """Take a delivery for this process alone, counted as tried once more; None if another process has taken it."""
    own = uuid.uuid4().hex
    row = {"delivery_id": delivery_id, "claim": own, "claimed_at": now, "claimed_until": now + CLAIM}
    store.write({"alert_claims": pa.Table.from_pylist([row], _CLAIMS)})
    return next((delivery for delivery in messages(store, [delivery_id]) if delivery.claim == own), None)


def finish(
    store: Access,
    delivery: Delivery,
    status: Status,
    *,
    now: datetime,
    error: str | None = None,
    next_attempt_at: datetime | None = None,
) -> None:
    """Write down how an attempt went.

    Args:
        store: where alerts are.
        delivery: one that this process has claimed.
        status: what it is from now on; ``PENDING`` to try again.
        now: the present (UTC, naive).
        error: what went wrong, one sentence without secrets; None if nothing did.
        next_attempt_at: when to try again (UTC, naive).
    """
    row: Mapping[str, Any] = {
        "delivery_id": delivery.delivery_id,
        "claim": delivery.claim,
        "status": status.value,
        "next_attempt_at": next_attempt_at,
        "last_error": error,
        "ended_at": None if status is Status.PENDING else now,
    }
    store.write({"alert_outcomes": pa.Table.from_pylist([row], _OUTCOMES)})
