"""How often reports are wrong, and how soon they are right, on simulated traffic that is looked at every day.

From traces to verdicts, on families as they are drawn for `benchmarks/detection.py`, which measures the tests by
themselves on many more.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import ndtri

from analytics.cells import Cells, cells
from analytics.family_members import members
from analytics.metric_tests import metric_test
from analytics.metrics import Metric, MetricKind
from analytics.report.model import Verdict
from analytics.simulation.family import COST, LATENCY, FamilySize, draw_family
from analytics.simulation.family_frame import FIRST_DAY, family_metrics, traces_frame
from analytics.simulation.family_sums import COST_PER_TRACE, LATENCY_P50, LATENCY_P99, METRICS
from analytics.simulation.scenarios import SCENARIOS, Scenario
from analytics.stats.family import anytime_p_values, family
from analytics.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable

ALPHA = 0.05
COLUMNS = {LATENCY_P50: LATENCY, LATENCY_P99: LATENCY, COST_PER_TRACE: COST}


def aggregated(
    scenario: Scenario, seed: int, size: FamilySize, names: tuple[str, ...]
) -> tuple[Cells, tuple[Metric, ...]]:
    """Draw traces and aggregate them as a report does, without a pre-period; ``names`` are a family's metrics."""
    columns = tuple(dict.fromkeys(COLUMNS.get(name, name) for name in names))
    frame = traces_frame(draw_family(scenario, seed, size, columns)).drop("stratum")
    metrics = tuple(family_metrics()[name] for name in names)
    return cells(frame, frame.clear(), metrics, as_of=FIRST_DAY + timedelta(days=size.days)), metrics


def alarms(found: Cells, metrics: tuple[Metric, ...]) -> tuple[bool, bool]:
    """Whether any look of any cell alarmed, as regressed and as improved."""
    tests = [metric_test(metric, found.by_metric[metric.name]) for metric in metrics]
    *of_metrics, _ = members(found, metrics)
    tested = family(
        [anytime_p_values(t.evidence.worse) for t in tests], [anytime_p_values(t.evidence.better) for t in tests],
        of_metrics, ALPHA,
    )  # fmt: skip
    return any(bool(t.worse.any()) for t in tested), any(bool(t.better.any()) for t in tested)


def naive_alarm(found: Cells, metrics: tuple[Metric, ...]) -> bool:
    """Whether a trace-level z-test with Bonferroni over the cells alarms at any of the daily looks."""
    rates = [m for m in metrics if m.kind is MetricKind.RATE]
    limit = -ndtri(ALPHA / (len(rates) * len(found.cohorts)))
    for metric in rates:
        sums = found.by_metric[metric.name].sums
        a, b = sums.base, sums.candidate
        variance = a.mean * (1 - a.mean) / np.maximum(a.n, 1) + b.mean * (1 - b.mean) / np.maximum(b.n, 1)
        z = np.divide(b.mean - a.mean, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0)
        if np.any(np.abs(z) > limit):
            return True
    return False


def count_alarms(scenario: Scenario, families: int, size: FamilySize, names: tuple[str, ...]) -> tuple[int, int, int]:
    """Families with a false "regressed", a false "improved", and an alarm of the naive test."""
    counts = np.zeros(3, dtype=int)
    for seed in range(families):
        found, metrics = aggregated(scenario, seed, size, names)
        counts += np.array([*alarms(found, metrics), naive_alarm(found, metrics)])
    return int(counts[0]), int(counts[1]), int(counts[2])


@pytest.mark.parametrize("name", ["aa", pytest.param("aa-canary", marks=pytest.mark.slow)])
def test_equal_models_are_seldom_told_apart(name: str) -> None:
    """Over ten daily peeks at 8 cohorts x 4 metrics, equal models raise an alarm in few families."""
    size = FamilySize((60, 60, 100, 100, 200, 200, 300, 300), days=10)
    names = ("task_completion", "tool_selection_accuracy", "error", LATENCY_P99)
    worse, better, naive = count_alarms(SCENARIOS[name], 30, size, names)
    assert worse <= 2
    assert better <= 2
    # The data must be able to fool a test: otherwise the two lines above say nothing.
    assert naive > 0.4 * 30


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", ["aa", "aa-canary", "aa-by-request", "aa-shocks"])
def test_family_wise_error_of_240_cells(name: str, record_testsuite_property: Callable[[str, object], None]) -> None:
    """Over 14 daily peeks at 20 cohorts x 12 metrics, equal models alarm in at most one of forty families."""
    worse, better, naive = count_alarms(SCENARIOS[name], 40, FamilySize(), METRICS)
    record_testsuite_property(f"{name}: regressed, improved, naive, of 40", (worse, better, naive))
    assert worse <= 1
    assert better <= 1
    assert naive >= 8


def days_to_detection(
    scenario: Scenario, name: str, per_day: int, runs: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Per run, the day on which the regression was found inside a family of 240 tests; infinite if never."""
    found, (metric,) = aggregated(scenario, 1, FamilySize((per_day,), families=runs), (name,))
    hits = metric_test(metric, found.by_metric[metric.name]).evidence.worse >= np.log(240 / ALPHA)
    days = np.array([(look - FIRST_DAY.date()).days + 1.0 for look in found.looks])
    return np.where(hits.any(axis=1), days[hits.argmax(axis=1)], np.inf)


@pytest.mark.parametrize(
    ("scenario", "name"),
    [
        (Scenario("", "", added={"task_completion": 0.05}), "task_completion"),
        (Scenario("", "", slow_factor=6.0), LATENCY_P99),
    ],
    ids=["rate", "tail"],
)
def test_large_regressions_are_found_within_days(scenario: Scenario, name: str) -> None:
    """At 500 traces a day and arm, inside a family of 240 tests: 8 % to 13 %, and a slow path six times as often."""
    days = days_to_detection(scenario, name, 500, 20)
    assert np.isfinite(days).mean() >= 0.95
    assert np.median(days) <= 5


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    ("name", "margin", "per_day"),
    [("task_completion", 0.02, 500), ("json_validation", 0.01, 500), ("error", 0.01, 200)],
)
def test_no_regression_is_seldom_said_of_one_at_the_margin(
    name: str, margin: float, per_day: int, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """A candidate that is worse by just the margin is called "no regression" at any peek in at most 3 % of runs."""
    runs, shares = 200, []
    for added in (margin, 0.0):
        scenario, size = Scenario("", "", added={name: added}), FamilySize((per_day,), families=runs)
        frame, metric = traces_frame(draw_family(scenario, 2, size, (name,))).drop("stratum"), family_metrics()[name]
        said: set[str] = set()
        for day in range(1, size.days + 1):
            found = cells(frame, frame.clear(), (metric,), as_of=FIRST_DAY + timedelta(days=day))
            judged = judge(found, (metric,)).cohorts
            said |= {each.cohort for each in judged if each.metrics[0].verdict is Verdict.NO_REGRESSION}
        shares.append(len(said) / runs)
    record_testsuite_property(f"{name}: no regression said at the margin, of equals", tuple(shares))
    assert shares[0] <= 0.03 + 2 * np.sqrt(0.03 * 0.97 / runs)
