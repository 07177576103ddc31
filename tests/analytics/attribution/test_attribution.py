"""Where a regression begins, in traffic whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from analytics.attribution import attribute
from analytics.metrics import Metric, MetricKind
from analytics.regressed_cell import Cell
from analytics.report.model import Attribution

LATER = datetime(2026, 12, 1)
LATENCY = Metric("latency_p50", MetricKind.QUANTILE, "latency_ms", "ms", 0.1, "relative", quantile=0.5)
TAIL = Metric("latency_p95", MetricKind.TAIL, "latency_ms", "ms", 0.2, "relative", quantile=0.95)
COST = Metric("cost_per_trace", MetricKind.MEAN, "cost_usd", "usd", 0.1, "relative")
REPAIRS = Metric("schema_repair_rate", MetricKind.RATE, "schema_repairs", "rate", None)


@pytest.fixture
def begun(compared: Callable[..., Any]) -> Callable[..., Attribution]:
    """What is found of a metric in traffic that differs so."""

    def make(metric: Metric, **differs: Any) -> Attribution:
        found = compared(**differs)
        return attribute(Cell.of(found.traces, metric, LATER), found.steps, "refunds")

    return make


@pytest.mark.parametrize(
    ("differs", "step", "stage", "symptom"),
    [
        ({"finds_nothing": 0.25}, "retrieval search_policy", "retrieval", "traces with an empty search"),
        ({"tool_fails": 0.3}, "tool refund_lookup", "tool", "traces with an error"),
        ({"cut_off": 0.2}, "answer", "answer", "traces with output cut off"),
    ],
)
def test_failing_step_is_named(
    begun: Callable[..., Attribution],
    task_failures: Metric,
    differs: dict[str, float],
    step: str,
    stage: str,
    symptom: str,
) -> None:
    """A failure of one step that makes answers worse is where it begins."""
    found = begun(task_failures, **differs)
    assert found.begins_at is not None
    assert (found.begins_at.step, found.begins_at.stage, found.begins_at.symptom) == (step, stage, symptom)
    assert found.begins_at.candidate > 2 * found.begins_at.base
    assert found.begins_at.beyond_chance
    assert "such traces account for" in found.summary


def test_looping_planner_is_named(begun: Callable[..., Attribution]) -> None:
    """A planner that goes round again costs more; the tools that it calls follow."""
    found = begun(COST, loops=0.5)
    assert found.begins_at is not None
    assert (found.begins_at.step, found.begins_at.symptom) == ("planner", "calls per trace")


def test_repairs_begin_where_the_answer_fails_its_schema(begun: Callable[..., Attribution]) -> None:
    """The repair is what follows; the answer is what failed."""
    found = begun(REPAIRS, repairs=0.2)
    assert found.begins_at is not None
    assert (found.begins_at.step, found.begins_at.symptom) == ("answer", "JSONValidation failures")
    assert [row.step for row in found.steps] == ["answer", "repair"]


@pytest.mark.parametrize("metric", [LATENCY, TAIL])
def test_slower_tool_holds_the_difference(begun: Callable[..., Attribution], metric: Metric) -> None:
    """A tool that takes longer is named, and the parts of all steps add up to the whole."""
    found = begun(metric, tool_ms=900.0)
    assert found.begins_at is not None
    assert found.begins_at.step == "tool refund_lookup"
    assert found.begins_at.share is not None
    assert found.begins_at.share > 0.8
    assert sum(row.share for row in found.steps if row.share is not None) == pytest.approx(1.0, abs=1e-9)
    assert "holds" in found.summary


@pytest.mark.parametrize("metric", [LATENCY, COST])
def test_the_order_of_steps_changes_no_bit(compared: Callable[..., Any], metric: Metric) -> None:
    """Parts of a difference are exact sums: however many threads add them up, in whatever order, they are the same."""
    found = compared(tool_ms=900.0, loops=0.2)
    cell = Cell.of(found.traces, metric, LATER)
    shuffled = replace(found.steps, by_trace=found.steps.by_trace.sample(fraction=1.0, shuffle=True, seed=4))
    told = attribute(cell, found.steps, "refunds")
    assert any(row.share is not None for row in told.steps)
    assert attribute(cell, shuffled, "refunds") == told


def test_nothing_is_named_where_nothing_differs(begun: Callable[..., Attribution], task_failures: Metric) -> None:
    """Without a difference no step is named, and the sentence says so."""
    found = begun(task_failures)
    assert found.begins_at is None
    assert not found.steps
    assert "no step that differs beyond chance accounts for it" in found.summary


def test_difference_of_another_kind_is_not_the_beginning(
    begun: Callable[..., Attribution], task_failures: Metric
) -> None:
    """Repairs that rise beside worse answers, and do not make them so, are shown and not named."""
    found = begun(task_failures, repairs=0.25, ungrounded=0.15)
    assert found.begins_at is None
    assert "answer" in [row.step for row in found.steps]


def test_strata_carry_their_parts(begun: Callable[..., Attribution], task_failures: Metric) -> None:
    """Where hard requests alone are worse they carry it all, and shares add up to 1."""
    found = begun(task_failures, finds_nothing=0.4, only_hard=True)
    assert [part.stratum for part in found.strata] == ["hard", "easy"]
    assert found.strata[0].share is not None
    assert found.strata[0].share > 0.8
    assert sum(part.share or 0.0 for part in found.strata) == pytest.approx(1.0, abs=1e-9)
    assert "hard carries" in found.summary


def test_exemplars_show_the_beginning(compared: Callable[..., Any], task_failures: Metric) -> None:
    """The candidate's show the failure, the base's went well in the same stratum, in whatever order rows come."""
    found = compared(finds_nothing=0.25)
    cell = Cell.of(found.traces, task_failures, LATER)
    chosen = attribute(cell, found.steps, "refunds").exemplars
    assert len(chosen["candidate"]) == len(chosen["base"]) == 3
    for worse, better in zip(chosen["candidate"], chosen["base"], strict=True):
        rows = {row["trace_id"]: row for row in found.traces.iter_rows(named=True)}
        assert rows[worse]["evaluation:TaskCompletion"] == 1.0
        assert rows[better]["evaluation:TaskCompletion"] == 0.0
        assert rows[worse]["stratum"] == rows[better]["stratum"]
        assert found.steps.by_trace.filter(step="retrieval search_policy", trace_id=worse)["empty"].item() == 1
    shuffled = Cell.of(found.traces.sample(fraction=1.0, shuffle=True, seed=3), task_failures, LATER)
    assert attribute(shuffled, found.steps, "refunds") == attribute(cell, found.steps, "refunds")


def test_equal_arms_have_no_differing_steps(compared: Callable[..., Any], task_failures: Metric) -> None:
    """Users dealt to the arms at random: at most one cell in twenty names a step or shows one beyond chance."""
    found = compared(traces=500, finds_nothing=0.12, loops=0.1, tool_fails=0.1, cut_off=0.06)
    users = found.traces["unit"].unique().sort()
    rng = np.random.default_rng(11)
    named, cells = 0, 0
    for _ in range(15):
        dealt = pl.DataFrame({"unit": users, "arm": np.where(rng.random(len(users)) < 0.5, "candidate", "base")})
        traces = found.traces.drop("arm").join(dealt, on="unit")
        for metric in (task_failures, LATENCY, TAIL, COST):
            begins = attribute(Cell.of(traces, metric, LATER), found.steps, "refunds")
            named += begins.begins_at is not None or any(row.beyond_chance for row in begins.steps)
            cells += 1
    assert named <= cells // 20


def test_before_and_after_are_compared_by_day(compared: Callable[..., Any], task_failures: Metric) -> None:
    """Where the arms are times, a bad day of the whole service does not name a step; a lasting change does."""
    lasting = compared(finds_nothing=0.3)
    shifted = lasting.traces.with_columns(
        pl.when(pl.col("arm") == "candidate")
        .then(pl.col("start_time", "end_time") + pl.duration(days=10))
        .otherwise(pl.col("start_time", "end_time"))
    )
    where = attribute(Cell.of(shifted, task_failures, LATER, by_day=True), lasting.steps, "refunds")
    assert where.begins_at is not None
    assert where.begins_at.step == "retrieval search_policy"
    bad_days = (pl.col("arm") == "candidate") & (pl.col("end_time").dt.day() % 5 == 0)
    usual = (pl.col("arm") == "base") | bad_days
    few = pl.concat([
        shifted.filter(usual),
        shifted.filter(pl.col("arm") == "base").with_columns(
            pl.col("start_time", "end_time") + pl.duration(days=10), arm=pl.lit("candidate"),
            trace_id=pl.col("trace_id") + "-again",
        ),
    ])  # fmt: skip
    by_day = attribute(Cell.of(few, task_failures, LATER, by_day=True), lasting.steps, "refunds")
    # Within strata no day has both arms.
    unstratified = few.with_columns(stratum=pl.lit(None, dtype=pl.String))
    by_user = attribute(Cell.of(unstratified, task_failures, LATER), lasting.steps, "refunds")
    assert by_day.begins_at is None
    assert by_user.begins_at is not None


def test_strata_without_a_difference_between_them_are_not_said_to_carry_it(
    compared: Callable[..., Any], task_failures: Metric
) -> None:
    """Without strata of the promotion, what is alike everywhere is not shown as a stratum."""
    found = compared(finds_nothing=0.25, stratified=False)
    where = attribute(Cell.of(found.traces, task_failures, LATER), found.steps, "refunds")
    assert where.begins_at is not None
    assert where.strata == ()


def test_first_tool_stands_in_for_strata(compared: Callable[..., Any], task_failures: Metric) -> None:
    """Where a tool's failures make the answers worse, the requests that run it carry the difference."""
    found = compared(tool_fails=0.3, stratified=False)
    where = attribute(Cell.of(found.traces, task_failures, LATER), found.steps, "refunds")
    assert [part.stratum for part in where.strata] == ["first tool refund_lookup", "first tool (none)"]
    assert "first tool refund_lookup carries" in where.summary


