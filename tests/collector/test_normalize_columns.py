"""Where each convention puts what is not a token count: one canonical column each, in one unit."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.conventions.columns import CANONICAL_COLUMNS, read_keys
from collector.conventions.sources import INDEX_LIMIT
from collector.conventions.vocabularies import FINISH_REASONS, OPERATION_KINDS, PROVIDERS, SPAN_KINDS
from collector.decode import decode_traces
from collector.normalize import NORMALIZER_VERSION
from collector.rows import span_rows
from tests.conftest import Otlp

NOW = datetime(2026, 11, 22)
START = 1_793_000_000_000_000_000


def row_of(
    attributes: dict[str, Any],
    *,
    scope: str = "app",
    change: Callable[[Any], object] = lambda _span: None,
    **fields: Any,
) -> dict[str, Any]:
    """The stored row of one span, which may be changed before it is sent."""
    request: ExportTraceServiceRequest = Otlp().request({"attributes": attributes, **fields}, scope=scope)
    change(request.resource_spans[0].scope_spans[0].spans[0])
    table = span_rows(decode_traces([request.SerializeToString()]), [None], NOW).tables["spans"]
    return pl.DataFrame(pl.from_arrow(table)).to_dicts()[0]


@pytest.mark.parametrize(
    ("attributes", "column", "value"),
    [
        # Settings, as attributes and as members of objects, and the spellings of their values.
        ({"gen_ai.request.temperature": "0.2"}, "temperature", 0.2),
        ({"llm.invocation_parameters": '{"temperature": 0.2}'}, "temperature", 0.2),
        ({"langfuse.observation.model.parameters": {"temperature": "0.2"}}, "temperature", 0.2),
        ({"gen_ai.request.parameters": '"{\\"temperature\\": 0.2}"'}, "temperature", 0.2),
        ({"ai.settings.topP": 1}, "top_p", 1.0),
        ({"gen_ai.request.temperature": float("nan"), "ai.settings.temperature": 0.5}, "temperature", 0.5),
        ({"llm.invocation_parameters": '{"max_completion_tokens": 9}'}, "max_tokens", 9),
        ({"gen_ai.request.max_tokens": -1}, "max_tokens", None),
        ({"gen_ai.openai.request.seed": -7}, "seed", -7),
        ({"gen_ai.request.seed": "", "ai.settings.seed": 3.0}, "seed", 3),
        ({"gen_ai.request.reasoning.level": "High"}, "reasoning_effort", "high"),
        ({"llm.invocation_parameters": '{"reasoning": {"effort": "low"}}'}, "reasoning_effort", "low"),
        ({"llm.invocation_parameters": "[" * 5000}, "reasoning_effort", None),
        ({"openai.response.service_tier": "auto", "openai.request.service_tier": "Flex"}, "service_tier", "flex"),
        ({"gen_ai.openai.response.service_tier": "batch", "openai.request.service_tier": "x"}, "service_tier", "batch"),
        ({"ai.response.providerMetadata": '{"openai":{"serviceTier":"default"}}'}, "service_tier", "default"),
        ({"anthropic.response.service_tier": "standard"}, "service_tier", "standard"),
        # Streaming.
        ({"gen_ai.client.operation.time_to_first_chunk": 0.2}, "is_streaming", True),
        ({"gen_ai.response.time_to_first_chunk": 0.2}, "is_streaming", True),
        ({"gen_ai.request.stream": False, "gen_ai.response.time_to_first_chunk": 0.2}, "is_streaming", False),
        ({"langfuse.observation.completion_start_time": "2026-11-22T00:00:00Z"}, "is_streaming", True),
        # MLflow: objects of what went in and came out.
        ({"mlflow.llm.model": '"m-1"', "mlflow.spanInputs": '{"model":"m"}'}, "request_model", "m"),
        ({"mlflow.llm.model": '"m"'}, "request_model", "m"),
        ({"mlflow.spanOutputs": '{"model":"m-1"}'}, "response_model", "m-1"),
        ({"mlflow.spanOutputs": '{"id":"x"}'}, "response_id", "x"),
        ({"mlflow.spanOutputs": '"an answer"'}, "response_id", None),
        ({"mlflow.spanOutputs": '{"choices":[{"finish_reason":"length"}]}'}, "finish_reasons", ["length"]),
        ({"mlflow.spanOutputs": '{"stop_reason":"tool_use"}'}, "finish_reasons", ["tool_calls"]),
        ({"mlflow.llm.provider": '"us"'}, "provider", "aws.bedrock"),
        # How answers ended.
        ({"anthropic.message.stop_reason": "max_tokens"}, "finish_reasons", ["length"]),
        ({"langfuse.observation.metadata.finish_reason": '"stop"'}, "finish_reasons", ["stop"]),
        # traceAI calls the model that answered the one asked for, where it tells that one elsewhere.
        ({"gen_ai.request.parameters": '{"model":"m"}', "gen_ai.request.model": "m-1"}, "request_model", "m"),
        ({"gen_ai.request.parameters": '{"model":"m"}', "gen_ai.request.model": "m-1"}, "response_model", "m-1"),
        ({"gen_ai.request.parameters": '{"seed":1}', "gen_ai.request.model": "m"}, "request_model", "m"),
        ({"gen_ai.request.parameters": '{"seed":1}', "gen_ai.request.model": "m"}, "response_model", None),
        ({"gen_ai.request.parameters": '{"model":"m"}'}, "response_model", None),
        ({"gen_ai.request.stream": "True"}, "is_streaming", True),
        ({"llm.is_streaming": 0}, "is_streaming", False),
        ({"ai.operationId": "ai.streamObject"}, "is_streaming", True),
        ({"operation.name": "ai.generateText.doGenerate my-function"}, "is_streaming", False),
        ({"operation.name": "stream something"}, "is_streaming", None),
        ({"gen_ai.request.stream": "perhaps"}, "is_streaming", None),
        # The server.
        ({"server.address": "h", "server.port": "443"}, "server_port", 443),
        ({"gen_ai.openai.api_base": "https://h.example:8443/v1"}, "server_port", 8443),
        ({"gen_ai.openai.api_base": "https://h.example/v1"}, "server_address", "h.example"),
        ({"gen_ai.openai.api_base": "https://[/v1"}, "server_address", None),
        # Cost: a zero is unknown; parts add up where no total is told.
        ({"gen_ai.usage.cost": 0, "operation.cost": "0.5"}, "reported_cost_usd", 0.5),
        ({"llm.cost.prompt": 0.25, "llm.cost.completion": 0.5}, "reported_cost_usd", 0.75),
        ({"llm.cost.prompt": 0.25}, "reported_cost_usd", None),
        ({"llm.cost.prompt": 0.0, "llm.cost.completion": 0.0}, "reported_cost_usd", None),
        ({"langfuse.observation.cost_details": '{"total": 0.5, "input": 9}'}, "reported_cost_usd", 0.5),
        ({"langfuse.observation.cost_details": {"input": 0.25, "output": "0.5", "x": True}}, "reported_cost_usd", 0.75),
        ({"mlflow.llm.cost": '{"input_cost": 1.0, "total_cost": 1.5}'}, "reported_cost_usd", 1.5),
        ({"http.response.header.x-agentcc-cost": ["0.125"]}, "reported_cost_usd", 0.125),
        # Who and what.
        ({"user.id": "None", "langfuse.user.id": "u"}, "user_id", "u"),
        ({"metadata": '{"langfuse_session_id": "s"}'}, "conversation_id", "s"),
        ({"mlflow.trace.session": '"s"'}, "conversation_id", "s"),
        ({"mlflow.linkedPrompts": '[{"name":"p","version":"3"},{"name":"q"}]'}, "prompt_version", "3"),
        ({"ai.telemetry.metadata.langfusePrompt": '{"name":"p","version":3}'}, "prompt_version", "3"),
        ({"traceloop.prompt.version": 4}, "prompt_version", "4"),
        ({"gen_ai.tool.call.id": "c", "gen_ai.tool.type": "Function"}, "tool_type", "function"),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "search"}, "tool_name", "search"),
        ({"traceloop.span.kind": "task", "traceloop.entity.name": "search"}, "tool_name", None),
        ({"traceloop.span.kind": "workflow", "traceloop.entity.name": "w"}, "workflow_name", "w"),
        ({"langfuse.observation.type": "tool"}, "tool_name", "span"),
        ({"mlflow.spanType": '"AGENT"'}, "agent_name", "span"),
        ({"openinference.span.kind": "GUARDRAIL"}, "guardrail_name", "span"),
        ({"langfuse.observation.type": "span"}, "tool_name", None),
        ({"gen_ai.guardrail.result": "blocked"}, "guardrail_result", "blocked"),
        ({"agentcc.guardrail_triggered": True}, "guardrail_result", "triggered"),
        ({"x-agentcc-guardrail-triggered": "false"}, "guardrail_result", "passed"),
        ({"gen_ai.agent.id": "a", "gen_ai.agent.version": "2"}, "agent_version", "2"),
        ({"fi.simulator.is_simulator_trace": "true"}, "is_simulated", True),
        # Gateways.
        ({"x-agentcc-fallback-used": "true"}, "gateway_fallback", True),
        ({"agentcc.cache_status": "hit_exact"}, "gateway_cache_hit", True),
        ({"agentcc.cache_status": "miss"}, "gateway_cache_hit", False),
        ({"x-portkey-cache-status": "SEMANTIC HIT"}, "gateway_cache_hit", True),
        ({"x-portkey-cache-status": "DISABLED"}, "gateway_cache_hit", False),
        ({"x-portkey-cache-status": "?"}, "gateway_cache_hit", None),
        ({"http.response.header.x-litellm-attempted-retries": ["2"], "x-litellm-attempted-fallbacks": 1},
         "gateway_attempts", 4),
        ({"x-litellm-attempted-fallbacks": "0"}, "gateway_attempts", 1),
        ({"x-litellm-attempted-fallbacks": "0"}, "gateway_fallback", False),
        ({"metadata.attempted_retries": ""}, "gateway_attempts", None),
        ({"x-portkey-retry-attempt-count": "-1"}, "gateway_attempts", None),
        ({"http.response.header.x-portkey-retry-attempt-count": "3"}, "gateway_attempts", 4),
        ({"http.request.header.x-envoy-attempt-count": "2"}, "gateway_attempts", None),
        ({"cf-aig-step": 1}, "gateway_attempts", 2),
        ({"bifrost.fallback_index": 1}, "gateway_fallback", True),
        ({"bifrost.request_id": "r"}, "attempt_group", "r"),
        ({"attempt": 3}, "gateway_attempts", None),
        ({"agentcc.provider": "openai", "gen_ai.system": "agentcc-gateway"}, "provider", "openai"),
        ({"gen_ai.system": "agentcc"}, "provider", None),
        ({"x-agentcc-model-used": "m"}, "response_model", "m"),
        # Models.
        ({"llm.invocation_parameters": '{"model": "asked"}', "llm.model_name": "m"}, "request_model", "asked"),
        ({"mlflow.spanInputs": '{"model": "m", "messages": []}'}, "request_model", "m"),
        ({"request_data": '{"model": "m"}'}, "request_model", "m"),
        ({"gen_ai.request.model": "", "ai.model.id": "m"}, "request_model", "m"),
    ],
)  # fmt: skip
def test_columns(attributes: dict[str, Any], column: str, value: Any) -> None:
    """Each convention's attribute is read, in the spellings that occur; what says nothing is null."""
    assert row_of(attributes)[column] == value


