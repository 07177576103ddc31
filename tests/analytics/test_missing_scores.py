"""Scores missing alike, lost in one arm, and what lost scores may turn."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from analytics.cells import cells
from analytics.evaluator_checks import EvaluatorContext
from analytics.maturity import Maturity
from analytics.metrics import Metric, metrics_for
from analytics.missing_scores import ScoreLoss, score_losses, within_bounds
from analytics.report.model import CheckStatus, CohortResult, Decision, MetricResult, Verdict
from analytics.report.values import ArmValue
from analytics.verdict import judge

START = datetime(2026, 11, 2)
PASS, WARN, FAIL = CheckStatus.PASS, CheckStatus.WARN, CheckStatus.FAIL
SCORE = "evaluation:TaskCompletion"
DAYS = 14


def traffic(
    seed: int, cohorts: int, *, per_day: int = 500, days: int = DAYS, fails: tuple[float, float] = (0.08, 0.08),
    lost: float = 0.0, scored: float = 1.0, ramp: bool = False,
) -> pl.DataFrame:  # fmt: skip
    """Traces of two arms in many cohorts, four per user.

    ``lost`` is the share of the candidate's failing scores that never arrive, ``scored`` that of traces chosen to be
    scored at all; with ``ramp`` the candidate's traffic grows from a tenth, and the share that is scored falls.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for cohort in range(cohorts):
        for arm, rate in zip(("base", "candidate"), fails, strict=True):
            for day in range(days):
                grown = (0.1 + 0.9 * day / (days - 1)) if ramp and arm == "candidate" else 1.0
                size = max(1, int(per_day * grown))
                failed = rng.random(size) < rate
                chosen = rng.random(size) < (scored * (1 - day / days / 2) if ramp else scored)
                gone = failed & (rng.random(size) < lost) if arm == "candidate" else np.zeros(size, dtype=bool)
                frames.append(
                    pl.DataFrame(
                        {
                            "cohort": [f"c{cohort:03}"] * size,
                            "arm": [arm] * size,
                            "unit": [f"{arm}-{cohort}-{user}" for user in rng.integers(0, per_day * 3, size)],
                            "second": rng.integers(0, 86_000, size) + day * 86_400,
                            SCORE: np.where(chosen & ~gone, failed.astype(float), np.nan),
                        }
                    )
                )
    return (
        pl.concat(frames)
        .with_columns(pl.col(SCORE).fill_nan(None), end_time=START + pl.duration(seconds="second"))
        .with_columns(start_time=pl.col("end_time") - timedelta(seconds=2))
        .with_row_index()
        .with_columns(trace_id=pl.format("t{}", "index"))
        .drop("index", "second")
    )


def context(**more: Any) -> EvaluatorContext:
    """Until the end of the traffic."""
    return EvaluatorContext(as_of=START + timedelta(days=DAYS + 1), **more)


def one(traces: pl.DataFrame, known: EvaluatorContext | None = None) -> ScoreLoss:
    """What is found in the only cohort."""
    (loss,) = score_losses(traces, known or context())
    return loss


def test_scores_of_a_random_tenth_are_missing_alike() -> None:
    """Scored at random, also by a share that falls while the candidate's traffic grows, both arms lose alike."""
    for loss in score_losses(traffic(1, 3, days=7, scored=0.1, ramp=True), context()):
        assert loss.check().status is PASS, loss


def test_lost_failures_are_seen_within_days() -> None:
    """Four of ten failing scores lost: two days at 500 traces an arm are enough, and the sentence has the shares."""
    loss = one(traffic(2, 1, days=2, fails=(0.08, 0.11), lost=0.4))
    check = loss.check()
    assert (check.status, check.metrics) == (FAIL, ("task_completion_fail_rate",))
    assert "missing on 0.0 % of base and 3.5 %" in check.detail
    assert "find out why" in check.detail


def test_more_scores_in_the_candidate_count_alike() -> None:
    """The test is two-sided: it is the base that lost its scores."""
    swapped = traffic(2, 1, days=2, fails=(0.08, 0.11), lost=0.4).with_columns(
        pl.col("arm").replace({"base": "candidate", "candidate": "base"})
    )
    assert one(swapped).check().status is FAIL


def test_little_that_is_lost_warns() -> None:
    """One failing score in a hundred: beyond chance, and too little to forbid the comparison."""
    loss = one(traffic(3, 1, days=7, fails=(0.02, 0.03), lost=0.5))
    assert 0.01 < loss.lost < 0.02
    assert loss.check().status is WARN
    assert "whatever they had said" in loss.check().detail


def test_young_traces_have_nothing_to_miss() -> None:
    """A trace within the evaluator's usual delay misses no score; an arm of young traces alone is not checked."""
    traces = traffic(4, 1, days=2).with_columns(
        pl.when((pl.col("arm") == "base") | (pl.col("end_time") < START + timedelta(days=1))).then(SCORE).alias(SCORE)
    )
    waits = {SCORE: Maturity(timedelta(days=1), "configured")}
    aware = EvaluatorContext(maturities=waits, as_of=START + timedelta(days=2))
    assert one(traces, aware).check().status is PASS
    assert one(traces, replace(aware, as_of=START + timedelta(days=4))).check().status is FAIL
    later = traces.filter((pl.col("arm") == "base") | (pl.col("end_time") >= START + timedelta(days=1)))
    check = one(later, aware).check()
    assert (check.status, check.detail[:11]) == (WARN, "Not checked")


