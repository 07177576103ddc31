"""Captured spans of every instrumentation become the provider's own numbers, but for what their emitters leave out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from collector.decode import decode_traces
from collector.otlp_files import OtlpFile
from collector.otlp_json import to_protobuf
from collector.rows import span_rows
from collector.signals import Signal

NOW = datetime(2026, 11, 22)
SCENARIOS = ("openai-chat-tools", "openai-chat-stream", "openai-chat-reasoning", "openai-chat-404", "anthropic-cache")

NO_REASONING = [{"reasoning_tokens": None}] * 3
DEVIATIONS: dict[tuple[str, str], list[dict[str, Any]]] = {
    # Reports reasoning tokens for the Responses API only.
    ("openai-chat-reasoning", "openlit"): NO_REASONING,
    # Do not know reasoning tokens.
    ("openai-chat-reasoning", "otelv2"): NO_REASONING,
    ("openai-chat-reasoning", "otelv2latest"): NO_REASONING,
    ("openai-chat-reasoning", "traceloop040"): NO_REASONING,
    # Says that the model asked for answered, of a call that failed.
    ("openai-chat-404", "logfire"): [{"response_model": "this-model-does-not-exist"}],
    # Says that it failed, but not how.
    ("openai-chat-404", "traceloop040"): [{"error_type": None}],
    # Of a streamed answer, a first span without what the second has, and neither a finish reason for it.
    ("openai-chat-stream", "logfire"): [
        {"input_tokens": None, "output_tokens": None, "finish_reasons": None, "is_streaming": None},
        {},
    ],
    # Lose the finish reason of a streamed answer, and do not say that it was streamed.
    ("openai-chat-stream", "otelv2"): [{"finish_reasons": None, "is_streaming": None}],
    ("openai-chat-stream", "otelv2latest"): [{"is_streaming": None}],
    # Its total is its own sum, of an input that leaves the cache out.
    ("anthropic-cache", "openlit"): [{"token_conflict": "total leaves parts out"}] * 2,
    # Loses the usage of a streamed answer.
    ("openai-chat-stream", "traceloop040"): [{"input_tokens": None, "output_tokens": None}],
}
"""(scenario, instrumentation) → for each model span, the columns that differ from the truth, and their values."""

TOKENS = {"input": "input_tokens", "output": "output_tokens", "cache_read": "cache_read_tokens",
          "cache_write": "cache_write_tokens", "reasoning": "reasoning_tokens"}  # fmt: skip


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The stored spans of a captured request, in the order in which they started."""
    data = path.read_bytes() if path.suffix == ".pb" else to_protobuf(path.read_bytes(), Signal.TRACES)
    table = span_rows(decode_traces([data]), [None], NOW).tables["spans"]
    return pl.DataFrame(pl.from_arrow(table)).sort("start_time").to_dicts()


def expected(truth: dict[str, Any], number: int) -> dict[str, Any]:
    """The canonical columns that the provider's answer itself gives."""
    call = truth["calls"][min(number, len(truth["calls"]) - 1)]
    finish = ["stop"] if truth["finish"] == ["end_turn"] else truth["finish"]
    return {
        "provider": truth["provider"],
        "request_model": truth["request_model"],
        "response_model": truth["response_model"],
        "finish_reasons": finish,
        "error_type": truth["error"].split("/")[0] if truth.get("error") else None,
        "is_streaming": truth["stream"],
        "token_conflict": None,
        **{column: call.get(name) for name, column in TOKENS.items()},
    }


def matrix(folder: Path) -> list[tuple[Path, str, str]]:
    """Every captured request of the scenarios: its path, scenario and instrumentation."""
    found = [(path, *path.name.split(".")[:2]) for path in sorted((folder / "generated-matrix").glob("*.traces.*"))]
    return [(path, scenario, instrumentation) for path, scenario, instrumentation in found if scenario in SCENARIOS]


def test_captured_spans_agree_with_the_provider(shared_fixtures: Path, load_json: Callable[[Path], Any]) -> None:
    """One answer through many instrumentations gives the provider's numbers; what an emitter gets wrong is named."""
    truth = load_json(shared_fixtures / "generated-matrix" / "truth.json")["truth"]
    paths = matrix(shared_fixtures)
    assert set(DEVIATIONS) <= {(scenario, instrumentation) for _, scenario, instrumentation in paths}
    for path, scenario, instrumentation in paths:
        rows = [row for row in rows_of(path) if row["gen_ai_span_kind"] == "LLM"]
        deviations = DEVIATIONS.get((scenario, instrumentation), [{}] * len(truth[scenario]["calls"]))
        assert len(rows) == len(deviations), path.name
        for number, (row, deviation) in enumerate(zip(rows, deviations, strict=True)):
            wanted = expected(truth[scenario], number) | deviation
            for column, value in wanted.items():
                given = row[column]
                # A zero or a "no" that nobody reported is unknown to a receiver.
                unreported = given is None and not value and column not in deviation
                assert given == value or unreported, (path.name, number, column, given, value)
            assert (row["status_code"] == "ERROR") == ("error" in truth[scenario]), path.name


