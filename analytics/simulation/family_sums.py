"""Adds drawn traces up to the sufficient statistics of the tests: cumulative sums over users, per cohort and day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import partial

import numpy as np

from analytics.metrics import MetricKind
from analytics.simulation.draw import MATURITY
from analytics.simulation.family import COST, LATENCY, TASKS, Bools, Drawn, Floats, Numbers
from analytics.simulation.scenarios import RATES
from analytics.stats.contrast import RATIO_SCALES, Contrast, log_ratio, mean_difference, rate_difference
from analytics.stats.evidence import EXCESS_SCALES, Evidence, mean_evidence, rate_evidence, tail_evidence
from analytics.stats.sums import ArmSums, CrossSums, TwoArmSums

LATENCY_P50, LATENCY_P99, COST_PER_TRACE = "latency_p50", "latency_p99", "cost_per_trace"
METRICS = (*RATES, LATENCY_P50, LATENCY_P99, COST_PER_TRACE)
"""The twelve metrics of a family."""

_LARGEST_EXCESS = 2.0


@dataclass(frozen=True)
class MetricSums:
    """One metric of all cohorts.

    Attributes:
        kind: how it is tested.
        sums: of what is tested, (cohorts, looks).
        squares: per arm, the sum of the traces' squared values, (cohorts, looks): what a test that takes traces for
            independent needs.
        exceedance: for TAIL, of "above the frozen 99th percentile".
        maturity: how long after a trace its value is final; its look is as much later.
    """

    kind: MetricKind
    sums: TwoArmSums
    squares: tuple[Floats, Floats]
    exceedance: TwoArmSums | None = None
    maturity: timedelta = timedelta(0)

    def contrast(self, sums: TwoArmSums) -> Contrast:
        """The contrast that is tested."""
        if self.kind is MetricKind.RATE:
            return rate_difference(sums)
        if self.kind is MetricKind.MEAN:
            return log_ratio(sums)
        if self.kind is MetricKind.QUANTILE:
            return mean_difference(sums, RATIO_SCALES, relative=False)
        return mean_difference(sums, EXCESS_SCALES, relative=True)

    @property
    def evidence(self) -> Evidence:
        """What the kernel says at every look, with thresholds that are known from the first."""
        if self.kind is MetricKind.RATE:
            return rate_evidence(self.sums)
        first_look = np.zeros(len(self.sums.base.n), dtype=np.intp)
        if self.exceedance is not None:
            return tail_evidence(self.sums, self.exceedance, first_look)
        return mean_evidence(self.sums, self.contrast(self.sums), first_look)


def family_sums(drawn: Drawn, metrics: Sequence[str] = METRICS) -> dict[str, MetricSums]:
    """The sums of each metric, a late label's at the look at which it is final.

    Args:
        drawn: with the columns that the metrics need.
        metrics: of `METRICS`.
    """
    adder = Adder(drawn)
    return {metric: _metric_sums(adder, drawn, metric) for metric in metrics}


def _metric_sums(adder: Adder, drawn: Drawn, metric: str) -> MetricSums:
    if metric in RATES:
        maturity = MATURITY.get(metric, timedelta(0))
        where = ~drawn.lost if metric == TASKS and drawn.lost.any() else None
        sums = adder.sums(drawn.values[metric], where=where, late=maturity.days)
        return MetricSums(MetricKind.RATE, sums, (sums.base.y, sums.candidate.y), maturity=maturity)
    if metric == COST_PER_TRACE:
        capped = np.minimum(drawn.values[COST], drawn.thresholds.cost_cap[drawn.cohort])
        return MetricSums(MetricKind.MEAN, adder.sums(capped), adder.squares(capped))
    value = drawn.values[LATENCY]
    low, p95, p99 = (drawn.thresholds.latency[share][drawn.cohort] for share in (0.05, 0.95, 0.99))
    if metric == LATENCY_P50:
        logs = np.log(np.clip(value, low, p95))
        return MetricSums(MetricKind.QUANTILE, adder.sums(logs), adder.squares(logs))
    excess = np.clip(np.log(value / p95), 0.0, _LARGEST_EXCESS)
    above = (value > p99).astype(np.float64)
    return MetricSums(MetricKind.TAIL, adder.sums(excess), adder.squares(excess), adder.sums(above))


@dataclass(frozen=True)
class _Totals:
    """Running totals of each user at the end of a day with traces, and what the day added."""

    through: Floats
    added: Floats

    @property
    def before(self) -> Floats:
        return self.through - self.added


class Adder:
    """Adds values of traces up per cohort, arm and day over users."""

    def __init__(self, drawn: Drawn) -> None:
        self._shape = drawn.cohorts, drawn.days
        self._by_user = drawn.by_user
        self._candidate = drawn.candidate
        new_user = np.diff(drawn.user, prepend=-1) != 0
        self._starts = np.flatnonzero(new_user | (np.diff(drawn.day, prepend=-1) != 0))
        new_user = new_user[self._starts]
        self._first: Numbers = np.flatnonzero(new_user)[np.cumsum(new_user) - 1]
        self._place = (drawn.cohort * drawn.days + drawn.day)[self._starts]
        self._counted: dict[bool, tuple[_Totals, Mapping[str, Floats]]] = {
            arm: self._counts(self._candidate == arm) for arm in (False, True)
        }

    def sums(self, values: Floats, *, where: Bools | None = None, late: int = 0) -> TwoArmSums:
        """The sums of both arms.

        Args:
            values: one per trace.
            where: which traces count; None counts all.
            late: days after the trace on which its value is final; what is not by the last day does not count.

        Returns:
            Shape (cohorts, looks), cumulative.
        """
        arms = []
        for arm in (False, True):
            of_arm = self._candidate == arm
            if where is None:
                n, plain = self._counted[arm]
                shown = np.where(of_arm, values, 0.0)
            else:
                n, plain = self._counts(of_arm & where)
                shown = np.where(of_arm & where, values, 0.0)
            y = self._totals(shown)
            of_values = {"y": self._cumulative(y.added), "yn": self._product(y, n), "yy": self._product(y, y)}
            arms.append((n, y, ArmSums(**plain, **of_values)))
        (n_a, y_a, base), (n_b, y_b, candidate) = arms
        if self._by_user:
            cross = CrossSums(*[np.zeros(self._shape)] * len(fields(CrossSums)))
        else:
            cross = CrossSums(*(self._product(a, b) for a, b in ((y_a, y_b), (y_a, n_b), (n_a, y_b), (n_a, n_b))))
        if not late:
            return TwoArmSums(base, candidate, cross)
        later = partial(_later, days=late)
        return TwoArmSums(
            ArmSums(*(later(getattr(base, f.name)) for f in fields(ArmSums))),
            ArmSums(*(later(getattr(candidate, f.name)) for f in fields(ArmSums))),
            CrossSums(*(later(getattr(cross, f.name)) for f in fields(CrossSums))),
        )

    def squares(self, values: Floats) -> tuple[Floats, Floats]:
        """Per arm, the sum of the squared values of its traces, (cohorts, looks)."""
        squared = values**2
        base, candidate = (
            self._cumulative(np.add.reduceat(np.where(self._candidate == arm, squared, 0.0), self._starts))
            for arm in (False, True)
        )
        return base, candidate

    def _counts(self, counted: Bools) -> tuple[_Totals, Mapping[str, Floats]]:
        n = self._totals(counted.astype(np.float64))
        appears = ((n.added > 0) & (n.through == n.added)).astype(np.float64)
        plain = {"units": self._cumulative(appears), "n": self._cumulative(n.added), "nn": self._product(n, n)}
        return n, plain

    def _totals(self, values: Floats) -> _Totals:
        added = np.add.reduceat(values, self._starts)
        through = np.cumsum(added)
        return _Totals(through - (through - added)[self._first], added)

    def _product(self, first: _Totals, second: _Totals) -> Floats:
        """Sum over the users of products of totals, by what each day adds to it."""
        return self._cumulative(first.through * second.through - first.before * second.before)

    def _cumulative(self, added: Floats) -> Floats:
        dense = np.bincount(self._place, weights=added, minlength=self._shape[0] * self._shape[1])
        return np.asarray(np.cumsum(dense.reshape(self._shape), axis=1), dtype=np.float64)


def _later(cumulative: Floats, days: int) -> Floats:
    shifted = np.zeros_like(cumulative)
    shifted[:, days:] = cumulative[:, : cumulative.shape[1] - days]
    return shifted
