"""How often a step is named where none differs, and how often the right one where one does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from analytics.attribution import attribute
from analytics.metrics import Metric, MetricKind
from analytics.regressed_cell import Cell

LATER = datetime(2026, 12, 1)
TASK = Metric("task_completion_fail_rate", MetricKind.RATE, "evaluation:TaskCompletion", "rate", None)
COST = Metric("cost_per_trace", MetricKind.MEAN, "cost_usd", "usd", 0.1, "relative")
P50 = Metric("latency_p50", MetricKind.QUANTILE, "latency_ms", "ms", 0.1, "relative", quantile=0.5)
P95 = Metric("latency_p95", MetricKind.TAIL, "latency_ms", "ms", 0.2, "relative", quantile=0.95)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_steps_of_equal_arms_are_seldom_named(
    compared: Callable[..., Any], share: float, record_property: pytest.RecordProperty
) -> None:
    """Users dealt to the arms at random: at most one cell in twenty shows a step beyond chance."""
    found = compared(traces=600, finds_nothing=0.12, loops=0.1, tool_fails=0.1, cut_off=0.06)
    users = found.traces["unit"].unique().sort()
    rng = np.random.default_rng(5)
    splits, named = 150, 0
    for _ in range(splits):
        dealt = pl.DataFrame({"unit": users, "arm": np.where(rng.random(len(users)) < share, "candidate", "base")})
        traces = found.traces.drop("arm").join(dealt, on="unit")
        for metric in (TASK, COST, P50, P95):
            begins = attribute(Cell.of(traces, metric, LATER), found.steps, "refunds")
            named += any(row.beyond_chance for row in begins.steps)
    record_property(f"cells of equal arms with a step beyond chance, {share:.0%} candidate", f"{named} of {4 * splits}")
    assert named <= 4 * splits // 20


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    ("differs", "metric", "step"),
    [
        ({"finds_nothing": 0.14}, TASK, "retrieval search_policy"),
        ({"tool_fails": 0.12}, TASK, "tool refund_lookup"),
        ({"cut_off": 0.08}, TASK, "answer"),
        ({"loops": 0.25}, COST, "planner"),
        ({"tool_ms": 450.0}, P50, "tool refund_lookup"),
    ],
)
def test_the_right_step_is_named(
    compared: Callable[..., Any], differs: dict[str, float], metric: Metric, step: str,
    record_property: pytest.RecordProperty,
) -> None:  # fmt: skip
    """With 1,200 traces an arm the step that differs is named in most runs, another one in none or a few."""
    runs = 10
    begins = [
        attribute(Cell.of(found.traces, metric, LATER), found.steps, "refunds").begins_at
        for found in (compared(seed=1000 + run, traces=1200, **differs) for run in range(runs))
    ]
    right = sum(each is not None and each.step == step for each in begins)
    wrong = sum(each is not None and each.step != step for each in begins)
    record_property(f"{step} for {metric.name}, {differs}", f"right {right}, wrong {wrong} of {runs}")
    assert right >= runs // 2
    assert wrong <= runs // 5
