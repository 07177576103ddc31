"""When the server has scheduled reports made, and how it runs what it has done beside itself."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from analytics.promotions import Promotion, promotion_row
from spanverdict import child, schedule_runs
from spanverdict.background import Background
from spanverdict.config import Config
from spanverdict.schedule_config import ScheduleConfig
from spanverdict.schedule_task import AGAIN_AFTER, ScheduledReports
from sql.errors import StoreError
from sql.opened_store import OpenedStore
from tests.processes import PRODUCT_PATH
from tests.stores import address_of, missing_at, store_at

pytestmark = pytest.mark.any_store(slow=True)

NOON, MINUTE = datetime(2026, 11, 5, 12), timedelta(minutes=1)
FREE_PORTS = [f"--{name}=127.0.0.1:0" for name in ("grpc", "http", "sql", "monitoring")]
COMMAND = ("report", "--scheduled", "--no-wait")
BEGAN = datetime(2026, 11, 2)
DAILY = ScheduleConfig(name="daily", cron="0 6 * * *", delay_seconds=0)


@pytest.fixture(autouse=True)
def _this_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands in processes of their own be those that are tested, wherever they run."""
    monkeypatch.setenv("PYTHONPATH", PRODUCT_PATH)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenedStore]:
    """A store with the promotion p."""
    with store_at(tmp_path / "s.duckdb") as opened:
        promotion = Promotion("p", "m0", "m1", "concurrent", BEGAN, None, "app.cohort", None)
        opened.write({"promotions": promotion_row(promotion, BEGAN)})
        yield opened


def scheduled(store: OpenedStore, *schedules: ScheduleConfig, since: datetime) -> ScheduledReports:
    """The task of a server; its schedules were first seen then."""
    schedule_runs.register(store, schedules, since)
    return ScheduledReports(Config(schedule=schedules), store)


def failures(store: OpenedStore) -> list[str]:
    """What alerts say of runs that failed."""
    return store.read("SELECT sentence FROM alert_events WHERE change = 'failed_run'").column(0).to_pylist()


def test_a_server_looks_at_its_start_and_at_each_slot(store: OpenedStore) -> None:
    """What was missed is made at once; then nothing is run before a slot and its delay are over."""
    hourly = ScheduleConfig(name="hourly", cron="0 * * * *", promotions=("p",), delay_seconds=90)
    half = ScheduleConfig(name="half", cron="30 * * * *", promotions=("p",), delay_seconds=0)
    task = scheduled(store, hourly, half, since=NOON + timedelta(days=1))
    assert task.due(NOON) == COMMAND
    task.ended(0)
    assert task.due(NOON + MINUTE) is None, "noon's slot is due after a minute and a half"
    assert task.due(NOON + 1.5 * MINUTE) == COMMAND
    task.ended(1)
    assert task.due(NOON + 29 * MINUTE) is None
    assert task.due(NOON + 45 * MINUTE) == COMMAND, "a look that comes late is a look"
    task.ended(2)
    assert task.due(NOON + 61 * MINUTE) is None
    assert task.due(NOON + 61.5 * MINUTE) == COMMAND
    assert failures(store) == []


@pytest.mark.parametrize("status", [4, 2, -signal.SIGKILL])
def test_what_a_command_left_over_is_told_and_tried_again(store: OpenedStore, status: int) -> None:
    """A store that was away, a broken configuration, a process that was killed: an alert, and a minute's pause."""
    task = scheduled(store, DAILY, since=NOON - timedelta(days=2))
    assert task.due(NOON) == COMMAND
    task.ended(status)
    ended = NOON + 10 * MINUTE
    assert task.due(ended) is None, "the pause begins when the command has ended"
    assert task.due(ended + AGAIN_AFTER / 2) is None
    assert task.due(ended + AGAIN_AFTER) == COMMAND
    task.ended(status)
    (said,) = failures(store)
    assert f"ended with status {status} and without the report on p of 2026-11-05 06:00 UTC" in said


