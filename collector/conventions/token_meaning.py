"""Who counts how: whether an emitter's input includes cached tokens, and its output reasoning.

OpenTelemetry defines both as inclusive since 1.40 and says nothing before; the same attribute means the one or the
other by package, provider and version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from collector.conventions.usage import Meaning

Version = tuple[int, ...]

_NUMBERS = re.compile(r"v?(\d{1,9}(?:\.\d{1,9}){0,3})")


@dataclass(frozen=True)
class ScopeMeaning:
    """What is known of one instrumentation scope.

    Attributes:
        scope: its name, or what its name begins with before a dot.
        evidence: how it is known.
        provider: the provider for which that holds; None for all.
        input: whether its input count includes cached tokens; None where unknown.
        output: whether its output count includes reasoning tokens; None where unknown.
        since: the first version for which that holds.
        before: the first version for which it holds no longer; a scope that tells no version counts as older.
        sums_total: whether its total is its own sum of input and output, which then proves nothing.
    """

    scope: str
    evidence: str
    provider: str | None = None
    input: Meaning | None = None
    output: Meaning | None = None
    since: Version | None = None
    before: Version | None = None
    sums_total: bool = False

    def holds_for(self, scope: str, version: Version | None, provider: str | None) -> bool:
        """Whether this is about the spans of a scope, in a version, of a provider."""
        if scope != self.scope and not scope.startswith(f"{self.scope}."):
            return False
        if self.provider is not None and provider != self.provider:
            return False
        if self.since is not None and (version is None or version < self.since):
            return False
        return self.before is None or version is None or version < self.before


_IN, _EX = Meaning.INCLUDES, Meaning.EXCLUDES
_MEASURED = "measured: one recorded response through the package"

SCOPE_MEANINGS: tuple[ScopeMeaning, ...] = (
    ScopeMeaning("openlit.instrumentation.anthropic", _MEASURED, input=_EX, output=_IN, sums_total=True),
    ScopeMeaning("openlit.instrumentation.bedrock", _MEASURED, input=_EX, sums_total=True),
    ScopeMeaning("openlit.instrumentation.google_ai_studio", _MEASURED, input=_IN, output=_EX, sums_total=True),
    ScopeMeaning("openlit", _MEASURED, sums_total=True),
    ScopeMeaning("opentelemetry.instrumentation.bedrock", "openllmetry#4449", input=_EX, sums_total=True),
    ScopeMeaning("opentelemetry.instrumentation.botocore", _MEASURED, provider="aws.bedrock", input=_EX),
    ScopeMeaning("opentelemetry.instrumentation.genai.bedrock", _MEASURED, input=_EX),
    ScopeMeaning("opentelemetry.instrumentation.anthropic", _MEASURED, input=_IN, output=_IN),
    ScopeMeaning("opentelemetry.instrumentation.openai", _MEASURED, input=_IN, output=_IN),
    ScopeMeaning("opentelemetry.instrumentation.openai_v2", _MEASURED, input=_IN, output=_IN),
    ScopeMeaning("opentelemetry.instrumentation.genai", _MEASURED, input=_IN, output=_IN),
    ScopeMeaning("opentelemetry.util.genai", _MEASURED, input=_IN, output=_IN),
    ScopeMeaning("com.anthropic.sdk", _MEASURED, input=_IN, output=_IN),
    ScopeMeaning("openinference.instrumentation.anthropic", _MEASURED, input=_IN, output=_IN),
    ScopeMeaning("openinference.instrumentation.openai", _MEASURED, input=_IN, output=_IN),
    ScopeMeaning("openinference.instrumentation.bedrock", "its source: cached tokens are added", input=_IN, output=_IN),
    ScopeMeaning("logfire.anthropic", "logfire#1812, released in 4.31", input=_EX, output=_IN, before=(4, 31)),
    ScopeMeaning("logfire.anthropic", "logfire#1812", input=_IN, output=_IN, since=(4, 31)),
    ScopeMeaning("logfire.openai", _MEASURED, input=_IN, output=_IN),
    ScopeMeaning("pydantic-ai", "its usage.py: for every provider", input=_IN, output=_IN),
    ScopeMeaning("ai", "its captured spans", provider="aws.bedrock", input=_EX, before=(6,), sums_total=True),
    ScopeMeaning("ai", "its types/usage.ts, since version 6", input=_IN, output=_IN, since=(6,)),
    ScopeMeaning("gen_ai", "the AI SDK since version 7: its types/usage.ts", input=_IN, output=_IN),
    ScopeMeaning("genkit-tracer", "genkit#5412", provider="anthropic", input=_EX),
)
"""The first that holds decides."""

THOUGHTS_IN_TOTAL = frozenset({"gcp.gemini", "gcp.gen_ai", "gcp.vertex_ai"})
"""Providers whose total holds the thoughts, while the output that some emitters pass on leaves them out."""

CACHE_IN_TOTAL = frozenset({"aws.bedrock"})
"""Providers whose total holds the cached tokens, while the input leaves them out."""


def meaning_of(scope: str | None, version: str | None, provider: str | None) -> ScopeMeaning | None:
    """What is known of the spans of a scope, or None."""
    if not scope:
        return None
    found = _NUMBERS.match(version or "")
    numbers = tuple(map(int, found[1].split("."))) if found else None
    return next((known for known in SCOPE_MEANINGS if known.holds_for(scope, numbers, provider)), None)
