"""What spans are of the work: planner, retrieval, tool, answer, repair, and what lies below them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from analytics.steps import STEP_LIMIT, Steps

NOON = datetime(2026, 11, 1, 12)
Row = dict[str, Any]
StepsOf = Callable[..., Steps]


def span(span_id: str, parent: str | None, kind: str | None, start: float, end: float, **more: Any) -> Row:
    """One span of the trace t, from and to so many seconds after noon."""
    model = {"request_model": "m0", "input_tokens": 10, "output_tokens": 5} if kind == "LLM" else {}
    return {
        "trace_id": "t", "span_id": span_id, "parent_span_id": parent, "gen_ai_span_kind": kind, "name": span_id,
        "start_time": NOON + timedelta(seconds=start), "end_time": NOON + timedelta(seconds=end),
        "status_code": "UNSET", "service_name": "desk", "resource_id": "r", "scope_name": "app",
        "dropped_attributes_count": 0, **model, **more,
    }  # fmt: skip


def named(steps: Steps) -> dict[str, str]:
    """Step → stage, in order."""
    return steps.stages


def of(steps: Steps, step: str) -> Row:
    """The row of one step of the only trace."""
    return steps.by_trace.row(by_predicate=pl.col("step") == step, named=True)


def test_places_of_calls(steps_of: StepsOf) -> None:
    """A call that asks for tools plans, the last answers, and one that answers a failed validation repairs."""
    steps = steps_of(
        [
            span("root", None, None, 0, 10),
            span("find", "root", "RETRIEVER", 0, 1),
            span("a", "root", "LLM", 1, 2, finish_reasons=["tool_calls"]),
            span("execute_tool lookup", "root", "TOOL", 2, 3, tool_name="lookup", status_code="ERROR"),
            span("b", "root", "LLM", 3, 6, finish_reasons=["length"]),
            span("c", "root", "LLM", 6, 8),
        ],
        [{"evaluation_id": "e", "event_time": NOON, "trace_id": "t", "span_id": "b", "name": "JSONValidation",
          "label": "fail"}],
    )  # fmt: skip
    assert list(named(steps).items()) == [
        ("application", "other"), ("retrieval find", "retrieval"), ("planner", "planner"), ("tool lookup", "tool"),
        ("answer", "answer"), ("repair", "repair"),
    ]  # fmt: skip
    assert of(steps, "tool lookup")["errors"] == 1
    assert of(steps, "answer")["cut_off"] == 1
    assert steps.judgements.rows() == [("t", "answer", "JSONValidation", True)]


def test_call_before_a_search_plans(steps_of: StepsOf) -> None:
    """What writes the query of a search decides what is looked up."""
    steps = steps_of(
        [span("root", None, None, 0, 9), span("a", "root", "LLM", 0, 1), span("find", "root", "RETRIEVER", 1, 2),
         span("b", "root", "LLM", 2, 3)]
    )  # fmt: skip
    assert list(named(steps)) == ["application", "planner", "retrieval find", "answer"]


def test_other_calls_go_by_the_span_around_them(steps_of: StepsOf) -> None:
    """A pipeline of calls keeps the names of its parts."""
    steps = steps_of(
        [span("root", None, None, 0, 9), span("draft", "root", "CHAIN", 0, 2), span("a", "draft", "LLM", 0, 2),
         span("b", "root", "LLM", 3, 5)]
    )  # fmt: skip
    assert list(named(steps)) == ["application", "call draft", "answer"]


def test_agents_are_told_apart(steps_of: StepsOf) -> None:
    """Where several agents work, each has its planner and its answer; a tool's own calls are the tool's."""
    steps = steps_of(
        [
            span("root", None, None, 0, 20),
            span("triage", "root", "AGENT", 0, 3, agent_name="triage"),
            span("a", "triage", "LLM", 0, 3),
            span("refunds", "root", "AGENT", 4, 20, agent_name="refunds"),
            span("b", "refunds", "LLM", 4, 6, finish_reasons=["tool_calls"]),
            span("rate", "refunds", "TOOL", 6, 9, tool_name="rate"),
            span("c", "rate", "LLM", 6, 8),
            span("d", "refunds", "LLM", 9, 12),
        ]
    )
    assert list(named(steps)) == [
        "application", "planner of triage", "planner of refunds", "tool rate", "answer of refunds"
    ]  # fmt: skip
    tool = of(steps, "tool rate")
    assert (tool["calls"], tool["input_tokens"], tool["own_ms"]) == (1, 10, 3000.0)


def test_attempts_are_one_step(steps_of: StepsOf) -> None:
    """A call that is made again after an error is the same step, tried again."""
    steps = steps_of(
        [span("root", None, None, 0, 9), span("a", "root", "LLM", 0, 1, status_code="ERROR"),
         span("b", "root", "LLM", 1, 3)]
    )  # fmt: skip
    answer = of(steps, "answer")
    assert (answer["calls"], answer["errors"], answer["retries"]) == (2, 1, 1)


def test_wrappers_and_requests_belong_to_their_call(steps_of: StepsOf) -> None:
    """What repeats a call above it, and the transport below it, is no step of its own."""
    steps = steps_of(
        [span("root", None, None, 0, 9), span("outer", "root", "LLM", 0, 6), span("inner", "outer", "LLM", 1, 5),
         span("POST", "inner", None, 2, 4)]
    )  # fmt: skip
    assert set(named(steps)) == {"application", "answer"}
    answer = of(steps, "answer")
    assert (answer["calls"], answer["own_ms"], answer["input_tokens"]) == (1, 6000.0, 10)


def test_searches_that_list_documents_find_none_where_they_list_none(steps_of: StepsOf) -> None:
    """A retriever that tells documents elsewhere found nothing where it tells none; one that never does is unknown."""
    rows = [
        span("root", None, None, 0, 9),
        span("one", "root", "RETRIEVER", 0, 1, name="policies", documents=3),
        span("two", "root", "RETRIEVER", 1, 2, name="policies"),
        span("three", "root", "RETRIEVER", 2, 3, name="silent"),
    ]
    steps = steps_of(rows)
    policies, silent = of(steps, "retrieval policies"), of(steps, "retrieval silent")
    assert (policies["documents"], policies["empty"]) == (3, 1)
    assert (silent["documents"], silent["empty"]) == (None, None)


def test_too_many_steps_are_taken_together(steps_of: StepsOf) -> None:
    """Names without end do not make steps without end, and nothing of them is lost."""
    tools = [span(f"s{n}", "root", "TOOL", n, n + 1, tool_name=f"tool-{n:02}") for n in range(60)]
    steps = steps_of([span("root", None, None, 0, 99), *tools, span("z", "root", "LLM", 80, 90)])
    assert len(steps.stages) == STEP_LIMIT
    assert {"answer", "application", "other"} <= set(steps.stages)
    assert steps.by_trace["own_ms"].sum() == pytest.approx(99_000)
    assert steps.by_trace["calls"].sum() == 61


def test_leaf_of_no_kind_is_a_step_by_its_name(steps_of: StepsOf) -> None:
    """Work that no convention names keeps the name that its author gave it."""
    steps = steps_of(
        [span("root", None, None, 0, 9), span("search.task", "root", "CHAIN", 0, 2), span("a", "root", "LLM", 2, 3)]
    )
    assert list(named(steps)) == ["application", "step search", "answer"]
