"""What makes a call an attempt: errors, finish reasons, failed validations; and what does not: a loop with tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

Row = dict[str, Any]
Make = Callable[..., Row]
Chains = Callable[..., pl.DataFrame]

USED = {"input_tokens": 100, "output_tokens": 10}
ROOT = ("r", None, "AGENT", 0, 99)


def _reasons(chains: pl.DataFrame) -> dict[str, str | None]:
    return dict(chains.select("span_id", "reason").iter_rows())


def _two_calls(span: Make, *between: Row, first: Row | None = None, second: Row | None = None) -> list[Row]:
    return [
        span(*ROOT),
        span("a", "r", "LLM", 1, 2, **(USED | (first or {}))),
        *between,
        span("b", "r", "LLM", 5, 6, **(USED | (second or {}))),
    ]


@pytest.mark.parametrize(
    ("between", "more"),
    [
        pytest.param("EVALUATOR", {"status_code": "ERROR"}, id="evaluator"),
        pytest.param("GUARDRAIL", {"status_code": "ERROR"}, id="guardrail"),
        pytest.param("GUARDRAIL", {"guardrail_result": "blocked"}, id="guardrail's result"),
        pytest.param("CHAIN", {"status_code": "ERROR", "name": "PydanticOutputParser"}, id="output parser"),
        pytest.param("CHAIN", {"status_code": "ERROR", "name": "validate_order"}, id="validator"),
        pytest.param("TOOL", {"status_code": "ERROR", "error_type": "ValidationError"}, id="tool arguments"),
    ],
)
def test_failed_validation_span_makes_a_repair(span: Make, chains: Chains, between: str, more: Row) -> None:
    """A validation span that failed between two calls of a step makes the second a schema repair."""
    rows = _two_calls(span, span("v", "r", between, 3, 4, **more))
    assert _reasons(chains(rows)) == {"a": None, "b": "schema_repair"}


@pytest.mark.parametrize(
    ("between", "more"),
    [
        pytest.param("EVALUATOR", {}, id="passed evaluator"),
        pytest.param("GUARDRAIL", {"guardrail_result": "success"}, id="passed guardrail"),
        pytest.param("CHAIN", {"status_code": "ERROR", "name": "load_customer"}, id="chain of another name"),
        pytest.param("CHAIN", {"name": "validate_order"}, id="passed validator"),
        pytest.param("TOOL", {}, id="tool"),
        pytest.param("TOOL", {"status_code": "ERROR", "error_type": "TimeoutError"}, id="broken tool"),
        pytest.param("TOOL", {"status_code": "ERROR"}, id="failed tool"),
    ],
)
def test_what_failed_no_validation_makes_none(span: Make, chains: Chains, between: str, more: Row) -> None:
    """A loop of model and tool, also one whose tool broke, and checks that passed, are no chain."""
    rows = _two_calls(span, span("v", "r", between, 3, 4, **more))
    assert _reasons(chains(rows)) == {"a": None, "b": None}


def test_tool_that_ran_means_that_the_work_went_on(span: Make, evaluation: Make, chains: Chains) -> None:
    """An answer that a validator failed later, and whose tools were run, was not asked for again."""
    failed = [evaluation("JSONValidation", label="fail", span_id="a")]
    assert _reasons(chains(_two_calls(span), failed))["b"] == "schema_repair"
    with_tool = _two_calls(span, span("t", "r", "TOOL", 3, 4))
    assert _reasons(chains(with_tool, failed))["b"] is None
    inside = _two_calls(span, span("t", "a", "TOOL", 1.9, 2))
    assert _reasons(chains(inside, failed))["b"] is None
    one_refused = _two_calls(
        span,
        span("t", "r", "TOOL", 3, 4, status_code="ERROR", error_type="ValidationError"),
        span("u", "r", "TOOL", 3, 4),
    )
    assert _reasons(chains(one_refused))["b"] is None


def test_validator_beside_the_next_call_is_not_what_it_answers(span: Make, chains: Chains) -> None:
    """A judge that runs beside the next call, or fails after it, made nobody ask again, later calls neither."""
    rows = [
        *_two_calls(span, span("e", "r", "EVALUATOR", 2, 7, status_code="ERROR")),
        span("c", "r", "LLM", 8, 9, **USED),
    ]
    assert _reasons(chains(rows)) == {"a": None, "b": None, "c": None}


def test_validation_of_another_step_says_nothing(span: Make, chains: Chains) -> None:
    """A validator under another parent is of another step."""
    rows = _two_calls(
        span,
        span("q", "r", "CHAIN", 3, 4),
        span("c", "q", "LLM", 3, 3.5, **USED),
        span("v", "q", "CHAIN", 3.6, 4, status_code="ERROR", name="validate_order"),
    )
    assert _reasons(chains(rows)) == {"a": None, "b": None, "c": None}


def test_failed_evaluation_of_the_validator_span(span: Make, evaluation: Make, chains: Chains) -> None:
    """A validation result that is written onto the evaluator's span is of the call before it."""
    rows = _two_calls(span, span("v", "r", "EVALUATOR", 3, 4))
    failed = [evaluation("schema_validation", label="fail", span_id="v")]
    assert _reasons(chains(rows, failed))["b"] == "schema_repair"
    other = [evaluation("Groundedness", label="fail", span_id="v")]
    assert _reasons(chains(rows, other))["b"] is None


