"""What comes as an evaluation inside spans and log records, and what it speaks of."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import decode_logs, decode_traces
from collector.evaluations.annotations import FIELDS as FIELD_NAMES
from collector.evaluations.annotations import parsed
from collector.evaluations.columns import COLUMNS, TARGETS
from collector.evaluations.rows import Carrier
from collector.normalize import STORED_COLUMNS, NormalizerInput, canonical_columns
from collector.otlp_json import to_protobuf
from collector.redact import ContentPolicy, content_policy
from collector.rows import Rows, log_rows, span_rows
from collector.signals import Signal

NOW = datetime(2026, 11, 26)
START = 1_793_000_000_000_000_000
TRACE, FIRST, SECOND = "01" * 16, "0" * 15 + "1", "0" * 15 + "2"
LINKED = {"trace_id": b"\x0a" * 16, "span_id": b"\x0b" * 8}
EVALUATOR = {"openinference.span.kind": "EVALUATOR"}
ANNOTATED = {"annotations.0.annotation.name": "quality", "annotations.0.annotation.label": "good"}
Row = dict[str, Any]


def told(table: pa.Table) -> list[Row]:
    """The rows of a table without what is null; times in nanoseconds, attributes parsed."""
    if len(table) == 0:
        return []
    at = table.column_names.index("event_time")
    table = table.set_column(at, "event_time", pc.cast(table["event_time"], pa.int64())).drop("received_at")
    rows = [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]
    return [row | {"attributes": json.loads(row["attributes"])} for row in rows]


def rows_of_spans(request: ExportTraceServiceRequest | bytes, policy: ContentPolicy | None = None) -> Rows:
    """Decode, redact and make rows, as the collector does."""
    data = request if isinstance(request, bytes) else request.SerializeToString()
    spans = decode_traces([data])
    if policy:
        spans, _ = policy.apply_to_spans(spans)
    return span_rows(spans, [None], NOW)


def evaluations(request: ExportTraceServiceRequest | bytes, policy: ContentPolicy | None = None) -> list[Row]:
    """The evaluations in a trace request."""
    return told(rows_of_spans(request, policy).tables["evaluations"])


def evaluations_of_log(data: bytes) -> list[Row]:
    """The evaluations in a log request."""
    return told(log_rows(decode_logs([data]), [None], NOW).tables["evaluations"])


@pytest.fixture
def logged(otlp: Any) -> Callable[..., list[Row]]:
    """The evaluations of one log record with the given attributes."""

    def make(attributes: Row, **fields: Any) -> list[Row]:
        request = ExportLogsServiceRequest()
        record = (
            request.resource_logs.add()
            .scope_logs.add()
            .log_records.add(**{"event_name": "gen_ai.evaluation.result", "time_unix_nano": START, **fields})
        )
        record.attributes.extend(otlp.key_values(attributes))
        return evaluations_of_log(request.SerializeToString())

    return make


def without(row: Row, *names: str) -> Row:
    """A row but for some columns."""
    return {name: value for name, value in row.items() if name not in names}


def test_the_specification_of_openinference(shared_fixtures: Path) -> None:
    """A linked carrier, feedback on a session, two inline annotations and a span event: one row each."""
    file = shared_fixtures / "openinference" / "annotations-from-spec.otlp.json"
    found = evaluations(to_protobuf(file.read_bytes(), Signal.TRACES))
    target = "80f198ee56343ba864fe8b2a57d3eff7"
    inline = {"service_name": "judge", "trace_id": target, "event_time": 1767225600100000000, "carrier": "annotation"}
    posthoc = {"service_name": "judge", "carrier": "annotation_carrier", "annotator": "HUMAN"}
    expected = [
        {**posthoc, "event_time": 1767484800100000000, "trace_id": target, "span_id": "e457b5a2e4d86bd1",
         "name": "hallucination", "score": 1.0, "label": "hallucinated", "identifier": "reviewer-42"},
        {**posthoc, "event_time": 1767484801100000000, "conversation_id": "session-123",
         "name": "conversational_coherence", "label": "coherent"},
        {**inline, "span_id": "4444444444444444", "name": "hallucination", "score": 0.2},
        {**inline, "name": "retrieval_quality", "score": 0.92},
        {**inline, "span_id": "4444444444444444", "event_time": 1767225600050000000, "carrier": "span_event",
         "name": "toxicity", "score": 0.0, "label": "pass"},
    ]  # fmt: skip

    def order(row: Row) -> tuple[str, int]:
        return row["name"], row["event_time"]

    assert sorted((without(row, "attributes") for row in found), key=order) == sorted(expected, key=order)


def test_openlit_and_logfire(shared_fixtures: Path) -> None:
    """OpenLIT's span event and its three log records, and Logfire's feedback on its parent span."""
    folder = shared_fixtures / "generated-matrix"
    read = {
        signal: (folder / f"evaluation-feedback.{signal}.json").read_bytes() for signal in (Signal.TRACES, Signal.LOGS)
    }
    scored = {"service_name": "fixture-app", "trace_id": "9f85fd7574767ae7a43876c0a55ea6ee",
              "span_id": "ea965736f8e5f923"}  # fmt: skip
    relevance = {**scored, "name": "relevance", "score": 0.8, "explanation": "inline"}
    spans = evaluations(to_protobuf(read[Signal.TRACES], Signal.TRACES))
    assert [without(row, "attributes") for row in spans] == [
        {**relevance, "event_time": 1795379073711448019, "carrier": "span_event"},
        {"service_name": "fixture-app", "trace_id": "01a204ee92c91917b6cf21155a566138", "span_id": "e9b8d67b0d1f4901",
         "event_time": 1795379073738169084, "carrier": "feedback_span", "name": "factuality", "score": 0.9,
         "explanation": "ok", "annotator": "HUMAN"},
    ]  # fmt: skip
    logs = evaluations_of_log(to_protobuf(read[Signal.LOGS], Signal.LOGS))
    assert [without(row, "attributes") for row in logs] == [
        {**relevance, "event_time": 1795379073711526503, "carrier": "log"},
        {**scored, "event_time": 1795379073711721947, "carrier": "log", "name": "thumbs", "score": 1.0,
         "label": "true", "explanation": "late user feedback", "identifier": "fb-1"},
        {**scored, "event_time": 1795379073711793800, "carrier": "log", "name": "tone", "label": "formal"},
    ]  # fmt: skip


G = "gen_ai.evaluation."


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param(
            {f"{G}score.value": True, f"{G}score.label": "pass", f"{G}evaluator.source": '{"name": "Judge"}',
             f"{G}evaluator.version": "v2"},
            {"score": 1.0, "label": "pass", "source": '{"name": "Judge"}', "evaluator_version": "v2"},
            id="Pydantic Evals",
        ),
        pytest.param(
            {"error.type": "TimeoutError", f"{G}explanation": "boom", f"{G}evaluator.version": "v2"},
            {"error_type": "TimeoutError", "explanation": "boom", "evaluator_version": "v2"},
            id="an evaluator that failed",
        ),
        pytest.param(
            {f"{G}score.value": 0, f"{G}evaluator.id": "exact", f"{G}evaluator.version": "2",
             f"{G}evaluator.type": "deterministic"},
            {"score": 0.0, "source": "exact", "evaluator_version": "2", "annotator": "CODE"},
            id="the proposal of OpenTelemetry",
        ),
        pytest.param(
            {f"{G}score.value": "0.0", f"{G}score.label": "fail", "gen_ai.response.id": "r1",
             "microsoft.gen_ai.evaluation.actor.type": "human", "microsoft.gen_ai.human_evaluation.source": "end_user",
             "microsoft.gen_ai.human_evaluation.id": "e-1",
             "internal_properties": json.dumps({f"{G}threshold": "1.0", f"{G}desirable_direction": "increase"})},
            {"score": 0.0, "label": "fail", "response_id": "r1", "annotator": "HUMAN", "source": "end_user",
             "identifier": "e-1", "threshold": 1.0, "higher_is": "better"},
            id="Azure AI Foundry",
        ),
        pytest.param(
            {f"{G}score.value": 2, f"internal_properties.{G}threshold": 3.0,
             f"internal_properties.{G}desirable_direction": "decrease"},
            {"score": 2.0, "threshold": 3.0, "higher_is": "worse"},
            id="Azure AI Foundry, flattened",
        ),
        pytest.param(
            {f"{G}result.score": 0.0, f"{G}result.label": "FAIL", "session.id": "s1",
             "aws.bedrock_agentcore.evaluator.arn": "arn:e"},
            {"score": 0.0, "label": "FAIL", "conversation_id": "s1", "source": "arn:e"},
            id="Amazon Bedrock AgentCore",
        ),
        pytest.param(
            {f"{G}score": 0.15, f"{G}passed": False, f"{G}judge.model": "sonnet", f"{G}version": "1.0.0",
             f"{G}reasoning": "short", f"{G}threshold": 0.5, f"{G}higher_is_better": True},
            {"score": 0.15, "label": "fail", "judge_model": "sonnet", "evaluator_version": "1.0.0",
             "explanation": "short", "threshold": 0.5, "higher_is": "better"},
            id="what applications write",
        ),
        pytest.param(
            {f"{G}score.label": "good", f"{G}annotator_kind": "committee", f"{G}identifier": "seat 3"},
            {"label": "good", "annotator": "COMMITTEE", "identifier": "seat 3"},
            id="an annotator of another kind",
        ),
    ],
)  # fmt: skip
def test_names_of_the_field(logged: Callable[..., list[Row]], attributes: Row, expected: Row) -> None:
    """What is sent beside a result's name comes into the columns, whatever it is called."""
    given = {f"{G}name": "n", **attributes}
    (row,) = logged(given)
    assert row == {"name": "n", "event_time": START, "carrier": "log", "attributes": given, **expected}