def test_an_attempt_count_only_where_it_is_one() -> None:
    """A name that is common elsewhere counts on the spans that are known to mean it."""
    assert row_of({"attempt": 3}, name="claude_code.llm_request")["gateway_attempts"] == 3


def test_settings_that_were_filled_in_are_unknown() -> None:
    """OpenLIT reports defaults that the caller never sent: those values are unknown, others were sent."""
    given = {"gen_ai.request.temperature": 1.0, "gen_ai.request.top_p": 0.5, "gen_ai.request.seed": 0}
    theirs = row_of(given, scope="openlit.instrumentation.openai")
    assert (theirs["temperature"], theirs["top_p"], theirs["seed"]) == (None, 0.5, None)
    others = row_of(given, scope="openlitter")
    assert (others["temperature"], others["top_p"], others["seed"]) == (1.0, 0.5, 0)


@pytest.mark.parametrize(
    ("attributes", "milliseconds"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.25}, 250.0),
        ({"gen_ai.client.operation.time_to_first_chunk": "0.25"}, 250.0),
        ({"gen_ai.server.time_to_first_token": 0.25, "ai.response.msToFirstChunk": 9}, 250.0),
        ({"ai.stream.msToFirstChunk": 250}, 250.0),
        ({"agentcc.ttft_ms": 250.0}, 250.0),
        ({"langfuse.observation.completion_start_time": "2026-10-26T05:33:20.250Z"}, None),
        ({"gen_ai.response.time_to_first_chunk": -1.0}, None),
    ],
)
def test_time_to_first_token(attributes: dict[str, Any], milliseconds: float | None) -> None:
    """Seconds and milliseconds become milliseconds; a time before the start is none."""
    assert row_of(attributes)["time_to_first_token_ms"] == milliseconds


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(("moment", "milliseconds"), [
    ("2026-10-26T07:33:20.250Z", 250.0),
    ("2026-10-26T09:33:20.250000+02:00", 250.0),
    ("2026-10-26T07:33:20.25", 250.0),
    ("2026-10-26T07:33:19Z", None),
    ("soon", None),
    ("9999-01-01T00:00:00Z", None),
])  # fmt: skip
def test_completion_start_time(moment: str, milliseconds: float | None, *, quoted: bool) -> None:
    """Langfuse tells the moment of the first token, in quotes or not; it is measured from the span's start."""
    text = json.dumps(moment) if quoted else moment
    given = {"langfuse.observation.completion_start_time": text}
    assert row_of(given, start_time_unix_nano=START)["time_to_first_token_ms"] == milliseconds


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"mlflow.spanType": '"RETRIEVER"', "gen_ai.operation.name": "chat"}, "RETRIEVER"),
        ({"mlflow.spanType": '"UNKNOWN"', "gen_ai.operation.name": "chat"}, "LLM"),
        ({"langfuse.observation.type": "generation", "openinference.span.kind": "CHAIN"}, "LLM"),
        ({"gen_ai.operation.name": "agent_step"}, "CHAIN"),
        ({"gen_ai.operation.name": "invoke_agent", "ai.operationId": "ai.streamText"}, "AGENT"),
        ({"operation.name": "ai.embed.doEmbed a-function"}, "EMBEDDING"),
        ({"operation.name": "chat"}, None),
        ({"gen_ai.operation.name": "fetch_response", "gen_ai.request.model": "m"}, "OTHER"),
        ({"gen_ai.retrieval.query.text": "q"}, "RETRIEVER"),
        ({"retrieval.documents.0.document.content": "d"}, "RETRIEVER"),
        ({"gen_ai.usage.input_tokens": 1, "gen_ai.response.model": "m"}, "LLM"),
        ({"gen_ai.aggregated_usage.input_tokens": 1, "gen_ai.request.model": "m"}, "AGENT"),
        ({"agent_name": "a", "model_name": "m"}, "AGENT"),
        ({"embedding.model_name": "m"}, "EMBEDDING"),
        ({"gen_ai.usage.input_tokens": 1}, None),
    ],
)
def test_span_kinds(attributes: dict[str, Any], kind: str | None) -> None:
    """A vendor's own type wins, then the operation, then the framework's, then keys of one kind, then a model."""
    assert row_of(attributes)["gen_ai_span_kind"] == kind


