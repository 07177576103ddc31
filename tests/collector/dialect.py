"""A model call, and what a convention that tells it is: for the tests of normalising."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A model call in canonical terms; the input includes cached tokens, the output reasoning."""

    provider: str
    request_model: str
    response_model: str
    response_id: str
    finish_reason: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    temperature: float
    max_tokens: int
    seed: int
    is_streaming: bool
    time_to_first_token_ms: float
    conversation_id: str
    user_id: str
    prompt_name: str
    prompt_version: str
    cost: float

    @property
    def total(self) -> int:
        """Input plus output."""
        return self.input_tokens + self.output_tokens

    @property
    def uncached(self) -> int:
        """What of the input was neither read from a cache nor written to it."""
        return self.input_tokens - self.cache_read_tokens - self.cache_write_tokens


@dataclass(frozen=True)
class Dialect:
    """How one convention tells a call.

    Attributes:
        encode: gives the attributes.
        told: the columns that it has a place for, beside those in COMMON.
        scope: the instrumentation scope.
        version: its version.
        native: columns that it tells in words of its own, so that their value differs from the call's.
    """

    encode: Callable[[Call], Attributes]
    told: tuple[str, ...]
    scope: str = "app"
    version: str = ""
    native: Mapping[str, Any] = field(default_factory=dict)


COMMON = ("request_model", "input_tokens", "output_tokens", "gen_ai_span_kind")
CACHE = ("cache_read_tokens", "cache_write_tokens")
SETTINGS = ("temperature", "max_tokens", "seed")
SESSION = ("conversation_id", "user_id")
PROMPT = ("prompt_name", "prompt_version")
ANSWER = ("provider", "response_model", "response_id", "finish_reasons")

FINISH = {
    "stop": ("stop", "end_turn", "STOP", "completed", "stop_sequence", "COMPLETE"),
    "length": ("length", "max_tokens", "MAX_TOKENS", "max_output_tokens"),
    "tool_calls": ("tool_calls", "tool_use", "tool-calls", "tool_call", "function_call"),
    "content_filter": ("content_filter", "content-filter", "SAFETY", "RECITATION", "guardrail_intervened", "refusal"),
    "error": ("error", "failed", "MALFORMED_FUNCTION_CALL"),
}
"""Canonical finish reason → how providers spell it."""

PROVIDERS = {
    "openai": ("openai", "OpenAI", "openai.chat", "openai.responses"),
    "anthropic": ("anthropic", "Anthropic", "anthropic.messages"),
    "aws.bedrock": ("aws.bedrock", "AWS", "bedrock", "amazon-bedrock"),
    "azure.ai.openai": ("azure.ai.openai", "az.ai.openai", "Azure", "azure-openai.chat"),
    "gcp.gemini": ("gcp.gemini", "gemini", "google-gla", "google.generative-ai"),
    "gcp.vertex_ai": ("gcp.vertex_ai", "vertex_ai", "google.vertex.chat", "gcp.vertex.agent"),
    "mistral_ai": ("mistral_ai", "MistralAI", "mistral.chat"),
}
"""Canonical provider → how instrumentations spell it."""
