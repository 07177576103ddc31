"""Spans of any convention → the canonical GenAI columns, vectorised over a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import AttributeLists, Indices
from collector.conventions.calls import (
    EVENT_NAME_SOURCES,
    FIRST_TOKEN_EVENTS,
    KEYS_OF_CARRIERS,
    KEYS_THAT_TELL_THE_KIND,
    TRACEAI_MODELS,
)
from collector.conventions.columns import EVENT_KEYS, READ_COLUMNS, read_keys
from collector.conventions.gateways import REPEAT_COLUMNS
from collector.conventions.settings import COST_PARTS, FILLED_IN
from collector.conventions.sources import Reader, Source
from collector.decode import EventColumns, LogColumns, SpanColumns
from collector.literals import FALSE, NO_INTEGER, NO_NUMBER, NO_TEXT, ZERO, integer, text, unless_empty
from collector.read_attributes import AttributeReader, first_usable
from collector.read_values import map_distinct, texts
from collector.stored_attributes import attributes_from_json, events_from_json, lengths_from_json
from collector.tokens import settle_tokens
from collector.usage import read_usage

NORMALIZER_VERSION = 2
"""Stored with each row. Raise it with every change after which a stored span could get other canonical values (new
names count, documentation does not): what an older version wrote is then normalised anew.
"""

STORED_COLUMNS = ("name", "start_time", "scope_name", "scope_version", "attributes", "events", "links")
"""Columns of the table `spans` that normalising reads."""

_FIRST_TOKEN_EVENTS = pa.array(list(FIRST_TOKEN_EVENTS))


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
        links: how many links each has.
    """

    names: pa.Array
    start: npt.NDArray[np.uint64]
    scope_name: pa.Array
    scope_version: pa.Array
    attributes: AttributeLists
    events: EventColumns
    links: Indices

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
            np.diff(spans.links.offsets).astype(np.int64),
        )

    @classmethod
    def of_stored(cls, rows: pa.Table) -> NormalizerInput:
        """Take rows of the table `spans`, with the columns STORED_COLUMNS.

        Raises:
            ValueError: attributes, events or links are not the JSON that the store writes.
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
            lengths_from_json(columns["links"]),
        )

    def __len__(self) -> int:
        return len(self.start)


def event_names(logs: LogColumns) -> pa.Array:
    """The event name of each log record, null where it is no event; older SDKs tell it in an attribute."""
    told = first_usable(logs.attributes, EVENT_NAME_SOURCES, pa.string())
    return pc.coalesce(unless_empty(logs.fields["event_name"]), told)


def canonical_columns(spans: NormalizerInput) -> dict[str, pa.Array]:
    """The canonical GenAI columns of the spans table (docs/data-model.md), null where a span does not tell."""
    reader = AttributeReader(spans.attributes, spans.names)
    columns = {name: reader.first(_plain(column.sources), column.kind) for name, column in READ_COLUMNS.items()}
    columns["gen_ai_span_kind"] = _span_kinds(reader, columns, spans.links)
    columns["response_model"] = pc.coalesce(columns["response_model"], _model_of_traceai(reader))
    columns["error_type"] = pc.coalesce(columns["error_type"], _exception_types(spans.events, len(spans)))
    columns["time_to_first_token_ms"] = _first_token_ms(spans, reader, columns["time_to_first_token_ms"])
    columns["is_streaming"] = pc.coalesce(columns["is_streaming"], _streamed(spans))
    columns["reported_cost_usd"] = pc.coalesce(columns["reported_cost_usd"], _sum_of_costs(reader))
    columns["gateway_attempts"] = pc.coalesce(columns["gateway_attempts"], _attempts(reader))
    columns |= _without_filled_in(spans, columns)
    settled = settle_tokens(read_usage(reader), columns["provider"], spans.scope_name, spans.scope_version)
    version = pa.repeat(pa.scalar(NORMALIZER_VERSION, pa.uint16()), len(spans))
    return columns | settled | {"normalizer_version": version}


def _plain(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    return tuple(source for source in sources if source.reader is not Reader.MOMENT)


def _span_kinds(reader: AttributeReader, columns: dict[str, pa.Array], links: Indices) -> pa.Array:
    """A declared kind wins; without one, a key that only spans of one kind have tells it, and a model makes an LLM.

    What has no kind still, and carries what is said of the one span that it links, is an evaluator's.
    """
    kinds = columns["gen_ai_span_kind"]
    for key, kind in KEYS_THAT_TELL_THE_KIND:
        having = reader.having(key)
        if having.any():
            kinds = pc.coalesce(kinds, pc.if_else(pa.array(having), text(kind), NO_TEXT))
    for model in ("request_model", "response_model"):
        kinds = pc.coalesce(kinds, pc.if_else(columns[model].is_valid(), text("LLM"), NO_TEXT))
    for key in KEYS_OF_CARRIERS:
        carrying = reader.having(key) & (links == 1)
        if carrying.any():
            kinds = pc.coalesce(kinds, pc.if_else(pa.array(carrying), text("EVALUATOR"), NO_TEXT))
    return kinds


def _model_of_traceai(reader: AttributeReader) -> pa.Array:
    """The model that answered, where the model asked for stands elsewhere."""
    asked, answered = (reader.first((source,), pa.string()) for source in TRACEAI_MODELS)
    return pc.if_else(asked.is_valid(), answered, NO_TEXT)


def _streamed(spans: NormalizerInput) -> pa.Array:
    """True where an event marks the first token, null elsewhere."""
    marked = np.zeros(len(spans), dtype=bool)
    marked[spans.events.spans[_first_token_rows(spans.events)]] = True
    return pa.array(marked, mask=~marked)


def _first_token_rows(events: EventColumns) -> npt.NDArray[np.int64]:
    return np.flatnonzero(pc.is_in(events.name, _FIRST_TOKEN_EVENTS).to_numpy(zero_copy_only=False))


def _exception_types(events: EventColumns, spans: int) -> pa.Array:
    """The class of the last recorded exception of each span (OpenTelemetry exception events)."""
    rows = events.attributes.rows_by_key.get("exception.type")
    if rows is None:
        return pa.nulls(spans, pa.string())
    types = map_distinct(texts(events.attributes.values.take(rows)), lambda name: name.rsplit(".", 1)[-1])
    position = np.full(spans, -1, dtype=np.int64)
    position[events.spans[events.attributes.owners[rows]]] = np.arange(len(rows))
    return types.take(pa.array(position, mask=position < 0))


def _first_token_ms(spans: NormalizerInput, reader: AttributeReader, told: pa.Array) -> pa.Array:
    """Time to the first token: as told, else until the moment that is told, else until the event that marks it."""
    sources = READ_COLUMNS["time_to_first_token_ms"].sources
    moments = reader.first([source for source in sources if source.reader is Reader.MOMENT], pa.int64())
    told = pc.if_else(pc.greater_equal(told, ZERO), told, NO_NUMBER)
    if moments.null_count < len(moments):
        known = moments.is_valid().to_numpy(zero_copy_only=False)
        until = pc.fill_null(moments, ZERO).to_numpy(zero_copy_only=False).astype(np.uint64)
        told = pc.coalesce(told, _elapsed_ms(spans.start, until, known))
    found = _first_token_rows(spans.events)
    if len(found) == 0:
        return told
    owners = spans.events.spans[found]
    first = np.full(len(spans), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(first, owners, spans.events.time[found])
    known = np.zeros(len(spans), dtype=bool)
    known[owners] = True
    return pc.coalesce(told, _elapsed_ms(spans.start, first, known))


def _elapsed_ms(start: npt.NDArray[np.uint64], until: npt.NDArray[np.uint64], known: npt.NDArray[np.bool_]) -> pa.Array:
    """Milliseconds from one time to another; null where it is unknown or before the other."""
    usable = known & (until >= start)
    elapsed = np.where(usable, until - np.where(usable, start, 0), 0).astype(np.float64) / 1e6
    return pa.array(elapsed, mask=~usable)


def _sum_of_costs(reader: AttributeReader) -> pa.Array:
    """What the parts of a cost come to, where all are told; null where that is zero, which stands for unknown."""
    parts = [reader.first(column.sources, column.kind) for column in COST_PARTS.values()]
    total = reduce(pc.add, parts)
    return pc.if_else(pc.greater(total, ZERO), total, NO_NUMBER)


def _attempts(reader: AttributeReader) -> pa.Array:
    """One more than the retries and fallbacks that a gateway tells; null where it tells neither."""
    parts = [reader.first(column.sources, column.kind) for column in REPEAT_COLUMNS.values()]
    told = reduce(pc.or_, (part.is_valid() for part in parts))
    total = reduce(pc.add, (pc.fill_null(part, ZERO) for part in parts))
    return pc.if_else(told, pc.add(total, integer(1)), NO_INTEGER)


def _without_filled_in(spans: NormalizerInput, columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """Settings without the values that an instrumentation fills in itself: whether one was sent is unknown."""
    cleaned: dict[str, pa.Array] = {}
    for scope, filled in FILLED_IN.items():
        theirs = pc.fill_null(map_distinct(spans.scope_name, _below(scope), pa.bool_()), FALSE)
        if not pc.any(theirs).as_py():
            continue
        for name, value in filled.items():
            column = cleaned.get(name, columns[name])
            same = pc.and_(theirs, pc.fill_null(pc.equal(column, pa.scalar(value, column.type)), FALSE))
            cleaned[name] = pc.if_else(same, pa.scalar(None, column.type), column)
    return cleaned


def _below(scope: str) -> Callable[[str], bool]:
    return lambda name: name == scope or name.startswith(f"{scope}.")
