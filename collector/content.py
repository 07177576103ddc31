"""Which attributes, events and log bodies hold what was said to a model and by it. Data, not code.

Instrumentations spell content in many ways. A list of messages mixes prompts, earlier completions, calls of tools and
their results, so a name stands for every kind of content that may be in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache

from collector.conventions.columns import READ_COLUMNS
from collector.conventions.gateways import REPEAT_COLUMNS
from collector.conventions.settings import COST_PARTS
from collector.conventions.sources import Reader
from collector.conventions.usage import USAGE_SETS
from collector.evaluations import feedback_spans
from collector.evaluations.annotations import parsed
from collector.evaluations.columns import COLUMNS as EVALUATION_COLUMNS
from collector.evaluations.columns import TARGETS


class Content(StrEnum):
    """The kinds of content, by their keys in the configuration."""

    PROMPTS = "prompts"
    COMPLETIONS = "completions"
    TOOL_ARGUMENTS = "tool_arguments"
    TOOL_RESULTS = "tool_results"


Kinds = frozenset[Content]

NOTHING: Kinds = frozenset()
_PROMPT: Kinds = frozenset({Content.PROMPTS})
_ARGUMENTS: Kinds = frozenset({Content.TOOL_ARGUMENTS})
_RESULTS: Kinds = frozenset({Content.TOOL_RESULTS})
_RETRIEVED: Kinds = _PROMPT | _RESULTS
_QUERY: Kinds = _PROMPT | _ARGUMENTS
_OUTPUT: Kinds = frozenset(Content) - _PROMPT
_ANY: Kinds = frozenset(Content)

SETTINGS = frozenset(
    {"llm.invocation_parameters", "langfuse.observation.model.parameters", "gen_ai.request.parameters"}
)
"""JSON objects of request settings that may hold instructions and tools beside them."""

_SETTINGS_KINDS = _QUERY

LONGEST_SETTING = 64
"""Characters of a text that is taken for a setting; a longer one may be anything."""

PEOPLE = frozenset(
    key
    for column in (READ_COLUMNS["user_id"], EVALUATION_COLUMNS["identifier"])
    for source in column.sources
    for key in source.keys
) | {feedback_spans.ID}
"""Attributes that tell users or reviewers apart; reports count users by them."""

_EXPLANATIONS = {source.key for source in EVALUATION_COLUMNS["explanation"].sources} | {feedback_spans.COMMENT}

_READ = (
    *(source for column in READ_COLUMNS.values() for source in column.sources),
    *(source for column in (*COST_PARTS.values(), *REPEAT_COLUMNS.values()) for source in column.sources),
    *(source for usage in USAGE_SETS for sources in usage.counts.values() for source in sources),
    *(source for column in (*EVALUATION_COLUMNS.values(), *TARGETS.values()) for source in column.sources),
)

REDUCED = SETTINGS | {"ai.response.providerMetadata"}
"""JSON objects of which the members that columns are read from may be kept where the rest may not."""

MEMBERS_READ: Mapping[str, frozenset[tuple[str, ...]]] = {
    key: frozenset(tuple(map(str, source.path)) for source in _READ if source.key == key and source.path)
    for key in REDUCED
}
"""Where in such an object those members stand."""

_WITH_MORE_IN_THEM = frozenset({Reader.URL_HOST, Reader.URL_PORT, Reader.SUM})
"""Readers that take a part of a value: what else is in it is not analysed."""

ANALYSED = frozenset(
    key for source in _READ if not source.path and source.reader not in _WITH_MORE_IN_THEM for key in source.keys
) | {feedback_spans.NAME, feedback_spans.COMMENT, feedback_spans.ID}
"""Attributes that columns are read from as they are: no policy that is not told their exact name changes them."""

UNMASKED = (ANALYSED - PEOPLE - _EXPLANATIONS) | {
    "event.name",
    "exception.type",
    "service.name",
    "service.version",
    "deployment.environment",
    "deployment.environment.name",
}
"""Attributes that patterns pass over: what they name is compared and counted."""

NAMES: Mapping[str, Mapping[str, Kinds]] = {
    "OpenTelemetry GenAI": {
        "gen_ai.system_instructions": _PROMPT,
        "gen_ai.event.content": _ANY,
        "gen_ai.prompt": _ANY,
        "gen_ai.prompts": _ANY,
        "gen_ai.completion": _OUTPUT,
        "gen_ai.completions": _OUTPUT,
        "gen_ai.tool.definitions": _PROMPT,
        "gen_ai.tool.description": _PROMPT,
        "gen_ai.tool.call.arguments": _ARGUMENTS,
        "gen_ai.tool.call.result": _RESULTS,
        "gen_ai.tool.args": _ARGUMENTS,
        "gen_ai.tool.input": _ARGUMENTS,
        "gen_ai.tool.output": _RESULTS,
        "gen_ai.tool_calls": _ARGUMENTS,
        "gen_ai.retrieval.documents": _RETRIEVED,
        "gen_ai.retrieval.query.text": _QUERY,
        "gen_ai.agent.description": _PROMPT,
    },
    "OpenInference, traceAI": {
        "input": _ANY,
        "output": _ANY,
        "raw.input": _ANY,
        "raw.output": _ANY,
        "llm.prompts": _ANY,
        "llm.choices": _OUTPUT,
        "llm.function_call": _ARGUMENTS,
        "llm.tools": _PROMPT,
        "llm.prompt_template.template": _PROMPT,
        "llm.prompt_template.variables": _PROMPT,
        "tool.parameters": _ARGUMENTS,
        "tool.description": _PROMPT,
        "tool.json_schema": _PROMPT,
        "tool_call.function.arguments": _ARGUMENTS,
        "embedding.text": _QUERY,
        "embedding.vector": _QUERY,
        "reranker.query": _QUERY,
    },
    "OpenLLMetry": {
        "traceloop.entity.input": _ANY,
        "traceloop.entity.output": _ANY,
        "traceloop.prompt.template": _PROMPT,
        "traceloop.prompt.template_variables": _PROMPT,
    },
    "Langfuse, MLflow": {
        "langfuse.observation.input": _ANY,
        "langfuse.observation.output": _ANY,
        "langfuse.trace.input": _ANY,
        "langfuse.trace.output": _ANY,
        "mlflow.spanInputs": _ANY,
        "mlflow.spanOutputs": _ANY,
        "mlflow.traceInputs": _ANY,
        "mlflow.traceOutputs": _ANY,
        "mlflow.chat.messages": _ANY,
        "mlflow.chat.tools": _PROMPT,
    },
    "Vercel AI SDK": {
        "ai.prompt": _ANY,
        "ai.schema": _PROMPT,
        "ai.response.text": _OUTPUT,
        "ai.response.object": _OUTPUT,
        "ai.response.reasoning": _OUTPUT,
        "ai.response.files": _OUTPUT,
        "ai.response.toolCalls": _OUTPUT,
        "ai.response.providerMetadata": _OUTPUT,
        "ai.result.text": _OUTPUT,
        "ai.result.object": _OUTPUT,
        "ai.result.toolCalls": _OUTPUT,
        "ai.toolCall.args": _ARGUMENTS,
        "ai.toolCall.input": _ARGUMENTS,
        "ai.toolCall.result": _RESULTS,
        "ai.toolCall.output": _RESULTS,
        "ai.value": _QUERY,
        "ai.values": _QUERY,
        "ai.embedding": _QUERY,
        "ai.embeddings": _QUERY,
        "ai.documents": _RETRIEVED,
        "ai.ranking": _RETRIEVED,
    },
    "Logfire and Pydantic AI": {
        "request_data": _ANY,
        "response_data": _ANY,
        "events": _ANY,
        "all_messages": _ANY,
        "all_messages_events": _ANY,
        "pydantic_ai.all_messages": _ANY,
        "final_result": _OUTPUT,
        "tool_arguments": _ARGUMENTS,
        "tool_response": _RESULTS,
        "model_request_parameters": _PROMPT,
    },
    "Google ADK, Genkit, Braintrust, DeepEval, Haystack, CrewAI": {
        "gcp.vertex.agent.llm_request": _ANY,
        "gcp.vertex.agent.llm_response": _OUTPUT,
        "gcp.vertex.agent.tool_call_args": _ARGUMENTS,
        "gcp.vertex.agent.tool_response": _RESULTS,
        "gcp.vertex.agent.data": _ANY,
        "genkit:input": _ANY,
        "genkit:output": _ANY,
        "braintrust.input": _ANY,
        "braintrust.input_json": _ANY,
        "braintrust.output": _ANY,
        "braintrust.output_json": _ANY,
        "confident.span.input": _ANY,
        "confident.span.output": _ANY,
        "confident.trace.input": _ANY,
        "confident.trace.output": _ANY,
        "haystack.component.input": _ANY,
        "haystack.component.output": _ANY,
        "crewai.crew.result": _OUTPUT,
        "crewai.crew.tasks": _ANY,
    },
    "objects of request settings": dict.fromkeys(sorted(SETTINGS), _SETTINGS_KINDS),
}
"""Attributes that hold content, by whose names they are."""

_KINDS_BY_NAME = {name: kinds for names in NAMES.values() for name, kinds in names.items()}

PREFIXES: tuple[tuple[str, Kinds], ...] = (
    ("gen_ai.input.", _ANY),
    ("gen_ai.output.", _OUTPUT),
    ("gen_ai.content.prompt", _ANY),
    ("gen_ai.content.", _OUTPUT),
    ("gen_ai.prompt.", _ANY),
    ("gen_ai.completion.", _OUTPUT),
    ("input.", _ANY),
    ("output.", _ANY),
    ("llm.input_messages.", _ANY),
    ("llm.output_messages.", _OUTPUT),
    ("llm.prompts.", _ANY),
    ("llm.choices.", _OUTPUT),
    ("llm.tools.", _PROMPT),
    ("llm.request.functions.", _PROMPT),
    ("retrieval.documents.", _RETRIEVED),
    ("reranker.input_documents.", _RETRIEVED),
    ("reranker.output_documents.", _RETRIEVED),
    ("embedding.embeddings.", _QUERY),
    ("db.query.result.", _RETRIEVED),
    ("db.search.result.", _RETRIEVED),
    ("db.query.embeddings.", _QUERY),
    ("db.search.embeddings.", _QUERY),
    ("ai.prompt.", _ANY),
    ("ai.schema.", _PROMPT),
)
"""The first that fits decides."""

_FREE_PREFIXES = ("gen_ai.prompt.variable.", "gen_ai.prompt.template.")
"""Below these an application chooses the names, so none of them is structure; they are parts of prompts."""

_STRUCTURE = re.compile(
    r"(?:^|\.)(?:role|finish_reason|mime_type|type|score|id|distance|tool_call_id|index"
    r"|tool_calls\.\d+\.(?:tool_call\.)?(?:function\.)?name|functions\.\d+\.name)$"
)
"""What stands below such a prefix, or in such an event, without being content."""

EVENTS: Mapping[str, Kinds] = {
    "gen_ai.content.prompt": _ANY,
    "gen_ai.content.completion": _OUTPUT,
    "gen_ai.content.completion.chunk": _OUTPUT,
    "llm.content.completion.chunk": _OUTPUT,
    "gen_ai.system.message": _PROMPT,
    # A provider's user message may carry the results of tools.
    "gen_ai.user.message": _ANY,
    "gen_ai.assistant.message": _OUTPUT,
    "gen_ai.tool.message": _RESULTS,
    "gen_ai.choice": _OUTPUT,
}
"""Message events (span events or log records) → what their body and their own attributes hold."""

BODIES: Mapping[str, Kinds] = {"gen_ai.client.inference.operation.details": _ANY}
"""Events whose body alone holds content; their attributes are named as those of spans are."""


@lru_cache(maxsize=8192)
def kinds_of_attribute(name: str, extra: tuple[str, ...] = ()) -> Kinds:
    """What content an attribute may hold.

    Args:
        name: the attribute's name.
        extra: further names that hold prompts; one that ends in ``*`` stands for all that begin so.
    """
    if name in extra:
        return _PROMPT
    if name in ANALYSED or _field_of_annotation(name) not in {None, "explanation", "metadata"}:
        return NOTHING
    known = _KINDS_BY_NAME.get(name)
    if known is None and name.startswith(_FREE_PREFIXES):
        known = _PROMPT
    if known is None and not _STRUCTURE.search(name):
        known = next((kinds for prefix, kinds in PREFIXES if name.startswith(prefix)), None)
    return (known or NOTHING) | (_PROMPT if _begins(name, extra) else NOTHING)


@lru_cache(maxsize=1024)
def kinds_of_event(name: str, extra: tuple[str, ...] = ()) -> Kinds:
    """What content the attributes of an event may hold that are its own; ``extra`` as for attributes."""
    return EVENTS.get(name, NOTHING) | (_PROMPT if name in extra or _begins(name, extra) else NOTHING)


def kinds_of_body(name: str, extra: tuple[str, ...] = ()) -> Kinds:
    """What content the body of a log record may hold, by its event name; ``extra`` as for attributes."""
    return kinds_of_event(name, extra) | BODIES.get(name, NOTHING)


@lru_cache(maxsize=8192)
def tells_of_the_call(name: str) -> bool:
    """Whether an attribute of a message event is about the call rather than a part of the message."""
    return name in ANALYSED or name in UNMASKED or name.startswith("server.") or bool(_STRUCTURE.search(name))


@lru_cache(maxsize=8192)
def tells_people_apart(name: str) -> bool:
    """Whether an attribute tells users or reviewers apart, so that what is masked in it must still do that."""
    return name in PEOPLE or _field_of_annotation(name) == "identifier"


def _field_of_annotation(name: str) -> str | None:
    key = parsed(name)
    return None if key is None else key.field


def _begins(name: str, extra: tuple[str, ...]) -> bool:
    return any(entry.endswith("*") and name.startswith(entry[:-1]) for entry in extra)
