"""The rules that OTLP/gRPC and OTLP/HTTP share: what is answered to whom, and in which words.

Source of the rules: OpenTelemetry protocol specification 1.11, "OTLP/gRPC" and "OTLP/HTTP" (response messages, partial
success, failures, throttling); google.rpc.Status and google.rpc.Code for errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.admission import SlowSenderError
from collector.credentials import ForbiddenError, UnauthenticatedError
from collector.ingest import Outcome, OverloadedError, StoppedError
from collector.otlp_json import OtlpJsonError
from collector.signals import Signal
from collector.wire import MalformedRequestError

MAX_REQUEST_BYTES = 64 * 2**20
"""Largest request taken, after decompression (the specification's recommended default)."""

RETRY_SECONDS = 1
"""What an overloaded collector asks for: exporters drop a batch whose wait passes their ten-second deadline."""

SERVICES: Mapping[str, Signal] = {
    "opentelemetry.proto.collector.trace.v1.TraceService": Signal.TRACES,
    "opentelemetry.proto.collector.logs.v1.LogsService": Signal.LOGS,
    "opentelemetry.proto.collector.metrics.v1.MetricsService": Signal.METRICS,
}
"""gRPC service → what its `Export` carries."""

PATHS: Mapping[str, Signal] = {f"/v1/{signal}": signal for signal in SERVICES.values()}
"""HTTP path → what is posted to it."""

UNSUPPORTED = "unsupported"
"""What requests are counted as that are no exports: another path, method, type or coding."""

_MESSAGE_CHARACTERS = 1000
"""Longest sentence sent: far below the 4 MiB that a response may have, and below the 8 KiB of gRPC's trailers."""


class TooLargeError(Exception):
    """A request of more bytes than are taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The request is larger than {limit // 2**20} MiB, decompressed; send smaller batches, or raise "
            "server.max_request_mib here."
        )


@dataclass(frozen=True)
class Refusal:
    """Why a request is not taken, in the terms of both transports.

    Attributes:
        code: the google.rpc.Code, which is gRPC's status code too.
        http_status: HTTP's.
        message: one sentence for whoever runs the sender.
        retry: the same request may be sent again after RETRY_SECONDS.
        reason: what it is counted as.
    """

    code: int
    http_status: int
    message: str
    retry: bool = False
    reason: str = UNSUPPORTED

    def status(self) -> Status:
        """The error as google.rpc.Status, with RetryInfo where a retry may help, BadRequest where none will."""
        status = Status(code=self.code, message=self.message)
        if self.retry:
            status.details.add().Pack(retry_info())
        elif self.code == Code.INVALID_ARGUMENT:
            status.details.add().Pack(
                BadRequest(field_violations=[BadRequest.FieldViolation(field="request", description=self.message)])
            )
        return status


def retry_info() -> RetryInfo:
    """When to send again."""
    return RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS))


_KINDS: Mapping[type[Exception], tuple[int, int, str]] = {
    OverloadedError: (Code.UNAVAILABLE, 503, "overloaded"),
    StoppedError: (Code.UNAVAILABLE, 503, "stopped"),
    MalformedRequestError: (Code.INVALID_ARGUMENT, 400, "malformed"),
    OtlpJsonError: (Code.INVALID_ARGUMENT, 400, "malformed"),
    UnauthenticatedError: (Code.UNAUTHENTICATED, 401, "unauthenticated"),
    ForbiddenError: (Code.PERMISSION_DENIED, 403, "forbidden"),
    SlowSenderError: (Code.DEADLINE_EXCEEDED, 408, "slow"),
    TooLargeError: (Code.RESOURCE_EXHAUSTED, 413, "too_large"),
}
"""503 and not 429: older exporters do not retry the latter."""

REFUSED = tuple(_KINDS)
"""The errors that `refusal` knows: each is the sender's affair or a passing one, none is a fault of the collector."""


def refusal(signal: Signal, error: Exception) -> Refusal:
    """What to answer to a request that ended in one of REFUSED."""
    code, http_status, reason = next(kind for known, kind in _KINDS.items() if isinstance(error, known))
    message = str(error)
    if code == Code.INVALID_ARGUMENT:
        what = "feedback" if signal is Signal.FEEDBACK else f"an OTLP {signal} export request"
        message = f"This is not {what}: {message.rstrip('.')}. Sending it again will not help."
    return Refusal(code, http_status, _short(message), retry=code == Code.UNAVAILABLE, reason=reason)


def response(signal: Signal, outcome: Outcome) -> Message:
    """The response message: full success leaves partial_success unset; else it has the count and one sentence."""
    reason = _short(outcome.reason)
    if signal is Signal.METRICS:
        return ExportMetricsServiceResponse()
    if signal is Signal.TRACES:
        traces = ExportTraceServiceResponse()
        if outcome.rejected:
            traces.partial_success.rejected_spans = outcome.rejected
            traces.partial_success.error_message = reason
        return traces
    logs = ExportLogsServiceResponse()
    if outcome.rejected:
        logs.partial_success.rejected_log_records = outcome.rejected
        logs.partial_success.error_message = reason
    return logs


def _short(text: str) -> str:
    return text if len(text) <= _MESSAGE_CHARACTERS else text[: _MESSAGE_CHARACTERS - 1] + "…"
