"""What a line or a message holds: which signals, each as an export request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import SPAN_ID_BYTES, TRACE_ID_BYTES
from collector.otlp_json import serialize
from collector.signals import Signal

_KEYS = {"resourceSpans": Signal.TRACES, "resourceLogs": Signal.LOGS}
_METRICS_KEY = "resourceMetrics"

_Message = TypeVar("_Message", bound=Message)


class ContentError(ValueError):
    """This is no OTLP data; the message is one sentence."""


@dataclass(frozen=True)
class Content:
    """What a line or a message holds.

    Attributes:
        requests: serialized export requests.
        metrics: whether there are metrics, which are not kept.
    """

    requests: tuple[tuple[Signal, bytes], ...]
    metrics: bool = False


def from_json(value: dict[str, Any]) -> Content:
    """The requests in a parsed `TracesData`, `LogsData` or `MetricsData`, or in one object that is several of them.

    Raises:
        OtlpJsonError: a field does not hold what it should.
        ContentError: the object has none of their fields.
    """
    if value and not any(key in value for key in (*_KEYS, _METRICS_KEY)):
        raise ContentError("This is not OTLP/JSON: it has neither resourceSpans nor resourceLogs.")
    return Content(
        tuple((signal, serialize(value, signal)) for key, signal in _KEYS.items() if value.get(key)),
        metrics=bool(value.get(_METRICS_KEY)),
    )


def from_protobuf(data: bytes) -> Content:
    """The request that a serialized message is.

    The messages of the three signals have the same shape and bear no name: what tells them apart is that a span has ids
    of 16 and 8 octets, a log record a time or a body, a metric data.

    Raises:
        ContentError: it is none of them.
    """
    if _is_traces(data):
        return Content(((Signal.TRACES, data),))
    if _is_logs(data):
        return Content(((Signal.LOGS, data),))
    if _is_metrics(data):
        return Content((), metrics=True)
    if not data or _parsed(ExportTraceServiceRequest, data) == ExportTraceServiceRequest():
        return Content(())
    raise ContentError("This is neither OTLP/JSON nor a serialized OTLP message.")


def _is_traces(data: bytes) -> bool:
    request = _parsed(ExportTraceServiceRequest, data)
    return request is not None and any(
        len(span.trace_id) == TRACE_ID_BYTES and len(span.span_id) == SPAN_ID_BYTES and span.start_time_unix_nano
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


def _is_logs(data: bytes) -> bool:
    request = _parsed(ExportLogsServiceRequest, data)
    return request is not None and any(
        record.time_unix_nano or record.observed_time_unix_nano or record.HasField("body")
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    )


def _is_metrics(data: bytes) -> bool:
    request = _parsed(ExportMetricsServiceRequest, data)
    return request is not None and any(
        metric.WhichOneof("data")
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def _parsed(kind: type[_Message], data: bytes) -> _Message | None:
    try:
        return kind.FromString(data)
    except DecodeError:
        return None
