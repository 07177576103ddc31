"""The half of the error that is spent by a declared end: p-values at every look, to be joined to the anytime ones.

Open-ended monitoring spends its error for ever; a comparison that is to end on a known day can spend half of it by then
(:mod:`analytics.stats.spending`), which finds more, and keep the other half for the anytime process, which stops early
on large effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc, ndtri

from analytics.stats.contrast import design_effect
from analytics.stats.evidence import enough_units, expected_events, known_from
from analytics.stats.mixture import t_to_z, z_to_t
from analytics.stats.pairs import pair_design
from analytics.stats.spending import Boundaries
from analytics.stats.sums import Strata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from analytics.stats.contrast import Contrast
    from analytics.stats.sums import BoolArray, FloatArray, IndexArray, TwoArmSums

MINIMUM_EXPECTED_EVENTS = 50
"""Events expected in the smaller arm from which on a rate's z-values take part; before, only the final test does."""

MOST_LOOKS = 60
"""Looks that spend, at most: the first day of each sixtieth of the planned duration, and the final one."""

CONCENTRATIONS: FloatArray = np.array([1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0])
"""How much faster than evenly information may have grown: boundaries are made for these powers of the time."""

_DAY = timedelta(days=1)
_SHORTEST = 1e-9
_LEAST_TAIL = 1e-300
_LEAST_COMPLEMENT = 0.05


@dataclass(frozen=True)
class Horizon:
    """Which looks spend, and how far the planned duration had passed at each.

    Attributes:
        elapsed: share of the planned duration that had passed at the end of each look, shape (looks,); may exceed 1.
        spends: whether a look spends: its day is over and began before the planned end, shape (looks,).
        final: the look at which the rest is spent; None until the planned end.
        duration: from the start to the planned end.
    """

    elapsed: FloatArray
    spends: BoolArray
    final: int | None
    duration: timedelta

    @classmethod
    def of(cls, looks: Sequence[date], *, start: datetime, planned_end: datetime, as_of: datetime) -> Horizon:
        """The looks of a comparison, which may leave out days.

        Args:
            looks: UTC days, ascending.
            start: when the candidate began to serve (UTC, naive).
            planned_end: as declared before that (UTC, naive).
            as_of: the moment the world is looked at (UTC, naive). A day that is not over then is still provisional and
                spends nothing.

        Raises:
            ValueError: the planned end does not come after the start.
        """
        duration = planned_end - start
        if duration <= timedelta(0):
            raise ValueError("the planned end has to come after the start of the comparison.")
        begins = [datetime.combine(look, time(), UTC).replace(tzinfo=None) for look in looks]
        elapsed = np.array([(begin + _DAY - start) / duration for begin in begins])
        within = np.array([begin < planned_end for begin in begins], dtype=np.bool_)
        over = np.array([begin + _DAY <= as_of for begin in begins], dtype=np.bool_)
        # By the calendar alone, so that no data decide which looks spend.
        part = np.ceil(elapsed * MOST_LOOKS - _SHORTEST)
        spends = within & over & (part > np.ceil((elapsed - _DAY / duration) * MOST_LOOKS - _SHORTEST))
        last_day = datetime.combine((planned_end - timedelta.resolution).date(), time(), UTC).replace(tzinfo=None)
        candidates = np.flatnonzero(within & over)
        final = None
        if candidates.size and as_of >= last_day + _DAY:
            final = int(candidates[-1])
            spends[final] = True
        return cls(elapsed, spends, final, duration)

    def table(self, maturity: timedelta, concentration: float) -> tuple[Boundaries, IndexArray]:
        """The boundaries of a metric that is final so long after a trace, and the looks that its columns are of.

        Args:
            maturity: of the metric; its information begins to come so much later.
            concentration: information grows as this power of the time since then.
        """
        delay = maturity / self.duration
        looks = np.flatnonzero(self.spends & (self.elapsed > delay + _SHORTEST))
        times = np.minimum(self.elapsed[looks], 1.0)
        if self.final is not None:
            times = np.where(looks == self.final, 1.0, times)
        grown = np.log(self.elapsed[looks] - delay) * concentration
        # Only ratios count; the largest power would leave the range of a double.
        information = np.exp(np.maximum(grown - grown.max(initial=-np.inf), -600.0))
        return Boundaries.of(tuple(times.tolist()), tuple(information.tolist())), looks


@dataclass(frozen=True)
class HorizonPValues:
    """The smallest level at which any look so far would have rejected, shape (cells, looks); 1 where none would.

    Attributes:
        worse: of "the candidate is no higher".
        better: of "the candidate is no lower".
    """

    worse: FloatArray
    better: FloatArray


def split_p_value(anytime: FloatArray, horizon: FloatArray) -> FloatArray:
    """One p-value of both processes, each with half of the error: min(1, 2 min(p1, p2))."""
    return np.asarray(np.minimum(1.0, 2 * np.minimum(anytime, horizon)), dtype=np.float64)


