"""A candidate that took over from the base at one moment: what a report may and may not say of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from analytics.before_after import Periods, design_check, judge_periods, periods
from analytics.daily import Calendar
from analytics.metrics import Metric, MetricKind
from analytics.promotions import BEFORE_AFTER, Promotion
from analytics.report.model import CheckStatus, MetricResult, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AT = datetime(2026, 3, 2)
DAY = timedelta(days=1)
PROMOTION = Promotion("p", "base", "candidate", BEFORE_AFTER, AT, None, "app.cohort", None)
ERRORS = Metric("error_rate", MetricKind.RATE, "error", "rate", None)
COST = Metric("cost_per_trace", MetricKind.MEAN, "cost_usd", "usd", 0.10, "relative")
P50 = Metric("latency_p50", MetricKind.QUANTILE, "latency_ms", "ms", 0.10, "relative", quantile=0.5)
P99 = Metric("latency_p99", MetricKind.TAIL, "latency_ms", "ms", 0.20, "relative", quantile=0.99)
REOPENED = Metric("reopened_rate", MetricKind.RATE, "outcome:reopened", "rate", None, maturity=7 * DAY)


@dataclass(frozen=True)
class World:
    """Cohorts whose days go up and down together.

    Attributes:
        changed: cohort → what the change adds to its rate of 8 %.
        stayed: cohorts that stay with the base.
        before: days before the change.
        after: days after it.
        per_day: traces a day and cohort.
        shock: standard deviation of a day's rate, and of its log cost.
        common: what is added to the rate of all cohorts from the change on.
        slower: what the candidate's latency is multiplied by.
        dearer: what its cost is multiplied by.
        slow_paths: how many times more often the candidate takes the slow path.
    """

    changed: Mapping[str, float] = field(default_factory=lambda: {"refunds": 0.0})
    stayed: tuple[str, ...] = ()
    before: int = 28
    after: int = 10
    per_day: int = 200
    shock: float = 0.02
    common: float = 0.0
    slower: float = 1.0
    dearer: float = 1.0
    slow_paths: float = 1.0

    @property
    def as_of(self) -> datetime:
        """The end of its last day."""
        return AT + self.after * DAY

    def traces(self, seed: int) -> pl.DataFrame:
        """Its wide traces frame; everybody comes once."""
        rng = np.random.default_rng(seed)
        days = np.arange(-self.before, self.after)
        shock = self.shock * rng.standard_normal(len(days))
        frames = []
        for cohort, added in {**self.changed, **dict.fromkeys(self.stayed)}.items():
            day = np.repeat(days, rng.poisson(self.per_day, len(days)))
            is_after = day >= 0
            is_candidate = is_after & (added is not None)
            rate = 0.08 + shock[day + self.before] + self.common * is_after + (added or 0.0) * is_candidate
            slow = rng.random(len(day)) < 0.012 * np.where(is_candidate, self.slow_paths, 1.0)
            latency = np.where(slow, 4_000 * (1 + rng.pareto(2.5, len(day))), rng.lognormal(6.8, 0.45, len(day)))
            cost = rng.lognormal(-4, 1.0, len(day)) * np.exp(shock[day + self.before])
            start = (day * 86_400_000 + rng.integers(0, 86_390_000, len(day))).astype("timedelta64[ms]")
            frames.append(
                pl.DataFrame({
                    "cohort": np.full(len(day), cohort),
                    "arm": np.where(is_candidate, "candidate", "base"),
                    "start_time": np.datetime64(AT, "ns") + start,
                    "error": rng.random(len(day)) < rate,
                    "latency_ms": latency * np.where(is_candidate, self.slower, 1.0),
                    "cost_usd": cost * np.where(is_candidate, self.dearer, 1.0),
                })
            )  # fmt: skip
        whole = pl.concat(frames).with_row_index("trace_id")
        return whole.with_columns(
            pl.col("trace_id").cast(pl.String),
            unit=pl.col("trace_id").cast(pl.String),
            end_time=pl.col("start_time") + timedelta(seconds=5),
        )

    def judged(self, seed: int, *metrics: Metric, promotion: Promotion = PROMOTION) -> dict[str, MetricResult]:
        """Cohort and metric → the result at the end of its last day."""
        return judged(self.traces(seed), self.as_of, *metrics, promotion=promotion)


def judged(
    traces: pl.DataFrame, as_of: datetime, *metrics: Metric, promotion: Promotion = PROMOTION
) -> dict[str, MetricResult]:
    """Cohort and metric → the result."""
    told = judge_periods(periods(traces, promotion), metrics, promotion=promotion, as_of=as_of, alpha=0.05, checks=())
    return {f"{cohort.cohort} {result.metric}": result for cohort in told.cohorts for result in cohort.metrics}


FOUR = ("disputes", "limits", "payments", "transfers")


def test_cohorts_that_stayed_are_found() -> None:
    """Controls are the cohorts that met the base throughout and are old enough; others are named and left out."""
    traces = World(stayed=("disputes", "limits")).traces(1)
    first = traces.filter(pl.col("cohort") == "limits")["start_time"].min()
    new = pl.col("cohort").eq("limits") & (pl.col("start_time") < AT - 10 * DAY)
    found = periods(traces.filter(~new), PROMOTION)
    assert first is not None
    assert found.controls == ("disputes",)
    assert found.too_new == ("limits",)
    assert set(found.compared["cohort"]) == {"refunds"}
    assert set(found.compared.group_by("arm").agg(pl.col("start_time").min() >= AT).rows()) == {
        ("base", False), ("candidate", True),
    }  # fmt: skip
    check = design_check(found, replace(PROMOTION, planned_end=AT + 14 * DAY))
    assert check.status is CheckStatus.PASS
    assert check.detail.endswith("The declared end spends nothing in this design.")
    assert "What disputes did" in check.detail
    assert "limits stayed with the base but had fewer than 14 days" in check.detail


def test_traces_of_the_base_after_the_change_are_left_out() -> None:
    """What still met the base in a cohort that changed is neither before nor after; the check says how much it is."""
    traces = World().traces(2)
    lagging = (pl.col("start_time") >= AT) & (pl.int_range(pl.len()) % 10 == 0)
    mixed = traces.with_columns(arm=pl.when(lagging).then(pl.lit("base")).otherwise("arm"))
    found = periods(mixed, PROMOTION)
    assert found.compared.filter(pl.col("start_time") >= AT)["arm"].unique().to_list() == ["candidate"]
    check = design_check(found, PROMOTION)
    assert check.status is CheckStatus.WARN
    assert "% of the traces after the change still met the base" in check.detail
    assert "weakest design" in check.detail


def test_what_the_end_of_a_promotion_cuts_off() -> None:
    """Traces that began after the promotion ended take no part."""
    ended = replace(PROMOTION, ended_at=AT + 3 * DAY)
    assert periods(World().traces(3), ended).compared["start_time"].max() < ended.ended_at


def test_whole_days_only() -> None:
    """The day of the change, the day of the report and the first day of the record are left out where they are torn."""
    calendar = Calendar.of(timedelta(0), since=AT - 3.5 * DAY, at=AT + 0.25 * DAY, until=AT + 3.5 * DAY)
    assert calendar.before == (date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1))
    assert calendar.after == (date(2026, 3, 3), date(2026, 3, 4))
    late = Calendar.of(DAY, since=AT - 3 * DAY, at=AT, until=AT + 3 * DAY)
    assert late.before == (date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 2))
    assert late.after == (date(2026, 3, 3), date(2026, 3, 4))


def test_a_regression_is_associated_with_the_change() -> None:
    """Without controls a large step is found and called associated; with them its size is told beside theirs."""
    world = World({"refunds": 0.15}, shock=0.005)
    alone = world.judged(4, ERRORS)["refunds error_rate"]
    assert alone.verdict is Verdict.REGRESSED
    assert "associated with the change" in alone.reason
    assert alone.alert_raised_on is not None
    assert alone.alert_raised_on >= AT.date()
    beside = replace(world, stayed=FOUR).judged(5, ERRORS)["refunds error_rate"]
    assert beside.verdict is Verdict.REGRESSED
    assert "by the day beside the cohorts that stayed" in beside.reason
    assert "associated" not in beside.reason
    for result in (alone, beside):
        assert result.interval is not None
        assert result.effect is not None
        assert 0 < result.interval[0] < result.effect < result.interval[1]
        assert result.effect == pytest.approx(0.15, abs=0.03)


def test_what_happened_to_all_is_not_the_candidates() -> None:
    """A step that all cohorts share is a false alarm without controls, and none beside them."""
    world = World(shock=0.005, common=0.12)
    assert world.judged(6, ERRORS)["refunds error_rate"].verdict is Verdict.REGRESSED
    beside = replace(world, stayed=FOUR).judged(6, ERRORS)["refunds error_rate"]
    assert beside.verdict in (Verdict.INCONCLUSIVE, Verdict.NO_REGRESSION)
    assert abs(beside.effect or 0.0) < 0.03


def test_every_kind_of_metric() -> None:
    """Cost, median and tail latency: what is worse is found in its own unit, and equals are not called worse."""
    world = World(stayed=FOUR[:2], after=14, per_day=250)
    worse = replace(world, dearer=1.6, slower=1.3, slow_paths=6.0).judged(7, COST, P50, P99)
    for name, least in {"cost_per_trace": 0.3, "latency_p50": 0.15, "latency_p99": 0.2}.items():
        result = worse[f"refunds {name}"]
        assert result.verdict is Verdict.REGRESSED
        assert result.effect is not None
        assert result.base.value is not None
        assert result.effect / result.base.value > least
    equal = world.judged(8, COST, P50, P99, ERRORS)
    assert {result.verdict for result in equal.values()} <= {Verdict.INCONCLUSIVE, Verdict.NO_REGRESSION}
    assert equal["refunds latency_p50"].verdict is Verdict.NO_REGRESSION


def test_another_mix_is_no_other_model() -> None:
    """Twice as many hard requests since the change look like a regression; within strata they do not."""
    rng = np.random.default_rng(14)
    traces = World(shock=0.005, after=14, per_day=300).traces(14)
    hard = rng.random(traces.height) < np.where(traces["start_time"] >= AT, 0.6, 0.3)
    fails = rng.random(traces.height) < np.where(hard, 0.4, 0.05)
    mixed = traces.with_columns(stratum=pl.Series(np.where(hard, "hard", "easy")), error=pl.Series(fails))
    raw = judged(mixed.drop("stratum"), AT + 14 * DAY, ERRORS)["refunds error_rate"]
    assert raw.verdict is Verdict.REGRESSED
    within = judged(mixed, AT + 14 * DAY, ERRORS)["refunds error_rate"]
    assert within.verdict is not Verdict.REGRESSED
    assert abs(within.effect or 0.0) < 0.02
    assert "among like traces" in within.reason


def test_a_metric_where_higher_is_better() -> None:
    """Turned round, more is an improvement and less a regression."""
    turned = replace(ERRORS, higher_is="better", name="resolved_rate")
    world = World({"more": 0.15, "less": -0.07}, stayed=FOUR[:2], shock=0.005, per_day=400)
    results = world.judged(9, turned)
    assert results["more resolved_rate"].verdict is Verdict.IMPROVED
    assert results["less resolved_rate"].verdict is Verdict.REGRESSED


def test_too_few_days() -> None:
    """Less than a week before, or no whole day after: no verdict, and the reason says what is missing."""
    short = World({"refunds": 0.3}, before=5).judged(10, ERRORS)["refunds error_rate"]
    assert short.verdict is Verdict.INCONCLUSIVE
    assert "needs 7 whole days before the change" in short.reason
    world = World({"refunds": 0.3})
    early = judged(world.traces(11), AT + 0.5 * DAY, ERRORS)["refunds error_rate"]
    assert early.verdict is Verdict.INCONCLUSIVE
    assert "and one after it" in early.reason


def test_a_tail_waits_for_its_threshold() -> None:
    """With fewer than a hundred traces there is no tail to look at: that is no pass, and the reason says so."""
    traces = World({"refunds": 0.0}, before=12, after=10, per_day=4).traces(14)
    found = judged(traces, AT + 10 * DAY, P99)["refunds latency_p99"]
    assert found.base.n + found.candidate.n < 100
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "a comparison begins at 100" in found.reason


def test_no_data_is_never_a_pass() -> None:
    """A cohort that never met the candidate has no result of its own, and a metric without values is invalid."""
    traces = World().traces(12).with_columns(error=pl.lit(None, dtype=pl.Boolean))
    assert judged(traces, AT + 5 * DAY, ERRORS)["refunds error_rate"].verdict is Verdict.INVALID
    before = World().traces(13).filter(pl.col("start_time") < AT)
    assert judged(before, AT + 5 * DAY, ERRORS)["refunds error_rate"].verdict is Verdict.INVALID
    nothing = Periods(before.clear(), before.clear(), (), 0.0, ())
    told = judge_periods(nothing, (ERRORS,), promotion=PROMOTION, as_of=AT + DAY, alpha=0.05, checks=())
    assert told.cohorts == ()


def with_labels(traces: pl.DataFrame, rng: np.random.Generator, as_of: datetime, wait: timedelta) -> pl.DataFrame:
    """Reopened tickets of 4 % of the traces, up to a week late; null until a trace is as old as ``wait``."""
    reopens = rng.random(traces.height) < 0.04
    delay = (rng.random(traces.height) * 6.9 * 86_400_000).astype("timedelta64[ms]")
    happened = pl.Series(reopens) & (pl.col("end_time") + pl.Series(delay) <= as_of)
    old_enough = pl.col("end_time") + wait <= as_of
    return traces.with_columns(pl.when(old_enough).then(happened.cast(pl.Float64)).alias("outcome:reopened"))


@pytest.mark.slow
def test_late_labels(record_testsuite_property: Callable[[str, object], None]) -> None:
    """T4, equal models with late labels: what came so far mostly says "better"; waiting alike in both does not."""
    runs, false, naive = 100, 0, 0
    world = World(after=14, per_day=300, shock=0.0)
    for seed in range(runs):
        rng, traces = np.random.default_rng(10_000 + seed), world.traces(seed)
        labelled = with_labels(traces, rng, world.as_of, 7 * DAY)
        false += judged(labelled, world.as_of, REOPENED)["refunds reopened_rate"].verdict is Verdict.IMPROVED
        soon = AT + 4 * DAY
        counted = with_labels(traces.filter(pl.col("end_time") <= soon), rng, soon, timedelta(0))
        hasty = judged(counted, soon, replace(REOPENED, maturity=timedelta(0)))
        naive += hasty["refunds reopened_rate"].verdict is Verdict.IMPROVED
    record_testsuite_property("late labels: false improved, counted so far", (false / runs, naive / runs))
    assert false <= 0.01 * runs
    assert naive >= 0.5 * runs
