"""Attempt chains: which calls were made because an earlier one failed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from analytics.chains import attempt_chains, chain_counts

Row = dict[str, Any]
Make = Callable[..., Row]
Frame = Callable[..., pl.DataFrame]
Call = tuple[str, float, float, str, str]

NOON = datetime(2026, 11, 1, 12)


def _chains(*calls: Call, step: str | None = "step") -> pl.DataFrame:
    """Chains of calls given as id, start and end in seconds, model, and "ok", "error" or "invalid"."""
    rows = pl.DataFrame(
        {
            "trace_id": ["t"] * len(calls),
            "span_id": [call[0] for call in calls],
            "step_id": pl.Series([step] * len(calls), dtype=pl.String),
            "request_model": [call[3] for call in calls],
            "start_time": pl.Series([NOON + timedelta(seconds=call[1]) for call in calls], dtype=pl.Datetime("ns")),
            "end_time": pl.Series([NOON + timedelta(seconds=call[2]) for call in calls], dtype=pl.Datetime("ns")),
            "is_error": [call[4] == "error" for call in calls],
            "failed_validation": [call[4] == "invalid" for call in calls],
        }
    )
    return attempt_chains(rows)


def _told(chains: pl.DataFrame) -> dict[str, tuple[str, int, str | None]]:
    return {row["span_id"]: (row["chain_id"], row["attempt"], row["reason"]) for row in chains.iter_rows(named=True)}


def test_same_model_after_an_error_is_a_retry() -> None:
    """Two errors and an answer of one model are one chain of three attempts."""
    chains = _chains(("a", 0, 1, "m", "error"), ("b", 1, 2, "m", "error"), ("c", 3, 4, "m", "ok"))
    assert _told(chains) == {"a": ("a", 1, None), "b": ("a", 2, "retry"), "c": ("a", 3, "retry")}
    assert chains["is_last"].to_list() == [False, False, True]


def test_other_model_after_a_failure_is_a_fallback() -> None:
    """Another model after an error, or after an invalid answer, is a fallback."""
    for failure in ("error", "invalid"):
        told = _told(_chains(("a", 0, 1, "candidate", failure), ("b", 1, 2, "base", "ok")))
        assert told["b"] == ("a", 2, "fallback")


def test_same_model_after_an_invalid_answer_is_a_repair() -> None:
    """The same model asked again after its answer failed validation repairs the schema."""
    told = _told(_chains(("a", 0, 1, "m", "invalid"), ("b", 1, 2, "m", "invalid"), ("c", 2, 3, "m", "ok")))
    assert [told[name][2] for name in "abc"] == [None, "schema_repair", "schema_repair"]


def test_calls_without_a_failure_are_steps() -> None:
    """A call after a good one, whatever its model, starts a chain of its own."""
    told = _told(_chains(("a", 0, 1, "m", "ok"), ("b", 1, 2, "m", "ok"), ("c", 2, 3, "n", "ok")))
    assert told == {"a": ("a", 1, None), "b": ("b", 1, None), "c": ("c", 1, None)}


def test_one_failure_is_answered_once() -> None:
    """Only the first call after a failure answers it; the next is a new step."""
    told = _told(_chains(("a", 0, 1, "m", "error"), ("b", 1, 2, "m", "ok"), ("c", 2, 3, "m", "ok")))
    assert told["c"] == ("c", 1, None)


def test_overlapping_call_is_no_attempt() -> None:
    """A call that began before the failed one ended (beyond the tolerance) does not answer it."""
    told = _told(_chains(("a", 0, 1, "m", "error"), ("b", 0.5, 2, "m", "ok")))
    assert told["b"] == ("b", 1, None)
    told = _told(_chains(("a", 0, 1, "m", "error"), ("b", 0.9995, 2, "m", "ok")))
    assert told["b"] == ("a", 2, "retry")


def test_failure_beside_a_good_call_is_retried() -> None:
    """Of two parallel calls one fails and is retried; the good one stays a step."""
    told = _told(_chains(("a", 0, 1, "m", "error"), ("b", 0, 1.5, "m", "ok"), ("c", 2, 3, "m", "ok")))
    assert told == {"a": ("a", 1, None), "b": ("b", 1, None), "c": ("a", 2, "retry")}


def test_parallel_failures_are_each_answered() -> None:
    """Two parallel failures and two later calls make two chains, oldest failure first."""
    told = _told(
        _chains(
            ("a", 0, 1, "m", "error"),
            ("b", 0, 1.2, "m", "error"),
            ("c", 2, 3, "m", "ok"),
            ("d", 2.1, 3, "m", "ok"),
            ("e", 4, 5, "m", "ok"),
        )
    )
    assert (told["c"], told["d"], told["e"]) == (("a", 2, "retry"), ("b", 2, "retry"), ("e", 1, None))


def test_failing_call_of_no_length_does_not_answer_itself() -> None:
    """A call that failed at once is not its own retry, and is retried at the very next instant."""
    told = _told(_chains(("a", 0, 0, "m", "error"), ("b", 0.001, 1, "m", "ok")))
    assert told == {"a": ("a", 1, None), "b": ("a", 2, "retry")}


def test_calls_without_a_parent_form_chains_too() -> None:
    """Calls at the top of a trace share its lack of a parent."""
    told = _told(_chains(("a", 0, 1, "m", "error"), ("b", 1, 2, "m", "ok"), step=None))
    assert told["b"] == ("a", 2, "retry")


def test_different_parents_do_not_mix(span: Make, frame: Frame) -> None:
    """A failure under one parent is not answered by a call under another."""
    spans = [
        span("r", None, "CHAIN", 0, 9),
        span("p", "r", "CHAIN", 0, 1),
        span("q", "r", "CHAIN", 2, 3),
        span("a", "p", "LLM", 0, 1, status_code="ERROR"),
        span("b", "q", "LLM", 2, 3, input_tokens=1, output_tokens=1),
    ]
    assert frame(spans)["retries"].to_list() == [0]


def test_wrapped_attempts_share_the_wrappers_parent(span: Make, frame: Frame) -> None:
    """Where each attempt has an LLM wrapper of its own, the attempts still form one chain."""
    spans = [
        span("r", None, "CHAIN", 0, 9),
        span("w", "r", "LLM", 0, 1, status_code="ERROR"),
        span("a", "w", "LLM", 0, 1, status_code="ERROR"),
        span("x", "r", "LLM", 2, 3, input_tokens=1, output_tokens=1),
        span("b", "x", "LLM", 2, 3, input_tokens=1, output_tokens=1),
    ]
    row = frame(spans).row(0, named=True)
    assert (row["retries"], row["llm_calls"], row["input_tokens"]) == (1, 2, 1)


@pytest.mark.parametrize("link", [{"span_id": "a"}, {"span_id": "a", "trace_id": "t1"}, {"response_id": "x"}])
def test_failed_validation_of_a_call_makes_a_repair(
    span: Make, evaluation: Make, frame: Frame, link: dict[str, str]
) -> None:
    """A failed JSON validation, named by span or response, makes the next call of the model a repair."""
    spans = [
        span("r", None, "CHAIN", 0, 9),
        span("a", "r", "LLM", 0, 1, response_id="x", input_tokens=1, output_tokens=1),
        span("b", "r", "LLM", 2, 3, response_id="y", input_tokens=1, output_tokens=1),
    ]
    row = frame(spans, [evaluation("JSONValidation", label="fail", **link)]).row(0, named=True)
    assert (row["schema_repairs"], row["retries"], row["error"]) == (1, 0, False)


def test_other_evaluators_do_not_make_repairs(span: Make, evaluation: Make, frame: Frame) -> None:
    """A failure that is no validation, a pass, or another trace's span of that id makes no repair."""
    spans = [
        span("r", None, "CHAIN", 0, 9),
        span("a", "r", "LLM", 0, 1, input_tokens=1, output_tokens=1),
        span("b", "r", "LLM", 2, 3, input_tokens=1, output_tokens=1),
    ]
    for other in (
        evaluation("Groundedness", label="fail", span_id="a"),
        evaluation("JSONValidation", label="pass", span_id="a"),
        evaluation("JSONValidation", label="fail", span_id="a", trace_id="other"),
    ):
        assert frame(spans, [other])["schema_repairs"].to_list() == [0]
    named = frame(
        spans, [evaluation("Groundedness", label="fail", span_id="a")], validation_evaluators={"Groundedness"}
    )
    assert named["schema_repairs"].to_list() == [1]


def test_counts_by_trace() -> None:
    """Retries, fallbacks and repairs are counted, and an unrescued last error is told."""
    chains = _chains(
        ("a", 0, 1, "m", "error"),
        ("b", 1, 2, "m", "invalid"),
        ("c", 2, 3, "m", "error"),
        ("d", 3, 4, "n", "error"),
    )
    assert chain_counts(chains).to_dicts() == [
        {"trace_id": "t", "retries": 1, "fallbacks": 1, "schema_repairs": 1, "unrescued": True}
    ]
