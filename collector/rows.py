"""Decoded columns → the tables that the store appends: spans, log_records, evaluations and resources."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import json_list, json_strings
from collector.conventions.sources import Convention, Reader, Source
from collector.credentials import Credential
from collector.decode import Envelope, EventColumns, LinkColumns, LogColumns, SpanColumns
from collector.evaluations.rows import evaluations_of_logs, evaluations_of_spans
from collector.literals import NO_TEXT, ZERO, concatenate, cut, integer, text, unless_empty
from collector.normalize import NormalizerInput, canonical_columns, event_names
from collector.read_attributes import first_usable
from collector.signals import Signal
from collector.times import LATEST_TIME, repeated, timestamps
from sql.batches import IDENTITY, first_of_each

INVALID_IDS = "invalid_ids"
TIME_OUT_OF_RANGE = "time_out_of_range"

KINDS = pa.array(["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"])
"""The kinds of spans, by their number in OTLP."""

STATUS_CODES = pa.array(["UNSET", "OK", "ERROR"])
"""The codes of a status, by their number in OTLP."""

_RESOURCE_TEXTS = {
    "service_name": ("service.name",),
    "service_version": ("service.version",),
    "deployment_environment": ("deployment.environment.name", "deployment.environment"),
}


@dataclass(frozen=True)
class Rows:
    """What one group of requests adds to the store.

    Attributes:
        tables: table name → rows, in the columns of the store's tables.
        records: for each request, how many records it held.
        rejected: for each request, how many of those were refused.
        sentence: for the clients whose records were refused.
        rejections: reason → how many records were refused for it.
        arrived: service name → how many of its records came, and how many of those were refused.
    """

    tables: dict[str, pa.Table]
    records: npt.NDArray[np.int64]
    rejected: npt.NDArray[np.int64]
    sentence: str
    rejections: dict[str, int]
    arrived: dict[str | None, tuple[int, int]]


def span_rows(spans: SpanColumns, credentials: Sequence[Credential | None], received_at: datetime) -> Rows:
    """Rows of a group of trace requests.

    Spans without a valid trace id and span id, or that start outside 1970 to 2262, are refused (trace.proto: such
    ids are invalid; the store could not hold such a time).
    """
    keep = spans.valid & (spans.start <= LATEST_TIME)
    resources = _resources(spans.envelope, credentials, received_at)
    by_record = pa.array(spans.envelope.resource)
    fields = spans.fields
    scope_name, scope_version = spans.envelope.scope_name, spans.envelope.scope_version
    columns = {
        "trace_id": spans.trace_id,
        "span_id": spans.span_id,
        "parent_span_id": spans.parent_span_id,
        "name": fields["name"],
        "kind": _named(fields["kind"], KINDS),
        "start_time": timestamps(spans.start),
        "end_time": timestamps(spans.end),
        "duration_ns": _durations(spans.start, spans.end),
        "status_code": _named(fields["status_code"], STATUS_CODES),
        "status_message": unless_empty(fields["status_message"]),
        "service_name": resources.service_names.take(by_record),
        "scope_name": unless_empty(scope_name),
        "scope_version": unless_empty(scope_version),
        **canonical_columns(NormalizerInput.of(spans)),
        "attributes": spans.attributes.json_objects(),
        "events": _events_json(spans.events),
        "links": _links_json(spans.links),
        "trace_state": unless_empty(fields["trace_state"]),
        "flags": fields["flags"],
        "dropped_attributes_count": fields["dropped_attributes_count"],
        "dropped_events_count": fields["dropped_events_count"],
        "dropped_links_count": fields["dropped_links_count"],
        "resource_id": resources.ids.take(by_record),
        "received_at": repeated(received_at, len(spans)),
    }
    table = pa.table(columns)
    evaluations = evaluations_of_spans(spans, table, keep, received_at)
    if not keep.all():
        table = table.filter(pa.array(keep))
    return Rows(
        {"resources": resources.table, "spans": first_of_each(table, *IDENTITY["spans"]), "evaluations": evaluations},
        np.bincount(spans.envelope.request, minlength=len(credentials)),
        np.bincount(spans.envelope.request[~keep], minlength=len(credentials)),
        "spans need a non-zero 16-byte trace id, a non-zero 8-byte span id and a start time before 2262",
        _counts({INVALID_IDS: ~spans.valid, TIME_OUT_OF_RANGE: spans.valid & ~keep}),
        _arrived(spans.envelope, resources, keep),
    )


def log_rows(logs: LogColumns, credentials: Sequence[Credential | None], received_at: datetime) -> Rows:
    """Rows of a group of log requests; evaluation results among them are stored as evaluations too."""
    keep = logs.time <= LATEST_TIME
    resources = _resources(logs.envelope, credentials, received_at)
    by_record = pa.array(logs.envelope.resource)
    names = event_names(logs)
    attributes = logs.attributes.json_objects()
    times = timestamps(logs.time)
    received = repeated(received_at, len(logs))
    table = pa.table(
        {
            "event_time": times,
            "trace_id": logs.trace_id,
            "span_id": logs.span_id,
            "event_name": names,
            "severity_number": logs.fields["severity_number"],
            "severity_text": unless_empty(logs.fields["severity_text"]),
            "body": logs.body.json_texts(),
            "attributes": attributes,
            "service_name": resources.service_names.take(by_record),
            "scope_name": unless_empty(logs.envelope.scope_name),
            "scope_version": unless_empty(logs.envelope.scope_version),
            "resource_id": resources.ids.take(by_record),
            "received_at": received,
        }
    )
    evaluations = evaluations_of_logs(logs.attributes, table, keep, received_at)
    return Rows(
        {"resources": resources.table, "log_records": table.filter(pa.array(keep)), "evaluations": evaluations},
        np.bincount(logs.envelope.request, minlength=len(credentials)),
        np.bincount(logs.envelope.request[~keep], minlength=len(credentials)),
        "log records need a time before 2262",
        _counts({TIME_OUT_OF_RANGE: ~keep}),
        _arrived(logs.envelope, resources, keep),
    )


def arrivals(signal: Signal, rows: Rows, received_at: datetime) -> pa.Table:
    """What the ledger is told of a group: by service how many records came and how many of those were refused."""
    counted = [(service, *counts) for service, counts in rows.arrived.items() if counts[0]]
    return pa.table(
        {
            "signal": pa.repeat(text(str(signal)), len(counted)),
            "service_name": pa.array([service for service, _, _ in counted], pa.string()),
            "accepted": pa.array([accepted for _, accepted, _ in counted], pa.int64()),
            "rejected": pa.array([rejected for _, _, rejected in counted], pa.int64()),
            "received_at": repeated(received_at, len(counted)),
        }
    )


def _counts(refused: Mapping[str, npt.NDArray[np.bool_]]) -> dict[str, int]:
    return {reason: int(rows.sum()) for reason, rows in refused.items() if rows.any()}


def _arrived(
    envelope: Envelope, resources: _Resources, keep: npt.NDArray[np.bool_]
) -> dict[str | None, tuple[int, int]]:
    names = resources.service_names.to_pylist()
    records = np.bincount(envelope.resource, minlength=len(names)).tolist()
    refused = np.bincount(envelope.resource[~keep], minlength=len(names)).tolist()
    arrived: dict[str | None, tuple[int, int]] = {}
    for name, came, failed in zip(names, records, refused, strict=True):
        before = arrived.get(name, (0, 0))
        arrived[name] = before[0] + came, before[1] + failed
    return arrived


@dataclass(frozen=True)
class _Resources:
    """The distinct resources as a table, and of each one that came, repeated or not, its id and service name."""

    table: pa.Table
    ids: pa.Array
    service_names: pa.Array


def _resources(envelope: Envelope, credentials: Sequence[Credential | None], received_at: datetime) -> _Resources:
    lists = envelope.resources
    if any(credentials):
        senders = (credentials[request] for request in envelope.resource_request.tolist())
        lists = lists.overridden([sender.attributes if sender else {} for sender in senders])
    texts = lists.json_objects()
    ids = pa.array(
        [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in texts.to_pylist()],
        pa.string(),
    )
    columns = {
        column: cut(
            first_usable(
                lists,
                [Source(key, Convention.GENERAL, Reader.TEXT) for key in keys],
                pa.string(),
            )
        )
        for column, keys in _RESOURCE_TEXTS.items()
    }
    table = pa.table(
        {"resource_id": ids, **columns, "attributes": texts, "received_at": repeated(received_at, len(ids))}
    )
    return _Resources(first_of_each(table, *IDENTITY["resources"]), ids, columns["service_name"])


def _named(codes: pa.Array, names: pa.Array) -> pa.Array:
    """Enum numbers → names; a number outside the enum becomes the enum's zero (OTLP: unknown values are kept out)."""
    known = pc.and_(pc.greater_equal(codes, ZERO), pc.less(codes, integer(len(names))))
    return names.take(pc.if_else(known, codes, integer(0, codes.type)))


