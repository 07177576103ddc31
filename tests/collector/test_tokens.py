"""Token arithmetic: what counts include, by which rule, and what contradicts it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.conventions.token_meaning import SCOPE_MEANINGS, meaning_of
from collector.conventions.usage import Meaning
from collector.decode import decode_traces
from collector.rows import span_rows
from collector.tokens import CONFLICTS, INPUT_RULES, OUTPUT_RULES
from tests.conftest import Otlp

NOW = datetime(2026, 11, 22)
OTEL = {
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "total": "gen_ai.usage.total_tokens",
    "read": "gen_ai.usage.cache_read.input_tokens",
    "write": "gen_ai.usage.cache_write.input_tokens",
    "write_5m": "gen_ai.usage.input_cache_creation_5m",
    "write_1h": "gen_ai.usage.input_cache_creation_1h",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
    "audio_in": "gen_ai.usage.audio.input_tokens",
    "audio_out": "gen_ai.usage.audio.output_tokens",
    "audio_read": "gen_ai.usage.audio.cache_read.input_tokens",
}
OPENINFERENCE = {
    "input": "llm.token_count.prompt",
    "output": "llm.token_count.completion",
    "total": "llm.token_count.total",
    "read": "llm.token_count.prompt_details.cache_read",
    "reasoning": "llm.token_count.completion_details.reasoning",
}
USAGE_OBJECTS = ("langfuse.observation.usage_details", "mlflow.chat.tokenUsage", "gen_ai.usage.raw")
MEMBERS = ("input", "output", "total", "input_tokens", "output_tokens", "prompt_tokens", "cache_read_input_tokens",
           "cache_creation_input_tokens", "input_cached_tokens", "input_cache_creation", "input_cache_creation_5m",
           "input_cache_creation_1h", "output_reasoning_tokens", "input_audio_tokens", "output_audio_tokens",
           "cache_audio_read_tokens", "total_tokens")  # fmt: skip


def row_of(attributes: dict[str, Any], scope: str = "app", version: str = "") -> dict[str, Any]:
    """The stored row of one span."""
    request = Otlp().request({"attributes": attributes}, scope=scope)
    request.resource_spans[0].scope_spans[0].scope.version = version
    table = span_rows(decode_traces([request.SerializeToString()]), [None], NOW).tables["spans"]
    return pl.DataFrame(pl.from_arrow(table)).to_dicts()[0]


def counts(**given: int) -> dict[str, Any]:
    """Counts by OpenTelemetry's names."""
    return {OTEL[name]: count for name, count in given.items()}


def settled(row: dict[str, Any]) -> tuple[Any, ...]:
    """Input, output, rule and contradictions of a row."""
    return row["input_tokens"], row["output_tokens"], row["token_rule"], row["token_conflict"]