def horizon_p_values(
    sums: TwoArmSums,
    contrast: Contrast,
    horizon: Horizon,
    *,
    first_look: IndexArray,
    maturity: timedelta = timedelta(0),
) -> HorizonPValues:
    """P-values of one metric's cells at every look, never rising from look to look.

    A look takes part where both arms have enough units and, for rates, enough expected events. A rate that never had
    them is tested once, at the final look, by :func:`final_p_value`.

    The joint distribution of a cell's z-values depends on how its information has grown. Were it evenly over time, the
    correlation of successive ones would be known. Where traffic grew faster, they are less correlated and more often
    exceed boundaries, so the cell's boundaries are those of the smallest power of time that never grows more slowly
    than the cell did; with correlations at least as high as assumed the error is at most what was spent (Slepian, Bell
    Syst. Tech. J. 41, 1962).

    Args:
        sums: what is tested, shape (cells, looks).
        contrast: of these sums.
        horizon: which looks spend.
        first_look: from which look on each cell's thresholds are known, shape (cells,).
        maturity: how long after a trace its value is final.
    """
    usable = _usable(sums, contrast, horizon, first_look)
    deviation = np.sqrt(np.where(usable, contrast.variance, 1.0))
    z = np.where(usable, t_to_z(contrast.effect / deviation, contrast.degrees), 0.0)
    power = _concentration(sums, usable, horizon, maturity)

    def directed(arms: TwoArmSums, z: FloatArray) -> FloatArray:
        if contrast.rates is not None:
            z = _skewed(z, arms)
        p = np.ones(z.shape)
        for cells, look, table, column in _by_table(usable, power, horizon, maturity):
            p[cells, look] = table.p_value(z[cells, look], column)
        if contrast.rates is not None and horizon.final is not None:
            never = arms.both_arms[:, horizon.final] & ~usable.any(axis=1)
            p[never, horizon.final] = final_p_value(arms, horizon.final)[never]
        return np.asarray(np.minimum.accumulate(p, axis=1), dtype=np.float64)

    return HorizonPValues(directed(sums, z), directed(sums.swapped(), -z))


def horizon_bound(
    sums: TwoArmSums,
    contrast: Contrast,
    horizon: Horizon,
    level: FloatArray,
    *,
    first_look: IndexArray,
    maturity: timedelta = timedelta(0),
) -> FloatArray:
    """Lower ends of the repeated confidence interval (Jennison & Turnbull, JRSS-B 51, 1989), shape (cells,).

    The highest over the looks of the estimate less the boundary's critical value times its standard error, which is
    above 0 where a look rejected at the level, but for rates with few events that are skewed; minus infinity where no
    look takes part.

    Args:
        sums: as for :func:`horizon_p_values`.
        contrast: of these sums.
        horizon: which looks spend.
        level: one-sided, of each cell.
        first_look: from which look on each cell's thresholds are known.
        maturity: how long after a trace its value is final.
    """
    usable = _usable(sums, contrast, horizon, first_look)
    power = _concentration(sums, usable, horizon, maturity)
    deviation = np.sqrt(np.where(usable, contrast.variance, 0.0))
    low = np.full(usable.shape, -np.inf)
    for cells, look, table, column in _by_table(usable, power, horizon, maturity):
        critical = z_to_t(table.critical(level[cells], column), contrast.degrees[cells, look])
        reach = np.where(np.isfinite(critical), critical, np.inf) * deviation[cells, look]
        low[cells, look] = contrast.effect[cells, look] - reach
    return np.asarray(low.max(axis=1, initial=-np.inf), dtype=np.float64)


def _by_table(
    usable: BoolArray, power: IndexArray, horizon: Horizon, maturity: timedelta
) -> Iterator[tuple[IndexArray, int, Boundaries, int]]:
    """The cells that take part at each spending look, with their boundaries and the column of the look there."""
    for index, concentration in enumerate(CONCENTRATIONS):
        chosen = usable & (power == index)
        if not chosen.any():
            continue
        table, looks = horizon.table(maturity, float(concentration))
        for column, look in enumerate(looks):
            yield np.flatnonzero(chosen[:, look]), int(look), table, column


def _usable(sums: TwoArmSums, contrast: Contrast, horizon: Horizon, first_look: IndexArray) -> BoolArray:
    """Where a look's z-value takes part."""
    usable = sums.both_arms & known_from(first_look, sums) & enough_units(sums)
    usable &= (contrast.variance > 0) & (contrast.degrees > 0) & horizon.spends
    return usable if contrast.rates is None else usable & _enough_events(sums)


def _enough_events(sums: TwoArmSums) -> BoolArray:
    """Where the smaller arm expects events enough for a normal tail; of pairs, where as many differ."""
    if sums.pairs is not None:
        differing = (sums.pairs.higher + sums.pairs.lower) / pair_design(sums, sums.pairs)
        return np.asarray(differing >= MINIMUM_EXPECTED_EVENTS, dtype=np.bool_)
    return np.asarray(expected_events(sums) >= MINIMUM_EXPECTED_EVENTS, dtype=np.bool_)


