"""Ordinary tests of the same sums, for comparison: z-tests on traces, on users, and corrected per report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtr

from analytics.simulation.family_sums import MetricSums
from analytics.stats.mixture import t_to_z
from analytics.stats.sums import ArmSums, FloatArray, TwoArmSums

ZScores = Callable[[MetricSums], FloatArray]


def _standardised(sums: TwoArmSums, variance: FloatArray) -> FloatArray:
    """The difference of the arms over its standard error; 0 where that is 0 or an arm is empty."""
    known = (variance > 0) & sums.both_arms
    difference = sums.candidate.mean - sums.base.mean
    return np.divide(difference, np.sqrt(np.where(known, variance, 1.0)), out=np.zeros_like(variance), where=known)


def naive_z(metric: MetricSums) -> FloatArray:
    """Traces taken for independent, each arm with its own variance (Wald); shape (cells, looks)."""
    arms = (metric.sums.base, metric.sums.candidate)
    spreads = [
        np.divide(squares, arm.n, out=np.zeros_like(arm.n), where=arm.n > 0) - arm.mean**2
        for arm, squares in zip(arms, metric.squares, strict=True)
    ]
    variance = sum(
        (np.maximum(spread, 0.0) / np.maximum(arm.n, 1) for arm, spread in zip(arms, spreads, strict=True)),
        np.zeros_like(arms[0].n),
    )
    return _standardised(metric.sums, variance)


def cluster_z(metric: MetricSums) -> FloatArray:
    """Users as the unit, each arm with its own delta-method variance (Wald; Deng, Knoblich & Lu, KDD 2018)."""
    base, candidate, cross = metric.sums.base, metric.sums.candidate, metric.sums.cross

    def own(arm: ArmSums) -> FloatArray:
        correction = arm.units / np.maximum(arm.units - 1, 1)
        return np.asarray(correction * arm.residual_squares(arm.mean) / np.maximum(arm.n, 1) ** 2)

    products = cross.yy - candidate.mean * cross.yn - base.mean * cross.ny + base.mean * candidate.mean * cross.nn
    covariance = products / (np.maximum(base.n, 1) * np.maximum(candidate.n, 1))
    return _standardised(metric.sums, np.maximum(own(base) + own(candidate) - 2 * covariance, 0.0))


def pooled_z(metric: MetricSums) -> FloatArray:
    """The contrast of our own tests, its variance pooled over both arms and t turned into z, looked at as it is."""
    contrast = metric.contrast(metric.sums)
    known = (contrast.variance > 0) & metric.sums.both_arms
    t = np.where(known, contrast.effect / np.sqrt(np.where(known, contrast.variance, 1.0)), 0.0)
    return t_to_z(t, contrast.degrees)


@dataclass(frozen=True)
class Fixed:
    """An ordinary test of a family of cells.

    Attributes:
        name: in the tables.
        z: its z-values.
        peeks: whether every look is acted upon, or only the last.
        false_discovery: whether Benjamini & Hochberg's procedure corrects instead of Holm's.
    """

    name: str
    z: ZScores
    peeks: bool
    false_discovery: bool = False

    def alarms(self, family: Mapping[str, MetricSums], alpha: float) -> tuple[bool, bool]:
        """Whether any cell of a family is called worse, and better, at any look that is acted upon.

        Holm's procedure rejects something just where the smallest p-value is at most alpha over the number of cells.
        """
        z = np.concatenate([self.z(metric) for metric in family.values()])
        return self._any(z, alpha), self._any(-z, alpha)

    def _any(self, z: FloatArray, alpha: float) -> bool:
        p = np.sort(ndtr(-(z if self.peeks else z[:, -1:])), axis=0)
        cells = len(p)
        steps = np.arange(1, cells + 1) if self.false_discovery else np.ones(cells)
        return bool((p <= alpha * steps[:, None] / cells).any())

    def first_found(self, metric: MetricSums, level: float) -> FloatArray:
        """The look at which each cell is called worse at a level, counted from 1; infinite if never."""
        found = log_ndtr(-self.z(metric)) <= np.log(level)
        if not self.peeks:
            found[:, :-1] = False
        return first_look(found)


def first_look(found: FloatArray) -> FloatArray:
    """The first look of each cell that is found, counted from 1; infinite if none is."""
    return np.where(found.any(axis=1), found.argmax(axis=1) + 1.0, np.inf)


ORDINARY = (
    Fixed("naive z, BH each report", naive_z, peeks=True, false_discovery=True),
    Fixed("naive z, Holm each report", naive_z, peeks=True),
    Fixed("naive z, Holm, last day only", naive_z, peeks=False),
    Fixed("cluster-robust z (Wald), Holm each report", cluster_z, peeks=True),
    Fixed("cluster-robust z (Wald), Holm, last day only", cluster_z, peeks=False),
    Fixed("pooled cluster z and t, Holm, last day only", pooled_z, peeks=False),
)
