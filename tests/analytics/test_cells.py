"""From traces to sums: exact, additive, and indifferent to the order of rows and to the labels of the arms."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from analytics.cells import Cells, cells, finished, freeze, partial_cells
from analytics.compact import compact, in_order
from analytics.metrics import Metric, MetricKind
from analytics.parts import cohort_parts
from analytics.stats.contrast import Contrast, log_ratio, rate_difference
from analytics.stats.evidence import rate_evidence
from analytics.values import prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.stats.sums import ArmSums, FloatArray, TwoArmSums

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


def in_bytes(found: Cells) -> list[object]:
    """Everything in cells, floating-point numbers as their bytes."""

    def written(value: object) -> object:
        if isinstance(value, np.ndarray):
            return value.dtype.str, value.shape, value.tobytes()
        if is_dataclass(value):
            return [written(getattr(value, field.name)) for field in fields(value)]
        if isinstance(value, tuple):
            return [written(each) for each in value]
        return value

    named = [(name, written(data)) for name, data in found.by_metric.items()]
    return [found.cohorts, found.looks, found.traces, found.expected, found.began, named]


def varied(seed: int) -> pl.DataFrame:
    """Traffic with strata, and with traces that a sampler kept with some probability."""
    frame = traffic(seed=seed)
    rng = np.random.default_rng(seed + 1)
    return frame.with_columns(
        stratum=pl.Series(rng.choice(["easy", "hard"], frame.height)),
        keep_probability=pl.Series(rng.choice([1.0, 0.3, 0.07], frame.height)),
    )


@pytest.mark.parametrize("seed", range(3))
def test_parts_merge_to_the_very_same_cells(seed: int) -> None:
    """Traces split at random, added up apart and merged in any order, give the same bytes as all at once."""
    frame = varied(seed)
    frozen = freeze(frame, frame.clear(), METRICS, as_of=AS_OF)
    part = np.random.default_rng(seed).integers(0, 5, frame.height)
    parts = [partial_cells(frame.filter(part == number), frozen, METRICS, as_of=AS_OF) for number in (3, 0, 4, 2, 1)]
    merged = finished(reduce(add, parts), frozen, METRICS, as_of=AS_OF)
    assert in_bytes(merged) == in_bytes(aggregate(frame, *METRICS))


def test_a_new_day_is_added_and_nothing_else() -> None:
    """The state of all days so far, and a day's traces, give the same bytes as all of them at once."""
    frame = varied(7)
    frozen = freeze(frame, frame.clear(), METRICS, as_of=AS_OF)
    dates = frame["end_time"].dt.date()
    days = [frame.filter(dates == day) for day in dates.unique().sort()]
    state = partial_cells(days[0], frozen, METRICS, as_of=AS_OF)
    for day in days[1:]:
        state = state + partial_cells(day, frozen, METRICS, as_of=AS_OF)
    assert in_bytes(finished(state, frozen, METRICS, as_of=AS_OF)) == in_bytes(aggregate(frame, *METRICS))


def uneven(seed: int, *, by_user: bool) -> pl.DataFrame:
    """Traffic of cohorts that differ in strata, sampling, and in what has a value."""
    rng = np.random.default_rng(seed + 2)
    frame = varied(seed).with_columns(cohort=pl.Series(rng.choice(["a", "b", "c", "d", "e"], 3_000)))
    cohort = pl.col("cohort")
    if by_user:
        arm = pl.when(pl.col("unit").cast(pl.Int64) % 2 == 0).then(pl.lit("base")).otherwise(pl.lit("candidate"))
        frame = frame.with_columns(arm=arm)
    return frame.with_columns(
        stratum=pl.when(cohort == "b").then("stratum").otherwise(pl.lit("easy")),
        keep_probability=pl.when(cohort == "c").then("keep_probability"),
        failed=pl.when(cohort != "d").then("failed"),
        cost=pl.when(pl.col("failed") > 0).then(None).otherwise("cost"),
        latency_ms=pl.when(cohort != "e").then("latency_ms"),
    )