@pytest.mark.parametrize(
    ("given", "scope", "version", "wanted"),
    [
        # A scope that is known to include or to exclude.
        (counts(input=100, read=40), "pydantic-ai", "1.0", (100, None, "scope: input includes cache", None)),
        (counts(input=100, read=40), "logfire.anthropic", "4.30.1", (140, None, "scope: input excludes cache", None)),
        (counts(input=100, read=40), "logfire.anthropic", "4.31.0", (100, None, "scope: input includes cache", None)),
        (counts(input=9, read=4), "opentelemetry.instrumentation.bedrock", "0.50",
         (13, None, "scope: input excludes cache", None)),
        # The total proves that a scope which should include does not.
        (counts(input=100, output=10, read=40, total=150), "pydantic-ai", "1.0",
         (140, 10, "total: input excludes cache", "arithmetic contradicts scope on input")),
        (counts(input=30, output=10, read=40), "pydantic-ai", "1.0",
         (70, 10, "cache exceeds input: input excludes cache", "arithmetic contradicts scope on input")),
        # A total that is the sum of the two counts speaks against a scope that excludes, but may be its own sum.
        (counts(input=100, output=10, read=40, total=110), "logfire.anthropic", "4.30.1",
         (140, 10, "scope: input excludes cache", "arithmetic contradicts scope on input")),
        # Of these it is known that it is.
        (counts(input=100, output=10, read=40, total=110), "opentelemetry.instrumentation.bedrock", "",
         (140, 10, "scope: input excludes cache", "total leaves parts out")),
        (counts(input=100, output=10, read=40, total=110), "openlit.instrumentation.anthropic", "",
         (140, 10, "scope: input excludes cache", "total leaves parts out")),
        # The total, where nothing is known of the scope.
        (counts(input=100, output=10, read=30, write=10, total=150), "app", "",
         (140, 10, "total: input excludes cache", None)),
        (counts(input=100, output=10, read=30, write=10, total=110), "app", "",
         (100, 10, "total: input includes cache", None)),
        (counts(input=100, output=10, read=40, total=160, reasoning=10), "app", "",
         (140, 20, "total: input excludes cache; total: output excludes reasoning", None)),
        # Reading one way or the other gives the same number: nothing is proved.
        (counts(input=100, output=30, read=10, total=140, reasoning=10), "app", "",
         (100, 30, "default: input includes cache", "total fits more than one reading")),
        (counts(input=100, output=10, read=40, total=123), "app", "",
         (100, 10, "default: input includes cache", "total fits no reading")),
        (counts(input=100, output=10, reasoning=4, total=114), "app", "",
         (100, 14, "default: input includes cache; total: output excludes reasoning", None)),
        (counts(output=50, reasoning=60), "app", "",
         (None, 60, "reasoning exceeds output: output raised to it", "reasoning exceeds output")),
        (counts(input=10, output=50, reasoning=60, total=120), "app", "",
         (10, 110, "default: input includes cache; total: output excludes reasoning", None)),
        # The convention itself.
        ({"mlflow.chat.tokenUsage": '{"input_tokens":50,"output_tokens":5,"cache_read_input_tokens":40}'}, "app", "",
         (50, 5, "convention: input includes cache", None)),
        ({"langfuse.observation.usage_details": '{"input":50,"output":5,"input_cached_tokens":40,'
          '"output_reasoning_tokens":7,"input_audio_tokens":3,"output_audio_tokens":2}'}, "app", "",
         (93, 14, "convention: input excludes cache; convention: output excludes reasoning", None)),
        ({"ai.usage.inputTokens": 50, "ai.usage.inputTokenDetails.noCacheTokens": 10,
          "ai.usage.inputTokenDetails.cacheReadTokens": 40}, "ai", "", (50, None, "convention: input includes cache",
                                                                       None)),
        # What stands beside a count proves what the count is, in its own set alone.
        ({"ai.usage.promptTokens": 500, "ai.response.providerMetadata":
          '{"anthropic":{"usage":{"input_tokens":500,"cache_read_input_tokens":40}}}'}, "ai", "",
         (540, None, "uncached count: input excludes cache", None)),
        ({"gen_ai.usage.input_tokens": 500, "gen_ai.usage.output_tokens": 9, "ai.response.providerMetadata":
          '{"anthropic":{"usage":{"input_tokens":500,"cache_read_input_tokens":40}}}'}, "ai", "",
         (500, 9, "default: input includes cache", None)),
        ({"ai.usage.promptTokens": 500, "ai.response.providerMetadata":
          '{"anthropic":{"cacheReadInputTokens":40,"cacheCreationInputTokens":2}}'}, "ai", "",
         (542, None, "convention: input excludes cache", None)),
        ({"ai.usage.promptTokens": 12, "ai.usage.completionTokens": 100, "ai.response.providerMetadata":
          '{"google":{"usageMetadata":{"thoughtsTokenCount":40,"candidatesTokenCount":100}}}'}, "ai", "",
         (12, 140, "default: input includes cache; unreasoned count: output excludes reasoning", None)),
        ({"ai.usage.promptTokens": 12, "ai.usage.completionTokens": 140, "ai.response.providerMetadata":
          '{"google":{"usageMetadata":{"thoughtsTokenCount":40,"candidatesTokenCount":100}}}'}, "ai", "",
         (12, 140, "default: input includes cache", None)),
        # The parts that only the provider's total tells of.
        (counts(input=20, output=50, total=470) | {"gen_ai.system": "gemini"}, "app", "",
         (20, 450, "default: input includes cache; total: output excludes reasoning", None)),
        (counts(input=20, output=50, read=15, total=470) | {"gen_ai.system": "gemini"}, "app", "",
         (20, 450, "total: input includes cache; total: output excludes reasoning", None)),
        (counts(input=20, output=50, total=470) | {"gen_ai.system": "openai"}, "app", "",
         (20, 50, "default: input includes cache", "total fits no reading")),
        (counts(input=4, output=50, total=470) | {"gen_ai.system": "aws.bedrock"}, "app", "",
         (420, 50, "default: input includes cache", "cached tokens without parts")),
        # Bedrock's input leaves cached tokens out, whoever passes it on as it is.
        (counts(input=500, output=5, read=40), "opentelemetry.instrumentation.genai.bedrock", "1.3b0",
         (540, 5, "scope: input excludes cache", None)),
        (counts(input=500, output=5, read=40), "openlit.instrumentation.bedrock", "",
         (540, 5, "scope: input excludes cache", None)),
        (counts(input=500, output=5, reasoning=4), "openlit.instrumentation.google_ai_studio", "",
         (500, 9, "scope: input includes cache; scope: output excludes reasoning", None)),
        # Nothing to decide.
        (counts(input=7), "app", "", (7, None, "default: input includes cache", None)),
        (counts(read=7), "app", "", (None, None, None, None)),
    ],
)  # fmt: skip
def test_rules(given: dict[str, Any], scope: str, version: str, wanted: tuple[Any, ...]) -> None:
    """Scope and convention first, then arithmetic, else inclusive; what contradicts is said, and never averaged."""
    assert settled(row_of(given, scope, version)) == wanted


