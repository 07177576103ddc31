"""Which cells share the family-wise error, how much each gets, and which came too late to be planned for."""

from __future__ import annotations

from datetime import date, timedelta
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from analytics.stats.family import Members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.cells import Cells
    from analytics.metrics import Metric

_GRACE = timedelta(days=1)


def members(cells: Cells, metrics: Sequence[Metric]) -> list[Members]:
    """The family's members by metric, and one more entry for cells that are expected but have no trace yet.

    A cell's weight is its metric's times the square root of its cohort's expected traffic. What had traces before the
    comparison, or within a day of its beginning, is known from the start, also without a value yet; what comes first
    later draws on the reserve. A metric of which nobody ever had a value takes no part.

    Args:
        cells: the comparison.
        metrics: those of ``cells`` that are judged.
    """
    began = {metric.name: cells.by_metric[metric.name].began for metric in metrics}
    late = [[_late(cells, cells.began[cohort], began[metric.name]) for cohort in cells.cohorts] for metric in metrics]
    days = sorted({day for of_metric in late for day in of_metric if day is not None})
    batch = {None: 0} | {day: number for number, day in enumerate(days, start=1)}
    traffic = {cohort: sqrt(max(expected, 1e-3)) for cohort, expected in cells.expected.items()}
    of_cells = [
        Members(
            np.full(len(cells.cohorts), cells.by_metric[metric.name].known),
            np.array([metric.weight * traffic[cohort] for cohort in cells.cohorts]),
            np.array([batch[day] for day in of_metric], dtype=np.intp),
        )
        for metric, of_metric in zip(metrics, late, strict=True)
    ]
    absent = [cohort for cohort in cells.expected if cohort not in cells.traces]
    known = [metric for metric in metrics if cells.by_metric[metric.name].known]
    weights = [metric.weight * traffic[cohort] for cohort in absent for metric in known]
    count = len(weights)
    return [*of_cells, Members(np.ones(count, dtype=np.bool_), np.array(weights), np.zeros(count, dtype=np.intp))]


def _late(cells: Cells, cohort: date | None, metric: date | None) -> date | None:
    """The day on which a cell came, if it was not known by the first day."""
    last = cells.looks[0] + _GRACE
    days = [day for day in (cohort, metric) if day is not None and day > last]
    return max(days) if days else None
