"""The rows of the table `evaluations` that spans and log records bring."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import AttributeLists, Indices
from collector.decode import SpanColumns
from collector.evaluations.annotations import Scope, annotations_of
from collector.evaluations.feedback_spans import feedback_of
from collector.evaluations.results import (
    Columns,
    is_result,
    results_of_events,
    results_of_spans,
    says_something,
    spans_with_results,
)
from collector.evaluations.targets import Targets, stated_target
from collector.literals import NO_TEXT, text
from collector.times import repeated, timestamps


class Carrier(StrEnum):
    """How an evaluation came."""

    LOG = "log"
    SPAN_EVENT = "span_event"
    SPAN_ATTRIBUTES = "span_attributes"
    ANNOTATION = "annotation"
    ANNOTATION_CARRIER = "annotation_carrier"
    FEEDBACK_SPAN = "feedback_span"


Marks = npt.NDArray[np.bool_]


def evaluations_of_spans(spans: SpanColumns, table: pa.Table, keep: Marks, received_at: datetime) -> pa.Table:
    """The evaluations on and in some spans.

    Args:
        spans: the decoded spans.
        table: their rows for the table `spans`, in the same order.
        keep: which of them are stored; what the others say is not.
        received_at: when they arrived.
    """
    found = [
        _in_events(spans, table, keep),
        _in_attributes(spans, table, keep),
        _annotations(spans, table, keep),
        _feedback(spans, table, keep),
    ]
    parts = [part for part in found if part is not None]
    if not parts:
        return pa.table({})
    made = pa.concat_tables(parts, promote_options="default")
    return made.append_column("received_at", repeated(received_at, len(made)))


def evaluations_of_logs(attributes: AttributeLists, table: pa.Table, keep: Marks, received_at: datetime) -> pa.Table:
    """The evaluations among some log records; arguments as for spans, and the records' attributes."""
    names = table["event_name"].combine_chunks()
    rows = np.flatnonzero(is_result(names) & keep)
    if len(rows) == 0:
        return pa.table({})
    rows, columns, stated = results_of_events(attributes, rows)
    place = table.select(["event_time", "trace_id", "span_id", "service_name"]).take(pa.array(rows))
    trace_id, span_id = (place[name].combine_chunks() for name in ("trace_id", "span_id"))
    trace_id, span_id = stated_target(trace_id, span_id, stated["trace_id"], stated["span_id"])
    made = _table(place["event_time"], trace_id, span_id, place["service_name"], Carrier.LOG, columns)
    return made.append_column("received_at", repeated(received_at, len(made)))


def _in_events(spans: SpanColumns, table: pa.Table, keep: Marks) -> pa.Table | None:
    events = spans.events
    rows = np.flatnonzero(is_result(events.name))
    rows = rows[keep[events.spans[rows]]] if len(rows) else rows
    if len(rows) == 0:
        return None
    rows, columns, stated = results_of_events(events.attributes, rows)
    owners = events.spans[rows]
    targets = _targets(spans, table, owners).stated(stated["trace_id"], stated["span_id"])
    times = timestamps(events.time[rows])
    services = table["service_name"].take(pa.array(owners))
    return _table(times, targets.trace_id, targets.span_id, services, Carrier.SPAN_EVENT, columns)


def _in_attributes(spans: SpanColumns, table: pa.Table, keep: Marks) -> pa.Table | None:
    owners = spans_with_results(spans.attributes)
    owners = owners[keep[owners]]
    if len(owners) == 0:
        return None
    owners, columns, stated = results_of_spans(spans.attributes, owners)
    targets = _targets(spans, table, owners).stated(stated["trace_id"], stated["span_id"])
    # What else a judged span says is its own: the error is its call's, and its ids name it, not what it judges.
    of_judging = pa.array(targets.judging)
    columns["error_type"] = pc.if_else(of_judging, columns["error_type"], NO_TEXT)
    no_target = pc.and_(targets.trace_id.is_null(), targets.span_id.is_null())
    for name in ("response_id", "conversation_id"):
        columns[name] = pc.if_else(no_target, columns[name], NO_TEXT)
    made = _of_spans(table, owners, targets, Carrier.SPAN_ATTRIBUTES, columns)
    return made.filter(says_something(columns))


def _annotations(spans: SpanColumns, table: pa.Table, keep: Marks) -> pa.Table | None:
    found = annotations_of(spans.attributes)
    if found is None:
        return None
    targets = _targets(spans, table, found.spans)
    scopes = pa.array([str(scope) for scope in found.scopes], pa.string())
    of_session = pc.equal(scopes, text(Scope.SESSION))
    of_span = pc.equal(scopes, text(Scope.SPAN))
    conversations = table["conversation_id"].take(pa.array(found.spans)).combine_chunks()
    columns = found.columns | {"conversation_id": pc.if_else(of_session, conversations, NO_TEXT)}
    scoped = Targets(
        pc.if_else(of_session, NO_TEXT, targets.trace_id),
        pc.if_else(of_span, targets.span_id, NO_TEXT),
        targets.judging,
    )
    carriers = pc.if_else(pa.array(scoped.judging), text(Carrier.ANNOTATION_CARRIER), text(Carrier.ANNOTATION))
    return _of_spans(table, found.spans, scoped, carriers, columns).filter(pa.array(keep[found.spans]))


def _feedback(spans: SpanColumns, table: pa.Table, keep: Marks) -> pa.Table | None:
    owners, columns = feedback_of(spans.attributes)
    if len(owners) == 0:
        return None
    parents = spans.parent_span_id.take(pa.array(owners))
    trace_id = pc.if_else(parents.is_valid(), spans.trace_id.take(pa.array(owners)), NO_TEXT)
    targets = Targets(trace_id, parents, np.ones(len(owners), dtype=bool))
    made = _of_spans(table, owners, targets, Carrier.FEEDBACK_SPAN, columns)
    return made.filter(pa.array(keep[owners]))


def _targets(spans: SpanColumns, table: pa.Table, owners: Indices) -> Targets:
    return Targets.of(spans, table["gen_ai_span_kind"].combine_chunks(), owners)


def _of_spans(
    table: pa.Table, owners: Indices, targets: Targets, carrier: Carrier | pa.Array, columns: Columns
) -> pa.Table:
    """Rows of what stands on spans; it is known when the span ends."""
    place = table.select(["start_time", "end_time", "service_name"]).take(pa.array(owners))
    times = pc.max_element_wise(place["start_time"], place["end_time"])
    return _table(times, targets.trace_id, targets.span_id, place["service_name"], carrier, columns)


def _table(
    times: pa.Array,
    trace_id: pa.Array,
    span_id: pa.Array,
    services: pa.Array,
    carrier: Carrier | pa.Array,
    columns: Columns,
) -> pa.Table:
    if isinstance(carrier, Carrier):
        carrier = pa.repeat(text(carrier), len(trace_id))
    return pa.table(
        {
            **columns,
            "event_time": times,
            "trace_id": trace_id,
            "span_id": span_id,
            "service_name": services,
            "carrier": carrier,
        }
    )
