"""Sends OTLP/gRPC export requests and waits for their acknowledgement, retrying as exporters do."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from collector.errors import SendError

_RETRYABLE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class Sender:
    """A client of one OTLP/gRPC endpoint.

    Args:
        address: host:port.
        patience_seconds: how long one request may take, retries included.
    """

    def __init__(self, address: str, patience_seconds: float = 30.0) -> None:
        self._address = address
        self._patience = patience_seconds
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.max_send_message_length", -1)], compression=grpc.Compression.Gzip
        )
        self._traces = TraceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._logs = LogsServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def send(self, request: ExportTraceServiceRequest | ExportLogsServiceRequest) -> None:
        """Send one request; when this returns the collector has acknowledged it whole.

        Raises:
            SendError: it was refused, in part or whole, or the collector did not answer in time.
        """
        traces = isinstance(request, ExportTraceServiceRequest)
        export = self._traces.Export if traces else self._logs.Export
        deadline = time.monotonic() + self._patience
        while True:
            try:
                partial = export(request, timeout=max(0.1, deadline - time.monotonic())).partial_success
            except grpc.RpcError as error:
                if error.code() not in _RETRYABLE or time.monotonic() >= deadline:
                    raise SendError(f"{self._address} refused a request: {error.details()}") from error
                time.sleep(0.2)
                continue
            if rejected := partial.rejected_spans if traces else partial.rejected_log_records:
                raise SendError(f"{self._address} refused {rejected} records: {partial.error_message}")
            return