def test_an_event_of_azure(logged: Callable[..., list[Row]]) -> None:
    """The event's name may stand in an attribute of Azure's."""
    (row,) = logged({"microsoft.custom_event.name": "gen_ai.evaluation.result", f"{G}name": "n"}, event_name="")
    assert row["name"] == "n"


def test_a_log_record_may_name_its_target(logged: Callable[..., list[Row]]) -> None:
    """Ids among the attributes go before those of the context in which the record was written."""
    context = {"trace_id": b"\x01" * 16, "span_id": b"\x02" * 8}
    own, stated, trace = (
        logged({f"{G}name": "n", **given}, **context)[0]
        for given in ({}, {f"{G}target_span_id": "0xABCDEF0123456789"}, {f"{G}trace_id": "0A" * 16})
    )
    assert (own["trace_id"], own["span_id"]) == (TRACE, "02" * 8)
    assert ("trace_id" in stated, stated["span_id"]) == (False, "abcdef0123456789")
    assert (trace["trace_id"], "span_id" in trace) == ("0a" * 16, False)


@pytest.mark.parametrize(
    ("attributes", "links", "parent", "target", "carrier"),
    [
        pytest.param({"openinference.span.kind": "CHAIN"}, 0, "", (TRACE, FIRST), "annotation", id="inline"),
        pytest.param({"openinference.span.kind": "CHAIN"}, 1, "", (TRACE, FIRST), "annotation", id="work that links"),
        pytest.param({}, 0, "", (TRACE, FIRST), "annotation", id="inline, no kind"),
        pytest.param({}, 1, "", ("0a" * 16, "0b" * 8), "annotation_carrier", id="carrier without a kind"),
        pytest.param(EVALUATOR, 1, "", ("0a" * 16, "0b" * 8), "annotation_carrier", id="carrier"),
        pytest.param(EVALUATOR, 1, "p", ("0a" * 16, "0b" * 8), "annotation_carrier", id="parents tell nothing"),
        pytest.param(EVALUATOR, 2, "", (None, None), "annotation_carrier", id="two links"),
        pytest.param({}, 2, "p", (None, None), "annotation_carrier", id="two links, no kind"),
        pytest.param(EVALUATOR, 0, "", (None, None), "annotation_carrier", id="carrier without a link"),
        pytest.param(EVALUATOR, 0, "p", (TRACE, FIRST), "annotation_carrier", id="an evaluator inside a trace"),
        pytest.param(EVALUATOR, -1, "", (None, None), "annotation_carrier", id="a link to nothing"),
    ],
)
def test_what_an_annotation_speaks_of(
    otlp: Any, attributes: Row, links: int, parent: str, target: tuple[str | None, str | None], carrier: str
) -> None:
    """Of the span it stands on; on a carrier of the one span that this links; parentage never tells."""
    given = [LINKED] * links if links >= 0 else [{"trace_id": bytes(16), "span_id": bytes(8)}]
    span = {"links": given, "parent_span_id": b"\x09" * 8 if parent else b""}
    event = {"name": "gen_ai.evaluation.result", "attributes": otlp.key_values({f"{G}name": "n", f"{G}score": 1})}
    found = evaluations(otlp.request({**span, "events": [event], "attributes": {**attributes, **ANNOTATED}}))
    assert {row["carrier"]: (row.get("trace_id"), row.get("span_id")) for row in found} == {
        carrier: target,
        "span_event": target,
    }


