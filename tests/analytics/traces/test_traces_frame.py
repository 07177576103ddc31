"""One row per trace: arm, cohort, latency, errors, and independence of how the rows arrive."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analytics.trace_chains import CHAIN_SUMS

Row = dict[str, Any]
Make = Callable[..., Row]
Frame = Callable[..., pl.DataFrame]

NOON = datetime(2026, 11, 1, 12)


def _rule(name: str) -> Row:
    return {"token_rule": name}


def _rng(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 (a seeded simulation)


def test_columns_and_types(span: Make, evaluation: Make, feedback: Make, frame: Frame) -> None:
    """The frame has its documented columns with their types, also when there are no spans."""
    rows = (
        [evaluation("Safety", span_id="a", label="pass")],
        [feedback("thumbs_down", 1, value=1.0, trace_id="t1")],
    )
    made = frame([span("a", None, "LLM")], *rows)
    assert dict(made.schema) == {
        "trace_id": pl.String(),
        "start_time": pl.Datetime("ns"),
        "end_time": pl.Datetime("ns"),
        "latency_ms": pl.Float64(),
        "cohort": pl.String(),
        "stratum": pl.String(),
        "arm": pl.String(),
        "unit": pl.String(),
        "user_id": pl.String(),
        "conversation_id": pl.String(),
        "services": pl.String(),
        "prompt_version": pl.String(),
        "instrumentation": pl.String(),
        "token_rules": pl.String(),
        "first_model": pl.String(),
        "last_model": pl.String(),
        "llm_calls": pl.Int64(),
        "input_tokens": pl.Int64(),
        "output_tokens": pl.Int64(),
        "cache_read_tokens": pl.Int64(),
        "reasoning_tokens": pl.Int64(),
        "cost_usd": pl.Float64(),
        "priced_tokens": pl.Int64(),
        "unpriced_tokens": pl.Int64(),
        "unpriced_calls": pl.Int64(),
        "unpriced_models": pl.String(),
        "error": pl.Boolean(),
        "tool_errors": pl.Int64(),
        "retries": pl.Int64(),
        "schema_repairs": pl.Int64(),
        "fallbacks": pl.Int64(),
        "missing_root": pl.Boolean(),
        "orphaned_spans": pl.Int64(),
        "dropped_attributes": pl.Int64(),
        **{name: pl.Float64() if name == "chain_extra_cost" else pl.Int64() for name in CHAIN_SUMS},
        "evaluation:Safety": pl.Float64(),
        "outcome:thumbs_down": pl.Float64(),
    }
    empty = frame([], *rows)
    assert (len(empty), dict(empty.schema)) == (0, dict(made.schema))


def test_arm_is_the_first_model_asked(span: Make, frame: Frame) -> None:
    """A candidate's failure that the base rescues is the candidate's trace."""
    spans = [
        span("r", None, "CHAIN", 0, 9),
        span("g", "r", "LLM", 0, 0.5, request_model="router-model", input_tokens=1, output_tokens=1),
        span("a", "r", "LLM", 1, 2, request_model="candidate-model", status_code="ERROR"),
        span("b", "r", "LLM", 3, 4, request_model="base-model", input_tokens=1, output_tokens=1),
    ]
    row = frame(spans).row(0, named=True)
    assert (row["arm"], row["first_model"], row["last_model"]) == ("candidate", "router-model", "base-model")
    assert (row["fallbacks"], row["retries"], row["error"]) == (1, 0, False)


def test_neither_model_is_no_arm(span: Make, frame: Frame) -> None:
    """A trace that asked other models belongs to no arm; a response model alone does not decide."""
    spans = [span("a", None, "LLM", request_model="other", response_model="base-model")]
    assert frame(spans)["arm"].to_list() == [None]


def test_cohort_is_the_roots_then_the_earliest_then_the_resources(span: Make, frame: Frame) -> None:
    """Each source of the cohort gives way to the one before it; without any it is (none)."""
    resources = {"r1": '{"app.cohort": "of-resource"}', "r2": "{}"}
    root = span("r", None, "CHAIN", 1, 9, cohort_value="of-root")
    early = span("a", "r", "CHAIN", 0, 1, cohort_value="of-early")
    late = span("b", "r", "CHAIN", 3, 4, cohort_value="of-late")
    plain_root = root | {"cohort_value": ""}
    for spans, expected in (
        ([late, early, root], "of-root"),
        ([late, early, plain_root], "of-early"),
        ([plain_root], "of-resource"),
        ([plain_root | {"resource_id": "r2"}], "(none)"),
        ([plain_root | {"resource_id": "unseen"}], "(none)"),
    ):
        assert frame(spans, resources=resources)["cohort"].to_list() == [expected]


def test_unit_is_the_user_then_the_conversation_then_the_trace(span: Make, frame: Frame) -> None:
    """What is clustered over is the widest thing known; empty ids are not known."""
    spans = [
        span("a", None, "CHAIN", trace_id="t1", user_id="", conversation_id="c"),
        span("b", "a", "CHAIN", trace_id="t1", user_id="u"),
        span("a", None, "CHAIN", trace_id="t2", conversation_id="c"),
        span("a", None, "CHAIN", trace_id="t3"),
    ]
    assert frame(spans)["unit"].to_list() == ["u", "c", "t3"]


def test_latency_is_the_roots(span: Make, frame: Frame) -> None:
    """A span that outlives its root does not lengthen what the user waited, but ends the trace."""
    spans = [span("r", None, "CHAIN", 0, 2), span("a", "r", "CHAIN", 1, 5)]
    row = frame(spans).row(0, named=True)
    assert (row["latency_ms"], row["missing_root"]) == (2000.0, False)
    assert row["end_time"] == NOON + timedelta(seconds=5)


def test_missing_root_is_flagged(span: Make, frame: Frame) -> None:
    """Where the root is not there, the latency is from the first start to the last end."""
    spans = [span("a", "gone", "CHAIN", 1, 3), span("b", "a", "LLM", 1.5, 4)]
    row = frame(spans).row(0, named=True)
    assert (row["latency_ms"], row["missing_root"], row["error"]) == (3000.0, True, False)


def test_broken_clock_has_no_latency(span: Make, frame: Frame) -> None:
    """A root that ends before it starts has no latency."""
    assert frame([span("a", None, "CHAIN", 2, 1)])["latency_ms"].to_list() == [None]


@pytest.mark.parametrize(
    ("root", "call", "expected"),
    [
        ("ERROR", "UNSET", True),
        ("UNSET", "UNSET", False),
        ("UNSET", "ERROR", True),
        ("OK", "ERROR", False),
        (None, "ERROR", True),
        (None, "UNSET", False),
    ],
)
def test_error_is_the_roots_or_an_unrescued_calls(
    span: Make, frame: Frame, root: str | None, call: str, expected: bool
) -> None:
    """A root that says OK is believed; one that says nothing, or is missing, fails with an unrescued call."""
    spans = [span("a", "r", "LLM", 0, 1, status_code=call)]
    if root is not None:
        spans.append(span("r", None, "CHAIN", 0, 2, status_code=root))
    assert frame(spans)["error"].to_list() == [expected]


def test_top_span_stands_in_for_a_missing_root(span: Make, frame: Frame) -> None:
    """Without a root, a failed span whose parent is missing fails the trace; a failed child does not."""
    assert frame([span("a", "gone", "CHAIN", status_code="ERROR")])["error"].to_list() == [True]
    spans = [span("a", "gone", "CHAIN"), span("b", "a", "TOOL", status_code="ERROR")]
    row = frame(spans).row(0, named=True)
    assert (row["error"], row["tool_errors"]) == (False, 1)


def test_descriptions_are_distinct_and_sorted(span: Make, frame: Frame) -> None:
    """Services, prompts, instrumentations and token rules are listed once each, in order."""
    spans = [
        span(
            "r",
            None,
            "CHAIN",
            0,
            9,
            service_name="web",
            prompt_name="p",
            prompt_version="2",
            dropped_attributes_count=3,
        ),
        span(
            "a",
            "r",
            "LLM",
            1,
            2,
            input_tokens=1,
            output_tokens=1,
            **_rule("rule b"),
            prompt_version="7",
        ),
        span(
            "b",
            "r",
            "LLM",
            3,
            4,
            input_tokens=1,
            output_tokens=1,
            **_rule("rule a"),
            prompt_name="p",
        ),
        span("c", "r", "LLM", 5, 6, input_tokens=1, output_tokens=1, scope_name="s", scope_version=None),
        span(
            "d",
            "r",
            "TOOL",
            7,
            8,
            scope_name="not.a.call",
            **_rule("unused"),
            dropped_attributes_count=None,
        ),
    ]
    row = frame(spans).row(0, named=True)
    assert row["services"] == "assistant,web"
    assert row["prompt_version"] == "@7,p,p@2"
    assert row["instrumentation"] == "instrumentation.openai@1.0,s"
    assert row["token_rules"].split(",") == ["rule a", "rule b"]
    assert row["dropped_attributes"] == 3


def test_cost_is_the_sum_of_priced_calls(span: Make, frame: Frame) -> None:
    """Costs add up, and one call without a price makes the trace's cost unknown and is counted."""
    spans = [
        span("r", None, "CHAIN", 0, 9),
        span("a", "r", "LLM", 1, 2, input_tokens=1_000_000, output_tokens=500_000),
        span("b", "r", "LLM", 3, 4, request_model="candidate-model", input_tokens=0, output_tokens=1_000_000),
    ]
    row = frame(spans).row(0, named=True)
    assert (row["cost_usd"], row["unpriced_calls"], row["unpriced_models"]) == (4.0, 0, None)
    assert (row["priced_tokens"], row["unpriced_tokens"]) == (2_500_000, 0)
    spans.append(span("c", "r", "LLM", 5, 6, request_model="ft:nobody-knows", input_tokens=1, output_tokens=1))
    row = frame(spans).row(0, named=True)
    assert (row["cost_usd"], row["unpriced_calls"], row["input_tokens"]) == (None, 1, 1_000_001)
    assert (row["unpriced_models"], row["priced_tokens"], row["unpriced_tokens"]) == ("ft:nobody-knows", 2_500_000, 2)


