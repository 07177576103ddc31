"""How it was called and what was measured: request settings, streaming, times, server, cost."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from collector.conventions.sources import SPAN_NAME, Column, Columns, Convention, Reader, Source
from collector.conventions.sources import attributes as _attributes
from collector.conventions.sources import headers as _headers
from collector.conventions.sources import members as _members

_C = Convention
_R = Reader

SETTINGS_OBJECTS: Mapping[str, Convention] = {
    "llm.invocation_parameters": _C.OPENINFERENCE,
    "langfuse.observation.model.parameters": _C.LANGFUSE,
    "gen_ai.request.parameters": _C.TRACEAI,
    "request_data": _C.PYDANTIC,
}
"""JSON objects of request settings."""


_END_OF_STREAM = "streaming response from {request_data[model]!r} took {duration:.2f}s"
"""The name of the second span that Logfire sends of a streamed call, with its usage."""


def _setting(reader: Reader, *names: str) -> tuple[Source, ...]:
    return tuple(
        source for key, convention in SETTINGS_OBJECTS.items() for source in _members(convention, reader, key, *names)
    )


SETTING_COLUMNS: Columns = {
    "temperature": Column(
        pa.float64(),
        "sampling temperature asked for",
        sources=(
            *_attributes(_C.OTEL, _R.NUMBER, "gen_ai.request.temperature"),
            *_setting(_R.NUMBER, "temperature"),
            *_attributes(_C.VERCEL, _R.NUMBER, "ai.settings.temperature"),
        ),
    ),
    "top_p": Column(
        pa.float64(),
        "nucleus sampling asked for",
        sources=(
            *_attributes(_C.OTEL, _R.NUMBER, "gen_ai.request.top_p"),
            *_setting(_R.NUMBER, "top_p", "topP"),
            *_attributes(_C.VERCEL, _R.NUMBER, "ai.settings.topP"),
        ),
    ),
    "max_tokens": Column(
        pa.int64(),
        "most output tokens asked for",
        "tokens",
        (
            *_attributes(_C.OTEL, _R.INTEGER, "gen_ai.request.max_tokens"),
            *_attributes(_C.OPENLLMETRY, _R.INTEGER, "gen_ai.request.max_completion_tokens"),
            *_setting(
                _R.INTEGER,
                "max_tokens",
                "max_completion_tokens",
                "max_output_tokens",
                "maxOutputTokens",
                "maxTokens",
                "generation_config.max_output_tokens",
            ),
            *_attributes(_C.VERCEL, _R.INTEGER, "ai.settings.maxOutputTokens", "ai.settings.maxTokens"),
        ),
    ),
    "seed": Column(
        pa.int64(),
        "seed asked for",
        sources=(
            *_attributes(_C.OTEL, _R.SIGNED, "gen_ai.request.seed"),
            *_attributes(_C.OTEL_OLDER, _R.SIGNED, "gen_ai.openai.request.seed"),
            *_setting(_R.SIGNED, "seed"),
            *_attributes(_C.VERCEL, _R.SIGNED, "ai.settings.seed"),
        ),
    ),
    "reasoning_effort": Column(
        pa.string(),
        "how much reasoning was asked for",
        sources=(
            *_attributes(_C.OTEL, _R.LOWER_TEXT, "gen_ai.request.reasoning.level"),
            *_attributes(_C.OPENLLMETRY, _R.LOWER_TEXT, "gen_ai.request.reasoning_effort"),
            *_setting(_R.LOWER_TEXT, "reasoning_effort", "reasoning.effort", "reasoningEffort"),
        ),
    ),
    "is_streaming": Column(
        pa.bool_(),
        "whether the answer was streamed",
        sources=(
            *_attributes(_C.OTEL, _R.BOOLEAN, "gen_ai.request.stream"),
            *_attributes(_C.OPENLLMETRY, _R.BOOLEAN, "gen_ai.is_streaming"),
            *_attributes(_C.OPENLLMETRY_OLDER, _R.BOOLEAN, "llm.is_streaming"),
            *_attributes(_C.OPENLIT, _R.BOOLEAN, "gen_ai.request.is_stream"),
            *_attributes(_C.AGENT_COMMAND_CENTER, _R.BOOLEAN, "agentcc.is_stream"),
            *_setting(_R.BOOLEAN, "stream"),
            *_attributes(_C.VERCEL, _R.STREAMING_OPERATION, "ai.operationId", "operation.name"),
            *_attributes(_C.OTEL, _R.PRESENT, "gen_ai.response.time_to_first_chunk"),
            *_attributes(_C.VERCEL, _R.PRESENT, "gen_ai.client.operation.time_to_first_chunk"),
            *_attributes(_C.LANGFUSE, _R.PRESENT, "langfuse.observation.completion_start_time"),
            Source("duration", _C.PYDANTIC, _R.PRESENT, when=(SPAN_NAME, _END_OF_STREAM)),
        ),
    ),
    "service_tier": Column(
        pa.string(),
        "price tier that served the call (standard, flex, priority, batch); else the one asked for",
        sources=(
            *_attributes(_C.OTEL, _R.SERVICE_TIER, "openai.response.service_tier"),
            *_attributes(_C.OTEL_OLDER, _R.SERVICE_TIER, "gen_ai.openai.response.service_tier"),
            *_attributes(_C.OPENLLMETRY, _R.SERVICE_TIER, "gen_ai.response.service_tier"),
            *_attributes(_C.ANTHROPIC_SDK, _R.SERVICE_TIER, "anthropic.response.service_tier"),
            *_members(
                _C.VERCEL,
                _R.SERVICE_TIER,
                "ai.response.providerMetadata",
                "openai.serviceTier",
                "azure.serviceTier",
                "anthropic.usage.service_tier",
            ),
            *_members(_C.PYDANTIC, _R.SERVICE_TIER, "gen_ai.usage.raw", "service_tier"),
            *_attributes(_C.OTEL, _R.SERVICE_TIER, "openai.request.service_tier"),
            *_attributes(_C.OTEL_OLDER, _R.SERVICE_TIER, "gen_ai.openai.request.service_tier"),
            *_attributes(_C.OPENLLMETRY, _R.SERVICE_TIER, "gen_ai.request.service_tier"),
            *_setting(_R.SERVICE_TIER, "service_tier"),
        ),
    ),
    "time_to_first_token_ms": Column(
        pa.float64(),
        "from the span's start to the first token; else to the first event that marks it",
        "ms",
        (
            *_attributes(_C.OTEL, _R.SECONDS, "gen_ai.response.time_to_first_chunk"),
            *_attributes(_C.PYDANTIC, _R.SECONDS, "gen_ai.client.operation.time_to_first_chunk"),
            *_attributes(_C.OPENLIT, _R.SECONDS, "gen_ai.server.time_to_first_token"),
            *_attributes(_C.VERCEL, _R.MILLISECONDS, "ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"),
            *_attributes(_C.AGENT_COMMAND_CENTER, _R.MILLISECONDS, "agentcc.ttft_ms"),
            *_attributes(_C.LANGFUSE, _R.MOMENT, "langfuse.observation.completion_start_time"),
        ),
    ),
    "server_address": Column(
        pa.string(),
        "host that was called",
        sources=(
            *_attributes(_C.GENERAL, _R.TEXT, "server.address"),
            *_attributes(_C.OPENLLMETRY, _R.URL_HOST, "gen_ai.openai.api_base"),
        ),
    ),
    "server_port": Column(
        pa.int64(),
        "its port",
        sources=(
            *_attributes(_C.GENERAL, _R.INTEGER, "server.port"),
            *_attributes(_C.OPENLLMETRY, _R.URL_PORT, "gen_ai.openai.api_base"),
        ),
    ),
    "reported_cost_usd": Column(
        pa.float64(),
        "cost as the instrumentation or the gateway saw it, if it was above zero (zero is what they say of a model "
        "without a price)",
        "USD",
        (
            *_attributes(_C.OPENINFERENCE, _R.POSITIVE, "llm.cost.total"),
            *_attributes(_C.TRACEAI, _R.POSITIVE, "gen_ai.cost.total"),
            *_attributes(_C.OPENLIT, _R.POSITIVE, "gen_ai.usage.cost"),
            *_attributes(_C.PYDANTIC, _R.POSITIVE, "operation.cost"),
            *_members(_C.LANGFUSE, _R.POSITIVE, "langfuse.observation.cost_details", "total"),
            *_attributes(_C.LANGFUSE, _R.SUM, "langfuse.observation.cost_details"),
            *_members(_C.MLFLOW, _R.POSITIVE, "mlflow.llm.cost", "total_cost"),
            *_attributes(_C.MLFLOW, _R.SUM, "mlflow.llm.cost"),
            *_attributes(_C.LITELLM, _R.POSITIVE, "litellm.cost.total", "gen_ai.cost.total_cost"),
            *_attributes(_C.AGENT_COMMAND_CENTER, _R.POSITIVE, "agentcc.cost"),
            *_headers(_C.AGENT_COMMAND_CENTER, _R.POSITIVE, "x-agentcc-cost"),
        ),
    ),
}

COST_PARTS: Columns = {
    "input": Column(
        pa.float64(),
        "cost of the input",
        sources=(
            *_attributes(_C.OPENINFERENCE, _R.NUMBER, "llm.cost.prompt"),
            *_attributes(_C.TRACEAI, _R.NUMBER, "gen_ai.cost.input"),
        ),
    ),
    "output": Column(
        pa.float64(),
        "cost of the output",
        sources=(
            *_attributes(_C.OPENINFERENCE, _R.NUMBER, "llm.cost.completion"),
            *_attributes(_C.TRACEAI, _R.NUMBER, "gen_ai.cost.output"),
        ),
    ),
}
"""Parts whose sum is the reported cost where no total is reported."""

FILLED_IN: Mapping[str, Mapping[str, float]] = {"openlit": {"temperature": 1.0, "top_p": 1.0, "seed": 0}}
"""Scopes (and those below them) that report settings the caller never sent → the values they fill in.

Such a value is unknown: it may have been sent or not. Any other value of theirs was sent.
"""
