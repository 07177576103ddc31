"""What simulated users and their traces are like, however they are drawn: how active, how alike, how often failing.

A binary metric is a thresholded Gaussian liability: part of it the user's own, part the trace's, common to all
metrics, so that metrics and a user's traces are correlated (the random-effects probit; e.g. Agresti, Categorical Data
Analysis, 3rd edition, section 13.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

TRACES_PER_USER = 4
"""How often a user comes, on average, in the days after the promotion."""

ACTIVITY_SHAPE = 0.7
"""Shape of the gamma distribution of how active users are."""

USER_SHARE = 0.15
"""The user's share of a liability's variance; half of it is each metric's own."""

TRACE_SHARE = 0.15
"""The trace's share of a liability's variance, common to all metrics."""

DRIFTED_LIABILITY = 0.5
"""How much another version of the prompt, or of what else drifts, adds to every liability."""

STRICTER_BY = 0.3
"""How much a stricter evaluator adds to the liability to be told that a task was left undone."""

HARD_LIABILITY = 1.1
"""How much a hard request adds to the liability to leave its task undone: 55 % of them instead of 30 % then add 4
points to a rate of 8 %, which a comparison that does not see them takes for a regression nearly always."""

SLOW_TAIL = 2.5
"""Exponent of the slow path's Pareto distribution."""

WEEKDAYS = (1.2, 1.15, 1.1, 1.05, 1.0, 0.8, 0.7)
"""Traffic of each day of the week, Monday first, as a multiple of the usual."""

Kinds = Sequence[tuple[float, float]]
"""Kinds of requests: the share of each, and what it adds to the liability."""

ALIKE: Kinds = ((1.0, 0.0),)
"""One kind only."""

_NORMAL = NormalDist()
_PRECISION = 1e-9


def threshold(rate: float, kinds: Kinds = ALIKE) -> float:
    """The liability beyond which a trace fails, where these kinds of requests together have the rate."""
    low, high = -10.0, 10.0
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle, kinds) > rate else (low, middle)
    return low


def beyond(limit: float, kinds: Kinds) -> float:
    """The rate of requests whose liability is above a limit."""
    return sum(share * (1 - _NORMAL.cdf(limit - added)) for share, added in kinds)
