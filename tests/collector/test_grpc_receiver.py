"""OTLP/gRPC against a real server: tokens, TLS, limits, what is answered to whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import psutil
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
TOKEN = (("authorization", "Bearer s3cret"),)
LARGE = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]


def refused(call: Callable[[], Any]) -> grpc.RpcError:
    """The error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def details(error: Any) -> Status:
    """The google.rpc.Status among the trailing metadata."""
    return Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])


def test_metrics_are_taken_and_not_kept(server: Any) -> None:
    """Exporters send all signals: metrics get success; the log says so once."""
    with grpc.insecure_channel(server.told.grpc) as channel:
        for _ in range(2):
            answer = MetricsServiceStub(channel).Export(ExportMetricsServiceRequest(), timeout=10)
            assert answer == ExportMetricsServiceResponse()
    server.stop()
    assert server.log.read_text().count("metrics, which are taken and not kept") == 1


def test_tokens(guarded: Any, otlp: Any) -> None:
    """Without the token UNAUTHENTICATED, before the message is read; health needs none; attributes are applied."""
    with grpc.insecure_channel(guarded.told.grpc, options=LARGE) as channel:
        stub = TraceServiceStub(channel)
        for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", "s3cret"),)):
            error = refused(lambda given=metadata: stub.Export(otlp.request({}), timeout=10, metadata=given))
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        stub.Export(otlp.request({}, resource={"service.namespace": "mine"}), timeout=10, metadata=TOKEN)
    assert guarded.sql("SELECT attributes->>'service.namespace' AS n FROM resources") == [{"n": "shop"}]
    guarded.stop()
    assert "s3cret" not in (guarded.db.parent / "server-0.log").read_text()


def test_tls(configured: Callable[[str], Any], certificates: Any, otlp: Any) -> None:
    """With client_ca only clients with a certificate of it get through, and nobody in the clear."""
    server = configured(
        f"[server.tls]\ncertificate = '{certificates.server}'\nkey = '{certificates.server_key}'\n"
        f"client_ca = '{certificates.ca}'\n"
    )
    root = certificates.ca.read_bytes()
    client = certificates.client_key.read_bytes(), certificates.client.read_bytes()

    def export(credentials: grpc.ChannelCredentials) -> None:
        with grpc.secure_channel(server.told.grpc, credentials) as channel:
            TraceServiceStub(channel).Export(otlp.request({}), timeout=10)

    assert refused(lambda: export(grpc.ssl_channel_credentials(root))).code() is grpc.StatusCode.UNAVAILABLE
    with grpc.insecure_channel(server.told.grpc) as channel:
        error = refused(lambda: TraceServiceStub(channel).Export(otlp.request({}), timeout=10))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    export(grpc.ssl_channel_credentials(root, *client))
    assert server.sql("SELECT count(*) AS n FROM spans") == [{"n": 1}]


def test_tls_without_client_certificates(configured: Callable[[str], Any], certificates: Any, otlp: Any) -> None:
    """Without client_ca any client that trusts the certificate gets through."""
    server = configured(f"[server.tls]\ncertificate = '{certificates.server}'\nkey = '{certificates.server_key}'\n")
    trusting = grpc.ssl_channel_credentials(certificates.ca.read_bytes())
    with grpc.secure_channel(server.told.grpc, trusting) as channel:
        TraceServiceStub(channel).Export(otlp.request({}), timeout=10)
    assert server.sql("SELECT count(*) AS n FROM spans") == [{"n": 1}]


