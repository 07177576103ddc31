"""What is shown beside verdicts: by the cells' own definitions, nothing made up, whatever the order of the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from analytics.cells import cells
from analytics.evidence import gather_evidence
from analytics.evidence.distributions import BEYOND, PLACES
from analytics.metrics import Metric
from analytics.report.evidence import DayValues, Evidence, OverTime, Usage
from analytics.report.model import CohortResult, Verdict
from analytics.report.values import ArmValue

Judged = Callable[..., CohortResult]
Make = Callable[..., pl.DataFrame]

NOTHING = ArmValue(0, None)
ALL = dict.fromkeys(("error_rate", "reopened_rate", "latency_p50", "latency_p95", "cost_per_trace"), Verdict.REGRESSED)


@pytest.fixture
def gather(judged: Judged, metrics: tuple[Metric, ...], start: datetime) -> Callable[..., Evidence]:
    """The evidence of a frame in which every metric of the cohorts is asked about."""

    def make(window: pl.DataFrame, cohorts: Sequence[str] = ("refunds",), days: float = 30, **said: Any) -> Evidence:
        asked = [judged(cohort, **(said or ALL)) for cohort in cohorts]
        return gather_evidence(asked, window, metrics, as_of=start + timedelta(days=days))

    return make


def of(evidence: Evidence, metric: str, cohort: str = "refunds") -> OverTime:
    """One cell day by day."""
    return next(each for each in evidence.over_time if (each.cohort, each.metric) == (cohort, metric))


def test_days_by_hand(gather: Any, traces: Make) -> None:
    """Each trace counts on the day on which it began; the arms have their own values, or none."""
    evidence = gather(
        traces(
            {"hours": 1, "error": True, "latency_ms": 100.0, "cost_usd": 0.2},
            {"hours": 2, "latency_ms": 300.0, "cost_usd": 0.4},
            {"hours": 23.9999, "latency_ms": 500.0},
            {"hours": 3, "arm": "candidate", "latency_ms": 200.0, "cost_usd": 0.1},
            {"hours": 49, "arm": "candidate", "error": True, "latency_ms": 400.0},
            {"hours": 50, "arm": "neither", "error": True},
        )
    )
    first, third = date(2026, 3, 2), date(2026, 3, 4)
    assert of(evidence, "error_rate") == OverTime(
        "refunds",
        "error_rate",
        "rate",
        (
            DayValues(first, ArmValue(3, 1 / 3), ArmValue(1, 0.0)),
            DayValues(third, NOTHING, ArmValue(1, 1.0)),
        ),
    )
    assert of(evidence, "latency_p50").days == (
        DayValues(first, ArmValue(3, 300.0), ArmValue(1, 200.0)),
        DayValues(third, NOTHING, ArmValue(1, 400.0)),
    )
    cost = of(evidence, "cost_per_trace")
    assert cost.unit == "usd"
    assert [(day.base.n, day.candidate.n) for day in cost.days] == [(2, 1), (0, 0)]
    assert cost.days[0].base.value == pytest.approx(0.3)


def test_labels_that_are_not_final_make_no_value(gather: Any, traces: Make) -> None:
    """A day whose labels may still come is there without a value, not with none of the bad thing."""
    rows = [{"hours": 24 * day + 1, "outcome:reopened": float(day == 0)} for day in range(5)]
    days = of(gather(traces(*rows), days=4.5), "reopened_rate").days
    assert [day.base for day in days] == [ArmValue(1, 1.0), ArmValue(1, 0.0), NOTHING, NOTHING, NOTHING]


def test_a_sampler_weighs_traces(gather: Any, traces: Make) -> None:
    """A trace that one of four was kept of stands for four, in days, quantiles and means."""
    evidence = gather(
        traces(
            {"error": True, "cost_usd": 1.0, "latency_ms": 900.0, "input_tokens": 10},
            *({"keep_probability": 0.25, "cost_usd": 0.5, "latency_ms": 100.0, "input_tokens": 20} for _ in range(3)),
        )
    )
    assert of(evidence, "error_rate").days[0].base == ArmValue(4, 1 / 13)
    assert of(evidence, "cost_per_trace").days[0].base.value == pytest.approx(7 / 13)
    (usage,) = evidence.usage
    assert (usage.traces, usage.cost, usage.input_tokens) == (4, pytest.approx(7 / 13), pytest.approx(250 / 13))


def test_usage_by_hand(gather: Any, traces: Make) -> None:
    """Means are over the traces that tell, whose number is told; what no trace tells is unknown."""
    evidence = gather(
        traces(
            {"cost_usd": 0.5, "input_tokens": 100, "cache_read_tokens": 60, "output_tokens": 10, "llm_calls": 3},
            {"cost_usd": 0.25, "input_tokens": 200, "output_tokens": 0},
            {"input_tokens": 300, "output_tokens": 20},
            {"arm": "candidate", "cohort": "chargeback"},
        )
    )
    n = {"cost": 2, "input_tokens": 3, "cache_read_tokens": 1, "output_tokens": 3, "reasoning_tokens": 0, "calls": 3}
    unknown = {**dict.fromkeys(n, 0), "calls": 1}
    assert evidence.usage == (
        Usage("chargeback", "candidate", 1, None, 1, None, None, None, None, 1.0, unknown),
        Usage("refunds", "base", 3, 0.375, 1, 200.0, 60.0, 10.0, None, 5 / 3, n),
    )


def test_the_days_add_up_to_the_cell(
    gather: Any, traffic: pl.DataFrame, metrics: tuple[Metric, ...], start: datetime
) -> None:
    """Day by day, rates and means are parts of what the report's cell shows; days have all its traces."""
    plain = traffic.drop("keep_probability")
    evidence = gather(plain, ("left", "right"))
    found = cells(plain, plain.clear(), metrics, as_of=start + timedelta(days=30))
    for name in ("error_rate", "reopened_rate", "cost_per_trace", "latency_p95"):
        cell = found.by_metric[name]
        for row, cohort in enumerate(found.cohorts):
            days = of(evidence, name, cohort).days
            assert [day.day for day in days] == sorted({day.day for day in days})
            for column, arm in enumerate(("base", "candidate")):
                told = [getattr(day, arm) for day in days]
                assert sum(each.n for each in told) == cell.counts[row, column]
                if name != "latency_p95":
                    mean = sum(each.n * each.value for each in told) / cell.counts[row, column]
                    assert mean == pytest.approx(cell.values[row, column])


