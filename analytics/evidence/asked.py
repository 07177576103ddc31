"""Which cells a reader asks about."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from analytics.report.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.report.model import CohortResult, MetricResult

MOST_CELLS = 100
"""Most cells of a report that are shown day by day: regressions and alarms first, by their evidence."""

Asked = tuple["CohortResult", "MetricResult"]


def asked_about(cohorts: Sequence[CohortResult]) -> tuple[Asked, ...]:
    """The cells that regressed, improved or raised an alarm; where none did, of each cohort the one that says most.

    Args:
        cohorts: as they were judged.

    Returns:
        Cohorts with their metric, in the report's order.
    """
    found = [(cohort, result) for cohort in cohorts for result in cohort.metrics if _is_finding(result)]
    if not found:
        found = [(cohort, max(cohort.metrics, key=_says)) for cohort in cohorts if cohort.metrics]
    first = sorted(range(len(found)), key=lambda place: (*_rank(found[place][1]), place))[:MOST_CELLS]
    return tuple(found[place] for place in sorted(first))


def _is_finding(result: MetricResult) -> bool:
    return result.verdict in (Verdict.REGRESSED, Verdict.IMPROVED) or result.alert_raised_on is not None


def _rank(result: MetricResult) -> tuple[bool, float, float]:
    worse = result.verdict is Verdict.REGRESSED or result.alert_raised_on is not None
    p_value = 1.0 if result.p_value is None else result.p_value
    return not worse, p_value if worse else 0.0, -_in_margins(result)


def _says(result: MetricResult) -> tuple[bool, float, int]:
    """How much a cell says: one that could be judged more than one that could not, then by its effect."""
    return result.verdict is not Verdict.INVALID, _in_margins(result), result.base.n + result.candidate.n


def _in_margins(result: MetricResult) -> float:
    """The size of the effect in margins; what has no effect comes last."""
    if result.effect is None:
        return -inf
    return abs(result.effect) / abs(result.margin) if result.margin else 0.0
