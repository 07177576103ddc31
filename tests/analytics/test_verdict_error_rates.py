"""How often the detector is wrong, and how soon it is right, on simulated traffic that is looked at every day.

The traffic has what real traffic has: users who come back (gamma activity, four traces each on average), outcomes that
hang together within a user and within a trace, weekly seasons, a slow path, heavy-tailed cost, late outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtr, ndtri

from analytics.cells import Cells, cells
from analytics.family_members import members
from analytics.metric_tests import metric_test
from analytics.metrics import Metric, MetricKind, metrics_for
from analytics.report.model import Verdict
from analytics.stats.family import family
from analytics.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

START = datetime(2026, 3, 2)
RATES = {
    "evaluation:TaskCompletion": 0.08,
    "evaluation:ToolSelection": 0.05,
    "evaluation:JSONValidation": 0.02,
    "evaluation:Groundedness": 0.06,
    "outcome:thumbs_down": 0.03,
    "outcome:escalated": 0.04,
    "outcome:reopened": 0.02,
    "error": 0.005,
    "schema_repairs": 0.03,
}
TWENTY_COHORTS = (60,) * 6 + (200,) * 6 + (500,) * 5 + (1_500,) * 3
USER_SHARE = 0.15
TRACE_SHARE = 0.15


@dataclass(frozen=True)
class Traffic:
    """What to simulate.

    Attributes:
        per_day: base traces a day, per cohort.
        days: how long.
        columns: rates to simulate, and "latency_ms" and "cost_usd" if wanted.
        candidate_share: share of users (or requests) that the candidate serves.
        by_user: whether a user stays with one arm.
        rates: candidate rates that differ from the base's.
        slow_paths: how many times more often the candidate takes the slow path.
        cost_factor: how many times dearer the candidate is.
    """

    per_day: tuple[int, ...]
    days: int
    columns: tuple[str, ...]
    candidate_share: float = 0.5
    by_user: bool = True
    rates: Mapping[str, float] = field(default_factory=dict)
    slow_paths: float = 1.0
    cost_factor: float = 1.0


def simulate(rng: np.random.Generator, traffic: Traffic) -> pl.DataFrame:
    """One wide traces frame of the traffic."""
    frames = []
    for index, per_day in enumerate(traffic.per_day):
        season = 1 + 0.2 * np.sin(2 * np.pi * np.arange(traffic.days) / 7)
        counts = rng.poisson(per_day / (1 - traffic.candidate_share) * season)
        n = int(counts.sum())
        users = max(2, n // 4)
        activity = rng.gamma(0.7, size=users)
        user = rng.choice(users, n, p=activity / activity.sum())
        split = rng.random(users)[user] if traffic.by_user else rng.random(n)
        frames.append(_cohort(rng, traffic, f"cohort-{index:02d}", counts, user, split < traffic.candidate_share))
    frame = pl.concat(frames)
    return frame.with_columns(trace_id=pl.Series(np.arange(len(frame))).cast(pl.String))


def _cohort(
    rng: np.random.Generator,
    traffic: Traffic,
    cohort: str,
    counts: np.ndarray[tuple[int], np.dtype[np.int64]],
    user: np.ndarray[tuple[int], np.dtype[np.int64]],
    candidate: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> pl.DataFrame:
    n, users = len(user), int(user.max(initial=0)) + 1
    seconds = np.repeat(np.arange(traffic.days), counts) * 86_400 + rng.integers(0, 86_000, n)
    user_effect, trace_effect = rng.normal(size=users), rng.normal(size=n)

    def liability() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        own = np.sqrt(0.5) * (user_effect + rng.normal(size=users))
        rest = np.sqrt(1 - USER_SHARE - TRACE_SHARE) * rng.normal(size=n)
        return np.sqrt(USER_SHARE) * own[user] + np.sqrt(TRACE_SHARE) * trace_effect + rest

    columns: dict[str, object] = {
        "end_time": np.datetime64(START, "ns") + (seconds * 1_000_000_000).astype("timedelta64[ns]"),
        "cohort": [cohort] * n,
        "arm": np.where(candidate, "candidate", "base"),
        "unit": user.astype(str),
    }
    for column in traffic.columns:
        if column == "latency_ms":
            slow = ndtr(liability()) > 1 - 0.012 * np.where(candidate, traffic.slow_paths, 1.0)
            usual = rng.lognormal(0.0, 0.5, n)
            columns[column] = 1_000 * np.where(slow, 3 * (1 + rng.pareto(2.5, n)), usual)
        elif column == "cost_usd":
            columns[column] = 0.01 * np.exp(1.1 * liability()) * np.where(candidate, traffic.cost_factor, 1.0)
        else:
            rate = np.where(candidate, traffic.rates.get(column, RATES[column]), RATES[column])
            columns[column] = (liability() > -ndtri(rate)).astype(np.float64)
    return pl.DataFrame(columns)


def cells_of(traffic: Traffic, seed: int, kept: tuple[str, ...] | None = None) -> tuple[Cells, tuple[Metric, ...]]:
    """Simulate and aggregate; ``kept`` names the metrics."""
    traces = simulate(np.random.default_rng(seed), traffic)
    metrics = tuple(m for m in metrics_for(traces, {}) if kept is None or m.name in kept)
    as_of = START + timedelta(days=traffic.days)
    return cells(traces, traces.clear(), metrics, as_of=as_of), metrics


def alarms(found: Cells, metrics: tuple[Metric, ...]) -> tuple[bool, bool]:
    """Whether any look of any cell alarmed, as regressed and as improved."""
    tests = [metric_test(metric, found.by_metric[metric.name]) for metric in metrics]
    *of_metrics, _ = members(found, metrics)
    tested = family([t.evidence for t in tests], of_metrics, 0.05)
    return any(bool(t.worse.any()) for t in tested), any(bool(t.better.any()) for t in tested)


def naive_alarm(found: Cells, metrics: tuple[Metric, ...]) -> bool:
    """Whether a trace-level z-test with Bonferroni over the cells alarms at any of the daily looks."""
    rates = [m for m in metrics if m.kind is MetricKind.RATE]
    limit = -ndtri(0.05 / (len(rates) * len(found.cohorts)))
    for metric in rates:
        sums = found.by_metric[metric.name].sums
        a, b = sums.base, sums.candidate
        variance = a.mean * (1 - a.mean) / np.maximum(a.n, 1) + b.mean * (1 - b.mean) / np.maximum(b.n, 1)
        z = np.divide(b.mean - a.mean, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0)
        if np.any(np.abs(z) > limit):
            return True
    return False


def days_to_detection(traffic: Traffic, metric: str, runs: int, tests: int = 240) -> list[float]:
    """Per run, the day on which the regression was found inside a family of so many tests; infinite if never."""
    days = []
    for seed in range(runs):
        found, metrics = cells_of(traffic, 10_000 + seed, (metric,))
        log_e = metric_test(metrics[0], found.by_metric[metric]).evidence.worse[0]
        hits = np.flatnonzero(log_e >= np.log(tests / 0.05))
        first = found.looks[hits[0]] if hits.size else None
        days.append(np.inf if first is None else (first - START.date()).days + 1.0)
    return days


AA_COLUMNS = ("evaluation:TaskCompletion", "evaluation:ToolSelection", "error", "latency_ms")
AA_METRICS = ("task_completion_fail_rate", "tool_selection_fail_rate", "error_rate", "latency_p99")


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_equal_models_are_seldom_told_apart(share: float) -> None:
    """Over ten daily peeks at 8 cohorts x 4 metrics, equal models raise an alarm in few families."""
    traffic = Traffic((60, 60, 100, 100, 200, 200, 300, 300), 10, AA_COLUMNS, candidate_share=share)
    worse = better = naive = 0
    families = 30
    for seed in range(families):
        found, metrics = cells_of(traffic, seed, AA_METRICS)
        is_worse, is_better = alarms(found, metrics)
        worse, better = worse + is_worse, better + is_better
        naive += naive_alarm(found, metrics)
    assert worse <= 2
    assert better <= 2
    # The data must be able to fool a test: otherwise the two lines above say nothing.
    assert naive > 0.4 * families


@pytest.mark.parametrize(
    ("traffic", "metric", "found_at_least", "by_day"),
    [
        (
            Traffic((500,), 14, ("evaluation:TaskCompletion",), rates={"evaluation:TaskCompletion": 0.13}),
            "task_completion_fail_rate",
            0.95,
            5,
        ),
        (Traffic((500,), 14, ("latency_ms",), slow_paths=6.0), "latency_p99", 0.95, 5),
    ],
    ids=["rate", "tail"],
)
def test_large_regressions_are_found_within_days(
    traffic: Traffic, metric: str, found_at_least: float, by_day: float
) -> None:
    """At 500 traces a day and arm, inside a family of 240 tests: 8 % to 13 %, and a slow path six times as often."""
    days = np.array(days_to_detection(traffic, metric, 20))
    assert np.isfinite(days).mean() >= found_at_least
    assert np.median(days) <= by_day


TWELVE = (
    "task_completion_fail_rate",
    "tool_selection_fail_rate",
    "json_validation_fail_rate",
    "groundedness_fail_rate",
    "thumbs_down_rate",
    "escalated_rate",
    "reopened_rate",
    "error_rate",
    "schema_repair_rate",
    "latency_p50",
    "latency_p99",
    "cost_per_trace",
)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    ("share", "by_user", "naive_at_least"),
    [(0.5, True, 0.5), (0.1, True, 0.9), (0.5, False, 0.0)],
    ids=["halves by user", "canary of a tenth", "halves by request"],
)
def test_family_wise_error_of_240_cells(
    share: float, by_user: bool, naive_at_least: float, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Over 14 daily peeks at 20 cohorts x 12 metrics, equal models alarm in at most 2.3 % of the families."""
    columns = (*RATES, "latency_ms", "cost_usd")
    traffic = Traffic(TWENTY_COHORTS, 14, columns, candidate_share=share, by_user=by_user)
    families = 100
    worse = better = naive = 0
    for seed in range(families):
        found, metrics = cells_of(traffic, 1_000 + seed, TWELVE)
        is_worse, is_better = alarms(found, metrics)
        worse, better = worse + is_worse, better + is_better
        naive += naive_alarm(found, metrics)
    record_testsuite_property(
        f"candidate share {share}, by user {by_user}: regressed, improved, naive", (worse, better, naive)
    )
    assert worse <= 0.023 * families
    assert better <= 0.023 * families
    assert naive >= naive_at_least * families


