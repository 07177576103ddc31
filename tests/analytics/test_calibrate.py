"""Calibration on traffic whose truth is known: equal arms raise no alarm, and large regressions are found."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from analytics.calibrate import Plan, calibrate
from analytics.calibrations import calibration_fingerprint
from analytics.cells import cells
from analytics.level_one import level_one
from analytics.metric_tests import metric_test
from analytics.metrics import Metric, MetricKind
from analytics.placebo import base_traffic
from analytics.pooling import PoolingRules
from analytics.promotions import CONCURRENT, Promotion
from analytics.report.calibration import Calibration, CalibrationRow
from analytics.report.calibration_table import render_calibration
from analytics.report.calibration_words import footnote
from analytics.simulation.draw import PROMOTED_AT, Size, draw_days
from analytics.simulation.scenarios import SCENARIOS
from analytics.stats.wilson import wilson_upper
from analytics.values import metric_values, prepared
from analytics.verdict import family_of

AT = PROMOTED_AT.replace(tzinfo=None)
AS_OF = AT + timedelta(days=20)
PROMOTION = Promotion("p", "m0", "m1", CONCURRENT, AT, None, "app.cohort", 0.5)
METRICS = (
    Metric("task_completion_fail_rate", MetricKind.RATE, "task_completion", "rate", 0.03),
    Metric("latency_p50", MetricKind.QUANTILE, "latency_ms", "ms", 0.1, "relative", quantile=0.5),
    Metric("latency_p99", MetricKind.TAIL, "latency_ms", "ms", 0.2, "relative", quantile=0.99),
    Metric("output_tokens", MetricKind.MEAN, "output_tokens", "tokens", 0.1, "relative"),
)


@cache
def simulated(scenario: str = "aa", seed: int = 11) -> pl.DataFrame:
    """The wide frame of simulated traffic, of a large and a small cohort."""
    days = pl.concat([day for _, day in draw_days(SCENARIOS[scenario], seed, Size(days=14, cohorts=6, scale=0.3))])
    start = pl.from_epoch("start_ns", time_unit="ns")
    return days.filter(pl.col("cohort").is_in(["identity_verification", "account_closure"])).select(
        "trace_id",
        "cohort",
        start_time=start,
        end_time=start + pl.duration(milliseconds=pl.col("latency_ms")),
        arm=pl.when("is_candidate").then(pl.lit("candidate")).otherwise(pl.lit("base")),
        unit="user_id",
        task_completion=pl.col("task_completion").cast(pl.Float64),
        latency_ms="latency_ms",
        output_tokens=pl.col("output_tokens").cast(pl.Float64),
    )


def calibrated(plan: Plan, scenario: str = "aa", metrics: tuple[Metric, ...] = METRICS) -> Calibration:
    """The calibration of simulated traffic."""
    traffic = base_traffic(simulated(scenario), PROMOTION, PoolingRules(), AS_OF)
    return calibrate(traffic, metrics, plan, alpha=0.05, as_of=AS_OF)


@pytest.fixture(scope="module")
def found() -> Calibration:
    """Thirty splits, a few of them with regressions."""
    return calibrated(Plan(splits=30, injections=3))


def row(found: Calibration, metric: str, margins: float) -> CalibrationRow:
    """What was found of one metric and size."""
    return next(each for each in found.metrics if (each.metric, each.margins) == (metric, margins))


def test_equal_arms_raise_no_alarm(found: Calibration) -> None:
    """Of thirty placebo families at most one alarm, the level being 5 %, and the limit is Wilson's."""
    assert found.false_regressed <= 1 / 30
    assert found.false_improved <= 1 / 30
    assert found.upper_limit == wilson_upper(round(30 * found.false_regressed), 30)
    assert (found.splits, found.days, found.split_by, found.candidate_share) == (30, 14, "user", 0.5)


def test_an_alarm_is_counted_as_a_report_would_raise_it() -> None:
    """A split that happens to tell good users from bad ones alarms, as the cells of its traces do, and no other."""
    even = base_traffic(simulated(), PROMOTION, PoolingRules(), AS_OF)
    unlucky = even.window.filter(pl.Series(even.candidates(1, 2)))["unit"].implode()
    worse = pl.when(pl.col("unit").is_in(unlucky)).then(3.0) * pl.col("latency_ms")
    traffic = base_traffic(
        simulated().with_columns(latency_ms=pl.coalesce(worse, "latency_ms")), PROMOTION, PoolingRules(), AS_OF
    )
    found = calibrate(traffic, METRICS[:3], Plan(5, 0), alpha=0.05, as_of=AS_OF)
    alarms = []
    for split in range(5):
        window = traffic.with_arms(traffic.candidates(1, split))
        aggregated = cells(window, traffic.pre_period, METRICS[:3], as_of=AS_OF)
        tests = [metric_test(metric, aggregated.by_metric[metric.name]) for metric in METRICS[:3]]
        tested = family_of(aggregated, METRICS[:3], [test.p_values() for test in tests], 0.05)
        alarms.append([each.worse for each in tested])
    raised = np.array(alarms)
    assert raised.any(axis=(1, 2)).tolist() == [False, False, True, False, False]
    assert found.false_regressed == 1 / 5
    assert [each.false_alarms for each in found.metrics[::2]] == raised.any(axis=2).mean(axis=0).tolist()
    assert found.metrics[0].false_alarms == 0.0
    assert found.metrics[2].cohorts[1].false_alarms == 1 / 5


