"""From evidence and family-wise levels to what can be said of each cell at the last look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analytics.stats.bounds import (
    bound,
    expected_at,
    rejected_rate_bound,
    smallest_detectable,
    traces_needed,
)
from analytics.stats.evidence import (
    MINIMUM_EVENTS,
    Evidence,
    best_look,
    enough_units,
    known_from,
)
from analytics.stats.horizon import Horizon, HorizonPValues, horizon_bound, horizon_p_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from analytics.stats.contrast import Contrast
    from analytics.stats.family import Tested
    from analytics.stats.sums import BoolArray, FloatArray, IndexArray, TwoArmSums


@dataclass(frozen=True)
class DeclaredEnd:
    """The half of the error that a declared end spends, for one metric.

    Attributes:
        horizon: which looks spend.
        maturity: how long after a trace the metric's value is final.
    """

    horizon: Horizon
    maturity: timedelta

    def bound(self, sums: TwoArmSums, contrast: Contrast, level: FloatArray, first_look: IndexArray) -> FloatArray:
        """Lower ends at a level, by :func:`analytics.stats.horizon.horizon_bound`."""
        return horizon_bound(sums, contrast, self.horizon, level, first_look=first_look, maturity=self.maturity)

    def p_values(self, sums: TwoArmSums, contrast: Contrast, first_look: IndexArray) -> HorizonPValues:
        """P-values at every look, by :func:`analytics.stats.horizon.horizon_p_values`."""
        return horizon_p_values(sums, contrast, self.horizon, first_look=first_look, maturity=self.maturity)


@dataclass(frozen=True)
class Assessment:
    """One metric's cells at the last look, on the scale of the test, positive = worse; shape (cells,).

    Attributes:
        effect: the estimate.
        low: lower end at the level of the family-wise test.
        high: upper end at the level of the family-wise test.
        low_alone: lower end at the level of one cell.
        high_alone: upper end at the level of one cell.
        ready: whether there are units and events enough to show "no regression".
        needed: further traces until no regression could be shown; infinite if no amount would do.
        detectable: the regression that this traffic would have shown with 90 % probability.
        varies: whether the values differ at all.
        error: standard error of the estimate, were there no difference.
    """

    effect: FloatArray
    low: FloatArray
    high: FloatArray
    low_alone: FloatArray
    high_alone: FloatArray
    ready: BoolArray
    needed: FloatArray
    detectable: FloatArray
    varies: BoolArray
    error: FloatArray


def last_look(sums: TwoArmSums) -> TwoArmSums:
    """The sums at the last look, shape (cells,)."""
    cells, looks = sums.base.n.shape
    return sums.at(np.arange(cells), np.full(cells, looks - 1))


def assess(
    sums: TwoArmSums,
    contrast_of: Callable[[TwoArmSums], Contrast],
    evidence: Evidence,
    tested: Tested,
    *,
    margin: FloatArray,
    first_look: IndexArray,
    alpha: float,
    declared: DeclaredEnd | None = None,
) -> Assessment:
    """Assess one metric.

    Args:
        sums: oriented so that higher is worse, shape (cells, looks).
        contrast_of: the contrast that is tested.
        evidence: of the same sums.
        tested: what the family-wise procedure said.
        margin: on the scale of the contrast, shape (cells,).
        first_look: from which look on each cell's thresholds are known.
        alpha: level of one cell.
        declared: the spending half of the error, where an end was declared; the levels then are halved.
    """
    last = last_look(sums)
    contrast = contrast_of(last)
    alone = np.full_like(margin, alpha)
    share = 1.0 if declared is None else 0.5
    worse_level, better_level = share * tested.worse_level, share * tested.better_level
    low, high = bound(contrast, worse_level, 1.0), bound(contrast, better_level, -1.0)
    spent_low = spent_high = np.full_like(margin, -np.inf)
    if declared is not None:
        spent_low = declared.bound(sums, contrast_of(sums), worse_level, first_look)
        spent_high = declared.bound(sums.swapped(), contrast_of(sums.swapped()), better_level, first_look)
    ready = enough_units(last) & known_from(first_look, sums)[:, -1]
    if contrast.rates is not None:
        dilution = np.ones_like(margin) if last.dilution is None else last.dilution
        ready &= expected_at(contrast, margin) >= MINIMUM_EVENTS * dilution
    return Assessment(
        effect=contrast.effect,
        low=_agreeing(low, sums, contrast_of, evidence.worse, tested.worse, worse_level, spent_low),
        high=-_agreeing(-high, sums.swapped(), contrast_of, evidence.better, tested.better, better_level, spent_high),
        low_alone=bound(contrast, alone, 1.0),
        high_alone=bound(contrast, alone, -1.0),
        ready=ready,
        needed=traces_needed(contrast, last, margin, alpha),
        detectable=smallest_detectable(contrast, worse_level),
        error=np.sqrt(contrast.variance),
        varies=contrast.variance > np.finfo(np.float64).eps * contrast.scales[0] ** 2,
    )


def _agreeing(
    low: FloatArray,
    sums: TwoArmSums,
    contrast_of: Callable[[TwoArmSums], Contrast],
    log_e: FloatArray,
    rejected: BoolArray,
    level: FloatArray,
    spent: FloatArray,
) -> FloatArray:
    """Lower ends that lie above 0 just where the test rejected.

    A rejection holds once it was made: where today's end does not show it, the end of the look with the
    most evidence does, or that of the spending half, but never above today's estimate. Where the test did not
    reject, the end is not above 0.
    """
    result = np.where(rejected, low, np.minimum(low, 0.0))
    cells = np.flatnonzero(rejected & (low <= 0))
    if not cells.size:
        return result
    last = log_e.shape[1] - 1
    looks = np.where(log_e[cells, last] >= -np.log(level[cells]), last, best_look(log_e[cells]))
    contrast = contrast_of(sums.at(cells, looks))
    if contrast.rates is None:
        shown = bound(contrast, level[cells], 1.0)
    else:
        shown = rejected_rate_bound(sums, cells, looks, level[cells])
    today = contrast_of(sums.at(cells, np.full_like(cells, last))).effect
    result[cells] = np.minimum(np.maximum(shown, spent[cells]), today)
    return result
