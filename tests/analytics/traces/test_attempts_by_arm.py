"""How an arm's attempt chains went, and what their attempts cost that came to nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from analytics.chain_frame import chain_frame
from analytics.evidence.attempts import attempts_by_arm
from analytics.report.evidence import Attempts
from analytics.trace_chains import chain_sums

Row = dict[str, Any]
Make = Callable[..., Row]
Chains = Callable[..., pl.DataFrame]

USED = {"input_tokens": 1_000_000, "output_tokens": 0}  # of either model: 1 USD
FAILED = {"status_code": "ERROR", "error_type": "RateLimitError"}
BROKEN = {"status_code": "ERROR", "error_type": "ReadTimeout"}


def _ended(**weights: float) -> pl.DataFrame:
    """Traces of one arm by their weights."""
    return pl.DataFrame(
        [(trace, "refunds", "base", weight) for trace, weight in weights.items()],
        schema={"trace_id": pl.String, "cohort": pl.String, "arm": pl.String, "weight": pl.Float64},
        orient="row",
    )


def _one(calls: pl.DataFrame, **weights: float) -> Attempts:
    (found,) = _by_arm(calls, _ended(**(weights or {"t1": 1.0})))
    return found


def _by_arm(calls: pl.DataFrame, ended: pl.DataFrame) -> tuple[Attempts, ...]:
    """The chains of traces that are joined with their sums, as the rows of traces have them."""
    return attempts_by_arm(ended.join(chain_sums(calls), on="trace_id", how="left").fill_null(0))


def test_chains_by_hand(span: Make, chains: Chains) -> None:
    """A retry after an error, a repair of an answer, a fallback that failed too, and a call that was enough."""
    rows = [
        span("r1", None, "AGENT", 0, 99),
        span("a", "r1", "LLM", 1, 2, **USED, **FAILED),
        span("b", "r1", "LLM", 3, 4, **USED),
        span("v", "r1", "CHAIN", 4, 5, status_code="ERROR", name="validate"),
        span("c", "r1", "LLM", 6, 7, **USED),
        span("r2", None, "AGENT", 0, 99, trace_id="t2"),
        span("d", "r2", "LLM", 1, 2, trace_id="t2", **FAILED),
        span("e", "r2", "LLM", 3, 4, trace_id="t2", request_model="candidate-model", **BROKEN),
        span("r3", None, "AGENT", 0, 99, trace_id="t3"),
        span("f", "r3", "LLM", 1, 2, trace_id="t3", **USED),
        span("r4", None, "AGENT", 0, 99, trace_id="t4"),
        span("g", "r4", "LLM", 1, 2, trace_id="t4", **USED),
        span("x", None, "LLM", 1, 2, trace_id="of no arm", **USED),
    ]
    found = _one(chains(rows), t1=1.0, t2=1.0, t3=1.0, t4=1.0)
    # The first chain paid for two attempts before its last; of the second, the provider rejected the first.
    assert found == Attempts(
        "refunds", "base", 4, attempts=7 / 4, retried=1, repaired=1, fell_back=1, rescued=1, failed=1,
        extra_cost=0.5, unpriced=0, retry_rate=0.25, repair_rate=0.25, fallback_rate=0.25, rescue_rate=0.25,
        failure_rate=0.25,
    )  # fmt: skip


def test_chains_of_weighted_traces(span: Make, chains: Chains) -> None:
    """Counts are of what is stored, shares and means of what the traces stand for."""
    rows = [
        span("a", None, "LLM", 1, 2, **USED, **FAILED),
        span("b", None, "LLM", 3, 4, **USED),
        span("c", None, "LLM", 1, 2, trace_id="t2", **USED),
    ]
    found = _one(chains(rows), t1=1.0, t2=9.0)
    assert (found.chains, found.retried, found.retry_rate, found.rescue_rate) == (2, 1, 0.1, 0.1)
    assert (found.attempts, found.extra_cost) == (1.1, 0.1)


def test_what_attempts_cost_is_not_made_up(span: Make, chains: Chains) -> None:
    """An interrupted call may have been billed; one of two chains that tells gives the least, none nothing."""
    unknown = [span("a", None, "LLM", 1, 2, **BROKEN), span("b", None, "LLM", 3, 4, **USED)]
    found = _one(chains(unknown))
    assert (found.chains, found.retried, found.extra_cost, found.unpriced) == (1, 1, None, 1)
    known = [
        span("c", None, "LLM", 1, 2, trace_id="t2", **USED, **FAILED),
        span("d", None, "LLM", 3, 4, trace_id="t2", **USED),
    ]
    found = _one(chains(unknown + known), t1=1.0, t2=1.0)
    assert (found.extra_cost, found.unpriced) == (0.5, 1)
    alone = _one(chains([span("e", None, "LLM", 1, 2)]))
    assert (alone.extra_cost, alone.unpriced) == (0.0, 0)


@pytest.mark.parametrize(
    ("more", "retried", "fell_back"),
    [({"gateway_attempts": 3}, 1, 0), ({"gateway_attempts": 2, "gateway_fallback": True}, 0, 1)],
    ids=["retries", "a fallback"],
)
def test_hidden_attempts_count_and_cost_what_nobody_knows(
    span: Make, chains: Chains, more: Row, retried: int, fell_back: int
) -> None:
    """Attempts that a gateway tells only the number of are attempts of unknown cost."""
    found = _one(chains([span("a", None, "LLM", 1, 2, **USED, **more)]))
    assert (found.attempts, found.retried, found.fell_back) == (more["gateway_attempts"], retried, fell_back)
    assert (found.rescued, found.extra_cost, found.unpriced) == (1, None, 1)


def test_calls_that_an_agent_counts_for(span: Make, chains: Chains) -> None:
    """Where only the agent above tells tokens nobody knows what the failed attempt cost."""
    rows = [
        span("r", None, "AGENT", 0, 9, input_tokens=2_000_000, output_tokens=0, request_model="base-model"),
        span("a", "r", "LLM", 1, 2, status_code="ERROR"),
        span("b", "r", "LLM", 3, 4),
    ]
    found = _one(chains(rows))
    assert (found.chains, found.retried, found.extra_cost, found.unpriced) == (1, 1, None, 1)


def test_arms_and_cohorts_apart_and_agreeing_with_chains(span: Make, chains: Chains) -> None:
    """Chains go to their trace's arm; what is told of them is what the rows of chains tell."""
    rows = []
    for number in range(60):
        trace = f"t{number}"
        rows.append(span(f"r{number}", None, "AGENT", 0, 99, trace_id=trace))
        for attempt in range(1 + number % 4):
            ends = {} if attempt == number % 4 and number % 5 else FAILED
            model = "candidate-model" if attempt == 2 else "base-model"
            rows.append(
                span(f"{number}-{attempt}", f"r{number}", "LLM", 2 * attempt, 2 * attempt + 1, trace_id=trace,
                     request_model=model, **USED, **ends)
            )  # fmt: skip
    calls = chains(rows)
    ended = _ended(**{f"t{number}": 1.0 for number in range(60)}).with_columns(
        arm=pl.Series(["base", "candidate"] * 30), cohort=pl.Series(["a"] * 30 + ["b"] * 30)
    )
    found = _by_arm(calls, ended)
    assert [(each.cohort, each.arm) for each in found] == [
        ("a", "base"), ("a", "candidate"), ("b", "base"), ("b", "candidate"),
    ]  # fmt: skip
    folded = chain_frame(calls).join(ended, on="trace_id")
    for each in found:
        own = folded.filter(cohort=each.cohort, arm=each.arm)
        assert each.chains == own.height == 15
        assert each.attempts == pytest.approx(own["attempts"].mean())
        assert (each.retried, each.fell_back) == ((own["retries"] > 0).sum(), (own["fallbacks"] > 0).sum())
        assert (each.rescued, each.failed) == (own["is_rescued"].sum(), own["is_error"].sum())
        assert each.extra_cost == pytest.approx(float(own["attempts"].sum() - own.height) / own.height)
    assert _by_arm(calls.sample(fraction=1.0, shuffle=True, seed=1), ended.reverse()) == found
    assert _by_arm(calls.clear(), ended) == ()
