"""One trace as a person looks at it: its spans in the order of their tree, and the messages that are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Message:
    """One message of a model call, or what a tool was asked and gave.

    Attributes:
        role: "system", "user", "assistant", "tool", or what the trace says.
        text: what it says, as it was stored: it may be cut, masked or hashed by the content policy.
        direction: "input" or "output" of the span.
        tool: the tool that it asks for, ``text`` being what it hands to it; None of other messages.
        note: why the text is not what was said, or not all of it; None where it is.
    """

    role: str
    text: str
    direction: str
    tool: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class SpanView:
    """One span of a trace.

    Attributes:
        span_id: its id.
        depth: how many of its ancestors are there.
        name: its name.
        operation: what it does ("chat", "execute_tool", "retrieval", …); None where the trace does not say.
        model: the model that answered, else the one that was asked; None of other spans.
        tool: the tool's name; None of other spans.
        offset_ms: from the trace's beginning to the span's.
        duration_ms: of the span; None where it ends before it starts.
        error: what went wrong; None where nothing did.
        input_tokens: of the call; None where it does not say.
        output_tokens: of the call; None where it does not say.
        cost: known cost of the call (USD); None where unknown.
        messages: what was said, in order.
        note: why there are no messages, or not all of them; None where there is nothing to say.
    """

    span_id: str
    depth: int
    name: str
    operation: str | None
    model: str | None
    tool: str | None
    offset_ms: float
    duration_ms: float | None
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    messages: tuple[Message, ...]
    note: str | None = None


@dataclass(frozen=True)
class OutcomeView:
    """A score or an outcome of a trace.

    Attributes:
        name: the evaluator's or the outcome's name.
        value: what it says, as a person reads it.
        bad: whether it counts against the trace; None where that is not known.
        source: who said so; None where it is not known.
        comment: an explanation or a comment; None without one.
    """

    name: str
    value: str
    bad: bool | None
    source: str | None
    comment: str | None


@dataclass(frozen=True)
class TraceView:
    """A whole trace.

    Attributes:
        trace_id: its id.
        started_at: its beginning (UTC, naive).
        duration_ms: from its first span's beginning to its last span's end.
        service: of its root, else of its first span; None where it does not say.
        spans: in the order of the tree, siblings by their beginning.
        left_out: how many further spans are not shown.
        outcomes: scores and outcomes, evaluators first.
    """

    trace_id: str
    started_at: datetime
    duration_ms: float
    service: str | None
    spans: tuple[SpanView, ...]
    left_out: int
    outcomes: tuple[OutcomeView, ...]
