"""What was called: span kind, operation, provider, models, and how the call ended."""

from __future__ import annotations

import pyarrow as pa

from collector.conventions.sources import EVERY, INDEX, Column, Columns, Convention, Reader, Source
from collector.conventions.sources import attributes as _attributes
from collector.conventions.sources import headers as _headers
from collector.conventions.sources import members as _members

_C = Convention
_R = Reader

CALL_COLUMNS: Columns = {
    "gen_ai_span_kind": Column(
        pa.string(),
        "LLM, EMBEDDING, CHAIN, TOOL, AGENT, RETRIEVER, RERANKER, EVALUATOR, GUARDRAIL, PROMPT, OTHER; `NULL` for a "
        "span that is none",
        sources=(
            *_attributes(_C.LANGFUSE, _R.SPAN_KIND, "langfuse.observation.type"),
            *_attributes(_C.MLFLOW, _R.SPAN_KIND, "mlflow.spanType"),
            *_attributes(_C.TRACEAI, _R.SPAN_KIND, "gen_ai.span.kind"),
            *_attributes(_C.OPENINFERENCE, _R.SPAN_KIND, "openinference.span.kind"),
            *_attributes(_C.OTEL, _R.SPAN_KIND, "gen_ai.operation.name"),
            *_attributes(_C.VERCEL, _R.OPERATION_KIND, "ai.operationId", "operation.name"),
            *_attributes(_C.OPENLLMETRY, _R.SPAN_KIND, "traceloop.span.kind"),
            *_attributes(_C.OPENLLMETRY_OLDER, _R.SPAN_KIND, "llm.request.type"),
        ),
    ),
    "operation": Column(
        pa.string(),
        "what was done, as sent",
        sources=(
            *_attributes(_C.OTEL, _R.TEXT, "gen_ai.operation.name"),
            *_attributes(_C.VERCEL, _R.OPERATION_ID, "ai.operationId", "operation.name"),
            *_attributes(_C.OPENLLMETRY_OLDER, _R.TEXT, "llm.request.type"),
        ),
    ),
    "provider": Column(
        pa.string(),
        "who served the model, by OpenTelemetry's registry of names",
        sources=(
            *_attributes(_C.OTEL, _R.PROVIDER, "gen_ai.provider.name"),
            *_attributes(_C.AGENT_COMMAND_CENTER, _R.PROVIDER, "agentcc.provider", "gen_ai.provider"),
            *_attributes(_C.OTEL_OLDER, _R.PROVIDER, "gen_ai.system"),
            *_attributes(_C.OPENINFERENCE, _R.PROVIDER, "llm.provider", "llm.system"),
            *_attributes(_C.MLFLOW, _R.PROVIDER, "mlflow.llm.provider"),
            *_attributes(_C.VERCEL, _R.PROVIDER, "ai.model.provider"),
            *_headers(_C.AGENT_COMMAND_CENTER, _R.PROVIDER, "x-agentcc-provider"),
        ),
    ),
    "request_model": Column(
        pa.string(),
        "the model asked for",
        sources=(
            # traceAI tells the model that answered by the name of the one asked for.
            *_members(_C.TRACEAI, _R.TEXT, "gen_ai.request.parameters", "model"),
            *_attributes(_C.OTEL, _R.TEXT, "gen_ai.request.model"),
            *_attributes(_C.OPENINFERENCE, _R.TEXT, "llm.request.model_name"),
            *_members(_C.OPENINFERENCE, _R.TEXT, "llm.invocation_parameters", "model", "model_name", "model_id"),
            *_attributes(_C.OPENINFERENCE, _R.TEXT, "embedding.model_name", "reranker.model_name"),
            # MLflow names the model that answered, where one did.
            *_members(_C.MLFLOW, _R.TEXT, "mlflow.spanInputs", "model"),
            *_attributes(_C.MLFLOW, _R.TEXT, "mlflow.llm.model"),
            *_attributes(_C.VERCEL, _R.TEXT, "ai.model.id"),
            *_attributes(_C.LANGFUSE, _R.TEXT, "langfuse.observation.model.name"),
            *_members(_C.PYDANTIC, _R.TEXT, "request_data", "model"),
            *_attributes(_C.OPENINFERENCE, _R.TEXT, "llm.model_name"),
            *_attributes(_C.PYDANTIC, _R.TEXT, "model_name"),
        ),
    ),
    "response_model": Column(
        pa.string(),
        "the model that answered",
        sources=(
            *_attributes(_C.OTEL, _R.TEXT, "gen_ai.response.model"),
            *_attributes(_C.OPENINFERENCE, _R.TEXT, "llm.response.model_name", "llm.model_name"),
            *_attributes(_C.VERCEL, _R.TEXT, "ai.response.model"),
            *_attributes(_C.LANGFUSE, _R.TEXT, "langfuse.observation.model.name"),
            *_members(_C.MLFLOW, _R.TEXT, "mlflow.spanOutputs", "model"),
            *_headers(_C.AGENT_COMMAND_CENTER, _R.TEXT, "x-agentcc-model-used"),
        ),
    ),
    "response_id": Column(
        pa.string(),
        "the provider's id of the answer",
        sources=(
            *_attributes(_C.OTEL, _R.TEXT, "gen_ai.response.id"),
            *_attributes(_C.VERCEL, _R.TEXT, "ai.response.id"),
            *_members(_C.MLFLOW, _R.TEXT, "mlflow.spanOutputs", "id"),
        ),
    ),
    "finish_reasons": Column(
        pa.list_(pa.string()),
        "why each answer ended: stop, length, tool_calls, content_filter, error, other",
        sources=(
            *_attributes(_C.OTEL, _R.FINISH_REASONS, "gen_ai.response.finish_reasons"),
            *_attributes(_C.OPENINFERENCE, _R.FINISH_REASONS, "llm.finish_reason"),
            *_attributes(_C.ANTHROPIC_SDK, _R.FINISH_REASONS, "anthropic.message.stop_reason"),
            *_attributes(_C.LANGFUSE, _R.FINISH_REASONS, "langfuse.observation.metadata.finish_reason"),
            *_attributes(_C.OPENLLMETRY_OLDER, _R.FINISH_REASONS, f"gen_ai.completion.{INDEX}.finish_reason"),
            *_attributes(
                _C.VERCEL, _R.FINISH_REASONS, "ai.response.finishReason", "gen_ai.finishReason", "ai.finishReason"
            ),
            *_members(_C.OTEL_OLDER, _R.FINISH_REASONS, "gen_ai.output.messages", f"{EVERY}.finish_reason"),
            *_members(
                _C.MLFLOW, _R.FINISH_REASONS, "mlflow.spanOutputs", f"choices.{EVERY}.finish_reason", "stop_reason"
            ),
        ),
    ),
    "error_type": Column(
        pa.string(),
        "class of the error, without its module; else of the last exception event",
        sources=_attributes(_C.GENERAL, _R.CLASS_NAME, "error.type", "exception.type"),
    ),
    "is_simulated": Column(
        pa.bool_(),
        "whether a simulator made the call rather than a user",
        sources=_attributes(
            _C.TRACEAI, _R.BOOLEAN, "gen_ai.simulator.is_simulator_trace", "fi.simulator.is_simulator_trace"
        ),
    ),
}