@pytest.mark.parametrize(
    ("given", "reasons"),
    [
        (["STOP"], ["stop"]),
        (["MAX_TOKENS", "SAFETY"], ["length", "content_filter"]),
        ("FinishReason.RECITATION", ["content_filter"]),
        ("guardrail_intervened", ["content_filter"]),
        ("content-filter", ["content_filter"]),
        ("stop,tool_calls", ["stop", "tool_calls"]),
        ('["tool-calls"]', ["tool_calls"]),
        ("pause_turn", ["other"]),
        ("unknown", None),
        ("", None),
        (["", 3, None], None),
        ("[not json", ["other"]),
    ],
)
def test_finish_reasons(given: Any, reasons: list[str] | None) -> None:
    """The words of all providers come to one vocabulary; an unknown one is other, one that says nothing is null."""
    assert row_of({"gen_ai.response.finish_reasons": given})["finish_reasons"] == reasons


def test_finish_reasons_of_messages() -> None:
    """Where nothing else tells, the messages do, in text or as they are."""
    messages = [{"role": "assistant", "parts": [], "finish_reason": "length"}, {"role": "assistant"}]
    for given in (messages, json.dumps(messages)):
        assert row_of({"gen_ai.output.messages": given})["finish_reasons"] == ["length"]
    told = {"gen_ai.output.messages": messages, "gen_ai.response.finish_reasons": ["stop"]}
    assert row_of(told)["finish_reasons"] == ["stop"]