def test_only_ended_traces_show(span: Make, frame: Frame) -> None:
    """A trace shows from the instant of its end; a time with an offset means the same instant."""
    spans = [span("a", None, "CHAIN", 0, 1), span("b", None, "CHAIN", 0, 2, trace_id="t2")]
    assert frame(spans, as_of=NOON + timedelta(seconds=1))["trace_id"].to_list() == ["t1"]
    zoned = (NOON + timedelta(seconds=2)).replace(tzinfo=UTC)
    assert frame(spans, as_of=zoned)["trace_id"].to_list() == ["t1", "t2"]


def test_repeated_span_counts_once(span: Make, frame: Frame) -> None:
    """A span that was reported twice, first without its end's values, counts by its last report."""
    spans = [
        span("a", None, "LLM", 0, 1, input_tokens=5, output_tokens=5),
        span("a", None, "LLM", 0, 2, input_tokens=7, output_tokens=7),
    ]
    row = frame(spans).row(0, named=True)
    assert (row["input_tokens"], row["llm_calls"], row["latency_ms"]) == (7, 1, 2000.0)


def test_same_span_ids_in_two_traces_do_not_mix(span: Make, frame: Frame) -> None:
    """Span ids are unique within their trace only."""
    spans = [
        span("a", None, "AGENT", trace_id=trace, input_tokens=tokens, output_tokens=1)
        for trace, tokens in (("t1", 5), ("t2", 7))
    ] + [span("b", "a", "LLM", trace_id="t2", input_tokens=7, output_tokens=1)]
    assert frame(spans)["input_tokens"].to_list() == [5, 7]


