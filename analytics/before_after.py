"""The before/after design: the base served until one moment, the candidate from then on.

It is the weakest design, for whatever else changed on that day is in it. Cohorts that stayed with the base show what
happened to all; without them a difference is associated with the change, no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from math import inf, isfinite, log
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.cells import Cells, finished, freeze, partial_cells
from analytics.daily import Calendar, DailySeries, daily_series, since_change
from analytics.metric_tests import Finding, MetricTest, change, margins, metric_test, scaled_margins
from analytics.metrics import MetricKind
from analytics.mix import percent
from analytics.report.model import Check, CheckStatus
from analytics.stats.before_after import (
    DAYS_FOR_WEEKDAYS,
    FEWEST_DAYS_BEFORE,
    StepAssessment,
    Steps,
    assess_steps,
    control_series,
    steps,
)
from analytics.stats.evidence import MINIMUM_EVENTS, Evidence, known_from
from analytics.stats.failure import Failure
from analytics.values import shown_quantile, tail_share
from analytics.verdict import Engine, Judgement, judge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from analytics.metrics import Metric
    from analytics.promotions import Promotion
    from analytics.stats.family import Tested
    from analytics.stats.sums import FloatArray

STAYED = 0.99
"""A cohort of whose traces after the change at least this share met the base has stayed with it."""

PERIOD_BEFORE = timedelta(days=28)
"""How far before the change days are compared with those after it."""

CHECK = "before_after"

NOT_ASKED = frozenset({"sample_ratio"})
"""Checks that make no sense in this design: the share of users is 0 before the change and 1 after it."""

_MOST_NAMED = 5
# More than ten times as much is nothing that a person could plan with.
_LARGEST_DETECTABLE = log(10)


@dataclass(frozen=True)
class Periods:
    """The traces of a before/after comparison.

    Attributes:
        compared: of cohorts that changed: those of the base before the change, those of the candidate after it.
        stayed: of cohorts that stayed with the base and were there long enough to be controls: those of the base.
        controls: these cohorts' names.
        others: share of the changed cohorts' traces after the change that still met the base; they are left out.
        too_new: cohorts that stayed with the base but were there for too few days to be controls; they are left out.
    """

    compared: pl.DataFrame
    stayed: pl.DataFrame
    controls: tuple[str, ...]
    others: float
    too_new: tuple[str, ...]


def periods(traces: pl.DataFrame, promotion: Promotion) -> Periods:
    """Tell the periods apart, and the cohorts that stayed with the base from those that changed.

    Args:
        traces: the wide traces frame from :data:`PERIOD_BEFORE` before the change on.
        promotion: of the design "before_after".
    """
    started = pl.col("start_time")
    open_still = pl.lit(value=True) if promotion.ended_at is None else started < promotion.ended_at
    of_arms = traces.filter(pl.col("arm").is_not_null() & open_still)
    is_base = pl.col("arm") == "base"
    before = of_arms.filter((started < promotion.at) & is_base)
    after = of_arms.filter(started >= promotion.at)
    on_base = after.group_by("cohort").agg(share=is_base.mean()).filter(pl.col("share") >= STAYED)
    stayed = on_base["cohort"].sort().to_list()
    days = before.group_by("cohort").agg(days=started.dt.date().n_unique())
    long_enough = set(days.filter(pl.col("days") >= DAYS_FOR_WEEKDAYS)["cohort"])
    controls = tuple(name for name in stayed if name in long_enough)
    of_changed = after.filter(~pl.col("cohort").is_in(stayed))
    kept = pl.concat([before.filter(~pl.col("cohort").is_in(stayed)), of_changed.filter(~is_base)])
    base_rows = pl.concat([before, after.filter(is_base)]).filter(pl.col("cohort").is_in(controls))
    others = of_changed.filter(is_base).height / max(1, of_changed.height)
    return Periods(kept, base_rows, controls, others, tuple(name for name in stayed if name not in long_enough))


def design_check(found: Periods, promotion: Promotion) -> Check:
    """How much this design can show here, and what to do about it."""
    weakest = "before and after is the weakest design: whatever else changed on that day is in it"
    split = "prefer a split of the traffic"
    left_out = ""
    if found.others > 1 - STAYED:
        left_out += f" {percent(found.others)} of the traces after the change still met the base and are left out."
    if found.too_new:
        left_out += (
            f" {_listed(found.too_new)} stayed with the base but {_had(found.too_new)} fewer than {DAYS_FOR_WEEKDAYS}"
            " days before the change, too few to be a control, and is left out."
        )
    if promotion.planned_end is not None:
        left_out += " The declared end spends nothing in this design."
    if found.controls:
        detail = (
            f"What {_listed(found.controls)} did at the same time, which stayed with the base, is taken out; still, "
            f"{weakest}, so {split} where you can.{left_out}"
        )
        return Check(CHECK, None, CheckStatus.PASS, detail)
    detail = (
        f"No cohort stayed with the base for comparison, and {weakest}: {split}, or leave some cohorts on the base."
        f"{left_out}"
    )
    return Check(CHECK, None, CheckStatus.WARN, detail)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED:,} more"


def _had(names: Sequence[str]) -> str:
    return "had" if len(names) == 1 else "each had"


def judge_periods(
    found: Periods,
    metrics: tuple[Metric, ...],
    *,
    promotion: Promotion,
    as_of: datetime,
    alpha: float,
    checks: Sequence[Check],
) -> Judgement:
    """Judge every metric of every cohort that changed, day by day.

    Args:
        found: the traces.
        metrics: what to judge.
        promotion: when the change was.
        as_of: only values that were final by then count (UTC, naive).
        alpha: family-wise error rate of each direction.
        checks: validity checks; a failed one makes the metrics it names INVALID.
    """
    everything = pl.concat([found.compared, found.stayed])
    frozen = freeze(everything, everything.filter(pl.col("start_time") < promotion.at), metrics, as_of=as_of)
    changed = set(found.compared["cohort"])
    own = replace(frozen, expected={name: size for name, size in frozen.expected.items() if name in changed})
    of_changed = partial_cells(found.compared, frozen, metrics, as_of=as_of)
    aggregated = finished(of_changed, own, metrics, as_of=as_of)
    of_stayed = partial_cells(found.stayed, frozen, metrics, as_of=as_of)
    tested = {}
    for metric in metrics:
        calendar = Calendar.of(metric.maturity, since=promotion.at - PERIOD_BEFORE, at=promotion.at, until=as_of)
        # No cohort is in both.
        rows = pl.concat([part.levels[metric.name].sums for part in (of_changed, of_stayed)])
        series = daily_series(rows, metric, calendar, (*aggregated.cohorts, *found.controls), found.controls)
        tested[metric.name] = _StepTest.of(metric, calendar, series, aggregated)
    engine = Engine(
        lambda metric, data: replace(metric_test(metric, data), evidence=tested[metric.name].evidence),
        lambda test, result, level: tested[test.metric.name].findings(test, result, level),
    )
    return judge(aggregated, metrics, alpha=alpha, checks=checks, engine=engine)


@dataclass(frozen=True)
class _StepTest:
    """One metric's steps, oriented so that higher is worse, and the evidence in them at the looks of the report.

    Attributes:
        steps: of the cohorts that changed, (cohorts, days after the change).
        series: of these cohorts and of the controls.
        evidence: log e-values, (cohorts, looks).
        has_controls: whether what happened to all was taken out.
    """

    steps: Steps | None
    series: DailySeries
    evidence: Evidence
    has_controls: bool

    @classmethod
    def of(cls, metric: Metric, calendar: Calendar, series: DailySeries, aggregated: Cells) -> _StepTest:
        count, looks = len(aggregated.cohorts), len(aggregated.looks)
        is_control = np.arange(len(series.slope)) >= count
        if not calendar.after:
            nothing = np.zeros((count, looks))
            return cls(None, series, Evidence(nothing, nothing), has_controls=False)
        x, has_controls = series.x[:count], False
        common = control_series(series.x, series.information, is_control, series.slope)
        if np.isfinite(common).any():
            x, has_controls = x - np.multiply.outer(series.slope[:count], common), True
        found = steps(
            x if metric.higher_is == "worse" else -x,
            series.noise[:count],
            calendar.weekdays,
            len(calendar.before),
            series.scales[:, :count],
            series.enough[:count],
        )
        column = since_change(calendar, aggregated.looks)

        def at_looks(log_e: FloatArray) -> FloatArray:
            return np.where(column >= 0, log_e[:, np.maximum(column, 0)], 0.0)

        by_day = found.evidence
        evidence = Evidence(at_looks(by_day.worse), at_looks(by_day.better))
        return cls(found, series, evidence, has_controls)

    def findings(self, test: MetricTest, tested: Tested, alpha: float) -> list[Finding]:
        """What can be said of each cohort that changed."""
        accepted = margins(test)
        if self.steps is None:
            return [self._nothing_yet(test, float(margin), row) for row, margin in enumerate(accepted)]
        scaled, after = scaled_margins(test, accepted), np.maximum(self.series.traces_after[: len(accepted)], 1)
        at_margin = np.zeros_like(scaled)
        ready = self.steps.days[:, -1] & known_from(test.data.first_look, test.sums)[:, -1]
        if test.metric.kind is MetricKind.RATE:
            usual = self.series.usual[: len(accepted)]
            failing = usual if test.sign > 0 else 1 - usual
            at_margin = np.maximum(scaled * (1 - 2 * failing - scaled), 0.0) / after
            ready = ready & ((failing + scaled) * after >= MINIMUM_EVENTS)
        elif test.metric.kind is MetricKind.TAIL:
            base = test.data.values[:, 0]
            share = np.nan_to_num(accepted / np.where(base > 0, base, 1.0))
            scaled = np.log1p(share) * tail_share(shown_quantile(test.metric))
        found = assess_steps(
            self.steps,
            rejected=(tested.worse, tested.better),
            levels=(tested.worse_level, tested.better_level),
            margin=scaled,
            at_margin=at_margin,
            alpha=alpha,
        )
        per_day = after / np.maximum(self.steps.days_after[:, -1], 1)
        return [
            self._finding(
                test,
                tested,
                found,
                margin=float(accepted[row]),
                per_day=float(per_day[row]),
                ready=bool(ready[row]),
                failure=self._failure(test, self.steps, row, is_ready=bool(ready[row])),
                row=row,
            )
            for row in range(len(accepted))
        ]

    def _finding(
        self,
        test: MetricTest,
        tested: Tested,
        found: StepAssessment,
        *,
        margin: float,
        per_day: float,
        ready: bool,
        failure: Failure | None,
        row: int,
    ) -> Finding:
        """One cohort's, in the metric's unit."""
        sign, kind, base = test.sign, test.metric.kind, float(test.data.values[row, 0])

        # Moving the tail by s in the logarithm moves the mean excess by s times the tail's share.
        scale = tail_share(shown_quantile(test.metric)) if kind is MetricKind.TAIL else 1.0

        def in_unit(end: float) -> float:
            return sign * end if kind is MetricKind.RATE else base * change(sign * end / scale)

        def interval(low: FloatArray, high: FloatArray) -> tuple[float, float]:
            first, second = sorted((in_unit(float(low[row])), in_unit(float(high[row]))))
            return first, second

        effect = float(found.effect[row])
        detectable = float(found.detectable[row])
        if kind is not MetricKind.RATE and detectable / scale > _LARGEST_DETECTABLE:
            detectable = inf
        like = " among like traces" if test.data.strata[row] else ""
        associated = (
            "" if self.has_controls else ": associated with the change, which is not to say caused by the model"
        )
        return Finding(
            effect=in_unit(effect),
            interval=interval(found.low, found.high),
            alone=interval(found.low_alone, found.high_alone),
            margin=sign * margin,
            needed=float(np.ceil(found.days_needed[row] * per_day)),
            detectable=abs(in_unit(detectable)) if isfinite(detectable) else inf,
            worse=bool(tested.worse[row]) and effect > 0,
            better=bool(tested.better[row]) and effect < 0,
            ready=ready,
            failure=failure,
            among=f"by the day{like}{' beside the cohorts that stayed' if self.has_controls else ''}",
            caveat=associated,
        )

    @staticmethod
    def _nothing_yet(test: MetricTest, margin: float, row: int) -> Finding:
        """Before a whole day has passed."""
        base, candidate = test.data.counts[row]
        failure = Failure.NO_DATA if not base and not candidate else Failure.NO_BASE if not base else None
        failure = failure or (Failure.NO_CANDIDATE if not candidate else Failure.TOO_FEW_DAYS)
        everything = (-inf, inf)
        effect = float(test.data.values[row, 1] - test.data.values[row, 0])
        return Finding(
            effect, everything, everything, test.sign * margin, inf, inf,
            worse=False, better=False, ready=False, failure=failure,
        )  # fmt: skip

    @staticmethod
    def _failure(test: MetricTest, found: Steps, row: int, *, is_ready: bool) -> Failure | None:
        base, candidate = test.data.counts[row]
        few = found.days_before[row] < FEWEST_DAYS_BEFORE or found.days_after[row, -1] < 1
        present = {
            Failure.NO_DATA: not base and not candidate,
            Failure.NO_BASE: not base,
            Failure.NO_CANDIDATE: not candidate,
            Failure.NO_THRESHOLD: test.data.first_look[row] >= test.sums.base.n.shape[1],
            Failure.TOO_FEW_DAYS: few,
            Failure.NO_VARIATION: not found.varies[row] and found.contrast.effect[row, -1] == 0,
            Failure.TOO_FEW_EVENTS: not is_ready,
        }
        return next((failure for failure, applies in present.items() if applies), None)
