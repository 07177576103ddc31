"""A trace as a person looks at it: every shape that instrumentations leave, and never more than can be read."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.trace_outcomes import outcome_view
from analytics.trace_reading import NO_MESSAGES, Bounds, read_traces
from analytics.trace_tree import Node, in_reading_order
from analytics.trace_view import TraceView
from collector.decode import decode_logs, decode_traces
from collector.otlp_json import to_protobuf
from collector.redact import Action, Content, ContentPolicy
from collector.rows import log_rows, span_rows
from collector.signals import Signal
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


ARRIVAL = datetime(2026, 11, 1)
MS = 1_000_000
START = 1_793_000_000_000 * MS
BEGAN = datetime(2026, 10, 26, 7, 33, 20)
TRACE = (b"\x01" * 16).hex()

Receive = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenedStore]:
    """An empty store."""
    with store_at(tmp_path / "s.duckdb") as opened:
        yield opened


@pytest.fixture
def receive(store: OpenedStore, otlp: Any) -> Receive:
    """Store spans as they come over OTLP, under a content policy where one is given."""

    def arrive(*spans: dict[str, Any], policy: ContentPolicy | None = None, **given_more: Any) -> None:
        columns = decode_traces([otlp.request(*spans, **given_more).SerializeToString()])
        if policy is not None:
            columns, _ = policy.apply_to_spans(columns)
        store.write(span_rows(columns, [None], ARRIVAL).tables)

    return arrive


def span(number: int, parent: int | None = None, at: float = 0, took: float = 10, **more: Any) -> dict[str, Any]:
    """A span of the trace, its times in milliseconds from the trace's beginning."""
    begun = START + int(at * MS)
    return {
        "span_id": number.to_bytes(8, "big"), "name": f"s{number}",
        "parent_span_id": b"" if parent is None else parent.to_bytes(8, "big"),
        "start_time_unix_nano": begun, "end_time_unix_nano": begun + int(took * MS), **more,
    }  # fmt: skip


def call(question: str, answer: str) -> dict[str, Any]:
    """The attributes of a model call."""
    return {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.response.model": "m-1",
        "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3,
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": question}]}]),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]),
    }  # fmt: skip


def only(store: OpenedStore, **more: Any) -> TraceView:
    """The one trace that is there."""
    return read_traces(store, [TRACE], **more)[TRACE]


def test_a_trace_reads_from_its_root_down(store: OpenedStore, receive: Receive) -> None:
    """Children below their parents by their beginning; times from the trace's own; what each span did and cost."""
    receive(
        span(3, 1, 40, 20, attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look_up",
                                       "gen_ai.tool.call.arguments": '{"id": 1}', "gen_ai.tool.call.result": "none"}),
        span(1, None, 0, 100, status={"code": 2, "message": "gave up"}),
        span(4, 3, 45, 5),
        span(2, 1, 10, 20, attributes=call("Where is it?", "Here.")),
    )  # fmt: skip
    view = only(store)
    assert [(one.name, one.depth) for one in view.spans] == [("s1", 0), ("s2", 1), ("s3", 1), ("s4", 2)]
    assert (view.started_at, view.duration_ms, view.service, view.left_out) == (BEGAN, 100.0, "app", 0)
    root, chat, tool, inner = view.spans
    assert (root.error, root.note, inner.note) == ("gave up", None, None)
    assert (chat.offset_ms, chat.duration_ms, chat.model, chat.input_tokens, chat.output_tokens) == (
        10,
        20,
        "m-1",
        7,
        3,
    )
    assert [(said.role, said.text, said.direction) for said in chat.messages] == [
        ("user", "Where is it?", "input"), ("assistant", "Here.", "output"),
    ]  # fmt: skip
    assert (tool.operation, tool.tool) == ("execute_tool", "look_up")
    assert [(said.text, said.direction) for said in tool.messages] == [('{"id": 1}', "input"), ("none", "output")]
    assert chat.cost is None, "nothing has been derived, and unknown is not zero"


