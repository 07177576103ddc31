"""Intervals of quantiles and of their difference, for display beside the tail test."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, hypot, sqrt
from typing import TYPE_CHECKING

import numpy as np

from analytics.stats.bounds import critical_t
from analytics.stats.contrast import RATIO_SCALES, Contrast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.stats.sums import FloatArray


@dataclass(frozen=True)
class QuantileSample:
    """One arm's values of one cell.

    Attributes:
        values: ascending.
        design: design effect of "above the quantile" over the arm's units and weights, at least 1.
        effective_units: Kish's effective number of units.
        weights: of the values; None where all count alike.
    """

    values: FloatArray
    design: float
    effective_units: float
    weights: FloatArray | None = None

    @property
    def size(self) -> float:
        """Number of values, or the sum of their weights."""
        return float(len(self.values)) if self.weights is None else float(self.weights.sum())

    def quantile(self, probability: float) -> float:
        """The sample quantile, linearly interpolated."""
        return float(self.quantiles((probability,))[0])

    def quantiles(self, probabilities: Sequence[float]) -> FloatArray:
        """Several at once."""
        if self.weights is None:
            return np.asarray(np.quantile(self.values, probabilities), dtype=np.float64)
        shares = (np.cumsum(self.weights) - self.weights / 2) / self.size
        return np.asarray(np.interp(probabilities, shares, self.values), dtype=np.float64)

    def interval(self, probability: float, z: float) -> tuple[float, float] | None:
        """Woodruff's interval: order statistics at the cluster-robust interval of the proportion below.

        None where too few values lie beyond the quantile to bound it.
        """
        n = len(self.values)
        reach = z * sqrt(self.design * probability * (1 - probability) / self.size)
        if self.weights is not None:
            shares = np.cumsum(self.weights) / self.size
            below, above = np.searchsorted(shares, [probability - reach, probability + reach])
            if below < 1 or above + 1 >= n:
                return None
            return float(self.values[below - 1]), float(self.values[above + 1])
        low, high = floor(n * (probability - reach)), ceil(n * (probability + reach))
        if low < 1 or high >= n:
            return None
        return float(self.values[low - 1]), float(self.values[high])


def deviation(base: QuantileSample, candidate: QuantileSample, probability: float) -> float | None:
    """Standard error of the difference of two quantiles; None where one cannot be bounded."""
    of_base, of_candidate = base.interval(probability, 1.0), candidate.interval(probability, 1.0)
    if of_base is None or of_candidate is None:
        return None
    return hypot((of_base[1] - of_base[0]) / 2, (of_candidate[1] - of_candidate[0]) / 2)


def quantile_contrast(base: QuantileSample, candidate: QuantileSample, probability: float) -> Contrast | None:
    """The difference of two quantiles as a contrast, shape (1,); None where one cannot be bounded."""
    error = deviation(base, candidate, probability)
    if error is None or error == 0.0:
        return None
    value = base.quantile(probability)
    return Contrast(
        np.array([candidate.quantile(probability) - value]),
        np.array([error**2]),
        np.array([min(base.effective_units, candidate.effective_units) - 1]),
        np.multiply.outer(np.array(RATIO_SCALES), np.array([value])),
    )


def difference_interval(
    base: QuantileSample, candidate: QuantileSample, probability: float, alpha: float
) -> tuple[float, float] | None:
    """Interval of candidate's less base's quantile at the anytime critical value, one-sided level alpha each.

    The arms' intervals are put together by the square-and-add rule (Newcombe 1998, method 10), which keeps
    their skew. None where users are too few, or values beyond the quantile.
    """
    contrast = quantile_contrast(base, candidate, probability)
    if contrast is None:
        return None
    if contrast.degrees[0] <= 0:
        return None
    t = float(critical_t(contrast, np.array([alpha]))[0])
    of_base, of_candidate = base.interval(probability, t), candidate.interval(probability, t)
    if of_base is None or of_candidate is None:
        return None
    (low_a, high_a), (low_b, high_b) = of_base, of_candidate
    value_a, value_b = base.quantile(probability), candidate.quantile(probability)
    effect = value_b - value_a
    return (
        effect - hypot(value_b - low_b, high_a - value_a),
        effect + hypot(high_b - value_b, value_a - low_a),
    )


def bounding_factor(base: QuantileSample, candidate: QuantileSample, probability: float, z: float) -> float:
    """How many times the traffic it takes until enough values lie beyond the quantile in both arms, at least 1.

    One value must lie beyond the upper end: n (1 - p) - z sqrt(design p (1 - p) n) >= 1, a quadratic in sqrt(n); where
    values are weighted n is their weight, and 1 that of one value.
    """
    beyond = 1 - probability

    def needed(arm: QuantileSample) -> float:
        spread = z * sqrt(arm.design * probability * beyond)
        one = arm.size / len(arm.values)
        return ((spread + sqrt(spread**2 + 4 * beyond * one)) / (2 * beyond)) ** 2 / arm.size

    return max(1.0, needed(base), needed(candidate))
