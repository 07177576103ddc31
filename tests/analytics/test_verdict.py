"""Verdicts, reasons and decisions on traffic whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from math import isfinite

import numpy as np
import polars as pl
import pytest

from analytics.cells import cells
from analytics.metrics import Metric, MetricKind
from analytics.report.model import Check, CheckStatus, CohortResult, Decision, MetricResult, Verdict
from analytics.verdict import judge, overall

START = datetime(2026, 3, 1)
DAYS = 14
GROUNDEDNESS = Metric("groundedness_fail_rate", MetricKind.RATE, "failed", "rate", None)
SOLVED = replace(GROUNDEDNESS, name="solved_rate", higher_is="better")
COST = Metric("cost_per_trace", MetricKind.MEAN, "cost", "usd", 0.1, "relative")
P50 = Metric("latency_p50", MetricKind.QUANTILE, "latency_ms", "ms", 0.1, "relative", quantile=0.5)
P95 = Metric("latency_p95", MetricKind.TAIL, "latency_ms", "ms", 0.2, "relative", quantile=0.95)
P99 = Metric("latency_p99", MetricKind.TAIL, "latency_ms", "ms", 0.2, "relative", quantile=0.99)
ALL = (GROUNDEDNESS, COST, P50, P95, P99)


def traffic(
    per_day: int,
    *,
    rates: tuple[float, float] = (0.08, 0.08),
    cost_factor: float = 1.0,
    latency_factor: float = 1.0,
    slow: tuple[float, float] = (0.012, 0.012),
    share: float = 0.5,
    seed: int = 1,
    cohort: str = "chargeback",
) -> pl.DataFrame:
    """Users with about four traces each, half of them (or ``share``) on the candidate."""
    rng = np.random.default_rng(seed)
    n = int(per_day * DAYS / (1 - share))
    user = rng.integers(0, max(2, n // 4), n)
    ours = rng.random(max(2, n // 4))[user] < share
    latency = rng.lognormal(6.9, 0.5, n) * np.where(ours, latency_factor, 1.0)
    is_slow = rng.random(n) < np.where(ours, slow[1], slow[0])
    seconds = rng.integers(0, DAYS * 86_400, n)
    return pl.DataFrame(
        {
            "trace_id": [f"{cohort}-{i}" for i in range(n)],
            "end_time": np.datetime64(START, "ns") + (seconds * 10**9).astype("timedelta64[ns]"),
            "cohort": [cohort] * n,
            "arm": np.where(ours, "candidate", "base"),
            "unit": user.astype(str),
            "failed": (rng.random(n) < np.where(ours, rates[1], rates[0])).astype(float),
            "cost": rng.lognormal(-4.0, 1.0, n) * np.where(ours, cost_factor, 1.0),
            "latency_ms": np.where(is_slow, 3_000 * (1 + rng.pareto(2.5, n)), latency),
        },
        schema_overrides={"arm": pl.String, "unit": pl.String},
    )


def judged(
    frame: pl.DataFrame, *metrics: Metric, checks: tuple[Check, ...] = (), days: int = DAYS
) -> tuple[CohortResult, ...]:
    """Aggregate without a pre-period and judge."""
    chosen = metrics or ALL
    found = cells(frame, frame.clear(), chosen, as_of=START + timedelta(days=days))
    return judge(found, chosen, checks=checks).cohorts


def result(frame: pl.DataFrame, metric: Metric) -> MetricResult:
    """The one result of one metric in one cohort."""
    return judged(frame, metric)[0].metrics[0]


def values_of(found: MetricResult) -> list[float]:
    """Every number in a result."""
    singles = [
        found.base.value, found.candidate.value, found.effect, found.margin, found.p_value,
        found.smallest_detectable, found.more_traces_needed,
    ]  # fmt: skip
    return [float(value) for value in (*singles, *(found.interval or ())) if value is not None]


def test_a_regressed_rate() -> None:
    """8 % to 13 % at 500 traces a day and arm is found; text, interval and verdict agree."""
    found = result(traffic(500, rates=(0.08, 0.13)), GROUNDEDNESS)
    assert found.verdict is Verdict.REGRESSED
    assert found.interval is not None
    assert found.effect is not None
    assert 0 < found.interval[0] < found.effect < found.interval[1]
    assert found.p_value is not None
    assert found.p_value < 0.001
    assert found.reason.startswith("groundedness failures rose from 8.")
    assert "beyond the margin of 2." in found.reason


def test_a_regressed_tail() -> None:
    """A slow path taken six times as often is found in p99 at 500 traces a day, and the reason names the test."""
    found = result(traffic(500, slow=(0.012, 0.072)), P99)
    assert found.verdict is Verdict.REGRESSED
    assert "tail" in found.reason
    assert found.unit == "ms"
    assert found.interval is not None
    assert found.effect is not None
    assert found.interval[0] <= found.effect <= found.interval[1]


def test_equal_models_show_no_regression() -> None:
    """With 2,000 traces a day and arm every metric is shown to be within its margin, and the cohort can go ahead."""
    (cohort,) = judged(traffic(2_000))
    assert {found.verdict for found in cohort.metrics} == {Verdict.NO_REGRESSION}
    assert cohort.decision is Decision.PROMOTE
    assert overall((cohort,)) is Verdict.NO_REGRESSION
    for found in cohort.metrics:
        assert found.interval is not None
        assert found.margin is not None
        assert found.interval[1] < found.margin


def test_dearer_slower_and_cheaper() -> None:
    """Cost and median latency up by a quarter regress; down by a quarter they improve."""
    (worse,) = judged(traffic(1_500, cost_factor=1.25, latency_factor=1.25), COST, P50)
    assert [found.verdict for found in worse.metrics] == [Verdict.REGRESSED] * 2
    assert worse.decision is Decision.ROLL_BACK
    (better,) = judged(traffic(1_500, cost_factor=0.75, latency_factor=0.75), COST, P50)
    assert [found.verdict for found in better.metrics] == [Verdict.IMPROVED] * 2
    assert better.decision is Decision.PROMOTE
    assert overall((better,)) is Verdict.IMPROVED


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_swapping_the_arms_mirrors_the_result(metric: Metric) -> None:
    """Regressed becomes improved and the numbers turn their sign."""
    frame = traffic(800, rates=(0.08, 0.13), cost_factor=1.3, latency_factor=1.3, slow=(0.012, 0.08))
    swapped = frame.with_columns(arm=pl.col("arm").replace({"base": "candidate", "candidate": "base"}))
    one, other = result(frame, metric), result(swapped, metric)
    assert one.verdict is Verdict.REGRESSED
    assert other.verdict is Verdict.IMPROVED
    assert one.effect == pytest.approx(-(other.effect or 0.0))
    assert (one.base, one.candidate) == (other.candidate, other.base)


def test_a_metric_where_higher_is_better() -> None:
    """A falling success rate regresses; the margin points down and the effect keeps its sign."""
    found = result(traffic(800, rates=(0.20, 0.13)), SOLVED)
    assert found.verdict is Verdict.REGRESSED
    assert found.effect is not None
    assert found.margin is not None
    assert found.interval is not None
    assert found.effect < 0
    assert found.margin < 0
    assert found.interval[1] < 0
    assert result(traffic(800, rates=(0.13, 0.20)), SOLVED).verdict is Verdict.IMPROVED


@pytest.mark.parametrize("kind", ["plain", "stratified", "sampled", "paired"])
def test_rare_failures_are_what_counts_of_successes(kind: str) -> None:
    """A success rate of 95 % has the evidence, interval and forecast of its failures, in every way to compare."""
    rng = np.random.default_rng(7)
    frame = traffic(100, rates=(0.05, 0.09)).with_columns(solved=1 - pl.col("failed"))
    if kind == "stratified":
        frame = frame.with_columns(stratum=pl.Series(rng.choice(["easy", "hard"], frame.height)))
    elif kind == "sampled":
        frame = frame.with_columns(keep_probability=pl.Series(rng.choice([1.0, 0.4], frame.height)))
    elif kind == "paired":
        frame = frame.with_columns(pl.col("end_time").alias("start_time")).with_columns(
            pair=pl.int_range(pl.len()).over("arm")
        )
    fails, solves = result(frame, GROUNDEDNESS), result(frame, replace(SOLVED, column="solved"))
    assert solves.verdict is fails.verdict
    assert (solves.p_value, solves.smallest_detectable) == pytest.approx((fails.p_value, fails.smallest_detectable))
    assert solves.more_traces_needed == fails.more_traces_needed
    assert fails.interval is not None
    assert solves.interval == pytest.approx((-fails.interval[1], -fails.interval[0]))
    assert solves.effect == pytest.approx(-(fails.effect or 0.0))


def test_worse_but_within_the_margin() -> None:
    """A difference that is certain and small is no regression, and the reason says so."""
    wide = replace(GROUNDEDNESS, margin=0.05)
    found = result(traffic(3_000, rates=(0.08, 0.10)), wide)
    assert found.verdict is Verdict.NO_REGRESSION
    assert "worse, but within the margin of 5.0 points" in found.reason


def test_too_little_traffic_says_how_much_more() -> None:
    """Thirty traces a day decide nothing about a rate of 8 %; the result says what would."""
    found = result(traffic(30), GROUNDEDNESS)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.interval is not None
    assert found.interval[0] <= 0 <= found.interval[1]
    assert found.smallest_detectable is not None
    assert found.smallest_detectable > 0.02
    if found.more_traces_needed is not None:
        assert "more trace" in found.reason


def test_more_traces_are_those_that_are_kept() -> None:
    """A tenth of the traffic, kept at random, asks for as many more traces with its probability stated as without."""
    frame = traffic(60)
    for metric in (GROUNDEDNESS, P95):
        plain = result(frame, metric).more_traces_needed
        sampled = result(frame.with_columns(keep_probability=pl.lit(0.1)), metric).more_traces_needed
        assert plain is not None
        assert sampled is not None
        assert 0.5 < sampled / plain < 2


def test_an_alarm_is_kept() -> None:
    """A regression found in the first week stays found when the second week's data dilute it."""
    bad, good = traffic(500, rates=(0.08, 0.15)), traffic(500, rates=(0.08, 0.07), seed=2)
    week = pl.col("end_time") < START + timedelta(days=7)
    later = good.filter(~week).with_columns(pl.col("unit") + "b", pl.col("trace_id") + "b")
    frame = pl.concat([bad.filter(week), later])
    early = judged(bad.filter(week), GROUNDEDNESS, days=7)[0].metrics[0]
    late = result(frame, GROUNDEDNESS)
    assert early.verdict is late.verdict is Verdict.REGRESSED
    assert late.interval is not None
    assert late.interval[0] > 0