def test_larger_regressions_and_cohorts_are_found_more_often(found: Calibration) -> None:
    """Twice the margin is found at least as often as the margin, and in the large cohort more than in the small."""
    for metric in METRICS:
        once, twice = row(found, metric.name, 1.0), row(found, metric.name, 2.0)
        assert once.found is not None
        assert twice.found is not None
        assert once.found <= twice.found
        small, large = twice.cohorts
        assert (small.cohort, large.cohort) == ("account_closure", "identity_verification")
        assert small.traces_per_day < large.traces_per_day
        assert (small.found or 0) <= (large.found or 0)
    median = row(found, "latency_p50", 2.0)
    assert median.cohorts[1].found == 1.0
    assert median.cohorts[1].median_day is not None
    assert 1 <= median.cohorts[1].median_day <= 14


def test_sizes_are_those_of_the_margins(found: Calibration) -> None:
    """An absolute margin of a rate is injected as it is, a relative one as a factor; a margin never passes as none."""
    assert row(found, "task_completion_fail_rate", 1.0).injected == pytest.approx(0.03)
    assert row(found, "task_completion_fail_rate", 2.0).injected == pytest.approx(0.06)
    assert row(found, "output_tokens", 2.0).injected == pytest.approx(1.2, abs=0.03)
    assert {each.unit for each in found.metrics if "rate" in each.metric} == {"rate"}
    assert all((each.missed or 0) <= 0.1 for each in found.metrics)


def test_the_same_seed_gives_the_same_calibration(found: Calibration) -> None:
    """A calibration is repeatable to the last digit, and another seed draws other splits."""
    once = calibrated(Plan(2, 1, seed=4), metrics=METRICS[2:])
    assert calibrated(Plan(2, 1, seed=4), metrics=METRICS[2:]) == once
    assert calibrated(Plan(2, 1, seed=5), metrics=METRICS[2:]).metrics != once.metrics
    assert found.seed == 1


def test_users_that_change_arms_in_the_sums_are_those_that_change_arms_in_the_traces() -> None:
    """Level-one sums with new arms are, row by row, those of traces with these arms."""
    traffic = base_traffic(simulated(), PROMOTION, PoolingRules(), AS_OF)
    window = traffic.with_arms(traffic.candidates(1, 0))
    arms = window.select("unit", "arm").unique("unit")
    for metric in METRICS[:2]:
        plain, split = (
            level_one(values, limits(values, metric), metric)
            for values in (metric_values(prepared(frame, AS_OF), metric, AS_OF) for frame in (traffic.window, window))
        )
        moved = plain.with_arms(arms, values=True)
        assert moved.sums.equals(split.sums)
        assert moved.values.equals(split.values)


def limits(values: pl.DataFrame, metric: Metric) -> pl.DataFrame | None:
    """Thresholds that the traces do not exceed."""
    if metric.kind is MetricKind.RATE:
        return None
    return values.select("cohort").unique().with_columns(t0=pl.lit(0.0), t1=pl.lit(1e9), look=pl.lit(None, pl.Date))


def test_requests_are_split_and_judged() -> None:
    """Where requests are split a user meets both arms, and equal arms still raise no alarm."""
    found = calibrated(Plan(4, 1), "aa-by-request", METRICS[:1])
    assert found.split_by == "request"
    assert found.false_regressed == 0.0


def test_a_declared_end_is_imitated() -> None:
    """A promotion with a declared end is calibrated on placebos that end with their window, and finds more."""
    declared = replace(PROMOTION, planned_end=AT + timedelta(days=10))
    by_end, open_ended = (
        base_traffic(simulated(), promotion, PoolingRules(), AS_OF) for promotion in (declared, PROMOTION)
    )
    assert by_end.declared_end == by_end.began + timedelta(days=by_end.days)
    assert open_ended.declared_end is None
    spent, kept = (
        calibrate(traffic, METRICS[:1], Plan(4, 4), alpha=0.05, as_of=AS_OF).metrics for traffic in (by_end, open_ended)
    )
    assert (spent[1].found or 0) >= (kept[1].found or 0)
    assert spent != kept


def test_the_footnote_and_the_tables_say_it(found: Calibration) -> None:
    """The footnote names the rate of false alarms, its limit, and the regressions found least and most."""
    text = footnote(found)
    assert text.startswith("On your own traffic 30 placebo promotions gave a false REGRESSED in ")
    assert "(at most" in text
    assert "A regression of twice the margin would have been found in" in text
    table = render_calibration(found, 0.05, 100)
    assert "identity_v" in table
    assert max(map(len, table.splitlines())) <= 100
    none = calibrated(Plan(2, 0), metrics=METRICS[:1])
    assert "would have been found" not in footnote(none)
    assert "found" not in render_calibration(none, 0.05, 100)


def test_the_fingerprint_tells_configurations_apart() -> None:
    """Another margin is another configuration; that the promotion has ended is not."""
    ended = Promotion("p", "m0", "m1", CONCURRENT, AT, AS_OF, "app.cohort", 0.5)
    assert calibration_fingerprint(PROMOTION, ("a", 0.05)) == calibration_fingerprint(ended, ("a", 0.05))
    assert calibration_fingerprint(PROMOTION, ("a", 0.05)) != calibration_fingerprint(PROMOTION, ("a", 0.04))


def test_wilson_upper_limits() -> None:
    """Known answers: 7 of 300, none of 200 (Newcombe 1998, method 3)."""
    assert wilson_upper(7, 300) == pytest.approx(0.0474, abs=5e-5)
    assert wilson_upper(56, 70) == pytest.approx(0.8772, abs=5e-4)
    assert wilson_upper(0, 200) == pytest.approx(0.01885, abs=5e-5)
    assert wilson_upper(5, 5) == 1.0
    with pytest.raises(ValueError, match="no trials"):
        wilson_upper(0, 0)
