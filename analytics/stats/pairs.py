"""Base and candidate on the very same thing: an e-process on the differences, and their variance.

What decides between two arms that answered the same items is where they differ. Under "the candidate does not fail
more" a pair's difference d has expectation at most 0 and lies in [-1, 1], so betting a share u of one's wealth on d
multiplies it by 1 + u d, in expectation at most 1. For 0/1 values that is McNemar's test as a process; where the values
are averages over several runs it still holds, since (1 + u)^r <= 1 + u r for 0 <= r <= 1 and any u >= -1 (Bernoulli's
inequality).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc, betaincinv, betaln, logsumexp

if TYPE_CHECKING:
    from analytics.stats.sums import BoolArray, FloatArray, PairSums, TwoArmSums

_SHAPES = np.array([3.0, 12.0, 50.0])
"""Sizes of an effect worth finding: Beta(k, k) of the candidate's share of the differences, above one half."""

_POINTS = 64
_ENOUGH_UNITS = 20
_ENOUGH_DIFFERENCES = 10
_LEAST = 1e-300


def pair_design(sums: TwoArmSums, pairs: PairSums) -> FloatArray:
    """How much units with several pairs widen the variance of the difference, at least 1.

    The sum over the units of their squared differences, over that of single pairs.
    """
    squares = sums.base.yy + sums.candidate.yy - 2 * sums.cross.yy
    ratio = np.divide(squares, pairs.squares, out=np.ones_like(squares), where=pairs.squares > 0)
    return np.asarray(np.maximum(ratio, 1.0), dtype=np.float64)


def averaging(pairs: PairSums) -> FloatArray:
    """How much less differences vary than those of 0/1 values would, because values are averages; 1 where they are not.

    One whole difference is added, so that few small ones do not pass for certainty.
    """
    return np.asarray((pairs.squares + 1) / (pairs.higher + pairs.lower + 1), dtype=np.float64)


def averages_ready(sums: TwoArmSums, pairs: PairSums) -> BoolArray:
    """Where values are averages, and units and differences enough for the normal mixture to join the bet.

    The bet treats a difference of a half as half a difference of one, which is valid but wastes that it varies less.
    """
    enough = (sums.base.units >= _ENOUGH_UNITS) & (pairs.higher + pairs.lower >= _ENOUGH_DIFFERENCES)
    return np.asarray(enough & (averaging(pairs) < 1 - 1e-9), dtype=np.bool_)


def log_e_pairs(pairs: PairSums, design: FloatArray) -> FloatArray:
    """Log e-value of "the candidate is higher", tempered by the design effect.

    With b pairs in which the candidate is higher, c in which it is lower and n = b + c,
    e = mean over k of 2^n B(b+k, c+k) I_1/2(c+k, b+k) / (B(k, k) / 2), which is the bet above averaged over a
    Beta(k, k) of (1 + u) / 2 above one half; E[e] = 1 exactly for 0/1 values and equal rates.

    Args:
        pairs: any shape.
        design: of the same shape.
    """
    higher, lower = pairs.higher / design, pairs.lower / design
    shape = _SHAPES.reshape(-1, *(1,) * higher.ndim)
    share = np.maximum(betainc(lower + shape, higher + shape, 0.5), _LEAST)
    log_e = (higher + lower + 1) * np.log(2) + betaln(higher + shape, lower + shape) + np.log(share)
    return np.asarray(logsumexp(log_e - betaln(shape, shape), axis=0) - np.log(len(_SHAPES)), dtype=np.float64)


def log_e_pairs_above(pairs: PairSums, design: FloatArray, shift: FloatArray) -> FloatArray:
    """Log e-value of "the difference is above ``shift``", for shifts of 0 and more.

    The same bet on (d - shift) / (1 + shift), which is at least -1; the Beta densities are laid out as points of equal
    probability, which keeps the expectation at most 1.

    Args:
        pairs: shape (cells,).
        design: shape (cells,).
        shift: the hypothesis, shape (cells,).
    """
    shares = 0.5 + (np.arange(_POINTS) + 0.5) / (2 * _POINTS)
    bet = (2 * betaincinv(_SHAPES[:, None], _SHAPES[:, None], shares) - 1).reshape(-1, 1)
    alike = pairs.n - pairs.higher - pairs.lower
    log_e = (
        pairs.higher * np.log1p(bet * (1 - shift) / (1 + shift))
        + pairs.lower * np.log1p(-bet)
        + alike * np.log1p(-bet * shift / (1 + shift))
    )
    return np.asarray(logsumexp(log_e / design, axis=0) - np.log(len(bet)), dtype=np.float64)


def restricted_variance(pairs: tuple[FloatArray, FloatArray, FloatArray], shift: FloatArray) -> FloatArray:
    """Variance of the mean difference of 0/1 pairs if the true difference were ``shift`` (Tango, Stat. Med. 17, 1998).

    With q the likeliest rate of "only the base" under that hypothesis, (2 q + shift (1 - shift)) / n: above 0 for any
    shift but 0, so that pairs which never differ prove nothing.

    Args:
        pairs: (pairs, candidate higher, candidate lower).
        shift: the hypothesis.
    """
    n, higher, lower = pairs
    a = 2 * n
    b = (2 * n - higher + lower) * shift - higher - lower
    c = -lower * shift * (1 - shift)
    only_base = (np.sqrt(np.maximum(b**2 - 4 * a * c, 0.0)) - b) / (2 * a)
    return np.asarray(np.maximum(2 * only_base + shift * (1 - shift), 0.0) / n, dtype=np.float64)
