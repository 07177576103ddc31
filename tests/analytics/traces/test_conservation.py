"""Nothing is lost or counted twice between spans, calls, chains, traces and cohorts, whatever the traces."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.calls import Account
from analytics.chain_frame import chain_frame
from analytics.chain_rules import ChainRule

Row = dict[str, Any]
Make = Callable[..., Row]
Found = Callable[[list[Row]], Account]
Chains = Callable[..., pl.DataFrame]

KINDS = ("LLM", "LLM", "LLM", "EMBEDDING", "AGENT", "CHAIN", "TOOL", "EVALUATOR", "GUARDRAIL", "OTHER")
MODELS = ("base-model", "candidate-model", "nobody-knows", None)
EXACT = pl.Decimal(38, 12)


@st.composite
def _traces(draw: st.DrawFn) -> list[Row]:
    """Spans of a few traces: random trees (cycles and lost parents too), repeated reports, retries, gateways."""
    seed = draw(st.integers(0, 2**32))
    dice = random.Random(seed)  # noqa: S311 (a test's dice)
    spans = []
    for trace in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1, 14))
        for number in range(size):
            kind = dice.choice(KINDS)
            start = dice.choice((number, dice.randrange(size)))
            failed = dice.random() < 0.3
            told = not failed and dice.random() < 0.8
            spans.append(
                {
                    "trace_id": f"t{trace}",
                    "span_id": f"{number:02}",
                    "parent": dice.choice((None, f"{dice.randrange(size):02}", f"{max(number - 1, 0):02}", "lost")),
                    "kind": kind,
                    "start": start,
                    "end": start + dice.choice((0, 1, 1, 2)),
                    "status_code": "ERROR" if failed else "UNSET",
                    "error_type": dice.choice((None, "RateLimitError", "TimeoutError", "ValidationError")),
                    "request_model": dice.choice(MODELS),
                    "response_id": dice.choice((None, None, None, "x", "y")),
                    "scope_name": dice.choice(("one", "two")),
                    "input_tokens": dice.choice((0, 7, 100, 100)) if told else None,
                    "output_tokens": dice.choice((None, 0, 10, 10)) if told else None,
                    "attempt_group": dice.choice((None, None, None, "g")),
                    "gateway_attempts": dice.choice((None, None, 1, 3)),
                    "gateway_fallback": dice.choice((None, None, True)),
                    "gateway_cache_hit": dice.choice((None, None, None, True)),
                    "finish_reasons": dice.choice((None, ["stop"], ["content_filter"], ["length"])),
                    "max_tokens": dice.choice((None, 10, 20)),
                    "chain_attributes": [dice.choice((None, None, "7")), dice.choice((None, None, "repair", "new"))],
                    "cohort_value": f"cohort-{trace % 2}",
                }
            )
    return spans


def _rows(span: Make, traces: list[Row]) -> list[Row]:
    return [
        span(row["span_id"], row["parent"], row["kind"], row["start"], row["end"], **{
            name: value for name, value in row.items() if name not in {"span_id", "parent", "kind", "start", "end"}
        })
        for row in traces
    ]  # fmt: skip


@given(traces=_traces())
@settings(max_examples=25, deadline=None)
def test_every_span_with_tokens_counts_or_says_why(span: Make, found: Found, traces: list[Row]) -> None:
    """A span that carries tokens is counted, or is named with the reason why not; never both, never neither."""
    rows = _rows(span, traces)
    account = found(rows)
    ids = ["trace_id", "span_id"]
    carrying = {
        (row["trace_id"], row["span_id"]) for row in rows if (row["input_tokens"] or 0) + (row["output_tokens"] or 0)
    }
    counted = account.calls.filter("is_counted").select(ids).rows()
    left_out = account.not_counted.select(ids).rows()
    assert len(set(counted)) == len(counted)
    assert set(left_out) == carrying - set(counted)
    assert len(left_out) == len(set(left_out))
    assert account.not_counted["not_counted_because"].null_count() == 0
    assert account.calls.select(ids).is_unique().all()


@given(traces=_traces())
@settings(max_examples=25, deadline=None)
def test_cost_and_tokens_are_the_same_at_every_level(
    span: Make, chains: Chains, frame: Callable[..., pl.DataFrame], traces: list[Row]
) -> None:
    """By call, by chain, by trace and by cohort the sums agree to the last digit, and unknown stays unknown."""
    rows = _rows(span, traces)
    calls = chains(rows).with_columns(pl.col("cost_usd").cast(EXACT))
    folded = chain_frame(calls)
    measures = ("input_tokens", "output_tokens", "cost_usd")
    by_call = calls.filter("is_counted").group_by("trace_id").agg(pl.col(measures).sum(),
        *(pl.col(name).is_null().any().alias(f"{name}_unknown") for name in measures))  # fmt: skip
    by_chain = folded.group_by("trace_id").agg(pl.col(measures).sum(),
        *(pl.col(name).is_null().any().alias(f"{name}_unknown") for name in measures))  # fmt: skip
    by_trace = frame(rows).select("trace_id", "cohort", *measures)
    nothing = dict.fromkeys(measures, 0) | {f"{name}_unknown": False for name in measures}
    told_by_call = {row["trace_id"]: row for row in by_call.to_dicts()}
    told_by_chain = {row["trace_id"]: row for row in by_chain.to_dicts()}
    assert set(told_by_call) <= set(told_by_chain)
    cohorts: dict[str, list[Any]] = {}
    for row in by_trace.to_dicts():
        if row["trace_id"] not in told_by_chain:
            assert all(row[name] is None for name in measures)
            continue
        call, chain = told_by_call.get(row["trace_id"], nothing), told_by_chain[row["trace_id"]]
        for name in measures:
            assert call[f"{name}_unknown"] == chain[f"{name}_unknown"] == (row[name] is None)
            if row[name] is not None:
                exact = pl.Series([row[name]]).cast(EXACT)[0] if name == "cost_usd" else row[name]
                assert call[name] == chain[name] == exact
                cohorts.setdefault(f"{row['cohort']} {name}", []).append(exact)
    known = {(trace, name) for trace, row in told_by_chain.items() for name in measures if not row[f"{name}_unknown"]}
    for cohort in {row["cohort"] for row in by_trace.to_dicts()}:
        of_cohort = set(by_trace.filter(pl.col("cohort") == cohort)["trace_id"])
        for name in measures:
            chains_of = folded.filter(pl.col("trace_id").is_in([t for t, n in known if n == name and t in of_cohort]))
            assert sum(cohorts.get(f"{cohort} {name}", [])) == (chains_of[name].sum() or 0)


@given(traces=_traces(), shuffled=st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_every_call_is_in_one_chain(span: Make, chains: Chains, traces: list[Row], shuffled: random.Random) -> None:
    """Attempts are numbered without a gap, the first alone has no reason, and the order of rows is no matter."""
    rules = [
        ChainRule(group_attribute="app.step"),
        ChainRule(when_attribute="app.reason", equals="repair", reason="schema_repair"),
        ChainRule(when_attribute="app.reason", equals="new", reason="none"),
    ]
    rows = _rows(span, traces)
    told = chains(rows, rules=rules)
    for chain in told.partition_by("trace_id", "chain_id"):
        calls = chain.filter("is_call").sort("attempt")
        assert calls["attempt"].to_list() == list(range(1, calls.height + 1))
        assert calls["reason"].is_null().to_list() == [number == 0 for number in range(calls.height)]
        assert calls.height == 0 or calls["span_id"][0] == chain["chain_id"][0]
        assert chain["is_last"].any()
    assert told["hidden_attempts"].min() is None or told["hidden_attempts"].min() >= 0
    shuffled.shuffle(rows)
    assert chains(rows, rules=rules).equals(told)
