"""Draws the traces of whole families of comparisons, fast: arrays of numbers instead of files.

What `analytics.simulation.draw` writes as files for one promotion is drawn here for hundreds: the same scenarios, the
same population (`analytics.simulation.population`). `analytics.simulation.family_sums` adds the traces up to the
sufficient statistics that the tests take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from analytics.simulation import population
from analytics.simulation.draw import TRACES_PER_DAY
from analytics.simulation.scenarios import RATES, SLOW_PATH, Scenario

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.intp]

LATENCY = "latency_ms"
COST = "cost_usd"
COLUMNS = (*RATES, LATENCY, COST)

TASKS = "task_completion"
"""The metric that hard requests, a stricter evaluator and lost scores are about."""

LATENCY_SPREAD = 0.55
"""Standard deviation of the logarithm of a usual latency."""

SLOW_TIMES = 2.0
"""How many times slower the fastest trace of the slow path is than it had been; with the spread above, three times as
many slow traces raise the 99th percentile by 22 % and the median by 1.6 %."""

COST_SPREAD = 1.1
"""Standard deviation of the logarithm of a trace's cost."""

_USUAL_MS = 900.0
_USUAL_USD = 0.01
_DAYS_A_WEEK = 7


@dataclass(frozen=True)
class FamilySize:
    """How much is drawn.

    Attributes:
        per_day: traces a day in the base arm, per cohort of one family.
        days: days after the promotion, each of them a look.
        families: how many families are drawn at once; their day shocks differ.
        alone: whether every trace comes from a user of its own, so that traces are independent but for the day.
    """

    per_day: tuple[float, ...] = TRACES_PER_DAY
    days: int = 14
    families: int = 1
    alone: bool = False

    @property
    def cohorts(self) -> int:
        """Cohorts of all families."""
        return len(self.per_day) * self.families


@dataclass(frozen=True)
class Thresholds:
    """Values frozen before the promotion, each of shape (cohorts,).

    Attributes:
        latency: quantile → latency.
        cost_cap: the 99.5th percentile of cost.
    """

    latency: Mapping[float, Floats]
    cost_cap: Floats


@dataclass(frozen=True)
class Drawn:
    """Traces in the order of users and days; every array has the shape (traces,) unless said otherwise.

    Attributes:
        cohorts: cohorts of all families.
        days: days of the time axis.
        by_user: whether each user has met one arm only.
        user: the user's number, over all cohorts.
        cohort: the cohort's number, over all families.
        day: day of the time axis, from 0.
        candidate: whether the candidate served the trace.
        hard: whether the request was a hard one.
        drifted: whether the prompt, or what else drifts, was another version.
        lost: whether the score of task completion was lost.
        values: column → failures of a binary metric, latency or cost.
        thresholds: frozen before the promotion.
    """

    cohorts: int
    days: int
    by_user: bool
    user: Numbers
    cohort: Numbers
    day: Numbers
    candidate: Bools
    hard: Bools
    drifted: Bools
    lost: Bools
    values: Mapping[str, Floats]
    thresholds: Thresholds


