"""Traces as a person looks at them, read from the store: bounded in spans, bytes and texts, in plain Python.

Nothing here loads polars: the server's own process reads traces for its pages.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from analytics.evaluate.recorded import EVENTS, Event, object_of
from analytics.report.formatting import count
from analytics.span_messages import span_messages
from analytics.trace_outcomes import outcome_view
from analytics.trace_tree import Node, in_reading_order
from analytics.trace_view import Message, OutcomeView, SpanView, TraceView
from sql import statements
from sql.access import Reader

MOST_SPANS = 20_000
"""Spans of one trace that are looked at to find their order; what begins later is counted as left out."""

MOST_BYTES = 2**20
"""Bytes of the attributes and events of one span that are read."""

MOST_TRACE_BYTES = 8 * 2**20
"""The same of all spans of one trace together."""

MOST_RECORDS = 200
"""Log records of one span that are read."""

MOST_OUTCOMES = 200
"""Scores and outcomes of one trace that are read."""

_SPOKEN_LATER = timedelta(hours=1)
"""How far from its span a log record of it may be stamped: clocks differ."""

_KINDS_FIRST = frozenset({"LLM", "EMBEDDING", "TOOL", "RETRIEVER", "RERANKER", "GUARDRAIL"})
_OPERATIONS = {
    "LLM": "chat", "EMBEDDING": "embeddings", "TOOL": "execute_tool", "RETRIEVER": "retrieval", "RERANKER": "rerank",
    "GUARDRAIL": "guardrail", "AGENT": "agent", "CHAIN": "chain", "EVALUATOR": "evaluation", "PROMPT": "prompt",
}  # fmt: skip

NO_MESSAGES = "No messages are stored: the application recorded none, or the content policy left them out."


@dataclass(frozen=True)
class Bounds:
    """How much of a trace is shown.

    Attributes:
        spans: most spans; roots, failed ones, model calls and tools go before others.
        text: most characters of one message.
        trace_text: most characters of all messages of a trace together.
        messages: most messages of one span.
    """

    spans: int = 200
    text: int = 20_000
    trace_text: int = 400_000
    messages: int = 60


def read_traces(
    store: Reader,
    trace_ids: Sequence[str],
    *,
    bounds: Bounds = Bounds(),
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, TraceView]:
    """Read whole traces: their spans in the order of their tree, what was said in them, what was said of them.

    Args:
        store: where they are.
        trace_ids: which, lowercase hex.
        bounds: how much of each is shown.
        since: no span of them began before (UTC, naive); it saves reading all ids of the store. None if not known.
        until: the world as of this moment: spans that began before, outcomes that happened before; None for all.

    Returns:
        By id those that are there.

    Raises:
        QueryError: the store could not answer.
    """
    wanted = sorted(set(trace_ids))
    if not wanted:
        return {}
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    window = {"since": since, "until": until}
    query = {"trace_ids": wanted, "most_spans": MOST_SPANS, **window}
    for row in store.read(statements.read("trace_spans"), query).to_pylist():
        rows[row["trace_id"]].append(row)
    chosen = {trace_id: _chosen(spans, bounds.spans) for trace_id, spans in rows.items()}
    recorded = _recorded(store, chosen)
    outcomes = _outcomes(store, sorted(rows), until)
    return {
        trace_id: _trace(trace_id, rows[trace_id], chosen[trace_id], recorded, outcomes[trace_id], bounds)
        for trace_id in wanted
        if trace_id in rows
    }


@dataclass(frozen=True)
class _Placed:
    """A span that is shown: its row, its depth, and its rank among those whose content is read first."""

    row: Mapping[str, Any]
    depth: int
    rank: int


def _chosen(rows: Sequence[Mapping[str, Any]], limit: int) -> list[_Placed]:
    """The spans that are shown, in reading order; what tells most is kept where there are too many."""
    nodes = [Node(row["span_id"], row["parent_span_id"], row["start_ns"]) for row in rows]
    placed = in_reading_order(nodes)
    by_weight = sorted(range(len(placed)), key=lambda at: (_weight(rows[placed[at][0]], placed[at][1]), at))
    ranks = {at: rank for rank, at in enumerate(by_weight[:limit])}
    return [_Placed(rows[row], depth, ranks[at]) for at, (row, depth) in enumerate(placed) if at in ranks]


def _weight(row: Mapping[str, Any], depth: int) -> int:
    if row["gen_ai_span_kind"] in _KINDS_FIRST:
        return 1
    if depth == 0 or row["status_code"] == "ERROR":
        return 0
    return 2 if row["gen_ai_span_kind"] is not None else 3


_Recorded = Mapping[tuple[str, str], tuple[Mapping[str, Any], list[Event]] | str]
"""Span → its attributes and events, or why they cannot be shown."""


def _recorded(store: Reader, chosen: Mapping[str, Sequence[_Placed]]) -> _Recorded:
    spans = [placed for trace in chosen.values() for placed in trace]
    if not spans:
        return {}
    names = {
        "trace_ids": [placed.row["trace_id"] for placed in spans],
        "span_ids": [placed.row["span_id"] for placed in spans],
    }
    first = min(placed.row["start_ns"] for placed in spans)
    last = max(max(placed.row["start_ns"], placed.row["end_ns"]) for placed in spans)
    late = _SPOKEN_LATER // timedelta(microseconds=1) * 1000
    spoken: dict[tuple[str, str], list[Event]] = defaultdict(list)
    logs = {
        **names, "event_names": list(EVENTS), "most_bytes": MOST_BYTES, "most_records": MOST_RECORDS,
        "since_ns": first - late, "until_ns": last + late,
    }  # fmt: skip
    for row in store.read(statements.read("trace_logs"), logs).to_pylist():
        event = Event(row["event_name"], object_of(row["attributes"]), _json(row["body"]))
        spoken[row["trace_id"], row["span_id"]].append(event)
    content = {
        **names, "places": [placed.rank for placed in spans], "most_bytes": MOST_BYTES,
        "most_trace_bytes": MOST_TRACE_BYTES, "since_ns": first, "until_ns": last,
    }  # fmt: skip
    recorded: dict[tuple[str, str], tuple[Mapping[str, Any], list[Event]] | str] = {}
    for row in store.read(statements.read("trace_content"), content).to_pylist():
        key = row["trace_id"], row["span_id"]
        if row["is_read"]:
            recorded[key] = object_of(row["attributes"]), [*_events(row["events"]), *spoken[key]]
        else:
            recorded[key] = f"What was recorded here is too large to show: {row['bytes']:,} bytes."
    return recorded


def _events(text: str | None) -> Iterator[Event]:
    listed = _json(text)
    for event in listed if isinstance(listed, list) else ():
        if isinstance(event, dict) and event.get("name") in EVENTS:
            yield Event(event["name"], event.get("attributes") or {})


def _outcomes(store: Reader, trace_ids: Sequence[str], until: datetime | None) -> Mapping[str, list[OutcomeView]]:
    found: dict[str, list[OutcomeView]] = defaultdict(list)
    query = {"trace_ids": trace_ids, "until": until, "most_outcomes": MOST_OUTCOMES}
    for row in store.read(statements.read("trace_outcomes"), query).to_pylist() if trace_ids else ():
        found[row["trace_id"]].append(outcome_view(row))
    return found


def _trace(
    trace_id: str,
    rows: Sequence[Mapping[str, Any]],
    chosen: Sequence[_Placed],
    recorded: _Recorded,
    outcomes: Sequence[OutcomeView],
    bounds: Bounds,
) -> TraceView:
    began = min(row["start_ns"] for row in rows)
    ended = max(max(row["start_ns"], row["end_ns"]) for row in rows)
    shown: dict[int, SpanView] = {}
    left = bounds.trace_text
    # Those that tell most speak first, for as long as there is room.
    for place, placed in sorted(enumerate(chosen), key=lambda each: each[1].rank):
        span = _span(placed, began, recorded.get((trace_id, placed.row["span_id"])), bounds)
        span = _within(span, left)
        left -= sum(len(message.text) for message in span.messages)
        shown[place] = span
    return TraceView(
        trace_id=trace_id,
        started_at=(datetime.fromtimestamp(0, UTC) + timedelta(microseconds=began // 1000)).replace(tzinfo=None),
        duration_ms=(ended - began) / 1e6,
        service=next((placed.row["service_name"] for placed in chosen if placed.row["service_name"]), None),
        spans=tuple(shown[place] for place in range(len(chosen))),
        left_out=max(rows[0]["spans"], len(rows)) - len(chosen),
        outcomes=tuple(outcomes),
    )


def _span(
    placed: _Placed, began: int, recorded: tuple[Mapping[str, Any], list[Event]] | str | None, bounds: Bounds
) -> SpanView:
    row = placed.row
    kind = row["gen_ai_span_kind"]
    messages: list[Message] = []
    note = recorded if isinstance(recorded, str) else None
    if isinstance(recorded, tuple):
        said = list(span_messages(kind, *recorded))
        # Of a long conversation the end: it is what was answered.
        messages = [_shortened(message, bounds.text) for message in said[-bounds.messages :]]
        if len(said) > len(messages):
            note = f"{len(said) - len(messages):,} earlier ones are not shown."
        elif not said and kind in _KINDS_FIRST:
            note = NO_MESSAGES
    failed = row["status_code"] == "ERROR"
    return SpanView(
        span_id=row["span_id"],
        depth=placed.depth,
        name=row["name"],
        operation=row["operation"] or _OPERATIONS.get(kind),
        model=row["response_model"] or row["request_model"],
        tool=row["tool_name"],
        offset_ms=(row["start_ns"] - began) / 1e6,
        duration_ms=(row["end_ns"] - row["start_ns"]) / 1e6 if row["end_ns"] >= row["start_ns"] else None,
        error=_error(row) if failed or row["error_type"] else None,
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cost=row["cost_usd"],
        messages=tuple(messages),
        note=note,
    )


def _error(row: Mapping[str, Any]) -> str:
    return ": ".join(part for part in (row["error_type"], row["status_message"]) if part) or "failed"


def _shortened(message: Message, limit: int) -> Message:
    if len(message.text) <= limit:
        return message
    head = limit * 2 // 3
    tail = limit - head
    left_out = len(message.text) - limit
    text = f"{message.text[:head]}\n[…]\n{message.text[-tail:]}"
    note = f"{left_out:,} characters of its middle are not shown."
    return replace(message, text=text, note=f"{message.note} {note}" if message.note else note)


def _within(span: SpanView, left: int) -> SpanView:
    """The span with as many of its last messages as there is room for."""
    kept: list[Message] = []
    for message in reversed(span.messages):
        left -= len(message.text)
        if left < 0:
            break
        kept.append(message)
    missing = len(span.messages) - len(kept)
    if not missing:
        return span
    note = f"{count(missing, 'message')} left out: this trace says more than is shown of one."
    return replace(span, messages=tuple(reversed(kept)), note=note)


def _json(text: str | None) -> Any:  # noqa: ANN401 (JSON)
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
