"""Draws mirrored requests, which both models answer, as the sums that pairs are tested on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analytics.simulation import population
from analytics.simulation.family import Arrivals, Drawn, FamilySize, Floats, Thresholds
from analytics.simulation.family_sums import Adder
from analytics.simulation.scenarios import Scenario
from analytics.stats.sums import PairSums, TwoArmSums

_MIRRORED = Scenario("mirrored", "Both models answer every request.", share=0.0)


@dataclass(frozen=True)
class Mirrored:
    """Mirrored requests of many cells.

    Attributes:
        rates: of failures, of base and candidate.
        request_share: the request's share of a liability's variance, whichever model answers; the user's comes on top.
    """

    rates: tuple[float, float]
    request_share: float

    def sums(self, seed: int | list[int], size: FamilySize) -> TwoArmSums:
        """Draw all cells.

        Args:
            seed: the same seed gives the same sums.
            size: pairs a day, days and cells.

        Returns:
            Sums with pairs, (cohorts, looks).
        """
        rng = np.random.default_rng(seed)
        requests = Arrivals(rng, _MIRRORED, size, np.arange(size.days))
        count = len(requests.user)
        shared = np.sqrt(population.USER_SHARE) * rng.standard_normal(requests.users)[requests.user] + np.sqrt(
            self.request_share
        ) * rng.standard_normal(count)
        own = np.sqrt(1 - population.USER_SHARE - self.request_share)
        base, candidate = (
            (shared + own * rng.standard_normal(count) > population.threshold(rate)).astype(np.float64)
            for rate in self.rates
        )
        added = [
            np.ones(count),
            np.maximum(candidate - base, 0),
            np.maximum(base - candidate, 0),
            abs(base - candidate),
        ]
        pairs = PairSums(*(_cumulative(values, requests, size) for values in added))
        both = np.empty(2 * count)
        both[::2], both[1::2] = base, candidate
        return replace(Adder(_answers(requests, size)).sums(both), pairs=pairs)


def _cumulative(values: Floats, requests: Arrivals, size: FamilySize) -> Floats:
    place = requests.cohort * size.days + requests.day
    daily = np.bincount(place, weights=values, minlength=size.cohorts * size.days)
    return np.asarray(np.cumsum(daily.reshape(size.cohorts, size.days), axis=1), dtype=np.float64)


def _answers(requests: Arrivals, size: FamilySize) -> Drawn:
    """Two traces for each request: the base's answer and the candidate's."""
    user, cohort, day = (np.repeat(each, 2) for each in (requests.user, requests.cohort, requests.day))
    never = np.zeros(len(user), dtype=np.bool_)
    return Drawn(
        cohorts=size.cohorts,
        days=size.days,
        by_user=False,
        user=user,
        cohort=cohort,
        day=day,
        candidate=np.arange(len(user)) % 2 == 1,
        hard=never,
        drifted=never,
        lost=never,
        values={},
        thresholds=Thresholds({}, np.full(size.cohorts, np.inf)),
    )