POWER = {
    "ToolSelection 5 to 8 %, 500/day": ("evaluation:ToolSelection", 0.08, (500,), 0.90, 8),
    "TaskCompletion 8 to 11 %, 500/day": ("evaluation:TaskCompletion", 0.11, (500,), 0.60, 14),
    "TaskCompletion 8 to 11 %, 1,500/day": ("evaluation:TaskCompletion", 0.11, (1_500,), 0.99, 3),
    "TaskCompletion 8 to 13 %, 500/day": ("evaluation:TaskCompletion", 0.13, (500,), 0.99, 4),
    "JSONValidation 2 to 4 %, 500/day": ("evaluation:JSONValidation", 0.04, (500,), 0.93, 8),
    "error 0.5 to 1.5 %, 500/day": ("error", 0.015, (500,), 0.83, 10),
    "schema repair 3 to 6 %, 500/day": ("schema_repairs", 0.06, (500,), 0.99, 5),
    "reopened 2 to 5 %, 500/day": ("outcome:reopened", 0.05, (500,), 0.93, 11),
    "p99, slow path x3, 1,500/day": ("latency_ms", 3.0, (1_500,), 0.98, 6),
    "p99, slow path x6, 200/day": ("latency_ms", 6.0, (200,), 0.90, 14),
    "cost x1.2, 1,500/day": ("cost_usd", 1.2, (1_500,), 0.99, 3),
    "cost x1.2, 500/day": ("cost_usd", 1.2, (500,), 0.58, 14),
}


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", POWER)
def test_power_inside_a_family_of_240(name: str, record_testsuite_property: Callable[[str, object], None]) -> None:
    """Each regression is found within 14 days as often and as soon as the bar says, at alpha .05/240."""
    column, size, per_day, found_at_least, by_day = POWER[name]
    traffic = Traffic(
        per_day,
        14,
        (column,),
        rates={column: size},
        slow_paths=size if column == "latency_ms" else 1.0,
        cost_factor=size if column == "cost_usd" else 1.0,
    )
    metric = {"latency_ms": "latency_p99", "cost_usd": "cost_per_trace"}.get(column)
    traces = simulate(np.random.default_rng(0), traffic)
    chosen = metric or metrics_for(traces, {})[0].name
    days = np.array(days_to_detection(traffic, chosen, 200))
    found, median = float(np.isfinite(days).mean()), float(np.median(days))
    record_testsuite_property(f"{name}: found, median day", (found, median))
    # Two standard errors of 200 runs are left to chance.
    assert found >= found_at_least - 2 * np.sqrt(found_at_least * (1 - found_at_least) / 200)
    assert median <= by_day or found_at_least < 0.9


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_power_of_a_canary(record_testsuite_property: Callable[[str, object], None]) -> None:
    """A tenth of 1,667 traces a day is enough to find 8 % to 13 % within a week."""
    column = "evaluation:TaskCompletion"
    traffic = Traffic((1_500,), 14, (column,), candidate_share=0.1, rates={column: 0.13})
    days = np.array(days_to_detection(traffic, "task_completion_fail_rate", 200))
    record_testsuite_property("canary: found, median day", (float(np.isfinite(days).mean()), float(np.median(days))))
    assert np.isfinite(days).mean() >= 0.90 - 2 * np.sqrt(0.9 * 0.1 / 200)
    assert np.median(days) <= 7


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    ("column", "margin", "per_day"),
    [("evaluation:TaskCompletion", 0.02, 500), ("evaluation:JSONValidation", 0.01, 500), ("error", 0.01, 200)],
)
def test_no_regression_is_seldom_said_of_one_at_the_margin(
    column: str, margin: float, per_day: int, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """A candidate that is worse by just the margin is called "no regression" at any peek in at most 3 % of runs."""
    rates = {column: RATES[column] + margin}
    worse, equal = (Traffic((per_day,), 14, (column,), rates=changed) for changed in (rates, {}))
    shares = []
    for traffic in (worse, equal):
        said = 0
        for seed in range(200):
            traces = simulate(np.random.default_rng(50_000 + seed), traffic)
            metric = metrics_for(traces, {})[0]
            said += any(
                judge(cells(traces, traces.clear(), (metric,), as_of=START + timedelta(days=day)), (metric,))
                .cohorts[0]
                .metrics[0]
                .verdict
                is Verdict.NO_REGRESSION
                for day in range(1, 15)
            )
        shares.append(said / 200)
    record_testsuite_property(f"{column}: no regression said at the margin, of equals", tuple(shares))
    assert shares[0] <= 0.03 + 2 * np.sqrt(0.03 * 0.97 / 200)
