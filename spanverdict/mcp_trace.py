"""One trace as plain text: its spans as an indented tree, what was said in them, and what was said of it."""

from __future__ import annotations

from collections.abc import Iterator

from analytics.report.formatting import UNKNOWN, count, instant, value
from analytics.report.text import name as short
from analytics.report.text import passage, sentence
from analytics.trace_reading import Bounds
from analytics.trace_view import Message, OutcomeView, SpanView, TraceView

BOUNDS = Bounds(spans=120, text=4_000, trace_text=60_000, messages=12)
"""How much of a trace an agent is shown."""


def trace_text(view: TraceView) -> str:
    """Write a trace; each text that it quotes stands on lines of its own that begin with a bar."""
    return "\n".join(_lines(view)) + "\n"


def _lines(view: TraceView) -> Iterator[str]:
    service = f", service {short(view.service)}" if view.service else ""
    yield f"trace {view.trace_id}: began {instant(view.started_at)}, took {value(view.duration_ms, 'ms')}{service}"
    if view.left_out:
        yield f"{count(view.left_out, 'further span')} not shown."
    for span in view.spans:
        yield from _span(span)
    yield "outcomes:" if view.outcomes else "outcomes: none stored."
    for outcome in view.outcomes:
        yield from _outcome(outcome)


def _span(span: SpanView) -> Iterator[str]:
    indent = "  " * span.depth
    facts = [
        f"at +{value(span.offset_ms, 'ms')}",
        f"took {UNKNOWN if span.duration_ms is None else value(span.duration_ms, 'ms')}",
        *([f"model {short(span.model)}"] if span.model else []),
        *([f"tool {short(span.tool)}"] if span.tool else []),
        *([f"{span.input_tokens:,} tokens in"] if span.input_tokens is not None else []),
        *([f"{span.output_tokens:,} tokens out"] if span.output_tokens is not None else []),
        *([f"cost {value(span.cost, 'usd')}"] if span.cost is not None else []),
    ]
    operation = f" ({short(span.operation)})" if span.operation else ""
    yield f"{indent}- span {span.span_id} {short(span.name)}{operation}: {', '.join(facts)}"
    if span.error:
        yield f"{indent}  error: {sentence(span.error)}"
    if span.note:
        yield f"{indent}  note: {span.note}"
    for message in span.messages:
        yield from _message(message, indent)


def _message(message: Message, indent: str) -> Iterator[str]:
    asks = f" asks for the tool {short(message.tool)}" if message.tool else ""
    note = f" ({message.note})" if message.note else ""
    yield f"{indent}  {message.direction}, {short(message.role)}{asks}{note}:"
    yield from (f"{indent}  | {line}" for line in passage(message.text).split("\n"))


def _outcome(outcome: OutcomeView) -> Iterator[str]:
    against = {True: ", counts against it", False: ", does not count against it", None: ""}[outcome.bad]
    source = f", by {short(outcome.source)}" if outcome.source else ""
    yield f"- {short(outcome.name)}: {sentence(outcome.value)}{against}{source}"
    if outcome.comment:
        yield from (f"  | {line}" for line in passage(outcome.comment).split("\n"))
