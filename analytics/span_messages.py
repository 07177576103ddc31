"""What was said in one span, as a person reads it: messages of model calls, what tools were asked and gave, documents.

Unlike what a judge is given, what the content policy has cut or hashed is shown too, and said to be so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analytics.evaluate.documents import documents
from analytics.evaluate.messages import messages_in, parsed
from analytics.evaluate.recorded import Event, content, masked
from analytics.evaluate.subject import Message as Said
from analytics.trace_view import Message

INPUT, OUTPUT = "input", "output"

_ANY_INPUT = (
    "input.value", "input", "langfuse.observation.input", "mlflow.spanInputs", "traceloop.entity.input", "raw.input",
    "genkit:input", "braintrust.input", "braintrust.input_json", "confident.span.input", "haystack.component.input",
)  # fmt: skip
_ANY_OUTPUT = (
    "output.value", "output", "langfuse.observation.output", "mlflow.spanOutputs", "traceloop.entity.output",
    "raw.output", "final_result", "genkit:output", "braintrust.output", "braintrust.output_json",
    "confident.span.output", "haystack.component.output", "crewai.crew.result",
)  # fmt: skip
_ARGUMENTS = (
    "gen_ai.tool.call.arguments", "gen_ai.tool.args", "gen_ai.tool.input", "tool.parameters",
    "tool_call.function.arguments", "ai.toolCall.args", "ai.toolCall.input", "tool_arguments",
    "gcp.vertex.agent.tool_call_args", *_ANY_INPUT,
)  # fmt: skip
_RESULTS = (
    "gen_ai.tool.call.result", "gen_ai.tool.output", "ai.toolCall.result", "ai.toolCall.output", "tool_response",
    "gcp.vertex.agent.tool_response", *_ANY_OUTPUT,
)  # fmt: skip
_QUERIES = ("gen_ai.retrieval.query.text", "gen_ai.retrieval.query", "reranker.query", *_ANY_INPUT)
_FOUND = ("gen_ai.retrieval.documents", "ai.documents", *_ANY_OUTPUT)
"""Attributes in which each convention puts such things, best first; all of them: ``collector/content.py``."""

_CALLS = frozenset({"LLM", "EMBEDDING"})
_RETRIEVALS = frozenset({"RETRIEVER", "RERANKER"})

_HASH = re.compile(r"\[hash:[0-9a-f]+\]")
_CUT = re.compile(r"\[truncated:(\d+)\]\Z")


def span_messages(kind: str | None, attributes: Mapping[str, Any], events: Sequence[Event]) -> Iterator[Message]:
    """What was said in a span, in order: first what went in, then what came out.

    Args:
        kind: the span's kind (``gen_ai_span_kind``); None where it has none.
        attributes: the span's attributes as stored; values are JSON.
        events: its events and log records, in order.
    """
    if kind == "TOOL":
        yield from _one("tool", attributes, _ARGUMENTS, INPUT)
        yield from _one("tool", attributes, _RESULTS, OUTPUT)
    elif kind in _RETRIEVALS:
        yield from _one("query", attributes, _QUERIES, INPUT)
        texts = documents(attributes)
        if texts:
            yield from (_noted("document", text, OUTPUT) for text in texts)
        else:
            yield from _one("documents", attributes, _FOUND, OUTPUT)
    else:
        told = content(attributes, events, as_stored=True) if kind in _CALLS or events else None
        if told is not None and (told.messages or told.answers):
            yield from _said(told.messages, INPUT)
            yield from _said(told.answers, OUTPUT)
        else:
            yield from _said(_first(attributes, _ANY_INPUT, INPUT), INPUT)
            yield from _said(_first(attributes, _ANY_OUTPUT, OUTPUT), OUTPUT)


def _said(messages: Sequence[Said], direction: str) -> Iterator[Message]:
    for message in messages:
        if message.text:
            yield _noted(message.role, message.text, direction)
        for call in message.tool_calls:
            yield _noted(message.role, _text(call.arguments), direction, call.name or "a tool without a name")


def _first(attributes: Mapping[str, Any], names: Sequence[str], role: str) -> tuple[Said, ...]:
    found = (messages_in(attributes.get(name), role) for name in names)
    return next((messages for messages in found if messages), ())


def _one(role: str, attributes: Mapping[str, Any], names: Sequence[str], direction: str) -> Iterator[Message]:
    """The first attribute that holds something, as one message: arguments and results keep their form."""
    value = next((attributes[name] for name in names if attributes.get(name) not in (None, "", [], {})), None)
    if value is not None:
        yield _noted(role, _text(value), direction)


def _text(value: Any) -> str:  # noqa: ANN401 (JSON)
    if value is None:
        return ""
    value = parsed(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _noted(role: str, text: str, direction: str, tool: str | None = None) -> Message:
    return Message(role, text, direction, tool, policy_note(text))


def policy_note(text: str) -> str | None:
    """What the content policy has done to a text, as one sentence; None where nothing shows."""
    if _HASH.search(text):
        return "The content policy keeps a hash in place of this."
    if cut := _CUT.search(text):
        return f"The content policy keeps the beginning of this; it had {int(cut[1]):,} characters."
    if masked(text):
        return "The content policy has masked parts of this."
    return None
