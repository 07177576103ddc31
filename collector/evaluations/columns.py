"""Which attributes say what of an evaluation. Data, not code.

Sources: OpenTelemetry GenAI semantic conventions, event `gen_ai.evaluation.result` (1.38 and later) and the proposal to
name the evaluator (semantic-conventions-genai, pull request 359); what Pydantic Evals, OpenLIT, traceAI, Azure AI
Foundry, Amazon Bedrock AgentCore and OpenSearch's SDK send beside them; what applications send under these names.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from collector.conventions.columns import READ_COLUMNS
from collector.conventions.sources import Column, Convention, Reader, Source, attributes

EVENT_NAME = "gen_ai.evaluation.result"

NAME = "gen_ai.evaluation.name"

_C = Convention
_R = Reader
_PREFIX = "gen_ai.evaluation."


def _own(convention: Convention, reader: Reader, *names: str) -> tuple[Source, ...]:
    return attributes(convention, reader, *(_PREFIX + name for name in names))


def _in_azure(reader: Reader, name: str) -> tuple[Source, ...]:
    """Azure AI Foundry packs what the convention has no name for into one JSON text, or flattens it."""
    return (
        Source("internal_properties", _C.AZURE, reader, (_PREFIX + name,)),
        Source(f"internal_properties.{_PREFIX}{name}", _C.AZURE, reader),
    )


COLUMNS: Mapping[str, Column] = {
    "name": Column(pa.string(), "what was judged", sources=_own(_C.OTEL, _R.TEXT, "name")),
    "score": Column(
        pa.float64(),
        "the score",
        sources=(
            *_own(_C.OTEL, _R.SCORE, "score.value"),
            *_own(_C.OTEL_OLDER, _R.SCORE, "score"),
            *_own(_C.AGENTCORE, _R.SCORE, "result.score"),
        ),
    ),
    "label": Column(
        pa.string(),
        "the label",
        sources=(
            *_own(_C.OTEL, _R.TEXT, "score.label"),
            *_own(_C.AGENTCORE, _R.TEXT, "result.label"),
            *_own(_C.APPLICATIONS, _R.TEXT, "label", "verdict", "result"),
            *_own(_C.APPLICATIONS, _R.PASSED, "passed"),
        ),
    ),
    "explanation": Column(
        pa.string(),
        "why",
        sources=(
            *_own(_C.OTEL, _R.TEXT, "explanation"),
            *_own(_C.APPLICATIONS, _R.TEXT, "reasoning", "reason"),
        ),
    ),
    "error_type": Column(pa.string(), "why there is no result", sources=attributes(_C.GENERAL, _R.TEXT, "error.type")),
    "response_id": Column(
        pa.string(), "the answer that was judged", sources=attributes(_C.OTEL, _R.TEXT, "gen_ai.response.id")
    ),
    "conversation_id": Column(
        pa.string(), "the conversation that was judged", sources=READ_COLUMNS["conversation_id"].sources
    ),
    "annotator": Column(
        pa.string(),
        "who judged: `HUMAN`, `LLM`, `CODE`, or what else is said",
        sources=(
            *_own(_C.OTEL, _R.ANNOTATOR, "evaluator.type"),
            *attributes(_C.AZURE, _R.ANNOTATOR, "microsoft.gen_ai.evaluation.actor.type"),
            *_own(_C.APPLICATIONS, _R.ANNOTATOR, "annotator_kind"),
            *_own(_C.OPENSEARCH, _R.KNOWN_ANNOTATOR, "source"),
            *attributes(_C.AZURE, _R.KNOWN_ANNOTATOR, "microsoft.gen_ai.human_evaluation.source"),
        ),
    ),
    "identifier": Column(
        pa.string(),
        "what tells two judgements of one name and target apart",
        sources=(
            *attributes(_C.OPENLIT, _R.TEXT, "openlit.score.idempotency_key"),
            *_own(_C.APPLICATIONS, _R.TEXT, "identifier", "id"),
            *attributes(
                _C.AZURE,
                _R.TEXT,
                "microsoft.gen_ai.human_evaluation.id",
                "microsoft.gen_ai.evaluation.tags.reviewer",
            ),
            *attributes(_C.GENERAL, _R.TEXT, "user.id", "enduser.id"),
        ),
    ),
    "judge_model": Column(
        pa.string(),
        "the judge's model",
        sources=(
            *_own(_C.APPLICATIONS, _R.TEXT, "judge.model", "judge_model", "evaluator.model"),
            *attributes(_C.TRACEAI, _R.TEXT, "eval.model"),
        ),
    ),
    "threshold": Column(
        pa.float64(),
        "the score that still passes",
        sources=(
            *_own(_C.APPLICATIONS, _R.NUMBER, "threshold", "score.threshold"),
            *_in_azure(_R.NUMBER, "threshold"),
        ),
    ),
    "higher_is": Column(
        pa.string(),
        "whether a higher score is `better` or `worse`",
        sources=(
            *_own(_C.APPLICATIONS, _R.DIRECTION, "higher_is", "higher_is_better", "direction"),
            *_own(_C.AZURE, _R.DIRECTION, "desirable_direction"),
            *_in_azure(_R.DIRECTION, "desirable_direction"),
        ),
    ),
    "evaluator_version": Column(
        pa.string(),
        "version of the evaluator",
        sources=(
            *_own(_C.OTEL, _R.TEXT, "evaluator.version"),
            *_own(_C.APPLICATIONS, _R.TEXT, "version", "judge_version"),
            *attributes(_C.TRACEAI, _R.TEXT, "eval.evaluator_version"),
        ),
    ),
    "source": Column(
        pa.string(),
        "the evaluator itself, or the system it belongs to",
        sources=(
            *_own(_C.PYDANTIC, _R.TEXT, "evaluator.source"),
            *_own(_C.OTEL, _R.TEXT, "evaluator.id"),
            *_own(_C.AGENTCORE, _R.TEXT, "evaluator_id"),
            *attributes(_C.AGENTCORE, _R.TEXT, "aws.bedrock_agentcore.evaluator.arn"),
            *_own(_C.APPLICATIONS, _R.TEXT, "evaluator.name", "evaluator"),
            *_own(_C.OPENSEARCH, _R.TEXT, "source"),
            *attributes(_C.AZURE, _R.TEXT, "microsoft.gen_ai.human_evaluation.source"),
        ),
    ),
}
"""Columns of the table `evaluations` that are read from attributes."""

TARGETS: Mapping[str, Column] = {
    "trace_id": Column(
        pa.string(),
        "the trace that was judged",
        sources=(
            *_own(_C.OPENSEARCH, _R.HEX_ID, "trace_id"),
            *_own(_C.APPLICATIONS, _R.HEX_ID, "target_trace_id", "original_trace_id"),
        ),
    ),
    "span_id": Column(
        pa.string(),
        "the span that was judged",
        sources=(
            *_own(_C.TRACEAI, _R.HEX_ID, "target_span_id"),
            *_own(_C.OPENSEARCH, _R.HEX_ID, "span_id"),
            *_own(_C.APPLICATIONS, _R.HEX_ID, "original_span_id"),
        ),
    ),
}
"""Attributes that name the target themselves; they go before where the result stands."""

SAYS_SOMETHING = ("score", "label", "explanation", "error_type")
"""A result has at least one of these."""

USER_IDS = frozenset({"user.id", "enduser.id"})
"""On a span these name the application's user, not who judged."""
