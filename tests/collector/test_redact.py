"""What the content policy keeps off the disk, and what it must not touch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.content import ANALYSED, NOTHING, SETTINGS, Content, kinds_of_attribute
from collector.decode import decode_logs, decode_traces
from collector.ingest import Ingest
from collector.otlp_json import to_protobuf
from collector.redact import ContentPolicy, content_policy
from collector.rows import log_rows, span_rows
from collector.signals import Signal
from collector.wire import MalformedRequestError
from sql.journaled_writer import JournaledWriter, LoadLimits
from tests.stores import store_at

NOW = datetime(2026, 11, 24)
DROP_ALL = dict.fromkeys(Content, "drop")
PHRASES = {
    "openai-chat-tools": ("weather like in", "San Francisco", "Get the current weather"),
    "openai-chat-stream": ("joke about opentelemetry", "observability department", "Grafana"),
    "openai-chat-reasoning": ("strawberry", "positions 3, 8"),
    "openai-chat-404": ("Say this is a test",),
    "anthropic-cache": ("concise summaries", "IGNORE THIS", "unit testing", "Traceloop, a YC"),
    "pydantic-ai-agent": ("weather in Paris", "Paris", "rainy", "be brief"),
    "ai-sdk-v7-genai": ("hello", "Berlin", "temperature\\"),
    "multi-framework-conflict": ("test input", "prompt content", "completion content"),
    "openinference-messages": ("helpful assistant", "weather today", "real-time weather"),
    "openlit-openai-chat": ("What is LLM Observability", "refers to the practice"),
    "traceloop-mlflow-io": ("question", "answer"),
    "genai-tool-definitions": ("What is 2", "description"),
    "google-adk-2025": ("Always greet", "Hello Langfuse", "new_message", "Your internal name"),
    "vercel-aisdk": ("Get the weather in a location",),
}
"""Words of prompts, completions, tool calls and their definitions in the captured requests."""

CAPTURED = [
    "generated-matrix/*.traces.json", "generated-matrix/*.logs.json", "langfuse/*.otlp.json",
    "langfuse/framework-traces/*.otlp.json",
]  # fmt: skip


def policy(actions: dict[Any, str] | None = None, **given: Any) -> ContentPolicy:
    """A policy; what is not given is as in the configuration's defaults."""
    values: dict[str, Any] = {"truncate_characters": 2000, "hash_key": "k" * 16, "attributes": (), "patterns": (),
                              "custom_patterns": {}, "unmasked": (), **given}  # fmt: skip
    made = content_policy(actions or {}, **values)
    assert made is not None
    return made


def rows_of(data: bytes, signal: Signal, content: ContentPolicy | None = None) -> tuple[dict[str, Any], Counter[str]]:
    """The tables a request becomes, as dicts, and what was redacted."""
    counts: Counter[str] = Counter()
    if signal is Signal.TRACES:
        spans = decode_traces([data])
        spans, counts = content.apply_to_spans(spans) if content else (spans, counts)
        tables = span_rows(spans, [None], NOW).tables
    else:
        logs = decode_logs([data])
        logs, counts = content.apply_to_logs(logs) if content else (logs, counts)
        tables = log_rows(logs, [None], NOW).tables
    return {name: pl.DataFrame(pl.from_arrow(table)).to_dicts() for name, table in tables.items()}, counts


def one_span(otlp: Any, attributes: dict[str, Any], content: ContentPolicy, **fields: Any) -> dict[str, Any]:
    """The stored row of one span, its attributes parsed."""
    data = otlp.request({"attributes": attributes, **fields}).SerializeToString()
    row: dict[str, Any] = rows_of(data, Signal.TRACES, content)[0]["spans"][0]
    return row | {"attributes": json.loads(row["attributes"]), "events": json.loads(row["events"] or "[]")}


