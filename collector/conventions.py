"""Where each instrumentation puts what it knows: attribute names → canonical columns. Data, not code.

The names of a column are in order of precedence; the first one with a usable value wins, and values of different
conventions are never added. Conventions are told apart by the keys that are present: schema URLs do not tell the
version (instrumentations emit newer names under older URLs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Convention(StrEnum):
    """The families of attribute names that are read."""

    OTEL = "OpenTelemetry GenAI"
    OTEL_OLDER = "OpenTelemetry GenAI, older names"
    OPENINFERENCE = "OpenInference"
    OPENLLMETRY = "OpenLLMetry"
    OPENLLMETRY_OLDER = "OpenLLMetry, older names"
    TRACEAI = "traceAI"
    OPENLIT = "OpenLIT"
    VERCEL = "Vercel AI SDK"
    LANGFUSE = "Langfuse"
    OPENTELEMETRY_GENERAL = "OpenTelemetry general"


class Reader(StrEnum):
    """How an attribute's value becomes the column's value."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    POSITIVE = "number, where zero means unknown"
    SECONDS = "seconds, stored as milliseconds"
    MILLISECONDS = "milliseconds"
    FINISH_REASONS = "list of finish reasons, by their canonical names"
    MODEL_IN_JSON = "member `model` of a JSON object"
    CLASS_NAME = "class name without its module"
    PROVIDER = "provider, by its canonical name"
    SPAN_KIND = "GenAI span kind, by its canonical name"


@dataclass(frozen=True)
class Source:
    """One attribute that may hold a column's value."""

    key: str
    convention: Convention
    reader: Reader


def _sources(reader: Reader, *pairs: tuple[str, Convention]) -> tuple[Source, ...]:
    return tuple(Source(key, convention, reader) for key, convention in pairs)


_C = Convention
_R = Reader

TEXT_COLUMNS: Mapping[str, tuple[Source, ...]] = {
    "gen_ai_span_kind": _sources(
        _R.SPAN_KIND,
        ("langfuse.observation.type", _C.LANGFUSE),
        ("gen_ai.span.kind", _C.TRACEAI),
        ("openinference.span.kind", _C.OPENINFERENCE),
        ("ai.operationId", _C.VERCEL),
        ("gen_ai.operation.name", _C.OTEL),
        ("traceloop.span.kind", _C.OPENLLMETRY),
        ("llm.request.type", _C.OPENLLMETRY_OLDER),
    ),
    "operation": _sources(
        _R.TEXT,
        ("gen_ai.operation.name", _C.OTEL),
        ("llm.request.type", _C.OPENLLMETRY_OLDER),
    ),
    "provider": _sources(
        _R.PROVIDER,
        ("gen_ai.provider.name", _C.OTEL),
        ("gen_ai.system", _C.OTEL_OLDER),
        ("llm.provider", _C.OPENINFERENCE),
        ("llm.system", _C.OPENINFERENCE),
        ("ai.model.provider", _C.VERCEL),
    ),
    "request_model": (
        *_sources(
            _R.TEXT,
            ("gen_ai.request.model", _C.OTEL),
            ("llm.request.model_name", _C.OPENINFERENCE),
        ),
        Source("llm.invocation_parameters", _C.OPENINFERENCE, _R.MODEL_IN_JSON),
        *_sources(
            _R.TEXT,
            ("embedding.model_name", _C.OPENINFERENCE),
            ("reranker.model_name", _C.OPENINFERENCE),
            ("ai.model.id", _C.VERCEL),
            ("langfuse.observation.model.name", _C.LANGFUSE),
            ("llm.model_name", _C.OPENINFERENCE),
        ),
    ),
    "response_model": _sources(
        _R.TEXT,
        ("gen_ai.response.model", _C.OTEL),
        ("llm.response.model_name", _C.OPENINFERENCE),
        ("llm.model_name", _C.OPENINFERENCE),
        ("ai.response.model", _C.VERCEL),
        ("langfuse.observation.model.name", _C.LANGFUSE),
    ),
    "response_id": _sources(
        _R.TEXT,
        ("gen_ai.response.id", _C.OTEL),
        ("ai.response.id", _C.VERCEL),
    ),
    "conversation_id": _sources(
        _R.TEXT,
        ("gen_ai.conversation.id", _C.OTEL),
        ("session.id", _C.OPENINFERENCE),
        ("langfuse.session.id", _C.LANGFUSE),
        ("traceloop.association.properties.session_id", _C.OPENLLMETRY),
        ("ai.telemetry.metadata.sessionId", _C.VERCEL),
    ),
    "user_id": _sources(
        _R.TEXT,
        ("user.id", _C.OPENINFERENCE),
        ("langfuse.user.id", _C.LANGFUSE),
        ("traceloop.association.properties.user_id", _C.OPENLLMETRY),
        ("ai.telemetry.metadata.userId", _C.VERCEL),
        ("gen_ai.user", _C.OPENLLMETRY),
        ("gen_ai.request.user", _C.OPENLIT),
        ("llm.user", _C.OPENLLMETRY_OLDER),
        ("enduser.id", _C.OPENTELEMETRY_GENERAL),
    ),
    "prompt_name": _sources(
        _R.TEXT,
        ("gen_ai.prompt.name", _C.OTEL),
        ("gen_ai.prompt.template.name", _C.TRACEAI),
        ("prompt.id", _C.OPENINFERENCE),
        ("traceloop.prompt.key", _C.OPENLLMETRY),
        ("langfuse.observation.prompt.name", _C.LANGFUSE),
    ),
    "prompt_version": _sources(
        _R.TEXT,
        ("gen_ai.prompt.version", _C.OTEL),
        ("gen_ai.prompt.template.version", _C.TRACEAI),
        ("llm.prompt_template.version", _C.OPENINFERENCE),
        ("traceloop.prompt.version", _C.OPENLLMETRY),
        ("langfuse.observation.prompt.version", _C.LANGFUSE),
    ),
    "tool_name": _sources(
        _R.TEXT,
        ("gen_ai.tool.name", _C.OTEL),
        ("tool.name", _C.OPENINFERENCE),
        ("ai.toolCall.name", _C.VERCEL),
    ),
    "agent_name": _sources(
        _R.TEXT,
        ("gen_ai.agent.name", _C.OTEL),
        ("agent.name", _C.OPENINFERENCE),
    ),
    "error_type": _sources(_R.CLASS_NAME, ("error.type", _C.OPENTELEMETRY_GENERAL)),
}

