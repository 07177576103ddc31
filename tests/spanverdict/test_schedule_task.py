"""When the server has scheduled reports made, and how it runs what it has done beside itself."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from spanverdict import child
from spanverdict.background import Background
from spanverdict.schedule_config import ScheduleConfig
from spanverdict.schedule_task import AGAIN_AFTER, ScheduledReports

ROOT = Path(__file__).parents[2]
NOON, MINUTE = datetime(2026, 11, 5, 12), timedelta(minutes=1)
FREE_PORTS = [f"--{name}=127.0.0.1:0" for name in ("grpc", "http", "sql", "monitoring")]
COMMAND = ("report", "--scheduled")


@pytest.fixture(autouse=True)
def _this_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands in processes of their own be those that are tested, wherever they run."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_a_server_looks_at_its_start_and_at_each_slot() -> None:
    """What was missed is made at once; then nothing is run before a slot and its delay are over."""
    task = ScheduledReports(
        [
            ScheduleConfig(name="hourly", cron="0 * * * *", delay_seconds=90),
            ScheduleConfig(name="half", cron="30 * * * *", delay_seconds=0),
        ]
    )
    assert task.due(NOON) == COMMAND
    task.ended(0)
    assert task.due(NOON + MINUTE) is None, "noon's slot is due after a minute and a half"
    assert task.due(NOON + 1.5 * MINUTE) == COMMAND
    task.ended(1)
    assert task.due(NOON + 29 * MINUTE) is None
    assert task.due(NOON + 45 * MINUTE) == COMMAND, "a look that comes late is a look"
    task.ended(0)
    assert task.due(NOON + 61 * MINUTE) is None
    assert task.due(NOON + 61.5 * MINUTE) == COMMAND


@pytest.mark.parametrize("status", [4, -signal.SIGKILL, 130])
def test_a_look_that_came_to_nothing_is_taken_again(status: int) -> None:
    """A store that was away, or a process that was killed, is tried again after a minute, not at once."""
    task = ScheduledReports([ScheduleConfig(name="daily", cron="0 6 * * *")])
    assert task.due(NOON) == COMMAND
    task.ended(status)
    assert task.due(NOON + AGAIN_AFTER / 2) is None
    assert task.due(NOON + AGAIN_AFTER) == COMMAND
    task.ended(0)
    assert task.due(NOON + timedelta(hours=17)) is None


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
    """Each is told how its command ended; what runs when the server stops is ended, and waited for."""
    statuses: list[int] = []
    store = workdir / "none.duckdb"
    quick, slow = Once(("sql", "SELECT 1"), statuses), Once(("serve", *FREE_PORTS), statuses)
    background = Background([quick, slow], store, None, seconds=0.01)
    background.start()
    assert quick.has_ended.wait(60)
    assert statuses == [4], "there is no store"
    assert slow.has_begun.wait(60)
    background.stop()
    assert slow.has_ended.is_set()
    assert statuses[1] in (-signal.SIGTERM, 0), "it had begun to listen, or not"
    assert not [thread for thread in threading.enumerate() if thread.name == "background"]


def test_a_task_that_cannot_be_run_does_not_keep_the_others(
    workdir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that cannot be started is told in the log; the next look starts one."""
    statuses: list[int] = []
    first, second = Once(("sql", "SELECT 1"), statuses), Once(("sql", "SELECT 1"), statuses)
    interpreter = sys.executable
    monkeypatch.setattr(sys, "executable", str(workdir / "none"))
    background = Background([first, second], workdir / "none.duckdb", None, seconds=0.01)
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
        [*command, "serve", "--db", "s.duckdb", *FREE_PORTS],
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
    process = child.start("spanverdict", ("promotion", "list"), workdir / "none.duckdb", None)
    process.wait(timeout=60)
    child.end(process)
    assert process.returncode == 4
    assert process.stdin
    assert process.stdin.closed
