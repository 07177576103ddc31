"""Spans of any convention → the canonical GenAI columns, vectorised over a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import AttributeLists
from collector.conventions import (
    FIRST_TOKEN_EVENTS,
    INTEGER_COLUMNS,
    LIST_COLUMNS,
    NUMBER_COLUMNS,
    TEXT_COLUMNS,
    Convention,
    Reader,
    Source,
)
from collector.decode import EventColumns, LogColumns, SpanColumns
from collector.literals import NO_TEXT, text, unless_empty
from collector.read_values import READERS, map_distinct, texts
from collector.stored_attributes import attributes_from_json, events_from_json
from collector.tokens import settle_tokens

_FIRST_TOKEN_EVENTS = pa.array(list(FIRST_TOKEN_EVENTS))

_TYPES = {
    **dict.fromkeys(TEXT_COLUMNS, pa.string()),
    **dict.fromkeys(INTEGER_COLUMNS, pa.int64()),
    **dict.fromkeys(NUMBER_COLUMNS, pa.float64()),
    **dict.fromkeys(LIST_COLUMNS, pa.list_(pa.string())),
}
_EVENT_NAME_SOURCES = (Source("event.name", Convention.OTEL_OLDER, Reader.TEXT),)
_SOURCES = {**TEXT_COLUMNS, **INTEGER_COLUMNS, **NUMBER_COLUMNS, **LIST_COLUMNS}


NORMALIZER_VERSION = 1
"""Stored with each row. Raise it with every change after which a stored span could get other canonical values (new
names count, documentation does not): what an older version wrote is then normalised anew.
"""


@dataclass(frozen=True)
class NormalizerInput:
    """What normalising needs of spans, whether they were just decoded or come from the store; one row for each span.

    Attributes:
        names: the spans' names.
        start: when they started, nanoseconds since 1970.
        scope_name: their instrumentation scopes; null or empty for none.
        scope_version: the scopes' versions; null or empty for none.
        attributes: their attributes.
        events: their events.
    """

    names: pa.Array
    start: npt.NDArray[np.uint64]
    scope_name: pa.Array
    scope_version: pa.Array
    attributes: AttributeLists
    events: EventColumns

    @classmethod
    def of(cls, spans: SpanColumns) -> NormalizerInput:
        """Take decoded spans."""
        return cls(
            spans.fields["name"],
            spans.start,
            spans.envelope.scope_name,
            spans.envelope.scope_version,
            spans.attributes,
            spans.events,
        )

    @classmethod
    def of_stored(cls, rows: pa.Table) -> NormalizerInput:
        """Take rows of the table `spans`: columns name, start_time, scope_name, scope_version, attributes, events.

        Raises:
            ValueError: attributes or events are not the JSON that the store writes.
        """
        columns = {name: rows[name].combine_chunks() for name in STORED_COLUMNS}
        start = pc.cast(columns["start_time"], pa.timestamp("ns")).view(pa.int64())
        return cls(
            columns["name"],
            start.to_numpy(zero_copy_only=False).astype(np.uint64),
            columns["scope_name"],
            columns["scope_version"],
            attributes_from_json(columns["attributes"], read_keys()),
            events_from_json(columns["events"], EVENT_KEYS),
        )

    def __len__(self) -> int:
        return len(self.start)


STORED_COLUMNS = ("name", "start_time", "scope_name", "scope_version", "attributes", "events")
"""Columns of the table `spans` that normalising reads."""

EVENT_KEYS = frozenset({"exception.type"})
"""Attributes of span events that normalising reads."""


@cache
def read_keys() -> frozenset[str]:
    """Names of the span attributes that normalising reads; what else a span has does not matter to it."""
    return frozenset(source.key for sources in _SOURCES.values() for source in sources)


def first_usable(attributes: AttributeLists, sources: Sequence[Source], kind: pa.DataType) -> pa.Array:
    """For each owner, the value of the first source that has a usable one; null where none has."""
    owners = len(attributes.offsets) - 1
    position = np.full(owners, -1, dtype=np.int64)
    pieces: list[pa.Array] = []
    length = 0
    for source in reversed(sources):
        rows = attributes.rows_by_key.get(source.key)
        if rows is None:
            continue
        piece = READERS[source.reader](attributes.values.take(rows))
        usable = piece.is_valid().to_numpy(zero_copy_only=False)
        position[attributes.owners[rows[usable]]] = length + np.flatnonzero(usable)
        pieces.append(piece)
        length += len(piece)
    if not pieces:
        return pa.nulls(owners, kind)
    values = pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)
    return values.take(pa.array(position, mask=position < 0))


def event_names(logs: LogColumns) -> pa.Array:
    """The event name of each log record, null where it is no event; older SDKs tell it in an attribute."""
    told = first_usable(logs.attributes, _EVENT_NAME_SOURCES, pa.string())
    return pc.coalesce(unless_empty(logs.fields["event_name"]), told)


def canonical_columns(spans: NormalizerInput) -> dict[str, pa.Array]:
    """The canonical GenAI columns of the spans table (docs/data-model.md), null where a span does not tell."""
    columns = {name: first_usable(spans.attributes, sources, _TYPES[name]) for name, sources in _SOURCES.items()}
    columns["gen_ai_span_kind"] = _span_kinds(columns)
    columns["error_type"] = pc.coalesce(columns["error_type"], _exception_types(spans.events, len(spans)))
    columns["time_to_first_token_ms"] = pc.coalesce(columns["time_to_first_token_ms"], _first_token_ms(spans))
    settled = settle_tokens(columns, spans.scope_name)
    del columns["total_tokens"]
    return columns | settled


def _span_kinds(columns: dict[str, pa.Array]) -> pa.Array:
    """A declared kind wins; without one, a tool name makes a TOOL and a requested model an LLM span."""
    kinds = pc.coalesce(columns["gen_ai_span_kind"], pc.if_else(columns["tool_name"].is_valid(), text("TOOL"), NO_TEXT))
    return pc.coalesce(kinds, pc.if_else(columns["request_model"].is_valid(), text("LLM"), NO_TEXT))


def _exception_types(events: EventColumns, spans: int) -> pa.Array:
    """The class of the last recorded exception of each span (OpenTelemetry exception events)."""
    rows = events.attributes.rows_by_key.get("exception.type")
    if rows is None:
        return pa.nulls(spans, pa.string())
    types = map_distinct(texts(events.attributes.values.take(rows)), lambda name: name.rsplit(".", 1)[-1])
    position = np.full(spans, -1, dtype=np.int64)
    position[events.spans[events.attributes.owners[rows]]] = np.arange(len(rows))
    return types.take(pa.array(position, mask=position < 0))


def _first_token_ms(spans: NormalizerInput) -> pa.Array:
    """Time from a span's start to its first token event; null for spans without such an event."""
    names = spans.events.name
    marks = pc.is_in(names, _FIRST_TOKEN_EVENTS).to_numpy(zero_copy_only=False)
    found = np.flatnonzero(marks)
    if len(found) == 0:
        return pa.nulls(len(spans), pa.float64())
    owners = spans.events.spans[found]
    first = np.full(len(spans), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(first, owners, spans.events.time[found])
    known = np.zeros(len(spans), dtype=bool)
    known[owners] = first[owners] >= spans.start[owners]
    elapsed = np.where(known, first - np.where(known, spans.start, 0), 0).astype(np.float64) / 1e6
    return pa.array(elapsed, mask=~known)