def test_scopes_on_a_carrier(otlp: Any) -> None:
    """A linked span names its trace, and the carrier's session is the session."""
    attributes = {
        **EVALUATOR,
        "session.id": "s1",
        "trace.evaluations.0.evaluation.name": "whole",
        "trace.evaluations.0.evaluation.score": 1,
        "session.annotations.0.annotation.name": "talk",
        "session.annotations.0.annotation.explanation": "went on",
    }
    trace, session = sorted(
        evaluations(otlp.request({"links": [LINKED], "attributes": attributes})), key=lambda row: row["name"] == "talk"
    )
    assert (trace["trace_id"], "span_id" in trace, "conversation_id" in trace) == ("0a" * 16, False, False)
    assert (session["conversation_id"], "trace_id" in session, "span_id" in session) == ("s1", False, False)
    (lost,) = evaluations(otlp.request({"attributes": {"session.evaluations.0.evaluation.name": "n",
                                                       "session.evaluations.0.evaluation.label": "l"}}))  # fmt: skip
    assert {"trace_id", "span_id", "conversation_id"}.isdisjoint(lost), "a session that nothing names"


def test_annotations_of_a_span(otlp: Any) -> None:
    """Each has its fields, however numbers are written; what lacks a name or says nothing is none."""
    attributes = {
        "annotations.0.annotation.name": "a",
        "annotations.0.annotation.score": "0.25",
        "annotations.0.annotation.annotator_kind": "human",
        "annotations.7.annotation.name": "b",
        "annotations.7.annotation.score": True,
        "annotations.7.annotation.metadata": json.dumps(
            {"model": "sonnet", "version": 3, "threshold": 0.5, "direction": "minimize"}
        ),
        "evaluations.0.evaluation.name": "c",
        "evaluations.0.evaluation.score": 3,
        "evaluations.0.evaluation.label": 5,
        "annotations.1.annotation.name": "says nothing",
        "annotations.1.annotation.annotator_kind": "LLM",
        "annotations.2.annotation.label": "no name",
        "annotations.3.evaluation.name": "mixed",
        "annotations.3.evaluation.score": 1,
        "annotations.x.annotation.name": "no number",
        "annotations.x.annotation.score": 1,
        "evaluations.00000000001.evaluation.name": "long",
        "evaluations.00000000001.evaluation.score": 1,
        "annotations": [{"name": "nested", "score": 1}],
        "evaluations.9": {"evaluation.name": "nested", "evaluation.score": 1},
    }
    found = {row["name"]: row for row in evaluations(otlp.request({"attributes": attributes}, {}))}
    told = {name: without(row, "name", "attributes", "event_time", "trace_id", "span_id", "service_name", "carrier")
            for name, row in found.items()}  # fmt: skip
    assert told == {
        "a": {"score": 0.25, "annotator": "HUMAN"},
        "b": {"score": 1.0, "judge_model": "sonnet", "evaluator_version": "3", "threshold": 0.5, "higher_is": "worse"},
        "c": {"score": 3.0, "label": "5"},
    }
    assert found["a"]["attributes"] == {"name": "a", "score": "0.25", "annotator_kind": "human"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.9, {"score": 0.9}),
        (3, {"score": 3.0}),
        (False, {"score": 0.0, "label": "false"}),
        ("very", {"label": "very"}),
        ("5", {"label": "5"}),
        ([1], {}),
        (None, {}),
    ],
)
def test_feedback_of_logfire(otlp: Any, value: object, expected: Row) -> None:
    """Numbers are scores, texts labels, flags both; it speaks of the parent, whoever sent it."""
    attributes = {"logfire.feedback.name": "rating", "rating": value, "logfire.feedback.comment": "so", "user.id": "u1"}
    parent = {"parent_span_id": b"\x09" * 8}
    other = {**parent, "attributes": {"logfire.feedback.name": "other", "rating": 1, "other": 2}}
    row, second = evaluations(otlp.request({**parent, "attributes": attributes}, other, scope="my.studio"))
    assert (row["trace_id"], row["span_id"], row["carrier"]) == (TRACE, "09" * 8, "feedback_span")
    assert (row["annotator"], row["explanation"], row["identifier"]) == ("HUMAN", "so", "u1")
    assert {name: row[name] for name in ("score", "label") if name in row} == expected
    assert second["score"] == 2.0