def test_the_watch_list_stands_by_itself() -> None:
    """Cohorts that have an alarm, or are not comparable, do not help a weak one onto the list."""
    # Of thirty cells e-BH lists one from an e-value of 300 on; with nine strong ones it would any from 30 on.
    equal = [traffic(100, seed=seed, cohort=f"equal-{seed}") for seed in range(20)]
    strong = [traffic(300, rates=(0.05, 0.15), seed=seed, cohort=f"strong-{seed}") for seed in range(9)]
    drifted = tuple(Check("prompt_version", f"strong-{seed}", CheckStatus.FAIL, "Drift.") for seed in range(4))
    listed = {}
    for seed in (14, 2):
        frame = pl.concat([*equal, *strong, traffic(100, rates=(0.05, 0.09), seed=seed)])
        found = cells(frame, frame.clear(), (GROUNDEDNESS,), as_of=START + timedelta(days=DAYS))
        judgement = judge(found, (GROUNDEDNESS,), checks=drifted)
        last = {cohort.cohort: cohort.metrics[0] for cohort in judgement.cohorts}
        assert last["strong-0"].verdict is Verdict.INVALID
        assert last["strong-8"].verdict is Verdict.REGRESSED
        assert last["chargeback"].alert_raised_on is None
        listed[seed] = [item.cohort for item in judgement.watch_list]
    assert listed == {14: ["chargeback"], 2: []}