def log_request(otlp: Any, event: str, body: Any, attributes: dict[str, Any] | None = None) -> bytes:
    """A request with one log record."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5, event_name=event)
    record.body.CopyFrom(otlp.any_value(body))
    record.attributes.extend(otlp.key_values(attributes or {}))
    return request.SerializeToString()


def one_log(otlp: Any, event: str, body: Any, content: ContentPolicy, **attributes: Any) -> dict[str, Any]:
    """The stored row of one log record, its body and attributes parsed."""
    row = rows_of(log_request(otlp, event, body, attributes), Signal.LOGS, content)[0]["log_records"][0]
    return dict(row) | {"attributes": json.loads(row["attributes"]), "body": json.loads(row["body"])}


def captured(folder: Path) -> Iterator[tuple[str, Signal, bytes]]:
    """Every captured request: its name, its signal, its bytes."""
    for pattern in CAPTURED:
        for path in sorted(folder.glob(pattern)):
            signal = Signal.LOGS if ".logs." in path.name else Signal.TRACES
            yield path.name, signal, to_protobuf(path.read_bytes(), signal)


def phrases(name: str) -> tuple[str, ...]:
    """The words to look for in a captured request."""
    return next((found for start, found in PHRASES.items() if name.startswith(start)), ())


def without_content(row: dict[str, Any]) -> dict[str, Any]:
    """A stored row but for the columns that hold whatever was sent."""
    columns = {name: value for name, value in row.items() if name not in {"attributes", "events", "body"}}
    if "attributes" in row and "gen_ai.response.finish_reasons" not in row["attributes"]:
        # What only the messages tell goes with them.
        columns["finish_reasons"] = None
    return columns


def test_no_content_of_any_captured_instrumentation_is_left(shared_fixtures: Path) -> None:
    """With all kinds dropped no word of the content is in a row; models, tokens, ids and scores are as with keep."""
    seen: Counter[str] = Counter()
    for name, signal, data in captured(shared_fixtures):
        kept, _ = rows_of(data, signal)
        dropped, _ = rows_of(data, signal, policy(DROP_ALL))
        for phrase in phrases(name):
            seen[phrase] += json.dumps(kept, default=str, ensure_ascii=False).count(phrase)
            assert phrase not in json.dumps(dropped, default=str, ensure_ascii=False), (name, phrase)
        for table in ("spans", "log_records", "evaluations"):
            assert list(map(without_content, kept.get(table, []))) == list(map(without_content, dropped.get(table, [])))
    wanted = {phrase for found in PHRASES.values() for phrase in found}
    assert {phrase for phrase in wanted if not seen[phrase]} == set(), "each is in what was captured"


@pytest.mark.parametrize("action", ["truncate", "hash"])
def test_the_other_actions_leave_the_columns_too(shared_fixtures: Path, action: str) -> None:
    """Cut and hashed content changes no column that reports read, and is cut and hashed everywhere."""
    for name, signal, data in captured(shared_fixtures):
        kept, _ = rows_of(data, signal)
        done, _ = rows_of(data, signal, policy(dict.fromkeys(Content, action), truncate_characters=4))
        for phrase in phrases(name):
            assert phrase not in json.dumps(done, default=str, ensure_ascii=False), (name, phrase)
        for table in ("spans", "log_records", "evaluations"):
            assert list(map(without_content, kept.get(table, []))) == list(map(without_content, done.get(table, [])))


def test_no_name_that_columns_are_read_from_is_content() -> None:
    """Whatever is told to be content with a wildcard, models, tokens and scores are not."""
    assert {name for name in ANALYSED if kinds_of_attribute(name, ("*",)) != NOTHING} == set()
    assert all(kinds_of_attribute(name) for name in SETTINGS)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("gen_ai.system_instructions", "prompts"),
        ("gen_ai.input.messages", "prompts completions tool_arguments tool_results"),
        ("gen_ai.output.messages", "completions tool_arguments tool_results"),
        ("gen_ai.tool.call.arguments", "tool_arguments"),
        ("gen_ai.tool.call.result", "tool_results"),
        ("gen_ai.completion.3.tool_calls.0.arguments", "completions tool_arguments tool_results"),
        ("gen_ai.completion.3.tool_calls.0.name", ""),
        ("gen_ai.completion.0.finish_reason", ""),
        ("gen_ai.prompt.0.role", ""),
        ("gen_ai.prompt.variable.role", "prompts"),
        ("gen_ai.prompt.name", ""),
        ("gen_ai.output.type", ""),
        ("llm.output_messages.0.message.tool_calls.0.tool_call.function.name", ""),
        ("llm.input_messages.0.message.contents.1.message_content.image.image.url",
         "prompts completions tool_arguments tool_results"),
        ("retrieval.documents.0.document.content", "prompts tool_results"),
        ("retrieval.documents.0.document.score", ""),
        ("embedding.embeddings.0.embedding.vector", "prompts tool_arguments"),
        ("ai.toolCall.result", "tool_results"),
        ("ai.prompt.messages", "prompts completions tool_arguments tool_results"),
        ("app.cohort", ""),
        ("my.prompt", "prompts"),
        ("my.app.x", "prompts"),
    ],
)  # fmt: skip
def test_kinds(name: str, kinds: str) -> None:
    """A name stands for every kind of content that may be in it; structure and own attributes for none."""
    assert kinds_of_attribute(name, ("my.prompt", "my.app.*")) == {Content(kind) for kind in kinds.split()}


@pytest.mark.parametrize("kind", list(Content))
def test_the_strictest_policy_of_a_mixed_list_counts(otlp: Any, kind: Content) -> None:
    """Input messages may hold every kind, so dropping any one kind drops them."""
    row = one_span(otlp, {"gen_ai.input.messages": "[]", "app.cohort": "a"}, policy({kind: "drop"}))
    assert row["attributes"] == {"app.cohort": "a"}


def test_hashes_compare_and_depend_on_the_key(otlp: Any) -> None:
    """Equal contents have equal hashes, others others; another key gives others; the text is nowhere."""

    def hashes(key: str) -> list[str]:
        given = {"gen_ai.prompt.0.content": "same", "gen_ai.prompt.1.content": "same", "gen_ai.prompt.2.content": "no"}
        found = one_span(otlp, given, policy({"prompts": "hash"}, hash_key=key))["attributes"]
        return [found[name] for name in given]

    first, second, third = hashes("k" * 16)
    assert first == second != third
    assert first.startswith("[hash:")
    assert hashes("l" * 16)[0] != first


def test_truncation_counts_characters(otlp: Any) -> None:
    """A text is cut after so many characters, however many bytes they take, and tells how long it was."""
    content = policy({"prompts": "truncate"}, truncate_characters=3)
    given = {"gen_ai.prompt.0.content": "äöüß𝄞x", "gen_ai.prompt.1.content": "äöü", "app.cohort": "longer"}
    assert one_span(otlp, given, content)["attributes"] == {
        "gen_ai.prompt.0.content": "äöü[truncated:6]", "gen_ai.prompt.1.content": "äöü", "app.cohort": "longer",
    }  # fmt: skip


def test_structured_content(otlp: Any) -> None:
    """Lists and maps are cut as their JSON text, hashed and dropped as a whole; short ones keep their structure."""
    given = {
        "gen_ai.input.messages": [{"role": "user", "content": "a long prompt"}],
        "gen_ai.tool.call.result": {"a": 1},
    }
    cut = one_span(otlp, given, policy(dict.fromkeys(Content, "truncate"), truncate_characters=10))["attributes"]
    assert cut == {"gen_ai.input.messages": '[{"role":"[truncated:43]', "gen_ai.tool.call.result": {"a": 1}}
    hashed = one_span(otlp, given, policy(dict.fromkeys(Content, "hash")))["attributes"]
    assert [value[:6] for value in hashed.values()] == ["[hash:", "[hash:"]
    assert one_span(otlp, given, policy(DROP_ALL))["attributes"] == {}


def test_settings_keep_the_model(otlp: Any) -> None:
    """Of request settings that may not be kept, numbers, switches and the model remain; nothing that is a text."""
    settings = json.dumps({"model": "m-1", "temperature": 0.5, "stream": True, "system": "be brief", "tools": [{}]})
    row = one_span(otlp, {"llm.invocation_parameters": settings}, policy({"prompts": "drop"}))
    assert row["request_model"] == "m-1"
    assert json.loads(row["attributes"]["llm.invocation_parameters"]) == {
        "model": "m-1", "temperature": 0.5, "stream": True,
    }  # fmt: skip
    long = settings[:-1] + ', "x": "' + "y" * 3000 + '"}'
    assert (
        one_span(otlp, {"llm.invocation_parameters": long}, policy({"prompts": "truncate"}))["request_model"] == "m-1"
    )


def test_message_events(otlp: Any) -> None:
    """What a message event says goes, whatever its attributes are called; what tells about the call stays."""
    request = otlp.request({})
    span = request.resource_spans[0].scope_spans[0].spans[0]
    attributes = {"gen_ai.system": "openai", "content": "hi", "anything": "else", "role": "user"}
    span.events.add(name="gen_ai.user.message").attributes.extend(otlp.key_values(attributes))
    span.events.add(name="other").attributes.extend(otlp.key_values(attributes))
    row = rows_of(request.SerializeToString(), Signal.TRACES, policy({"prompts": "drop"}))[0]["spans"][0]
    message, other = (event["attributes"] for event in json.loads(row["events"]))
    assert message == {"gen_ai.system": "openai", "role": "user"}
    assert other == attributes


@pytest.mark.parametrize(
    ("event", "kept"),
    [("gen_ai.user.message", False), ("gen_ai.system.message", False), ("gen_ai.tool.message", True),
     ("gen_ai.client.inference.operation.details", False), ("", True), ("app.log", True)],
)  # fmt: skip
def test_bodies_of_log_records(otlp: Any, event: str, kept: bool) -> None:
    """The body of a message is content, that of another record is not; its own attributes stay."""
    row = one_log(otlp, event, {"content": "hi"}, policy({"prompts": "drop"}), **{"gen_ai.request.model": "m"})
    assert row["body"] == ({"content": "hi"} if kept else None)
    assert row["attributes"] == {"gen_ai.request.model": "m"}


def test_an_event_name_in_an_attribute_counts(otlp: Any) -> None:
    """Older SDKs tell the event's name in an attribute."""
    row = one_log(otlp, "", "hi", policy({"completions": "hash"}), **{"event.name": "gen_ai.choice"})
    assert row["body"].startswith("[hash:")
    assert row["event_name"] == "gen_ai.choice"