@pytest.mark.parametrize("by_user", [False, True])
def test_cohorts_that_are_summed_apart_have_the_very_same_cells(
    monkeypatch: pytest.MonkeyPatch, *, by_user: bool
) -> None:
    """Some cohorts at a time give the same bytes as all at once, with texts and with codes for them."""
    frame = uneven(4, by_user=by_user)
    whole = aggregate(frame, *METRICS)
    (coded,) = in_order(compact(frame.sample(fraction=1.0, shuffle=True, seed=1)))
    assert in_bytes(aggregate(coded, *METRICS)) == in_bytes(whole)
    monkeypatch.setattr("analytics.parts.ROWS_OF_A_PART", 1_000)
    assert len(list(cohort_parts(prepared(coded, AS_OF)))) > 2
    for each in (frame, coded):
        assert in_bytes(aggregate(each, *METRICS)) == in_bytes(whole)


def test_within_strata_both_arms_have_one_mix() -> None:
    """A candidate that is sent more of the hard requests differs in all, and not within strata, where nothing does."""
    rng = np.random.default_rng(5)
    frame = traffic(20_000)
    hard = rng.random(frame.height) < np.where(frame["arm"] == "candidate", 0.6, 0.2)
    frame = frame.with_columns(
        stratum=pl.Series(np.where(hard, "hard", "easy")),
        failed=pl.Series((rng.random(frame.height) < np.where(hard, 0.2, 0.05)).astype(float)),
    )
    data = aggregate(frame, FAILED).by_metric["failed_rate"]
    base, candidate = data.sums.means
    error = np.sqrt(rate_difference(data.sums).variance[:, -1])
    raw = data.sums.candidate.mean - data.sums.base.mean
    assert (raw[:, -1] > 6 * error).all()
    assert (np.abs(candidate - base)[:, -1] < 3 * error).all()
    of_hard = data.strata[0][1]
    assert of_hard.stratum == "hard"
    ours = frame.filter(cohort="left", stratum="hard", arm="candidate")
    assert of_hard.n[1] == ours.height
    assert of_hard.y is not None
    assert of_hard.y[1] == pytest.approx(ours["failed"].sum())


def test_blocks_are_what_each_days_strata_give_by_hand() -> None:
    """Information, weighted totals and squared residuals, computed from the traces themselves."""
    frame = varied(3).drop("keep_probability").filter(cohort="left")
    blocks = aggregate(frame, COST).by_metric["cost"].sums.blocks
    assert blocks is not None
    cap = freeze(frame, frame.clear(), (COST,), as_of=AS_OF).by_metric["cost"].thresholds
    assert cap is not None
    ours = pl.col("arm") == "candidate"
    by_block = ["stratum", pl.col("end_time").dt.date().alias("day")]
    capped = frame.with_columns(y=pl.col("cost").clip(upper_bound=cap["t0"][0]))
    each = capped.group_by(by_block).agg(
        a=(~ours).sum().cast(pl.Float64), b=ours.sum().cast(pl.Float64), mean=pl.col("y").mean()
    )
    assert blocks.information[0, -1] == pytest.approx((each["a"] * each["b"] / (each["a"] + each["b"])).sum())
    residuals = (
        capped.with_columns(by_block[1])
        .join(each, on=["stratum", "day"])
        .with_columns(
            e=(pl.col("y") - pl.col("mean")) * (pl.col("a") * pl.col("b")).sqrt() / (pl.col("a") + pl.col("b"))
        )
    )
    units = residuals.filter(ours).group_by("unit").agg(pl.col("e").sum())
    assert blocks.candidate_squares[0, -1] == pytest.approx((units["e"] ** 2).sum())


