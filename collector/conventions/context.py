"""For whom and with what: conversation, user, prompt, tool, agent, workflow, guardrail."""

from __future__ import annotations

import pyarrow as pa

from collector.conventions.sources import SPAN_NAME, Column, Columns, Convention, Reader, Source
from collector.conventions.sources import attributes as _attributes
from collector.conventions.sources import members as _members

_C = Convention
_R = Reader
_TEXT = Reader.TEXT


def _entity(kind: str) -> tuple[Source, ...]:
    """The entity's name on OpenLLMetry's spans of a kind."""
    return (Source("traceloop.entity.name", _C.OPENLLMETRY, _TEXT, when=("traceloop.span.kind", kind)),)


def _span_name(kind: str) -> tuple[Source, ...]:
    """The span's name where a convention has no attribute for the name of such a thing."""
    return (
        Source(SPAN_NAME, _C.LANGFUSE, _TEXT, when=("langfuse.observation.type", kind)),
        Source(SPAN_NAME, _C.MLFLOW, _TEXT, when=("mlflow.spanType", kind)),
    )


CONTEXT_COLUMNS: Columns = {
    "conversation_id": Column(
        pa.string(),
        "conversation or session",
        sources=(
            *_attributes(_C.OTEL, _TEXT, "gen_ai.conversation.id"),
            *_attributes(_C.OPENINFERENCE, _TEXT, "session.id"),
            *_attributes(_C.LANGFUSE, _TEXT, "langfuse.session.id"),
            *_attributes(_C.MLFLOW, _TEXT, "mlflow.trace.session"),
            *_attributes(_C.OPENLLMETRY, _TEXT, "traceloop.association.properties.session_id"),
            *_attributes(_C.VERCEL, _TEXT, "ai.telemetry.metadata.sessionId", "ai.settings.context.sessionId"),
            *_attributes(_C.LANGFUSE, _TEXT, "langfuse.trace.metadata.langfuse_session_id",
                         "ai.telemetry.metadata.langfuse_session_id"),
            *_members(_C.LANGFUSE, _TEXT, "metadata", "langfuse_session_id"),
            *_attributes(_C.GOOGLE_ADK, _TEXT, "gcp.vertex.agent.session_id"),
            *_attributes(_C.AGENT_COMMAND_CENTER, _TEXT, "agentcc.session_id"),
        ),
    ),
    "user_id": Column(
        pa.string(),
        "end user",
        sources=(
            *_attributes(_C.OPENINFERENCE, _TEXT, "user.id"),
            *_attributes(_C.LANGFUSE, _TEXT, "langfuse.user.id"),
            *_attributes(_C.MLFLOW, _TEXT, "mlflow.trace.user"),
            *_attributes(_C.OPENLLMETRY, _TEXT, "traceloop.association.properties.user_id"),
            *_attributes(_C.VERCEL, _TEXT, "ai.telemetry.metadata.userId", "ai.settings.context.userId"),
            *_attributes(_C.LANGFUSE, _TEXT, "langfuse.trace.metadata.langfuse_user_id",
                         "ai.telemetry.metadata.langfuse_user_id"),
            *_attributes(_C.OPENLLMETRY, _TEXT, "gen_ai.user"),
            *_attributes(_C.OPENLIT, _TEXT, "gen_ai.request.user"),
            *_attributes(_C.OPENLLMETRY_OLDER, _TEXT, "llm.user"),
            *_attributes(_C.AGENT_COMMAND_CENTER, _TEXT, "agentcc.user_id"),
            *_attributes(_C.GENERAL, _TEXT, "enduser.id"),
        ),
    ),
    "prompt_name": Column(
        pa.string(),
        "name of the prompt in its registry",
        sources=(
            *_attributes(_C.OTEL, _TEXT, "gen_ai.prompt.name"),
            *_attributes(_C.TRACEAI, _TEXT, "gen_ai.prompt.template.name", "gen_ai.prompt.id"),
            *_attributes(_C.OPENINFERENCE, _TEXT, "prompt.id"),
            *_attributes(_C.OPENLLMETRY, _TEXT, "traceloop.prompt.key"),
            *_attributes(_C.LANGFUSE, _TEXT, "langfuse.observation.prompt.name", "langfuse.prompt.name"),
            *_members(_C.MLFLOW, _TEXT, "mlflow.linkedPrompts", "0.name"),
            *_members(_C.VERCEL, _TEXT, "ai.telemetry.metadata.langfusePrompt", "name"),
        ),
    ),
    "prompt_version": Column(
        pa.string(),
        "its version",
        sources=(
            *_attributes(_C.OTEL, _TEXT, "gen_ai.prompt.version"),
            *_attributes(_C.TRACEAI, _TEXT, "gen_ai.prompt.template.version"),
            *_attributes(_C.OPENINFERENCE, _TEXT, "llm.prompt_template.version"),
            *_attributes(_C.OPENLLMETRY, _TEXT, "traceloop.prompt.version", "traceloop.prompt.version_name",
                         "traceloop.prompt.version_hash"),
            *_attributes(_C.LANGFUSE, _TEXT, "langfuse.observation.prompt.version", "langfuse.prompt.version"),
            *_members(_C.MLFLOW, _TEXT, "mlflow.linkedPrompts", "0.version"),
            *_members(_C.VERCEL, _TEXT, "ai.telemetry.metadata.langfusePrompt", "version"),
        ),
    ),
    "tool_name": Column(
        pa.string(),
        "the tool that ran",
        sources=(
            *_attributes(_C.OTEL, _TEXT, "gen_ai.tool.name"),
            *_attributes(_C.OPENINFERENCE, _TEXT, "tool.name"),
            *_attributes(_C.VERCEL, _TEXT, "ai.toolCall.name"),
            *_entity("tool"),
            *_span_name("tool"),
        ),
    ),
    "tool_call_id": Column(
        pa.string(),
        "the model's id of the call that made the tool run",
        sources=(
            *_attributes(_C.OTEL, _TEXT, "gen_ai.tool.call.id"),
            *_attributes(_C.OPENINFERENCE, _TEXT, "tool.id", "tool_call.id"),
            *_attributes(_C.VERCEL, _TEXT, "ai.toolCall.id"),
        ),
    ),
    "tool_type": Column(
        pa.string(),
        "function, extension or datastore",
        sources=_attributes(_C.OTEL, _R.LOWER_TEXT, "gen_ai.tool.type"),
    ),
    "agent_name": Column(
        pa.string(),
        "the agent that acts",
        sources=(
            *_attributes(_C.OTEL, _TEXT, "gen_ai.agent.name"),
            *_attributes(_C.OPENINFERENCE, _TEXT, "agent.name"),
            *_attributes(_C.PYDANTIC, _TEXT, "agent_name"),
            *_entity("agent"),
            *_span_name("agent"),
        ),
    ),
    "agent_id": Column(
        pa.string(),
        "its id at the provider that hosts it",
        sources=_attributes(_C.OTEL, _TEXT, "gen_ai.agent.id"),
    ),
    "agent_version": Column(
        pa.string(),
        "its version",
        sources=_attributes(_C.OTEL, _TEXT, "gen_ai.agent.version"),
    ),
    "workflow_name": Column(
        pa.string(),
        "the workflow that the span is part of",
        sources=(
            *_attributes(_C.OTEL, _TEXT, "gen_ai.workflow.name"),
            *_attributes(_C.OPENLLMETRY, _TEXT, "traceloop.workflow.name"),
            *_entity("workflow"),
        ),
    ),
    "guardrail_name": Column(
        pa.string(),
        "the guardrail that ran",
        sources=(
            *_attributes(_C.TRACEAI, _TEXT, "gen_ai.guardrail.name"),
            *_span_name("guardrail"),
            Source(SPAN_NAME, _C.OPENINFERENCE, _TEXT, when=("openinference.span.kind", "guardrail")),
        ),
    ),
    "guardrail_result": Column(
        pa.string(),
        "what it found, as sent; of a gateway `triggered` or `passed`",
        sources=(
            *_attributes(_C.TRACEAI, _R.GUARDRAIL, "gen_ai.guardrail.result"),
            *_attributes(_C.OPENLLMETRY, _R.GUARDRAIL, "gen_ai.guardrail.status"),
            *_attributes(_C.AGENT_COMMAND_CENTER, _R.GUARDRAIL, "agentcc.guardrail_triggered",
                         "x-agentcc-guardrail-triggered"),
        ),
    ),
}  # fmt: skip