def draw_family(
    scenario: Scenario, seed: int | list[int], size: FamilySize | None = None, columns: tuple[str, ...] = COLUMNS
) -> Drawn:
    """Draw the traces of one or more families.

    The day axis begins with the promotion, or with a split before/after as many days earlier as the scenario says;
    from so many days of the base before it thresholds are frozen. Rates are those of `RATES` in every cohort, and the
    candidate's share is the one of the first day.

    Args:
        scenario: what is the same in both arms and what is not; the affected cohorts are the first ones of each family.
        seed: the same seed gives the same traces.
        size: how much; None is one family of twenty cohorts over fourteen days.
        columns: which binary metrics, latency and cost to draw.
    """
    size, rng = size or FamilySize(), np.random.default_rng(seed)
    before_after = scenario.split == "before_after"
    first = -scenario.days_before if before_after else 0
    days = np.arange(first, size.days)
    traces = Arrivals(rng, scenario, size, days)
    day = days[traces.day]
    row, rows = traces.cohort % len(size.per_day), range(len(size.per_day))
    stays = np.array([scenario.is_control(number, len(rows)) for number in rows])
    affected = np.array([scenario.is_affected(number, len(rows)) for number in rows])
    candidate = _arms(rng, scenario, traces, day) & ~stays[row]
    changed = candidate & affected[row] & (day >= scenario.onset_day)
    hard = rng.random(len(row)) < np.where(candidate, scenario.hard_share[1], scenario.hard_share[0])
    drifted = candidate & (rng.random(len(row)) < scenario.drifted)
    shock = _shocks(rng, scenario, size, len(days))[traces.cohort // len(size.per_day), traces.day]
    common = (
        np.sqrt(population.USER_SHARE / 2) * rng.standard_normal(traces.users)[traces.user]
        + np.sqrt(population.TRACE_SHARE) * rng.standard_normal(len(row))
        + shock
        + population.DRIFTED_LIABILITY * drifted
    )
    values: dict[str, Floats] = {}
    for column in columns:
        if column in RATES:
            stricter = population.STRICTER_BY * candidate if scenario.drifted_evaluator else 0.0
            own = population.HARD_LIABILITY * hard + stricter if column == TASKS else 0.0
            values[column] = _failures(rng, scenario, column, traces, common + own, changed)
        elif column == LATENCY:
            values[column] = _latencies(rng, traces, np.where(changed, scenario.slow_factor, 1.0))
        else:
            values[column] = _costs(rng, traces) * np.where(changed, scenario.token_factor, 1.0)
    lost = np.zeros(len(row), dtype=np.bool_)
    if scenario.lost_scores:
        lost = candidate & (values[TASKS] > 0) & (rng.random(len(row)) < scenario.lost_scores)
    return Drawn(
        cohorts=size.cohorts,
        days=len(days),
        by_user=scenario.split == "user",
        user=traces.user,
        cohort=traces.cohort,
        day=traces.day,
        candidate=candidate,
        hard=hard,
        drifted=drifted,
        lost=lost,
        values=values,
        thresholds=_thresholds(rng, size, scenario.days_before, columns),
    )


class Arrivals:
    """Who comes on which day: users of gamma activity, Poisson arrivals, in the order of users and days."""

    def __init__(self, rng: np.random.Generator, scenario: Scenario, size: FamilySize, days: Numbers) -> None:
        split = scenario.split != "before_after"
        per_day = np.tile(np.array(size.per_day), size.families) / ((1 - scenario.share) if split else 1.0)
        season = np.cumsum(np.array(population.WEEKDAYS)[days % _DAYS_A_WEEK])
        if size.alone:
            counts = rng.poisson(per_day * season[-1])
        else:
            counts = np.maximum(2, np.rint(per_day * size.days / population.TRACES_PER_USER)).astype(np.intp)
        self.users = int(counts.sum())
        home = np.repeat(np.arange(size.cohorts), counts)
        if size.alone:
            who = np.arange(self.users)
        else:
            activity = rng.gamma(population.ACTIVITY_SHAPE, size=self.users)
            weight = activity / np.bincount(home, activity)[home]
            who = np.repeat(np.arange(self.users), rng.poisson(weight * per_day[home] * season[-1]))
        when = np.searchsorted(season, season[-1] * rng.random(len(who)), side="right")
        self.user, self.day = np.divmod(np.sort(who * len(days) + when), len(days))
        self.cohort = home[self.user]


def _arms(rng: np.random.Generator, scenario: Scenario, traces: Arrivals, day: Numbers) -> Bools:
    if scenario.split == "user":
        return np.asarray((rng.random(traces.users) < scenario.share)[traces.user], dtype=np.bool_)
    if scenario.split == "request":
        return np.asarray(rng.random(len(day)) < scenario.share, dtype=np.bool_)
    return np.asarray(day >= 0, dtype=np.bool_)


def _shocks(rng: np.random.Generator, scenario: Scenario, size: FamilySize, days: int) -> Floats:
    """What a day adds to all liabilities of a family, shape (families, days): autoregressive."""
    fresh = scenario.day_shock * rng.standard_normal((size.families, days))
    keeps = scenario.shock_memory
    for day in range(1, days):
        fresh[:, day] = keeps * fresh[:, day - 1] + np.sqrt(1 - keeps**2) * fresh[:, day]
    return fresh


def _failures(
    rng: np.random.Generator,
    scenario: Scenario,
    metric: str,
    traces: Arrivals,
    shared: Floats,
    changed: Bools,
) -> Floats:
    """1.0 where a trace fails, else 0.0; ``shared`` is the part of the liability that is not this metric's chance."""
    own = np.sqrt(population.USER_SHARE / 2) * rng.standard_normal(traces.users)
    rest = np.sqrt(1 - population.USER_SHARE - population.TRACE_SHARE) * rng.standard_normal(len(shared))
    liability = shared + own[traces.user] + rest
    hard = scenario.hard_share[0] if metric == TASKS else 0.0
    kinds = ((1 - hard, 0.0), (hard, population.HARD_LIABILITY))
    usual = population.threshold(RATES[metric], kinds)
    added = scenario.added.get(metric)
    changed_to = usual if added is None else population.threshold(RATES[metric] + added, kinds)
    return np.asarray(liability > np.where(changed, changed_to, usual), dtype=np.float64)


def _of_users(rng: np.random.Generator, traces: Arrivals) -> Floats:
    """Standard normal values of the traces, those of a user alike."""
    own = np.sqrt(population.USER_SHARE) * rng.standard_normal(traces.users)[traces.user]
    rest = np.sqrt(1 - population.USER_SHARE) * rng.standard_normal(len(traces.user))
    return np.asarray(own + rest, dtype=np.float64)


def _latencies(rng: np.random.Generator, traces: Arrivals, slow_factor: Floats | float = 1.0) -> Floats:
    usual = _USUAL_MS * np.exp(LATENCY_SPREAD * _of_users(rng, traces))
    slow = np.flatnonzero(rng.random(len(usual)) < SLOW_PATH * slow_factor)
    usual[slow] *= SLOW_TIMES * (1 + rng.pareto(population.SLOW_TAIL, len(slow)))
    return np.asarray(usual, dtype=np.float64)


def _costs(rng: np.random.Generator, traces: Arrivals) -> Floats:
    return np.asarray(_USUAL_USD * np.exp(COST_SPREAD * _of_users(rng, traces)), dtype=np.float64)


LATENCY_QUANTILES = (0.05, 0.95, 0.99)
COST_QUANTILE = 0.995


def _thresholds(rng: np.random.Generator, size: FamilySize, days: int, columns: tuple[str, ...]) -> Thresholds:
    """Sample quantiles of base traffic before the promotion."""
    if LATENCY not in columns and COST not in columns:
        return Thresholds({}, np.full(size.cohorts, np.inf))
    earlier = Arrivals(rng, _UNCHANGED, size, np.arange(-days, 0))
    bounds = np.searchsorted(earlier.cohort, np.arange(size.cohorts + 1))
    values = {
        LATENCY: _latencies(rng, earlier) if LATENCY in columns else np.ones(len(earlier.user)),
        COST: _costs(rng, earlier) if COST in columns else np.ones(len(earlier.user)),
    }

    def quantiles(column: str, probabilities: tuple[float, ...]) -> Floats:
        parts = [values[column][start:end] for start, end in pairwise(bounds)]
        return np.array([np.quantile(part, probabilities) for part in parts]).T

    latency = dict(zip(LATENCY_QUANTILES, quantiles(LATENCY, LATENCY_QUANTILES), strict=True))
    return Thresholds(latency, quantiles(COST, (COST_QUANTILE,))[0])


_UNCHANGED = Scenario("before", "The base model alone, before the promotion.", "before_after")
