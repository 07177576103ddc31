"""The files that products are compared on: captured spans with known truth, and traces made from such spans.

Every trace and span gets an id of its own, told from file and old id: several captured files share ids, and a product
that stores a span once would keep the first of them only.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer_truth import Usage, billed

Json = dict[str, Any]

ID_DIGITS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}

# The emitter leaves the counts out, so that nobody can know them from its spans.
NOT_SENT = frozenset({"openai-chat-stream.traceloop040"})

# Input and output of captured spans, inclusive: the exclusive buckets that Langfuse's tests expect, added up.
# Only files whose expectations say all of it; None: the span does not tell.
LANGFUSE_SPANS: dict[str, Json] = {
    "genai-cache-usage": {"input": 100, "output": 40, "cache_read": 20, "cache_write": 10},
    "google-adk-reasoning": {"input": 100, "output": 60},
    "langfuse-keys-cache-usage": {"input": 50_000, "output": 200, "cache_read": 40_000, "cache_write": 5_000},
    "pydantic-ai-cache-usage": {"input": 120, "output": 40, "cache_read": 30, "cache_write": 10},
    "reasoning-only": {},
    "vercel-ai-anthropic-5m-1h-cache": {"input": 5_000, "output": 200, "cache_read": 1_500, "cache_write": 3_000},
    "vercel-ai-anthropic-legacy": {"input": 10_000, "output": 300, "cache_read": 2_000, "cache_write": 4_000},
}

# A model that all products have a price for, put in place of those that have been retired or never had one.
PRICED_MODEL = "claude-sonnet-4-5-20250929"

# Whole traces, what Langfuse keeps beside them, the spans that are calls, and the model that answered.
LANGFUSE_TRACES = {
    "google-adk-2025-08-28": (("bded677884f031ce", "f6e4c65297e40c96"), "gemini-2.0-flash"),
    "pydantic-ai-with-gemini-2025-12-24": (("8ffb64580a84a3f0",), "gemini-2.5-flash"),
    "vercel-aisdk-2025-11-17": (("91a17a2274bfd23f",), "gpt-5-2025-08-07"),
}


@dataclass(frozen=True)
class Case:
    """One file, one trace: an OTLP/JSON document with ids of its own, and what is true of it."""

    name: str
    document: Json
    trace_id: str
    truth: Usage


def load_cases(fixtures: Path) -> list[Case]:
    """All files under ``fixtures`` whose truth is known, then the traces made from them.

    Raises:
        FileNotFoundError: the folder has no ``generated-matrix/truth.json``.
    """
    return [*_matrix(fixtures / "generated-matrix"), *_langfuse(fixtures / "langfuse"), *_made(fixtures)]


def _matrix(folder: Path) -> Iterator[Case]:
    """The same recorded answers through many instrumentations."""
    scenarios = _read(folder / "truth.json")["truth"]
    for path in sorted(folder.glob("*.traces.json")):
        name = path.name.removesuffix(".traces.json")
        scenario = next((key for key in scenarios if name.startswith((f"{key}.", f"{key}-"))), None)
        if scenario is not None:
            truth = Usage() if name in NOT_SENT else _scenario_usage(scenarios[scenario])
            yield _case(name, _read(path), truth)


def _scenario_usage(scenario: Mapping[str, Any]) -> Usage:
    return billed(scenario["calls"], scenario.get("response_model"))


def _langfuse(folder: Path) -> Iterator[Case]:
    for name, tokens in LANGFUSE_SPANS.items():
        path = folder / f"{name}.otlp.json"
        if path.is_file():
            yield _case(name, _read(path), billed([tokens], None) if tokens else Usage())
    for name, (spans, model) in LANGFUSE_TRACES.items():
        path = folder / "framework-traces" / f"{name}.otlp.json"
        if path.is_file():
            kept = _read(path.with_name(f"{name}.langfuse-result.json"))
            calls = [entry["usageDetails"] for entry in kept if entry["spanId"] in spans]
            yield _case(name, _read(path), billed(calls, model))


def _made(fixtures: Path) -> Iterator[Case]:
    """Traces made from captured spans: tokens that stand twice, calls that only look alike, models with a price."""
    folder = fixtures / "generated-matrix"
    scenarios = _read(folder / "truth.json")["truth"]
    one_call = _scenario_usage(scenarios["openai-chat-tools"])
    for outer, nested in (("openlit", True), ("openinference", True), ("openlit", False), ("openinference", False)):
        document = _read(folder / f"openai-chat-tools.{outer}.traces.json")
        _add_second_report(document, _read(folder / "openai-chat-tools.otelgenai.traces.json"), nested=nested)
        where = "inside" if nested else "beside"
        yield _case(f"made: otelgenai {where} {outer}, one call", document, one_call)
    twice = billed(scenarios["openai-chat-tools"]["calls"] * 2, scenarios["openai-chat-tools"]["response_model"])
    for origin in ("openlit", "openinference"):
        document = _read(folder / f"openai-chat-tools.{origin}.traces.json")
        _add_equal_call(document)
        yield _case(f"made: two equal calls at once, {origin}", document, twice)
    for scenario, files in (("anthropic-cache", "."), ("pydantic-ai-agent", "-doublecount.")):
        truth = billed(scenarios[scenario]["calls"], PRICED_MODEL)
        for path in sorted(folder.glob(f"{scenario}{files}*traces.json")):
            origin = path.name.removesuffix(".traces.json")
            yield _case(f"made: {origin}, priced model", _with_priced_model(_read(path)), truth)
    document = _read(folder / "openai-chat-reasoning.otelgenai.traces.json")
    truth = _scenario_usage(scenarios["openai-chat-reasoning"])
    _add_sum_to_root(document, truth)
    yield _case("made: agent with the sum of its calls", document, truth)


def _add_second_report(document: Json, second: Json, *, nested: bool) -> None:
    """Add the call of another instrumentation's file as a second report of the document's only call."""
    (first_span,) = (span for span in _spans(document) if span.get("parentSpanId"))
    entry = next(
        copy.deepcopy(scope)
        for resource in second["resourceSpans"]
        for scope in resource["scopeSpans"]
        if any(span.get("parentSpanId") for span in scope["spans"])
    )
    start, end = int(first_span["startTimeUnixNano"]), int(first_span["endTimeUnixNano"])
    margin = (end - start) // 10
    for span in entry["spans"]:
        span["traceId"] = first_span["traceId"]
        span["parentSpanId"] = first_span["spanId" if nested else "parentSpanId"]
        span["startTimeUnixNano"], span["endTimeUnixNano"] = str(start + margin), str(end - margin)
    document["resourceSpans"][0]["scopeSpans"].append(entry)


def _add_equal_call(document: Json) -> None:
    """Add a second call that ran beside the document's only one and took as many tokens, as a fan-out does."""
    (call,) = (span for span in _spans(document) if span.get("parentSpanId"))
    second = copy.deepcopy(call)
    second["spanId"] = "00000000000000aa"
    for attribute in second["attributes"]:
        if attribute["key"] == "gen_ai.response.id":
            attribute["value"]["stringValue"] += "-second"
    scope = next(
        scope for resource in document["resourceSpans"] for scope in resource["scopeSpans"] if call in scope["spans"]
    )
    scope["spans"].append(second)


