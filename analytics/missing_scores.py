"""Are an evaluator's scores missing in one arm more than in the other, and what could the missing ones hide?

Scores that are missing alike in both arms, as where a random tenth of the traces is scored, take nothing from a
comparison: what was assigned at random stays so. Scores that one arm lost beyond chance may be its failures. Many of
them make the metric invalid. Few of them leave it standing within bounds: the verdict holds if it would be the same
whatever the lost scores had said (Manski, American Economic Review 80, 1990, 319-323).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isnan
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.cells import cells
from analytics.metric_tests import metric_test
from analytics.metrics import EVALUATION_PREFIX, Metric, MetricKind, metric_names
from analytics.mix import CHANCE_LEVEL, MISSING_TOLERANCE, compare_mix, percent
from analytics.report import formatting
from analytics.report.model import Check, CheckStatus, CohortResult, Decision, MetricResult, Verdict
from analytics.stats.evidence import average

if TYPE_CHECKING:
    from analytics.evaluator_checks import EvaluatorContext

MISSING_LEVEL = 0.01
"""Probability, over all evaluators, cohorts and looks, that scores missing alike are said to be missing differently."""

DOUBT_LEVEL = 0.05
"""The same of one evaluator in one cohort, from which on a verdict has to stand within bounds."""

_MISSING = "missing:"
# Arms that served on different days hold no evidence by day. So much lost is no chance of days.
_HALF = 0.5


@dataclass(frozen=True)
class ScoreLoss:
    """How an evaluator's scores are missing in the arms of one cohort.

    Attributes:
        cohort: its name.
        evaluator: its name.
        metric: the evaluator's metric.
        base: share of the base arm's traces, old enough for a score, that have one; NaN without such traces.
        candidate: the same of the candidate arm.
        p_value: of "the shares are the same", valid at every look.
        level: what it has to be at most to be beyond chance, given how many are looked at.
    """

    cohort: str
    evaluator: str
    metric: str
    base: float
    candidate: float
    p_value: float
    level: float = MISSING_LEVEL

    @property
    def beyond_chance(self) -> bool:
        """Whether the shares differ by more than chance explains, over all that is looked at."""
        return self.p_value <= self.level

    @property
    def doubtful(self) -> bool:
        """Whether a verdict has to stand whatever the lost scores had said."""
        return self.p_value <= DOUBT_LEVEL and not self.too_much

    @property
    def lost(self) -> float:
        """What part of its scores the arm with fewer lost beside the other, in [0, 1]."""
        most = max(self.base, self.candidate)
        return 1 - min(self.base, self.candidate) / most if most else 0.0

    @property
    def too_much(self) -> bool:
        """Whether so much is lost that the metric is not compared."""
        return self.beyond_chance and self.lost > MISSING_TOLERANCE

    def check(self) -> Check:
        """What the check ``missing_scores`` says of it."""
        name, metrics = "missing_scores", (self.metric,)
        if isnan(self.base) or isnan(self.candidate):
            detail = f"Not checked: no trace of one arm is old enough for the scores of {self.evaluator}."
            return Check(name, self.cohort, CheckStatus.WARN, detail, metrics)
        if not self.doubtful and not self.too_much:
            detail = f"Scores of {self.evaluator} are missing alike in both arms."
            return Check(name, self.cohort, CheckStatus.PASS, detail, metrics)
        seen = (
            f"Scores of {self.evaluator} are missing on {percent(1 - self.base)} of base and "
            f"{percent(1 - self.candidate)} of candidate traces"
        )
        if self.too_much:
            detail = f"{seen}: the missing ones may be the failures, so find out why they were not scored."
            return Check(name, self.cohort, CheckStatus.FAIL, detail, metrics)
        detail = (
            f"{seen}, which is hardly chance: a verdict stands only where it would be the same whatever they had said; "
            "find out why they were not scored."
        )
        return Check(name, self.cohort, CheckStatus.WARN, detail, metrics)


def score_losses(traces: pl.DataFrame, context: EvaluatorContext) -> tuple[ScoreLoss, ...]:
    """Compare the shares of scored traces of every evaluator in every cohort.

    A trace that failed and has no score is left out: there was no answer to be scored. "Missing" is tested as any rate
    is, in both directions: an e-value of the counts by day, averaged with the normal mixture, valid at every look, at
    :data:`MISSING_LEVEL` over all evaluators and cohorts together.

    Args:
        traces: the comparison window of the wide traces frame, with ``end_time``; cohorts with both arms.
        context: how long each evaluator is waited for, and until when.

    Returns:
        One for each evaluator and cohort in which it scored anything that is old enough.
    """
    columns = {
        column: name for column, name in metric_names(traces.columns).items() if column.startswith(EVALUATION_PREFIX)
    }
    if traces.is_empty() or not columns:
        return ()
    windows = {column: context.window(column) for column in columns}
    failed = pl.col("error").fill_null(value=False) if "error" in traces.columns else pl.lit(value=False)
    # A trace that failed has no answer to be scored: without a score it is left out.
    frame = traces.with_columns(
        pl.when(pl.col(column).is_not_null() | ~failed).then(pl.col(column).is_null()).alias(_MISSING + column)
        for column in columns
    )
    metrics = tuple(
        Metric(name, MetricKind.RATE, _MISSING + column, "rate", None, maturity=windows[column])
        for column, name in columns.items()
    )
    counted = cells(frame, frame.clear(), metrics, as_of=context.until(traces))
    found: list[ScoreLoss] = []
    for (column, name), metric in zip(columns.items(), metrics, strict=True):
        test = metric_test(metric, counted.by_metric[name])
        # By Ville's inequality the smallest 1/e over the looks is a p-value.
        p_values = np.exp(-average(test.evidence.worse, test.evidence.better).max(axis=1, initial=0.0))
        found += [
            ScoreLoss(cohort, column.removeprefix(EVALUATION_PREFIX), name, base, candidate, p)
            for cohort, (base, candidate), p in zip(
                counted.cohorts, (1 - test.data.values).tolist(), p_values.tolist(), strict=True
            )
            if base > 0 or candidate > 0
        ]
    level = MISSING_LEVEL / max(1, len(found))
    return tuple(_plain(replace(loss, level=level), frame, context) for loss in found)


def _plain(loss: ScoreLoss, frame: pl.DataFrame, context: EvaluatorContext) -> ScoreLoss:
    """A loss of half of an arm's scores is judged by the arms' totals, if the days say nothing."""
    if isnan(loss.base) or isnan(loss.candidate) or loss.lost < _HALF or loss.too_much:
        return loss
    column = f"{EVALUATION_PREFIX}{loss.evaluator}"
    traces = context.old_enough(frame.filter(pl.col("cohort") == loss.cohort), column).drop_nulls(_MISSING + column)
    difference = compare_mix(traces, _MISSING + column, level=min(loss.level, CHANCE_LEVEL))
    return replace(loss, p_value=0.0) if difference.significant else loss


def within_bounds(cohorts: Sequence[CohortResult], losses: Sequence[ScoreLoss]) -> tuple[CohortResult, ...]:
    """Take back IMPROVED and NO_REGRESSION where scores that were lost could turn them.

    What an arm lost beside the other is given the values that speak most against the verdict: all failed if the
    candidate lost them, none if the base did. That moves the fail rate R of the arm by l (1 - R) or l R, where l is
    the part lost, and the interval's end with it.

    Args:
        cohorts: as judged.
        losses: as :func:`score_losses` found them; those that chance explains, and those that make the metric invalid,
            move nothing.
    """
    lossy = {(loss.cohort, loss.metric): loss for loss in losses if loss.doubtful}
    return tuple(_bounded_cohort(cohort, lossy) for cohort in cohorts)


def _bounded_cohort(cohort: CohortResult, lossy: dict[tuple[str, str], ScoreLoss]) -> CohortResult:
    metrics = tuple(_bounded(result, lossy.get((cohort.cohort, result.metric))) for result in cohort.metrics)
    if metrics == cohort.metrics or cohort.decision is Decision.ROLL_BACK:
        return replace(cohort, metrics=metrics)
    open_still = [formatting.metric_label(each.metric) for each in metrics if each.verdict is Verdict.INCONCLUSIVE]
    return replace(cohort, metrics=metrics, decision=Decision.HOLD, reason=f"not decided yet: {', '.join(open_still)}.")


def _bounded(result: MetricResult, loss: ScoreLoss | None) -> MetricResult:
    if loss is None or result.verdict not in (Verdict.IMPROVED, Verdict.NO_REGRESSION):
        return result
    base, candidate, margin = result.base.value, result.candidate.value, result.margin
    if base is None or candidate is None or margin is None:
        return result
    # A configuration may call more failures better; then the margin is below 0 and all signs turn.
    higher_is_worse = margin >= 0
    by_candidate = loss.candidate < loss.base
    most = loss.lost * (1 - candidate if by_candidate else base)
    least = loss.lost * (candidate if by_candidate else 1 - base)
    if result.interval is None:
        worst = inf
    else:
        worst = result.interval[1] + most if higher_is_worse else least - result.interval[0]
    limit = abs(margin) if result.verdict is Verdict.NO_REGRESSION else 0.0
    if worst < limit:
        return result
    arm = "candidate" if by_candidate else "base"
    reason = (
        f"{formatting.metric_label(result.metric)}: {_verdict_words(result.verdict)} by the scores that came, but the "
        f"{arm} arm lost {percent(loss.lost)} of its scores beside the other, and these could turn it: find out why "
        "they were not scored."
    )
    return replace(result, verdict=Verdict.INCONCLUSIVE, reason=reason, more_traces_needed=None)


def _verdict_words(verdict: Verdict) -> str:
    return "better" if verdict is Verdict.IMPROVED else "no regression"
