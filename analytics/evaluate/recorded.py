"""Where each convention puts what was said to a model and by it: attributes, events and log records → a call's content.

Of several sources the first that holds something is taken; none is ever added to another, for two instrumentations may
have recorded the same call. Which names hold content at all: docs/data-model.md, "Where the content lies".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analytics.evaluate.messages import MOST_MESSAGES, messages_in, parsed, unflattened
from analytics.evaluate.subject import Message

_HASHED = re.compile(r"\[hash:[0-9a-f]+\]")
_CUT = re.compile(r"\[truncated:\d+\]\Z")
_MASKED = re.compile(r"\[redacted:[^\]]{1,64}\]")

INPUT, OUTPUT = "user", "assistant"

_INPUTS = (
    "gen_ai.input.messages",
    "llm.input_messages.*",
    "gen_ai.prompt.*",
    "ai.prompt.messages",
    "ai.prompt",
    "request_data",
    "gcp.vertex.agent.llm_request",
    "langfuse.observation.input",
    "mlflow.spanInputs",
    "gen_ai.prompt",
    "input.value",
    "traceloop.entity.input",
)
_OUTPUTS = (
    "gen_ai.output.messages",
    "llm.output_messages.*",
    "gen_ai.completion.*",
    "response_data",
    "gcp.vertex.agent.llm_response",
    "langfuse.observation.output",
    "mlflow.spanOutputs",
    "gen_ai.completion",
    "output.value",
    "traceloop.entity.output",
)
"""A trailing ``*`` stands for indexed attributes."""

_TOOL_LISTS = (
    "gen_ai.tool.definitions",
    "llm.tools.*",
    "llm.request.functions.*",
    "ai.prompt.tools",
    "mlflow.chat.tools",
)
_REQUESTS = (
    "llm.invocation_parameters",
    "gen_ai.request.parameters",
    "langfuse.observation.model.parameters",
    "model_request_parameters",
    "request_data",
    "input.value",
    "mlflow.spanInputs",
)
"""Objects that may be a whole request, or its settings: the tools and the wished format may be in them."""

_SCHEMAS = (
    "gen_ai.request.structured_output_schema",
    "gen_ai.request.response_format.schema",
    "gen_ai.output.schema",
    "ai.schema",
    "gen_ai.request.response_format",
)
_TYPE = "gen_ai.output.type"

DETAILS = "gen_ai.client.inference.operation.details"
_INPUT_EVENTS = frozenset(
    {"gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message",
     "gen_ai.content.prompt"}
)  # fmt: skip
_OUTPUT_EVENTS = frozenset({"gen_ai.choice", "gen_ai.content.completion"})
EVENTS = (DETAILS, *sorted(_INPUT_EVENTS | _OUTPUT_EVENTS))
"""Names of the span events and log records that hold messages."""


@dataclass(frozen=True)
class Event:
    """A span event, or a log record of the span.

    Attributes:
        name: its event name.
        attributes: its attributes.
        body: the log record's body, parsed; None for a span event.
    """

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Content:
    """What was recorded of one call; the fields are those of :class:`analytics.evaluate.subject.Call`."""

    messages: tuple[Message, ...]
    answers: tuple[Message, ...]
    tools: Mapping[str, Any]
    output_schema: Any
    withheld: bool


def content(attributes: Mapping[str, Any], events: Sequence[Event] = (), *, as_stored: bool = False) -> Content:
    """Read what was recorded of a call, whichever convention recorded it.

    Args:
        attributes: the span's attributes as stored; values are JSON.
        events: its events and log records, in order.
        as_stored: take what the content policy has cut or hashed too, for a person who looks at it; a judge is given
            what was said, or nothing.
    """
    details = [event for event in events if event.name == DETAILS]
    places = [attributes, *(event.attributes for event in details)]
    places += [event.body for event in details if isinstance(event.body, dict)]
    reader = _Reader(as_stored=as_stored)
    messages = reader.first(places, _INPUTS, INPUT) or reader.of_events(events, _INPUT_EVENTS, INPUT)
    instructions = reader.first(places, ("gen_ai.system_instructions",), "system")
    if instructions and not any(message.role == "system" for message in messages):
        messages = (*instructions, *messages)
    answers = reader.first(places, _OUTPUTS[:3], OUTPUT) or _vercel_answer(reader, attributes)
    answers = answers or reader.first(places, _OUTPUTS[3:], OUTPUT)
    answers = answers or reader.of_events(events, _OUTPUT_EVENTS, OUTPUT)
    return Content(messages, answers, _tools(reader, places), _output_schema(reader, places), reader.withheld)


def is_whole(value: Any) -> bool:  # noqa: ANN401 (JSON)
    """Whether the content policy has neither cut nor hashed a value, or a text in it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if _HASHED.fullmatch(one) or _CUT.search(one):
                return False
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return True


