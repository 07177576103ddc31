"""What the store holds → OTLP/JSON again, as senders write it.

Source: OpenTelemetry protocol specification, "JSON Protobuf Encoding": ids are hex, 64-bit integers are texts, enums
are numbers. What the store's JSON does not tell apart (collector/stored_attributes.py) goes out as it would be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from collector.rows import KINDS, STATUS_CODES
from collector.stored_attributes import Members, parsed

LINE_RECORDS = 512
"""Records of one line: as many as SDKs send in one request."""

Row = Mapping[str, Any]
"""A row of `spans` or `log_records`: times as whole nanoseconds since 1970, JSON as text."""

_KIND_NUMBERS = {name: number for number, name in enumerate(KINDS.to_pylist())}
_STATUS_NUMBERS = {name: number for number, name in enumerate(STATUS_CODES.to_pylist())}
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


def trace_lines(rows: Sequence[Row], resources: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Spans as `TracesData`, of LINE_RECORDS at most.

    Args:
        rows: rows of `spans`.
        resources: resource id → its attributes as JSON text; one that is not there has none.
    """
    return _lines(rows, resources, _span, "resourceSpans", "scopeSpans", "spans")


def log_lines(rows: Sequence[Row], resources: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Log records as `LogsData`, of LINE_RECORDS at most.

    Args:
        rows: rows of `log_records`.
        resources: resource id → its attributes as JSON text; one that is not there has none.
    """
    return _lines(rows, resources, _log_record, "resourceLogs", "scopeLogs", "logRecords")


def _lines(
    rows: Sequence[Row],
    resources: Mapping[str, str],
    record: Callable[[Row], dict[str, Any]],
    of_resources: str,
    of_scopes: str,
    of_records: str,
) -> Iterator[dict[str, Any]]:
    for start in range(0, len(rows), LINE_RECORDS):
        found: dict[str, dict[tuple[str, str], list[dict[str, Any]]]] = {}
        for row in rows[start : start + LINE_RECORDS]:
            scope = row["scope_name"] or "", row["scope_version"] or ""
            found.setdefault(row["resource_id"], {}).setdefault(scope, []).append(_filled(record(row)))
        yield {
            of_resources: [
                {
                    "resource": {"attributes": _attributes(resources.get(resource_id))},
                    of_scopes: [
                        {"scope": _filled({"name": name, "version": version}), of_records: records}
                        for (name, version), records in by_scope.items()
                    ],
                }
                for resource_id, by_scope in found.items()
            ]
        }


def _span(row: Row) -> dict[str, Any]:
    return {
        "traceId": row["trace_id"],
        "spanId": row["span_id"],
        "parentSpanId": row["parent_span_id"],
        "traceState": row["trace_state"],
        "flags": row["flags"],
        "name": row["name"],
        "kind": _KIND_NUMBERS[row["kind"]],
        "startTimeUnixNano": str(row["start_time"]),
        "endTimeUnixNano": str(row["end_time"]),
        "attributes": _attributes(row["attributes"]),
        "droppedAttributesCount": row["dropped_attributes_count"],
        "events": [
            {
                "timeUnixNano": str(event["time_unix_nano"]),
                "name": event["name"],
                "attributes": _key_values(event["attributes"]),
            }
            for event in map(dict, _list(row["events"]))
        ],
        "droppedEventsCount": row["dropped_events_count"],
        "links": [
            {
                "traceId": link["trace_id"],
                "spanId": link["span_id"],
                "attributes": _key_values(link["attributes"]),
            }
            for link in map(dict, _list(row["links"]))
        ],
        "droppedLinksCount": row["dropped_links_count"],
        "status": _filled({"code": _STATUS_NUMBERS[row["status_code"]], "message": row["status_message"]}),
    }


def _log_record(row: Row) -> dict[str, Any]:
    return {
        "timeUnixNano": str(row["event_time"]),
        "severityNumber": row["severity_number"],
        "severityText": row["severity_text"],
        "body": None if row["body"] is None else _any_value(parsed(row["body"])),
        "attributes": _attributes(row["attributes"]),
        "traceId": row["trace_id"],
        "spanId": row["span_id"],
        "eventName": row["event_name"],
    }


def _filled(record: dict[str, Any]) -> dict[str, Any]:
    """Without what has OTLP's default."""
    return {name: value for name, value in record.items() if value not in (None, "", 0, [], {})}


def _list(text: str | None) -> list[Any]:
    return [] if text is None else parsed(text)


def _attributes(text: str | None) -> list[dict[str, Any]]:
    return [] if text is None else _key_values(parsed(text))


def _key_values(members: Members) -> list[dict[str, Any]]:
    return [{"key": name, "value": _any_value(value)} for name, value in members]


def _any_value(value: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON has many types)
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if _LOWEST <= value <= _HIGHEST else {"doubleValue": float(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, Members):
        return {"kvlistValue": {"values": _key_values(value)}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    return {}
