"""Placebo promotions: splits are random and repeatable, and an injected regression has the size it claims."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from analytics.metrics import Metric, MetricKind
from analytics.placebo import BY_REQUEST, BY_USER, TooLittleTrafficError, Traffic, base_traffic, injected
from analytics.pooling import SMALL_COHORTS, PoolingRules
from analytics.promotions import CONCURRENT, Promotion

START = datetime(2026, 3, 2)
DAYS = 9
AS_OF = START + timedelta(days=DAYS)
PROMOTION = Promotion("p", "m0", "m1", CONCURRENT, START + timedelta(days=3), None, "app.cohort", 0.25)
FAILED = Metric("failed_rate", MetricKind.RATE, "failed", "rate", None)
SOLVED = Metric("solved_rate", MetricKind.RATE, "solved", "rate", 0.05, higher_is="better")
COST = Metric("cost", MetricKind.MEAN, "cost", "usd", 0.1, "relative")
P99 = Metric("latency_p99", MetricKind.TAIL, "latency_ms", "ms", 0.2, "relative", quantile=0.99)


def traces(n: int = 12_000, seed: int = 5) -> pl.DataFrame:
    """Base traffic of two cohorts over nine days, of users with four traces each."""
    rng = np.random.default_rng(seed)
    begin = np.datetime64(START, "ns") + (rng.integers(0, DAYS * 86_400, n) * 10**9).astype("timedelta64[ns]")
    failed = (rng.random(n) < 0.1).astype(float)
    failed[::50] = np.nan
    return pl.DataFrame(
        {
            "trace_id": [f"{number:032x}" for number in rng.permutation(n)],
            "start_time": begin,
            "end_time": begin + np.timedelta64(1, "s"),
            "cohort": rng.choice(["left", "right"], n, p=[0.3, 0.7]),
            "arm": ["base"] * n,
            "unit": rng.integers(0, n // 4, n).astype(str),
            "failed": pl.Series(failed).fill_nan(None),
            "solved": (rng.random(n) < 0.7).astype(float),
            "cost": rng.lognormal(0.0, 1.0, n),
            "latency_ms": rng.lognormal(6.0, 0.6, n),
        }
    )


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Traffic to split."""
    return base_traffic(traces(), PROMOTION, PoolingRules(), AS_OF)


def rates(traffic: Traffic, candidate: np.ndarray, column: pl.Series) -> dict[str, float]:
    """The candidate's mean by cohort."""
    frame = traffic.window.select("cohort", value=column).filter(pl.Series(candidate))
    return dict(frame.group_by("cohort").agg(pl.col("value").mean()).iter_rows())


def test_the_first_third_of_the_days_freezes_thresholds(traffic: Traffic) -> None:
    """Nine days of base traffic become three before and six to compare; no trace is in both, none is lost."""
    assert traffic.began == START + timedelta(days=3)
    assert traffic.days == 6
    assert traffic.pre_period["start_time"].max() < traffic.began <= traffic.window["start_time"].min()  # type: ignore[operator]
    assert traffic.pre_period.height + traffic.window.height == 12_000


def test_users_are_split_at_the_share(traffic: Traffic) -> None:
    """Each user meets one arm, about a quarter of them the pseudo-candidate, others in another split."""
    first, second = traffic.candidates(1, 0), traffic.candidates(1, 1)
    frame = traffic.with_arms(first)
    assert frame.group_by("unit").agg(pl.col("arm").n_unique())["arm"].max() == 1
    share = frame.unique("unit").select((pl.col("arm") == "candidate").mean()).item()
    assert share == pytest.approx(0.25, abs=0.03)
    assert np.mean(first == second) == pytest.approx(0.25**2 + 0.75**2, abs=0.05)


def test_a_split_depends_on_the_seed_and_the_user_alone() -> None:
    """The same seed sends a user to the same arm when other traffic is stored beside it; another seed does not."""
    few, many = (base_traffic(traces().head(n), PROMOTION, PoolingRules(), AS_OF) for n in (9_000, 12_000))

    def arms(traffic: Traffic, seed: int) -> pl.DataFrame:
        return traffic.with_arms(traffic.candidates(seed, 0)).select("trace_id", "arm")

    def agreement(seed: int) -> float:
        both = arms(few, 7).join(arms(many, seed), on="trace_id")
        return float(both.select((pl.col("arm") == pl.col("arm_right")).mean()).item())

    assert agreement(7) == 1.0
    assert agreement(8) < 0.8


def test_requests_are_split_where_users_meet_both_arms() -> None:
    """A promotion whose users are in both arms is imitated by splitting requests."""
    frame = traces()
    served = frame.with_columns(
        arm=pl.when((pl.col("start_time") >= PROMOTION.at) & (pl.int_range(pl.len()) % 2 == 0))
        .then(pl.lit("candidate"))
        .otherwise("arm")
    )
    traffic = base_traffic(served, PROMOTION, PoolingRules(), AS_OF)
    assert traffic.split_by == BY_REQUEST
    arms = traffic.with_arms(traffic.candidates(1, 0)).group_by("unit").agg(pl.col("arm").n_unique())
    assert arms["arm"].max() == 2
    assert base_traffic(frame, PROMOTION, PoolingRules(), AS_OF).split_by == BY_USER


