"""Token counts: each convention's own set, because the counts of one set belong together.

A span's counts are taken from the set that has most of them, and what that one lacks from the others; they are never
added up across sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from collector.conventions.sources import Convention, Reader, Source
from collector.conventions.sources import attributes as _attributes
from collector.conventions.sources import members as _members

_C = Convention
_COUNT = Reader.INTEGER


class Count(StrEnum):
    """The counts of a call; all but the first three are parts of one of those.

    The last two are what is left of a whole without parts, and only ever tell what the whole includes.
    """

    INPUT = "input"
    OUTPUT = "output"
    TOTAL = "total"
    CACHE_READ = "cache read"
    CACHE_WRITE = "cache write"
    CACHE_WRITE_5M = "cache write, 5 minutes"
    CACHE_WRITE_1H = "cache write, 1 hour"
    REASONING = "reasoning"
    INPUT_AUDIO = "audio input"
    OUTPUT_AUDIO = "audio output"
    CACHE_AUDIO_READ = "audio cache read"
    UNCACHED = "uncached input"
    UNREASONED = "output without reasoning"


class Meaning(StrEnum):
    """Whether a count includes its parts (cached tokens in the input, reasoning in the output)."""

    INCLUDES = "includes"
    EXCLUDES = "excludes"


@dataclass(frozen=True)
class UsageSet:
    """The token counts of one convention.

    Attributes:
        name: how a contradiction names it.
        counts: count → sources, in order of precedence.
        input: what the convention itself says of the input count; None where that is the emitter's choice.
        output: the same of the output count.
        additive: every count is a part of its own, so that a whole is the sum of its parts.
        aggregated: the counts are sums over the spans below; they never complete another set.
    """

    name: str
    counts: Mapping[Count, tuple[Source, ...]]
    input: Meaning | None = None
    output: Meaning | None = None
    additive: bool = False
    aggregated: bool = False


def _json(key: str, convention: Convention, paths: Mapping[Count, tuple[str, ...]]) -> dict[Count, tuple[Source, ...]]:
    return {count: _members(convention, _COUNT, key, *names) for count, names in paths.items()}


_OPENTELEMETRY: Mapping[Count, tuple[Source, ...]] = {
    Count.INPUT: _attributes(_C.OTEL, _COUNT, "gen_ai.usage.input_tokens"),
    Count.OUTPUT: _attributes(_C.OTEL, _COUNT, "gen_ai.usage.output_tokens"),
    Count.TOTAL: (
        *_attributes(_C.OPENLLMETRY, _COUNT, "gen_ai.usage.total_tokens"),
        *_attributes(_C.OPENLIT, _COUNT, "gen_ai.client.token.usage"),
    ),
    Count.CACHE_READ: (
        *_attributes(_C.OTEL, _COUNT, "gen_ai.usage.cache_read.input_tokens"),
        *_attributes(_C.TRACEAI, _COUNT, "gen_ai.usage.cache_read_tokens", "gen_ai.usage.input_tokens.cache_read",
                     "gen_ai.usage.input_tokens.cache_input"),
        *_attributes(_C.OPENLIT, _COUNT, "gen_ai.usage.prompt_tokens_details.cached_tokens"),
        *_attributes(_C.LANGFUSE, _COUNT, "gen_ai.usage.input_cached_tokens"),
        *_attributes(_C.PYDANTIC, _COUNT, "gen_ai.usage.details.cache_read_tokens",
                     "gen_ai.usage.details.cache_read_input_tokens", "gen_ai.usage.details.cached_tokens"),
    ),
    Count.CACHE_WRITE: (
        *_attributes(_C.OTEL, _COUNT, "gen_ai.usage.cache_write.input_tokens"),
        *_attributes(_C.OTEL_OLDER, _COUNT, "gen_ai.usage.cache_creation.input_tokens"),
        *_attributes(_C.TRACEAI, _COUNT, "gen_ai.usage.cache_write_tokens", "gen_ai.usage.input_tokens.cache_write"),
        *_attributes(_C.OPENLIT, _COUNT, "gen_ai.usage.prompt_tokens_details.cache_creation_tokens"),
        *_attributes(_C.LANGFUSE, _COUNT, "gen_ai.usage.input_cache_creation"),
        *_attributes(_C.PYDANTIC, _COUNT, "gen_ai.usage.details.cache_write_tokens",
                     "gen_ai.usage.details.cache_creation_input_tokens"),
    ),
    Count.CACHE_WRITE_5M: (
        *_attributes(_C.LANGFUSE, _COUNT, "gen_ai.usage.input_cache_creation_5m"),
        *_attributes(_C.ANTHROPIC_SDK, _COUNT, "anthropic.usage.cache_creation.ephemeral_5m_input_tokens"),
    ),
    Count.CACHE_WRITE_1H: (
        *_attributes(_C.LANGFUSE, _COUNT, "gen_ai.usage.input_cache_creation_1h"),
        *_attributes(_C.ANTHROPIC_SDK, _COUNT, "anthropic.usage.cache_creation.ephemeral_1h_input_tokens"),
    ),
    Count.REASONING: (
        *_attributes(_C.OTEL, _COUNT, "gen_ai.usage.reasoning.output_tokens"),
        *_attributes(_C.OPENLLMETRY, _COUNT, "gen_ai.usage.reasoning_tokens"),
        *_attributes(_C.TRACEAI, _COUNT, "gen_ai.usage.output_tokens.reasoning"),
        *_attributes(_C.OPENLIT, _COUNT, "gen_ai.usage.completion_tokens_details.reasoning_tokens"),
        *_attributes(_C.LANGFUSE, _COUNT, "gen_ai.usage.output_reasoning_tokens"),
        *_attributes(_C.PYDANTIC, _COUNT, "gen_ai.usage.details.reasoning_tokens",
                     "gen_ai.usage.details.thoughts_tokens"),
    ),
    Count.INPUT_AUDIO: (
        *_attributes(_C.OTEL, _COUNT, "gen_ai.usage.audio.input_tokens"),
        *_attributes(_C.TRACEAI, _COUNT, "gen_ai.usage.input_tokens.audio"),
        *_attributes(_C.LANGFUSE, _COUNT, "gen_ai.usage.input_audio_tokens"),
        *_attributes(_C.OPENLIT, _COUNT, "gen_ai.usage.prompt_tokens_details.audio_tokens"),
        *_attributes(_C.PYDANTIC, _COUNT, "gen_ai.usage.details.input_audio_tokens"),
    ),
    Count.OUTPUT_AUDIO: (
        *_attributes(_C.OTEL, _COUNT, "gen_ai.usage.audio.output_tokens"),
        *_attributes(_C.TRACEAI, _COUNT, "gen_ai.usage.output_tokens.audio"),
        *_attributes(_C.LANGFUSE, _COUNT, "gen_ai.usage.output_audio_tokens"),
        *_attributes(_C.OPENLIT, _COUNT, "gen_ai.usage.completion_tokens_details.audio_tokens"),
        *_attributes(_C.PYDANTIC, _COUNT, "gen_ai.usage.details.output_audio_tokens"),
    ),
    Count.CACHE_AUDIO_READ: (
        *_attributes(_C.OTEL, _COUNT, "gen_ai.usage.audio.cache_read.input_tokens"),
        *_attributes(_C.LANGFUSE, _COUNT, "gen_ai.usage.cache_audio_read_tokens"),
        *_attributes(_C.PYDANTIC, _COUNT, "gen_ai.usage.details.cache_audio_read_tokens"),
    ),
}  # fmt: skip

_OLDER_NAMES: Mapping[Count, tuple[Source, ...]] = {
    Count.INPUT: (
        *_attributes(_C.OTEL_OLDER, _COUNT, "gen_ai.usage.prompt_tokens"),
        *_attributes(_C.OPENLLMETRY_OLDER, _COUNT, "llm.usage.prompt_tokens"),
    ),
    Count.OUTPUT: (
        *_attributes(_C.OTEL_OLDER, _COUNT, "gen_ai.usage.completion_tokens"),
        *_attributes(_C.OPENLLMETRY_OLDER, _COUNT, "llm.usage.completion_tokens"),
    ),
    Count.TOTAL: _attributes(_C.OPENLLMETRY_OLDER, _COUNT, "llm.usage.total_tokens"),
    Count.CACHE_READ: _attributes(_C.OPENLLMETRY_OLDER, _COUNT, "gen_ai.usage.cache_read_input_tokens"),
    Count.CACHE_WRITE: _attributes(_C.OPENLLMETRY_OLDER, _COUNT, "gen_ai.usage.cache_creation_input_tokens"),
    Count.REASONING: _attributes(_C.OPENLLMETRY_OLDER, _COUNT, "llm.usage.reasoning_tokens"),
}

_OPENINFERENCE: Mapping[Count, tuple[Source, ...]] = {
    Count.INPUT: _attributes(_C.OPENINFERENCE, _COUNT, "llm.token_count.prompt"),
    Count.OUTPUT: _attributes(_C.OPENINFERENCE, _COUNT, "llm.token_count.completion"),
    Count.TOTAL: _attributes(_C.OPENINFERENCE, _COUNT, "llm.token_count.total"),
    Count.CACHE_READ: _attributes(_C.OPENINFERENCE, _COUNT, "llm.token_count.prompt_details.cache_read",
                                  "llm.token_count.prompt_details.cache_input"),
    Count.CACHE_WRITE: _attributes(_C.OPENINFERENCE, _COUNT, "llm.token_count.prompt_details.cache_write"),
    Count.REASONING: _attributes(_C.OPENINFERENCE, _COUNT, "llm.token_count.completion_details.reasoning"),
    Count.INPUT_AUDIO: _attributes(_C.OPENINFERENCE, _COUNT, "llm.token_count.prompt_details.audio"),
    Count.OUTPUT_AUDIO: _attributes(_C.OPENINFERENCE, _COUNT, "llm.token_count.completion_details.audio"),
}  # fmt: skip

_VERCEL_WHOLES: Mapping[Count, tuple[Source, ...]] = {
    Count.INPUT: _attributes(_C.VERCEL, _COUNT, "ai.usage.inputTokens", "ai.usage.promptTokens"),
    Count.OUTPUT: _attributes(_C.VERCEL, _COUNT, "ai.usage.outputTokens", "ai.usage.completionTokens"),
    Count.TOTAL: _attributes(_C.VERCEL, _COUNT, "ai.usage.totalTokens"),
}

_VERCEL_DETAILS: Mapping[Count, tuple[Source, ...]] = {
    **_VERCEL_WHOLES,
    Count.CACHE_READ: _attributes(_C.VERCEL, _COUNT, "ai.usage.inputTokenDetails.cacheReadTokens"),
    Count.CACHE_WRITE: _attributes(_C.VERCEL, _COUNT, "ai.usage.inputTokenDetails.cacheWriteTokens"),
    Count.UNCACHED: _attributes(_C.VERCEL, _COUNT, "ai.usage.inputTokenDetails.noCacheTokens"),
    Count.REASONING: _attributes(_C.VERCEL, _COUNT, "ai.usage.outputTokenDetails.reasoningTokens"),
}

_PROVIDER_METADATA: Mapping[Count, tuple[str, ...]] = {
    Count.CACHE_READ: (
        "anthropic.usage.cache_read_input_tokens",
        "bedrock.usage.cacheReadInputTokens", "openai.cachedPromptTokens", "azure.cachedPromptTokens",
        "google.usageMetadata.cachedContentTokenCount", "vertex.usageMetadata.cachedContentTokenCount",
        "deepseek.promptCacheHitTokens",
    ),
    Count.CACHE_WRITE: (
        "anthropic.usage.cache_creation_input_tokens", "anthropic.cacheCreationInputTokens",
        "bedrock.usage.cacheWriteInputTokens",
    ),
    Count.CACHE_WRITE_5M: ("anthropic.usage.cache_creation.ephemeral_5m_input_tokens",),
    Count.CACHE_WRITE_1H: ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    Count.UNCACHED: ("anthropic.usage.input_tokens",),
    Count.UNREASONED: ("google.usageMetadata.candidatesTokenCount", "vertex.usageMetadata.candidatesTokenCount"),
    Count.REASONING: (
        "openai.reasoningTokens", "azure.reasoningTokens", "google.usageMetadata.thoughtsTokenCount",
        "vertex.usageMetadata.thoughtsTokenCount",
    ),
}  # fmt: skip

_metadata = _json("ai.response.providerMetadata", _C.VERCEL, _PROVIDER_METADATA)

_VERCEL: Mapping[Count, tuple[Source, ...]] = {
    Count.INPUT: (*_VERCEL_WHOLES[Count.INPUT], *_attributes(_C.VERCEL, _COUNT, "ai.usage.tokens")),
    Count.OUTPUT: _VERCEL_WHOLES[Count.OUTPUT],
    Count.TOTAL: _VERCEL_WHOLES[Count.TOTAL],
    Count.CACHE_READ: (
        *_attributes(_C.VERCEL, _COUNT, "ai.usage.cachedInputTokens"),
        *_metadata[Count.CACHE_READ],
    ),
    Count.CACHE_WRITE: _metadata[Count.CACHE_WRITE],
    Count.CACHE_WRITE_5M: _metadata[Count.CACHE_WRITE_5M],
    Count.CACHE_WRITE_1H: _metadata[Count.CACHE_WRITE_1H],
    Count.REASONING: (
        *_attributes(_C.VERCEL, _COUNT, "ai.usage.reasoningTokens"),
        *_metadata[Count.REASONING],
    ),
    Count.UNCACHED: _metadata[Count.UNCACHED],
    Count.UNREASONED: _metadata[Count.UNREASONED],
}

_VERCEL_4: Mapping[Count, tuple[Source, ...]] = {
    **_VERCEL_WHOLES,
    **_json(
        "ai.response.providerMetadata",
        _C.VERCEL,
        {
            Count.CACHE_READ: ("anthropic.cacheReadInputTokens",),
            Count.CACHE_WRITE: ("anthropic.cacheCreationInputTokens",),
        },
    ),
}
"""Anthropic's counts as version 4 sends them: the input is Anthropic's own, without the cached tokens."""

_OPENAI_SHAPE: Mapping[Count, tuple[str, ...]] = {
    Count.INPUT: ("prompt_tokens", "input_tokens"),
    Count.OUTPUT: ("completion_tokens", "output_tokens"),
    Count.TOTAL: ("total_tokens",),
    Count.CACHE_READ: ("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens"),
    Count.CACHE_WRITE: ("prompt_tokens_details.cache_write_tokens", "input_tokens_details.cache_write_tokens"),
    Count.REASONING: ("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"),
    Count.INPUT_AUDIO: ("prompt_tokens_details.audio_tokens", "input_tokens_details.audio_tokens"),
    Count.OUTPUT_AUDIO: ("completion_tokens_details.audio_tokens", "output_tokens_details.audio_tokens"),
}
"""The usage object of OpenAI's interfaces: wholes, and their parts in objects beside them."""

