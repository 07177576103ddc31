"""Pairs as cells: their sums, how seldom equal models are told apart, and what pairing is worth."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtri

from analytics.cells import Cells, cells
from analytics.metric_tests import metric_test
from analytics.metrics import Metric, MetricKind
from analytics.stats.assessment import last_look
from analytics.stats.contrast import log_ratio

START = datetime(2026, 3, 2)
FAILED = Metric("failed_rate", MetricKind.RATE, "failed", "rate", None)
COST = Metric("cost", MetricKind.MEAN, "cost", "usd", 0.1, "relative")
USER_SHARE = 0.15
"""The share of an outcome's liability that the user brings about, whichever model answers."""


def mirrored(
    seed: int,
    *,
    per_day: int = 300,
    days: int = 14,
    rates: tuple[float, float] = (0.08, 0.08),
    users: int = 1_000,
    request_share: float = 0.45,
) -> pl.DataFrame:
    """Requests that both models answered; a failure is a liability above its threshold.

    ``request_share`` is the share of the liability that the request brings about, whichever model answers.
    """
    rng = np.random.default_rng(seed)
    n = per_day * days
    user = rng.choice(users, n, p=rng.dirichlet(np.full(users, 0.7)))
    common = np.sqrt(USER_SHARE) * rng.normal(size=users)[user] + np.sqrt(request_share) * rng.normal(size=n)
    end = np.datetime64(START, "ns") + (rng.integers(0, days * 86_400, n) * 10**9).astype("timedelta64[ns]")
    arms = []
    for arm, rate in zip(("base", "candidate"), rates, strict=True):
        own = np.sqrt(1 - USER_SHARE - request_share) * rng.normal(size=n)
        arms.append(
            pl.DataFrame(
                {
                    "trace_id": np.arange(n).astype(str), "start_time": end, "end_time": end, "cohort": "all",
                    "arm": arm,
                    "unit": user.astype(str), "pair": np.arange(n).astype(str),
                    "failed": (common + own > -ndtri(rate)).astype(float), "cost": np.exp(common + own),
                }
            )
        )  # fmt: skip
    return pl.concat(arms)


def aggregate(frame: pl.DataFrame, *metrics: Metric) -> Cells:
    """Cells of all that is there."""
    return cells(frame, frame.clear(), metrics, as_of=START + timedelta(days=30))


def log_evidence(frame: pl.DataFrame) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]:
    """The failure rate's log e-values by day, for "worse" and "better"."""
    evidence = metric_test(FAILED, aggregate(frame, FAILED).by_metric["failed_rate"]).evidence
    return evidence.worse[0], evidence.better[0]


def test_sums_are_those_of_the_pairs() -> None:
    """Day by day: pairs so far, in how many only one side failed; and the users' sums beside them."""
    frame = mirrored(1, per_day=40, days=5)
    found = aggregate(frame, FAILED)
    pairs = found.by_metric["failed_rate"].sums.pairs
    assert pairs is not None
    wide = frame.pivot("arm", index=["pair", "end_time"], values="failed")
    for look, day in enumerate(found.looks):
        until = wide.filter(pl.col("end_time").dt.date() <= day)
        difference = until["candidate"] - until["base"]
        assert pairs.n[0, look] == until.height
        assert pairs.higher[0, look] == (difference > 0).sum()
        assert pairs.lower[0, look] == (difference < 0).sum()


def test_a_value_on_one_side_only_makes_no_pair() -> None:
    """A metric is compared on the pairs that have it on both sides."""
    frame = mirrored(2, per_day=20, days=2)
    lost = (pl.col("arm") == "base") & (pl.col("pair").cast(pl.Int64) < 15)
    found = aggregate(frame.with_columns(failed=pl.when(~lost).then("failed")), FAILED, COST)
    assert found.by_metric["failed_rate"].counts.tolist() == [[25, 25]]
    assert found.by_metric["cost"].counts.tolist() == [[40, 40]]


def test_a_mean_is_compared_within_pairs() -> None:
    """The variance of a difference of means is that of the pairs' differences, well below that of two arms."""
    frame = mirrored(3).with_columns(unit=pl.col("pair"))
    apart = frame.drop("pair").with_columns(pl.concat_str("arm", "unit").alias("unit"))
    paired, two_arms = (
        log_ratio(last_look(aggregate(each, COST).by_metric["cost"].sums)).variance[0] for each in (frame, apart)
    )
    assert 0.2 < paired / two_arms < 0.6


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    """Shuffled rows give the same sums."""
    frame = mirrored(4, per_day=50, days=4)
    one, other = (aggregate(each, FAILED) for each in (frame, frame.sample(fraction=1.0, shuffle=True, seed=seed)))
    first, second = (each.by_metric["failed_rate"].sums.pairs for each in (one, other))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.higher, second.higher)


def shares(make: Callable[[int], pl.DataFrame], runs: int, alpha: float) -> tuple[float, float]:
    """The shares of runs in which any day shows "worse", and "better", at a level."""
    found = [log_evidence(make(seed)) for seed in range(runs)]
    worse, better = (np.mean([each[side].max() >= -np.log(alpha) for each in found]) for side in (0, 1))
    return float(worse), float(better)


def test_equal_models_are_seldom_told_apart() -> None:
    """At 5 % and fourteen daily looks, pairs of users who come back often alarm in few runs."""
    worse, better = shares(lambda seed: mirrored(100 + seed, per_day=100, users=100), 60, 0.05)
    assert worse <= 0.1
    assert better <= 0.1


@pytest.mark.slow
def test_equal_models_are_seldom_told_apart_at_length(record_testsuite_property: Callable[[str, object], None]) -> None:
    """The same over 600 runs."""
    worse, better = shares(lambda seed: mirrored(1_000 + seed), 600, 0.05)
    record_testsuite_property("mirrored, equal models: false worse, false better at 5 %", (worse, better))
    assert worse <= 0.05
    assert better <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "request_share", "found_at_least"), [(0.11, 0.45, 0.75), (0.11, 0.6, 0.9), (0.13, 0.45, 0.99)]
)
def test_pairs_find_what_two_arms_do_not(
    rate: float, request_share: float, found_at_least: float,
    record_testsuite_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """8 % to 11 % at 300 pairs a day, in a family of 240 tests; the same answers as two arms are found far less."""

    def together(seed: int) -> pl.DataFrame:
        return mirrored(seed, rates=(0.08, rate), request_share=request_share)

    def apart(seed: int) -> pl.DataFrame:
        return together(seed).drop("pair").with_columns(pl.concat_str("arm", "unit").alias("unit"))

    paired, unpaired = (shares(make, 150, 0.05 / 240)[0] for make in (together, apart))
    record_testsuite_property(
        f"mirrored, 8 % to {rate:.0%}, request {request_share:.0%}: found as pairs, as two arms", (paired, unpaired)
    )
    assert paired >= found_at_least
    assert unpaired < paired