INTEGER_COLUMNS: Mapping[str, tuple[Source, ...]] = {
    "input_tokens": _sources(
        _R.INTEGER,
        ("gen_ai.usage.input_tokens", _C.OTEL),
        ("gen_ai.usage.prompt_tokens", _C.OTEL_OLDER),
        ("llm.token_count.prompt", _C.OPENINFERENCE),
        ("ai.usage.inputTokens", _C.VERCEL),
        ("ai.usage.promptTokens", _C.VERCEL),
    ),
    "output_tokens": _sources(
        _R.INTEGER,
        ("gen_ai.usage.output_tokens", _C.OTEL),
        ("gen_ai.usage.completion_tokens", _C.OTEL_OLDER),
        ("llm.token_count.completion", _C.OPENINFERENCE),
        ("ai.usage.outputTokens", _C.VERCEL),
        ("ai.usage.completionTokens", _C.VERCEL),
    ),
    "cache_read_tokens": _sources(
        _R.INTEGER,
        ("gen_ai.usage.cache_read.input_tokens", _C.OTEL),
        ("gen_ai.usage.cache_read_input_tokens", _C.OPENLLMETRY_OLDER),
        ("gen_ai.usage.cache_read_tokens", _C.TRACEAI),
        ("gen_ai.usage.input_tokens.cache_read", _C.TRACEAI),
        ("gen_ai.usage.prompt_tokens_details.cached_tokens", _C.OPENLIT),
        ("llm.token_count.prompt_details.cache_read", _C.OPENINFERENCE),
        ("ai.usage.cachedInputTokens", _C.VERCEL),
    ),
    "cache_write_tokens": _sources(
        _R.INTEGER,
        ("gen_ai.usage.cache_write.input_tokens", _C.OTEL),
        ("gen_ai.usage.cache_creation.input_tokens", _C.OTEL_OLDER),
        ("gen_ai.usage.cache_creation_input_tokens", _C.OPENLLMETRY_OLDER),
        ("gen_ai.usage.cache_write_tokens", _C.TRACEAI),
        ("gen_ai.usage.input_tokens.cache_write", _C.TRACEAI),
        ("gen_ai.usage.prompt_tokens_details.cache_creation_tokens", _C.OPENLIT),
        ("llm.token_count.prompt_details.cache_write", _C.OPENINFERENCE),
    ),
    "reasoning_tokens": _sources(
        _R.INTEGER,
        ("gen_ai.usage.reasoning.output_tokens", _C.OTEL),
        ("gen_ai.usage.reasoning_tokens", _C.OPENLLMETRY),
        ("llm.usage.reasoning_tokens", _C.OPENLLMETRY_OLDER),
        ("gen_ai.usage.output_tokens.reasoning", _C.TRACEAI),
        ("gen_ai.usage.completion_tokens_details.reasoning_tokens", _C.OPENLIT),
        ("gen_ai.usage.details.reasoning_tokens", _C.OTEL_OLDER),
        ("llm.token_count.completion_details.reasoning", _C.OPENINFERENCE),
        ("ai.usage.reasoningTokens", _C.VERCEL),
    ),
    "total_tokens": _sources(
        _R.INTEGER,
        ("gen_ai.usage.total_tokens", _C.OPENLLMETRY),
        ("llm.usage.total_tokens", _C.OPENLLMETRY_OLDER),
        ("llm.token_count.total", _C.OPENINFERENCE),
        ("gen_ai.client.token.usage", _C.OPENLIT),
        ("ai.usage.totalTokens", _C.VERCEL),
    ),
}

