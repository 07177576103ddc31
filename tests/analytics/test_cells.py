"""From traces to sums: exact, additive, and indifferent to the order of rows and to the labels of the arms."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from analytics.cells import Cells, cells
from analytics.metrics import Metric, MetricKind

if TYPE_CHECKING:
    from analytics.stats.sums import ArmSums, FloatArray

START = datetime(2026, 3, 1)
AS_OF = START + timedelta(days=10)
FAILED = Metric("failed_rate", MetricKind.RATE, "failed", "rate", None)
COST = Metric("cost", MetricKind.MEAN, "cost", "usd", 0.1, "relative")
P99 = Metric("latency_p99", MetricKind.TAIL, "latency_ms", "ms", 0.2, "relative", quantile=0.99)
P50 = Metric("latency_p50", MetricKind.QUANTILE, "latency_ms", "ms", 0.1, "relative", quantile=0.5)
METRICS = (FAILED, COST, P99, P50)


def traffic(n: int = 3_000, seed: int = 1) -> pl.DataFrame:
    """Users in either or both arms of two cohorts, over nine days."""
    rng = np.random.default_rng(seed)
    seconds = rng.integers(0, 9 * 86_400, n)
    return pl.DataFrame(
        {
            "trace_id": [f"{i:08x}" for i in rng.permutation(n)],
            "end_time": np.datetime64(START, "ns") + (seconds * 10**9).astype("timedelta64[ns]"),
            "cohort": rng.choice(["left", "right"], n),
            "arm": rng.choice(["base", "candidate"], n),
            "unit": rng.integers(0, n // 5, n).astype(str),
            "failed": (rng.random(n) < 0.1).astype(float),
            "cost": rng.lognormal(0.0, 1.0, n),
            "latency_ms": rng.lognormal(6.0, 0.6, n),
        }
    )


def aggregate(frame: pl.DataFrame, *metrics: Metric, as_of: datetime = AS_OF) -> Cells:
    """Cells without a pre-period."""
    return cells(frame, frame.clear(), metrics, as_of=as_of)


def by_hand(frame: pl.DataFrame, column: str) -> dict[str, float]:
    """One arm's sums from its users' totals."""
    users = frame.group_by("unit").agg(n=pl.len().cast(pl.Float64), y=pl.col(column).sum())
    n, y = users["n"].to_numpy(), users["y"].to_numpy()
    pairs = {"units": n**0, "n": n, "y": y, "nn": n * n, "yn": y * n, "yy": y * y}
    return {name: float(values.sum()) for name, values in pairs.items()}


def arrays(arm: ArmSums) -> dict[str, FloatArray]:
    """An arm's sums by name."""
    return dict(vars(arm))


def test_sums_are_those_of_the_users_totals() -> None:
    """At every look the sums are what grouping the traces so far by user gives."""
    frame = traffic()
    found = aggregate(frame, FAILED)
    sums = found.by_metric["failed_rate"].sums
    for look, day in enumerate(found.looks):
        until = frame.filter(pl.col("end_time").dt.date() <= day, pl.col("cohort") == "left")
        for arm, name in ((sums.base, "base"), (sums.candidate, "candidate")):
            expected = by_hand(until.filter(pl.col("arm") == name), "failed")
            assert {k: v[0, look] for k, v in arrays(arm).items()} == pytest.approx(expected)


def test_cross_sums_are_those_of_users_in_both_arms() -> None:
    """Products run over the users of a cohort who met both models."""
    frame = traffic()
    cross = aggregate(frame, FAILED).by_metric["failed_rate"].sums.cross
    ours = pl.col("arm") == "candidate"
    users = (
        frame.filter(pl.col("cohort") == "right")
        .group_by("unit")
        .agg(
            n_a=(~ours).sum(),
            n_b=ours.sum(),
            y_a=pl.col("failed").filter(~ours).sum(),
            y_b=pl.col("failed").filter(ours).sum(),
        )
    )
    assert cross.nn[1, -1] == (users["n_a"] * users["n_b"]).sum()
    assert cross.yn[1, -1] == (users["y_a"] * users["n_b"]).sum()
    assert cross.ny[1, -1] == (users["n_a"] * users["y_b"]).sum()
    assert cross.yy[1, -1] == (users["y_a"] * users["y_b"]).sum()


def test_sums_of_disjoint_users_add() -> None:
    """Splitting the users at random and adding the parts gives the whole."""
    frame = traffic()
    half = pl.col("unit").cast(pl.Int64) % 2 == 0
    whole, even, odd = (
        aggregate(part, FAILED).by_metric["failed_rate"].sums
        for part in (frame, frame.filter(half), frame.filter(~half))
    )
    merged = even + odd
    for arm, part in ((whole.base, merged.base), (whole.candidate, merged.candidate)):
        for name, values in arrays(arm).items():
            assert values == pytest.approx(arrays(part)[name]), name
    assert whole.cross.nn == pytest.approx(merged.cross.nn)


def test_the_order_of_rows_does_not_matter() -> None:
    """Shuffled rows give the very same numbers and exemplars."""
    frame = traffic()
    one, other = aggregate(frame, *METRICS), aggregate(frame.sample(fraction=1.0, shuffle=True, seed=4), *METRICS)
    for metric in METRICS:
        first, second = one.by_metric[metric.name], other.by_metric[metric.name]
        assert (first.sums.base.yy == second.sums.base.yy).all()
        assert (first.sums.cross.yn == second.sums.cross.yn).all()
        assert first.exemplars == second.exemplars