def masked(text: str) -> bool:
    """Whether a pattern of the content policy has replaced a part of a text."""
    return _MASKED.search(text) is not None


class _Reader:
    """Reads values and notes whether one of them is not what was sent."""

    def __init__(self, *, as_stored: bool) -> None:
        self.withheld = False
        self._as_stored = as_stored

    def taken(self, value: Any) -> bool:  # noqa: ANN401 (JSON)
        """Whether a value may be read: it is as it was sent, or is wanted as it is; one that is not whole is noted."""
        whole = is_whole(value)
        self.withheld |= not whole
        return whole or self._as_stored

    def values(self, places: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[Any]:
        """The values of attributes that are there, in the order of the names."""
        for name in names:
            for place in places:
                value = unflattened(place, name[:-2]) if name.endswith(".*") else place.get(name)
                if value not in (None, "", [], {}) and self.taken(value):
                    yield value

    def first(self, places: Sequence[Mapping[str, Any]], names: Sequence[str], role: str) -> tuple[Message, ...]:
        """The messages of the first attribute that holds any."""
        found = (messages_in(value, role) for value in self.values(places, names))
        return next((messages for messages in found if messages), ())

    def of_events(self, events: Sequence[Event], names: frozenset[str], role: str) -> tuple[Message, ...]:
        """The messages of events, each of which is one; the body goes before the attributes."""
        found: list[Message] = []
        for event in events:
            if event.name not in names:
                continue
            spoken = event.name.split(".")[1] if event.name.endswith(".message") else role
            value = event.body if event.body not in (None, "", {}) else _event_content(event.attributes)
            if value is not None and self.taken(value):
                found += messages_in({"role": spoken, **value} if _is_bare(value) else value, spoken)
        return tuple(found[:MOST_MESSAGES])


def _is_bare(value: Any) -> bool:  # noqa: ANN401 (JSON)
    """Whether an object is a message that leaves its role to the event's name."""
    return isinstance(value, dict) and "role" not in value and "message" not in value


def _event_content(attributes: Mapping[str, Any]) -> Any:  # noqa: ANN401 (JSON)
    for name in ("gen_ai.event.content", "gen_ai.prompt", "gen_ai.completion"):
        if attributes.get(name):
            return parsed(attributes[name])
    return {
        key: parsed(attributes[key]) for key in ("role", "content", "tool_calls", "message") if key in attributes
    } or None


def _vercel_answer(reader: _Reader, attributes: Mapping[str, Any]) -> tuple[Message, ...]:
    """What the AI SDK before version 7 tells of an answer, in attributes of its own."""
    told: dict[str, Any] = {}
    for key, names in {
        "content": ("ai.response.text", "ai.result.text", "ai.response.object", "ai.result.object"),
        "tool_calls": ("ai.response.toolCalls", "ai.result.toolCalls"),
    }.items():
        value = next(reader.values([attributes], names), None)
        if value is not None:
            told[key] = value
    return messages_in({"role": OUTPUT, **told}, OUTPUT) if told else ()


def _tools(reader: _Reader, places: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    lists = [parsed(value) for value in reader.values(places, _TOOL_LISTS)]
    for request in _requests(reader, places):
        lists += [parsed(request.get(key)) for key in ("tools", "functions", "function_tools")]
    for definitions in lists:
        found: dict[str, Any] = {}
        for definition in definitions[:MOST_MESSAGES] if isinstance(definitions, list) else ():
            _take_tool(definition, found)
        if found:
            return found
    return {}


def _take_tool(definition: Any, found: dict[str, Any]) -> None:  # noqa: ANN401 (JSON)
    definition = parsed(definition)
    for key in ("tool", "json_schema", "function"):
        inner = parsed(definition.get(key)) if isinstance(definition, dict) else None
        if isinstance(inner, dict):
            definition = inner
    if not isinstance(definition, dict) or not isinstance(definition.get("name"), str):
        return
    keys = ("parameters", "input_schema", "inputSchema", "parameters_json_schema", "json_schema")
    schema = next((parsed(definition[key]) for key in keys if definition.get(key) is not None), None)
    found.setdefault(definition["name"], schema if isinstance(schema, dict | bool) else None)


def _requests(reader: _Reader, places: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for value in reader.values(places, _REQUESTS):
        request = parsed(value)
        if isinstance(request, dict):
            yield request


def _output_schema(reader: _Reader, places: Sequence[Mapping[str, Any]]) -> Any:  # noqa: ANN401 (JSON)
    """The JSON Schema that the answer was asked to follow; True for any JSON; None for no wish."""
    wishes = [parsed(value) for value in reader.values(places, _SCHEMAS)]
    for request in _requests(reader, places):
        wishes += [read(request) for read in _WISHES]
    for wish in wishes:
        schema = _schema_of(parsed(wish))
        if schema is not None:
            return schema
    if any(parsed(value) in ("json", "json_object", "json_schema") for value in reader.values(places, (_TYPE,))):
        return True
    return None


def _within(*path: str) -> Callable[[dict[str, Any]], Any]:
    def read(request: dict[str, Any]) -> Any:  # noqa: ANN401 (JSON)
        value: Any = request
        for key in path:
            value = parsed(value.get(key)) if isinstance(value, dict) else None
        return value

    return read


_WISHES = (
    _within("response_format"),
    _within("text", "format"),
    _within("output_format"),
    _within("output_config", "format"),
    _within("output_object"),
    _within("response_json_schema"),
    _within("response_schema"),
    _within("config", "response_json_schema"),
    _within("config", "response_schema"),
    _within("format"),
)
"""OpenAI's chat completions and responses, Anthropic, Pydantic AI, Gemini (alone and in the ADK), Ollama."""

_SCHEMA_KEYS = frozenset(
    {"$ref", "$schema", "$defs", "properties", "items", "anyOf", "oneOf", "allOf", "enum", "const"}
)
_JSON_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


def _schema_of(wish: Any) -> Any:  # noqa: ANN401 (JSON)
    """The schema in a wished format; None where it asks for no JSON."""
    if isinstance(wish, str):
        return True if wish in ("json", "json_object") else None
    if not isinstance(wish, dict) or not wish:
        return None
    wrapped = parsed(wish.get("json_schema", wish.get("schema")))
    if isinstance(wrapped, dict):
        inner = parsed(wrapped.get("schema"))
        return inner if isinstance(inner, dict) and wish.get("type") == "json_schema" else wrapped
    if wish.get("type") == "json_object":
        return True
    if isinstance(wish.get("type"), str) and wish["type"].lower() != wish["type"]:
        # Gemini's own dialect spells types in capitals; it is no JSON Schema.
        return None
    if wish.get("type") in _JSON_TYPES or _SCHEMA_KEYS & wish.keys():
        return wish
    return None


def object_of(text: str | None) -> dict[str, Any]:
    """The JSON object in a stored column; an empty one where there is none."""
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