@pytest.mark.parametrize("mode", ["aggregated", "doublecount"])
def test_agents_and_their_calls(shared_fixtures: Path, load_json: Callable[[Path], Any], mode: str) -> None:
    """An agent's span has the sum of its calls, whatever attribute it is in, and is an agent, not a call."""
    truth = load_json(shared_fixtures / "generated-matrix" / "truth.json")["truth"]["pydantic-ai-agent"]
    rows = rows_of(shared_fixtures / "generated-matrix" / f"pydantic-ai-agent-{mode}.traces.json")
    by_kind = {kind: [row for row in rows if row["gen_ai_span_kind"] == kind] for kind in ("LLM", "AGENT", "TOOL")}
    assert [len(found) for found in by_kind.values()] == [2, 1, 1]
    for row, call in zip(by_kind["LLM"], truth["calls"], strict=True):
        assert row["request_model"] == truth["request_model"]
        for name, column in TOKENS.items():
            assert (row[column] or 0) == call.get(name, 0), (mode, column)
    agent, tool = by_kind["AGENT"][0], by_kind["TOOL"][0]
    for name, total in truth["trace_total"].items():
        assert agent[TOKENS[name]] == total
        assert sum(row[TOKENS[name]] or 0 for row in by_kind["LLM"]) == total
    assert {row["conversation_id"] for row in rows} == {truth["conversation"]}
    assert (tool["tool_name"], tool["tool_call_id"]) == (truth["tool"], "call_1")
    assert agent["agent_name"] == "weather_agent"


def buckets(row: dict[str, Any]) -> dict[str, int | None]:
    """A row's counts as parts that add up: what is left of input and output without their parts."""
    cached = (row["cache_read_tokens"] or 0) + (row["cache_write_tokens"] or 0)
    one_hour = row["cache_write_1h_tokens"]
    whole = (row["input_tokens"] or 0) + (row["output_tokens"] or 0)
    return {
        "input": None if row["input_tokens"] is None else row["input_tokens"] - cached,
        "output": None if row["output_tokens"] is None else row["output_tokens"] - (row["reasoning_tokens"] or 0),
        "total": whole,
        "input_cached_tokens": row["cache_read_tokens"],
        "input_cache_creation": row["cache_write_tokens"] if one_hour is None else 0,
        "input_cache_creation_5m": None if one_hour is None else row["cache_write_tokens"] - one_hour,
        "input_cache_creation_1h": one_hour,
        "output_reasoning_tokens": row["reasoning_tokens"],
        "input_audio_tokens": row["input_audio_tokens"],
        "output_audio_tokens": row["output_audio_tokens"],
        "cache_audio_read_tokens": row["cache_audio_read_tokens"],
    }


def test_buckets_agree_with_langfuse(shared_fixtures: Path, load_json: Callable[[Path], Any]) -> None:
    """Captured spans of many SDKs come to the buckets that Langfuse's own tests expect; one of those is disputed."""
    compared = 0
    for entry in load_json(shared_fixtures / "langfuse" / "index.json"):
        rows = rows_of(shared_fixtures / "langfuse" / entry["file"])
        assert len(rows) == entry["spans"]
        if entry["file"].startswith("vercel-ai-bedrock-cache"):
            # Its total says that its input left the cached tokens out already.
            assert rows[0]["token_rule"].endswith("input excludes cache")
            continue
        found = buckets(rows[0])
        for expectation in entry["langfuse_expected"]:
            name = expectation["expr"].split("usageDetails", 1)[1].strip('.,[]"')
            if name not in found:
                # An attribute's own name, which must not be a bucket.
                assert expectation["op"] == "toBeUndefined", name
                continue
            wanted = None if expectation["op"] == "toBeUndefined" else int(expectation["val"].strip(" ,"))
            assert found[name] == wanted, (entry["file"], name)
            compared += 1
    assert compared > 30


def test_whole_traces_agree_with_langfuse(shared_fixtures: Path, load_json: Callable[[Path], Any]) -> None:
    """Whole traces of three frameworks, all values texts, come to the kinds, models and counts that Langfuse made."""
    kinds = {"GENERATION": "LLM", "CHAIN": "CHAIN", "AGENT": "AGENT", "TOOL": "TOOL"}
    for path in sorted((shared_fixtures / "langfuse" / "framework-traces").glob("*.otlp.json")):
        rows = {row["span_id"]: row for row in rows_of(path)}
        for wanted in load_json(path.with_name(path.name.replace("otlp", "langfuse-result"))):
            row = rows[wanted["spanId"]]
            if row["operation"] == "ai.generateText":
                # Langfuse takes the parent of the call for another call, and gives it counts that it did not send.
                assert (row["gen_ai_span_kind"], row["input_tokens"], row["output_tokens"]) == ("CHAIN", 62, 85)
                continue
            assert row["gen_ai_span_kind"] == kinds[wanted["type"]], row["name"]
            if wanted["model"]:
                assert wanted["model"] in {row["request_model"], row["response_model"]}
                counts = (row["input_tokens"], row["output_tokens"])
                assert counts == (wanted["usageDetails"]["input"], wanted["usageDetails"]["output"])
                assert row["token_conflict"] is None


def test_no_captured_file_breaks_it(shared_fixtures: Path) -> None:
    """Traces of any origin are normalised, whether they are of models or not."""
    paths = [
        *(shared_fixtures / "openinference").glob("*.otlp.json"),
        *(shared_fixtures / "opentelemetry-proto").glob("trace.json"),
        *(shared_fixtures / "duckdb-otlp").glob("*traces*"),
    ]
    assert len(paths) > 5
    spans = 0
    for path in paths:
        with OtlpFile(path) as file:
            contents = [record.content for record in file.records() if record.content is not None]
        for signal, request in (found for content in contents for found in content.requests):
            if signal is Signal.TRACES:
                spans += span_rows(decode_traces([request]), [None], NOW).tables["spans"].num_rows
    assert spans > 10
