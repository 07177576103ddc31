"""One row per chain: who began, who answered, what it took and what it cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from analytics.chain_frame import CHAIN_COLUMNS, chain_frame

Row = dict[str, Any]
Make = Callable[..., Row]
Chains = Callable[..., pl.DataFrame]

USED = {"input_tokens": 100, "output_tokens": 10}


def _rows(chains: pl.DataFrame) -> list[Row]:
    return chain_frame(chains).to_dicts()


def test_rescued_chain(span: Make, chains: Chains) -> None:
    """An error, an invalid answer and another model's answer are one chain, as long as its user waited."""
    rows = [
        span("r", None, "AGENT", 0, 99),
        span("a", "r", "LLM", 1, 2, status_code="ERROR", error_type="RateLimitError"),
        span("b", "r", "LLM", 3, 4, **USED),
        span("v", "r", "CHAIN", 4, 5, status_code="ERROR", name="validate"),
        span("c", "r", "LLM", 6, 8.5, input_tokens=200, output_tokens=20, request_model="candidate-model"),
        span("d", "r", "LLM", 10, 11, **USED),
    ]
    first, second = _rows(chains(rows))
    assert first | {"cost_usd": float(first["cost_usd"])} == {
        "trace_id": "t1",
        "chain_id": "a",
        "step_id": "r",
        "service_name": "assistant",
        "gen_ai_span_kind": "LLM",
        "started_model": "base-model",
        "answered_model": "candidate-model",
        "attempts": 3,
        "retries": 1,
        "schema_repairs": 0,
        "fallbacks": 1,
        "start_time": rows[1]["start_time"],
        "end_time": rows[4]["end_time"],
        "latency_ms": 7500.0,
        "input_tokens": 300,
        "output_tokens": 30,
        "cost_usd": pytest.approx((300 * 1 + 30 * 2) / 1e6),
        "is_error": False,
        "is_rescued": True,
    }
    assert (second["attempts"], second["is_rescued"], second["answered_model"]) == (1, False, "base-model")


def test_chain_that_failed_to_the_end(span: Make, chains: Chains) -> None:
    """Nobody answered, and nothing was used: that is known, not unknown."""
    failed = {"status_code": "ERROR", "error_type": "RateLimitError"}
    rows = [span("r", None, "AGENT"), span("a", "r", "LLM", 1, 2, **failed), span("b", "r", "LLM", 3, 4, **failed)]
    (row,) = _rows(chains(rows))
    assert (row["is_error"], row["is_rescued"], row["answered_model"]) == (True, False, None)
    assert (row["input_tokens"], row["output_tokens"], row["cost_usd"]) == (0, 0, 0)


def test_last_answer_that_failed_validation_is_no_rescue(span: Make, evaluation: Make, chains: Chains) -> None:
    """Asked twice, invalid twice: no error, but no rescue either."""
    rows = [span("r", None, "AGENT"), span("a", "r", "LLM", 1, 2, **USED), span("b", "r", "LLM", 3, 4, **USED)]
    failed = [evaluation("JSONValidation", label="fail", span_id=name) for name in "ab"]
    (row,) = _rows(chains(rows, failed))
    assert (row["schema_repairs"], row["is_error"], row["is_rescued"]) == (1, False, False)


def test_unknown_of_one_call_is_unknown_of_the_chain(span: Make, chains: Chains) -> None:
    """A timed-out attempt may have been billed: the chain's tokens and cost are unknown; so is an unpriced model's."""
    rows = [
        span("r", None, "AGENT"),
        span("a", "r", "LLM", 1, 2, status_code="ERROR", error_type="APITimeoutError"),
        span("b", "r", "LLM", 3, 4, **USED),
        span("c", "r", "LLM", 5, 6, **USED, request_model="nobody-knows"),
    ]
    first, second = _rows(chains(rows))
    assert (first["input_tokens"], first["cost_usd"], first["attempts"]) == (None, None, 2)
    assert (second["input_tokens"], second["cost_usd"]) == (100, None)


def test_agent_that_alone_tells_usage(span: Make, chains: Chains) -> None:
    """A sum is no attempt: how many calls it stands for is not known."""
    rows = [span("a", None, "AGENT", 0, 9, input_tokens=300, output_tokens=30, request_model="base-model")]
    (row,) = _rows(chains(rows))
    assert (row["attempts"], row["retries"], row["input_tokens"], row["started_model"]) == (None, 0, 300, "base-model")


def test_snapshot_name_is_no_other_model(span: Make, chains: Chains) -> None:
    """Where no gateway says otherwise, the model that answered is named as it was asked for."""
    rows = [span("a", None, "LLM", 0, 1, **USED, response_model="base-model-2026-01-01")]
    (row,) = _rows(chains(rows))
    assert (row["started_model"], row["answered_model"]) == ("base-model", "base-model")


def test_clocks_that_disagree_make_no_latency(span: Make, chains: Chains) -> None:
    """A call that ended before it began has no latency."""
    (row,) = _rows(chains([span("a", None, "LLM", 5, 1, **USED)]))
    assert row["latency_ms"] is None


def test_no_calls_no_chains(span: Make, chains: Chains) -> None:
    """Without a call there is no chain, but all columns."""
    found = chain_frame(chains([span("a", None, "CHAIN")]))
    assert (found.height, found.columns) == (0, list(CHAIN_COLUMNS))
