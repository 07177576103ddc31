"""Four collectors on one lake, killed and started again under load, with readers throughout.

What is checked holds for each record: acknowledged means stored, stored means once whichever collectors it was sent to,
and the ledger adds up. Readers see each request whole or not at all, and never fewer rows than before.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sql.errors import StoreError
from sql.lake_address import LakeAddress
from sql.lake_store import LakeStore
from tests.exporters import SERVICES, Sender, log_records, over_grpc, spans

ROOT = Path(__file__).parents[2]

FINISH_SECONDS = 120
"""How long senders may take, once the collectors stay up, until all they hold is acknowledged."""

DEADLINE_SECONDS = 10
"""An exporter's own deadline."""

START_SECONDS = 60


class Collector:
    """One `spanverdict serve` on a lake, in its own process, on a port that stays."""

    def __init__(self, lake: LakeAddress, address: str, folder: Path, *options: str) -> None:
        self.address = address
        self.log = folder / f"collector-{address.rpartition(':')[2]}.log"
        self._command = [sys.executable, "-m", "spanverdict", "serve", "--store", str(lake), "--grpc", address,
                         "--http", "127.0.0.1:0", "--sql", "127.0.0.1:0", "--monitoring", "127.0.0.1:0",
                         *options]  # fmt: skip
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start it, without waiting until it answers."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(self._folder / "cache")}
        self._told_before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment, cwd=self._folder)

    def wait(self) -> None:
        """Wait until it has said that it receives."""
        deadline = time.monotonic() + START_SECONDS
        while b"Receiving OTLP" not in (told := self.log.read_bytes()[self._told_before :]):
            assert self.process.poll() is None, told[-2000:]
            assert time.monotonic() < deadline, told[-2000:]
            time.sleep(0.1)

    def end(self, number: signal.Signals) -> int:
        """Send it a signal and wait for its end."""
        self.process.send_signal(number)
        return self.process.wait(START_SECONDS)


class Watcher(threading.Thread):
    """A reader that asks again and again on an attachment of its own."""

    def __init__(self, lake: LakeAddress, ending: threading.Event) -> None:
        super().__init__(daemon=True)
        self._lake, self._ending = lake, ending
        self.answers = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        """Count until told to end."""
        before = 0
        with LakeStore(self._lake, read_only=True) as store:
            while not self._ending.is_set():
                try:
                    rows = store.read(
                        "SELECT count(*) AS n, count(DISTINCT (trace_id, span_id)) AS single FROM spans"
                    ).to_pylist()[0]
                except StoreError as error:
                    self.wrong.append(str(error))
                    return
                if rows["n"] < before or rows["n"] != rows["single"]:
                    self.wrong.append(f"{rows} after {before}")
                before = rows["n"]
                self.answers += 1


def soak(
    lake: LakeAddress,
    otlp: Any,
    fixed_port: Callable[[], int],
    folder: Path,
    ends: Sequence[signal.Signals],
    seed: int,
) -> dict[str, int]:
    """Send from eight exporters to four collectors in turn while one after another meets an end and is started again.

    Args:
        lake: an empty lake.
        otlp: the request builder.
        fixed_port: draws a port.
        folder: where logs go.
        ends: signals, each to a collector that is drawn.
        seed: of the moments of the ends and of what is sent.

    Returns:
        What was done, counted.
    """
    own = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    collectors = [Collector(lake, f"127.0.0.1:{fixed_port()}", folder) for _ in range(4)]
    ending = threading.Event()
    try:
        for collector in collectors:
            collector.wait()
        watchers = [Watcher(lake, ending) for _ in range(2)]
        senders = exporters(otlp, [collector.address for collector in collectors], seed, ending)
        for thread in (*senders.values(), *watchers):
            thread.start()
        for number in ends:
            time.sleep(own.uniform(0.5, 3))
            collector = own.choice(collectors)
            if number == signal.SIGTERM:
                # Before it takes signals it ends by them.
                collector.wait()
            status = collector.end(number)
            assert status == (0 if number == signal.SIGTERM else -number)
            collector.start()
        for collector in collectors:
            collector.wait()
        ending.set()
        for sender in senders.values():
            sender.join(FINISH_SECONDS)
            assert not sender.is_alive(), "all that is held must be delivered once the collectors stay up"
            assert not sender.unexpected
        for watcher in watchers:
            watcher.join(FINISH_SECONDS)
            assert watcher.wrong == []
            assert watcher.answers
        assert sum(sender.retries for sender in senders.values()), "the ends must fall into the load"
        check(lake, senders)
        assert [collector.end(signal.SIGTERM) for collector in collectors] == [0] * 4
        check(lake, senders)
    finally:
        ending.set()
        for collector in collectors:
            collector.process.kill()
            collector.process.wait()
    return {
        "requests": sum(len(sender.acknowledged) for sender in senders.values()),
        "records": sum(sum(sender.acknowledged.values()) for sender in senders.values()),
        "retries": sum(sender.retries for sender in senders.values()),
        "answers": sum(watcher.answers for watcher in watchers),
    }


