"""Evidence at every look, in both directions, and the anytime-valid p-values that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analytics.stats.cmh import log_e_cmh
from analytics.stats.contrast import Contrast, mean_difference, rate_difference
from analytics.stats.pairs import averages_ready, log_e_pairs, pair_design

if TYPE_CHECKING:
    from analytics.stats.sums import BoolArray, FloatArray, IndexArray, TwoArmSums

MINIMUM_UNITS = 20
MINIMUM_EVENTS = 10
HYBRID_EVENTS = 100

FREQUENT_RATE = 0.2
FREQUENT_VARIANCE = 25.0
"""Of a rate between FREQUENT_RATE and its complement: the variance of the smaller arm's count from which on it is near
enough to normal (a skewness of at most .12)."""

EXCESS_SCALES = (0.25, 0.7, 2.0)
"""Sizes of a regression worth finding in a mean log excess, as multiples of its pooled value."""

EXCESS_SHARE = 0.75
"""Weight of the mean log excess beside the exceedance."""

_NO_LOOK = 0.0


@dataclass(frozen=True)
class Evidence:
    """Log e-values, shape (cells, looks); 0 where a look says nothing.

    Attributes:
        worse: for "the candidate is higher".
        better: for "the candidate is lower".
    """

    worse: FloatArray
    better: FloatArray


def best_look(log_e: FloatArray) -> IndexArray:
    """The look with the most evidence."""
    return np.asarray(log_e.argmax(axis=1), dtype=np.intp)


def enough_units(sums: TwoArmSums) -> BoolArray:
    """Where both arms have enough units for the normal approximation, as far as blocks make use of them."""
    return np.minimum(sums.base.units, sums.candidate.units) * sums.coverage >= MINIMUM_UNITS


def hybrid_ready(sums: TwoArmSums) -> BoolArray:
    """Where a rate's normal e-value joins that of the counts: the smaller arm expects enough events, and non-events.

    Counts of a rate near one half are hardly skewed, so fewer will do; and there counts alone say least, for given the
    events of a day the candidate's vary less than the binomial that E-CMH allows for. Pairs of 0/1 values need no help;
    pairs of averages do.
    """
    if sums.pairs is not None:
        return averages_ready(sums, sums.pairs)
    expected, rarer = expected_events(sums), np.minimum(sums.pooled, 1 - sums.pooled)
    frequent = (rarer >= FREQUENT_RATE) & (expected * (1 - rarer) >= FREQUENT_VARIANCE)
    ready = enough_units(sums) & ((expected >= HYBRID_EVENTS) | frequent)
    return np.asarray(ready, dtype=np.bool_)


def expected_events(sums: TwoArmSums) -> FloatArray:
    """Events, or non-events where those are fewer, that the smaller arm expects, as many as independent traces have."""
    rarer = np.minimum(sums.pooled, 1 - sums.pooled)
    expected = rarer * np.minimum(*sums.sizes)
    return np.asarray(expected if sums.dilution is None else expected / sums.dilution, dtype=np.float64)


def average(first: FloatArray, second: FloatArray, share: float = 0.5) -> FloatArray:
    """Log of the weighted average of two e-values, itself an e-value under any dependence.

    Args:
        first: log e-values.
        second: log e-values.
        share: weight of the first.
    """
    return np.asarray(np.logaddexp(first + np.log(share), second + np.log1p(-share)), dtype=np.float64)


def log_e_counts(sums: TwoArmSums) -> FloatArray:
    """Log e-value of "the candidate's rate is higher" from counts alone: of pairs where there are pairs, else E-CMH."""
    if sums.pairs is None:
        return log_e_cmh(sums)
    return log_e_pairs(sums.pairs, pair_design(sums, sums.pairs))


def rate_evidence(sums: TwoArmSums) -> Evidence:
    """The e-value of the counts, averaged with the normal mixture where that is ready."""
    contrast, ready = rate_difference(sums), hybrid_ready(sums)
    null = np.zeros_like(contrast.effect)

    def directed(counts: FloatArray, sign: float) -> FloatArray:
        both = np.where(ready, average(counts, contrast.log_e(null, sign)), counts)
        return np.where(sums.both_arms, both, _NO_LOOK)

    return Evidence(directed(log_e_counts(sums), 1.0), directed(log_e_counts(sums.swapped()), -1.0))


def mean_evidence(sums: TwoArmSums, contrast: Contrast, first_look: IndexArray) -> Evidence:
    """The normal mixture on a contrast of means.

    Args:
        sums: of the values.
        contrast: the contrast to test, shape (cells, looks).
        first_look: from which look on each cell's thresholds are known.
    """
    ready = enough_units(sums) & known_from(first_look, sums)
    null = np.zeros_like(contrast.effect)
    return Evidence(
        np.where(ready, contrast.log_e(null, 1.0), _NO_LOOK),
        np.where(ready, contrast.log_e(null, -1.0), _NO_LOOK),
    )


def tail_evidence(excess: TwoArmSums, exceedance: TwoArmSums, first_look: IndexArray) -> Evidence:
    """The average of the normal mixture on log excesses and the counts' e-value of exceedance of a quantile.

    The excess weighs more: it uses how far the slow traces lie beyond, and what the exceedance adds is few traces.

    Args:
        excess: sums of the winsorised log excess over the lower threshold.
        exceedance: sums of "above the upper threshold".
        first_look: from which look on each cell's thresholds are known.
    """
    normal = mean_evidence(excess, mean_difference(excess, EXCESS_SCALES, relative=True), first_look)
    known = known_from(first_look, excess) & excess.both_arms
    return Evidence(
        np.where(known, average(normal.worse, log_e_counts(exceedance), EXCESS_SHARE), _NO_LOOK),
        np.where(known, average(normal.better, log_e_counts(exceedance.swapped()), EXCESS_SHARE), _NO_LOOK),
    )


def known_from(first_look: IndexArray, sums: TwoArmSums) -> BoolArray:
    """Which looks come at or after each cell's first."""
    return np.asarray(np.arange(sums.base.n.shape[1]) >= first_look[:, None], dtype=np.bool_)
