"""OTLP over gRPC: protocol only. What a request says is the ingest path's business.

Source of the rules: OpenTelemetry protocol specification 1.11, "OTLP/gRPC" (response messages, retryable status
codes, throttling), and grpc.health.v1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.ingest import Ingest, Outcome, OverloadedError, StoppedError
from collector.signals import Signal
from collector.wire import MalformedRequestError

MAX_MESSAGE_BYTES = 64 * 2**20
"""Largest message taken, after decompression (the specification's recommended default)."""

RETRY_SECONDS = 1
"""What an overloaded collector asks for: exporters drop a batch whose wait passes their ten-second deadline."""

SERVICES = {
    "opentelemetry.proto.collector.trace.v1.TraceService": Signal.TRACES,
    "opentelemetry.proto.collector.logs.v1.LogsService": Signal.LOGS,
}

_Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcReceiver:
    """The OTLP/gRPC server.

    Args:
        ingest: where requests go.
        address: host:port to bind; port 0 takes a free one.
    """

    def __init__(self, ingest: Ingest, address: str) -> None:
        self._ingest = ingest
        self._address = address
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Bind and serve; returns the bound port.

        Raises:
            OSError: the address cannot be bound.
        """
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                # Two servers must not share a port by accident: telemetry would go to either.
                ("grpc.so_reuseport", 0),
            ]
        )
        server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    service, {"Export": grpc.unary_unary_rpc_method_handler(self._handler(signal))}
                )
                for service, signal in SERVICES.items()
            )
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        try:
            port = server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"OTLP/gRPC cannot listen on {self._address}: is the port taken?") from error
        await server.start()
        self._server = server
        await self.set_serving(serving=True)
        return port

    async def set_serving(self, *, serving: bool) -> None:
        """Tell health checks whether requests can be stored."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", *SERVICES):
            await self._health.set(service, status)

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new requests and let those in flight finish for up to ``grace_seconds``."""
        if self._server:
            await self._health.enter_graceful_shutdown()
            await self._server.stop(grace_seconds)

    def _handler(self, signal: Signal) -> Callable[[bytes, _Context], Awaitable[bytes]]:
        async def export(request: bytes, context: _Context) -> bytes:
            try:
                outcome = await asyncio.wrap_future(self._ingest.submit(signal, request))
            except (OverloadedError, StoppedError) as error:
                await _abort_retryable(context, str(error))
            except MalformedRequestError as error:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"This is not an OTLP {signal} export request: {error}. Sending it again will not help.",
                )
            return _response(signal, outcome)

        return export


def _response(signal: Signal, outcome: Outcome) -> bytes:
    """Full success leaves partial_success unset; else it holds the count and one sentence."""
    if signal is Signal.TRACES:
        traces = ExportTraceServiceResponse()
        if outcome.rejected:
            traces.partial_success.rejected_spans = outcome.rejected
            traces.partial_success.error_message = outcome.reason
        return traces.SerializeToString()
    logs = ExportLogsServiceResponse()
    if outcome.rejected:
        logs.partial_success.rejected_log_records = outcome.rejected
        logs.partial_success.error_message = outcome.reason
    return logs.SerializeToString()


async def _abort_retryable(context: _Context, message: str) -> None:
    """UNAVAILABLE with RetryInfo, in both places where exporters look for it.

    The Python exporter reads `google.rpc.retryinfo-bin`, Go and the OpenTelemetry Collector the status details.
    """
    retry = RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS))
    detail = AnyMessage()
    detail.Pack(retry)
    status = Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message=message, details=[detail])
    await context.abort(
        grpc.StatusCode.UNAVAILABLE,
        message,
        trailing_metadata=(
            ("google.rpc.retryinfo-bin", retry.SerializeToString()),
            ("grpc-status-details-bin", status.SerializeToString()),
        ),
    )