TRACEAI_MODELS: tuple[Source, Source] = (
    Source("gen_ai.request.parameters", _C.TRACEAI, _R.TEXT, ("model",)),
    Source("gen_ai.request.model", _C.TRACEAI, _R.TEXT),
)
"""The model asked for and the one that answered, on spans that have both; the second name is otherwise the first's."""

KEYS_THAT_TELL_THE_KIND: tuple[tuple[str, str], ...] = (
    # Feedback, and results about another span.
    ("logfire.feedback.name", "EVALUATOR"),
    ("gen_ai.evaluation.target_span_id", "EVALUATOR"),
    ("gen_ai.evaluation.trace_id", "EVALUATOR"),
    ("gen_ai.tool.name", "TOOL"),
    ("gen_ai.tool.call.id", "TOOL"),
    ("tool.name", "TOOL"),
    ("ai.toolCall.name", "TOOL"),
    ("gen_ai.retrieval.documents", "RETRIEVER"),
    ("gen_ai.retrieval.query.text", "RETRIEVER"),
    ("gen_ai.retrieval.query", "RETRIEVER"),
    ("retrieval.documents.0.document.content", "RETRIEVER"),
    ("retrieval.documents.0.document.id", "RETRIEVER"),
    ("reranker.model_name", "RERANKER"),
    ("gen_ai.reranker.model", "RERANKER"),
    ("embedding.model_name", "EMBEDDING"),
    ("gen_ai.guardrail.name", "GUARDRAIL"),
    # Pydantic AI's agents of before it named their operation.
    ("agent_name", "AGENT"),
    ("gen_ai.aggregated_usage.input_tokens", "AGENT"),
    ("gen_ai.aggregated_usage.output_tokens", "AGENT"),
)
"""Where no attribute declares a kind: attributes that only spans of one kind have, in order of precedence.

After them, a model makes an LLM span.
"""

KEYS_OF_CARRIERS = (
    "annotations.0.annotation.name",
    "evaluations.0.evaluation.name",
    "trace.annotations.0.annotation.name",
    "trace.evaluations.0.evaluation.name",
    "session.annotations.0.annotation.name",
    "session.evaluations.0.evaluation.name",
    "gen_ai.evaluation.name",
)
"""A span without a kind that has one of these and exactly one link says it of that: it is an evaluator's span."""

FIRST_TOKEN_EVENTS: dict[str, Convention] = {
    "First Token Stream Event": _C.OPENINFERENCE,
    "gen_ai.content.completion.chunk": _C.OPENLLMETRY,
    "llm.content.completion.chunk": _C.OPENLLMETRY_OLDER,
}
"""Span events whose first occurrence marks the first token, where no attribute tells."""

EVENT_NAME_SOURCES: tuple[Source, ...] = (
    *_attributes(_C.OTEL_OLDER, _R.TEXT, "event.name"),
    *_attributes(_C.AZURE, _R.TEXT, "microsoft.custom_event.name"),
)
"""Where older SDKs, and Azure's, put a log record's event name."""