def test_bad_data_is_not_sent_again(shared_server: Any) -> None:
    """INVALID_ARGUMENT with a BadRequest; logs sent as traces are told where to go; a call needs a message."""
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(observed_time_unix_nano=1_793_000_000_000_000_000)
    with grpc.insecure_channel(shared_server.told.grpc) as channel:
        for payload, sentence in ((b"\x0a\xff\xff", "not an OTLP traces"), (logs.SerializeToString(), "LogsService")):
            error = refused(lambda given=payload: channel.unary_unary(TRACES)(given, timeout=10))
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert sentence in error.details()
            assert details(error).details[0].Is(BadRequest.DESCRIPTOR)
        error = refused(lambda: channel.stream_unary(TRACES)(iter([]), timeout=10))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_overload_says_when_to_try_again(configured: Callable[[str], Any], otlp: Any) -> None:
    """A staller is cut off for others: UNAVAILABLE, with RetryInfo in both places where exporters look."""
    server = configured("[ingest]\nwaiting_mib = 8\n[server]\nmax_request_mib = 8\n")
    cut: list[Any] = []
    release = threading.Event()

    def stall() -> Any:
        def nothing() -> Any:
            release.wait(20)
            yield from ()

        with grpc.insecure_channel(server.told.grpc, options=LARGE) as channel:
            cut.append(refused(lambda: channel.stream_unary(TRACES)(nothing(), timeout=20)))

    stallers = [threading.Thread(target=stall) for _ in range(4)]
    for thread in stallers:
        thread.start()
    time.sleep(0.5)
    with grpc.insecure_channel(server.told.grpc) as channel:
        started = time.monotonic()
        TraceServiceStub(channel).Export(otlp.request({}), timeout=10)
        assert time.monotonic() - started < 2, "those that stall hold nobody up"
    time.sleep(1)
    ended = [error for error in cut if error.code() is grpc.StatusCode.UNAVAILABLE]
    assert ended
    retry = RetryInfo.FromString(dict(ended[0].trailing_metadata())["google.rpc.retryinfo-bin"])
    assert retry.retry_delay.seconds == 1
    assert details(ended[0]).details[0].Is(RetryInfo.DESCRIPTOR)
    release.set()
    for thread in stallers:
        thread.join()


def test_large_messages_do_not_add_up(server: Any) -> None:
    """Many large messages at once cost the memory of a few: one that finds no room is told to come again, and may."""
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    large = b"\x00" * (32 * 2**20)
    peak = [before]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            peak.append(process.memory_info().rss)

    answered = []

    def send() -> None:
        with grpc.insecure_channel(server.told.grpc, options=LARGE) as channel:
            for _ in range(2):
                code = grpc.StatusCode.UNAVAILABLE
                while code is grpc.StatusCode.UNAVAILABLE and not done.wait(0.05):
                    code = channel.unary_unary(METRICS).future(large, timeout=60).code()
                answered.append(code)

    watcher = threading.Thread(target=watch)
    senders = [threading.Thread(target=send) for _ in range(16)]
    for thread in (watcher, *senders):
        thread.start()
    deadline = time.monotonic() + 90
    for thread in senders:
        thread.join(max(0.0, deadline - time.monotonic()))
    done.set()
    for thread in (watcher, *senders):
        thread.join()
    assert answered == [grpc.StatusCode.OK] * 32
    assert max(peak) - before < 768 * 2**20, "32 messages of 32 MiB are 1,024 MiB"


def test_the_limit_is_configured(configured: Callable[[str], Any], otlp: Any) -> None:
    """A message past server.max_request_mib is RESOURCE_EXHAUSTED, also if only unpacked; one below is stored."""
    server = configured("[server]\nmax_request_mib = 2\n")
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        with grpc.insecure_channel(server.told.grpc, options=LARGE, compression=compression) as channel:
            stub = TraceServiceStub(channel)
            error = refused(lambda given=stub: given.Export(otlp.request({"name": "x" * (2 * 2**20)}), timeout=20))
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            stub.Export(otlp.request({"name": "x" * 2**20}), timeout=20)
    assert server.sql("SELECT count(*) AS n FROM spans") == [{"n": 1}]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300))
def test_whatever_is_sent_is_never_the_servers_fault(shared_server: Any, body: bytes) -> None:
    """Any bytes: success or INVALID_ARGUMENT, never INTERNAL or UNKNOWN."""
    with grpc.insecure_channel(shared_server.told.grpc) as channel:
        call = channel.unary_unary(TRACES).future(body, timeout=10)
        assert call.code() in {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}, call.details()