@pytest.mark.parametrize(("metric", "contrast_of"), [(FAILED, rate_difference), (COST, log_ratio)])
def test_a_stratum_of_one_arm_alone_is_no_certainty(
    metric: Metric, contrast_of: Callable[[TwoArmSums], Contrast]
) -> None:
    """Where nearly all of the traffic meets the base, and hardly fails, the standard error is that of the rest."""
    rng = np.random.default_rng(11)
    n, cohorts = 2_000, 80
    hard = rng.random(n * cohorts) < 0.1
    ours = rng.random(n * cohorts) < np.where(hard, 0.5, 0.02)
    second = rng.integers(0, 5 * 86_400, n * cohorts)
    frame = pl.DataFrame(
        {
            "trace_id": [f"{i:08x}" for i in range(n * cohorts)],
            "end_time": np.datetime64(START, "ns") + (second * 10**9).astype("timedelta64[ns]"),
            "cohort": np.repeat([f"{i:02}" for i in range(cohorts)], n),
            "arm": np.where(ours, "candidate", "base"),
            "stratum": np.where(hard, "hard", "easy"),
            "failed": (rng.random(n * cohorts) < np.where(hard, 0.3, 0.002)).astype(float),
            "cost": rng.lognormal(0.0, 0.7, n * cohorts) * np.where(hard, 1.0, 30.0),
        }
    ).with_columns(unit="trace_id")
    contrast = contrast_of(aggregate(frame, metric).by_metric[metric.name].sums)
    claimed = np.sqrt(contrast.variance[:, -1].mean())
    assert 0.8 < contrast.effect[:, -1].std() / claimed < 1.25


def test_one_block_is_no_block() -> None:
    """A cohort of one stratum is compared as a whole, whatever strata another one has."""
    frame = traffic()
    strata = frame.with_columns(
        stratum=pl.when(pl.col("cohort") == "right").then(pl.col("unit").str.slice(0, 1)).otherwise(pl.lit("a"))
    )
    for metric, contrast_of in ((FAILED, rate_difference), (COST, log_ratio)):
        whole, within = (contrast_of(aggregate(each, metric).by_metric[metric.name].sums) for each in (frame, strata))
        assert within.effect[0] == pytest.approx(whole.effect[0])
        assert within.variance[0] == pytest.approx(whole.variance[0])
        assert within.effect[1, -1] != pytest.approx(whole.effect[1, -1])


def test_what_comes_later_changes_no_look_before() -> None:
    """A period that begins on the seventh day leaves the evidence of the days before it as it was."""
    frame = traffic()
    seventh = pl.col("end_time") >= START + timedelta(days=6)
    stepped = frame.with_columns(period=seventh.cast(pl.Int32))
    before, after = (aggregate(each, FAILED).by_metric["failed_rate"].sums for each in (frame, stepped))
    one, other = rate_evidence(before), rate_evidence(after)
    assert other.worse[:, :6] == pytest.approx(one.worse[:, :6])
    assert other.better[:, :6] == pytest.approx(one.better[:, :6])
    assert other.worse[:, 6:] != pytest.approx(one.worse[:, 6:])


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


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_what_a_sampler_kept_before_stands_for_what_it_dropped(metric: Metric) -> None:
    """The base's value before the comparison, on which margins rest, is that of all traffic, slow or not."""
    frame = traffic(20_000).with_columns(arm=pl.lit("base"))
    slow = pl.col("latency_ms") > 800
    kept = frame.with_columns(keep_probability=pl.when(slow).then(1.0).otherwise(0.1)).filter(
        slow | (pl.int_range(pl.len()) % 10 == 0)
    )
    whole, sampled = (
        cells(frame, each.with_columns(pl.col("end_time") - timedelta(days=20)), (metric,), as_of=AS_OF)
        .by_metric[metric.name]
        .before
        for each in (frame, kept)
    )
    assert sampled == pytest.approx(whole, rel=0.2 if metric is FAILED else 0.06)


@pytest.mark.parametrize(("metric", "enough"), [(COST, 40), (P99, 100)])
def test_pooled_thresholds_wait_for_enough_traces(metric: Metric, enough: int) -> None:
    """Without a pre-period the thresholds are known from the first look with enough traces, or never."""
    frame = traffic(600).filter(pl.col("cohort") == "left")
    data = aggregate(frame, metric)
    per_day = frame.group_by(pl.col("end_time").dt.date()).len().sort("end_time")
    reached = per_day.filter(pl.col("len").cum_sum() >= enough)["end_time"][0]
    assert data.looks[data.by_metric[metric.name].first_look[0]] == reached
    few = aggregate(frame.head(enough - 1), metric)
    assert few.by_metric[metric.name].first_look[0] == len(few.looks)


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
