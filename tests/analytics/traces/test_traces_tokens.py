"""Each model call's tokens count once, whoever repeats them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.calls import find_calls, is_work
from analytics.span_tree import SpanTree

Row = dict[str, Any]
Make = Callable[..., Row]
Frame = Callable[..., pl.DataFrame]


def _tokens(frame: pl.DataFrame) -> tuple[int | None, int | None, int]:
    row = frame.row(0, named=True)
    return row["input_tokens"], row["output_tokens"], row["llm_calls"]


def test_agent_sum_is_not_added_to_its_calls(span: Make, frame: Frame) -> None:
    """An agent that repeats the sum of its two calls does not double them."""
    spans = [
        span("a", None, "AGENT", input_tokens=300, output_tokens=30),
        span("b", "a", "LLM", 0, 0.4, input_tokens=100, output_tokens=10),
        span("c", "a", "LLM", 0.5, 1, input_tokens=200, output_tokens=20),
    ]
    assert _tokens(frame(spans)) == (300, 30, 2)


def test_agent_alone_counts(span: Make, frame: Frame) -> None:
    """Where only the agent reports usage, its tokens count."""
    spans = [
        span("a", None, "AGENT", input_tokens=300, output_tokens=30, request_model="candidate-model"),
        span("b", "a", "TOOL"),
    ]
    row = frame(spans).row(0, named=True)
    assert (row["input_tokens"], row["output_tokens"], row["arm"]) == (300, 30, "candidate")
    assert row["cost_usd"] == pytest.approx((300 * 1 + 30 * 2) / 1e6)


def test_outer_agent_stands_for_inner_agents(span: Make, frame: Frame) -> None:
    """Of agents above each other without LLM spans, the topmost counts."""
    spans = [
        span("a", None, "AGENT", input_tokens=300, output_tokens=30),
        span("b", "a", "CHAIN", input_tokens=300, output_tokens=30),
    ]
    assert _tokens(frame(spans))[:2] == (300, 30)


def test_agent_stands_for_calls_without_usage(span: Make, frame: Frame) -> None:
    """Calls that carry no tokens are not unknown when the agent above them tells the sum."""
    spans = [
        span("a", None, "AGENT", input_tokens=300, output_tokens=30),
        span("b", "a", "LLM"),
    ]
    assert _tokens(frame(spans)) == (300, 30, 1)


def test_wrapper_llm_span_does_not_count(span: Make, frame: Frame) -> None:
    """An LLM span around the LLM span of the same call, at any depth, adds nothing."""
    spans = [
        span("a", None, "LLM", 0, 1, input_tokens=100, output_tokens=10),
        span("b", "a", "CHAIN", 0.1, 0.9),
        span("c", "b", "LLM", 0.1, 0.9, input_tokens=100, output_tokens=10),
    ]
    assert _tokens(frame(spans)) == (100, 10, 1)


def test_wrapper_counts_when_only_it_has_usage(span: Make, frame: Frame) -> None:
    """A wrapper with usage around a call without stands for it."""
    spans = [
        span("a", None, "LLM", input_tokens=100, output_tokens=10),
        span("b", "a", "LLM", input_tokens=0, output_tokens=0),
    ]
    assert _tokens(frame(spans)) == (100, 10, 1)


def test_two_instrumentations_side_by_side_count_once(span: Make, frame: Frame) -> None:
    """Siblings with one response id are one call; the one that carries usage gives it."""
    spans = [
        span("a", None, "CHAIN", 0, 2),
        span("b", "a", "LLM", 0, 1, response_id="x"),
        span("c", "a", "LLM", 0.1, 0.9, response_id="x", input_tokens=100, output_tokens=10),
        span("d", "a", "LLM", 1, 2, response_id="y", input_tokens=50, output_tokens=5),
    ]
    assert _tokens(frame(spans)) == (150, 15, 2)


def test_streamed_usage_record_is_the_same_call(span: Make, frame: Frame) -> None:
    """A streaming request without usage and its zero-length sibling with usage are one call each."""
    spans = [
        span("a", None, "CHAIN", 0, 9),
        span("b", "a", "LLM", 0, 1),
        span("c", "a", "LLM", 1.5, 1.5, input_tokens=100, output_tokens=10),
        span("d", "a", "LLM", 2, 3),
        span("e", "a", "LLM", 3.5, 3.5, input_tokens=200, output_tokens=20),
    ]
    assert _tokens(frame(spans)) == (300, 30, 2)


def test_streamed_usage_record_with_the_response_id_is_the_same_call(span: Make, frame: Frame) -> None:
    """The usage record may name the response that its request does not, and a client's span may name it too."""
    spans = [
        span("a", None, "CHAIN", 0, 9),
        span("b", "a", "LLM", 0, 1),
        span("c", "a", "LLM", 1.5, 1.5, input_tokens=100, output_tokens=10, response_id="x"),
        span("d", "a", "LLM", 0.1, 1.4, input_tokens=100, output_tokens=10, response_id="x", scope_name="client"),
    ]
    assert _tokens(frame(spans)) == (100, 10, 1)