def test_curves_pass_through_what_the_report_shows(
    gather: Any, traffic: pl.DataFrame, metrics: tuple[Metric, ...], start: datetime
) -> None:
    """The curve at 0.5 and 0.95 is the cell's p50 and p95 to the last bit, a sampler's weights included."""
    evidence = gather(traffic, ("left", "right"))
    found = cells(traffic, traffic.clear(), metrics, as_of=start + timedelta(days=30))
    curves = {(each.cohort, each.quantity): each for each in evidence.distributions}
    assert list(curves) == [(name, of) for name in ("left", "right") for of in ("latency", "cost")]
    for row, cohort in enumerate(found.cohorts):
        curve = curves[cohort, "latency"]
        for metric, place in (("latency_p50", 0.5), ("latency_p95", 0.95)):
            at = PLACES.index(place)
            assert (curve.base[at], curve.candidate[at]) == tuple(found.by_metric[metric].values[row])
        cost = found.by_metric["cost_per_trace"]
        assert curves[cohort, "cost"].n == {"base": cost.counts[row, 0], "candidate": cost.counts[row, 1]}
    unweighted = gather(traffic.drop("keep_probability"), ("left",))
    values = traffic.filter(cohort="left", arm="base")["latency_ms"].to_numpy()
    assert unweighted.distributions[0].base[1:-2] == pytest.approx(tuple(np.quantile(values, PLACES))[1:-2])


def test_a_curve_ends_where_traces_are_too_few(gather: Any, traces: Make) -> None:
    """A place is left out where fewer than five traces are expected beyond it; a cohort without values altogether."""
    n = 50
    rows = [{"latency_ms": 100.0 + number} for number in range(n)]
    few = {"arm": "candidate", "latency_ms": 7.0}
    (curve,) = gather(traces(*rows, few, {"cohort": "silent"})).distributions
    drawn = [place for place, value in zip(curve.probabilities, curve.base, strict=True) if value is not None]
    assert drawn == [place for place in PLACES if BEYOND / n <= place <= 1 - BEYOND / n]
    assert (drawn[0], drawn[-1]) == (0.1, 0.9)
    assert curve.base[curve.probabilities.index(0.5)] == 124.5
    assert set(curve.candidate) == {None}
    assert (curve.cohort, curve.quantity, curve.n) == ("refunds", "latency", {"base": 50, "candidate": 1})


def test_one_item_run_twice_is_one_value(gather: Any, traces: Make) -> None:
    """Of pairs the runs of an item are averaged, as its cell has them, and each arm keeps its own day."""
    rows = [
        {"pair": item, "arm": arm, "hours": 30 if arm == "candidate" else 1, "error": failed, "latency_ms": latency}
        for item, arm, failed, latency in (
            ("i1", "base", True, 100.0), ("i1", "base", False, 300.0), ("i1", "candidate", False, 50.0),
            ("i2", "base", False, 400.0), ("i2", "candidate", True, 60.0), ("i3", "base", True, 1.0),
        )
    ]  # fmt: skip
    evidence = gather(traces(*rows))
    assert of(evidence, "error_rate").days == (
        DayValues(date(2026, 3, 2), ArmValue(2, 0.25), NOTHING),
        DayValues(date(2026, 3, 3), NOTHING, ArmValue(2, 0.5)),
    )
    assert of(evidence, "latency_p50").days[0].base == ArmValue(2, 300.0)
    assert [usage.traces for usage in evidence.usage] == [4, 2]


def test_the_order_of_rows_changes_no_bit(gather: Any, traffic: pl.DataFrame) -> None:
    """Rows in any order, and in any division into chunks, give equal evidence."""
    expected = gather(traffic, ("left", "right"))
    for seed in range(3):
        shuffled = traffic.sample(fraction=1.0, shuffle=True, seed=seed)
        parts = pl.concat([shuffled[:700], shuffled[700:701], shuffled[701:]], rechunk=False)
        assert gather(parts, ("left", "right")) == expected


def test_no_traces_no_evidence(gather: Any, traffic: pl.DataFrame) -> None:
    """An empty window says nothing; a cell without traces has no days."""
    nothing = gather(traffic.clear(), ("left",), error_rate=Verdict.INVALID)
    assert nothing == Evidence(over_time=(OverTime("left", "error_rate", "rate", ()),))
    assert replace(nothing, over_time=()) == Evidence()