def test_a_failed_check_invalidates_what_it_names() -> None:
    """Its metrics of its cohort become INVALID and block a promotion; other metrics are judged."""
    check = Check("sample_ratio", "chargeback", CheckStatus.FAIL, "60 % of users.", ("cost_per_trace",))
    (cohort,) = judged(traffic(2_000), GROUNDEDNESS, COST, checks=(check,))
    verdicts = {found.metric: found.verdict for found in cohort.metrics}
    assert verdicts == {
        "groundedness_fail_rate": Verdict.NO_REGRESSION,
        "cost_per_trace": Verdict.INVALID,
    }
    assert cohort.decision is Decision.HOLD
    assert "sample_ratio" in cohort.metrics[1].reason


def test_a_failed_check_of_all_cohorts_and_metrics() -> None:
    """Nothing is judged where a check fails for everything; a warning changes nothing."""
    fail = Check("data_loss", None, CheckStatus.FAIL, "Spans were dropped.")
    cohorts = judged(traffic(300), checks=(fail,))
    assert overall(cohorts) is Verdict.INVALID
    assert judged(traffic(300), checks=(replace(fail, status=CheckStatus.WARN),)) == judged(traffic(300))


def test_no_data_is_never_a_pass() -> None:
    """A metric with values in one arm only is INVALID and holds the promotion; without traces all is INVALID."""
    frame = traffic(2_000)
    lopsided = frame.with_columns(failed=pl.when(pl.col("arm") == "base").then(pl.col("failed")))
    (cohort,) = judged(lopsided, GROUNDEDNESS, COST)
    assert cohort.metrics[0].verdict is Verdict.INVALID
    assert cohort.metrics[0].candidate.value is None
    assert "candidate" in cohort.metrics[0].reason
    assert cohort.decision is Decision.HOLD
    assert judged(frame.clear()) == ()
    assert overall(()) is Verdict.INVALID


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_strata_that_no_arm_shares_are_never_a_pass(factor: float) -> None:
    """Where each stratum met one model only nothing is compared, equal values or not, and the reason says so."""
    frame = traffic(300).with_columns(
        stratum=pl.when(pl.col("arm") == "base").then(pl.lit("easy")).otherwise(pl.lit("hard")),
        constant=pl.when(pl.col("arm") == "base").then(1.0).otherwise(factor),
    )
    constant = replace(COST, name="constant", column="constant")
    (cohort,) = judged(frame, *ALL, constant)
    for found in cohort.metrics:
        assert found.verdict is Verdict.INVALID
        assert "in no stratum have both arms values" in found.reason
        assert found.interval is None
        assert all(isfinite(value) for value in values_of(found))
    assert cohort.decision is Decision.HOLD


