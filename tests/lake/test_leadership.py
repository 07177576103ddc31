"""Who does the tasks of a lake: one process at a time, and another one once that is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sql.errors import StoreUnavailableError
from sql.lake_address import LakeAddress
from sql.lake_turn import Leadership
from tests.postgres import Postgres

ROOT = Path(__file__).parents[2]
LEADS = """
import sys, time
from sql.lake_address import LakeAddress
from sql.lake_turn import Leadership

leadership = Leadership(LakeAddress.parse(sys.argv[1]))
print(leadership.held(), flush=True)
time.sleep(60)
"""


def eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_leads_until_it_lets_go(lake: LakeAddress) -> None:
    """It keeps the leadership however often it asks, and the next one has it at once."""
    first, second = Leadership(lake), Leadership(lake)
    assert [first.held(), second.held(), first.held(), second.held()] == [True, False, True, False]
    first.release()
    assert [second.held(), first.held()] == [True, False]
    second.release()


def test_whoever_is_killed_leads_no_more(lake: LakeAddress) -> None:
    """The connection ends with the process, and the leadership with the connection."""
    command = [sys.executable, "-c", LEADS, str(lake)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as leader, closing(_Released(Leadership(lake))) as next_one:
        assert leader.stdout
        assert leader.stdout.readline() == b"True\n"
        assert not next_one.leadership.held()
        leader.kill()
        eventually(next_one.leadership.held)


def test_without_the_catalog_nobody_leads(postgres: Postgres, lake: LakeAddress) -> None:
    """Who led stops, and leads again when the catalog is back."""
    with closing(_Released(Leadership(lake))) as leader:
        assert leader.leadership.held()
        postgres.stop()
        try:
            with pytest.raises(StoreUnavailableError, match=r"went away|cannot be reached"):
                leader.leadership.held()
        finally:
            postgres.start()
        assert leader.leadership.held()


class _Released:
    """A leadership that is let go in the end."""

    def __init__(self, leadership: Leadership) -> None:
        self.leadership = leadership

    def close(self) -> None:
        self.leadership.release()


@pytest.mark.slow
def test_a_scheduler_takes_over(lake: LakeAddress, tmp_path: Path) -> None:
    """Of two schedulers one does the tasks; it is killed, and the other one does them within seconds."""
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    processes = []
    for log in logs:
        with log.open("wb") as output:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "spanverdict", "scheduler", "--store", str(lake)],
                    stdout=output,
                    stderr=output,
                    cwd=tmp_path,
                    env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")},
                )
            )

    def leading() -> list[bool]:
        return ["are this process's now" in log.read_text() for log in logs]

    try:
        eventually(lambda: any(leading()), 60)
        time.sleep(5)
        assert sum(leading()) == 1
        leader = leading().index(True)
        processes[leader].send_signal(signal.SIGKILL)
        eventually(lambda: leading()[1 - leader])
        processes[1 - leader].send_signal(signal.SIGTERM)
        assert processes[1 - leader].wait(30) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
