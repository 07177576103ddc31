"""Error control over many cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from analytics.stats.sums import BoolArray, FloatArray


def e_bh(log_e: FloatArray, level: float) -> BoolArray:
    """Which cells e-BH discovers (Wang & Ramdas, JRSS-B 84, 2022): false discovery rate at most ``level``.

    With the e-values in falling order, the k largest are discovered for the largest k with e_(k) >= m / (k level).
    Holds under any dependence, for e-values of one moment: those of today, not the largest so far.

    Args:
        log_e: shape (cells,).
        level: the false discovery rate.
    """
    m = len(log_e)
    order = np.argsort(-log_e, kind="stable")
    enough = log_e[order] >= np.log(m / (level * np.arange(1, m + 1))) if m else np.zeros(0, dtype=np.bool_)
    found = np.zeros(m, dtype=np.bool_)
    if enough.any():
        found[order[: int(np.flatnonzero(enough)[-1]) + 1]] = True
    return found


def holm(p_values: FloatArray, weights: FloatArray, alpha: float) -> tuple[BoolArray, FloatArray]:
    """Weighted Holm step-down (Holm 1979): family-wise error at most alpha under any dependence.

    With anytime-valid p-values the control holds over all looks at once, so a rejection may be kept.

    Args:
        p_values: shape (cells,).
        weights: fixed before the data, shape (cells,).
        alpha: the family's level.

    Returns:
        Which cells are rejected, and the level at which each was tested: its own step's for a rejected
        cell, the level that its share of the remaining weight gives for the others.
    """
    rejected = np.zeros(p_values.shape, dtype=np.bool_)
    levels = np.full(p_values.shape, alpha)
    order = np.argsort(p_values / weights, kind="stable")
    # The weight still in the family at each step: this cell's and that of all behind it.
    remaining = np.cumsum(weights[order][::-1])[::-1]
    levels[order] = alpha * weights[order] / remaining
    passes = np.logical_and.accumulate(p_values[order] <= levels[order])
    rejected[order] = passes
    if not passes.all():
        left = remaining[int(passes.sum())]
        levels = np.where(rejected, levels, alpha * weights / left)
    return rejected, levels