def _concentration(sums: TwoArmSums, usable: BoolArray, horizon: Horizon, maturity: timedelta) -> IndexArray:
    """Which of :data:`CONCENTRATIONS` covers each cell's information up to each look, shape (cells, looks).

    Information is that of the traffic, n_a n_b / (n_a + n_b), or its sum over the blocks within which arms are
    compared.
    """
    n_a, n_b = sums.sizes
    information = np.where(sums.both_arms, n_a * n_b / (n_a + n_b), 0.0)
    since = np.maximum(horizon.elapsed - maturity / horizon.duration, _SHORTEST)
    cells, looks = usable.shape
    before, time_before = np.zeros(cells), np.ones(cells)
    highest = np.ones(cells)
    result = np.zeros((cells, looks), dtype=np.intp)
    for look in range(looks):
        at = usable[:, look]
        known = at & (before > 0) & (since[look] > time_before)
        growth = np.log(np.where(known, information[:, look], 1.0) / np.where(known, before, 1.0))
        power = growth / np.log(np.where(known, since[look] / time_before, np.e))
        highest = np.maximum(highest, np.where(known, power, 1.0))
        before, time_before = np.where(at, information[:, look], before), np.where(at, since[look], time_before)
        result[:, look] = np.searchsorted(CONCENTRATIONS, highest - _SHORTEST)
    return np.minimum(result, len(CONCENTRATIONS) - 1)


def _skewed(z: FloatArray, sums: TwoArmSums) -> FloatArray:
    """The z whose normal tail equals that of the candidate's share of the events at z standard deviations, if lower.

    A candidate arm that is much the smaller one has its events skewed to the right, where a normal tail is too light.
    The events are as many as give a binomial the variance of the rates' difference; half a one is the step between a
    normal and a count.
    """
    if sums.pairs is not None:
        return z
    n_a, n_b = sums.sizes
    share = n_b / (n_a + n_b)
    variance_factor = design_effect(sums) * np.maximum(1 - sums.pooled, _LEAST_COMPLEMENT)
    events = sums.pooled * (n_a + n_b) / variance_factor
    successes = events * share + z * np.sqrt(events * share * (1 - share)) + 0.5
    tail = _binomial_tail(np.minimum(successes, events), events, share)
    return np.asarray(np.minimum(z, -ndtri(np.clip(tail, _LEAST_TAIL, 1.0))), dtype=np.float64)


def _binomial_tail(successes: FloatArray, trials: FloatArray, share: FloatArray) -> FloatArray:
    """P(Y >= successes) of a binomial, continued to counts that are not whole; 1 without successes."""
    some = successes > 0
    tail = betainc(np.where(some, successes, 1.0), np.maximum(trials - successes, 0.0) + 1, share)
    return np.asarray(np.where(some, tail, 1.0), dtype=np.float64)


def final_p_value(sums: TwoArmSums, look: int) -> FloatArray:
    """P-value of "the candidate's rate is no higher" by counts alone, for one test at one look; shape (cells,).

    Given m events on a day, or in a stratum of it, the candidate's are hypergeometric under equal rates, which is less
    variable than Binomial(m, n_b / (n_a + n_b)). The sum of such binomials has no heavier upper tail than one binomial
    of their mean share, from one above its mean on (Hoeffding, Ann. Math. Stat. 27, 1956, Theorem 5). Counts are
    divided by the design effect where users return; without that the test is exact, if conservative.

    Args:
        sums: of 0/1 values, or of pairs, shape (cells, looks), cumulative.
        look: at which to test, given what came until then.
    """
    cells = np.arange(sums.base.n.shape[0])
    at = sums.at(cells, np.full_like(cells, look))
    if at.pairs is not None:
        successes, events, design = at.pairs.higher, at.pairs.higher + at.pairs.lower, pair_design(at, at.pairs)
        expected = events / 2
    else:
        counted = sums.strata or Strata(
            *(of[None] for of in (sums.base.n, sums.base.y, sums.candidate.n, sums.candidate.y))
        )
        n_a, n_b, by_block = (
            np.diff(total[:, :, : look + 1], axis=2, prepend=0.0)
            for total in (counted.base_n, counted.candidate_n, counted.base_y + counted.candidate_y)
        )
        share = np.divide(n_b, n_a + n_b, out=np.zeros_like(n_b), where=n_a + n_b > 0)
        expected, events = (by_block * share).sum(axis=(0, 2)), by_block.sum(axis=(0, 2))
        successes, design = counted.candidate_y[:, :, look].sum(axis=0), design_effect(at)
    mean_share = np.divide(expected, events, out=np.full_like(events, 0.5), where=events > 0)
    tail = _binomial_tail(successes / design, events / design, mean_share)
    return np.asarray(np.where((successes - expected) / design >= 1, tail, 1.0), dtype=np.float64)