@pytest.fixture(scope="session")
def world(span: Make, evaluation: Make, feedback: Make) -> Callable[[int], tuple[list[Row], list[Row], list[Row]]]:
    """A seeded random world of traces with every trouble, its evaluations and its feedback."""

    def make(seed: int) -> tuple[list[Row], list[Row], list[Row]]:
        rng = _rng(seed)
        spans: list[Row] = []
        for number in range(12):
            trace = f"t{number}"
            for place in range(rng.randint(1, 7)):
                kind = rng.choice(["LLM", "LLM", "AGENT", "TOOL", "CHAIN", "EVALUATOR", "EMBEDDING"])
                start = rng.randint(0, 20) / 2
                count = rng.choice([None, 0, 10, 20])
                spans.append(
                    span(
                        f"{number}-{place}",
                        rng.choice([None, "gone", *(f"{number}-{other}" for other in range(7))]),
                        kind,
                        start,
                        start + rng.choice([0, 0.5, 3]),
                        trace_id=trace,
                        status_code=rng.choice(["UNSET", "OK", "ERROR"]),
                        request_model=rng.choice(["base-model", "candidate-model", "other", None]),
                        response_id=rng.choice([None, "x", "y"]),
                        input_tokens=count,
                        output_tokens=count,
                        cohort_value=rng.choice([None, "k1", "k2"]),
                        user_id=rng.choice([None, "u1", "u2"]),
                        conversation_id=rng.choice([None, "c1", "c2"]),
                        service_name=rng.choice(["web", "api"]),
                        prompt_version=rng.choice([None, "1", "2"]),
                    )
                )
        targets = [{"span_id": row["span_id"]} for row in spans] + [
            {"conversation_id": "c1"},
            {"response_id": "y"},
        ]
        evaluations = [
            evaluation(
                rng.choice(["JSONValidation", "Safety"]),
                label=rng.choice(["pass", "fail"]),
                **rng.choice(targets),
            )
            | {"evaluation_id": f"e{number}"}
            for number in range(20)
        ]
        outcomes = [
            feedback(
                "thumbs_down",
                rng.choice([-1, 1, 2, 40]),
                value=float(rng.randint(0, 1)),
                **rng.choice(targets),
            )
            | {"feedback_id": f"f{number}"}
            for number in range(20)
        ]
        return spans, evaluations, outcomes

    return make