def test_feedback_that_says_nothing(otlp: Any) -> None:
    """Without value and comment there is no row; deleted feedback is a row that takes back what was said."""
    nothing = {"logfire.feedback.name": "rating"}
    deleted = {**nothing, "rating": "good", "logfire.feedback.id": "f1", "logfire.feedback.deleted": True}
    (row,) = evaluations(otlp.request({"attributes": nothing}, {"attributes": deleted}))
    assert (row["identifier"], {"score", "label", "trace_id", "span_id"} & set(row)) == ("f1", set())


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param(
            {"gen_ai.span.kind": "EVALUATOR", f"{G}target_span_id": "ABCDEF0123456789", "gen_ai.response.id": "own"},
            {"span_id": "abcdef0123456789"},
            id="traceAI: the target may be of any trace",
        ),
        pytest.param(
            {"gen_ai.span.kind": "LLM", "gen_ai.response.id": "own", "session.id": "s", "user.id": "u"},
            {"trace_id": TRACE, "span_id": FIRST},
            id="on the judged span, whose ids are no targets beside it",
        ),
        pytest.param(
            {f"{G}trace_id": "0a" * 16, f"{G}span_id": "0b" * 8, f"{G}source": "llm-judge"},
            {"trace_id": "0a" * 16, "span_id": "0b" * 8, "annotator": "LLM", "source": "llm-judge"},
            id="OpenSearch",
        ),
        pytest.param(
            {"gen_ai.span.kind": "EVALUATOR", "gen_ai.conversation.id": "c", "gen_ai.response.id": "r"},
            {"conversation_id": "c", "response_id": "r"},
            id="an evaluator's own trace, with an answer's id",
        ),
    ],
)
def test_evaluations_among_the_attributes_of_a_span(otlp: Any, attributes: Row, expected: Row) -> None:
    """They speak of the target that they name, else of the span that they stand on."""
    said = {f"{G}name": "n", f"{G}score.value": 0.5, f"{G}score.label": "l", f"{G}explanation": "e"}
    (row,) = evaluations(otlp.request({"attributes": {**said, **attributes, "input.value": "long" * 1000}}, {}))
    own = {"name": "n", "score": 0.5, "label": "l", "explanation": "e", "carrier": "span_attributes",
           "service_name": "app", "event_time": START + 10**9}  # fmt: skip
    assert without(row, "attributes") == {**own, **expected}
    assert set(row["attributes"]) == {name for name in {**said, **attributes} if name.startswith(G)}