NUMBER_COLUMNS: Mapping[str, tuple[Source, ...]] = {
    "time_to_first_token_ms": (
        *_sources(
            _R.SECONDS,
            ("gen_ai.response.time_to_first_chunk", _C.OTEL),
            ("gen_ai.client.operation.time_to_first_chunk", _C.OTEL_OLDER),
            ("gen_ai.server.time_to_first_token", _C.OPENLIT),
        ),
        *_sources(
            _R.MILLISECONDS,
            ("ai.response.msToFirstChunk", _C.VERCEL),
            ("ai.stream.msToFirstChunk", _C.VERCEL),
        ),
    ),
    "reported_cost_usd": _sources(
        _R.POSITIVE,
        ("llm.cost.total", _C.OPENINFERENCE),
        ("gen_ai.cost.total", _C.TRACEAI),
        ("gen_ai.usage.cost", _C.OPENLIT),
        ("operation.cost", _C.OTEL_OLDER),
    ),
}

LIST_COLUMNS: Mapping[str, tuple[Source, ...]] = {
    "finish_reasons": _sources(
        _R.FINISH_REASONS,
        ("gen_ai.response.finish_reasons", _C.OTEL),
        ("llm.finish_reason", _C.OPENINFERENCE),
        ("gen_ai.completion.0.finish_reason", _C.OPENLLMETRY_OLDER),
        ("ai.response.finishReason", _C.VERCEL),
        ("gen_ai.finishReason", _C.VERCEL),
    ),
}

FIRST_TOKEN_EVENTS: Mapping[str, Convention] = {
    "First Token Stream Event": Convention.OPENINFERENCE,
    "gen_ai.content.completion.chunk": Convention.OPENLLMETRY,
    "llm.content.completion.chunk": Convention.OPENLLMETRY_OLDER,
}
"""Span events whose first occurrence marks the first token, where no attribute tells."""

SPAN_KINDS: Mapping[str, str] = {
    # gen_ai.operation.name
    "chat": "LLM",
    "text_completion": "LLM",
    "generate_content": "LLM",
    "completion": "LLM",
    "generate": "LLM",
    "response": "LLM",
    "realtime_inference": "LLM",
    "embeddings": "EMBEDDING",
    "execute_tool": "TOOL",
    "invoke_agent": "AGENT",
    "create_agent": "AGENT",
    "invoke_workflow": "CHAIN",
    "plan": "CHAIN",
    "retrieval": "RETRIEVER",
    "rerank": "RERANKER",
    "fetch_response": "OTHER",
    # openinference.span.kind, gen_ai.span.kind, traceloop.span.kind, langfuse.observation.type
    "llm": "LLM",
    "generation": "LLM",
    "embedding": "EMBEDDING",
    "chain": "CHAIN",
    "workflow": "CHAIN",
    "task": "CHAIN",
    "tool": "TOOL",
    "agent": "AGENT",
    "retriever": "RETRIEVER",
    "reranker": "RERANKER",
    "guardrail": "GUARDRAIL",
    "evaluator": "EVALUATOR",
    "prompt": "PROMPT",
    # ai.operationId
    "ai.generatetext.dogenerate": "LLM",
    "ai.streamtext.dostream": "LLM",
    "ai.generateobject.dogenerate": "LLM",
    "ai.streamobject.dostream": "LLM",
    "ai.generatetext": "CHAIN",
    "ai.streamtext": "CHAIN",
    "ai.generateobject": "CHAIN",
    "ai.streamobject": "CHAIN",
    "ai.embed.doembed": "EMBEDDING",
    "ai.embedmany.doembed": "EMBEDDING",
    "ai.embed": "CHAIN",
    "ai.embedmany": "CHAIN",
    "ai.toolcall": "TOOL",
}
"""Lower-cased kind or operation names → canonical span kind."""

PROVIDERS: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "amazon": "aws.bedrock",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "google": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
    "watsonx": "ibm.watsonx.ai",
    "ibm.watson.ai": "ibm.watsonx.ai",
    "together_ai": "together",
    "huggingface": "hugging_face",
}
"""Lower-cased provider spellings → the name of the OpenTelemetry registry."""

DOTTED_PROVIDERS = frozenset(
    {"azure.ai.openai", "azure.ai.inference", "aws.bedrock", "gcp.vertex_ai", "gcp.gemini", "gcp.gen_ai",
     "ibm.watsonx.ai"}
)  # fmt: skip
"""Canonical names with a dot; elsewhere what follows the first dot is an API's name (``openai.chat``)."""

FINISH_REASONS: Mapping[str, str] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "finished": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool-calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content-filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
    "error": "error",
    "failed": "error",
}
"""Lower-cased finish reasons of the providers → one vocabulary; any other reason reads ``other``."""

INPUT_EXCLUDES_CACHE = frozenset(
    {
        ("openlit.instrumentation.anthropic", "anthropic"),
        ("opentelemetry.instrumentation.bedrock", "aws.bedrock"),
    }
)
"""(scope name, provider) whose input count is known to leave cached tokens out."""
