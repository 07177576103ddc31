"""What simulated users and their traces are like: how active, how alike, how often failing, how slow, how dear.

A binary metric is a thresholded Gaussian liability: part of it the user's own, part the trace's, common to all
metrics, so that metrics and a user's traces are correlated (the random-effects probit; e.g. Agresti, Categorical Data
Analysis, 3rd edition, section 13.1).
"""

from __future__ import annotations

from statistics import NormalDist

TRACES_PER_USER = 4
"""How often a user comes, on average, in the days after the promotion."""

ACTIVITY_SHAPE = 0.7
"""Shape of the gamma distribution of how active users are."""

USER_SHARE = 0.15
"""The user's share of a liability's variance; half of it is each metric's own."""

TRACE_SHARE = 0.15
"""The trace's share of a liability's variance, common to all metrics."""

HARD_LIABILITY = 1.1
"""How much a hard request adds to the liability to leave its task undone: 55 % of them instead of 30 % then add 4
points to a rate of 8 %, which a comparison that does not see them takes for a regression nearly always."""

DRIFTED_LIABILITY = 0.5
"""How much another version of the prompt, or of what else drifts, adds to every liability."""

STRICTER_BY = 0.3
"""How much a stricter evaluator adds to the liability to be told that a task was left undone."""

LATENCY_SPREAD = 0.55
"""Standard deviation of the logarithm of a usual latency."""

SLOW_TIMES = 2.0
"""How many times slower the fastest trace of the slow path is than it had been; with the spread above, three times as
many slow traces raise the 99th percentile by 22 % and the median by 1.6 %."""

SLOW_TAIL = 2.5
"""Exponent of the slow path's Pareto distribution."""

COST_SPREAD = 1.1
"""Standard deviation of the logarithm of a trace's cost."""

WEEKDAYS = (1.2, 1.15, 1.1, 1.05, 1.0, 0.8, 0.7)
"""Traffic of each day of the week, Monday first, as a multiple of the usual."""

_NORMAL = NormalDist()
_PRECISION = 1e-9


def threshold(rate: float, hard_share: float = 0.0) -> float:
    """The liability beyond which a trace fails, where a share of hard requests brings the rate about with the others.

    Args:
        rate: how often a trace fails.
        hard_share: share of traces whose liability is higher by ``HARD_LIABILITY``.
    """
    if not hard_share:
        return -_NORMAL.inv_cdf(rate)
    low, high = -10.0, 10.0
    while high - low > _PRECISION:
        middle = (low + high) / 2
        easy, hard = _NORMAL.cdf(-middle), _NORMAL.cdf(HARD_LIABILITY - middle)
        low, high = (middle, high) if (1 - hard_share) * easy + hard_share * hard > rate else (low, middle)
    return low