def test_the_error_of_a_call_is_none_of_its_judge(otlp: Any) -> None:
    """A judged call may have failed; that its evaluator failed only an evaluator's span can tell."""
    failed = {f"{G}name": "n", "error.type": "Timeout"}
    call, judge = {"gen_ai.span.kind": "LLM"}, {"gen_ai.span.kind": "EVALUATOR"}
    (row,) = evaluations(
        otlp.request({"attributes": {**call, **failed}}, {"parent_span_id": b"\x09" * 8,
                                                          "attributes": {**judge, **failed}})
    )  # fmt: skip
    assert (row["span_id"], row["error_type"], "score" in row) == (SECOND, "Timeout", False)


def test_a_refused_span_says_nothing(otlp: Any) -> None:
    """What stands on a span that is not stored is not stored either."""
    event = {"name": "gen_ai.evaluation.result", "attributes": otlp.key_values({f"{G}name": "n"})}
    said = {**ANNOTATED, f"{G}name": "n", f"{G}score": 1, "logfire.feedback.name": "f", "f": 1}
    span = {"attributes": said, "events": [event]}
    assert evaluations(otlp.request({**span, "span_id": bytes(8)})) == []
    assert len(evaluations(otlp.request(span))) == 4


def test_spans_of_judging_are_no_work(otlp: Any) -> None:
    """Carriers and feedback spans are evaluators' spans, now and when they are read from the store; others are not."""
    judged = {f"{G}name": "n", f"{G}score": 1}
    request = otlp.request(
        {"links": [LINKED], "attributes": ANNOTATED},
        {"attributes": {"logfire.feedback.name": "f", "f": 1}},
        {"attributes": {**judged, f"{G}target_span_id": "0b" * 8}},
        {"links": [LINKED], "attributes": judged},
        {"links": [LINKED, LINKED], "attributes": judged},
        {"attributes": ANNOTATED},
        {"links": [LINKED], "attributes": {**ANNOTATED, "gen_ai.request.model": "m"}},
        {"links": [LINKED]},
    )
    table = rows_of_spans(request).tables["spans"]
    kinds = ["EVALUATOR"] * 4 + [None, None, "LLM", None]
    assert table["gen_ai_span_kind"].to_pylist() == kinds
    again = canonical_columns(NormalizerInput.of_stored(table.select(STORED_COLUMNS)))
    assert again["gen_ai_span_kind"].to_pylist() == kinds


