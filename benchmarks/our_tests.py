"""The product's tests of drawn sums: open-ended, and with a declared end after fourteen days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache

import numpy as np

from analytics.simulation.draw import TRACES_PER_DAY
from analytics.simulation.family_frame import FIRST_DAY, family_metrics
from analytics.simulation.family_sums import METRICS, MetricSums
from analytics.stats.evidence import Evidence
from analytics.stats.family import Members, anytime_p_values, family
from analytics.stats.horizon import Horizon, horizon_p_values, split_p_value
from analytics.stats.multiplicity import e_bh
from analytics.stats.sums import FloatArray

ANYTIME = "**spanverdict, anytime**"
SPLIT = "**spanverdict, end declared**"
SPENDING = "O'Brien-Fleming spending alone"
WATCH_LIST = "spanverdict's watch list (e-BH at 10 %), any entry"

PValues = tuple[FloatArray, FloatArray]
"""Of "worse" and of "better", at every look, (cells, looks)."""

_WATCH_LEVEL = 0.10


@lru_cache
def horizon(days: int = 14) -> Horizon:
    """A comparison whose end was declared, with a look a day until it is over."""
    looks = [(FIRST_DAY + timedelta(days=day)).date() for day in range(days)]
    end = FIRST_DAY + timedelta(days=days)
    return Horizon.of(looks, start=FIRST_DAY, planned_end=end, as_of=end)


def p_values(metric: MetricSums) -> dict[str, PValues]:
    """By each of our tests, and by the spending half with the whole error."""
    evidence = metric.evidence
    anytime = anytime_p_values(evidence.worse), anytime_p_values(evidence.better)
    first_look = np.zeros(len(evidence.worse), dtype=np.intp)
    spent = horizon_p_values(
        metric.sums,
        metric.contrast(metric.sums),
        horizon(evidence.worse.shape[1]),
        first_look=first_look,
        maturity=metric.maturity,
    )
    split = split_p_value(anytime[0], spent.worse), split_p_value(anytime[1], spent.better)
    return {SPENDING: (spent.worse, spent.better), SPLIT: split, ANYTIME: anytime}


def members() -> list[Members]:
    """All cells of a family, known from the start, with the product's default weights."""
    traffic, count = np.sqrt(np.array(TRACES_PER_DAY, dtype=np.float64)), len(TRACES_PER_DAY)
    metrics = family_metrics()
    return [
        Members(np.ones(count, dtype=np.bool_), metrics[name].weight * traffic, np.zeros(count, dtype=np.intp))
        for name in METRICS
    ]


def alarms(of_metrics: Sequence[PValues], alpha: float) -> tuple[bool, bool]:
    """Whether any cell of a family is called worse, and better, at any look."""
    worse, better = zip(*of_metrics, strict=True)
    tested = family(worse, better, members(), alpha)
    return any(bool(one.worse.any()) for one in tested), any(bool(one.better.any()) for one in tested)


def watched(evidence: Sequence[Evidence]) -> tuple[bool, bool]:
    """Whether the watch list has an entry at any look, of cells that look worse, and of such as look better."""

    def any_entry(log_e: FloatArray) -> bool:
        return any(bool(e_bh(log_e[:, look], _WATCH_LEVEL).any()) for look in range(log_e.shape[1]))

    return (
        any_entry(np.concatenate([one.worse for one in evidence])),
        any_entry(np.concatenate([one.better for one in evidence])),
    )
