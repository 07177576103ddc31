"""Admission, grouping and acknowledgement."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.credentials import Credential
from collector.ingest import Ingest, OverloadedError, StoppedError
from collector.ingest_limits import Limits
from collector.signals import Signal
from collector.wire import MalformedRequestError
from sql.committing_writer import CommittingWriter
from sql.journal import JournalError
from sql.journaled_writer import JournaledWriter
from sql.lake_store import LakeStore
from sql.opened_store import OpenedStore
from sql.telemetry_writer import TelemetryWriter
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


class Gate:
    """What keeps a real writer waiting, or has it fail as a full disk makes it fail."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.full = False
        self.passed = 0

    def pass_through(self) -> None:
        """Wait until it is open."""
        self.opened.wait()
        if self.full:
            raise JournalError("the disk is full")
        self.passed += 1


class Gated:
    """A store, and the gated way into it."""

    def __init__(self, store: OpenedStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.gate = Gate()
        self.writer: TelemetryWriter = (
            CommittingWriter(store) if isinstance(store, LakeStore) else JournaledWriter(store)
        )
        append = self.writer.append

        def behind_the_gate(tables: Mapping[str, pa.Table]) -> None:
            self.gate.pass_through()
            append(tables)

        monkeypatch.setattr(self.writer, "append", behind_the_gate)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What the store answers once everything acknowledged is in it."""
        assert self.writer.flush(10)
        rows: list[dict[str, Any]] = self.store.read(query).to_pylist()
        return rows

    def spans(self) -> int:
        """How many spans are stored."""
        return int(self.rows("SELECT count(*) AS n FROM spans")[0]["n"])


@pytest.fixture
def gated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gated]:
    """The store and the writer."""
    with store_at(tmp_path / "s.duckdb") as store:
        made = Gated(store, monkeypatch)
        yield made
        made.gate.opened.set()
        made.writer.close()


@contextmanager
def running(gated: Gated, limits: Limits | None = None) -> Iterator[Ingest]:
    """A started ingest path, stopped at the end."""
    ingest = Ingest(gated.writer, limits)
    ingest.start()
    try:
        yield ingest
    finally:
        gated.gate.opened.set()
        ingest.stop()


def payload(otlp: Any, number: int) -> bytes:
    """A one-span request of its own trace."""
    data: bytes = otlp.request({"trace_id": (number + 1).to_bytes(16, "big")}).SerializeToString()
    return data


def test_nothing_is_acknowledged_before_it_is_on_disk(gated: Gated, otlp: Any) -> None:
    """While the journal waits no future is done; after it all are, and the rows are there."""
    with running(gated) as ingest:
        futures = [ingest.submit(Signal.TRACES, payload(otlp, number)) for number in range(10)]
        with pytest.raises(TimeoutError):
            futures[0].result(timeout=0.3)
        assert not any(future.done() for future in futures)
        gated.gate.opened.set()
        assert all(future.result(timeout=10).rejected == 0 for future in futures)
        assert gated.spans() == 10


def test_requests_share_a_write(gated: Gated, otlp: Any) -> None:
    """Many small requests at once cost few syncs of the disk."""
    with running(gated) as ingest:
        futures = [ingest.submit(Signal.TRACES, payload(otlp, number)) for number in range(500)]
        gated.gate.opened.set()
        for future in futures:
            future.result(timeout=10)
    assert gated.spans() == 500
    assert gated.gate.passed <= 10


def test_nobody_waits_for_company_where_enough_is_there(gated: Gated, otlp: Any) -> None:
    """A group that is large enough is written at once; behind one that is being written more may come together."""
    data = [payload(otlp, number) for number in range(7)]
    size = len(data[0])
    with running(gated, Limits(linger_seconds=600, enough_bytes=2 * size, group_bytes=5 * size)) as ingest:
        first = [ingest.submit(Signal.TRACES, one) for one in data[:2]]
        while not ingest._unwritten:
            time.sleep(0.001)
        later = [ingest.submit(Signal.TRACES, one) for one in data[2:]]
        gated.gate.opened.set()
        for future in (*first, *later):
            future.result(timeout=10)
        assert gated.gate.passed == 2
        assert gated.spans() == 7


def test_a_malformed_request_is_refused_alone(gated: Gated, otlp: Any) -> None:
    """Of a group, only the malformed request fails; each outcome belongs to its own request."""
    gated.gate.opened.set()
    partly = otlp.request({"trace_id": bytes(16)}, {"trace_id": b"\x09" * 16}).SerializeToString()
    with running(gated) as ingest:
        given = [payload(otlp, 1), b"\x0a\xff", partly, payload(otlp, 2)]
        futures = [ingest.submit(Signal.TRACES, data) for data in given]
        assert [futures[number].result(timeout=10).rejected for number in (0, 2, 3)] == [0, 1, 0]
        with pytest.raises(MalformedRequestError):
            futures[1].result(timeout=10)
    assert gated.spans() == 3
    counters = ingest.counters
    assert counters.accepted == {Signal.TRACES: 4}
    assert counters.rejected == {(Signal.TRACES, "invalid_ids"): 1}
    assert gated.rows("SELECT accepted, stored, rejected, duplicate FROM ingest_ledger") == [
        {"accepted": 4, "stored": 3, "rejected": 1, "duplicate": 0}
    ]


def logs_payload(otlp: Any) -> bytes:
    """A log record of the same resource as the spans of payload()."""
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    resource_logs.resource.attributes.extend(otlp.key_values({"service.name": "app"}))
    resource_logs.scope_logs.add().log_records.add(time_unix_nano=5)
    return request.SerializeToString()


def test_what_poisons_the_decoder_harms_no_other(gated: Gated, otlp: Any) -> None:
    """Half a surrogate pair, huge names, malformed bytes: neighbours are stored, bytes are released once."""
    gated.gate.opened.set()
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


def test_a_group_that_cannot_be_put_together_does_not_end_the_path(gated: Gated, otlp: Any, monkeypatch: Any) -> None:
    """Its clients are told to send again, its bytes are released, and the next requests are stored."""
    gated.gate.opened.set()

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


def test_traces_and_logs_of_one_resource_share_it(gated: Gated, otlp: Any) -> None:
    """A resource that comes with spans and with log records in one group is stored once."""
    with running(gated) as ingest:
        futures = [
            ingest.submit(Signal.TRACES, payload(otlp, 1)),
            ingest.submit(Signal.LOGS, logs_payload(otlp)),
        ]
        gated.gate.opened.set()
        for future in futures:
            future.result(timeout=10)
    assert gated.rows("SELECT count(*) AS n FROM resources") == [{"n": 1}]


def test_overload_is_said_and_passes(gated: Gated, otlp: Any) -> None:
    """Past the bound on waiting bytes requests are refused at once; when room is made they are taken again."""
    data = payload(otlp, 1)
    with running(gated, Limits(waiting_bytes=3 * len(data))) as ingest:
        futures = [ingest.submit(Signal.TRACES, data) for _ in range(3)]
        with pytest.raises(OverloadedError, match="send this again"):
            ingest.submit(Signal.TRACES, data)
        gated.gate.opened.set()
        for future in futures:
            future.result(timeout=10)
        assert gated.writer.flush(10)
        ingest.submit(Signal.TRACES, data).result(timeout=10)


def test_large_groups_follow_one_another(gated: Gated, otlp: Any) -> None:
    """A group far larger than usual is not decoded before those ahead of it are written."""
    data = [payload(otlp, number) for number in range(3)]
    with running(gated, Limits(group_bytes=len(data[0]) // 4)) as ingest:
        futures = [ingest.submit(Signal.TRACES, each) for each in data]
        with pytest.raises(TimeoutError):
            futures[0].result(timeout=0.3)
        assert ingest._decoded.empty()
        assert len(ingest._waiting) == 1
        gated.gate.opened.set()
        for future in futures:
            future.result(timeout=10)
        assert ingest._unwritten == 0
    assert gated.spans() == 3


def test_stop_writes_what_waits(gated: Gated, otlp: Any) -> None:
    """Stopping writes what was admitted and admits nothing more."""
    ingest = Ingest(gated.writer)
    ingest.start()
    futures = [ingest.submit(Signal.TRACES, payload(otlp, number)) for number in range(5)]
    gated.gate.opened.set()
    ingest.stop()
    assert all(future.done() for future in futures)
    assert gated.spans() == 5
    with pytest.raises(StoppedError, match="shutting down"):
        ingest.submit(Signal.TRACES, payload(otlp, 9))


def test_a_client_that_gives_up_harms_nobody(gated: Gated, otlp: Any) -> None:
    """A request whose client cancelled is stored all the same, and the next ones are answered."""
    with running(gated) as ingest:
        abandoned = ingest.submit(Signal.TRACES, payload(otlp, 1))
        abandoned.cancel()
        gated.gate.opened.set()
        ingest.submit(Signal.TRACES, payload(otlp, 2)).result(timeout=10)
        assert ingest.submit(Signal.TRACES, payload(otlp, 3)).result(timeout=10).rejected == 0
    assert gated.spans() == 3


def test_a_full_disk_is_said_and_passes(gated: Gated, otlp: Any) -> None:
    """While the journal cannot be written clients are told to send again; afterwards requests are stored."""
    gated.gate.opened.set()
    with running(gated) as ingest:
        gated.gate.full = True
        with pytest.raises(StoppedError, match="disk is full"):
            ingest.submit(Signal.TRACES, payload(otlp, 1)).result(timeout=10)
        assert ingest._bytes == 0
        gated.gate.full = False
        ingest.submit(Signal.TRACES, payload(otlp, 1)).result(timeout=10)
    assert gated.spans() == 1


def test_a_credential_overrides_what_the_sender_says(gated: Gated, otlp: Any) -> None:
    """Resource attributes of a token go over those of its requests, and of no other's in the same group."""
    shop = Credential("shop", {"service.name": "shop", "team": "payments"})
    with running(gated) as ingest:
        futures = [
            ingest.submit(Signal.TRACES, payload(otlp, number), credential)
            for number, credential in enumerate((None, shop, Credential("plain", {})))
        ]
        gated.gate.opened.set()
        for future in futures:
            future.result(timeout=10)
    query = "SELECT service_name, r.attributes FROM spans JOIN resources r USING (resource_id) ORDER BY trace_id"
    assert [tuple(row.values()) for row in gated.rows(query.replace("service_name", "spans.service_name"))] == [
        ("app", '{"service.name":"app"}'),
        ("shop", '{"service.name":"shop","team":"payments"}'),
        ("app", '{"service.name":"app"}'),
    ]


def test_the_ledger_conserves(gated: Gated, otlp: Any) -> None:
    """What was accepted is stored, rejected or a duplicate: by service and signal, over groups and loads."""
    twice = otlp.request({"trace_id": b"\x07" * 16}, {"trace_id": b"\x08" * 16}, service="b").SerializeToString()
    wrong = otlp.request({"trace_id": bytes(16)}, {"start_time_unix_nano": 2**63}, service="b").SerializeToString()
    gated.gate.opened.set()
    with running(gated) as ingest:
        for data in (twice, payload(otlp, 1), twice):
            ingest.submit(Signal.TRACES, data).result(timeout=10)
            assert gated.writer.flush(10)
        futures = [ingest.submit(Signal.TRACES, data) for data in (twice, wrong, payload(otlp, 2))]
        futures.append(ingest.submit(Signal.LOGS, logs_payload(otlp)))
        for future in futures:
            future.result(timeout=10)
        assert ingest.counters.rejected == {
            (Signal.TRACES, "invalid_ids"): 1,
            (Signal.TRACES, "time_out_of_range"): 1,
        }
    query = "SELECT service_name, signal, accepted, stored, rejected, duplicate FROM ingest_ledger ORDER BY ALL"
    assert [tuple(row.values()) for row in gated.rows(query)] == [
        ("app", "logs", 1, 1, 0, 0),
        ("app", "traces", 2, 2, 0, 0),
        ("b", "traces", 8, 2, 2, 4),
    ]
    assert gated.writer.counters.duplicates["traces"] == 4
