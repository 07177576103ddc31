"""E-CMH: a stratified conditional e-process for the difference of two rates, on daily counts.

Given m events on a day, the candidate's share of them under equal rates is hypergeometric, which is smaller
in convex order than Binomial(m, n_b / (n_a + n_b)); a likelihood ratio against that binomial therefore has
expectation at most 1, whatever the allocation, and days multiply (related: Turner, Ly & Grunwald 2024;
Lindon & Malek 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from analytics.stats.contrast import design_effect
from analytics.stats.sums import Strata

if TYPE_CHECKING:
    from analytics.stats.sums import FloatArray, TwoArmSums

_SPREADS = (0.25, 0.6, 1.3)
_POINTS = 8


def _grid() -> FloatArray:
    """Log odds worth finding: half-normal quantile points at three spreads."""
    shares = (np.arange(_POINTS) + 0.5) / _POINTS
    half_normal = ndtri(0.5 + shares / 2)
    return np.concatenate([spread * half_normal for spread in _SPREADS])


LOG_ODDS_GRID = _grid()


def _daily(cumulative: FloatArray) -> FloatArray:
    return np.diff(cumulative, axis=-1, prepend=0.0)


def log_e_cmh(sums: TwoArmSums, log_odds: FloatArray | None = None) -> FloatArray:
    """Log e-value of "the candidate's rate is higher" at every look, tempered by the design effect.

    With psi0 the hypothesis' odds ratio and m = y_a + y_b events a day,
    L(psi) = sum over days, and strata of a day, of [y_b ln(psi/psi0) - m ln((n_a + n_b psi) / (n_a + n_b psi0))] / phi
    and e is the average of exp L over a grid of psi above psi0.

    Args:
        sums: of 0/1 values, shape (cells, looks).
        log_odds: the log odds ratio of the hypothesis, shape (cells,); None is 0, equal rates.

    Returns:
        Shape (cells, looks).
    """
    counted = sums.strata or Strata(
        *(of[None] for of in (sums.base.n, sums.base.y, sums.candidate.n, sums.candidate.y))
    )
    n_a, n_b = _daily(counted.base_n), _daily(counted.candidate_n)
    y_b = _daily(counted.candidate_y)
    events = _daily(counted.base_y) + y_b
    null = np.zeros((n_a.shape[1], 1)) if log_odds is None else log_odds[..., None]
    some = (n_a + n_b) > 0
    at_null = np.log(np.where(some, n_a + n_b * np.exp(null), 1.0))
    design = design_effect(sums)
    total = np.full(design.shape, -np.inf)
    for step in LOG_ODDS_GRID:
        at_step = np.log(np.where(some, n_a + n_b * np.exp(null + step), 1.0))
        added = (y_b * step - events * (at_step - at_null)).sum(axis=0)
        total = np.logaddexp(total, np.cumsum(added, axis=-1) / design)
    return np.asarray(total - np.log(len(LOG_ODDS_GRID)), dtype=np.float64)