def test_without_steps_nothing_is_said_of_them(compared: Callable[..., Any], task_failures: Metric) -> None:
    """Pairs of answers have no steps; their traces are shown all the same."""
    found = compared(finds_nothing=0.25)
    where = attribute(Cell.of(found.traces, task_failures, LATER), None, "refunds")
    assert (where.begins_at, where.steps) == (None, ())
    assert where.summary == ""
    assert where.exemplars["candidate"]


def test_sampling_weights_count(compared: Callable[..., Any], task_failures: Metric) -> None:
    """Traces that were kept with a probability weigh its inverse: shares are those of all traffic."""
    found = compared(finds_nothing=0.25)
    empty = found.steps.by_trace.filter((pl.col("step") == "retrieval search_policy") & (pl.col("empty") > 0))
    rare = pl.col("trace_id").is_in(empty["trace_id"].implode())
    kept = pl.concat([
        found.traces.filter(rare).with_columns(keep_probability=pl.lit(1.0)),
        found.traces.filter(~rare).gather_every(2).with_columns(keep_probability=pl.lit(0.5)),
    ])  # fmt: skip
    whole, part = (
        attribute(Cell.of(traces, task_failures, LATER), found.steps, "refunds").begins_at
        for traces in (found.traces, kept)
    )
    assert whole is not None
    assert part is not None
    assert part.candidate == pytest.approx(whole.candidate, abs=0.01)
    assert part.base == pytest.approx(whole.base, abs=0.01)


def test_hostile_names_do_not_act_in_the_sentence(compared: Callable[..., Any], task_failures: Metric) -> None:
    """A cohort's name with an escape sequence, without end, is shown inert and short."""
    found = compared()
    where = attribute(Cell.of(found.traces, task_failures, LATER), found.steps, "\x1b[31m" + "x" * 10_000)
    assert "\x1b" not in where.summary
    assert len(where.summary) < 300