def masked(**given: Any) -> ContentPolicy | None:
    """A policy from plain values."""
    values: Row = {"truncate_characters": 2000, "hash_key": "k", "attributes": (), "patterns": (),
                   "custom_patterns": {}, "unmasked": (), **given}  # fmt: skip
    return content_policy(values.pop("actions", {}), **values)


def test_what_is_masked_is_masked_in_evaluations(otlp: Any) -> None:
    """Explanations hold no address; reviewers whose addresses are masked stay two."""
    address = "write to someone@example.org"
    first = {"annotations.0.annotation.name": "a", "annotations.0.annotation.explanation": address,
             "annotations.0.annotation.identifier": "one@example.org",
             "annotations.0.annotation.metadata": json.dumps({"by": "one@example.org"})}  # fmt: skip
    second = {**first, "annotations.0.annotation.identifier": "two@example.org"}
    feedback = {"logfire.feedback.name": "f", "f": address, "logfire.feedback.comment": address}
    judged = {f"{G}name": "n", f"{G}explanation": address,
              "microsoft.gen_ai.evaluation.tags.reviewer": "one@example.org"}  # fmt: skip
    event = {"name": "gen_ai.evaluation.result", "attributes": otlp.key_values(judged)}
    request = otlp.request({"attributes": first}, {"attributes": second}, {"attributes": feedback}, {"events": [event]})
    found = evaluations(request, masked(patterns=("email",)))
    assert len(found) == 4
    assert "example.org" not in json.dumps(found)
    assert len({row["identifier"] for row in found if row["name"] == "a"}) == 2