@pytest.mark.parametrize(("metric", "size"), [(FAILED, 0.03), (FAILED, -0.02), (SOLVED, -0.05), (SOLVED, 0.1)])
def test_an_injected_rate_moves_by_its_size(traffic: Traffic, metric: Metric, size: float) -> None:
    """Over many splits the candidate's rate moves by the size in each cohort; the base and unknown values stay."""
    sizes = np.array([size, 2 * size])
    moved: dict[str, list[float]] = {"left": [], "right": []}
    for split in range(40):
        candidate = traffic.candidates(3, split)
        column, possible = injected(traffic, candidate, metric, sizes, 3, split)
        assert possible.tolist() == sizes.tolist()
        before = traffic.window[metric.column]
        assert (column.filter(pl.Series(~candidate)) == before.filter(pl.Series(~candidate))).all()
        assert column.is_null().to_list() == before.is_null().to_list()
        for cohort, rate in rates(traffic, candidate, column).items():
            moved[cohort].append(rate - rates(traffic, candidate, before)[cohort])
    for cohort, expected in zip(("left", "right"), sizes, strict=True):
        error = np.std(moved[cohort]) / np.sqrt(40)
        assert np.mean(moved[cohort]) == pytest.approx(expected, abs=5 * error)


def test_a_larger_regression_holds_a_smaller_one(traffic: Traffic) -> None:
    """What a small size turns a larger one turns too, so that more is never found of less."""
    candidate = traffic.candidates(1, 0)
    small, large = (injected(traffic, candidate, FAILED, np.full(2, size), 1, 0)[0] for size in (0.02, 0.04))
    assert (small <= large).all()
    assert small.sum() < large.sum()


def test_an_injected_mean_is_multiplied(traffic: Traffic) -> None:
    """Every value of the candidate is multiplied in the cohort that has a size, and none in the other."""
    candidate = traffic.candidates(1, 0)
    column, possible = injected(traffic, candidate, COST, np.array([1.2, np.nan]), 1, 0)
    factor = (column / traffic.window["cost"]).to_numpy()
    left = (traffic.window["cohort"] == "left").to_numpy()
    assert np.allclose(factor[candidate & left], 1.2)
    assert np.allclose(factor[~(candidate & left)], 1.0)
    assert np.isnan(possible).tolist() == [False, True]


def test_an_injected_tail_moves_its_quantile_alone(traffic: Traffic) -> None:
    """The candidate's p99 is multiplied by the factor; its median stays."""
    candidate = traffic.candidates(1, 0)
    column, _ = injected(traffic, candidate, P99, np.array([1.5, 1.5]), 1, 0)
    own = pl.Series(candidate & (traffic.window["cohort"] == "right").to_numpy())
    before, after = traffic.window["latency_ms"].filter(own), column.filter(own)
    assert after.quantile(0.99, "linear") == pytest.approx(1.5 * before.quantile(0.99, "linear"))  # type: ignore[operator]
    assert after.median() == before.median()


def test_what_cannot_be_injected_is_left_alone(traffic: Traffic) -> None:
    """A rate cannot rise above one, nor fall below zero: the size is then unknown and nothing is changed."""
    column, possible = injected(traffic, traffic.candidates(1, 0), SOLVED, np.array([0.6, -0.9]), 1, 0)
    assert np.isnan(possible).all()
    assert (column == traffic.window["solved"]).all()


def refusal(frame: pl.DataFrame, promotion: Promotion = PROMOTION) -> str:
    """What is said of traffic that is too little."""
    with pytest.raises(TooLittleTrafficError) as refused:
        base_traffic(frame, promotion, PoolingRules(), AS_OF)
    return str(refused.value)


def test_too_little_traffic_is_told() -> None:
    """No base trace, one day, one user: each is one sentence that says what is there and what is needed."""
    frame = traces(2_000)
    assert "No trace started with m0" in refusal(frame.with_columns(arm=pl.lit("candidate")))
    assert "No trace started with m0" in refusal(frame, replace(PROMOTION, ended_at=START - timedelta(days=1)))
    one_day = frame.with_columns(start_time=pl.lit(START, dtype=pl.Datetime("ns")))
    assert "is of one day (2026-03-02)" in refusal(one_day)
    assert "1 user sent base traffic since 2026-03-05" in refusal(frame.with_columns(unit=pl.lit("u")))
    assert "a candidate share of 0.25 needs 80, to have 20 in each arm" in refusal(
        frame.with_columns(unit=pl.col("unit").cast(pl.Int64) % 79)
    )


def test_the_last_stated_share_holds() -> None:
    """A canary that has grown is imitated as it is now; without any share the arms are halves."""
    grown = replace(PROMOTION, share_changes=((START + timedelta(days=5), 0.5), (AS_OF + timedelta(days=1), 0.9)))
    assert base_traffic(traces(), grown, PoolingRules(), AS_OF).share == 0.5
    assert base_traffic(traces(), replace(PROMOTION, candidate_share=None), PoolingRules(), AS_OF).share == 0.5


def test_small_cohorts_are_taken_together_as_the_report_takes_them() -> None:
    """What the configuration pools is one cohort of the placebo promotion too."""
    frame = traces().with_columns(stratum=pl.lit(None, dtype=pl.String))
    pooled = base_traffic(frame, PROMOTION, PoolingRules(below=10_000), AS_OF)
    assert pooled.cohorts == (SMALL_COHORTS,)
    assert pooled.window.height + pooled.pre_period.height == frame.height