def test_own_names(otlp: Any) -> None:
    """Attributes and events that are named in the configuration are prompts; an exact name wins over everything."""
    content = policy({"prompts": "drop"}, attributes=("my.*", "app.said", "gen_ai.evaluation.explanation"))
    given = {"my.x": "a", "app.said": "b", "other": "c", "gen_ai.request.model": "m"}
    assert one_span(otlp, given, content)["attributes"] == {"other": "c", "gen_ai.request.model": "m"}
    assert one_log(otlp, "my.event", "text", content)["body"] is None
    data = log_request(
        otlp, "gen_ai.evaluation.result", None,
        {"gen_ai.evaluation.name": "n", "gen_ai.evaluation.score.value": 0.5, "gen_ai.evaluation.explanation": "quote"},
    )  # fmt: skip
    (result,) = rows_of(data, Signal.LOGS, content)[0]["evaluations"]
    assert (result["name"], result["score"], result["explanation"]) == ("n", 0.5, None)


ADDRESS = "bob@example.com"
MASKED = "[redacted:email]"


def test_patterns_are_searched_for_everywhere(otlp: Any) -> None:
    """Attributes of every shape, status messages, events, links and resources are masked; structure and types stay."""
    deep = {"to": [ADDRESS, {"cc": ADDRESS, "n": 1}], ADDRESS: True}
    given = {"text": f"to {ADDRESS}", "list": ["x", ADDRESS, 2], "nested": [[ADDRESS], {"a": ADDRESS}], "deep": deep,
             "number": 7, "plain": "text", "bytes": b"ab"}  # fmt: skip
    request = otlp.request({"attributes": given}, {"attributes": {"list": ["clean"]}}, resource={"owner": ADDRESS})
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.status.message = f"cannot reach {ADDRESS}"
    span.events.add(name="e").attributes.extend(otlp.key_values({"m": ADDRESS}))
    span.links.add(trace_id=b"\x02" * 16, span_id=b"\x02" * 8).attributes.extend(otlp.key_values({"m": ADDRESS}))
    tables, counts = rows_of(request.SerializeToString(), Signal.TRACES, policy(patterns=("email",)))
    assert ADDRESS not in json.dumps(tables, default=str)
    first, second = tables["spans"]
    assert json.loads(first["attributes"]) == {
        "text": f"to {MASKED}", "list": ["x", MASKED, 2], "nested": [[MASKED], {"a": MASKED}],
        "deep": {"to": [MASKED, {"cc": MASKED, "n": 1}], MASKED: True}, "number": 7, "plain": "text", "bytes": "YWI=",
    }  # fmt: skip
    assert json.loads(second["attributes"]) == {"list": ["clean"]}
    assert first["status_message"] == f"cannot reach {MASKED}"
    assert json.loads(tables["resources"][0]["attributes"])["owner"] == MASKED
    assert counts == {"masked:email": 8}


