"""What is announced, once; what is sent, once; what happens when something fails in between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.alerts.outbox import CLAIM, Status, claim, due
from analytics.report.model import Report
from spanverdict.alert_config import AlertConfig
from spanverdict.alert_tasks import LOOK_SECONDS, REST_SECONDS, DeliveryTask, GuardTask, alert_tasks
from spanverdict.alerting import announce, announce_failure, announce_guard
from spanverdict.config import Config
from spanverdict.delivery import GIVE_UP_AFTER, Result, deliver, pause
from spanverdict.guard_config import GuardConfig
from sql.clock import utc_now
from sql.opened_store import OpenedStore
from tests.alert_receivers import Receiver, free_port, http_receiver
from tests.alert_reports import build
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

REGRESSED = {"eu": {"cost": "REGRESSED", "latency_p99": "INCONCLUSIVE"}, "us": {"cost": "INCONCLUSIVE"}}
CALM = {"eu": {"cost": "INCONCLUSIVE", "latency_p99": "INCONCLUSIVE"}, "us": {"cost": "INCONCLUSIVE"}}


def day(number: int) -> datetime:
    """The moment of the report of a day in November."""
    return datetime(2026, 11, number)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenedStore]:
    """An empty store."""
    with store_at(tmp_path / "s.duckdb") as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP receiver."""
    with http_receiver() as running:
        yield running


def hook(name: str = "hook", url: str = "http://127.0.0.1:1/x", **more: Any) -> AlertConfig:
    """A webhook's channel."""
    return AlertConfig(name=name, kind="webhook", url=url, **more)


def config(*channels: AlertConfig, guard: tuple[GuardConfig, ...] = ()) -> Config:
    """A configuration with these channels."""
    return Config.model_construct(alerts=channels, guard=guard)


def events(store: OpenedStore) -> list[str]:
    """The kinds of what was recorded."""
    kinds: list[str] = store.read("SELECT change FROM alert_events ORDER BY recorded_at, change")["change"].to_pylist()
    return kinds


def deliveries(store: OpenedStore) -> list[dict[str, Any]]:
    """The outbox."""
    rows: list[dict[str, Any]] = store.read(
        "SELECT channel, purpose, status, attempts, last_error FROM alert_deliveries ORDER BY created_at, channel"
    ).to_pylist()
    return rows


def served(store: OpenedStore, configured: Config, at: datetime | None = None) -> list[Result]:
    """Send what is due."""
    return asyncio.run(deliver(store, configured, utc_now if at is None else lambda: at))


def told(store: OpenedStore, configured: Config, report: Report, report_id: str) -> int:
    """Announce."""
    return announce(store, configured, report, report_id)


def test_the_same_report_adds_nothing(store: OpenedStore) -> None:
    """Announced again, also after others, it is no news."""
    both = config(hook("a"), hook("b"))
    first, second = build(REGRESSED, as_of=day(10)), build(CALM, as_of=day(11))
    assert told(store, both, first, "r1") == 2
    assert told(store, both, first, "r1") == 0
    assert told(store, both, second, "r2") == 2
    assert told(store, both, second, "r2") == 0
    assert told(store, both, first, "r1") == 0
    assert events(store) == ["decision", "regressed", "decision", "resolved"]
    assert [row["channel"] for row in deliveries(store)] == ["a", "b", "a", "b"]


def test_an_older_report_is_no_news(store: OpenedStore) -> None:
    """Whoever makes a report of last week does not wake anybody."""
    told(store, config(hook()), build(CALM, as_of=day(11)), "r1")
    assert told(store, config(hook()), build(REGRESSED, as_of=day(10)), "r2") == 0
    assert told(store, config(hook()), build(REGRESSED, as_of=day(12)), "r3") == 2


def test_a_promotion_is_known_by_itself(store: OpenedStore) -> None:
    """What is known of one says nothing of another."""
    assert told(store, config(hook()), build(REGRESSED), "r1") == 2
    assert told(store, config(hook()), build(REGRESSED, promotion="other"), "r2") == 2