def test_thoughts_that_only_the_total_tells_are_reasoning() -> None:
    """What Gemini's total holds beyond input and output is stored as reasoning; nothing is made up elsewhere."""
    told = counts(input=20, output=50, total=470)
    assert row_of(told | {"gen_ai.system": "gemini"})["reasoning_tokens"] == 400
    assert row_of(told | {"gen_ai.system": "openai"})["reasoning_tokens"] is None
    assert row_of(told | {"gen_ai.system": "gemini"}, "openlit.instrumentation.x")["reasoning_tokens"] is None


def test_hours_of_the_anthropic_sdk() -> None:
    """The Anthropic SDK's own spans say what of a cache write is kept for an hour."""
    row = row_of(
        counts(input=30, write=20)
        | {
            "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 5,
            "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 15,
        },
        "com.anthropic.sdk.python",
    )
    assert (row["input_tokens"], row["cache_write_tokens"], row["cache_write_1h_tokens"]) == (30, 20, 15)


@pytest.mark.parametrize(
    ("provider", "version", "tokens"),
    [("amazon-bedrock", "5.0.1", 140), ("amazon-bedrock", "", 140), ("amazon-bedrock", "6.1.0", 100),
     ("anthropic.messages", "5.0.1", 100)],
)  # fmt: skip
def test_one_sdk_counts_differently_by_provider_and_version(provider: str, version: str, tokens: int) -> None:
    """The same attribute of the same SDK includes cached tokens or not, by provider and version."""
    given = {"ai.usage.inputTokens": 100, "ai.usage.cachedInputTokens": 40, "ai.model.provider": provider}
    assert row_of(given, "ai", version)["input_tokens"] == tokens


def test_two_conventions_are_not_added_up() -> None:
    """Counts of two conventions in one span are one count; the parts come from the one that has them."""
    both = {**counts(input=4, output=10), **{OPENINFERENCE[name]: count for name, count in
            {"input": 100, "output": 10, "read": 96, "total": 110}.items()}}  # fmt: skip
    row = row_of(both)
    assert settled(row) == (100, 10, "total: input includes cache", None)
    assert row["cache_read_tokens"] == 96


def test_conventions_that_disagree_are_flagged() -> None:
    """Where two conventions in one span tell different numbers, one is taken and the row says so."""
    row = row_of({**counts(input=100, output=10), OPENINFERENCE["input"]: 90, OPENINFERENCE["output"]: 10})
    assert settled(row) == (100, 10, "default: input includes cache", "OpenInference has another input")
    zero = row_of({**counts(input=100, output=1, read=0), "gen_ai.usage.cache_read_input_tokens": 9})
    assert (zero["cache_read_tokens"], zero["token_conflict"]) == (0, "older names has another cache read")


def test_sums_over_other_spans_complete_nothing() -> None:
    """Aggregated usage is a span's own only where it has no other."""
    sums = {"gen_ai.aggregated_usage.input_tokens": 300, "gen_ai.aggregated_usage.cache_read.input_tokens": 200}
    assert row_of(sums)["input_tokens"] == 300
    row = row_of({**counts(input=10), **sums})
    assert (row["input_tokens"], row["cache_read_tokens"], row["token_conflict"]) == (10, None, None)


@pytest.mark.parametrize(
    ("given", "written", "one_hour", "conflict"),
    [
        (counts(input=9000, write=3000, write_5m=2000, write_1h=1000), 3000, 1000, None),
        (counts(input=9000, write_5m=2000, write_1h=1000), 3000, 1000, None),
        (counts(input=9000, write=3000, write_5m=2000, write_1h=500), 3000, 500,
         "cache write parts differ from cache write"),
        (counts(input=9000, write=300, write_1h=500), 300, 300, "one-hour cache write exceeds cache write"),
        ({"langfuse.observation.usage_details": '{"input":9,"input_cache_creation":1,"input_cache_creation_5m":2,'
          '"input_cache_creation_1h":4}'}, 7, 4, None),
    ],
)  # fmt: skip
def test_cache_writes(given: dict[str, Any], written: int, one_hour: int, conflict: str | None) -> None:
    """What is kept for five minutes and for an hour is what was written, or the row says that it is not."""
    row = row_of(given)
    assert (row["cache_write_tokens"], row["cache_write_1h_tokens"], row["token_conflict"]) == (
        written,
        one_hour,
        conflict,
    )


