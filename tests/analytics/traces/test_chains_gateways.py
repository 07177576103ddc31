"""Chains that gateways make: attempts below one client call, groups, and attempts that only a number tells of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from analytics.chain_frame import chain_frame
from analytics.chains import chain_counts

Row = dict[str, Any]
Make = Callable[..., Row]
Chains = Callable[..., pl.DataFrame]

USED = {"input_tokens": 100, "output_tokens": 10}
FAILED = {"status_code": "ERROR", "error_type": "RateLimitError"}
GATEWAY = {"service_name": "gateway", "scope_name": "litellm"}


def _client(span: Make, name: str, start: float, *attempts: Row, **more: object) -> list[Row]:
    """A client's call from ``start`` for 8 s, the gateway's request span, and the attempts below that."""
    below = [attempt | {"parent_span_id": f"{name}-server"} for attempt in attempts]
    return [
        span(name, "r", "LLM", start, start + 8, **more),
        span(f"{name}-server", name, "OTHER", start + 0.5, start + 7.5, request_model=None, service_name="gateway"),
        *below,
    ]


def test_attempts_below_a_client_call_are_its_chain(span: Make, chains: Chains) -> None:
    """The attempts are the chain, the client's call is the wrapper; its user waited for the wrapper."""
    rows = [
        span("r", None, "AGENT", 0, 99),
        *_client(
            span,
            "w",
            1,
            span("a", None, "LLM", 2, 3, **FAILED, **GATEWAY),
            span("b", None, "LLM", 3, 4, **FAILED, **GATEWAY),
            span("c", None, "LLM", 5, 8, **USED, **GATEWAY, request_model="candidate-model"),
            **USED,
        ),
    ]
    (row,) = chain_frame(chains(rows)).to_dicts()
    assert (row["attempts"], row["retries"], row["fallbacks"], row["latency_ms"]) == (3, 1, 1, 8000.0)
    assert (row["started_model"], row["answered_model"], row["step_id"]) == ("base-model", "candidate-model", "r")
    assert (row["input_tokens"], row["is_rescued"], row["is_error"]) == (100, True, False)


def test_application_retries_after_the_gateway_gave_up(span: Make, chains: Chains) -> None:
    """Two client calls, the first with two failed attempts, are one chain across their wrappers."""
    rows = [
        span("r", None, "AGENT", 0, 99),
        *_client(
            span,
            "w",
            1,
            span("a", None, "LLM", 2, 3, **FAILED, **GATEWAY),
            span("b", None, "LLM", 4, 5, **FAILED, **GATEWAY),
            **FAILED,
        ),
        *_client(span, "x", 20, span("c", None, "LLM", 21, 22, **USED, **GATEWAY), **USED),
    ]
    (row,) = chain_frame(chains(rows)).to_dicts()
    assert (row["attempts"], row["retries"], row["latency_ms"]) == (3, 2, 27000.0)


def test_parallel_client_calls_keep_their_attempts(span: Make, chains: Chains) -> None:
    """Each of two client calls at once is answered by its own second attempt, not by the other's."""
    rows = [
        span("r", None, "AGENT", 0, 99),
        *_client(
            span,
            "w",
            1,
            span("a", None, "LLM", 2, 4, **FAILED, **GATEWAY),
            span("b", None, "LLM", 5, 6, **USED, **GATEWAY),
            **USED,
        ),
        *_client(
            span,
            "x",
            1,
            span("c", None, "LLM", 2, 3, **FAILED, **GATEWAY),
            span("d", None, "LLM", 6, 7, **USED, **GATEWAY),
            **USED,
        ),
    ]
    assert dict(chains(rows).filter("is_call").select("span_id", "chain_id").iter_rows()) == {
        "a": "a",
        "b": "a",
        "c": "c",
        "d": "c",
    }


def test_wrapper_of_several_steps_lends_none_its_time(span: Make, chains: Chains) -> None:
    """An LLM span around a loop of calls is no client of one chain: each step lasts as long as its call."""
    rows = [
        span("w", None, "LLM", 0, 50, **USED),
        span("a", "w", "LLM", 1, 2, **USED),
        span("t", "w", "TOOL", 3, 4),
        span("b", "w", "LLM", 5, 6, **USED),
    ]
    assert chain_frame(chains(rows))["latency_ms"].to_list() == [1000.0, 1000.0]


@pytest.mark.parametrize("parent", ["r", "q"])
def test_attempt_group_is_one_chain_whatever_the_structure(span: Make, chains: Chains, parent: str) -> None:
    """Calls of one trace with one attempt group are attempts, also where none failed visibly or they overlap."""
    rows = [
        span("r", None, "AGENT", 0, 99),
        span("q", "r", "CHAIN", 0, 99),
        span("a", "r", "LLM", 1, 4, **USED, attempt_group="g"),
        span("b", parent, "LLM", 3, 5, **USED, attempt_group="g"),
        span("c", parent, "LLM", 6, 7, **USED, attempt_group="g", request_model="candidate-model"),
        span("d", parent, "LLM", 8, 9, **USED, attempt_group="h"),
    ]
    told = chains(rows).select("span_id", "chain_id", "attempt", "reason").rows()
    assert told == [("a", "a", 1, None), ("b", "a", 2, "retry"), ("c", "a", 3, "fallback"), ("d", "d", 1, None)]