_ANTHROPIC_SHAPE: Mapping[Count, tuple[str, ...]] = {
    Count.INPUT: ("input_tokens",),
    Count.OUTPUT: ("output_tokens",),
    Count.CACHE_READ: ("cache_read_input_tokens",),
    Count.CACHE_WRITE: ("cache_creation_input_tokens",),
    Count.CACHE_WRITE_5M: ("cache_creation.ephemeral_5m_input_tokens",),
    Count.CACHE_WRITE_1H: ("cache_creation.ephemeral_1h_input_tokens",),
}
"""The usage object of Anthropic's interface: the input is what was neither read from a cache nor written to it."""

_LANGFUSE_BUCKETS: Mapping[Count, tuple[str, ...]] = {
    Count.INPUT: ("input", "input_tokens", "prompt_tokens", "inputTokens", "promptTokens"),
    Count.OUTPUT: ("output", "output_tokens", "completion_tokens", "outputTokens", "completionTokens"),
    Count.TOTAL: ("total", "total_tokens", "totalTokens"),
    Count.CACHE_READ: ("input_cached_tokens", "cache_read_input_tokens", "input_cache_read",
                       "input_cache_read_tokens", "cached_tokens"),
    Count.CACHE_WRITE: ("input_cache_creation", "cache_creation_input_tokens", "input_cache_write",
                        "input_cache_creation_tokens"),
    Count.CACHE_WRITE_5M: ("input_cache_creation_5m", "cache_creation_input_tokens_5m",
                           "cache_creation.ephemeral_5m_input_tokens"),
    Count.CACHE_WRITE_1H: ("input_cache_creation_1h", "cache_creation_input_tokens_1h",
                           "cache_creation.ephemeral_1h_input_tokens"),
    Count.REASONING: ("output_reasoning_tokens", "output_reasoning", "reasoning_tokens"),
    Count.INPUT_AUDIO: ("input_audio_tokens", "input_audio"),
    Count.OUTPUT_AUDIO: ("output_audio_tokens", "output_audio"),
    Count.CACHE_AUDIO_READ: ("cache_audio_read_tokens",),
}  # fmt: skip