def test_audio_is_a_part() -> None:
    """More audio than there is of the whole is cut to it, and said."""
    row = row_of(counts(input=10, output=5, read=4, audio_in=11, audio_out=5, audio_read=6))
    parts = [row[name] for name in ("input_audio_tokens", "output_audio_tokens", "cache_audio_read_tokens")]
    assert [*parts, row["token_conflict"]] == [10, 5, 4, "audio exceeds its whole"]


NUMBERS = st.one_of(st.integers(0, 60), st.integers(-5, 2**54))
SCOPES = st.sampled_from(
    [("app", ""), *((known.scope, version) for known in SCOPE_MEANINGS for version in ("", "9.9"))]
)
PARTS = ("cache_read_tokens", "cache_write_tokens")


@given(
    st.dictionaries(st.sampled_from([*OTEL.values(), *OPENINFERENCE.values()]), NUMBERS, max_size=9),
    st.dictionaries(
        st.sampled_from(USAGE_OBJECTS), st.dictionaries(st.sampled_from(MEMBERS), NUMBERS, max_size=7), max_size=2
    ),
    st.sampled_from(["openai", "anthropic", "AWS", None]),
    SCOPES,
)
def test_every_row_reconciles(
    flat: dict[str, int], objects: dict[str, dict[str, int]], provider: str | None, scope: tuple[str, str]
) -> None:
    """Whatever is sent: parts are at most their wholes, nothing is negative, a total that does not fit is flagged."""
    named = {} if provider is None else {"gen_ai.system": provider}
    row = row_of({**flat, **objects, **named}, *scope)
    tokens = {name: value for name, value in row.items() if name.endswith("_tokens") and name != "max_tokens"}
    assert all(value is None or value >= 0 for value in tokens.values())
    whole, answer = tokens["input_tokens"], tokens["output_tokens"]
    if whole is not None:
        assert sum(tokens[part] or 0 for part in PARTS) <= whole
        assert (tokens["input_audio_tokens"] or 0) <= whole
        assert row["token_rule"] is not None
    if answer is not None:
        assert (tokens["reasoning_tokens"] or 0) <= answer
        assert (tokens["output_audio_tokens"] or 0) <= answer
    if tokens["cache_write_1h_tokens"] is not None:
        assert tokens["cache_write_1h_tokens"] <= tokens["cache_write_tokens"]
    if None not in (tokens["cache_audio_read_tokens"], tokens["cache_read_tokens"]):
        assert tokens["cache_audio_read_tokens"] <= tokens["cache_read_tokens"]
    total = tokens["reported_total_tokens"]
    if None not in (whole, answer, total) and whole + answer != total:
        assert row["token_conflict"] is not None
    known = {*CONFLICTS}
    for code in (row["token_conflict"] or "").split("; "):
        assert code in known or " has another " in code or not code
    rules = (row["token_rule"] or "").split("; ")
    assert set(rules) <= {*INPUT_RULES, *OUTPUT_RULES, ""}


def test_unreported_counts_stay_unknown() -> None:
    """A span without usage has no counts, no rule and no contradiction; a zero that was sent is a zero."""
    row = row_of({"gen_ai.request.model": "m"})
    assert all(row[name] is None for name in row if name.endswith("_tokens") or name.startswith("token_"))
    assert row_of(counts(input=0, output=0))["input_tokens"] == 0


@pytest.mark.parametrize(
    ("scope", "version", "meaning"),
    [
        ("openinference.instrumentation.openai", None, Meaning.INCLUDES),
        ("openinference.instrumentation.openai_agents", None, None),
        ("opentelemetry.instrumentation.openai.v1", "0.62", Meaning.INCLUDES),
        ("logfire.anthropic", "v4.30.0rc1", Meaning.EXCLUDES),
        ("logfire.anthropic", "dev", Meaning.EXCLUDES),
        ("ai", "7.0.0-canary.1", Meaning.INCLUDES),
        ("", None, None),
        (None, None, None),
    ],
)
def test_scopes(scope: str | None, version: str | None, meaning: Meaning | None) -> None:
    """A scope is known by its whole name or by what stands before a dot; one without a version counts as older."""
    known = meaning_of(scope, version, None)
    assert (known.input if known else None) == meaning