def test_swapping_the_arms_swaps_the_sums() -> None:
    """Thresholds pooled over both arms leave the arms exchangeable."""
    frame = traffic()
    other = frame.with_columns(arm=pl.col("arm").replace({"base": "candidate", "candidate": "base"}))
    for metric in METRICS:
        one = aggregate(frame, metric).by_metric[metric.name].sums
        swapped = aggregate(other, metric).by_metric[metric.name].sums.swapped()
        assert one.base.yy == pytest.approx(swapped.base.yy)
        assert one.candidate.y == pytest.approx(swapped.candidate.y)
        assert one.cross.yn == pytest.approx(swapped.cross.yn)


def test_immature_traces_do_not_count() -> None:
    """With seven days of maturity, only traces that old are looked at, on the day they became final."""
    late = Metric("late_rate", MetricKind.RATE, "failed", "rate", None, maturity=timedelta(days=7))
    frame = traffic()
    found = aggregate(frame, late)
    old = frame.filter(pl.col("end_time") + timedelta(days=7) <= AS_OF)
    assert found.by_metric["late_rate"].counts.sum() == old.height
    assert found.looks[0] == date(2026, 3, 8)
    assert found.traces["left"]["base"] == frame.filter(cohort="left", arm="base").height


def test_unknown_values_are_left_out() -> None:
    """Null, NaN and infinite values count as no value, in every kind of metric."""
    frame = traffic(400)
    broken = frame.with_columns(
        pl.when(pl.int_range(pl.len()) % 4 == 0)
        .then(pl.lit(bad, dtype=pl.Float64))
        .otherwise(pl.col(column))
        .alias(column)
        for column, bad in (("failed", None), ("cost", float("nan")), ("latency_ms", float("inf")))
    )
    found = aggregate(broken, *METRICS)
    for metric in METRICS:
        assert found.by_metric[metric.name].counts.sum() == 300
        assert np.isfinite(found.by_metric[metric.name].sums.base.yy).all()


@pytest.mark.parametrize("earlier", [0.5, 1e6])
def test_the_wider_cap_holds(earlier: float) -> None:
    """With 200 earlier base traces of the cohort their cap holds where it is the wider one, else the arms' own."""
    frame = traffic()
    before = frame.with_columns(
        pl.col("end_time") - timedelta(days=20), arm=pl.lit("base"), cost=pl.lit(earlier), cohort=pl.lit("left")
    )
    data = cells(frame, before, (COST,), as_of=AS_OF).by_metric["cost"]
    costs = frame.filter(cohort="left", arm="base")["cost"]
    total = data.sums.base.y[0, -1]
    if earlier > costs.max():
        assert total == pytest.approx(costs.sum())
    else:
        assert costs.clip(upper_bound=earlier).sum() < total < costs.sum()
    assert data.before[0] == pytest.approx(earlier)
    assert np.isnan(data.before[1])


def test_a_tails_threshold_comes_from_the_pre_period() -> None:
    """With 200 earlier base traces of the cohort the tail begins at their quantile."""
    frame = traffic()
    before = frame.with_columns(
        pl.col("end_time") - timedelta(days=20), arm=pl.lit("base"), latency_ms=pl.lit(1e9), cohort=pl.lit("left")
    )
    data = cells(frame, before, (P99,), as_of=AS_OF).by_metric["latency_p99"]
    assert data.sums.base.y[0, -1] == 0
    assert data.sums.base.y[1, -1] > 0
    assert data.first_look[0] == 0


def test_pooled_thresholds_wait_for_enough_traces() -> None:
    """Without a pre-period the thresholds are known from the first look with a hundred traces, or never."""
    frame = traffic(600).filter(pl.col("cohort") == "left")
    data = aggregate(frame, COST)
    per_day = frame.group_by(pl.col("end_time").dt.date()).len().sort("end_time")
    reached = per_day.filter(pl.col("len").cum_sum() >= 100)["end_time"][0]
    assert data.looks[data.by_metric["cost"].first_look[0]] == reached
    few = aggregate(frame.head(60), COST)
    assert few.by_metric["cost"].first_look[0] == len(few.looks)


def test_thresholds_do_not_change_with_later_data() -> None:
    """What was counted at a look stays as it was when more traffic has come."""
    frame = traffic()
    early = AS_OF - timedelta(days=5)
    one, other = aggregate(frame, P99, as_of=early), aggregate(frame, P99)
    looks = len(one.looks) - 1  # the last may be a day that was not over
    before, after = (c.by_metric["latency_p99"].sums.candidate.y[:, :looks] for c in (one, other))
    assert before == pytest.approx(after)


def test_exemplars_are_the_worst_traces() -> None:
    """Up to three per arm, worst first; a rate shows only traces that failed."""
    frame = traffic()
    data = aggregate(frame, FAILED, COST)
    dearest = frame.filter(cohort="left", arm="candidate").sort("cost", descending=True)["trace_id"].head(3)
    assert data.by_metric["cost"].exemplars["left"]["candidate"] == dearest.to_list()
    shown = data.by_metric["failed_rate"].exemplars["right"]["base"]
    assert len(shown) == 3
    assert frame.filter(pl.col("trace_id").is_in(shown))["failed"].to_list() == [1.0] * 3


def test_no_traces_at_all() -> None:
    """An empty frame gives no cohort and one empty look."""
    found = aggregate(traffic().clear(), *METRICS)
    assert found.cohorts == ()
    assert len(found.looks) == 1


def test_traces_of_neither_model_are_left_out() -> None:
    """A null arm is in no sum and no cohort's count."""
    frame = traffic(100).with_columns(arm=pl.lit(None, dtype=pl.String))
    assert aggregate(frame, FAILED).cohorts == ()