def test_a_constant_is_invalid_without_blocking() -> None:
    """A cost that is 0 for every trace cannot be compared, and does not stand in the way."""
    (cohort,) = judged(traffic(2_000).with_columns(cost=pl.lit(0.0)), GROUNDEDNESS, COST)
    assert cohort.metrics[1].verdict is Verdict.INVALID
    assert "no value differs" in cohort.metrics[1].reason
    assert cohort.decision is Decision.PROMOTE


def sparse() -> dict[str, pl.DataFrame]:
    """Data that tend to break estimators."""
    frame = traffic(300)
    tiny = traffic(3)
    nan, null = pl.lit(float("nan")), pl.lit(None, dtype=pl.Float64)
    infinite = pl.when(pl.int_range(pl.len()) % 3 == 0).then(float("inf")).otherwise(pl.col("cost"))
    return {
        "one arm": frame.filter(pl.col("arm") == "base"),
        "no events": frame.with_columns(failed=pl.lit(0.0)),
        "only events": frame.with_columns(failed=pl.lit(1.0)),
        "one user": frame.with_columns(unit=pl.lit("u")),
        "a user per arm": frame.with_columns(unit=pl.col("arm")),
        "one trace per arm": frame.group_by("arm").first().select(frame.columns),
        "tiny": tiny,
        "nothing but nan": frame.with_columns(failed=nan, cost=nan, latency_ms=nan),
        "nothing but null": frame.with_columns(failed=null, cost=null, latency_ms=null),
        "infinite": frame.with_columns(cost=infinite),
        "zero latency": frame.with_columns(latency_ms=pl.lit(0.0), cost=pl.lit(0.0)),
        "one day": frame.with_columns(end_time=pl.lit(START, dtype=pl.Datetime("ns"))),
        "rare canary": traffic(200, share=0.02),
    }


@pytest.mark.parametrize("name", sparse())
def test_sparse_data_give_honest_results(name: str) -> None:
    """Every number is finite or absent, intervals hold their effect, and nothing is decided without reason."""
    cohorts = judged(sparse()[name])
    for cohort in cohorts:
        assert cohort.decision is not Decision.ROLL_BACK
        for found in cohort.metrics:
            assert all(isfinite(value) for value in values_of(found)), found
            assert found.reason
            assert found.verdict is not Verdict.REGRESSED
            assert found.verdict is not Verdict.IMPROVED
            if found.interval is not None and found.effect is not None:
                assert found.interval[0] <= found.effect <= found.interval[1], found


def test_overall_needs_every_cohort() -> None:
    """One cohort that is still open keeps the whole open; one regression decides it."""
    ready, thin = traffic(2_000), traffic(30, cohort="out_of_domain", seed=3)
    bad = traffic(800, rates=(0.08, 0.14), cohort="policy", seed=4)
    open_still = judged(pl.concat([ready, thin]), GROUNDEDNESS)
    assert [cohort.cohort for cohort in open_still] == ["chargeback", "out_of_domain"]
    assert overall(open_still) is Verdict.INCONCLUSIVE
    assert overall(judged(pl.concat([ready, thin, bad]), GROUNDEDNESS)) is Verdict.REGRESSED


def test_exemplars_and_counts_reach_the_result() -> None:
    """Traces by arm, values by arm and exemplars come from the frame."""
    frame = traffic(300)
    (cohort,) = judged(frame, GROUNDEDNESS)
    assert cohort.traces == dict(frame.group_by("arm").len().rows())
    found = cohort.metrics[0]
    assert found.base.n == cohort.traces["base"]
    assert found.base.value == pytest.approx(frame.filter(arm="base")["failed"].mean())
    assert {arm: len(ids) for arm, ids in found.exemplars.items()} == {"base": 3, "candidate": 3}