def test_numbered_attributes_have_a_bound() -> None:
    """Numbered attributes come together in the order of their numbers; a sender's absurd number is not looked at."""
    keys = {
        "gen_ai.completion.1.finish_reason": "length",
        "gen_ai.completion.0.finish_reason": "end_turn",
        f"gen_ai.completion.{INDEX_LIMIT}.finish_reason": "error",
        "gen_ai.completion.999999999999.finish_reason": "error",
        "gen_ai.completion.__proto__.finish_reason": "error",
    }
    assert row_of(keys)["finish_reasons"] == ["stop", "length"]


def test_a_span_that_says_it_twice() -> None:
    """Of one name that comes several times, the last usable value counts; of two conventions, the first."""

    def change(span: Any) -> None:
        span.attributes.extend(Otlp().key_values({"gen_ai.request.model": "b", "ai.model.id": "c"}))

    assert row_of({"gen_ai.request.model": "a"}, change=change)["request_model"] == "b"


def test_values_as_they_are_not() -> None:
    """Structured values are read like JSON in a text; what is neither is unset, not an error."""
    usage = {"input": 4, "output": 2.0, "input_cached_tokens": "3"}
    for given in (usage, json.dumps(usage), json.dumps(json.dumps(usage))):
        row = row_of({"langfuse.observation.usage_details": given})
        assert (row["input_tokens"], row["output_tokens"], row["cache_read_tokens"]) == (7, 2, 3)
    for junk in (["x"], {"a": 1}, b"\xff", "1_000", "0x10", True, "\ud7ff"):
        row = row_of({"gen_ai.usage.input_tokens": junk, "gen_ai.request.model": ["m"]})
        assert (row["input_tokens"], row["request_model"]) == (None, None)


def test_every_row_says_which_version_wrote_it() -> None:
    """All canonical columns are there, of every span."""
    row = row_of({})
    assert row["normalizer_version"] == NORMALIZER_VERSION
    assert set(CANONICAL_COLUMNS) <= set(row)
    assert all(row[name] is None for name in CANONICAL_COLUMNS if name != "normalizer_version")


def test_vocabularies_are_spelled_as_they_are_looked_up() -> None:
    """An entry in another spelling would never be found."""
    for vocabulary in (FINISH_REASONS, PROVIDERS):
        assert all(name == name.lower().replace("-", "_").replace(" ", "_") for name in vocabulary)
    for kinds in (SPAN_KINDS, OPERATION_KINDS):
        assert all(name == name.lower() for name in kinds)
    assert {"stop", "length", "tool_calls", "content_filter", "error"} == set(FINISH_REASONS.values())
    for provider in PROVIDERS.values():
        assert row_of({"gen_ai.provider.name": provider})["provider"] == provider


def test_what_is_read_is_bounded() -> None:
    """The names that normalising reads are a fixed set, which a look-up in the store can ask for."""
    assert "gen_ai.completion.0.finish_reason" in read_keys()
    assert not any("{" in name for name in read_keys())
    assert len(read_keys()) < 600
