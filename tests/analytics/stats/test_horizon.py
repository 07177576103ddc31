"""A declared end: looks that spend, p-values that hold their level whatever the traffic did, and what they find."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import binom

from analytics.stats.contrast import RATIO_SCALES, Contrast, mean_difference, rate_difference
from analytics.stats.evidence import rate_evidence
from analytics.stats.family import anytime_p_values
from analytics.stats.horizon import Horizon, final_p_value, horizon_p_values, split_p_value
from analytics.stats.sums import ArmSums, CrossSums, PairSums, Strata, TwoArmSums

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.stats.sums import FloatArray

START = datetime(2026, 3, 2)
DAY = timedelta(days=1)
WEEKLY = 1 + 0.2 * np.sin(2 * np.pi * np.arange(14) / 7)


def looked_daily(days: int, *, planned: int | None = None, seen: int | None = None) -> Horizon:
    """A look on each of so many days, of which ``planned`` were planned and ``seen`` are over."""
    return Horizon.of(
        [(START + day * DAY).date() for day in range(days)],
        start=START,
        planned_end=START + (days if planned is None else planned) * DAY,
        as_of=START + (days if seen is None else seen) * DAY,
    )


def arm(n: FloatArray, y: FloatArray, yy: FloatArray) -> ArmSums:
    """An arm whose every trace has a user of its own."""
    return ArmSums(n, n, y, n, y, yy)


def two_arms(n_a: FloatArray, y_a: FloatArray, n_b: FloatArray, y_b: FloatArray) -> TwoArmSums:
    """Cumulative sums of 0/1 values from daily counts."""
    n_a, y_a, n_b, y_b = (np.cumsum(counts, axis=1, dtype=np.float64) for counts in (n_a, y_a, n_b, y_b))
    nothing = np.zeros_like(n_a)
    return TwoArmSums(arm(n_a, y_a, y_a), arm(n_b, y_b, y_b), CrossSums(*[nothing] * 4))


def rates(
    rng: np.random.Generator, cells: int, per_day: tuple[float, float], rate: tuple[float, float], season: FloatArray
) -> TwoArmSums:
    """Cells of independent traces, (base, candidate) per day and rate."""
    n = [rng.poisson(traces * season, (cells, len(season))) for traces in per_day]
    y = [rng.binomial(counts, share) for counts, share in zip(n, rate, strict=True)]
    return two_arms(n[0], y[0], n[1], y[1])


def of_rates(sums: TwoArmSums, horizon: Horizon, maturity: timedelta = timedelta(0)) -> tuple[FloatArray, FloatArray]:
    """P-values of rates, of worse and better."""
    first_look = np.zeros(len(sums.base.n), dtype=np.intp)
    found = horizon_p_values(sums, rate_difference(sums), horizon, first_look=first_look, maturity=maturity)
    return found.worse, found.better


def holds(p: FloatArray, level: float) -> bool:
    """Whether the share of p-values at or below a level is not above it, beyond four standard errors."""
    return float((p <= level).mean()) <= level + 4 * np.sqrt(level * (1 - level) / len(p))


def test_looks_by_the_calendar() -> None:
    """Days that are not over, or after the end, do not spend; the look before a planned end of a silent day does."""
    looks = [(START + day * DAY).date() for day in (0, 1, 4, 5, 9)]
    horizon = Horizon.of(looks, start=START, planned_end=START + 7 * DAY, as_of=START + 5.5 * DAY)
    assert horizon.spends.tolist() == [True, True, True, False, False]
    assert horizon.final is None
    later = Horizon.of(looks, start=START, planned_end=START + 7 * DAY, as_of=START + 10 * DAY)
    assert later.spends.tolist() == [True, True, True, True, False]
    assert later.final == 3
    assert later.elapsed == pytest.approx([1 / 7, 2 / 7, 5 / 7, 6 / 7, 10 / 7])


def test_an_end_in_the_middle_of_a_day() -> None:
    """The final look is the day in which the end lies, once that is over."""
    looks = [(START + day * DAY).date() for day in range(4)]
    given = {"start": START + 0.4 * DAY, "planned_end": START + 2.5 * DAY}
    assert Horizon.of(looks[:3], **given, as_of=START + 2.7 * DAY).final is None
    assert Horizon.of(looks, **given, as_of=START + 3.5 * DAY).final == 2


def test_long_plans_spend_at_a_limited_number_of_looks() -> None:
    """Of a year's daily looks about sixty spend, and the final one."""
    horizon = looked_daily(365)
    assert 55 <= horizon.spends.sum() <= 61
    assert horizon.spends[-1]