def test_what_a_dead_command_still_holds_is_looked_at_again(store: OpenedStore) -> None:
    """A claim whose process died is nobody's to make yet, but is not forgotten until the next slot."""
    task = scheduled(store, DAILY, since=NOON - timedelta(days=2))
    seen = schedule_runs.first_seen(store, [DAILY])
    (due,) = schedule_runs.open_runs(store, [DAILY], seen, NOON).due
    run = schedule_runs.claim(store, due, NOON, 2 * MINUTE)
    assert run
    assert task.due(NOON) == COMMAND
    task.ended(0)
    assert task.due(NOON) is None
    assert task.due(NOON + AGAIN_AFTER) == COMMAND
    assert schedule_runs.finish(store, run, NOON, "r" * 32, "INVALID")
    task.ended(0)
    assert task.due(NOON + timedelta(hours=17)) is None
    assert task.due(NOON + timedelta(hours=18)) == COMMAND
    assert failures(store) == []


def test_a_store_that_cannot_be_read_is_asked_again(store: OpenedStore) -> None:
    """Where nothing is known of what is left, the command is run again after a pause."""
    task = scheduled(store, DAILY, since=NOON - timedelta(days=2))
    assert task.due(NOON) == COMMAND
    store.close()
    with pytest.raises(StoreError):
        task.ended(0)
    assert task.due(NOON + MINUTE) is None
    assert task.due(NOON + 2 * MINUTE) == COMMAND


class Once:
    """A task that is due once, with real commands."""

    def __init__(self, arguments: Sequence[str], order: list[int]) -> None:
        self._arguments: Sequence[str] | None = arguments
        self._order = order
        self.has_begun, self.has_ended = threading.Event(), threading.Event()

    def due(self, now: datetime) -> Sequence[str] | None:
        """The command, once."""
        assert now.tzinfo is None
        arguments, self._arguments = self._arguments, None
        if arguments is not None:
            self.has_begun.set()
        return arguments

    def ended(self, status: int) -> None:
        """Keep the status."""
        self._order.append(status)
        self.has_ended.set()


def test_tasks_are_run_one_after_another_and_stopped_with_the_server(workdir: Path) -> None:
    """Each is told how its command ended; what runs when the server stops is ended, and not taken for a failure."""
    statuses: list[int] = []
    store = workdir / "s.duckdb"
    store_at(store).close()
    quick, slow = Once(("sql", "DELETE FROM spans"), statuses), Once(("serve", *FREE_PORTS), statuses)
    background = Background([quick, slow], address_of(store), None, seconds=0.01)
    background.start()
    assert quick.has_ended.wait(60)
    assert statuses == [2]
    assert slow.has_begun.wait(60)
    background.stop()
    assert statuses == [2], "what is ended with the server has not failed"
    assert not [thread for thread in threading.enumerate() if thread.name == "background"]


def test_a_task_that_cannot_be_run_does_not_keep_the_others(
    workdir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that cannot be started is told in the log; the next look starts one."""
    statuses: list[int] = []
    first, second = Once(("sql", "SELECT 1"), statuses), Once(("sql", "SELECT 1"), statuses)
    interpreter = sys.executable
    monkeypatch.setattr(sys, "executable", str(workdir / "none"))
    background = Background([first, second], address_of(workdir / "s.duckdb"), None, seconds=0.01)
    with caplog.at_level(logging.WARNING):
        background.start()
        assert second.has_begun.wait(60)
        monkeypatch.setattr(sys, "executable", interpreter)
        background.stop()
    assert not first.has_ended.is_set()
    assert "A task beside the server could not be run: [Errno 2]" in caplog.text


def test_an_attended_command_ends_with_its_standard_input(workdir: Path) -> None:
    """When the process that holds it dies, a command ends as on SIGTERM; while it lives, it runs to its end."""
    command = [sys.executable, "-m", "spanverdict.attended"]
    held = subprocess.Popen(
        [*command, "serve", "--db", str(address_of(workdir / "s.duckdb")), *FREE_PORTS],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=workdir,
    )  # fmt: skip
    assert held.stdin
    assert held.stderr
    assert "Receiving OTLP/gRPC" in held.stderr.readline()
    held.stdin.close()
    assert held.wait(timeout=60) == 0
    assert "Stopped." in held.stderr.read()
    held.stderr.close()
    done = subprocess.Popen([*command, "--version"], stdin=subprocess.PIPE, cwd=workdir)
    assert done.stdin
    assert done.wait(timeout=60) == 0
    done.stdin.close()


def test_a_child_that_ended_is_ended_once_more(workdir: Path) -> None:
    """Ending what has ended already closes its pipe and tells its status."""
    process = child.start("spanverdict", ("promotion", "list"), missing_at(workdir / "none.duckdb"), None)
    process.wait(timeout=60)
    child.end(process)
    assert process.returncode == 4
    assert process.stdin
    assert process.stdin.closed