def test_patterns_in_bodies_of_any_log_record(otlp: Any) -> None:
    """A log record's body is searched whatever the event, be it a text or a map."""
    content = policy(patterns=("email",))
    assert one_log(otlp, "", f"sent to {ADDRESS}", content)["body"] == f"sent to {MASKED}"
    assert one_log(otlp, "app.mail", {"to": [ADDRESS]}, content)["body"] == {"to": [MASKED]}


def test_what_names_models_and_runs_is_not_masked(otlp: Any) -> None:
    """Patterns pass over what reports compare, and over what the configuration excepts; ids and counts are no texts."""
    given = {"gen_ai.request.model": ADDRESS, "gen_ai.conversation.id": ADDRESS, "ticket.id": ADDRESS, "x": ADDRESS}
    row = one_span(otlp, given, policy(patterns=("email",), unmasked=("ticket.id",)))
    assert row["attributes"] == given | {"x": MASKED}
    assert (row["request_model"], row["conversation_id"]) == (ADDRESS, ADDRESS)


def test_users_stay_apart(otlp: Any) -> None:
    """A user id that is an address becomes a hash of it: nobody is named, and users are still told apart."""
    content = policy(patterns=("email",))
    found = [
        one_span(otlp, {"user.id": user}, content)["user_id"] for user in (ADDRESS, ADDRESS, "a@example.com", "u-1")
    ]
    assert found[0] == found[1] != found[2]
    assert found[0].startswith("[hash:")
    assert found[3] == "u-1"


