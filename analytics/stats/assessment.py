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

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.stats.contrast import Contrast
    from analytics.stats.family import Tested
    from analytics.stats.sums import BoolArray, FloatArray, IndexArray, TwoArmSums


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
    """
    last = last_look(sums)
    contrast = contrast_of(last)
    alone = np.full_like(margin, alpha)
    low, high = bound(contrast, tested.worse_level, 1.0), bound(contrast, tested.better_level, -1.0)
    ready = enough_units(last) & known_from(first_look, sums)[:, -1]
    if contrast.rates is not None:
        dilution = np.ones_like(margin) if last.dilution is None else last.dilution
        ready &= expected_at(contrast, margin) >= MINIMUM_EVENTS * dilution
    return Assessment(
        effect=contrast.effect,
        low=_agreeing(low, sums, contrast_of, evidence.worse, tested.worse, tested.worse_level),
        high=-_agreeing(-high, sums.swapped(), contrast_of, evidence.better, tested.better, tested.better_level),
        low_alone=bound(contrast, alone, 1.0),
        high_alone=bound(contrast, alone, -1.0),
        ready=ready,
        needed=traces_needed(contrast, last, margin, alpha),
        detectable=smallest_detectable(contrast, tested.worse_level),
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
) -> FloatArray:
    """Lower ends that lie above 0 just where the test rejected.

    A rejection holds once it was made: where today's end does not show it, the end of the look with the
    most evidence does, but never above today's estimate. Where the test did not reject, the end is not
    above 0.
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
    result[cells] = np.minimum(shown, today)
    return result