def test_attempt_groups_of_two_traces_do_not_mix(span: Make, chains: Chains) -> None:
    """The same group in another trace is another chain."""
    rows = [
        span("a", None, "LLM", 1, 2, **USED, attempt_group="g"),
        span("b", None, "LLM", 3, 4, **USED, attempt_group="g", trace_id="t2"),
    ]
    assert chains(rows)["reason"].to_list() == [None, None]


def test_stated_attempts_are_hidden_attempts(span: Make, chains: Chains) -> None:
    """A gateway that made three attempts behind one span made two that nobody sees."""
    rows = [span("a", None, "LLM", 1, 2, **USED, gateway_attempts=3)]
    told = chains(rows)
    assert told.select("hidden_attempts", "hidden_fallback").rows() == [(2, False)]
    assert chain_frame(told).select("attempts", "retries", "fallbacks", "is_rescued").rows() == [(3, 2, 0, True)]
    assert chain_counts(told).select("retries", "fallbacks").rows() == [(2, 0)]
    first_answered = chains([span("a", None, "LLM", 1, 2, **USED, gateway_attempts=1)])
    assert first_answered["hidden_attempts"].to_list() == [0]


def test_stated_fallback_is_a_hidden_fallback(span: Make, chains: Chains) -> None:
    """Another model answered than was asked: one hidden attempt at least, and the answer's model is told."""
    rows = [
        span("a", None, "LLM", 1, 2, **USED, gateway_fallback=True, response_model="candidate-model-2026-01-01"),
    ]
    told = chains(rows)
    assert told.select("hidden_attempts", "hidden_fallback").rows() == [(1, True)]
    (row,) = chain_frame(told).to_dicts()
    assert (row["started_model"], row["answered_model"]) == ("base-model", "candidate-model-2026-01-01")
    assert (row["attempts"], row["retries"], row["fallbacks"]) == (2, 0, 1)


def test_attempts_that_have_spans_are_not_hidden(span: Make, chains: Chains) -> None:
    """A client's span tells three attempts and a fallback; two are seen below it: one is hidden."""
    rows = [
        span("r", None, "AGENT", 0, 99),
        *_client(
            span,
            "w",
            1,
            span("a", None, "LLM", 2, 3, **FAILED, **GATEWAY),
            span("b", None, "LLM", 5, 6, **USED, **GATEWAY, request_model="candidate-model"),
            **USED,
            gateway_attempts=3,
            gateway_fallback=True,
        ),
    ]
    told = chains(rows)
    assert told.filter("is_call").select("span_id", "hidden_attempts", "hidden_fallback").rows() == [
        ("a", 0, False),
        ("b", 1, False),
    ]
    assert chain_frame(told).select("attempts", "retries", "fallbacks").rows() == [(3, 1, 1)]


def test_gateway_names_the_fallback_among_its_attempts(span: Make, chains: Chains) -> None:
    """A span per attempt, the last two marked as fallbacks under one model's name: one fallback, none hidden."""
    attempt = {"attempt_group": "request-1"}
    rows = [
        span("a", None, "LLM", 1, 2, **FAILED, **GATEWAY, **attempt),
        span("b", None, "LLM", 3, 4, **FAILED, **GATEWAY, **attempt, gateway_fallback=True),
        span("c", None, "LLM", 5, 6, **USED, **GATEWAY, **attempt, gateway_fallback=True),
    ]
    told = chains(rows)
    assert told["reason"].to_list() == [None, "fallback", "retry"]
    assert told.select("hidden_attempts", "hidden_fallback").unique().rows() == [(0, False)]


def test_client_and_gateway_tell_the_same_attempts(span: Make, chains: Chains) -> None:
    """What the gateway's span and its client's copy of the header both say counts once."""
    rows = [
        span("w", None, "LLM", 1, 9, **USED, gateway_attempts=3),
        span("a", "w", "LLM", 2, 8, **USED, **GATEWAY, gateway_attempts=3),
    ]
    assert chains(rows).filter("is_call")["hidden_attempts"].to_list() == [2]


def test_wrapper_that_counts_is_in_its_calls_chain(span: Make, chains: Chains) -> None:
    """Where only the client's span tells usage, its tokens and cost are those of the attempts' chain."""
    rows = [
        span("r", None, "AGENT", 0, 99),
        *_client(
            span,
            "w",
            1,
            span("a", None, "LLM", 2, 3, **FAILED, **GATEWAY),
            span("b", None, "LLM", 5, 6, **GATEWAY),
            **USED,
        ),
    ]
    told = chains(rows)
    assert dict(told.select("span_id", "chain_id").iter_rows()) == {"w": "a", "a": "a", "b": "a"}
    (row,) = chain_frame(told).to_dicts()
    assert (row["attempts"], row["input_tokens"], row["retries"]) == (2, 100, 1)