def test_the_end_comes_after_the_start() -> None:
    """A planned end at or before the start is refused."""
    with pytest.raises(ValueError, match="after the start"):
        looked_daily(3, planned=0)


def test_later_looks_leave_earlier_ones_alone() -> None:
    """P-values never rise, a day more does not change those before it, and nothing is spent after the end."""
    sums = rates(np.random.default_rng(3), 50, (300, 300), (0.05, 0.07), np.ones(17))
    worse, better = of_rates(sums, looked_daily(17, planned=14))
    assert (np.diff(worse, axis=1) <= 0).all()
    assert (np.diff(better, axis=1) <= 0).all()
    assert (worse[:, 13:] == worse[:, 13:14]).all()
    assert (worse[:, 13] < worse[:, 12]).any()
    for days in (6, 10):
        so_far = sums.at(np.arange(50)[:, None], np.arange(days)[None, :])
        assert of_rates(so_far, looked_daily(days, planned=14))[0] == pytest.approx(worse[:, :days])


@pytest.mark.parametrize(
    ("per_day", "rate", "season"),
    [
        ((500, 500), 0.05, WEEKLY),
        ((1500, 166), 0.08, WEEKLY),
        ((450, 50), 0.08, WEEKLY),
        ((300, 300), 0.3, np.repeat([0.1, 1.0], 7)),
        ((300, 300), 0.3, np.repeat([1.0, 0.02, 1.0], (5, 5, 4))),
        ((200, 200), 0.005, WEEKLY),
        ((540, 60), 0.005, WEEKLY),
    ],
    ids=["halves", "canary", "small-canary", "ramp", "gap", "rare", "rare-canary"],
)
def test_rates_hold_their_level(per_day: tuple[float, float], rate: float, season: FloatArray) -> None:
    """Equal rates: by the end at most a share of a has p <= a, either way, however traffic was split or grew."""
    sums = rates(np.random.default_rng(11), 5_000, per_day, (rate, rate), season)
    for p in of_rates(sums, looked_daily(14)):
        assert all(holds(p[:, -1], level) for level in (0.5, 0.1, 0.01, 0.001))
        assert (p[:, -1] <= 0.1).mean() > 0.03


def test_late_values_hold_their_level_and_find() -> None:
    """A metric that is final after a week begins to spend then: it holds its level and finds what differs."""
    rng = np.random.default_rng(12)
    late = np.concatenate([np.zeros(7), np.ones(7)])
    equal = rates(rng, 10_000, (500, 500), (0.02, 0.02), late)
    worse, _ = of_rates(equal, looked_daily(14), 7 * DAY)
    assert all(holds(worse[:, -1], level) for level in (0.1, 0.01, 0.001))
    assert (worse[:, -1] <= 0.1).mean() > 0.04
    differing, _ = of_rates(rates(rng, 500, (500, 500), (0.02, 0.05), late), looked_daily(14), 7 * DAY)
    assert (differing[:, -1] <= 0.05 / 480).mean() > 0.95


def test_means_hold_their_level() -> None:
    """Few units with skewed values: the t-quantile keeps a mean's level."""
    rng = np.random.default_rng(13)
    counts = np.full((4_000, 14), 12.0)

    def values() -> ArmSums:
        drawn = rng.gamma(2.0, size=(4_000, 14, 12))
        n, y, yy = (np.cumsum(part, axis=1) for part in (counts, drawn.sum(axis=2), (drawn**2).sum(axis=2)))
        return arm(n, y, yy)

    sums = TwoArmSums(values(), values(), CrossSums(*[np.zeros_like(counts)] * 4))
    contrast = mean_difference(sums, RATIO_SCALES, relative=True)
    found = horizon_p_values(sums, contrast, looked_daily(14), first_look=np.zeros(4_000, dtype=np.intp))
    assert all(holds(p[:, -1], level) for p in (found.worse, found.better) for level in (0.1, 0.01))
    never = horizon_p_values(sums, contrast, looked_daily(14), first_look=np.full(4_000, 14))
    assert (never.worse == 1.0).all()