@given(seed=st.integers(0, 10**6))
@settings(max_examples=6, deadline=None)
def test_order_of_rows_does_not_matter(
    world: Callable[[int], tuple[list[Row], list[Row], list[Row]]], frame: Frame, seed: int
) -> None:
    """Shuffled spans, evaluations and feedback make the same frame."""
    tables = world(seed)
    rng = _rng(seed)
    shuffled = [rng.sample(rows, len(rows)) for rows in tables]
    assert_frame_equal(frame(*tables), frame(*shuffled), check_exact=True)


@given(seed=st.integers(0, 10**6), parts=st.integers(2, 4))
@settings(max_examples=6, deadline=None)
def test_traces_do_not_depend_on_each_other(
    world: Callable[[int], tuple[list[Row], list[Row], list[Row]]], frame: Frame, seed: int, parts: int
) -> None:
    """Traces split into parts at random and put together again make the same frame."""
    spans, evaluations, outcomes = world(seed)
    rng = _rng(seed)
    part_of = {row["trace_id"]: rng.randrange(parts) for row in spans}
    split = [
        frame([row for row in spans if part_of[row["trace_id"]] == part], evaluations, outcomes)
        for part in range(parts)
    ]
    assert_frame_equal(frame(spans, evaluations, outcomes), pl.concat(split).sort("trace_id"), check_exact=True)
