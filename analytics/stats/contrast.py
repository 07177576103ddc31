"""The difference between two arms, its cluster-robust variance, and the e-value of any hypothesis about it.

Variances are pooled over both arms under the hypothesis (never arm-wise: a small arm without events would
have variance 0 and "prove" an improvement). Ratio estimates: Deng, Knoblich & Lu, KDD 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analytics.stats.mixture import log_e_mixture, t_to_z
from analytics.stats.pairs import averaging, pair_design, restricted_variance

if TYPE_CHECKING:
    from analytics.stats.sums import FloatArray, TwoArmSums

RATE_SCALES = (0.25, 0.7, 2.0)
"""Sizes of a regression worth finding, as multiples of the base rate."""

RATIO_SCALES = (0.05, 0.15, 0.40)
"""Sizes of a regression worth finding in a mean, as log ratios."""

_CERTAIN = 700.0


@dataclass(frozen=True)
class Contrast:
    """Candidate minus base, per cell (and look).

    Attributes:
        effect: the estimated difference.
        variance: its null-pooled cluster variance at no difference.
        degrees: Kish's effective units of the smaller arm, less one.
        scales: sizes of effect worth finding; first axis is the mixture.
        rates: for rates, (R0, N_a, N_b, design effect): the variance then depends on the hypothesis.
        pairs: for rates of pairs, (pairs, candidate higher, candidate lower): the variance then is that of differences.
    """

    effect: FloatArray
    variance: FloatArray
    degrees: FloatArray
    scales: FloatArray
    rates: tuple[FloatArray, FloatArray, FloatArray, FloatArray] | None = None
    pairs: tuple[FloatArray, FloatArray, FloatArray] | None = None

    def deviation(self, shift: FloatArray) -> FloatArray:
        """Standard error if the true difference were ``shift``.

        For rates from the restricted rates R_a' = R0 - shift N_b / N and R_b' = R_a' + shift, so that zero
        events prove nothing.
        """
        if self.rates is None:
            return np.broadcast_to(np.sqrt(self.variance), np.broadcast_shapes(self.variance.shape, shift.shape))
        pooled, n_a, n_b, design = self.rates
        if self.pairs is not None:
            return np.asarray(np.sqrt(design * restricted_variance(self.pairs, shift)), dtype=np.float64)
        low, high = np.maximum(0.0, -shift), np.minimum(1.0, 1.0 - shift)
        rate_a = np.clip(pooled - shift * n_b / (n_a + n_b), low, high)
        rate_b = np.clip(rate_a + shift, 0.0, 1.0)
        return np.sqrt(design * (rate_a * (1 - rate_a) / n_a + rate_b * (1 - rate_b) / n_b))

    def scales_at(self, shift: FloatArray) -> FloatArray:
        """Sizes of effect worth finding around ``shift``, which sets the scale where events are rarer."""
        if self.rates is None:
            return self.scales
        wanted = np.multiply.outer(np.array(RATE_SCALES), np.abs(shift))
        return np.asarray(np.maximum(self.scales, wanted), dtype=np.float64)

    def log_e(self, shift: FloatArray, sign: float) -> FloatArray:
        """Log e-value of "the difference is above ``shift``" (sign 1) or "below" it (sign -1)."""
        distance = sign * (self.effect - shift)
        deviation = self.deviation(shift)
        some = deviation > 0
        safe = np.where(some, deviation, 1.0)
        z = t_to_z(np.where(some, distance / safe, 0.0), self.degrees)
        log_e = log_e_mixture(z, (self.scales_at(shift) / safe) ** 2)
        certain = np.where((distance > 0) & (self.degrees > 0), _CERTAIN, 0.0)
        return np.where(some, log_e, certain)


def _squares(sums: TwoArmSums) -> tuple[FloatArray, FloatArray]:
    """Squared residuals of the arms' units, around the common value or that of their blocks."""
    if sums.blocks is not None:
        return sums.blocks.base_squares, sums.blocks.candidate_squares
    pooled = sums.pooled
    return sums.base.residual_squares(pooled), sums.candidate.residual_squares(pooled)


def _spread(sums: TwoArmSums) -> FloatArray:
    """Squared residuals per trace, s2: pooled over both arms.

    Where traces carry sampling weights, which may differ between the arms, never less than what each arm's own
    residuals give.
    """
    base, candidate = _squares(sums)
    if sums.blocks is None:
        weight = left = sums.base.n + sums.candidate.n
    else:
        weight = sums.blocks.information
        left = weight - np.minimum(sums.blocks.lost, weight / 2)
    spread = np.divide(base + candidate, left, out=np.zeros_like(left), where=left > 0)
    if sums.dilution is None:
        return spread
    n_a, n_b = np.maximum(sums.base.n, 1), np.maximum(sums.candidate.n, 1)
    own = np.divide(base * n_b / n_a + candidate * n_a / n_b, weight, out=np.zeros_like(weight), where=weight > 0)
    return np.asarray(np.maximum(spread, own), dtype=np.float64)


