"""A soak: exporters that send and retry while the server is killed and started again, over and over.

What is checked at the end holds for each record: acknowledged means stored, stored means once, and the ledger adds up.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from sql.journal import journal_directory

ROOT = Path(__file__).parents[2]
BEGAN = 1_793_000_000_000_000_000
"""When the first record begins, in Unix nanoseconds."""

FINISH_SECONDS = 60
"""How long senders may take, once the server stays up, until all they hold is acknowledged."""

RECORDS = {1: 60, 20: 30, 400: 9, 4000: 1}
"""Records of a request → how often of a hundred."""

SENT_AGAIN = {"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", 408, 429, 502, 503, 504}
"""What of OTLP's retryable statuses may come of ends; CANCELLED is gRPC's own, of a call that meets the shutdown."""

SERVICES = {"traces": "trace.v1.TraceService", "logs": "logs.v1.LogsService"}

GRPC_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 400)]  # fmt: skip


def spans(otlp: Any, service: str, number: int, count: int, *, invalid: bool) -> bytes:
    """Spans named for the request, each with its own number as an attribute; one more is refused if ``invalid``."""
    trace = hashlib.blake2b(f"{service} {number}".encode(), digest_size=16).digest()
    begin = BEGAN + number * 10**6
    sound = [
        {"trace_id": trace, "name": f"{number}", "start_time_unix_nano": begin + n, "attributes": {"n": n}}
        for n in range(count)
    ]
    request = otlp.request(*sound, *[{"trace_id": bytes(16)}] * invalid, service=service)
    payload: bytes = request.SerializeToString()
    return payload


def log_records(otlp: Any, service: str, number: int, count: int, *, invalid: bool) -> bytes:
    """Log records with the request's number as event name, each with its own as body; one more without a time."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.extend(otlp.key_values({"service.name": service}))
    records = resource.scope_logs.add().log_records
    for n in range(count):
        record = records.add(time_unix_nano=BEGAN + number * 10**6 + n, event_name=f"{number}")
        record.body.int_value = n
    if invalid:
        records.add(time_unix_nano=2**64 - 1, event_name="invalid")
    return request.SerializeToString()


@contextlib.contextmanager
def over_grpc(address: str, kind: str) -> Iterator[Callable[[bytes], object]]:
    """An export call with an exporter's deadline; it returns the status: "OK", or why not."""
    with grpc.insecure_channel(address, options=GRPC_OPTIONS) as channel:
        call = channel.unary_unary(f"/opentelemetry.proto.collector.{SERVICES[kind]}/Export")

        def export(payload: bytes) -> object:
            try:
                call(payload, timeout=5)
            except grpc.RpcError as error:
                return error.code().name
            return "OK"

        yield export


@contextlib.contextmanager
def over_http(address: str, kind: str) -> Iterator[Callable[[bytes], object]]:
    """A post on a connection that is kept, every other body compressed; it returns 200, or why not."""
    connection = http.client.HTTPConnection(address, timeout=5)
    codings = itertools.cycle(["gzip", "identity"])

    def export(payload: bytes) -> object:
        coding = next(codings)
        body = gzip.compress(payload, 1) if coding == "gzip" else payload
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": coding}
        try:
            connection.request("POST", f"/v1/{kind}", body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return 503
        return answer.status

    with contextlib.closing(connection):
        yield export


class Sender(threading.Thread):
    """An exporter: sends a request until it is acknowledged, then the next; now and then one that it has sent before.

    Args:
        payload: makes the request of a number.
        connect: a connection, as a function that sends it once and returns the status.
        seed: of its own random numbers.
        ending: set when it is to deliver what it holds and stop.
    """

    def __init__(
        self,
        payload: Callable[..., bytes],
        connect: Callable[[], AbstractContextManager[Callable[[bytes], object]]],
        seed: str,
        ending: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self.payload, self.connect, self.seed, self.ending = payload, connect, seed, ending
        self.acknowledged: dict[str, int] = {}
        """Number of each acknowledged request → its valid records."""
        self.accepted = self.rejected = self.retries = 0
        self.unexpected: set[object] = set()

    def run(self) -> None:
        """Send until told to end; what is held then is still delivered."""
        with self.connect() as export:
            self.send_all(export)

    def send_all(self, export: Callable[[bytes], object]) -> None:
        """Deliver one request after another on a connection."""
        own = random.Random(self.seed)  # noqa: S311 (repeatable, not secret)
        while not self.ending.is_set() and not self.unexpected:
            number = len(self.acknowledged)
            if number and own.random() < 0.1:
                number = own.randrange(number)
            shape = random.Random(f"{self.seed} {number}")  # noqa: S311 (the same each time it is sent)
            (count,) = shape.choices(list(RECORDS), list(RECORDS.values()))
            invalid = shape.random() < 0.05
            payload = self.payload(number, count, invalid=invalid)
            while (status := export(payload)) not in {"OK", 200}:
                if status not in SENT_AGAIN:
                    self.unexpected.add(status)
                    return
                self.retries += 1
                time.sleep(own.uniform(0.02, 0.3))
            self.acknowledged[f"{number}"] = count
            self.accepted += count + invalid
            self.rejected += invalid


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
        connect = partial(over_grpc, grpc_address, kind) if way == "grpc" else partial(over_http, http_address, kind)
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