def test_no_traces_and_no_evaluators_say_nothing() -> None:
    """Without traces, evaluators or scores there is nothing to miss."""
    traces = traffic(5, 1, days=1, per_day=20)
    assert score_losses(traces.clear(), context()) == ()
    assert score_losses(traces.drop(SCORE), context()) == ()
    assert score_losses(traces.with_columns(pl.lit(None, pl.Float64).alias(SCORE)), context()) == ()


def result(
    verdict: Verdict, interval: tuple[float, float] | None, *, candidate: float = 0.02, margin: float = 0.01
) -> MetricResult:
    """A judged fail rate of 2 %."""
    values = ArmValue(5000, 0.02), ArmValue(5000, candidate)
    return MetricResult("m_fail_rate", verdict, "r.", *values, candidate - 0.02, interval, margin, "rate")


@pytest.mark.parametrize(
    ("verdict", "interval", "shares", "after"),
    [
        # The candidate lost 1.5 % of its scores: all failed, its rate would be 1.47 points higher.
        (Verdict.NO_REGRESSION, (-0.005, 0.006), (1.0, 0.985), Verdict.INCONCLUSIVE),
        (Verdict.NO_REGRESSION, (-0.03, -0.006), (1.0, 0.985), Verdict.NO_REGRESSION),
        (Verdict.IMPROVED, (-0.03, -0.006), (1.0, 0.985), Verdict.INCONCLUSIVE),
        (Verdict.IMPROVED, (-0.03, -0.016), (1.0, 0.985), Verdict.IMPROVED),
        (Verdict.IMPROVED, None, (1.0, 0.985), Verdict.INCONCLUSIVE),
        # The base lost them: none failed, its rate would be .03 points lower.
        (Verdict.NO_REGRESSION, (-0.005, 0.0096), (0.985, 1.0), Verdict.NO_REGRESSION),
        (Verdict.NO_REGRESSION, (-0.005, 0.0098), (0.985, 1.0), Verdict.INCONCLUSIVE),
        (Verdict.REGRESSED, (0.001, 0.02), (1.0, 0.985), Verdict.REGRESSED),
    ],
)  # fmt: skip
def test_a_verdict_stands_if_lost_scores_could_not_turn_it(
    verdict: Verdict, interval: tuple[float, float] | None, shares: tuple[float, float], after: Verdict
) -> None:
    """The interval's end moves by what the lost scores could have said; beyond the limit the verdict is taken back."""
    loss = ScoreLoss("c", "m", "m_fail_rate", *shares, p_value=0.04)
    cohort = CohortResult("c", Decision.PROMOTE, "fine.", {}, (result(verdict, interval),))
    (bounded,) = within_bounds([cohort], [loss])
    assert bounded.metrics[0].verdict is after
    assert (bounded == cohort) == (after is verdict)
    if after is not verdict:
        assert (bounded.decision, bounded.reason) == (Decision.HOLD, "not decided yet: m failures.")
        assert "lost 1.5 % of its scores" in bounded.metrics[0].reason
    alike = replace(loss, p_value=0.06)
    assert within_bounds([cohort], [alike]) == (cohort,)


def metrics_of(traces: pl.DataFrame) -> tuple[Metric, ...]:
    """The fail rate alone."""
    return tuple(metric for metric in metrics_for(traces, {}) if metric.column == SCORE)


@pytest.mark.slow
@pytest.mark.parametrize("fails", [(0.08, 0.11), (0.02, 0.03)], ids=["8 to 11 %", "2 to 3 %"])
def test_no_verdict_hides_a_regression_whose_failing_scores_were_lost(
    fails: tuple[float, float], record_property: Any
) -> None:
    """With 40 % of failing scores lost, every second day in 100 cohorts: no good verdict, and it is seen."""
    traces = traffic(11, 100, fails=fails, lost=0.4)
    fired: set[str] = set()
    wrong: set[str] = set()
    for day in range(2, DAYS + 1, 2):
        as_of = START + timedelta(days=day)
        so_far = traces.filter(pl.col("end_time") <= as_of)
        losses = score_losses(so_far, EvaluatorContext(as_of=as_of))
        checks = [loss.check() for loss in losses]
        metrics = metrics_of(so_far)
        judged = judge(cells(so_far, so_far.clear(), metrics, as_of=as_of), metrics, checks=checks)
        for cohort in within_bounds(judged.cohorts, losses):
            if cohort.metrics[0].verdict in (Verdict.IMPROVED, Verdict.NO_REGRESSION):
                wrong.add(cohort.cohort)
        fired |= {loss.cohort for loss in losses if loss.beyond_chance}
    record_property("guardrail fired, of 100", len(fired))
    record_property("good verdict at any look, of 100", len(wrong))
    assert len(fired) >= 99
    # Worse by just the margin, "no regression" is allowed in 5 %; beyond it, never.
    assert len(wrong) <= (0 if fails == (0.08, 0.11) else 5)


@pytest.mark.slow
@pytest.mark.parametrize("scored", [1.0, 0.1])
def test_scores_missing_alike_seldom_alarm(scored: float, record_property: Any) -> None:
    """Equal loss in 40 reports of ten cohorts each, at days 1, 3, 7 and 14: at most one report says it differs."""
    alarms = 0
    for seed in range(40):
        traces = traffic(100 + seed, 10, per_day=200, scored=scored * 0.97)
        looks = (traces.filter(pl.col("end_time") <= START + timedelta(days=day)) for day in (1, 3, 7, 14))
        alarms += any(loss.beyond_chance for look in looks for loss in score_losses(look, context()))
    record_property(f"false alarms of 40, {scored:.0%} scored", alarms)
    assert alarms <= 1