_MLFLOW: Mapping[Count, tuple[str, ...]] = {
    Count.INPUT: ("input_tokens",),
    Count.OUTPUT: ("output_tokens",),
    Count.TOTAL: ("total_tokens",),
    Count.CACHE_READ: ("cache_read_input_tokens",),
    Count.CACHE_WRITE: ("cache_creation_input_tokens",),
    Count.CACHE_WRITE_1H: ("cache_creation_input_tokens_above_1hr",),
    Count.REASONING: ("reasoning_tokens", "output_reasoning_tokens"),
}


def _aggregated() -> dict[Count, tuple[Source, ...]]:
    """The names of sums over the spans below: the same as those of a call, with another beginning."""
    return {
        count: tuple(
            Source(source.key.replace("gen_ai.usage.", "gen_ai.aggregated_usage.", 1), _C.PYDANTIC, _COUNT)
            for source in sources
            if source.key.startswith("gen_ai.usage.")
            and source.convention in {_C.OTEL, _C.OTEL_OLDER, _C.PYDANTIC, _C.OPENLLMETRY}
        )
        for count, sources in _OPENTELEMETRY.items()
    }


_LANGFUSE_USAGE = "langfuse.observation.usage_details"
_RAW_USAGE = "gen_ai.usage.raw"

USAGE_SETS: tuple[UsageSet, ...] = (
    UsageSet("OpenTelemetry", _OPENTELEMETRY),
    UsageSet("older names", _OLDER_NAMES),
    UsageSet("OpenInference", _OPENINFERENCE),
    UsageSet("Langfuse", _json(_LANGFUSE_USAGE, _C.LANGFUSE, _OPENAI_SHAPE), Meaning.INCLUDES, Meaning.INCLUDES),
    UsageSet(
        "Langfuse",
        _json(_LANGFUSE_USAGE, _C.LANGFUSE, _LANGFUSE_BUCKETS),
        Meaning.EXCLUDES,
        Meaning.EXCLUDES,
        additive=True,
    ),
    UsageSet("MLflow", _json("mlflow.chat.tokenUsage", _C.MLFLOW, _MLFLOW), Meaning.INCLUDES, Meaning.INCLUDES),
    UsageSet("Vercel AI SDK", _VERCEL_4, Meaning.EXCLUDES),
    UsageSet("Vercel AI SDK", _VERCEL),
    UsageSet("Vercel AI SDK", _VERCEL_DETAILS, Meaning.INCLUDES, Meaning.INCLUDES),
    UsageSet("raw usage", _json(_RAW_USAGE, _C.PYDANTIC, _OPENAI_SHAPE), Meaning.INCLUDES, Meaning.INCLUDES),
    UsageSet("raw usage", _json(_RAW_USAGE, _C.PYDANTIC, _ANTHROPIC_SHAPE), Meaning.EXCLUDES, Meaning.INCLUDES),
    UsageSet("aggregated usage", _aggregated(), aggregated=True),
)
"""In order of precedence among sets that have equally much."""

WORTH: Mapping[Count, int] = {
    Count.INPUT: 16,
    Count.OUTPUT: 8,
    Count.CACHE_READ: 4,
    Count.CACHE_WRITE: 4,
    Count.REASONING: 2,
    Count.UNCACHED: 1,
    Count.UNREASONED: 1,
}
"""What having a count is worth to a set; reading and writing the cache are worth that once."""