def test_explanations_that_are_named_as_content_are_dropped(otlp: Any) -> None:
    """A wildcard reaches what may quote a prompt, and neither names, scores, labels nor who judged."""
    attributes = {**ANNOTATED, "annotations.0.annotation.explanation": "quote",
                  "annotations.0.annotation.metadata": '{"q": "quote"}'}  # fmt: skip
    policy = masked(actions={"prompts": "drop"}, attributes=("annotations.*",))
    (row,) = evaluations(otlp.request({"attributes": attributes}), policy)
    assert (row["name"], row["label"], "quote" in json.dumps(row)) == ("quality", "good", False)


FIELDS = st.sampled_from(["name", "score", "label", "explanation", "annotator_kind", "identifier", "metadata", "x", ""])
INDICES = st.one_of(st.integers(-1, 70).map(str), st.sampled_from(["", "x", "²", "9" * 9, "9" * 10, "1.1"]))
ANNOTATION_NAMES = st.builds(
    lambda scope, form, index, second, field: f"{scope}{form}s.{index}.{second}.{field}",
    st.sampled_from(["", "trace.", "session.", "x."]),
    st.sampled_from(["annotation", "evaluation"]),
    INDICES,
    st.sampled_from(["annotation", "evaluation"]),
    FIELDS,
)
OTHER_NAMES = st.sampled_from(
    [f"{G}name", f"{G}score.value", f"{G}score.label", f"{G}target_span_id", f"{G}trace_id", f"{G}passed",
     f"{G}threshold", f"{G}desirable_direction", f"{G}evaluator.type", "internal_properties", "error.type",
     "logfire.feedback.name", "logfire.feedback.comment", "logfire.feedback.deleted", "openinference.span.kind",
     "session.id", "rating"]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(max_size=4),
        st.text(max_size=8), st.sampled_from(["rating", "EVALUATOR", "1", "true", "{", '{"threshold": [1]}', "\ud7ff"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip
ATTRIBUTES = st.dictionaries(st.one_of(ANNOTATION_NAMES, OTHER_NAMES), VALUES, max_size=12)


@settings(max_examples=40)
@given(spans=st.lists(st.tuples(ATTRIBUTES, ATTRIBUTES, st.integers(0, 2)), min_size=1, max_size=3))
def test_whatever_is_sent_gives_at_most_one_row_each(otlp: Any, spans: list[tuple[Row, Row, int]]) -> None:
    """No attributes of these names stop the decoder; an annotation, a result, a feedback is one row or none."""
    request = otlp.request(
        *(
            {
                "attributes": attributes,
                "links": [LINKED] * links,
                "events": [{"name": "gen_ai.evaluation.result", "attributes": otlp.key_values(of_event)}],
            }
            for attributes, of_event, links in spans
        )
    )
    rows = rows_of_spans(request).tables
    found = rows["evaluations"]
    annotations = sum(
        len({key[:3] for name in attributes if (key := parsed(name)) and key.field == "name"})
        for attributes, _, _ in spans
    )
    carriers = found["carrier"].to_pylist() if len(found) else []
    assert sum(carrier.startswith("annotation") for carrier in carriers) <= annotations
    for carrier in ("span_event", "span_attributes", "feedback_span"):
        assert carriers.count(carrier) <= len(spans)
    assert len(rows["spans"]) == len(spans)
    for row in told(found):
        assert row["name"]
        assert (
            row["carrier"] == "span_event"
            or {"score", "label", "explanation", "error_type"} & set(row)
            or (row["carrier"] == "feedback_span")
        )


def test_the_page_names_every_attribute() -> None:
    """docs/outcomes.md says where each column comes from, and how each evaluation came."""
    page = (Path(__file__).parents[2] / "docs" / "outcomes.md").read_text("utf-8")
    rows = {cells[1].strip(): cells[2] for line in page.splitlines() if len(cells := line.split("|")) == 5}
    for name, column in (COLUMNS | TARGETS).items():
        text = next(cell for names, cell in rows.items() if f"`{name}`" in names)
        keys = [] if name == "conversation_id" else [key for source in column.sources for key in source.keys]
        assert [key for key in keys if f"`{key}`" not in text] == [], name
    assert [carrier for carrier in Carrier if f"`{carrier}`" not in page] == []
    assert [field for field in FIELD_NAMES if f"`{field}`" not in page] == []
