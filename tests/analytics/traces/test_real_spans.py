"""Spans of real instrumentations, through collector and store: each call once, whoever and however many report it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analytics.calls import Account, account
from analytics.derived_calls import ordered, with_work
from analytics.span_tree import SpanTree
from collector.decode import decode_traces
from collector.otlp_json import to_protobuf
from collector.rows import span_rows
from collector.signals import Signal
from sql import statements
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


Document = dict[str, Any]
Stored = Callable[[Document], Account]

SCENARIOS = {
    "openai-chat-tools": 1,
    "openai-chat-stream": 1,
    "openai-chat-reasoning": 3,
    "openai-chat-404": 1,
    "anthropic-cache": 2,
}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    """What counts of an OTLP document, once it has been received, stored and read again."""
    with store_at(tmp_path / "s.duckdb") as store:

        def make(document: Document) -> Account:
            payload = to_protobuf(json.dumps(document).encode(), Signal.TRACES)
            store.write(span_rows(decode_traces([payload]), [None], datetime(2026, 11, 1)).tables)
            ids = {span["traceId"] for span in _spans(document)}
            parameters = {"trace_ids": sorted(ids), "chain_paths": [], "first": 0, "last": 2**62}
            read = store.read(statements.read("derive_spans"), parameters)
            spans = ordered(pl.DataFrame(pl.from_arrow(read)))
            tree = SpanTree.of(spans)
            return account(with_work(spans, tree), tree)

        yield make


def _spans(document: Document) -> list[Document]:
    return [
        span for resource in document["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]
    ]


def _files(shared_fixtures: Path, scenario: str) -> list[Path]:
    found = sorted((shared_fixtures / "generated-matrix").glob(f"{scenario}.*.traces.json"))
    assert len(found) >= 6
    return found


def _told(account: Account) -> tuple[int, int | None, int | None]:
    counted = account.calls.filter("is_counted")
    return counted.height, counted["input_tokens"].sum(), counted["output_tokens"].sum()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_instrumentation_reports_as_many_calls(
    shared_fixtures: Path, load_json: Callable[[Path], Any], stored: Stored, scenario: str
) -> None:
    """Whatever spans an instrumentation makes of a call, it is one call."""
    for path in _files(shared_fixtures, scenario):
        assert stored(load_json(path)).calls["is_call"].sum() == SCENARIOS[scenario], path.name


@pytest.mark.parametrize(
    ("file", "calls", "tokens"),
    [
        ("generated-matrix/pydantic-ai-agent-aggregated.traces.json", 2, (2100, 30)),
        ("generated-matrix/pydantic-ai-agent-doublecount.traces.json", 2, (2100, 30)),
        ("generated-matrix/openai-chat-stream.logfire.traces.json", 1, (10, 50)),
        ("langfuse/framework-traces/vercel-aisdk-2025-11-17.otlp.json", 1, (62, 85)),
        ("langfuse/framework-traces/google-adk-2025-08-28.otlp.json", 2, (67, 9)),
        ("langfuse/framework-traces/pydantic-ai-with-gemini-2025-12-24.otlp.json", 1, (40, 159)),
    ],
)
def test_sums_and_parents_do_not_count_again(
    shared_fixtures: Path,
    load_json: Callable[[Path], Any],
    stored: Stored,
    file: str,
    calls: int,
    tokens: tuple[int, int],
) -> None:
    """Agents, wrappers and streaming requests repeat usage; the total is the provider's."""
    assert _told(stored(load_json(shared_fixtures / file))) == (calls, *tokens)


def _side_by_side(first: Document, second: Document) -> Document:
    """Both documents in one trace under one parent, the second's calls beginning and ending with the first's."""
    documents = [json.loads(json.dumps(document)) for document in (first, second)]
    model_spans = [[span for span in _spans(document) if span.get("parentSpanId")] or _spans(document)
                   for document in documents]  # fmt: skip
    for spans in model_spans:
        spans.sort(key=lambda span: int(span["startTimeUnixNano"]))
    for number, (ours, theirs) in enumerate(zip(*model_spans, strict=True)):
        ours["endTimeUnixNano"] = str(max(int(ours["endTimeUnixNano"]), int(ours["startTimeUnixNano"]) + 10_000_000))
        theirs["startTimeUnixNano"] = str(int(ours["startTimeUnixNano"]) + 100_000)
        theirs["endTimeUnixNano"] = str(int(ours["endTimeUnixNano"]) - 100_000)
        theirs["spanId"] = f"{number + 1:016x}"
    for spans in model_spans:
        for span in spans:
            span["traceId"], span["parentSpanId"] = TRACE, PARENT
    for document, spans in zip(documents, model_spans, strict=True):
        for resource in document["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                scope["spans"] = [span for span in scope["spans"] if span in spans]
    return {"resourceSpans": documents[0]["resourceSpans"] + documents[1]["resourceSpans"]}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_instrumentations_on_one_call(
    shared_fixtures: Path, load_json: Callable[[Path], Any], stored: Stored, scenario: str
) -> None:
    """Any two instrumentations at once, side by side, report as many calls as one of them."""
    # Logfire's streamed call is two spans, which do not begin and end with any one span.
    paths = [path for path in _files(shared_fixtures, scenario) if "chat-stream.logfire" not in path.name]
    for number, (first, second) in enumerate(permutations(map(load_json, paths), 2)):
        if _scopes(first) & _scopes(second):
            continue
        document = _side_by_side(first, second)
        for span in _spans(document):
            span["traceId"] = f"{number + 1:032x}"
        assert stored(document).calls["is_call"].sum() == SCENARIOS[scenario], (_scopes(first), _scopes(second))


def _scopes(document: Document) -> set[str]:
    return {
        scope["scope"]["name"]
        for resource in document["resourceSpans"]
        for scope in resource["scopeSpans"]
        if any(span.get("parentSpanId") for span in scope["spans"])
    }
