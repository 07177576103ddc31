"""Spans of several conventions become the same canonical columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import decode_traces
from collector.rows import span_rows

NOW = datetime(2026, 11, 22)


def canonical(request: ExportTraceServiceRequest) -> list[dict[str, Any]]:
    """The rows of a request's spans."""
    table = span_rows(decode_traces([request.SerializeToString()]), [None], NOW).tables["spans"]
    return pl.DataFrame(pl.from_arrow(table)).to_dicts()


def one(otlp: Any, attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The canonical row of one span with these attributes."""
    return canonical(otlp.request({"attributes": attributes}, **more))[0]


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai.operation.name": "chat"}, "LLM"),
        ({"gen_ai.operation.name": "execute_tool"}, "TOOL"),
        ({"openinference.span.kind": "llm"}, "LLM"),
        ({"openinference.span.kind": "AGENT", "gen_ai.operation.name": "chat"}, "AGENT"),
        ({"traceloop.span.kind": "workflow"}, "CHAIN"),
        ({"llm.request.type": "chat"}, "LLM"),
        ({"gen_ai.span.kind": "RETRIEVER"}, "RETRIEVER"),
        ({"ai.operationId": "ai.generateText"}, "CHAIN"),
        ({"gen_ai.request.model": "m"}, "LLM"),
        ({"tool.name": "t", "gen_ai.request.model": "m"}, "TOOL"),
        ({"http.route": "/"}, None),
    ],
)
def test_span_kind(otlp: Any, attributes: dict[str, Any], kind: str | None) -> None:
    """Declared kinds win in the field's order; a model or a tool name tells where none is declared."""
    assert one(otlp, attributes)["gen_ai_span_kind"] == kind


@pytest.mark.parametrize(
    ("given", "provider"),
    [
        ("OpenAI", "openai"),
        ("az.ai.openai", "azure.ai.openai"),
        ("openai.chat", "openai"),
        ("aws.bedrock", "aws.bedrock"),
        ("anthropic.messages", "anthropic"),
        ("xai", "x_ai"),
    ],
)
def test_provider(otlp: Any, given: str, provider: str) -> None:
    """Provider spellings become the registry's names."""
    assert one(otlp, {"gen_ai.system": given})["provider"] == provider


def test_values_of_the_wrong_type_are_read(otlp: Any) -> None:
    """Numbers in strings, doubles for integers and JSON in strings are read; an empty text counts as absent."""
    row = one(
        otlp,
        {"gen_ai.usage.input_tokens": '"26"', "gen_ai.usage.output_tokens": 7.0, "gen_ai.request.user": "",
         "gen_ai.response.finish_reasons": '["end_turn"]', "gen_ai.server.time_to_first_token": "0.25"},
    )  # fmt: skip
    assert (row["input_tokens"], row["output_tokens"], row["user_id"]) == (26, 7, None)
    assert row["finish_reasons"] == ["stop"]
    assert row["time_to_first_token_ms"] == 250.0


def test_zero_is_a_value(otlp: Any) -> None:
    """A reported zero shadows another spelling; a value that cannot be read does not."""
    zero = one(otlp, {"gen_ai.usage.cache_read.input_tokens": 0, "gen_ai.usage.cache_read_input_tokens": 9,
                      "gen_ai.usage.input_tokens": 10})  # fmt: skip
    assert zero["cache_read_tokens"] == 0
    junk = one(otlp, {"gen_ai.usage.input_tokens": "many", "llm.token_count.prompt": 5})
    assert junk["input_tokens"] == 5


def test_absurd_counts_are_unknown(otlp: Any) -> None:
    """Negative and astronomic counts are not counts."""
    row = one(otlp, {"gen_ai.usage.input_tokens": -1, "gen_ai.usage.output_tokens": 2**62})
    assert (row["input_tokens"], row["output_tokens"]) == (None, None)


@pytest.mark.parametrize(
    ("counts", "scope", "tokens", "rule"),
    [
        ((100, None, 40, None), "any", 100, "default: input includes cache"),
        ((4, None, 40, None), "any", 44, "cache exceeds input: input excludes cache"),
        ((100, 10, 40, 150), "any", 140, "total: input excludes cache"),
        ((100, 10, 40, 110), "any", 100, "total: input includes cache"),
        ((100, None, 40, None), "openlit.instrumentation.anthropic", 140, "scope: input excludes cache"),
    ],
)
def test_token_rules(otlp: Any, counts: tuple[int | None, ...], scope: str, tokens: int, rule: str) -> None:
    """Input becomes inclusive of cached tokens, and the row says by which rule."""
    names = ("input_tokens", "output_tokens", "cache_read.input_tokens", "total_tokens")
    given = {f"gen_ai.usage.{name}": count for name, count in zip(names, counts, strict=True) if count is not None}
    attributes = {**given, "gen_ai.provider.name": "anthropic"}
    row = one(otlp, attributes, scope=scope)
    assert (row["input_tokens"], row["token_rule"]) == (tokens, rule)


def test_reasoning_beyond_output_raises_it(otlp: Any) -> None:
    """Reasoning is part of the output; where there is more of it, the output is raised to it, and that is said."""
    row = one(
        otlp,
        {
            "gen_ai.usage.input_tokens": 1,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.reasoning.output_tokens": 9,
        },
    )
    assert (row["output_tokens"], row["reasoning_tokens"]) == (9, 9)
    assert (row["token_rule"], row["token_conflict"]) == (
        "default: input includes cache; reasoning exceeds output: output raised to it",
        "reasoning exceeds output",
    )


def test_first_token_from_an_event(otlp: Any) -> None:
    """Where no attribute tells, the first token event does."""
    request = otlp.request({"attributes": {"gen_ai.request.model": "m"}})
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for offset in (90, 40):
        span.events.add(name="First Token Stream Event", time_unix_nano=span.start_time_unix_nano + offset * 1_000_000)
    assert canonical(request)[0]["time_to_first_token_ms"] == 40.0


def test_error_type_without_its_module(otlp: Any) -> None:
    """The exception's class names the error, from the attribute or else from the exception event."""
    assert one(otlp, {"error.type": "openai.NotFoundError"})["error_type"] == "NotFoundError"
    assert one(otlp, {"error.type": "429"})["error_type"] == "429"
    request = otlp.request({})
    event = request.resource_spans[0].scope_spans[0].spans[0].events.add(name="exception")
    event.attributes.extend(otlp.key_values({"exception.type": "openai.RateLimitError"}))
    assert canonical(request)[0]["error_type"] == "RateLimitError"
