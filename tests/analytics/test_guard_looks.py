"""Looking every quarter of an hour costs no false alarms: what a guard relies on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pytest

from analytics.stats.contrast import log_ratio, rate_difference
from analytics.stats.evidence import mean_evidence, rate_evidence
from analytics.stats.horizon import Horizon, horizon_p_values, split_p_value
from analytics.stats.sums import ArmSums, CrossSums, FloatArray, TwoArmSums

START = datetime(2026, 3, 2)
DAY = timedelta(days=1)
LEVEL = 0.05
SLOTS = 96
"""Quarters of an hour in a day."""

CELLS = 800


@dataclass(frozen=True)
class Traffic:
    """What came in each quarter of an hour: (arm, cells, days, slots)."""

    n: FloatArray
    y: FloatArray
    yy: FloatArray

    def seen(self, days: int, slots: int) -> TwoArmSums:
        """Cumulative sums of so many days, the last of them only so far: (cells, days)."""
        arms = []
        for arm in (0, 1):
            daily = [each[arm, :, :days].sum(axis=2) for each in (self.n, self.y, self.yy)]
            for total, each in zip(daily, (self.n, self.y, self.yy), strict=True):
                total[:, -1] = each[arm, :, days - 1, :slots].sum(axis=1)
            n, y, yy = (np.cumsum(total, axis=1, dtype=np.float64) for total in daily)
            # Every trace has a user of its own.
            arms.append(ArmSums(n, n, y, n, y, yy))
        nothing = np.zeros_like(arms[0].n)
        return TwoArmSums(arms[0], arms[1], CrossSums(*[nothing] * 4))


def rates(cells: int, days: int, per_slot: tuple[float, float], rate: float, seed: int) -> Traffic:
    """Equal models whose failures rise and fall with the hour and the day."""
    rng = np.random.default_rng(seed)
    season = 1 + 0.5 * np.sin(2 * np.pi * np.arange(SLOTS) / SLOTS)
    shocks = np.exp(rng.normal(0, 0.3, (cells, days, 1)))
    n = np.stack([rng.poisson(traces * season, (cells, days, SLOTS)) for traces in per_slot]).astype(np.float64)
    y = rng.binomial(n.astype(np.int64), np.minimum(rate * shocks * (2 - season), 0.9)).astype(np.float64)
    return Traffic(n, y, y)


def costs(cells: int, days: int, per_slot: int, seed: int) -> Traffic:
    """Equal models whose traces cost what a lognormal draws."""
    rng = np.random.default_rng(seed)
    values = np.minimum(rng.lognormal(0, 0.8, (2, cells, days, SLOTS, per_slot)), 8.0)
    return Traffic(np.full((2, cells, days, SLOTS), float(per_slot)), values.sum(axis=4), (values**2).sum(axis=4))


def of_rates(sums: TwoArmSums) -> FloatArray:
    """Log e-values of "worse" of a rate."""
    return rate_evidence(sums).worse


def of_costs(sums: TwoArmSums) -> FloatArray:
    """Log e-values of "worse" of a mean."""
    return mean_evidence(sums, log_ratio(sums), np.zeros(len(sums.base.n), dtype=np.intp)).worse


def alarms(traffic: Traffic, evidence: Callable[[TwoArmSums], FloatArray], every: int) -> tuple[FloatArray, FloatArray]:
    """Anytime p-values of "worse" over all looks, taken daily and every so many slots."""
    cells, days = traffic.n.shape[1:3]
    daily, often = np.zeros(cells), np.zeros(cells)
    for day in range(1, days + 1):
        for slots in range(every, SLOTS + 1, every):
            found = evidence(traffic.seen(day, slots))[:, -1]
            often = np.maximum(often, found)
            if slots == SLOTS:
                daily = np.maximum(daily, found)
    return np.exp(-daily), np.exp(-often)


def share(p: FloatArray) -> float:
    """How many cells would be rolled back."""
    return float((p <= LEVEL).mean())


def holds(found: float, cells: int) -> bool:
    """Whether a share of false alarms is no more than the level, beyond four standard errors."""
    return found <= LEVEL + 4 * np.sqrt(LEVEL * (1 - LEVEL) / cells)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "traffic", "evidence"),
    [
        ("rare failures, even split", lambda: rates(CELLS, 7, (3, 3), 0.02, 1), of_rates),
        ("rare failures, canary of a tenth", lambda: rates(CELLS, 7, (9, 1), 0.02, 2), of_rates),
        ("frequent failures, even split", lambda: rates(CELLS, 7, (3, 3), 0.2, 3), of_rates),
        ("cost, even split", lambda: costs(CELLS, 7, 3, 4), of_costs),
    ],
)
def test_looking_every_quarter_of_an_hour_costs_no_false_alarms(
    name: str,
    traffic: Callable[[], Traffic],
    evidence: Callable[[TwoArmSums], FloatArray],
    record_property: Callable[[str, object], None],
) -> None:
    """Equal models for a week: cells of each kind, looked at 7 times and 672 times."""
    drawn = traffic()
    daily, often = (share(p) for p in alarms(drawn, evidence, every=1))
    record_property(name, {"daily": daily, "every quarter of an hour": often})
    assert daily <= often
    assert holds(often, CELLS)


def test_looking_every_three_hours_costs_no_false_alarms() -> None:
    """The same in small, with each run of the tests; and a model that fails three times as often is found."""
    equal, often = alarms(rates(400, 5, (3, 3), 0.05, 5), of_rates, every=12)
    assert holds(share(often), 400)
    worse = rates(400, 5, (3, 3), 0.05, 6)
    worse.y[1] = np.minimum(worse.n[1], 3 * worse.y[1])
    found = alarms(Traffic(worse.n, worse.y, worse.y), of_rates, every=12)
    assert share(found[1]) > 0.95
    assert share(equal) <= share(often)


def test_a_declared_end_spends_by_whole_days_however_often_one_looks() -> None:
    """Between midnights the spending half says what it said at the last one; so more looks spend nothing."""
    traffic = rates(300, 7, (9, 9), 0.1, 7)
    seen: list[FloatArray] = []
    for hour in (0, 6, 12, 18):
        as_of = START + 5 * DAY + timedelta(hours=hour)
        slots = hour * SLOTS // 24
        sums = traffic.seen(6, slots) if slots else traffic.seen(5, SLOTS)
        looks = [(START + day * DAY).date() for day in range(sums.base.n.shape[1])]
        horizon = Horizon.of(looks, start=START, planned_end=START + 7 * DAY, as_of=as_of)
        found = horizon_p_values(
            sums, rate_difference(sums), horizon, first_look=np.zeros(300, dtype=np.intp), maturity=timedelta(0)
        )
        seen.append(found.worse[:, -1])
    assert seen[0].min() < 1
    for later in seen[1:]:
        np.testing.assert_allclose(later, seen[0])


@pytest.mark.slow
def test_a_declared_end_holds_with_looks_all_day(record_property: Callable[[str, object], None]) -> None:
    """Both halves together, looked at every three hours: no more false alarms than the level."""
    cells, days = CELLS, 10
    traffic = rates(cells, days, (9, 9), 0.05, 8)
    daily, often = np.ones(cells), np.ones(cells)
    first = np.zeros(cells, dtype=np.intp)
    for day in range(1, days + 1):
        for slots in range(12, SLOTS + 1, 12):
            sums = traffic.seen(day, slots)
            looks = [(START + number * DAY).date() for number in range(day)]
            as_of = START + (day - 1) * DAY + timedelta(minutes=15 * slots)
            horizon = Horizon.of(looks, start=START, planned_end=START + days * DAY, as_of=as_of)
            spent = horizon_p_values(sums, rate_difference(sums), horizon, first_look=first, maturity=timedelta(0))
            anytime = np.exp(-np.maximum(of_rates(sums), 0))
            p = split_p_value(anytime, spent.worse)[:, -1]
            often = np.minimum(often, p)
            if slots == SLOTS:
                daily = np.minimum(daily, p)
    record_property("declared end", {"daily": share(daily), "every three hours": share(often)})
    assert holds(share(often), cells)