def test_streamed_record_without_usage_is_the_same_call(span: Make, frame: Frame) -> None:
    """A stream that told no usage is one call of unknown tokens, though its record names the response."""
    spans = [
        span("a", None, "CHAIN", 0, 9),
        span("b", "a", "LLM", 0, 1),
        span("c", "a", "LLM", 1.5, 1.5, response_id="x"),
    ]
    assert _tokens(frame(spans)) == (None, None, 1)


@pytest.mark.parametrize("error", ["AI_NoObjectGeneratedError", "ValidationError", "OutputParserException"])
def test_answer_that_could_not_be_used_has_unknown_tokens(span: Make, frame: Frame, error: str) -> None:
    """A call whose answer the client rejected was answered, and billed: its tokens are unknown, not none."""
    spans = [
        span("a", None, "CHAIN", 0, 3),
        span("b", "a", "LLM", 0, 1, status_code="ERROR", error_type=error),
        span("c", "a", "LLM", 1, 2, input_tokens=100, output_tokens=10),
    ]
    assert frame(spans).row(0, named=True)["input_tokens"] is None


def test_unknown_usage_is_not_zero(span: Make, frame: Frame) -> None:
    """One call without token counts makes the trace's tokens and cost unknown."""
    spans = [
        span("a", None, "CHAIN", 0, 3),
        span("b", "a", "LLM", 0, 1, input_tokens=100, output_tokens=10),
        span("c", "a", "LLM", 1, 2),
    ]
    row = frame(spans).row(0, named=True)
    assert (row["input_tokens"], row["output_tokens"], row["cost_usd"], row["unpriced_calls"]) == (
        None,
        None,
        None,
        1,
    )


def test_rejected_call_is_known_to_use_nothing(span: Make, frame: Frame) -> None:
    """A call that ended in an error before any answer leaves the other calls' sum known."""
    spans = [
        span("a", None, "CHAIN", 0, 3),
        span("b", "a", "LLM", 0, 1, status_code="ERROR", error_type="RateLimitError"),
        span("c", "a", "LLM", 1, 2, input_tokens=100, output_tokens=10),
    ]
    row = frame(spans).row(0, named=True)
    assert (row["input_tokens"], row["llm_calls"], row["unpriced_calls"]) == (100, 2, 0)


def test_interrupted_call_may_have_been_billed(span: Make, frame: Frame) -> None:
    """A call that timed out, or broke off while streaming, has unknown tokens."""
    for broken in ({"error_type": "APITimeoutError"}, {"time_to_first_token_ms": 80.0}):
        spans = [span("a", None, "LLM", status_code="ERROR", **broken)]
        assert frame(spans)["input_tokens"].to_list() == [None]


def test_trace_without_calls_has_unknown_tokens(span: Make, frame: Frame) -> None:
    """Where no call was seen, tokens and cost are unknown, not zero."""
    row = frame([span("a", None, "CHAIN")]).row(0, named=True)
    assert (row["llm_calls"], row["input_tokens"], row["cost_usd"], row["arm"]) == (0, None, None, None)


def test_embedding_has_no_output(span: Make, frame: Frame) -> None:
    """An embedding's tokens count, its output is known to be zero, and it is not an LLM call."""
    spans = [
        span("a", None, "CHAIN", 0, 2),
        span("b", "a", "EMBEDDING", 0, 1, input_tokens=7, request_model="candidate-model"),
        span("c", "a", "LLM", 1, 2, input_tokens=100, output_tokens=10),
    ]
    row = frame(spans).row(0, named=True)
    assert (row["input_tokens"], row["output_tokens"], row["llm_calls"], row["arm"]) == (107, 10, 1, "base")