def test_two_that_announce_at_once_add_one(store: OpenedStore) -> None:
    """Eight threads, one report; then eight reports of one moment with the same change: the change is told once."""

    def together(*reports: tuple[Report, str]) -> int:
        counts: list[int] = []
        barrier = threading.Barrier(len(reports))

        def run(report: Report, report_id: str) -> None:
            barrier.wait()
            counts.append(told(store, config(hook()), report, report_id))

        threads = [threading.Thread(target=run, args=each) for each in reports]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(counts) == len(reports)
        return sum(counts)

    assert together(*[(build(REGRESSED, as_of=day(10)), "r1")] * 8) == 2
    assert together(*[(build(CALM, as_of=day(11)), f"c{number}") for number in range(8)]) == 2
    assert len(events(store)) == 4
    assert len(deliveries(store)) == 2


def test_channels_get_what_they_want(store: OpenedStore) -> None:
    """By promotion, cohort, metric and kind of change; what changed is recorded in any case."""
    filters: list[dict[str, Any]] = [
        {}, {"on": ("decision",)}, {"on": ("improved",)}, {"promotions": ("other",)}, {"cohorts": ("us",)},
        {"cohorts": ("eu",)}, {"metrics": ("latency_p99",), "on": ("regressed",)},
    ]  # fmt: skip
    channels = config(*(hook(f"c{number}", **each) for number, each in enumerate(filters)))
    assert told(store, channels, build(REGRESSED), "r1") == 2
    assert [row["channel"] for row in deliveries(store)] == ["c0", "c1", "c5"]


def test_verdicts_go_to_opentelemetry_with_each_report(store: OpenedStore) -> None:
    """Who keeps time series has to see that nothing changed, too; people do not."""
    both = config(AlertConfig(name="o", kind="opentelemetry", url="http://127.0.0.1:1"), hook("w"))
    for number in (10, 11):
        told(store, both, build(CALM, as_of=day(number)), f"r{number}")
    assert [row["channel"] for row in deliveries(store)] == ["o", "o"]


def test_a_failed_run_is_told_once(store: OpenedStore) -> None:
    """Until a run succeeds: then the next failure is news again."""

    def fail(schedule: str = "nightly", promotion: str | None = "refunds-v2") -> int:
        return announce_failure(
            store, config(hook()), schedule=schedule, promotion=promotion, sentence="The disk is \x1b[31mfull."
        )

    assert [fail(), fail(), fail(schedule="hourly"), fail(promotion=None), fail(promotion=None)] == [1, 0, 1, 1, 0]
    told(store, config(hook()), build(CALM), "r1")
    assert [fail(), fail(promotion=None)] == [1, 1]
    sentences = store.read("SELECT DISTINCT sentence FROM alert_events ORDER BY ALL")["sentence"].to_pylist()
    assert sentences[0] == "The run by nightly failed: The disk is \\x1b[31mfull."
    assert events(store) == ["failed_run"] * 5


def test_a_message_is_sent_once(store: OpenedStore, receiver: Receiver) -> None:
    """And written down as sent."""
    channel = config(hook(url=receiver.url))
    told(store, channel, build(REGRESSED), "r1")
    assert [result.status for result in served(store, channel)] == [Status.SENT]
    assert served(store, channel) == []
    assert len(receiver.received) == 1


def test_a_receiver_that_fails_gets_it_later_under_the_same_identity(store: OpenedStore, receiver: Receiver) -> None:
    """500, then a Retry-After, then 200: three requests, one identity, the pauses that were asked for."""
    receiver.answers = [500, (429, {"Retry-After": "600"})]
    channel = config(hook(url=receiver.url))
    told(store, channel, build(REGRESSED), "r1")
    now = utc_now()
    assert served(store, channel, now)[0].status is Status.PENDING
    assert served(store, channel, now + timedelta(seconds=1)) == []
    later = now + timedelta(seconds=11)
    assert served(store, channel, later)[0].status is Status.PENDING
    assert served(store, channel, later + timedelta(seconds=599)) == []
    assert served(store, channel, later + timedelta(seconds=601))[0].status is Status.SENT
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    assert len(receiver.received) == 3
    assert deliveries(store)[0]["attempts"] == 3