def test_pairs_hold_their_level() -> None:
    """Mirrored pairs: many by z-values, few by one test of the pairs that differ."""
    rng = np.random.default_rng(14)
    for per_day in (300, 8):
        n = np.cumsum(rng.poisson(per_day, (5_000, 14)), axis=1).astype(np.float64)
        daily = np.diff(n, axis=1, prepend=0).astype(np.int64)
        higher, lower = (np.cumsum(rng.binomial(daily, 0.06), axis=1).astype(np.float64) for _ in range(2))
        both = np.zeros_like(n)
        cross = CrossSums(both, lower, higher, n)
        sums = TwoArmSums(
            arm(n, lower, lower), arm(n, higher, higher), cross, PairSums(n, higher, lower, higher + lower)
        )
        for p in of_rates(sums, looked_daily(14)):
            assert all(holds(p[:, -1], level) for level in (0.2, 0.01, 0.001))
            assert (p[:, -1] <= 0.2).mean() > 0.08


def test_too_little_says_nothing() -> None:
    """Without events, with one arm, or with a look that no end has come to, the p-value stays 1."""
    rng = np.random.default_rng(15)
    none = two_arms(np.full((1, 4), 50), np.zeros((1, 4)), np.full((1, 4), 50), np.zeros((1, 4)))
    alone = two_arms(np.full((1, 4), 50), np.full((1, 4), 5), np.zeros((1, 4)), np.zeros((1, 4)))
    for sums in (none, alone):
        assert all((p == 1.0).all() for p in of_rates(sums, looked_daily(4)))
    early = rates(rng, 20, (20, 20), (0.01, 0.5), np.ones(2))
    assert (of_rates(early, looked_daily(2, planned=14))[0] <= 1).all()
    few = rates(rng, 20, (20, 20), (0.01, 0.3), np.ones(2))
    assert (of_rates(few, looked_daily(2, planned=14))[0] == 1.0).all()
    assert (of_rates(few, looked_daily(2))[0][:, -1] < 0.01).any()


def test_final_test_is_the_binomial_of_the_events() -> None:
    """On one day the final test is the binomial tail of the events; over days with changing shares it is no smaller."""
    one = two_arms(np.array([[300.0]]), np.array([[2.0]]), np.array([[100.0]]), np.array([[9.0]]))
    assert final_p_value(one, 0) == pytest.approx([binom.sf(8, 11, 0.25)])
    shares, events, observed = np.array([0.1, 0.5, 0.9]), np.array([8, 8, 8]), 18
    days = two_arms(
        1000 * (1 - shares[None, :]), np.array([[6.0, 0, 0]]), 1000 * shares[None, :], np.array([[2.0, 8, 8]])
    )
    draws = np.random.default_rng(5).binomial(events, shares, (400_000, 3)).sum(axis=1)
    assert final_p_value(days, 2)[0] >= (draws >= observed).mean()


def test_final_test_compares_within_strata() -> None:
    """A candidate that was sent more of the hard requests is not called worse for their failures."""
    n_a, n_b = np.array([[[900.0]], [[100.0]]]), np.array([[[100.0]], [[900.0]]])
    y_a, y_b = np.array([[[9.0]], [[4.0]]]), np.array([[[1.0]], [[36.0]]])
    whole = two_arms(*(part.sum(axis=0) for part in (n_a, y_a, n_b, y_b)))
    assert final_p_value(whole, 0)[0] < 0.001
    within = replace(whole, strata=Strata(n_a, y_a, n_b, y_b))
    assert final_p_value(within, 0)[0] > 0.3


def test_splitting_costs_a_factor_of_two() -> None:
    """The joined p-value is twice the smaller one, at most 1."""
    joined = split_p_value(np.array([0.01, 0.9, 0.2]), np.array([0.5, 0.8, 0.001]))
    assert joined == pytest.approx([0.02, 1.0, 0.002])


