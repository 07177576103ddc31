"""Family-wise error over all cells and looks: weighted Holm at every look, with a reserve for cells that come later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analytics.stats.multiplicity import holm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.stats.sums import BoolArray, FloatArray, IndexArray

RESERVE = 0.1
"""Share of the error that is kept for cells which nobody knew of when the comparison began."""

NEVER = -1


@dataclass(frozen=True)
class Members:
    """Which of a metric's cells belong to the family, and how, shape (cells,).

    Attributes:
        included: whether the cell belongs to it.
        weight: share of the error relative to the others, fixed before the data.
        batch: 0 for cells known from the start, 1 for those that came first after that, and so on.
    """

    included: BoolArray
    weight: FloatArray
    batch: IndexArray


@dataclass(frozen=True)
class Tested:
    """What the family-wise procedure says of one metric's cells, shape (cells,).

    Attributes:
        worse: "the candidate is worse" is shown.
        worse_level: the level at which that was tested.
        worse_look: the look at which it was first shown, or NEVER.
        better: "the candidate is better" is shown.
        better_level: the level at which that was tested.
        better_look: the look at which it was first shown, or NEVER.
    """

    worse: BoolArray
    worse_level: FloatArray
    worse_look: IndexArray
    better: BoolArray
    better_level: FloatArray
    better_look: IndexArray


def anytime_p_values(log_e: FloatArray) -> FloatArray:
    """Anytime-valid p-value of each cell at each look, (cells, looks): the smallest 1/e so far (Ville's inequality)."""
    highest = np.maximum.accumulate(np.maximum(log_e, 0.0), axis=1)
    return np.asarray(np.exp(-highest), dtype=np.float64)


def family(
    worse: Sequence[FloatArray], better: Sequence[FloatArray], members: Sequence[Members], alpha: float
) -> list[Tested]:
    """Weighted Holm (Scand. J. Stat. 6, 1979) over the cells of all metrics, one family for each direction.

    With p-values that hold at every look the error is held over all looks at once, whatever depends on what. A p-value
    only ever falls and a batch never grows, so what was once shown stays shown. Cells known from the start share
    1 - RESERVE of alpha; the n-th later batch gets RESERVE / 2^n of it, so that spent error is never spent again.

    Args:
        worse: p-values of "the candidate is worse" per metric, (cells, looks), each never above the one before it.
        better: of "the candidate is better".
        members: per metric.
        alpha: level of each family.
    """
    ends = np.cumsum([len(each.included) for each in members])[:-1]
    together = Members(
        *(np.concatenate([getattr(each, name) for each in members]) for name in ("included", "weight", "batch"))
    )
    parts = [
        np.split(array, ends)
        for p_values in (worse, better)
        for array in _stepped(np.concatenate(p_values), together, alpha)
    ]
    return [Tested(*part) for part in zip(*parts, strict=True)]


def _stepped(p_values: FloatArray, members: Members, alpha: float) -> tuple[BoolArray, FloatArray, IndexArray]:
    """Which cells are rejected by the last look, at which level each was tested, and since which look."""
    rejected = np.zeros(len(p_values), dtype=np.bool_)
    levels = np.full(len(p_values), alpha * (1 - RESERVE))
    since = np.full(len(p_values), NEVER, dtype=np.intp)
    for batch in np.unique(members.batch[members.included]):
        chosen = np.flatnonzero(members.included & (members.batch == batch))
        share = alpha * (RESERVE / 2.0**batch if batch else 1 - RESERVE)
        for look in range(p_values.shape[1]):
            found, level = holm(p_values[chosen, look], members.weight[chosen], share)
            newly = chosen[found & (since[chosen] == NEVER)]
            since[newly] = look
        rejected[chosen], levels[chosen] = found, level
    return rejected, levels, since