def test_what_cannot_arrive_is_given_up(store: OpenedStore, receiver: Receiver) -> None:
    """A refusal at once, a receiver that is down after a day; a channel that is gone is dropped."""
    receiver.answers = [403]
    channels = config(hook("refuses", receiver.url), hook("down", f"http://127.0.0.1:{free_port()}"), hook("gone"))
    told(store, channels, build(REGRESSED), "r1")
    still = config(*channels.alerts[:2])
    now = utc_now()
    assert {r.delivery.channel: r.status.value for r in served(store, still, now)} == {
        "refuses": "failed", "down": "pending", "gone": "dropped",
    }  # fmt: skip
    assert [r.status for r in served(store, still, now + GIVE_UP_AFTER)] == [Status.FAILED]
    assert [(row["channel"], row["status"]) for row in deliveries(store)] == [
        ("down", "failed"), ("gone", "dropped"), ("refuses", "failed"),
    ]  # fmt: skip


def test_messages_wait_behind_one_that_waits(store: OpenedStore, receiver: Receiver) -> None:
    """A channel that asks for a pause is not asked again for the next message."""
    receiver.answers = [(429, {"Retry-After": "60"})]
    channel = config(hook(url=receiver.url))
    told(store, channel, build(REGRESSED, as_of=day(10)), "r1")
    told(store, channel, build(CALM, as_of=day(11)), "r2")
    assert [result.status for result in served(store, channel)] == [Status.PENDING] * 2
    assert len(receiver.received) == 1


def test_a_stop_lets_what_is_under_way_arrive(store: OpenedStore, receiver: Receiver) -> None:
    """It is sent and written down, once; what was not begun waits for the next, as if nobody had tried."""
    channels = config(hook(url=receiver.url))
    told(store, channels, build(REGRESSED, as_of=day(10)), "r1")
    told(store, channels, build(CALM, as_of=day(11)), "r2")
    sent = asyncio.run(deliver(store, channels, is_stopping=lambda: bool(receiver.received)))
    assert [result.status for result in sent] == [Status.SENT]
    assert [(row["status"], row["attempts"]) for row in deliveries(store)] == [("sent", 1), ("pending", 0)]


