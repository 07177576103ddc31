"""A soak: exporters that send and retry while the server is killed and started again, over and over.

What is checked at the end holds for each record: acknowledged means stored, stored means once, and the ledger adds up.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sql.journal import journal_directory
from tests.exporters import SERVICES, Sender, log_records, over_grpc, over_http, spans

ROOT = Path(__file__).parents[2]
FINISH_SECONDS = 60
"""How long senders may take, once the server stays up, until all they hold is acknowledged."""


def soak(
    start_server: Callable[..., Any], otlp: Any, fixed_port: Callable[[], int], folder: Path, ends: list[str], seed: int
) -> None:
    """Send from eight exporters while the server meets its ends one after another, then look at every record.

    Args:
        start_server: the fixture.
        otlp: the request builder.
        fixed_port: draws a port.
        folder: where the store lies.
        ends: of each server: ``kill``, ``term``, or ``kill starting``, before it answers.
        seed: of the moments of the ends and of what is sent.
    """
    moments = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    db = folder / "store.duckdb"
    grpc_address, http_address = (f"127.0.0.1:{fixed_port()}" for _ in range(2))
    options = ("--grpc", grpc_address, "--http", http_address)
    ending = threading.Event()
    senders = {}
    for way, kind, number in itertools.product(("grpc", "http"), SERVICES, (0, 1)):
        service = f"{way}-{kind}-{number}"
        payload = partial(spans if kind == "traces" else log_records, otlp, service)
        connect = partial(over_grpc, [grpc_address], kind) if way == "grpc" else partial(over_http, http_address, kind)
        senders[service] = Sender(payload, connect, f"{seed} {service}", ending)
        senders[service].start()
    for end in ends:
        if end == "kill starting":
            kill_while_starting(db, options, moments.uniform(0.2, 1.5))
            continue
        server = start_server(db, *options)
        time.sleep(moments.uniform(0.05, 2.5))
        if end == "kill":
            server.stop(signal.SIGKILL)
        else:
            assert server.stop() == 0
            assert not journal_directory(db).exists(), "after a clean stop all is in the store"
    last = start_server(db, *options)
    ending.set()
    for sender in senders.values():
        sender.join(FINISH_SECONDS)
        assert not sender.is_alive(), "all that is held must be delivered once the server stays up"
        assert not sender.unexpected
        assert sender.retries, "the ends must fall into the load"
    check(last, senders)
    assert last.stop() == 0
    assert not journal_directory(db).exists()
    assert not db.with_name(db.name + ".wal").exists(), "after a clean stop all is in the one file"
    check(last, senders)


def kill_while_starting(db: Path, options: tuple[str, ...], seconds: float) -> None:
    """Start a server, which finds what the last one left, and kill it so soon that it may not be ready."""
    command = [sys.executable, "-m", "spanverdict", "serve", "--db", str(db), "--sql", "127.0.0.1:0",
               "--monitoring", "127.0.0.1:0", *options]  # fmt: skip
    with (db.parent / "killed-while-starting.log").open("ab") as log:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=db.parent)
        time.sleep(seconds)
        process.kill()
        process.wait()


def check(server: Any, senders: dict[str, Sender]) -> None:
    """Every acknowledged record is stored once with what it says, and the ledger says the same."""
    stored: dict[str, dict[str, tuple[int, int, int]]] = {service: {} for service in senders}
    for row in server.sql(
        "SELECT service_name AS s, name, count(*) AS n, sum((attributes->>'n')::BIGINT)::BIGINT AS total,"
        " count(DISTINCT (trace_id, span_id)) AS single FROM spans GROUP BY ALL UNION ALL "
        "SELECT service_name AS s, event_name, count(*), sum((body->>'$')::BIGINT)::BIGINT,"
        " count(DISTINCT (event_time, body::VARCHAR)) FROM log_records GROUP BY ALL"
    ):
        stored[row["s"]][row["name"]] = row["n"], row["total"], row["single"]
    for service, sender in senders.items():
        numbers = sender.acknowledged.items()
        assert stored[service] == {name: (n, n * (n - 1) // 2, n) for name, n in numbers}, service
    ledger = server.sql("SELECT * FROM ingest_ledger")
    assert {row["service_name"] for row in ledger} == set(senders)
    for row in ledger:
        sender = senders[row["service_name"]]
        assert row["accepted"] == row["stored"] + row["rejected"] + row["duplicate"]
        assert row["stored"] == sum(sender.acknowledged.values())
        assert row["accepted"] >= sender.accepted, "what was stored and not told is sent again"
        assert row["rejected"] >= sender.rejected


@pytest.mark.slow
def test_a_short_soak(
    start_server: Callable[..., Any], otlp: Any, fixed_port: Callable[[], int], tmp_path: Path
) -> None:
    """Two kills, one of them at the start, and one clean stop under load: all is stored once and accounted for."""
    soak(start_server, otlp, fixed_port, tmp_path, ["kill", "kill starting", "term", "kill"], seed=1)


@pytest.mark.slow
def test_soak(start_server: Callable[..., Any], otlp: Any, fixed_port: Callable[[], int], tmp_path: Path) -> None:
    """Two dozen kills and clean stops in random order under load: all is stored once and accounted for."""
    ends = ["kill"] * 22 + ["kill starting"] * 6 + ["term"] * 5
    random.Random(2).shuffle(ends)  # noqa: S311 (repeatable, not secret)
    soak(start_server, otlp, fixed_port, tmp_path, ends, seed=2)
