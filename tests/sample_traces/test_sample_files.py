"""The committed files are what an OTLP exporter writes and hold what each instrumentation emits."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sample_traces import story
from spanverdict.config import load

if TYPE_CHECKING:
    from .conftest import Sample

SAMPLE = Path(__file__).parents[2] / "sample_traces"
TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}")


def test_files_stay_small() -> None:
    """All data files together take at most five million bytes."""
    assert sum(path.stat().st_size for path in SAMPLE.glob("*.*") if path.suffix in {".gz", ".csv", ".json"}) < 5e6


@pytest.mark.parametrize("service", sorted(story.SERVICES))
def test_files_name_no_machine(service: str) -> None:
    """Stack traces tell where the app is deployed, not where the generator ran."""
    for signal in ("traces", "logs"):
        text = gzip.decompress((SAMPLE / f"{service}.{signal}.jsonl.gz").read_bytes()).decode()
        files = set(re.findall(r'File \\"(/[^/]+/)', text))
        assert files <= {"/app/", "/usr/"}
        assert not re.search(r"/(root|home|tmp|work)/", text)


def test_ids_are_lowercase_hex(sample: Sample) -> None:
    """Trace, span and parent ids are lowercase hex of full length and not all zero."""
    for record in sample.spans + sample.logs:
        assert TRACE_ID.fullmatch(record.raw["traceId"])
        assert SPAN_ID.fullmatch(record.raw["spanId"])
        assert SPAN_ID.fullmatch(record.raw.get("parentSpanId", record.raw["spanId"]))


def test_spans_are_stored_once_and_hang_together(sample: Sample) -> None:
    """No span id repeats, and every parent is a span of the same trace."""
    ids = Counter((span.raw["traceId"], span.raw["spanId"]) for span in sample.spans)
    assert max(ids.values()) == 1
    for span in sample.spans:
        assert (span.raw["traceId"], span.raw.get("parentSpanId", span.raw["spanId"])) in ids


def test_spans_end_after_they_start_and_within_the_incident(sample: Sample) -> None:
    """Times are simulated: none lies outside of the three weeks."""
    first, last = (int(moment.timestamp() * 1e9) for moment in (story.BEFORE_FROM, story.ENDED_AT))
    for span in sample.spans:
        assert first <= int(span.raw["startTimeUnixNano"]) <= int(span.raw["endTimeUnixNano"]) < last


def test_children_lie_within_their_root(sample: Sample) -> None:
    """Every span lies within its trace's root span."""
    for span in sample.spans:
        root = sample.traces[span.raw["traceId"]].root.raw
        assert int(root["startTimeUnixNano"]) <= int(span.raw["startTimeUnixNano"])
        assert int(span.raw["endTimeUnixNano"]) <= int(root["endTimeUnixNano"])


@pytest.mark.parametrize(
    ("service", "scope", "keys"),
    [
        (
            "support-web-chat",
            "opentelemetry.instrumentation.genai.openai",
            {
                "gen_ai.provider.name",
                "gen_ai.request.model",
                "gen_ai.response.id",
                "gen_ai.usage.input_tokens",
                "gen_ai.usage.output_tokens",
                "gen_ai.conversation.id",
            },
        ),
        (
            "support-mobile",
            "openinference.instrumentation.openai",
            {
                "llm.model_name",
                "llm.token_count.prompt",
                "llm.token_count.completion",
                "llm.token_count.prompt_details.cache_read",
                "session.id",
                "user.id",
                "input.value",
            },
        ),
        (
            "support-email",
            "opentelemetry.instrumentation.openai.v1",
            {
                "gen_ai.request.model",
                "gen_ai.usage.input_tokens",
                "gen_ai.usage.cache_read.input_tokens",
                "gen_ai.usage.total_tokens",
                "gen_ai.is_streaming",
                "gen_ai.input.messages",
            },
        ),
    ],
)
def test_each_service_speaks_its_convention(sample: Sample, service: str, scope: str, keys: set[str]) -> None:
    """Model calls come from the library's own scope with that convention's keys, failed ones as errors."""
    calls = [call for t in sample.traces.values() if t.root.service == service for call in t.model_calls]
    assert {call.scope for call in calls} == {scope}
    failed = [call for call in calls if call.raw["status"].get("code") == 2]
    assert failed
    for call in calls:
        if call not in failed:
            assert keys <= set(call.attributes)


@pytest.mark.parametrize("service", sorted(story.SERVICES))
def test_every_service_saw_all_cohorts_and_both_models(sample: Sample, service: str) -> None:
    """Each file holds every cohort under either model."""
    seen = {(trace.cohort, trace.model) for trace in sample.served() if trace.root.service == service}
    assert seen == {(cohort, model) for cohort in story.COHORTS for model in story.MODELS.values()}


def test_roots_carry_what_cohorts_and_units_are_made_of(sample: Sample) -> None:
    """Every server span names cohort, user, conversation, ticket and prompt."""
    for trace in sample.traces.values():
        attributes = trace.root.attributes
        assert {"app.cohort", "user.id", "ticket.id", "gen_ai.prompt.name", "gen_ai.prompt.version"} <= set(attributes)
        assert "session.id" in attributes or "gen_ai.conversation.id" in attributes
    tickets = Counter(trace.root.attributes["ticket.id"] for trace in sample.traces.values())
    assert max(tickets.values()) == 1


def test_scores_point_at_the_spans_they_judge(sample: Sample) -> None:
    """TaskCompletion judges the root, the other evaluators a model call; scores are events after the span."""
    spans = {(span.raw["traceId"], span.raw["spanId"]): span for span in sample.spans}
    for log in sample.logs:
        assert log.raw["eventName"] == "gen_ai.evaluation.result"
        target = spans[log.raw["traceId"], log.raw["spanId"]]
        assert int(log.raw["timeUnixNano"]) >= int(target.raw["endTimeUnixNano"])
        on_root = log.attributes["gen_ai.evaluation.name"] == "TaskCompletion"
        assert ("parentSpanId" not in target.raw) == on_root
        assert on_root or target in sample.traces[log.raw["traceId"]].model_calls


def test_feedback_comes_later_and_within_its_window(sample: Sample) -> None:
    """A thumb or an escalation comes within a day, a reopened ticket after one to six days."""
    by_ticket = {trace.root.attributes["ticket.id"]: trace for trace in sample.traces.values()}
    hours = {"thumbs_down": (0, 24), "escalated": (0, 24), "reopened": (23.9, 144.1)}
    for row in sample.feedback:
        trace = sample.traces[row["trace_id"]] if row["trace_id"] else by_ticket[row["key"]]
        said = datetime.fromisoformat(row["time"])
        delay_h = (said - datetime.fromtimestamp(trace.start_ns / 1e9, UTC)).total_seconds() / 3600
        assert hours[row["name"]][0] < delay_h < hours[row["name"]][1]
        assert said < story.MATURE_AT
    assert len({row["id"] for row in sample.feedback}) == len(sample.feedback)


def test_config_is_one_the_product_reads() -> None:
    """The demo's configuration loads and prices the tuned model."""
    config = load(SAMPLE / "spanverdict.toml")
    assert [price.model for price in config.prices] == [story.MODELS["candidate"]]