def with_users(rng: np.random.Generator, cells: int, per_day: int, rate: tuple[float, float]) -> TwoArmSums:
    """Two weeks of users who return: gamma(.7) activity, four traces each, beta rates with a correlation of .05."""
    users = per_day * 14 // 4

    def drawn(mean: float) -> ArmSums:
        n = rng.poisson(4 * rng.gamma(0.7, 1 / 0.7, (cells, users)))
        own = rng.beta(mean * 19, (1 - mean) * 19, (cells, users))
        y = rng.binomial(n, own)
        sums = ((n > 0), n, y, n * n, y * n, y * y)
        return ArmSums(*(part.sum(axis=1).astype(np.float64)[:, None] for part in sums))

    return TwoArmSums(drawn(rate[0]), drawn(rate[1]), CrossSums(*[np.zeros((cells, 1))] * 4))


@pytest.mark.slow
@pytest.mark.parametrize("per_day", [60, 200])
def test_final_test_with_users_who_return(
    per_day: int, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Rare failures of users who return: the tempered final test holds its level, and finds three times as many."""
    rng = np.random.default_rng(21)
    equal = [with_users(rng, 1_000, per_day, (0.005, 0.005)) for _ in range(20)]
    p = np.concatenate([final_p_value(sums, 0) for sums in equal])
    for level in (0.05, 0.01, 0.001):
        record_testsuite_property(f"final test, {per_day} a day, share of p <= {level}", float((p <= level).mean()))
        assert holds(p, level)
    worse = with_users(rng, 1_000, per_day, (0.005, 0.015))
    found = float((final_p_value(worse, 0) <= 0.05 / 480).mean())
    record_testsuite_property(f"final test, {per_day} a day, .5 % to 1.5 % found at .05/480", found)
    assert found > (0.15 if per_day == 200 else 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "per_day", "rate", "level"),
    [
        ("8 to 11 %, 500", (500, 500), (0.08, 0.11), 0.82),
        ("5 to 8 %, 500", (500, 500), (0.05, 0.08), 0.97),
        (".5 to 1.5 %, 200", (200, 200), (0.005, 0.015), 0.30),
        (".5 to 1 %, 1500", (1500, 1500), (0.005, 0.01), 0.95),
    ],
)
def test_a_declared_end_finds_more(
    name: str,
    per_day: tuple[float, float],
    rate: tuple[float, float],
    level: float,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    """Independent traces: by the end half the error spent by then finds what the anytime process alone does not."""
    sums = rates(np.random.default_rng(22), 2_000, per_day, rate, WEEKLY)
    horizon, _ = of_rates(sums, looked_daily(14))
    anytime = anytime_p_values(rate_evidence(sums).worse)[:, -1]
    alpha = 0.05 / 240
    found = float((split_p_value(anytime, horizon[:, -1]) <= alpha).mean())
    record_testsuite_property(f"{name}, found with a declared end", found)
    record_testsuite_property(f"{name}, found by the anytime process alone", float((anytime <= alpha).mean()))
    assert found >= level
    assert found > (anytime <= alpha).mean()


@pytest.mark.slow
def test_brownian_motion_meets_the_level_exactly(record_testsuite_property: Callable[[str, object], None]) -> None:
    """Normal z-values at even looks: P(p <= a) is a itself, no less, at every level."""
    rng = np.random.default_rng(23)
    cells, looks, parts = 100_000, 14, 10
    n = np.broadcast_to(np.arange(1, looks + 1) * 1e6, (cells, looks))
    sums = TwoArmSums(arm(n, n, n), arm(n, n, n), CrossSums(*[np.zeros_like(n)] * 4))
    first_look, drawn = np.zeros(cells, dtype=np.intp), []
    for _ in range(parts):
        z = np.cumsum(rng.standard_normal((cells, looks)), axis=1) / np.sqrt(np.arange(1, looks + 1))
        contrast = Contrast(z, np.ones_like(z), n, np.ones((1, *z.shape)))
        found = horizon_p_values(sums, contrast, looked_daily(looks), first_look=first_look)
        drawn += [found.worse[:, -1], found.better[:, -1]]
    p = np.concatenate(drawn)
    for level in (0.3, 0.1, 0.01, 0.001):
        share = float((p <= level).mean())
        record_testsuite_property(f"share of p <= {level}", share)
        assert holds(p, level)
        assert share >= level - 4 * np.sqrt(level / len(p)) - 0.02 * level
