"""ToolSelectionAccuracy: the tools that were chosen against those expected."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from analytics.evaluate.subject import Call, Judgement, Message, NotApplicable, Subject, ToolCall
from analytics.evaluate.tool_selection import ToolRule, ToolSelection, expected_tools


def trace(*steps: tuple[str, ...], expected: Any = None, withheld: bool = False, **fields: Any) -> Subject:
    """A trace whose calls ask for these tools, one call for each step."""
    calls = tuple(
        Call("a" * 32, f"{number:016x}", datetime(2026, 11, 2), withheld=withheld,
             answers=(Message("assistant", "" if names else "Done.", tuple(map(ToolCall, names))),))
        for number, names in enumerate(steps, 1)
    )  # fmt: skip
    return Subject("a" * 32, None, calls, expected=expected, **fields)


@pytest.mark.parametrize(
    ("chosen", "expected", "in_any_order", "exactly"),
    [
        (["search", "refund"], ["search", "refund"], 1.0, 1.0),
        (["refund", "search"], ["search", "refund"], 1.0, 0.0),
        (["search", "search", "refund"], ["search", "refund"], 1.0, 1 / 3),
        (["search"], ["search", "refund"], 0.5, 0.5),
        (["search", "close"], ["search", "refund"], 1 / 3, 0.5),
        ([], ["search"], 0.0, 0.0),
        ([], [], 1.0, 1.0),
        (["search"], [], 0.0, 0.0),
    ],
)
def test_the_score(chosen: list[str], expected: list[str], in_any_order: float, exactly: float) -> None:
    """Shared over all tools, or the common beginning over the longer sequence; the threshold decides, no label."""
    subject = trace(tuple(chosen), (), expected={"tools": expected})
    for order, score in (("any", in_any_order), ("exact", exactly)):
        (found,) = ToolSelection(order=order).evaluate([subject])
        assert isinstance(found, Judgement)
        assert found.score == pytest.approx(score)
        assert found.label is None


def test_the_explanation_names_both() -> None:
    """What was expected and what was chosen."""
    (found,) = ToolSelection().evaluate([trace(("close",), expected={"tool": "refund"})])
    assert isinstance(found, Judgement)
    assert found.explanation == "Expected refund, chosen close."


@pytest.mark.parametrize(
    ("expected", "tools"),
    [
        ({"tool": "a"}, ("a",)),
        ({"expected_tools": ["a", {"name": "b"}]}, ("a", "b")),
        ({"tool_calls": [{"type": "function", "function": {"name": "a", "arguments": "{}"}}]}, ("a",)),
        (["a", "b"], ("a", "b")),
        ({"tools": []}, ()),
        ("It is Bern.", None),
        ({"answer": "Bern"}, None),
        ({"tools": [1]}, None),
        ([], None),
        (None, None),
    ],
)
def test_what_an_item_expects(expected: Any, tools: tuple[str, ...] | None) -> None:
    """Several shapes name tools; an expected answer does not."""
    assert expected_tools(expected) == tools


def test_rules_stand_in_where_no_item_speaks() -> None:
    """The first rule whose attribute fits; the item of a data set goes before it."""
    rules = (
        ToolRule("intent", ("search",), equals="faq"),
        ToolRule("intent", ("refund", "close"), matches="^refund", order="exact"),
        ToolRule("vip", ("search",), equals="true"),
    )
    made = ToolSelection(rules)
    subjects = [
        trace(("search",), attributes={"intent": "faq"}),
        trace(("close", "refund"), attributes={"intent": "refund.part"}),
        trace(("search",), attributes={"vip": True}),
        trace(("search",), attributes={"intent": "faq"}, expected={"tool": "refund"}),
        trace(("search",), attributes={"intent": "other"}),
    ]
    found = list(made.evaluate(subjects))
    assert [answer.score for answer in found[:4] if isinstance(answer, Judgement)] == [1, 0, 1, 0]
    assert found[4] == NotApplicable("no expected tool is known")


def test_without_content_the_tools_that_ran_speak() -> None:
    """Names of TOOL spans need no content; where neither is known nothing is said."""
    expected = {"tool": "search"}
    silent = Call("a" * 32, "b" * 16, datetime(2026, 11, 2))
    ran = Subject("a" * 32, None, (silent,), tools_run=("search",), expected=expected)
    unknown = Subject("a" * 32, None, (silent,), expected=expected)
    cut = trace((), expected=expected, withheld=True)
    first, *others = ToolSelection().evaluate([ran, unknown, cut])
    assert isinstance(first, Judgement)
    assert first.score == 1.0
    assert others == [NotApplicable("which tools were chosen was not recorded")] * 2