def test_failed_evaluation_of_any_report_is_of_the_call(span: Make, evaluation: Make, chains: Chains) -> None:
    """A result may name a wrapper of the call, or a report that was merged into it, by span or response id."""
    rows = [
        span(*ROOT),
        span("w", "r", "LLM", 1, 2, **USED, response_id="outer"),
        span("a", "w", "LLM", 1.1, 1.9, **USED, response_id="x"),
        span("b", "r", "LLM", 3, 4, **USED, response_id="y"),
        span("c", "r", "LLM", 3.05, 3.95, **USED, response_id="y", scope_name="other"),
        span("d", "r", "LLM", 5, 6, **USED),
    ]
    for target, expected in (
        ({"span_id": "w"}, "b"),
        ({"response_id": "outer"}, "b"),
        ({"span_id": "c"}, "d"),
        ({"response_id": "y"}, "d"),
    ):
        reasons = _reasons(chains(rows, [evaluation("JSONValidation", label="fail", **target)]))
        assert [name for name, reason in reasons.items() if reason] == [expected]


@pytest.mark.parametrize("reason", ["error", "content_filter"])
def test_finish_reason_that_is_a_failure(span: Make, chains: Chains, reason: str) -> None:
    """Asked again after an answer that broke off or was filtered: a retry, or of another model a fallback."""
    first = {"finish_reasons": [reason]}
    assert _reasons(chains(_two_calls(span, first=first)))["b"] == "retry"
    other = {"request_model": "candidate-model"}
    assert _reasons(chains(_two_calls(span, first=first, second=other)))["b"] == "fallback"
    one_answer_of_two = {"finish_reasons": [reason, "stop"]}
    assert _reasons(chains(_two_calls(span, first=one_answer_of_two)))["b"] is None


def test_cut_off_answer_asked_for_with_more_room(span: Make, chains: Chains) -> None:
    """An answer cut off at its limit is retried by the same model with a larger one, and by nothing else."""
    first = {"finish_reasons": ["length"], "max_tokens": 100}
    assert _reasons(chains(_two_calls(span, first=first, second={"max_tokens": 400})))["b"] == "retry"
    for second in ({"max_tokens": 100}, {}, {"max_tokens": 400, "request_model": "candidate-model"}):
        assert _reasons(chains(_two_calls(span, first=first, second=second)))["b"] is None


def test_facts_of_a_failed_validation_stay(span: Make, evaluation: Make, chains: Chains) -> None:
    """That an answer failed validation is told of the call whether or not it was asked for again."""
    rows = _two_calls(span, span("t", "r", "TOOL", 3, 4))
    told = chains(rows, [evaluation("JSONValidation", label="fail", span_id="a")])
    assert dict(told.select("span_id", "failed_validation").iter_rows()) == {"a": True, "b": False}


def test_embeddings_are_retried_among_themselves(span: Make, chains: Chains) -> None:
    """A failed embedding is answered by the next embedding of the step, not by the next LLM call."""
    rows = [
        span(*ROOT),
        span("a", "r", "EMBEDDING", 1, 2, status_code="ERROR", error_type="RateLimitError"),
        span("b", "r", "LLM", 3, 4, **USED),
        span("c", "r", "EMBEDDING", 5, 6, input_tokens=7),
    ]
    assert _reasons(chains(rows)) == {"a": None, "b": None, "c": "retry"}
