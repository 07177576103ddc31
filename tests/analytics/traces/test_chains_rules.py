"""The user's rules for chains: groups and reasons that the application's own attributes tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from analytics.chain_rules import ChainRule, rule_attributes

Row = dict[str, Any]
Make = Callable[..., Row]
Chains = Callable[..., pl.DataFrame]

USED = {"input_tokens": 100, "output_tokens": 10}
STEP = ChainRule(group_attribute="app.step.id")
REPAIR = ChainRule(when_attribute="app.reason", equals="repair", reason="schema_repair")


def _told(chains: pl.DataFrame) -> list[tuple[str, str, str | None]]:
    return chains.filter("is_call").select("span_id", "chain_id", "reason").rows()


def test_group_attribute_makes_one_chain(span: Make, chains: Chains) -> None:
    """Calls with one value of the attribute are one chain, those with another or none are not of it."""
    rows = [
        span("r", None, "CHAIN", 0, 99),
        span("q", "r", "CHAIN", 0, 99),
        span("a", "r", "LLM", 1, 2, **USED, chain_attributes=["7"]),
        span("b", "q", "LLM", 3, 4, **USED, chain_attributes=["7"]),
        span("c", "q", "LLM", 5, 6, **USED, chain_attributes=["8"]),
        span("d", "q", "LLM", 7, 8, **USED, chain_attributes=[None]),
        span("e", "q", "LLM", 9, 10, **USED, chain_attributes=[""]),
        span("f", "q", "LLM", 11, 12, **USED, chain_attributes=[""]),
    ]
    assert _told(chains(rows, rules=[STEP])) == [
        ("a", "a", None),
        ("b", "a", "retry"),
        ("c", "c", None),
        ("d", "d", None),
        ("e", "e", None),
        ("f", "f", None),
    ]


def test_stated_reason_answers_the_call_before(span: Make, chains: Chains) -> None:
    """A call that the application calls a repair answers the call before it, though nothing else failed."""
    rows = [
        span("r", None, "CHAIN", 0, 99),
        span("a", "r", "LLM", 1, 2, **USED),
        span("b", "r", "LLM", 3, 4, **USED, chain_attributes=["repair"]),
        span("c", "r", "LLM", 5, 6, **USED, chain_attributes=["next step"]),
    ]
    assert _told(chains(rows, rules=[REPAIR])) == [("a", "a", None), ("b", "a", "schema_repair"), ("c", "c", None)]
    by_pattern = ChainRule(when_attribute="app.reason", matches="^(repair|next)", reason="retry")
    assert [reason for *_, reason in _told(chains(rows, rules=[by_pattern]))] == [None, "retry", "retry"]
    by_presence = ChainRule(when_attribute="app.reason", reason="fallback")
    assert [reason for *_, reason in _told(chains(rows, rules=[by_presence]))] == [None, "fallback", "fallback"]


def test_no_reason_begins_a_chain(span: Make, chains: Chains) -> None:
    """A call that the application calls a step of its own answers no failure; the next one does."""
    rows = [
        span("r", None, "CHAIN", 0, 99),
        span("a", "r", "LLM", 1, 2, status_code="ERROR"),
        span("b", "r", "LLM", 3, 4, **USED, chain_attributes=["new"]),
        span("c", "r", "LLM", 5, 6, **USED),
    ]
    rule = ChainRule(when_attribute="app.reason", equals="new", reason="none")
    assert _told(chains(rows, rules=[rule])) == [("a", "a", None), ("b", "b", None), ("c", "a", "retry")]
    assert _told(chains(rows)) == [("a", "a", None), ("b", "a", "retry"), ("c", "c", None)]


def test_rules_read_wrappers_and_repetitions(span: Make, chains: Chains) -> None:
    """An attribute on the client's span, or on a merged report, is the call's."""
    rows = [
        span("r", None, "CHAIN", 0, 99),
        span("w", "r", "LLM", 1, 2, **USED, chain_attributes=["7", None]),
        span("a", "w", "LLM", 1, 2, **USED, chain_attributes=[None, None]),
        span("b", "r", "LLM", 3, 4, **USED, chain_attributes=[None, None]),
        span("c", "r", "LLM", 3.01, 3.99, **USED, scope_name="other", chain_attributes=["7", "repair"]),
    ]
    rules = [STEP, REPAIR]
    assert rule_attributes(rules) == ("app.step.id", "app.reason")
    assert _told(chains(rows, rules=rules)) == [("a", "a", None), ("b", "a", "schema_repair")]


def test_rules_go_before_gateways_and_in_their_order(span: Make, chains: Chains) -> None:
    """The first rule that holds decides; a rule's group goes before a gateway's."""
    rows = [
        span("r", None, "CHAIN", 0, 99),
        span("a", "r", "LLM", 1, 2, **USED, chain_attributes=["7", "x"], attempt_group="g"),
        span("b", "r", "LLM", 3, 4, **USED, chain_attributes=["8", "x"], attempt_group="g"),
        span("c", "r", "LLM", 5, 6, **USED, chain_attributes=[None, None], attempt_group="g"),
        span("d", "r", "LLM", 7, 8, **USED, chain_attributes=[None, None], attempt_group="g"),
    ]
    first = [STEP, ChainRule(group_attribute="app.other")]
    assert [chain for _, chain, _ in _told(chains(rows, rules=first))] == ["a", "b", "c", "c"]
    second = [ChainRule(group_attribute="app.other"), STEP]
    turned = [row | {"chain_attributes": list(reversed(row.get("chain_attributes") or []))} for row in rows]
    assert [chain for _, chain, _ in _told(chains(turned, rules=second))] == ["a", "a", "c", "c"]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({}, "names neither group_attribute nor when_attribute"),
        ({"when_attribute": "a"}, "go together"),
        ({"group_attribute": "a", "reason": "retry"}, "go together"),
        ({"group_attribute": "a", "equals": "x"}, "give that too"),
        ({"when_attribute": "a", "reason": "retry", "equals": "x", "matches": "x"}, "keep one"),
        ({"when_attribute": "a", "reason": "again"}, "is none of retry, fallback, schema_repair, none"),
        ({"when_attribute": "a", "reason": "retry", "matches": r"(a)\1"}, "not a regular expression"),
    ],
)
def test_rules_that_say_nothing_are_refused(rule: dict[str, str], sentence: str) -> None:
    """A rule without an attribute, without a reason, or with two conditions says what to give."""
    with pytest.raises(ValueError, match=sentence):
        ChainRule(**rule)
