"""Hands one OTLP request to a collector over gRPC, once; whoever calls decides whether to try again."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from urllib.parse import urlsplit

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub

_LATER = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""What the OTLP specification calls retryable ("Failures" of OTLP/gRPC)."""


class Answer(Enum):
    """What a collector made of a request."""

    TAKEN = "taken"
    LATER = "later"
    REFUSED = "refused"


def export(
    request: ExportLogsServiceRequest | ExportMetricsServiceRequest,
    *,
    url: str,
    headers: Mapping[str, str],
    timeout_seconds: float,
) -> Answer:
    """Send one request.

    Args:
        request: log records or metrics.
        url: the endpoint: ``https`` is encrypted, ``http`` is in the clear; the port is 4317 if it names none.
        headers: metadata of the call.
        timeout_seconds: how long it may take.
    """
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port or 4317}" if ":" not in (parts.hostname or "") else parts.netloc
    metadata = tuple((key.lower(), value) for key, value in headers.items())
    channel = (
        grpc.secure_channel(address, grpc.ssl_channel_credentials())
        if parts.scheme == "https"
        else grpc.insecure_channel(address)
    )
    with channel:
        logs = isinstance(request, ExportLogsServiceRequest)
        stub = LogsServiceStub(channel) if logs else MetricsServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            partial = stub.Export(request, timeout=timeout_seconds, metadata=metadata).partial_success
        except grpc.RpcError as error:
            return Answer.LATER if error.code() in _LATER else Answer.REFUSED
        rejected = partial.rejected_log_records if logs else partial.rejected_data_points
        return Answer.REFUSED if rejected else Answer.TAKEN