def _durations(start: npt.NDArray[np.uint64], end: npt.NDArray[np.uint64]) -> pa.Array:
    """End minus start; null where a span ends before it starts or has no end."""
    known = (end >= start) & (end <= LATEST_TIME)
    return pa.array(np.where(known, end - np.where(known, start, 0), 0).astype(np.int64), mask=~known)


def _events_json(events: EventColumns) -> pa.Array:
    if len(events.time) == 0:
        return pa.nulls(len(events.offsets) - 1, pa.string())
    members = concatenate(
        '{"time_unix_nano":', pc.cast(pa.array(events.time), pa.string()),
        ',"name":', json_strings(events.name),
        ',"attributes":', events.attributes.json_objects(), "}",
    )  # fmt: skip
    return _json_or_null(events.offsets, members)


def _links_json(links: LinkColumns) -> pa.Array:
    if len(links.trace_id) == 0:
        return pa.nulls(len(links.offsets) - 1, pa.string())
    members = concatenate(
        '{"trace_id":"', links.trace_id, '","span_id":"', links.span_id,
        '","attributes":', links.attributes.json_objects(), "}",
    )  # fmt: skip
    return _json_or_null(links.offsets, members)


def _json_or_null(offsets: npt.NDArray[np.int32], members: pa.Array) -> pa.Array:
    empty = pa.array(np.diff(offsets) == 0)
    return pc.if_else(empty, NO_TEXT, json_list(offsets, members, "[", "]"))
