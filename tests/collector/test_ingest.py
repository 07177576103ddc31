"""Admission, group commit and acknowledgement."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.decode import MalformedRequestError
from collector.ingest import Ingest, Limits, OverloadedError, Signal, StoppedError
from sql.errors import RowsRefusedError, StoreFailedError
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


def logs_payload(otlp: Any) -> bytes:
    """A log record of the same resource as the spans of payload()."""
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    resource_logs.resource.attributes.extend(otlp.key_values({"service.name": "app"}))
    resource_logs.scope_logs.add().log_records.add(time_unix_nano=5)
    return request.SerializeToString()


def test_what_poisons_the_decoder_harms_no_other(gated: GatedStore, otlp: Any) -> None:
    """Half a surrogate pair, huge names, malformed bytes: neighbours are stored, bytes are released once."""
    gated.gate.set()
    surrogate = otlp.request(
        {"trace_id": b"\x07" * 16, "attributes": {"llm.invocation_parameters": '{"model": "\\ud800"}'}}
    )
    huge = otlp.request(*({"trace_id": b"\x08" * 16} for _ in range(2000)), service="s" * 50_000, scope="t" * 50_000)
    given = [payload(otlp, 1), surrogate.SerializeToString(), b"\x0a\xff", huge.SerializeToString(), payload(otlp, 2)]
    with running(gated) as ingest:
        futures = [ingest.submit(Signal.TRACES, data) for data in given]
        for number in (0, 1, 3, 4):
            assert futures[number].result(timeout=30).rejected == 0
        with pytest.raises(MalformedRequestError):
            futures[2].result(timeout=10)
    assert gated.spans() == 2003
    assert ingest._bytes == 0


def test_a_group_that_cannot_be_put_together_does_not_end_the_path(
    gated: GatedStore, otlp: Any, monkeypatch: Any
) -> None:
    """Its clients are told to send again, its bytes are released, and the next requests are stored."""
    gated.gate.set()

    def broken(_: Any) -> dict[str, pa.Table]:
        raise pa.ArrowInvalid("no")

    with running(gated) as ingest:
        with monkeypatch.context() as patch:
            patch.setattr("collector.ingest.combined", broken)
            with pytest.raises(StoppedError):
                ingest.submit(Signal.TRACES, payload(otlp, 1)).result(timeout=10)
        assert ingest._bytes == 0
        ingest.submit(Signal.TRACES, payload(otlp, 2)).result(timeout=10)
    assert gated.spans() == 1


def test_rows_that_cannot_be_stored_are_refused_alone(gated: GatedStore, otlp: Any, monkeypatch: Any) -> None:
    """Where one request's rows make the commit fail, the others of its group are stored."""
    gated.gate.set()
    real = gated.store.write

    def picky(tables: Mapping[str, pa.Table]) -> dict[str, int]:
        if "poison" in tables["spans"]["name"].to_pylist():
            raise RowsRefusedError("no")
        return real(tables)

    monkeypatch.setattr(gated.store, "write", picky)
    poison = otlp.request({"trace_id": b"\x07" * 16, "name": "poison"}).SerializeToString()
    with running(gated) as ingest:
        futures = [ingest.submit(Signal.TRACES, data) for data in (payload(otlp, 1), poison, payload(otlp, 2))]
        assert [futures[number].result(timeout=10).rejected for number in (0, 2)] == [0, 0]
        with pytest.raises(MalformedRequestError):
            futures[1].result(timeout=10)
    assert gated.spans() == 2


def test_traces_and_logs_of_one_resource_share_it(gated: GatedStore, otlp: Any) -> None:
    """A resource that comes with spans and with log records in one group is stored once."""
    with running(gated) as ingest:
        futures = [
            ingest.submit(Signal.TRACES, payload(otlp, 1)),
            ingest.submit(Signal.LOGS, logs_payload(otlp)),
        ]
        gated.gate.set()
        for future in futures:
            future.result(timeout=10)
    assert gated.store.read("SELECT count(*) AS n FROM resources")["n"].to_pylist() == [1]


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
