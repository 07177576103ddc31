"""Admission, group commit and acknowledgement."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from collector.decode import MalformedRequestError
from collector.ingest import Ingest, Limits, OverloadedError, Signal, StoppedError
from sql.errors import StoreFailedError
from sql.store import Store


class GatedStore:
    """A real store whose commits wait at a gate, or fail as a full disk makes them fail."""

    def __init__(self, path: Path) -> None:
        self.store = Store(path)
        self.gate = threading.Event()
        self.full = False
        self.commits = 0

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """Wait for the gate, then write for real."""
        self.gate.wait()
        if self.full:
            raise StoreFailedError("the disk is full")
        self.commits += 1
        return self.store.write(tables)

    def spans(self) -> int:
        """How many spans are stored."""
        return int(self.store.read("SELECT count(*) AS n FROM spans")["n"][0].as_py())


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[GatedStore]:
    """The store."""
    store = GatedStore(tmp_path / "s.duckdb")
    yield store
    store.store.close()


@contextmanager
def running(gated: GatedStore, limits: Limits | None = None) -> Iterator[Ingest]:
    """A started ingest path, stopped at the end."""
    ingest = Ingest(gated.write, limits)
    ingest.start()
    try:
        yield ingest
    finally:
        gated.gate.set()
        ingest.stop()


def payload(otlp: Any, number: int) -> bytes:
    """A one-span request of its own trace."""
    data: bytes = otlp.request({"trace_id": (number + 1).to_bytes(16, "big")}).SerializeToString()
    return data


def test_nothing_is_acknowledged_before_its_commit(gated: GatedStore, otlp: Any) -> None:
    """While the commit waits no future is done; after it all are, and the rows are there."""
    with running(gated) as ingest:
        futures = [ingest.submit(Signal.TRACES, payload(otlp, number)) for number in range(10)]
        with pytest.raises(TimeoutError):
            futures[0].result(timeout=0.3)
        assert not any(future.done() for future in futures)
        gated.gate.set()
        assert all(future.result(timeout=10).rejected == 0 for future in futures)
        assert gated.spans() == 10


def test_requests_share_commits(gated: GatedStore, otlp: Any) -> None:
    """Many small requests at once cost few commits."""
    with running(gated) as ingest:
        futures = [ingest.submit(Signal.TRACES, payload(otlp, number)) for number in range(500)]
        gated.gate.set()
        for future in futures:
            future.result(timeout=10)
    assert gated.spans() == 500
    assert gated.commits <= 10


def test_a_malformed_request_is_refused_alone(gated: GatedStore, otlp: Any) -> None:
    """Of a group, only the malformed request fails; each outcome belongs to its own request."""
    gated.gate.set()
    partly = otlp.request({"trace_id": bytes(16)}, {"trace_id": b"\x09" * 16}).SerializeToString()
    with running(gated) as ingest:
        given = [payload(otlp, 1), b"\x0a\xff", partly, payload(otlp, 2)]
        futures = [ingest.submit(Signal.TRACES, data) for data in given]
        assert [futures[number].result(timeout=10).rejected for number in (0, 2, 3)] == [0, 1, 0]
        with pytest.raises(MalformedRequestError):
            futures[1].result(timeout=10)
    assert gated.spans() == 3
    assert (ingest.counters.stored["spans"], ingest.counters.rejected) == (3, 1)


def test_overload_is_said_and_passes(gated: GatedStore, otlp: Any) -> None:
    """Past the bound on waiting bytes requests are refused at once; when room is made they are taken again."""
    data = payload(otlp, 1)
    with running(gated, Limits(waiting_bytes=3 * len(data))) as ingest:
        futures = [ingest.submit(Signal.TRACES, data) for _ in range(3)]
        with pytest.raises(OverloadedError, match="send this again"):
            ingest.submit(Signal.TRACES, data)
        gated.gate.set()
        for future in futures:
            future.result(timeout=10)
        ingest.submit(Signal.TRACES, data).result(timeout=10)


def test_stop_commits_what_waits(gated: GatedStore, otlp: Any) -> None:
    """Stopping commits what was admitted and admits nothing more."""
    ingest = Ingest(gated.write)
    ingest.start()
    futures = [ingest.submit(Signal.TRACES, payload(otlp, number)) for number in range(5)]
    gated.gate.set()
    ingest.stop()
    assert all(future.done() for future in futures)
    assert gated.spans() == 5
    with pytest.raises(StoppedError, match="shutting down"):
        ingest.submit(Signal.TRACES, payload(otlp, 9))


def test_a_client_that_gives_up_harms_nobody(gated: GatedStore, otlp: Any) -> None:
    """A request whose client cancelled is stored all the same, and the next ones are answered."""
    with running(gated) as ingest:
        abandoned = ingest.submit(Signal.TRACES, payload(otlp, 1))
        abandoned.cancel()
        gated.gate.set()
        ingest.submit(Signal.TRACES, payload(otlp, 2)).result(timeout=10)
        assert ingest.submit(Signal.TRACES, payload(otlp, 3)).result(timeout=10).rejected == 0
    assert gated.spans() == 3


def test_a_full_disk_stops_the_collector(gated: GatedStore, otlp: Any) -> None:
    """When a commit fails for good, clients are told, the owner is told, and nothing more is taken."""
    told: list[StoreFailedError] = []
    ingest = Ingest(gated.write, on_failure=told.append)
    ingest.start()
    gated.full = True
    gated.gate.set()
    with pytest.raises(StoppedError, match="disk is full"):
        ingest.submit(Signal.TRACES, payload(otlp, 1)).result(timeout=10)
    with pytest.raises(StoppedError, match="disk is full"):
        ingest.submit(Signal.TRACES, payload(otlp, 2))
    ingest.stop()
    assert len(told) == 1
