"""What was recorded of a call, whichever convention recorded it."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.evaluate.documents import documents
from analytics.evaluate.recorded import Event, content
from analytics.evaluate.subject import Message, ToolCall

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
AS_TEXT = json.dumps(SCHEMA)


def plain(value: dict[str, Any]) -> Any:
    """OTLP/JSON's AnyValue as a plain value."""
    kind, inner = next(iter(value.items()), (None, None))
    if kind == "arrayValue":
        return [plain(item) for item in inner.get("values", [])]
    if kind == "kvlistValue":
        return {item["key"]: plain(item["value"]) for item in inner.get("values", [])}
    return inner


def attributes(record: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a span, an event or a log record."""
    return {item["key"]: plain(item["value"]) for item in record.get("attributes", [])}


def captured(folder: Path, scenario: str) -> dict[str, Any]:
    """What is read of the model call in each capture of a scenario, by instrumentation."""
    logs = defaultdict(list)
    for path in folder.glob(f"{scenario}.*.logs.json"):
        for resource in json.loads(path.read_text("utf-8"))["resourceLogs"]:
            for record in (one for scope in resource["scopeLogs"] for one in scope["logRecords"]):
                name = record.get("eventName") or attributes(record).get("event.name", "")
                event = Event(name, attributes(record), plain(record.get("body", {})))
                logs[record["traceId"], record["spanId"]].append(event)
    found = {}
    for path in sorted(folder.glob(f"{scenario}.*.traces.json")):
        for resource in json.loads(path.read_text("utf-8"))["resourceSpans"]:
            for span in (one for scope in resource["scopeSpans"] for one in scope["spans"]):
                events = [Event(event["name"], attributes(event)) for event in span.get("events", [])]
                told = content(attributes(span), [*events, *logs[span["traceId"], span["spanId"]]])
                if told.answers:
                    found[path.name.split(".")[1]] = told
    return found


def test_one_call_reads_alike_by_every_instrumentation(shared_fixtures: Path) -> None:
    """Eight captures of one recorded response: the same question, the same tool, the same arguments."""
    found = captured(shared_fixtures / "generated-matrix", "openai-chat-tools")
    assert len(found) == 8
    for told in found.values():
        assert [(message.role, message.text) for message in told.messages] == [
            ("user", "What's the weather like in San Francisco?")
        ]
        (call,) = [call for answer in told.answers for call in answer.tool_calls]
        assert call.name == "get_current_weather"
        arguments = json.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
        assert arguments == {"location": "San Francisco"}
    defined = [told.tools["get_current_weather"] for told in found.values() if told.tools]
    assert len(defined) == 6
    assert all(schema["required"] == ["location"] for schema in defined)


def test_texts_read_alike_by_every_instrumentation(shared_fixtures: Path) -> None:
    """Of another provider with a system prompt and a list of content parts."""
    found = captured(shared_fixtures / "generated-matrix", "anthropic-cache")
    assert len(found) == 6
    for told in found.values():
        assert [message.role for message in told.messages] == ["system", "user"]
        assert told.answers[0].text.startswith("Here are concise summaries of the three articles")


@pytest.mark.parametrize(
    "span",
    [
        {"gen_ai.request.structured_output_schema": AS_TEXT},
        {"ai.schema": AS_TEXT},
        {"gen_ai.request.response_format.schema": AS_TEXT},
        {"llm.invocation_parameters": json.dumps(
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}})},
        {"input.value": json.dumps({"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}})},
        {"llm.invocation_parameters": json.dumps({"output_format": {"type": "json_schema", "schema": SCHEMA}})},
        {"model_request_parameters": json.dumps({"output_object": {"json_schema": SCHEMA, "name": "x"}})},
        {"llm.invocation_parameters": json.dumps({"response_json_schema": SCHEMA})},
        {"gen_ai.request.response_format": json.dumps({"type": "json_schema", "json_schema": {"schema": SCHEMA}})},
    ],
)  # fmt: skip
def test_the_wished_schema_is_found(span: dict[str, Any]) -> None:
    """Wherever an instrumentation puts the format that was asked for."""
    assert content(span).output_schema == SCHEMA


@pytest.mark.parametrize(
    ("span", "wish"),
    [
        ({"gen_ai.output.type": "json"}, True),
        ({"llm.invocation_parameters": '{"response_format": {"type": "json_object"}}'}, True),
        ({"gen_ai.output.type": "text"}, None),
        ({"llm.invocation_parameters": '{"response_format": {"type": "text"}}'}, None),
        ({"llm.invocation_parameters": '{"response_schema": {"type": "OBJECT"}}'}, None),
        ({"llm.invocation_parameters": "{"}, None),
        ({}, None),
    ],
)
def test_json_without_a_schema_and_no_wish(span: dict[str, Any], wish: object) -> None:
    """Any JSON may be asked for; a text is no wish, nor is a dialect that is no JSON Schema."""
    assert content(span).output_schema is wish


def test_a_structured_answer_stays_the_text_that_it_is() -> None:
    """An answer that is JSON is not taken for messages."""
    for text in ('{"total": 1}', '["a", "b"]', '[{"type": "refund"}]', '{"content": "x"}'):
        for span in (
            {
                "gen_ai.output.messages": json.dumps(
                    [{"role": "assistant", "parts": [{"type": "text", "content": text}]}]
                )
            },
            {"gen_ai.completion.0.content": text, "gen_ai.completion.0.role": "assistant"},
            {"llm.output_messages.0.message.content": text},
            {"ai.response.text": text},
        ):
            assert [answer.text for answer in content(span).answers] == [text]


def test_the_ai_sdk_before_version_7() -> None:
    """Its answers and calls have attributes of their own, its tools are texts in a list."""
    told = content({
        "ai.response.text": "Looking.",
        "ai.response.toolCalls": '[{"toolCallId": "1", "toolName": "getWeather", "args": "{}"}]',
        "ai.prompt.tools": ['{"type": "function", "name": "getWeather", "inputSchema": {"type": "object"}}'],
        "ai.prompt.messages": '[{"role": "user", "content": [{"type": "text", "text": "Weather?"}]}]',
    })  # fmt: skip
    assert told.answers == (Message("assistant", "Looking.", (ToolCall("getWeather", "{}"),)),)
    assert told.tools == {"getWeather": {"type": "object"}}
    assert told.messages == (Message("user", "Weather?"),)


@pytest.mark.parametrize(
    "answer", ["[hash:0123456789abcdef]", '[{"role": "assistant", "parts": [{"ty[truncated:900]', "[truncated:5]"]
)
def test_what_a_policy_took_is_withheld(answer: str) -> None:
    """Cut or hashed content is not what was said; where all of it was dropped nothing was recorded."""
    told = content({"gen_ai.output.messages": answer})
    assert told.withheld
    assert told.answers == ()
    dropped = content({"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.finish_reason": "stop"})
    assert (dropped.withheld, dropped.answers) == (False, ())


def test_documents_of_retrievals() -> None:
    """The texts that were found, or nothing where one of them is not as it was found."""
    two = {f"retrieval.documents.{n}.document.content": text for n, text in enumerate(("one", "two"))}
    assert documents(two) == ("one", "two")
    assert documents({"output.value": '[{"page_content": "three"}, {"text": "four"}]'}) == ("three", "four")
    assert documents({**two, "retrieval.documents.1.document.content": "[hash:ab12]"}) is None
    assert documents({}) == ()


KEYS = [
    "role",
    "content",
    "parts",
    "type",
    "message",
    "tool_calls",
    "function",
    "name",
    "text",
    "choices",
    "messages",
    "schema",
    "json_schema",
    "response_format",
    "tools",
    "tool_call",
    "arguments",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS), inner | st.sampled_from(["text", "tool_call", "json_schema"]), max_size=3
        )
    ),
    max_leaves=12,
)
NAMES = [
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "llm.output_messages.0.message",
    "llm.output_messages.0.message.role",
    "llm.output_messages.99999999999.x",
    "gen_ai.completion.0.tool_calls.0.name",
    "gen_ai.completion.0",
    "output.value",
    "gen_ai.tool.definitions",
    "llm.tools.0.tool.json_schema",
    "llm.invocation_parameters",
    "ai.response.toolCalls",
    "gen_ai.request.structured_output_schema",
    "ai.prompt.tools",
    "gen_ai.output.type",
]


@settings(max_examples=80)
@given(st.dictionaries(st.sampled_from(NAMES), JSON | JSON.map(json.dumps), max_size=4), JSON)
def test_nothing_recorded_breaks_the_reader(span: dict[str, Any], body: Any) -> None:
    """Whatever stands in these attributes, in whatever shape, what is read has the types that evaluators rely on."""
    told = content(span, [Event("gen_ai.choice", {}, body), Event("gen_ai.user.message", span, None)])
    for message in (*told.messages, *told.answers):
        assert isinstance(message.role, str)
        assert isinstance(message.text, str)
        assert all(call.name is None or isinstance(call.name, str) for call in message.tool_calls)
    assert all(isinstance(name, str) for name in told.tools)
    assert told.output_schema is None or isinstance(told.output_schema, dict | bool)
