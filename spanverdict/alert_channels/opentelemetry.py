"""A message as OpenTelemetry: one log record with an event name for each event, and verdicts as a metric.

Sent as OTLP over HTTP or gRPC (https://opentelemetry.io/docs/specs/otlp/).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from analytics.alerts.change import Change
from analytics.alerts.events import Event
from analytics.alerts.message import Kind, Message
from analytics.report.model import Verdict
from collector.otlp_client import Answer, export
from spanverdict.alert_channels.http import Post
from spanverdict.alert_channels.http import send as send_post
from spanverdict.alert_channels.outcome import SENT, Outcome
from spanverdict.webhook_target import masked

SCOPE = "spanverdict.alerts"
METRIC = "spanverdict.metrics"
"""The gauge: how many metrics of a cohort have a verdict."""

_GRAVE = frozenset({Change.REGRESSED, Change.GUARD, Change.FAILED_RUN})
_DOUBTFUL = frozenset({Change.INVALID})


@dataclass(frozen=True)
class Export:
    """What is to be exported.

    Attributes:
        logs: the events; None where there are none.
        metrics: the gauge; None where there is none.
    """

    logs: ExportLogsServiceRequest | None
    metrics: ExportMetricsServiceRequest | None


def build(message: Message, *, delivery_id: str, now: datetime) -> Export:
    """The requests that carry a message.

    Args:
        message: what is told.
        delivery_id: its identity, an attribute of each record: what a receiver drops repetitions by.
        now: when it is sent (UTC, naive).
    """
    logs = _logs(message, delivery_id, now) if message.events else None
    return Export(logs, _metrics(message) if message.verdicts else None)


def _logs(message: Message, delivery_id: str, now: datetime) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add(resource=_resource())
    scope = group.scope_logs.add()
    scope.scope.name = SCOPE
    for event in message.events:
        severity = _severity(event.change)
        scope.log_records.add(
            time_unix_nano=_nanoseconds(message.timestamp),
            observed_time_unix_nano=_nanoseconds(now),
            severity_number=severity,
            severity_text=SeverityNumber.Name(severity).removeprefix("SEVERITY_NUMBER_"),
            event_name=f"spanverdict.{event.change.value}",
            body=AnyValue(string_value=event.sentence),
            attributes=_attributes(
                {
                    "spanverdict.delivery.id": delivery_id,
                    "spanverdict.test": True if message.kind is Kind.TEST else None,
                    "spanverdict.promotion": event.promotion,
                    "spanverdict.cohort": event.cohort,
                    "spanverdict.metric": event.metric,
                    "spanverdict.before": event.before,
                    "spanverdict.after": event.after,
                    "spanverdict.schedule": message.schedule,
                    "spanverdict.report.id": message.report["report_id"] if message.report else None,
                    "spanverdict.report.as_of": message.report["as_of"] if message.report else None,
                    **_figures(event),
                }
            ),
        )
    return request


def _figures(event: Event) -> dict[str, Any]:
    interval = event.facts.get("interval") or (None, None)
    exemplars = (event.facts.get("exemplars") or {}).get("candidate")
    return {
        "spanverdict.effect": event.facts.get("effect"),
        "spanverdict.interval.low": interval[0],
        "spanverdict.interval.high": interval[1],
        "spanverdict.margin": event.facts.get("margin"),
        "spanverdict.unit": event.facts.get("unit"),
        "spanverdict.exemplars": exemplars or None,
    }


def _metrics(message: Message) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add(resource=_resource())
    scope = group.scope_metrics.add()
    scope.scope.name = SCOPE
    metric = scope.metrics.add(
        name=METRIC, unit="{metric}", description="How many metrics of a cohort have the verdict in the newest report."
    )
    for cohort, counts in message.verdicts.items():
        # All of them: one that has gone would else stand at its last value.
        for verdict in Verdict:
            metric.gauge.data_points.add(
                time_unix_nano=_nanoseconds(message.timestamp),
                as_int=counts.get(verdict.value, 0),
                attributes=_attributes(
                    {
                        "spanverdict.promotion": message.promotion["name"] if message.promotion else None,
                        "spanverdict.cohort": cohort,
                        "spanverdict.verdict": verdict.value,
                    }
                ),
            )
    return request


def _severity(change: Change) -> SeverityNumber.ValueType:
    if change in _GRAVE:
        return SeverityNumber.SEVERITY_NUMBER_ERROR
    return SeverityNumber.SEVERITY_NUMBER_WARN if change in _DOUBTFUL else SeverityNumber.SEVERITY_NUMBER_INFO


def _resource() -> Resource:
    return Resource(attributes=_attributes({"service.name": "spanverdict"}))


def _attributes(given: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in given.items() if value is not None]


def _value(value: object) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int | float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(each) for each in value]))
    return AnyValue(string_value=str(value))


def _nanoseconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1_000_000) * 1_000


def posts(exported: Export, *, url: str, headers: Mapping[str, str], timeout_seconds: float) -> list[Post]:
    """The requests over HTTP: ``/v1/logs`` and ``/v1/metrics`` below the endpoint."""
    base = url.rstrip("/")
    return [
        Post(
            f"{base}{path}",
            request.SerializeToString(),
            {"content-type": "application/x-protobuf", "user-agent": "spanverdict", **headers},
            frozenset(key.lower() for key in headers),
            timeout_seconds,
        )
        for path, request in (("/v1/logs", exported.logs), ("/v1/metrics", exported.metrics))
        if request is not None
    ]


async def send_http(parts: Iterable[Post]) -> Outcome:
    """Send over HTTP; the first that fails decides."""
    for post in parts:
        outcome = await send_post(post)
        if outcome.error is not None:
            return outcome
    return SENT


def send_grpc(exported: Export, *, url: str, headers: Mapping[str, str], timeout_seconds: float) -> Outcome:
    """Send over gRPC; the first that fails decides."""
    for request in (exported.logs, exported.metrics):
        if request is None:
            continue
        answer = export(request, url=url, headers=headers, timeout_seconds=timeout_seconds)
        if answer is not Answer.TAKEN:
            who = masked(url)
            if answer is Answer.LATER:
                return Outcome(f"{who} does not take the message now.")
            return Outcome(f"{who} refused the message; it is given up.", is_final=True)
    return SENT