def exporters(otlp: Any, addresses: list[str], seed: int, ending: threading.Event) -> dict[str, Sender]:
    """Eight, by their services; each begins at another collector, and goes on to the next with every request."""
    senders = {}
    for kind, make in zip(SERVICES, (spans, log_records), strict=True):
        for number in range(len(addresses)):
            service = f"{kind}-{number}"
            connect = partial(over_grpc, addresses[number:] + addresses[:number], kind, DEADLINE_SECONDS)
            senders[service] = Sender(partial(make, otlp, service), connect, f"{seed} {service}", ending)
    return senders


def check(lake: LakeAddress, senders: dict[str, Sender]) -> None:
    """Every acknowledged record is stored once with what it says, and the ledger says the same."""
    stored: dict[str, dict[str, tuple[int, int, int]]] = {service: {} for service in senders}
    with LakeStore(lake, read_only=True) as store:
        rows = store.read(
            "SELECT service_name AS s, name, count(*) AS n, sum((attributes->>'n')::BIGINT)::BIGINT AS total,"
            " count(DISTINCT (trace_id, span_id)) AS single FROM spans GROUP BY ALL UNION ALL "
            "SELECT service_name AS s, event_name, count(*), sum((body->>'$')::BIGINT)::BIGINT,"
            " count(DISTINCT (event_time, body::VARCHAR)) FROM log_records GROUP BY ALL"
        ).to_pylist()
        ledger = store.read("SELECT * FROM ingest_ledger").to_pylist()
        times = store.read("SELECT count(DISTINCT received_at) AS n FROM spans").to_pylist()
    for row in rows:
        stored[row["s"]][row["name"]] = row["n"], row["total"], row["single"]
    for service, sender in senders.items():
        numbers = sender.acknowledged.items()
        assert stored[service] == {name: (n, n * (n - 1) // 2, n) for name, n in numbers}, service
    assert times[0]["n"] > 1
    assert {row["service_name"] for row in ledger} == set(senders)
    for row in ledger:
        sender = senders[row["service_name"]]
        assert row["accepted"] == row["stored"] + row["rejected"] + row["duplicate"]
        assert row["stored"] == sum(sender.acknowledged.values())
        assert row["accepted"] >= sender.accepted, "what was stored and not told is sent again"
        assert row["rejected"] >= sender.rejected


@pytest.mark.slow
def test_four_collectors_in_a_folder(
    new_lake: Callable[[Path], LakeAddress], otlp: Any, fixed_port: Callable[[], int], tmp_path: Path
) -> None:
    """Kills and clean ends in turn: all that was acknowledged is stored once, and readers never see less."""
    ends = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]
    soak(new_lake(tmp_path / "data"), otlp, fixed_port, tmp_path, ends, seed=1)


@pytest.mark.slow
@pytest.mark.usefixtures("object_store")
def test_four_collectors_in_an_object_store(
    new_lake: Callable[[str], LakeAddress], otlp: Any, fixed_port: Callable[[], int], tmp_path: Path
) -> None:
    """The same where the files are in an object store."""
    soak(new_lake("s3://spans/soak"), otlp, fixed_port, tmp_path, [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL], 2)