def test_judges_are_not_the_works_calls(span: Make, frame: Frame) -> None:
    """Calls under an evaluator span, and late annotations, change neither tokens, arm nor end."""
    spans = [
        span("a", None, "CHAIN", 0, 2),
        span("e", "a", "EVALUATOR", 5000, 5001),
        span("f", "e", "LLM", 5000, 5001, input_tokens=999, output_tokens=9),
        span("g", "a", "OTHER", 9000, 9000, scope_name="logfire.feedback"),
        span("b", "a", "LLM", 0, 1, request_model="candidate-model", input_tokens=100, output_tokens=10),
    ]
    row = frame(spans).row(0, named=True)
    assert (row["input_tokens"], row["arm"], row["llm_calls"]) == (100, "candidate", 1)
    assert (row["end_time"] - row["start_time"]).total_seconds() == 2


def test_cycle_counts_its_calls_once(span: Make, frame: Frame) -> None:
    """Spans that are each other's parents neither hang nor lose nor double the calls."""
    spans = [
        span("a", "c", "LLM", 0, 1, input_tokens=100, output_tokens=10),
        span("b", "a", "CHAIN", 0.1, 1),
        span("c", "b", "LLM", 0.2, 1, input_tokens=100, output_tokens=10),
        span("s", "s", "LLM", 2, 3, input_tokens=5, output_tokens=5),
    ]
    row = frame(spans).row(0, named=True)
    assert (row["input_tokens"], row["missing_root"]) == (105, True)


@st.composite
def _trees(draw: st.DrawFn) -> list[tuple[int | None, str, int | None]]:
    """Parent, kind and input tokens of each span; parents may be absent, or come later (cycles)."""
    size = draw(st.integers(1, 12))
    kinds = st.sampled_from(["LLM", "AGENT", "CHAIN", "TOOL", "EMBEDDING"])
    return [
        (
            draw(st.one_of(st.none(), st.integers(0, size - 1))),
            draw(kinds),
            draw(st.one_of(st.none(), st.integers(0, 100))),
        )
        for _ in range(size)
    ]


def _counted(
    span: Make, span_rows: Frame, tree: list[tuple[int | None, str, int | None]]
) -> tuple[pl.DataFrame, SpanTree]:
    rows = span_rows(
        [
            span(
                f"{number:02}",
                None if parent is None else f"{parent:02}",
                kind,
                number,
                number + 1,
                input_tokens=tokens,
                output_tokens=tokens,
            )
            for number, (parent, kind, tokens) in enumerate(tree)
        ]
    )
    links = SpanTree.of(rows)
    return find_calls(rows.with_columns(work=pl.Series(is_work(rows, links))), links), links


@given(tree=_trees())
@settings(max_examples=25, deadline=None)
def test_no_counted_span_stands_above_another(
    span: Make, span_rows: Frame, tree: list[tuple[int | None, str, int | None]]
) -> None:
    """Whatever the tree, no counted span stands above another, embeddings apart: nothing is added to its own sum."""
    calls, links = _counted(span, span_rows, tree)
    counted = {int(name) for name in calls.filter("is_counted")["span_id"]}
    for row in counted:
        above = int(links.parent[row])
        while above >= 0:
            assert above not in counted or (tree[above][1] == "EMBEDDING") != (tree[row][1] == "EMBEDDING")
            above = int(links.parent[above])


@given(tree=_trees())
@settings(max_examples=25, deadline=None)
def test_sum_never_exceeds_the_innermost_calls(
    span: Make, span_rows: Frame, tree: list[tuple[int | None, str, int | None]]
) -> None:
    """Where every innermost call carries its tokens, exactly their sum is counted, and agents elsewhere."""
    tree = [(parent, kind, 10 if kind in {"LLM", "EMBEDDING"} else None) for parent, kind, _ in tree]
    calls, links = _counted(span, span_rows, tree)
    below = defaultdict(set)
    for row in range(len(tree)):
        above = int(links.parent[row])
        while above >= 0:
            below[above].add(row)
            above = int(links.parent[above])
    generating = {row for row, (_, kind, _) in enumerate(tree) if kind in {"LLM", "EMBEDDING"}}
    innermost = {row for row in generating if not any(tree[under][1] == tree[row][1] for under in below[row])}
    assert calls.filter("is_counted")["input_tokens"].sum() == 10 * len(innermost)
    assert {int(name) for name in calls.filter("is_call")["span_id"]} == innermost
