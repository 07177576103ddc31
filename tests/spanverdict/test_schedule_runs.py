"""What is due, and who makes it: one of all who try, again only where its process died."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.promotions import Promotion, end_row, promotion_row
from spanverdict import schedule_runs
from spanverdict.schedule_config import ScheduleConfig
from spanverdict.schedule_runs import MOST_ATTEMPTS, Open, Run, claim
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

LEASE = timedelta(minutes=2)
MINUTE = timedelta(minutes=1)
BEGAN = datetime(2026, 11, 2)
FIRST, SIX = datetime(2026, 11, 5, 12), datetime(2026, 11, 6, 6)
DAILY = ScheduleConfig(name="daily", cron="0 6 * * *", delay_seconds=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenedStore]:
    """A store with the promotion p, on which the daily schedule was seen first the day before."""
    with store_at(tmp_path / "s.duckdb") as opened:
        opened.write({"promotions": promotion_row(promotion("p"), BEGAN)})
        schedule_runs.register(opened, [DAILY], FIRST)
        yield opened


def promotion(name: str, at: datetime = BEGAN) -> Promotion:
    """A promotion of m1 beside m0."""
    return Promotion(name, "m0", "m1", "concurrent", at, None, "app.cohort", None)


def look(store: OpenedStore, schedules: Sequence[ScheduleConfig], now: datetime, **more: Any) -> Open:
    """What there is to do, once the schedules are known."""
    return schedule_runs.open_runs(store, schedules, schedule_runs.register(store, schedules, now), now, **more)


def due(store: OpenedStore, now: datetime, *schedules: ScheduleConfig) -> list[tuple[str, datetime, str]]:
    """What is due: schedule, slot, promotion."""
    found = look(store, schedules or (DAILY,), now)
    return [(run.schedule, run.slot, run.promotion) for run in found.due]


def take(store: OpenedStore, now: datetime) -> Run:
    """Claim the first that is due."""
    taken = claim(store, look(store, [DAILY], now).due[0], now, LEASE)
    assert taken
    return taken


def test_a_schedule_begins_with_the_slot_after_it_was_seen(store: OpenedStore) -> None:
    """What lies before is not made up for, whoever asks first, and when a schedule gets other times it begins anew."""
    assert due(store, SIX - MINUTE) == []
    assert due(store, SIX) == [("daily", SIX, "p")]
    changed = DAILY.model_copy(update={"cron": "0 5 * * *"})
    assert due(store, SIX, changed) == []
    assert due(store, SIX + timedelta(hours=23), changed) == [("daily", datetime(2026, 11, 7, 5), "p")]
    assert due(store, SIX, DAILY.model_copy(update={"time_zone": "Europe/Berlin"})) == []


def test_after_downtime_the_latest_slot_is_due_alone(store: OpenedStore) -> None:
    """A week without anybody who looks leaves one report to make, that of the last morning."""
    assert due(store, SIX + timedelta(days=7, hours=3)) == [("daily", SIX + timedelta(days=7), "p")]


@pytest.mark.parametrize("end", ["finish", "fail"])
def test_what_is_made_or_has_failed_is_due_no_more(store: OpenedStore, end: str) -> None:
    """A slot is made once; the next one is due in its own time."""
    run = take(store, SIX)
    told = {"finish": lambda: schedule_runs.finish(store, run, SIX, "r" * 32, "INVALID"),
            "fail": lambda: schedule_runs.fail(store, run, SIX, "It failed.")}[end]  # fmt: skip
    assert told()
    assert due(store, SIX + timedelta(hours=23)) == []
    assert due(store, SIX + timedelta(days=1)) == [("daily", SIX + timedelta(days=1), "p")]
    assert not told(), "what is ended stays as it is"
    (row,) = store.read("FROM schedule_runs").to_pylist()
    assert (row["status"], row["error"]) == {"finish": ("done", None), "fail": ("failed", "It failed.")}[end]


def test_every_promotion_that_runs_is_reported_on(store: OpenedStore) -> None:
    """Without names a slot is about the promotions that were registered, had begun and had not ended at its time."""
    for name, at, registered in (
        ("begins-later", SIX + MINUTE, BEGAN),
        ("registered-later", BEGAN, SIX + MINUTE),
        ("ended", BEGAN, BEGAN),
        ("ends-later", BEGAN, BEGAN),
    ):
        store.write({"promotions": promotion_row(promotion(name, at), registered)})
    store.write({"promotion_ends": end_row("ended", SIX - MINUTE)})
    store.write({"promotion_ends": end_row("ends-later", SIX + MINUTE)})
    later = SIX + timedelta(hours=5)
    assert [name for _, _, name in due(store, later)] == ["ends-later", "p"]
    named = DAILY.model_copy(update={"promotions": ("p", "unknown", "ended", "p")})
    assert [name for _, _, name in due(store, later, named)] == ["p", "unknown"], "an unknown one is to fail loudly"


@pytest.mark.any_store
def test_one_of_all_who_try_makes_it(store: OpenedStore) -> None:
    """Of two who found the same thing due, the second gets nothing; nor does one who wants something else meanwhile."""
    store.write({"promotions": promotion_row(promotion("q"), BEGAN)})
    p, q = look(store, [DAILY], SIX).due
    first = claim(store, p, SIX, LEASE)
    assert first
    assert claim(store, p, SIX, LEASE) is None
    assert claim(store, q, SIX, LEASE) is None, "never two at a time"
    assert due(store, SIX) == [("daily", SIX, "q")], "what somebody makes is not due"
    assert schedule_runs.finish(store, first, SIX, "r" * 32, "INVALID")
    assert claim(store, q, SIX, LEASE)
    assert claim(store, p, SIX + timedelta(hours=1), LEASE) is None, "what is done is not begun again"


def test_a_claim_whose_process_died_is_taken_over(store: OpenedStore) -> None:
    """Its lease runs out; who took it over holds it, and the one who lost it changes nothing any more."""
    lost = take(store, SIX)
    assert schedule_runs.renew(store, lost, SIX + 3 * MINUTE)
    assert due(store, SIX + 2 * MINUTE) == [], "a lease that was renewed holds"
    taken = take(store, SIX + 3 * MINUTE)
    assert taken.attempts == 2
    assert not schedule_runs.renew(store, lost, SIX + timedelta(hours=1))
    assert not schedule_runs.finish(store, lost, SIX + 4 * MINUTE, "r" * 32, "INVALID")
    assert schedule_runs.finish(store, taken, SIX + 4 * MINUTE, "s" * 32, "INVALID")
    assert store.read("SELECT report_id, attempts FROM schedule_runs").to_pylist() == [
        {"report_id": "s" * 32, "attempts": 2}
    ]


def test_what_ends_its_process_is_not_tried_for_ever(store: OpenedStore) -> None:
    """After some attempts that ended without a word it is lost, with a sentence."""
    now = SIX
    for _ in range(MOST_ATTEMPTS):
        take(store, now)
        now += LEASE
    found = look(store, [DAILY], now)
    assert found.due == ()
    ((run, sentence),) = found.lost
    assert sentence == "The process that made it ended without a word, 3 times."
    assert schedule_runs.fail(store, run, now, sentence)
    assert look(store, [DAILY], now).lost == ()


def test_what_was_stopped_does_not_count_as_an_attempt(store: OpenedStore) -> None:
    """A claim that is given back can be taken at once, by anybody, any number of times."""
    for _ in range(MOST_ATTEMPTS + 2):
        assert schedule_runs.release(store, take(store, SIX), SIX, begun=False)
    assert take(store, SIX).attempts == 1


def test_a_slot_that_was_left_behind_is_told_as_lost(store: OpenedStore) -> None:
    """A run that died and whose slot is not the latest any more is not made, and not silently forgotten."""
    take(store, SIX)
    found = look(store, [DAILY], SIX + timedelta(days=1))
    assert [run.slot for run in found.due] == [SIX + timedelta(days=1)]
    assert [(run.slot, sentence) for run, sentence in found.lost] == [
        (SIX, "The process that made it ended without a word, and its slot is no longer the latest.")
    ]


def test_a_slot_is_due_after_its_delay(store: OpenedStore) -> None:
    """What was under way at a slot gets time to arrive; who asks meanwhile is told how long."""
    late = DAILY.model_copy(update={"delay_seconds": 60.0})
    before, meanwhile, after = (look(store, [late], SIX + wait) for wait in (-MINUTE, MINUTE / 2, MINUTE))
    assert (before.due, before.due_at) == ((), None)
    assert (meanwhile.due, meanwhile.due_at) == ((), SIX + MINUTE)
    assert ([run.slot for run in after.due], after.due_at) == ([SIX], None)
    fresh = late.model_copy(update={"name": "fresh"})
    assert look(store, [fresh], SIX + MINUTE / 2).due_at is None, "a slot before it was seen is not waited for"


def test_what_another_schedule_left_open_is_its_own(store: OpenedStore) -> None:
    """Whoever looks at one schedule alone tells no run of another for lost, unless that is configured no more."""
    run = take(store, SIX)
    hourly = DAILY.model_copy(update={"name": "hourly", "cron": "0 * * * *"})
    schedule_runs.register(store, [hourly], FIRST)
    later = SIX + 10 * MINUTE
    found = look(store, [hourly], later, others={"daily"})
    assert ([each.schedule for each in found.due], found.lost) == (["hourly"], ())
    assert [lost for lost, _ in look(store, [hourly], later).lost] == [run]
    assert look(store, [hourly], SIX + MINUTE).lost == (), "its lease holds"


def test_the_first_to_see_a_schedule_decides(store: OpenedStore) -> None:
    """Of two processes that see a new schedule, the later one learns when the first did."""
    hourly = DAILY.model_copy(update={"name": "hourly", "cron": "0 * * * *"})
    seen: Callable[[datetime], datetime] = lambda now: schedule_runs.register(store, [hourly], now)["hourly"]  # noqa: E731
    assert seen(FIRST) == FIRST
    assert seen(SIX) == FIRST