def test_what_is_broken_is_shown_as_far_as_it_goes(store: OpenedStore, receive: Receive) -> None:
    """Missing parents, two roots, cycles, clocks that run apart, an end before a start."""
    receive(
        span(1), span(2, 99, 5), span(3, 4, 20), span(4, 3, 21), span(5, 5, 30), span(6, 1, -50, 10),
        span(7, 1, 8, -3),
    )  # fmt: skip
    view = only(store)
    assert [(one.name, one.depth) for one in view.spans] == [
        ("s1", 0), ("s6", 1), ("s7", 1), ("s2", 0), ("s5", 0), ("s3", 0), ("s4", 1),
    ]  # fmt: skip
    assert view.started_at == BEGAN - timedelta(milliseconds=50)
    assert min(one.offset_ms for one in view.spans) == 0
    assert [one.duration_ms for one in view.spans if one.name == "s7"] == [None]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 3)), max_size=12))
def test_every_span_has_one_place(links: list[tuple[int, int, int]]) -> None:
    """Whatever the parents are, each span stands once, and where it has ancestors one of them stands right above."""
    nodes = list({a: Node(str(a), str(b) if b else None, at) for a, b, at in links}.values())
    placed = in_reading_order(nodes)
    assert sorted(row for row, _ in placed) == list(range(len(nodes)))
    depths = [depth for _, depth in placed]
    assert all(now <= before + 1 for before, now in zip([-1, *depths], depths, strict=False))


@pytest.mark.file_only("the same as for fewer spans, and takes minutes")
def test_a_chain_of_ten_thousand_spans(store: OpenedStore, receive: Receive) -> None:
    """It is read in a moment; the root, the failure and the model call far down are among what is shown."""
    spans = [span(number, number - 1 or None, number) for number in range(1, 10_001)]
    spans[8_000] |= {"status": {"code": 2}}
    spans[9_000] |= {"attributes": call("q", "a")}
    receive(*spans)
    began = time.monotonic()
    view = only(store, bounds=Bounds(spans=50))
    assert time.monotonic() - began < 5
    assert len(view.spans) == 50
    assert view.left_out == 9_950
    depths = {one.name: one.depth for one in view.spans}
    assert depths["s1"] == 0
    assert depths["s8001"] == 8_000
    assert depths["s9001"] == 9_000


def test_texts_are_bounded_and_say_so(store: OpenedStore, receive: Receive) -> None:
    """A long text loses its middle, a long conversation its beginning, a span of megabytes its content."""
    turns = [{"role": "user", "parts": [{"type": "text", "content": f"turn {number}"}]} for number in range(80)]
    receive(
        span(1, attributes=call("q" * 50_000, "short")),
        span(2, attributes=call("q", "a") | {"gen_ai.input.messages": json.dumps(turns)}),
        span(3, attributes=call("x" * 2_000_000, "a")),
    )
    bounds = Bounds(text=1_000, messages=10)
    long, many, huge = only(store, bounds=bounds).spans
    assert len(long.messages[0].text) < 1_010
    assert long.messages[0].note == "49,000 characters of its middle are not shown."
    assert [said.text for said in many.messages][-2:] == ["turn 79", "a"]
    assert many.note == "71 earlier ones are not shown."
    assert huge.messages == ()
    assert huge.note is not None
    assert huge.note.startswith("What was recorded here is too large to show: 2,0")
    tight = only(store, bounds=Bounds(text=1_000, trace_text=500)).spans
    assert sum(len(said.text) for one in tight for said in one.messages) <= 500
    assert tight[0].note == "1 message left out: this trace says more than is shown of one."


@pytest.mark.parametrize(
    ("action", "shown", "note"),
    [
        (Action.HASH, "[hash:", "The content policy keeps a hash in place of this."),
        (Action.TRUNCATE, "[truncated:", "The content policy keeps the beginning of this; it had 30 characters."),
    ],
)
def test_what_the_policy_did_is_said(
    store: OpenedStore, receive: Receive, action: Action, shown: str, note: str
) -> None:
    """What was hashed or cut is shown as it is stored, with a sentence; it is not shown as nothing."""
    policy = ContentPolicy({Content.PROMPTS: action}, truncate_characters=10)
    receive(span(1, attributes={"gen_ai.operation.name": "chat", "gen_ai.prompt.0.content": "x" * 30,
                                "gen_ai.prompt.0.role": "user"}), policy=policy)  # fmt: skip
    (said,) = only(store).spans[0].messages
    assert shown in said.text
    assert said.note == note


def test_what_was_dropped_or_never_recorded_is_said(store: OpenedStore, receive: Receive) -> None:
    """A model call without messages says that there are none, and why that may be."""
    receive(span(1, attributes=call("q", "a")), policy=ContentPolicy(dict.fromkeys(Content, Action.DROP)))
    (shown,) = only(store).spans
    assert (shown.messages, shown.note) == ((), NO_MESSAGES)