def test_a_cut_does_not_save_half_a_secret(otlp: Any) -> None:
    """Patterns are searched for before a text is cut."""
    content = policy({"prompts": "truncate"}, truncate_characters=8, patterns=("email",))
    assert one_span(otlp, {"gen_ai.prompt.0.content": ADDRESS}, content)["attributes"] == {
        "gen_ai.prompt.0.content": "[redacte[truncated:16]"
    }


def test_nothing_to_do_is_no_policy() -> None:
    """With everything kept and no pattern there is no policy at all, so its cost is none."""
    given: dict[str, Any] = {"truncate_characters": 1, "hash_key": None, "attributes": ("x",), "patterns": (),
                             "custom_patterns": {}, "unmasked": ()}  # fmt: skip
    assert content_policy(dict.fromkeys(Content, "keep"), **given) is None


@contextmanager
def running(tmp_path: Path, content: ContentPolicy) -> Iterator[Ingest]:
    """The ingest path onto a real store, whose journal is not loaded before the end."""
    store = store_at(tmp_path / "s.duckdb")
    writer = JournaledWriter(store, replace(LoadLimits(), seconds=1e9))
    ingest = Ingest(writer, content=content)
    ingest.start()
    yield ingest
    ingest.stop()
    writer.close()
    store.close()