def _with_priced_model(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Put a priced model and its provider wherever a model or the provider of a scripted one is named."""
    names = {"claude-3-5-sonnet-20240620": PRICED_MODEL, "function:f:": PRICED_MODEL, "function": "anthropic"}
    if isinstance(value, dict):
        return {
            key: names.get(item, item) if key == "stringValue" else _with_priced_model(item)
            for key, item in value.items()
        }
    return [_with_priced_model(item) for item in value] if isinstance(value, list) else value


def _add_sum_to_root(document: Json, total: Usage) -> None:
    """Make the root an agent span that repeats the tokens of all its calls, as agent frameworks do."""
    (root,) = (span for span in _spans(document) if not span.get("parentSpanId"))
    model = next(
        attribute["value"]
        for span in _spans(document)
        for attribute in span.get("attributes", [])
        if attribute["key"] == "gen_ai.request.model"
    )
    values: dict[str, Json] = {
        "gen_ai.operation.name": {"stringValue": "invoke_agent"},
        "gen_ai.provider.name": {"stringValue": "openai"},
        "gen_ai.agent.name": {"stringValue": "counter"},
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": {"intValue": str(total.input)},
        "gen_ai.usage.output_tokens": {"intValue": str(total.output)},
    }
    root["name"] = "invoke_agent counter"
    root.setdefault("attributes", []).extend({"key": key, "value": value} for key, value in values.items())


def _case(name: str, document: Json, truth: Usage) -> Case:
    own = _with_own_ids(document, name)
    (trace_id,) = {span["traceId"] for span in _spans(own)}
    return Case(name, own, trace_id, truth)


def _with_own_ids(value: Any, name: str) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        return {
            key: hashlib.sha256(f"{name} {item}".encode()).hexdigest()[: ID_DIGITS[key]]
            if key in ID_DIGITS and item
            else _with_own_ids(item, name)
            for key, item in value.items()
        }
    return [_with_own_ids(item, name) for item in value] if isinstance(value, list) else value


def _spans(document: Json) -> list[Json]:
    return [
        span
        for resource in document["resourceSpans"]
        for scope in resource.get("scopeSpans", [])
        for span in scope["spans"]
    ]


def _read(path: Path) -> Any:  # noqa: ANN401 (JSON)
    return json.loads(path.read_text("utf-8"))