def test_two_that_deliver_at_once_send_one(store: OpenedStore, receiver: Receiver) -> None:
    """Four deliverers, twelve messages: each arrives once."""
    channels = config(*(hook(f"c{number}", receiver.url) for number in range(12)))
    told(store, channels, build(REGRESSED), "r1")
    threads = [threading.Thread(target=served, args=(store, channels)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert len(ids) == len(set(ids)) == 12
    assert {row["status"] for row in deliveries(store)} == {"sent"}


def test_a_crash_between_claim_and_mark_sends_again_later(store: OpenedStore, receiver: Receiver) -> None:
    """While the claim of the process that died holds, nobody sends; after that it goes out under its identity."""
    channel = config(hook(url=receiver.url))
    told(store, channel, build(REGRESSED), "r1")
    now = utc_now()
    (waiting,) = due(store, now)
    assert claim(store, waiting, now) is not None
    assert claim(store, waiting, now) is None
    assert served(store, channel, now + CLAIM / 2) == []
    assert served(store, channel, now + CLAIM)[0].status is Status.SENT
    assert receiver.received[0].headers["webhook-id"] == waiting


def test_a_dry_channel_sends_nothing(store: OpenedStore, receiver: Receiver) -> None:
    """Its messages are kept to be looked at."""
    channel = config(hook(url=receiver.url, dry_run=True))
    assert told(store, channel, build(REGRESSED), "r1") == 2
    assert served(store, channel) == []
    assert receiver.received == []
    assert deliveries(store)[0]["status"] == "dry_run"


def test_a_guard_calls_once_for_each_cohort(store: OpenedStore, receiver: Receiver) -> None:
    """However often it looks; alerts tell of it as well, in one message."""
    guard = GuardConfig(promotion="refunds-v2", metrics=("cost",), url=f"{receiver.url}/roll-back")
    both = config(hook(url=f"{receiver.url}/alert"), guard=(guard,))
    everywhere = {"eu": {"cost": "REGRESSED"}, "us": {"cost": "REGRESSED"}}
    assert announce_guard(store, both, guard, build(REGRESSED, as_of=day(10)), "r1") == 1
    assert announce_guard(store, both, guard, build(REGRESSED, as_of=day(11)), "r2") == 0
    assert announce_guard(store, both, guard, build(everywhere, as_of=day(12)), "r3") == 1
    served(store, both)
    assert sorted(request.path for request in receiver.received) == ["/alert"] * 2 + ["/roll-back"] * 2
    assert [row["purpose"] for row in deliveries(store)].count("roll_back") == 2


def test_a_guard_on_trial_tells_nobody_and_fires_when_it_is_real(store: OpenedStore, receiver: Receiver) -> None:
    """What it found on trial is kept to be looked at, and is not taken for told."""
    guard = GuardConfig(promotion="refunds-v2", url=receiver.url, dry_run=True)
    channels = config(hook(url=receiver.url), guard=(guard,))
    assert [announce_guard(store, channels, guard, build(REGRESSED), report_id) for report_id in ("r1", "r2")] == [1, 0]
    assert [row["status"] for row in deliveries(store)] == ["dry_run"] * 2
    real = guard.model_copy(update={"dry_run": False})
    assert announce_guard(store, config(guard=(real,)), real, build(REGRESSED), "r3") == 1
    served(store, config(guard=(real,)))
    assert len(receiver.received) == 1


def test_pauses_grow_and_vary() -> None:
    """They double up to half an hour, and are never shorter than was asked for."""
    for attempts, longest in [(1, 10), (2, 20), (5, 160), (9, 1800), (500, 1800)]:
        pauses = [pause(attempts, None).total_seconds() for _ in range(50)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest
    assert pause(1, 3_600.0) == timedelta(hours=1)


def test_the_server_sends_when_something_waits(store: OpenedStore) -> None:
    """It looks every few seconds, and rests after a failure."""
    seconds = [100.0]
    task = DeliveryTask(store, clock=lambda: seconds[0])
    assert task.due(utc_now()) is None
    told(store, config(hook()), build(REGRESSED), "r1")
    assert task.due(utc_now()) is None
    seconds[0] += LOOK_SECONDS
    assert task.due(utc_now()) == ("alerts", "deliver", "--quiet")
    task.ended(1)
    assert task.due(utc_now()) is None
    seconds[0] += LOOK_SECONDS
    assert task.due(utc_now()) is not None
    task.ended(4)
    seconds[0] += REST_SECONDS - 1
    assert task.due(utc_now()) is None
    seconds[0] += 1
    assert task.due(utc_now()) is not None


def test_the_server_guards_promotions_that_are_under_way(promoted: Path, cli: Callable[..., Any]) -> None:
    """At once after a start, then in its rhythm, until the promotion ends."""
    seconds = [100.0]
    guard = GuardConfig(promotion="p", every_seconds=300)
    wanted = ("guard", "check", "--promotion", "p", "--quiet")
    with store_at(promoted) as store:
        task = GuardTask(guard, store, clock=lambda: seconds[0])
        assert task.due(datetime(2026, 11, 1)) is None
        seconds[0] += 300
        assert task.due(datetime(2026, 11, 3)) == wanted
        task.ended(0)
        assert task.due(datetime(2026, 11, 3)) is None
        seconds[0] += 300
        assert task.due(datetime(2026, 11, 3)) == wanted
    assert cli("promotion", "end", "p", "--at", "2026-11-05T00:00Z").exit_code == 0
    with store_at(promoted) as store:
        task = GuardTask(guard, store)
        assert task.due(datetime(2026, 11, 4)) == wanted
        assert GuardTask(guard, store).due(datetime(2026, 11, 6)) is None


def test_tasks_are_those_that_are_configured(store: OpenedStore) -> None:
    """Without channels and guards there is nothing to look for."""
    calling = GuardConfig(promotion="p", url="http://127.0.0.1:1")
    assert alert_tasks(config(), store) == []
    assert len(alert_tasks(config(hook()), store)) == 1
    assert len(alert_tasks(config(guard=(GuardConfig(promotion="p"),)), store)) == 1
    assert len(alert_tasks(config(guard=(calling,)), store)) == 2
