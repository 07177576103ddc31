"""What inverting the e-values says: confidence bounds, traffic still needed, the smallest detectable."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from analytics.stats.cmh import log_e_cmh
from analytics.stats.contrast import Contrast, rate_difference
from analytics.stats.evidence import MINIMUM_EVENTS, MINIMUM_UNITS, average, hybrid_ready
from analytics.stats.mixture import bisect, critical_z, log_e_mixture, t_to_z, z_to_t
from analytics.stats.pairs import log_e_pairs_above, pair_design

if TYPE_CHECKING:
    from analytics.stats.sums import BoolArray, FloatArray, IndexArray, TwoArmSums

_POWER_Z = float(ndtri(0.90))
_MOST_TRAFFIC = 1e6
_LARGEST_LOG_ODDS = 30.0


def bound(contrast: Contrast, alpha: FloatArray, sign: float) -> FloatArray:
    """One end of the confidence sequence at the contrast's look, one-sided level alpha.

    Args:
        contrast: shape (cells,).
        alpha: shape (cells,).
        sign: 1 for the lower end, -1 for the upper.

    Returns:
        Shape (cells,); infinite where there are too few units to know.
    """
    if contrast.rates is not None:
        target = -np.log(alpha)
        ends = bisect(
            lambda shift: np.asarray(contrast.log_e(shift, sign) >= target),
            contrast.effect,
            np.full_like(contrast.effect, -sign),
        )
        return np.where(contrast.degrees > 0, ends, -sign * np.inf)
    reach = critical_t(contrast, alpha) * np.sqrt(contrast.variance)
    return contrast.effect - sign * np.where(_usable(contrast), reach, np.inf)


def _usable(contrast: Contrast) -> BoolArray:
    """Where there is a spread and an idea of it."""
    return (contrast.degrees > 0) & (contrast.variance > 0)


def critical_t(contrast: Contrast, alpha: FloatArray) -> FloatArray:
    """The t at which the e-value of "no difference" reaches 1/alpha; 0 where there is none."""
    usable = _usable(contrast)
    deviation = np.sqrt(np.where(usable, contrast.variance, 1.0))
    critical = z_to_t(critical_z(alpha, (contrast.scales / deviation) ** 2), np.where(usable, contrast.degrees, 1.0))
    return np.where(usable, critical, 0.0)


def _log_odds(contrast: Contrast, shift: FloatArray) -> FloatArray:
    """Log odds ratio of the restricted rates whose difference is ``shift``, at least 0."""
    if contrast.rates is None:
        raise ValueError("odds exist for rates only")
    pooled, n_a, n_b, _ = contrast.rates
    rate_a = np.clip(pooled - shift * n_b / (n_a + n_b), 1e-12, 1 - 1e-12)
    rate_b = np.clip(rate_a + shift, 1e-12, 1 - 1e-12)
    log_odds = np.log(rate_b / (1 - rate_b)) - np.log(rate_a / (1 - rate_a))
    return np.asarray(np.clip(log_odds, 0.0, _LARGEST_LOG_ODDS), dtype=np.float64)


def rejected_rate_bound(sums: TwoArmSums, cells: IndexArray, looks: IndexArray, alpha: FloatArray) -> FloatArray:
    """Lower ends, above 0, for rates whose test rejected "no higher" at their look.

    The test itself is inverted (E-CMH, averaged with the normal mixture where it was, or that of pairs), so that
    interval and verdict agree also where events are too few for the normal approximation.

    Args:
        sums: shape (cells, looks).
        cells: the rejected cells.
        looks: the look of each at which to invert.
        alpha: the level of each.
    """
    history = sums.until(cells, looks)
    at_look = sums.at(cells, looks)
    contrast, hybrid, target = rate_difference(at_look), hybrid_ready(at_look), -np.log(alpha)

    def rejected(shift: FloatArray) -> BoolArray:
        if at_look.pairs is None:
            counts = log_e_cmh(history, _log_odds(contrast, shift))[:, -1]
        else:
            counts = log_e_pairs_above(at_look.pairs, pair_design(at_look, at_look.pairs), shift)
        return np.where(hybrid, average(counts, contrast.log_e(shift, 1.0)), counts) >= target

    # From "no difference", which is rejected, up to the estimate, which never is.
    return bisect(rejected, np.maximum(contrast.effect, 0.0), np.zeros_like(contrast.effect))


def traces_needed(contrast: Contrast, sums: TwoArmSums, margin: FloatArray, alpha: float) -> FloatArray:
    """Further traces (both arms) until the upper end falls below the margin, if the estimate stays as it is.

    The smallest k with E2((margin - d) / (se / sqrt k), se / sqrt k) >= 1/alpha gives (k - 1) N. Sampled traces count
    for what they stand for, as in ``sums``.

    Returns:
        Shape (cells,); infinite where no amount would do.
    """
    target = -np.log(alpha)
    distance = margin - contrast.effect
    deviation = contrast.deviation(margin)
    safe = np.where(deviation > 0, deviation, 1.0)
    scales = contrast.scales_at(margin)

    def shown(log_k: FloatArray) -> BoolArray:
        shrunk = safe * np.exp(-log_k / 2)
        z = t_to_z(distance / shrunk, (contrast.degrees + 1) * np.exp(log_k) - 1)
        return np.asarray(log_e_mixture(z, (scales / shrunk) ** 2) >= target)

    most = np.full_like(distance, np.log(_MOST_TRAFFIC))
    possible = (distance > 0) & (deviation > 0) & shown(most)
    log_k = bisect(shown, np.zeros_like(distance), most)
    units = np.maximum(np.minimum(sums.base.units, sums.candidate.units), 1)
    times = np.maximum(np.exp(log_k), MINIMUM_UNITS / units)
    if contrast.rates is not None:
        events = MINIMUM_EVENTS if sums.dilution is None else MINIMUM_EVENTS * sums.dilution
        times = np.maximum(times, events / np.maximum(expected_at(contrast, margin), 1e-9))
    total = sums.base.n + sums.candidate.n
    return np.where(possible, np.maximum(np.ceil((times - 1) * total), 1.0), np.inf)


def expected_at(contrast: Contrast, margin: FloatArray) -> FloatArray:
    """Events that the candidate arm would have if it were worse by just the margin (rates only)."""
    if contrast.rates is None:
        raise ValueError("events are expected of rates only")
    pooled, n_a, n_b, _ = contrast.rates
    rate_b = np.clip(pooled + margin * n_a / (n_a + n_b), margin, 1.0)
    return rate_b * n_b


def smallest_detectable(contrast: Contrast, alpha: FloatArray) -> FloatArray:
    """The regression that this much traffic would have shown with 90 % probability, in the contrast's unit.

    z_crit se(0) + 1.28 se(d), with se(d) at the regression itself; infinite without degrees of freedom.
    """
    if contrast.rates is not None:
        pooled, n_a, n_b, design = contrast.rates
        # Without events the rate is unknown, not 0: the usual half event.
        rate = np.maximum(pooled, 0.5 / (n_a + n_b + 1))
        scales = np.maximum(contrast.scales, np.multiply.outer(np.ones(len(contrast.scales)), rate))
        pairs = contrast.pairs
        if pairs is not None:
            pairs = pairs[0], np.maximum(pairs[1], 0.25), np.maximum(pairs[2], 0.25)
        contrast = replace(contrast, scales=scales, rates=(rate, n_a, n_b, design), pairs=pairs)
        contrast = replace(contrast, variance=contrast.deviation(np.zeros_like(rate)) ** 2)
    null = contrast.deviation(np.zeros_like(contrast.effect))
    critical = critical_t(contrast, alpha) * null
    shift = critical + _POWER_Z * null
    for _ in range(3):
        shift = critical + _POWER_Z * contrast.deviation(np.minimum(shift, 1.0) if contrast.rates else shift)
    if contrast.rates is not None:
        shift = np.minimum(shift, 1.0)
    return np.where(_usable(contrast), shift, np.inf)
