"""OTLP request bytes → Arrow columns, many requests at a time, without a Python object per span.

The protobuf wire format is read by ptars (Rust) into nested Arrow arrays; here they are flattened. Everything that
knows ptars is in this module, so that it can be replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import ptars
import pyarrow as pa
import pyarrow.compute as pc

from collector import wire
from collector.any_value import AnyValues, AttributeLists, Indices
from collector.literals import EMPTY, cut, integer
from collector.wire import MalformedRequestError

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8

_HEX_DIGITS = np.frombuffer("".join(f"{octet:02x}" for octet in range(256)).encode("ascii"), np.uint16)
"""For each octet its two hex digits, as the two bytes of one number."""

_POOL = ptars.HandlerPool([wire.TRACES.file, wire.LOGS.file])
_TRACES = _POOL.get_for_message(wire.TRACES)
_LOGS = _POOL.get_for_message(wire.LOGS)


@dataclass(frozen=True)
class Envelope:
    """What spans and log records share: where each one came from.

    Attributes:
        request: index of the request each row came in.
        resource: index into ``resources`` of each row.
        resources: attributes of each resource.
        resource_request: index of the request each resource came in.
        scope_name: instrumentation scope of each row.
        scope_version: its version.
    """

    request: Indices
    resource: Indices
    resources: AttributeLists
    resource_request: Indices
    scope_name: pa.Array
    scope_version: pa.Array


@dataclass(frozen=True)
class EventColumns:
    """Span events, one row each, in span order; ``offsets`` as in AttributeLists."""

    offsets: npt.NDArray[np.int32]
    time: npt.NDArray[np.uint64]
    name: pa.Array
    attributes: AttributeLists

    @property
    def spans(self) -> Indices:
        """For each event, the row of its span."""
        counts = np.diff(self.offsets)
        return np.repeat(np.arange(len(counts), dtype=np.int64), counts)


@dataclass(frozen=True)
class LinkColumns:
    """Span links, one row each, in span order; an invalid id is the empty text."""

    offsets: npt.NDArray[np.int32]
    trace_id: pa.Array
    span_id: pa.Array
    attributes: AttributeLists


@dataclass(frozen=True)
class SpanColumns:
    """Decoded spans, one row each, in the order in which they came. Ids are lowercase hex, null where invalid."""

    envelope: Envelope
    valid: npt.NDArray[np.bool_]
    trace_id: pa.Array
    span_id: pa.Array
    parent_span_id: pa.Array
    fields: dict[str, pa.Array]
    start: npt.NDArray[np.uint64]
    end: npt.NDArray[np.uint64]
    attributes: AttributeLists
    events: EventColumns
    links: LinkColumns

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class LogColumns:
    """Decoded log records, one row each. Ids are lowercase hex, null where absent or invalid."""

    envelope: Envelope
    trace_id: pa.Array
    span_id: pa.Array
    time: npt.NDArray[np.uint64]
    fields: dict[str, pa.Array]
    body: AnyValues
    attributes: AttributeLists

    def __len__(self) -> int:
        return len(self.time)


def decode_traces(payloads: Sequence[bytes]) -> SpanColumns:
    """Decode serialized `ExportTraceServiceRequest` messages into one set of columns.

    Raises:
        MalformedRequestError: one of the payloads is not such a message (decode them one by one to find it).
    """
    envelope, spans = _open(_TRACES, payloads, "resource_spans", "scope_spans", "spans")
    trace_id, trace_ok = _hex(spans["trace_id"], TRACE_ID_BYTES)
    span_id, span_ok = _hex(spans["span_id"], SPAN_ID_BYTES)
    parent, _ = _hex(spans["parent_span_id"], SPAN_ID_BYTES)
    status = _struct_fields(spans["status"])
    plain = ("name", "kind", "trace_state", "flags", "dropped_attributes_count")
    fields = {name: spans[name] for name in (*plain, "dropped_events_count", "dropped_links_count")}
    fields["status_code"] = pc.fill_null(status["code"], integer(0, pa.int32()))
    fields["status_message"] = status["message"]
    return SpanColumns(
        envelope=envelope,
        valid=trace_ok & span_ok,
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        fields=fields,
        start=spans["start_time_unix_nano"].to_numpy(zero_copy_only=False),
        end=spans["end_time_unix_nano"].to_numpy(zero_copy_only=False),
        attributes=AttributeLists.from_list(spans["attributes"]),
        events=_events(spans["events"]),
        links=_links(spans["links"]),
    )


def decode_logs(payloads: Sequence[bytes]) -> LogColumns:
    """Decode serialized `ExportLogsServiceRequest` messages into one set of columns.

    A record's time is its own, else the time at which it was observed (logs.proto, `LogRecord.time_unix_nano`).

    Raises:
        MalformedRequestError: one of the payloads is not such a message.
    """
    envelope, records = _open(_LOGS, payloads, "resource_logs", "scope_logs", "log_records")
    trace_id, _ = _hex(records["trace_id"], TRACE_ID_BYTES)
    span_id, _ = _hex(records["span_id"], SPAN_ID_BYTES)
    time = records["time_unix_nano"].to_numpy(zero_copy_only=False)
    observed = records["observed_time_unix_nano"].to_numpy(zero_copy_only=False)
    return LogColumns(
        envelope=envelope,
        trace_id=trace_id,
        span_id=span_id,
        time=np.where(time == 0, observed, time),
        fields={name: records[name] for name in ("severity_number", "severity_text", "event_name")},
        body=AnyValues.from_wire(records["body"]),
        attributes=AttributeLists.from_list(records["attributes"]),
    )


def _open(
    handler: Any,  # noqa: ANN401 (ptars gives its handlers no type)
    payloads: Sequence[bytes],
    *path: str,
) -> tuple[Envelope, dict[str, pa.Array]]:
    """Unfold requests → resources → scopes → records, keeping for each record where it came from."""
    try:
        batch = handler.list_to_record_batch(list(payloads))
    except ValueError as error:
        raise MalformedRequestError(str(error)) from error
    resource_lists = batch.column(path[0])
    resources = _struct_fields(resource_lists.flatten())
    scopes = _struct_fields(resources[path[1]].flatten())
    records = _struct_fields(scopes[path[2]].flatten())
    record_scope = _parents(scopes[path[2]])
    scope_resource = _parents(resources[path[1]])
    resource_request = _parents(resource_lists)
    record_resource = scope_resource[record_scope]
    scope = _struct_fields(scopes["scope"])
    by_record = pa.array(record_scope)
    envelope = Envelope(
        request=resource_request[record_resource],
        resource=record_resource,
        resources=AttributeLists.from_list(_lists(_struct_fields(resources["resource"])["attributes"])),
        resource_request=resource_request,
        scope_name=cut(scope["name"]).take(by_record),
        scope_version=cut(scope["version"]).take(by_record),
    )
    return envelope, records


def _struct_fields(struct: pa.StructArray) -> dict[str, pa.Array]:
    return dict(zip(struct.type.names, struct.flatten(), strict=True))


def _parents(lists: pa.ListArray) -> Indices:
    parents: Indices = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    return parents


def _lists(column: pa.ListArray) -> pa.ListArray:
    """Null lists (of an absent message) become empty ones, so that offsets and owners agree."""
    if column.null_count == 0:
        return column
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), column.flatten())


def _hex(ids: pa.Array, size: int) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Lowercase hex of binary ids, null where invalid: of another size, or all zero (trace.proto)."""
    sized = pc.equal(pc.binary_length(ids), integer(size, pa.int32())).to_numpy(zero_copy_only=False)
    chosen = ids if sized.all() else ids.filter(pa.array(sized))
    offsets, data = chosen.buffers()[1:]
    if len(chosen) == 0 or data is None:
        return pa.nulls(len(ids), pa.string()), np.zeros(len(ids), dtype=bool)
    first = int(np.frombuffer(offsets, np.int32, 1, 4 * chosen.offset)[0])
    octets = np.frombuffer(data, np.uint8, len(chosen) * size, first)
    starts = np.arange(0, (len(chosen) + 1) * size * 2, size * 2, dtype=np.int32)
    texts = pa.Array.from_buffers(
        pa.string(), len(chosen), [None, pa.py_buffer(starts), pa.py_buffer(_HEX_DIGITS[octets])]
    )
    valid = sized.copy()
    valid[sized] = octets.reshape(-1, size).any(axis=1)
    if not valid.all():
        position = np.cumsum(sized) - 1
        texts = texts.take(pa.array(position, mask=~valid))
    return texts, valid


def _offsets(lists: pa.ListArray) -> npt.NDArray[np.int32]:
    offsets: npt.NDArray[np.int32] = lists.offsets.to_numpy(zero_copy_only=False)
    from_zero: npt.NDArray[np.int32] = offsets - offsets[0]
    return from_zero


def _events(lists: pa.ListArray) -> EventColumns:
    events = _struct_fields(lists.flatten())
    return EventColumns(
        offsets=_offsets(lists),
        time=events["time_unix_nano"].to_numpy(zero_copy_only=False),
        name=events["name"],
        attributes=AttributeLists.from_list(events["attributes"]),
    )


def _links(lists: pa.ListArray) -> LinkColumns:
    links = _struct_fields(lists.flatten())
    return LinkColumns(
        offsets=_offsets(lists),
        trace_id=pc.fill_null(_hex(links["trace_id"], TRACE_ID_BYTES)[0], EMPTY),
        span_id=pc.fill_null(_hex(links["span_id"], SPAN_ID_BYTES)[0], EMPTY),
        attributes=AttributeLists.from_list(links["attributes"]),
    )