def _binomial(sums: TwoArmSums) -> FloatArray:
    """Variance of one independent 0/1 value: R0 (1 - R0), or its mean over the blocks."""
    if sums.blocks is None:
        return sums.pooled * (1 - sums.pooled)
    weight = sums.blocks.information
    return np.divide(sums.blocks.spread, weight, out=np.zeros_like(weight), where=weight > 0)


def _per_trace(sums: TwoArmSums) -> FloatArray:
    """1/N_a + 1/N_b, with empty arms as one trace (they are masked by their counts); 1/H where there are blocks."""
    n_a, n_b = sums.sizes
    return np.asarray(1 / n_a + 1 / n_b, dtype=np.float64)


def _degrees(sums: TwoArmSums) -> FloatArray:
    effective = np.minimum(sums.base.effective_units, sums.candidate.effective_units)
    return np.asarray(effective * sums.coverage - 1, dtype=np.float64)


def _null_variance(sums: TwoArmSums, spread: FloatArray) -> FloatArray:
    """Variance of the difference at R_a = R_b, less twice the covariance of units that are in both arms."""
    if sums.blocks is None:
        products = sums.cross.residual_products(sums.pooled)
        covariance = products / (np.maximum(sums.base.n, 1) * np.maximum(sums.candidate.n, 1))
    else:
        covariance = sums.blocks.products * _per_trace(sums) ** 2
    variance = spread * _per_trace(sums) - 2 * covariance
    return np.asarray(np.maximum(variance, 0.0), dtype=np.float64)


def design_effect(sums: TwoArmSums) -> FloatArray:
    """How much returning units, and sampling weights, widen the variance of a rate, at least 1: s2 / (R0 (1 - R0)).

    With weights at least Kish's Sum w^2 / Sum w: an arm of which few heavy events were kept tells too little of how
    much their number varies, and would prove an improvement by having none.
    """
    binomial = _binomial(sums)
    ratio = np.divide(_spread(sums), binomial, out=np.ones_like(binomial), where=binomial > 0)
    return np.asarray(np.maximum(ratio, _least_design(sums)), dtype=np.float64)


def _least_design(sums: TwoArmSums) -> FloatArray:
    return np.ones_like(sums.pooled) if sums.dilution is None else sums.dilution


def rate_difference(sums: TwoArmSums) -> Contrast:
    """Difference of two rates of 0/1 values; the variance is never below that of independent traces, or pairs."""
    pooled = sums.pooled
    if sums.pairs is not None:
        n = np.maximum(sums.pairs.n, 1)
        pairs = n, sums.pairs.higher, sums.pairs.lower
        design = pair_design(sums, sums.pairs) * averaging(sums.pairs)
        return Contrast(
            (sums.pairs.higher - sums.pairs.lower) / n,
            design * restricted_variance(pairs, np.zeros_like(n)),
            _degrees(sums),
            np.multiply.outer(np.array(RATE_SCALES), pooled),
            (pooled, n, n, design),
            pairs,
        )
    binomial = pooled * (1 - pooled) * _per_trace(sums)
    spread = np.maximum(_spread(sums), _binomial(sums))
    variance = np.maximum(_null_variance(sums, spread), binomial * _least_design(sums))
    design = np.divide(variance, binomial, out=np.ones_like(pooled), where=binomial > 0)
    base, candidate = sums.means
    return Contrast(
        candidate - base,
        variance,
        _degrees(sums),
        np.multiply.outer(np.array(RATE_SCALES), pooled),
        (pooled, *sums.sizes, design),
    )


def mean_difference(sums: TwoArmSums, scales: tuple[float, ...], *, relative: bool) -> Contrast:
    """Difference of two ratio means.

    Args:
        sums: of the values.
        scales: sizes worth finding.
        relative: whether ``scales`` are multiples of the pooled mean, or in the values' own unit.
    """
    unit = sums.pooled if relative else np.ones_like(sums.pooled)
    base, candidate = sums.means
    return Contrast(
        candidate - base,
        _null_variance(sums, _spread(sums)),
        _degrees(sums),
        np.multiply.outer(np.array(scales), unit),
    )


def log_ratio(sums: TwoArmSums) -> Contrast:
    """Log ratio of two positive means, d = ln(R_b / R_a), V = V0 / R0^2; 0 where a mean is not positive."""
    (base, candidate), pooled = sums.means, sums.pooled
    some = (base > 0) & (candidate > 0)
    effect = np.log(np.where(some, candidate, 1.0) / np.where(some, base, 1.0))
    variance = np.divide(_null_variance(sums, _spread(sums)), pooled**2, out=np.zeros_like(pooled), where=some)
    return Contrast(effect, variance, _degrees(sums), np.multiply.outer(np.array(RATIO_SCALES), np.ones_like(pooled)))
