"""The real server: official exporters, real instrumentations, kills, shutdowns, refusals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from pyarrow import flight

from sql.flight_calls import statement_ticket
from sql.server_file import server_file
from tests.processes import PRODUCT_PATH
from tests.stores import address_of, lakes

pytestmark = pytest.mark.any_store(slow=True)

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
FREE_PORTS = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--sql", "127.0.0.1:0", "--monitoring", "127.0.0.1:0")
APP = Path(__file__).parent / "apps" / "support_app.py"


def spanverdict(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in its own process."""
    command = [sys.executable, "-m", "spanverdict", *arguments]
    environment = {**os.environ, "PYTHONPATH": PRODUCT_PATH}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False, env=environment)


def numbered(otlp: Any, number: int, spans: int = 20) -> ExportTraceServiceRequest:
    """A request whose spans are known by its number."""
    request: ExportTraceServiceRequest = otlp.request(
        *({"trace_id": (number + 1).to_bytes(16, "big"), "name": f"request-{number}"} for _ in range(spans))
    )
    return request


@pytest.mark.parametrize("instrumentation", ["openinference", "genai"])
def test_an_instrumented_app_is_seen(shared_server: Any, instrumentation: str) -> None:
    """An app with the official SDK and a real instrumentation, pointed here by environment alone, is seen whole."""
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{shared_server.told.grpc}",
        "OTEL_SERVICE_NAME": f"support-{instrumentation}",
    }
    app = subprocess.run(
        [sys.executable, str(APP), instrumentation],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert app.returncode == 0, app.stderr
    query = f"""
        SELECT call.request_model, call.input_tokens, call.output_tokens, call.cache_read_tokens, call.service_name,
            root.attributes->>'app.cohort' AS cohort, count(*) AS calls
        FROM llm_calls AS call INNER JOIN spans AS root ON call.parent_span_id = root.span_id
        WHERE call.service_name = 'support-{instrumentation}'
        GROUP BY ALL ORDER BY cohort
    """
    answer = spanverdict("sql", "--db", str(shared_server.db), "--format", "json", query)
    assert answer.returncode == 0, answer.stderr
    same = {
        "request_model": "ft:gpt-4o-mini-2024-07-18:acme:refunds:1", "input_tokens": 321, "output_tokens": 12,
        "cache_read_tokens": 128, "service_name": f"support-{instrumentation}",
    }  # fmt: skip
    assert json.loads(answer.stdout) == [
        {**same, "cohort": "chargeback", "calls": 2},
        {**same, "cohort": "policy_exception", "calls": 1},
    ]


def test_sigkill_under_load_loses_nothing_acknowledged(start_server: Callable[..., Any], otlp: Any) -> None:
    """After SIGKILL every acknowledged span is there once; sending all again adds only what was not."""
    requests = [numbered(otlp, number) for number in range(400)]
    acknowledged: set[int] = set()
    first = start_server()

    def send(start: int) -> None:
        with grpc.insecure_channel(first.told.grpc) as channel:
            stub = TraceServiceStub(channel)
            for number in range(start, len(requests), 8):
                try:
                    stub.Export(requests[number], timeout=10)
                except grpc.RpcError:
                    return
                acknowledged.add(number)

    threads = [threading.Thread(target=send, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 60:
        time.sleep(0.005)
    first.stop(signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert 60 <= len(acknowledged) < len(requests), "the kill must fall into the load"

    second = start_server(first.db)
    found = {row["name"]: row["n"] for row in second.sql("SELECT name, count(*) AS n FROM spans GROUP BY name")}
    assert {f"request-{number}" for number in acknowledged} <= set(found)
    assert set(found.values()) == {20}
    with grpc.insecure_channel(second.told.grpc) as channel:
        again = [TraceServiceStub(channel).Export.future(request, timeout=60) for request in requests]
        assert not [sent.exception() for sent in again if sent.exception()]
    assert second.sql("SELECT count(*) AS n FROM spans") == [{"n": 20 * len(requests)}]


def test_sigterm_commits_and_cleans_up(server: Any, otlp: Any) -> None:
    """SIGTERM ends the server with status 0; what it acknowledged is on disk and its file is gone."""
    with grpc.insecure_channel(server.told.grpc) as channel:
        futures = [TraceServiceStub(channel).Export.future(numbered(otlp, number), timeout=30) for number in range(50)]
        futures[0].result()
        assert server.stop() == 0
        kept = sum(future.exception() is None for future in futures)
    assert not server_file(server.place).exists()
    rows = server.sql("SELECT count(*) AS n FROM spans")
    assert rows[0]["n"] >= 20 * kept >= 20


def test_sigterm_does_not_wait_for_a_reader_that_stalls(server: Any) -> None:
    """A client that holds a result without reading it, or asks for an endless one, does not keep the server up."""
    client = flight.FlightClient(f"grpc://{server.told.sql}")
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {server.told.token}".encode())])
    stalled = client.do_get(statement_ticket("SELECT range, repeat('x', 1000) AS t FROM range(100000000)"), options)
    stalled.read_chunk()
    endless = "SELECT count(*) FROM range(3000000) a, range(3000000) b WHERE hash(a.range * b.range) % 7 = 3"

    def ask() -> None:
        with contextlib.suppress(flight.FlightError):
            client.do_get(statement_ticket(endless), options).read_all()

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    time.sleep(0.5)
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 20
    assert not server_file(server.place).exists()
    client.close()


@pytest.mark.file_only("a lake is asked without a server")
def test_a_killed_servers_number_may_be_anothers(start_server: Callable[..., Any]) -> None:
    """A server that was killed leaves its file; that another process has its number by now keeps nobody out."""
    first = start_server()
    first.stop(signal.SIGKILL)
    path = server_file(first.place)
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": os.getpid()}))
    assert first.sql("SELECT 1 AS one") == [{"one": 1}]


def test_health(shared_server: Any) -> None:
    """grpc.health.v1 says that the server and each service serve."""
    with grpc.insecure_channel(shared_server.told.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "opentelemetry.proto.collector.trace.v1.TraceService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_malformed_protobuf_is_invalid_argument(shared_server: Any, otlp: Any) -> None:
    """Bytes that are no request get INVALID_ARGUMENT once, and disturb nobody else."""
    with grpc.insecure_channel(shared_server.told.grpc) as channel:
        export = channel.unary_unary(EXPORT)
        bad = export.future(b"\x0a\xff\xff", timeout=10)
        good = export.future(numbered(otlp, 1).SerializeToString(), timeout=10)
        with pytest.raises(grpc.RpcError) as caught:
            bad.result()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "not an OTLP traces export request" in caught.value.details()
        assert ExportTraceServiceResponse.FromString(good.result()) == ExportTraceServiceResponse()


def test_a_client_that_gives_up_harms_nobody(shared_server: Any, otlp: Any) -> None:
    """Clients whose deadline passes before the commit do not disturb those that wait."""
    with grpc.insecure_channel(shared_server.told.grpc) as channel:
        stub = TraceServiceStub(channel)
        for number in range(20):
            with pytest.raises(grpc.RpcError):
                stub.Export(numbered(otlp, number), timeout=0.005)
        stub.Export(numbered(otlp, 20), timeout=20)


def test_partial_success(shared_server: Any, otlp: Any) -> None:
    """Invalid spans are counted in partial_success; full success leaves it unset."""
    with grpc.insecure_channel(shared_server.told.grpc) as channel:
        stub = TraceServiceStub(channel)
        answer = stub.Export(otlp.request({"trace_id": bytes(16)}, {}), timeout=10)
        assert answer.partial_success.rejected_spans == 1
        assert "trace id" in answer.partial_success.error_message
        assert not stub.Export(otlp.request({}), timeout=10).HasField("partial_success")
        assert not LogsServiceStub(channel).Export(ExportLogsServiceRequest(), timeout=10).HasField("partial_success")


def test_large_and_compressed_messages(server: Any, otlp: Any) -> None:
    """Gzip works; a message of tens of MiB is stored; one past the limit is RESOURCE_EXHAUSTED."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.told.grpc, options=options, compression=grpc.Compression.Gzip) as channel:
        stub = TraceServiceStub(channel)
        fits = {"trace_id": b"\x02" * 16, "name": "large", "attributes": {"text": "x" * (40 * 2**20)}}
        stub.Export(otlp.request(fits), timeout=60)
        stored = server.sql("SELECT length(attributes->>'text') AS n FROM spans WHERE name = 'large'")
        assert stored == [{"n": 40 * 2**20}]
        with pytest.raises(grpc.RpcError) as caught:
            stub.Export(otlp.request({"attributes": {"text": "x" * (70 * 2**20)}}), timeout=60)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_sql_answers_while_the_collector_writes(server: Any, otlp: Any) -> None:
    """Questions from other processes are answered between and during commits, and see ever more."""
    done = threading.Event()
    failures: list[Exception] = []

    def load() -> None:
        try:
            with grpc.insecure_channel(server.told.grpc) as channel:
                for number in range(1_000, 1_030 if lakes() else 1_150):
                    TraceServiceStub(channel).Export(numbered(otlp, number), timeout=30)
        except grpc.RpcError as error:
            failures.append(error)
        finally:
            done.set()

    sender = threading.Thread(target=load)
    sender.start()
    counts = []
    while not done.is_set():
        counts.append(server.sql("SELECT count(*) AS n FROM spans")[0]["n"])
    sender.join()
    assert not failures
    assert counts == sorted(counts)
    assert len(set(counts)) > 5, "the reader must have seen the store grow"


@pytest.mark.file_only("a lake has any number of servers")
def test_one_server_per_store(shared_server: Any) -> None:
    """A second server on the same store says who holds it, and exits with 4."""
    second = spanverdict("serve", "--db", str(shared_server.db), *FREE_PORTS)
    assert second.returncode == 4
    assert str(shared_server.process.pid) in second.stderr


def test_one_server_per_port(shared_server: Any, tmp_path: Path) -> None:
    """A server on a taken port says so, and exits with 4."""
    other = address_of(tmp_path / "b.duckdb")
    for option in ("--grpc", "--http", "--sql", "--monitoring"):
        taken = option, shared_server.told.grpc
        third = spanverdict("serve", "--db", str(other), *FREE_PORTS, *taken)
        assert third.returncode == 4
        assert "is the port taken" in third.stderr
        assert "Traceback" not in third.stderr