def test_messages_of_every_instrumentation(store: OpenedStore, shared_fixtures: Path) -> None:
    """Captures of one recorded response: each shows the question and the tool that the model asked for."""
    folder = shared_fixtures / "generated-matrix"
    for path in folder.glob("openai-chat-tools.*.logs.json"):
        logs = decode_logs([to_protobuf(path.read_bytes(), Signal.LOGS)])
        store.write(log_rows(logs, [None], ARRIVAL).tables)
    seen = 0
    for path in sorted(folder.glob("openai-chat-tools.*.traces.json")):
        columns = decode_traces([to_protobuf(path.read_bytes(), Signal.TRACES)])
        rows = span_rows(columns, [None], ARRIVAL).tables
        store.write(rows)
        for trace in read_traces(store, rows["spans"]["trace_id"].unique().to_pylist()).values():
            said = [one for shown in trace.spans for one in shown.messages]
            asked = [one for one in said if one.tool is not None and one.direction == "output"]
            assert [one.tool for one in asked][:1] == ["get_current_weather"], path.name
            assert "Boston" in asked[0].text or "location" in asked[0].text, path.name
            assert any(one.direction == "input" and one.text for one in said), path.name
            seen += 1
    assert seen >= 7


def test_outcomes_stand_with_the_trace_as_of_a_moment(store: OpenedStore, receive: Receive, otlp: Any) -> None:
    """Scores and feedback of the trace, whatever was said later left out; the same question has the same answer."""
    receive(span(1, attributes=call("q", "a")), span(2, at=90_000))
    event = {
        "gen_ai.evaluation.name": "Groundedness", "gen_ai.evaluation.score.value": 0.2,
        "gen_ai.evaluation.score.label": "fail", "gen_ai.evaluation.explanation": "made up",
    }  # fmt: skip
    logs = otlp_logs(otlp, event, at=START + 60_000 * MS)
    store.write(log_rows(decode_logs([logs]), [None], ARRIVAL).tables)
    (said,) = only(store).outcomes
    assert (said.name, said.value, said.bad, said.comment) == ("Groundedness", "fail, 0.2", True, "made up")
    before = only(store, since=BEGAN, until=BEGAN + timedelta(seconds=30))
    assert before.outcomes == ()
    assert [one.name for one in before.spans] == ["s1"]
    assert only(store) == only(store)
    assert read_traces(store, ["f" * 32]) == read_traces(store, []) == {}


def otlp_logs(otlp: Any, attributes: dict[str, Any], at: int) -> bytes:
    """An evaluation's log record that names the trace."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: PLC0415

    request = ExportLogsServiceRequest()
    record = (
        request.resource_logs.add()
        .scope_logs.add()
        .log_records.add(time_unix_nano=at, trace_id=b"\x01" * 16, event_name="gen_ai.evaluation.result")
    )
    record.attributes.extend(otlp.key_values(attributes))
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("row", "value", "bad"),
    [
        ({"label": "Not Grounded"}, "Not Grounded", True),
        ({"value": 0.4, "threshold": 0.5, "higher_is": "better"}, "0.4", True),
        ({"value": 0.4, "threshold": 0.5, "higher_is": "worse"}, "0.4", False),
        ({"value": 0.4}, "0.4", None),
        ({"error_type": "Timeout", "label": "fail"}, "could not judge: Timeout", None),
        ({"kind": "feedback", "name": "thumbs_down", "value": 1.0}, "1", True),
        ({"kind": "feedback", "name": "thumbs_down", "value": 0.0}, "0", False),
        ({"kind": "feedback", "name": "stars", "value": 1.0}, "1", None),
        ({}, "nothing said", None),
    ],
)
def test_an_outcome_is_bad_where_it_says_so(row: dict[str, Any], value: str, bad: bool | None) -> None:
    """By its label, by its own threshold, by what it is known for; else it is not known."""
    keys = ("label", "value", "error_type", "threshold", "higher_is", "source", "comment")
    shown = outcome_view({"kind": "evaluation", "name": "n", **dict.fromkeys(keys), **row})
    assert (shown.value, shown.bad) == (value, bad)


def test_the_server_may_read_traces() -> None:
    """No dataframe and no chart library is loaded for it: the server's memory is for what it receives."""
    program = "import analytics.trace_reading, analytics.report.trace_html, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert not {"polars", "scipy", "matplotlib"} & set(done.stdout.split())
