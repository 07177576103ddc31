"""The sender waits for acknowledgements, retries what may be retried, and says what was refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import add_LogsServiceServicer_to_server
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server

from collector.errors import SendError
from collector.sender import Sender


@dataclass
class Collector:
    """A collector that answers as it is told: a status to abort with, or a response."""

    answers: list[grpc.StatusCode | Any] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)
    compression: list[str] = field(default_factory=list)
    address: str = ""

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 (the service's name)
        """Note the request and give the next answer; the last one is given ever after."""
        self.received.append(request)
        self.compression += [str(value) for key, value in context.invocation_metadata() if key == "grpc-encoding"]
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, f"told to answer {answer.name}")
        if callable(answer):
            return answer()
        return answer


@pytest.fixture
def serve() -> Iterator[Callable[..., Collector]]:
    """Starts collectors for traces and logs."""
    servers = []

    def start(*answers: Any) -> Collector:
        collector = Collector(list(answers))
        server = grpc.server(ThreadPoolExecutor(4))
        add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
        add_LogsServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
        collector.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        servers.append(server)
        return collector

    yield start
    for server in servers:
        server.stop(0).wait()


def test_an_acknowledged_request(serve: Callable[..., Collector], otlp: Any) -> None:
    """Traces and logs each go to their service, once, and return when acknowledged."""
    collector = serve(ExportTraceServiceResponse())
    request = otlp.request({}, {})
    with Sender(collector.address) as sender:
        sender.send(request)
    assert collector.received == [request]
    collector = serve(ExportLogsServiceResponse())
    records = ExportLogsServiceRequest()
    records.resource_logs.add().scope_logs.add().log_records.add().severity_text = "INFO"
    with Sender(collector.address) as sender:
        sender.send(records)
    assert collector.received == [records]


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_a_busy_collector_is_asked_again(serve: Callable[..., Collector], otlp: Any, status: grpc.StatusCode) -> None:
    """What may be retried is sent again, unchanged, until it is acknowledged."""
    collector = serve(status, status, ExportTraceServiceResponse())
    request = otlp.request({})
    with Sender(collector.address) as sender:
        sender.send(request)
    assert collector.received == [request] * 3


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED]
)
def test_a_refusal_is_final(serve: Callable[..., Collector], otlp: Any, status: grpc.StatusCode) -> None:
    """What would be refused again is not sent again."""
    collector = serve(status)
    with Sender(collector.address) as sender, pytest.raises(SendError, match=f"told to answer {status.name}"):
        sender.send(otlp.request({}))
    assert len(collector.received) == 1


def test_a_partly_refused_request(serve: Callable[..., Collector], otlp: Any) -> None:
    """Records that the collector counts as refused are an error with its reason, for traces and for logs."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 3
    answer.partial_success.error_message = "no ids"
    with Sender(serve(answer).address) as sender, pytest.raises(SendError, match="refused 3 records: no ids"):
        sender.send(otlp.request({}))
    logs = ExportLogsServiceResponse()
    logs.partial_success.rejected_log_records = 2
    with Sender(serve(logs).address) as sender, pytest.raises(SendError, match="refused 2 records"):
        sender.send(ExportLogsServiceRequest())


def test_a_warning_is_not_a_refusal(serve: Callable[..., Collector], otlp: Any) -> None:
    """A message without refused records is a warning (OTLP specification, partial success)."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.error_message = "slow down"
    with Sender(serve(answer).address) as sender:
        sender.send(otlp.request({}))


@pytest.mark.parametrize("answer", [grpc.StatusCode.UNAVAILABLE, lambda: time.sleep(3)])
def test_patience_ends(serve: Callable[..., Collector], otlp: Any, answer: Any) -> None:
    """A collector that is never ready, or never answers, is given up after the patience, with its address."""
    collector = serve(answer)
    begun = time.monotonic()
    with (
        Sender(collector.address, patience_seconds=0.6) as sender,
        pytest.raises(SendError, match=f"{collector.address} refused a request"),
    ):
        sender.send(otlp.request({}))
    assert 0.5 < time.monotonic() - begun < 2.5


def test_nobody_listens(otlp: Any) -> None:
    """Without a collector the sender gives up and says where it tried."""
    with Sender("127.0.0.1:1", patience_seconds=0.3) as sender, pytest.raises(SendError, match=r"127\.0\.0\.1:1"):
        sender.send(otlp.request({}))


def test_many_threads_share_a_sender(serve: Callable[..., Collector], otlp: Any) -> None:
    """One sender serves many threads; every request arrives once."""
    collector = serve(ExportTraceServiceResponse())
    requests = [otlp.request({"name": str(number)}) for number in range(50)]
    with Sender(collector.address) as sender, ThreadPoolExecutor(8) as pool:
        list(pool.map(sender.send, requests))
    assert len(collector.received) == 50
    assert {request.resource_spans[0].scope_spans[0].spans[0].name for request in collector.received} == {
        str(number) for number in range(50)
    }


def test_large_requests_are_sent(serve: Callable[..., Collector]) -> None:
    """The sender has no limit of its own on a request's size; compressed, it is within the receiver's."""
    collector = serve(ExportTraceServiceResponse())
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add().name = "x" * 3 * 2**20
    with Sender(collector.address) as sender:
        sender.send(request)
    assert collector.received == [request]