def bytes_on_disk(folder: Path) -> bytes:
    """All that lies in a folder: store, log, journal."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_neither_journal_nor_store_holds_what_was_redacted(tmp_path: Path, otlp: Any) -> None:
    """What is acknowledged is on disk without its content, before the store is loaded and after; and is counted."""
    request = otlp.request({"attributes": {"gen_ai.prompt": "unheard-of words", "kept": "visible", "to": ADDRESS}})
    content = policy({"prompts": "drop"}, patterns=("email",))
    with running(tmp_path, content) as ingest:
        sent = [ingest.submit(Signal.TRACES, request.SerializeToString()), ingest.submit(Signal.TRACES, b"\x0a\xff")]
        sent[0].result(timeout=30)
        with pytest.raises(MalformedRequestError):
            sent[1].result(timeout=30)
        journal = bytes_on_disk(tmp_path)
        assert b"visible" in journal
        assert ingest.counters.redacted == {"dropped": 1, "masked:email": 1}
    for found in (journal, bytes_on_disk(tmp_path)):
        assert b"unheard-of" not in found
        assert ADDRESS.encode() not in found


def test_a_policy_that_fails_stores_nothing(tmp_path: Path, otlp: Any) -> None:
    """A request that cannot be redacted is refused; it is not stored as it came, and the next one is taken."""
    failing = policy({"prompts": "hash"})
    object.__setattr__(failing, "hash_key", "not bytes")
    with running(tmp_path, failing) as ingest:
        data = otlp.request({"attributes": {"gen_ai.prompt": "unheard-of words"}}).SerializeToString()
        with pytest.raises(MalformedRequestError):
            ingest.submit(Signal.TRACES, data).result(timeout=30)
        clean = otlp.request({"attributes": {"kept": "visible"}}).SerializeToString()
        ingest.submit(Signal.TRACES, clean).result(timeout=30)
        assert b"visible" in bytes_on_disk(tmp_path)
        assert ingest.counters.redacted == {}
    assert b"unheard-of" not in bytes_on_disk(tmp_path)


def test_columns_that_share_a_batch_are_told_apart(otlp: Any) -> None:
    """In a batch of many spans each value is cut, hashed or kept by its own name, in its own place."""
    content = policy({"tool_arguments": "hash", "tool_results": "drop", "prompts": "truncate"}, truncate_characters=2,
                     patterns=("email",))  # fmt: skip
    given = [
        {"n": number, "gen_ai.tool.call.arguments": f"a{number}", "gen_ai.tool.call.result": "r",
         "gen_ai.system_instructions": f"{number:04}", "note": ADDRESS if number % 3 else "none"}
        for number in range(50)
    ]  # fmt: skip
    data = otlp.request(*({"attributes": attributes} for attributes in given)).SerializeToString()
    tables, counts = rows_of(data, Signal.TRACES, content)
    found = [json.loads(row["attributes"]) for row in tables["spans"]]
    assert [row["n"] for row in found] == list(range(50))
    assert [row["gen_ai.system_instructions"][:2] for row in found] == [f"{n:04}"[:2] for n in range(50)]
    assert [row["note"] == MASKED for row in found] == [n % 3 > 0 for n in range(50)]
    assert len({row["gen_ai.tool.call.arguments"] for row in found}) == 50
    assert not any("gen_ai.tool.call.result" in row for row in found)
    assert counts == {"hashed": 50, "dropped": 50, "truncated": 50, "masked:email": 33}
