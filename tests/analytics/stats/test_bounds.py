"""Confidence bounds, forecasts of traffic and detectable regressions."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from analytics.stats.assessment import DeclaredEnd, assess
from analytics.stats.bounds import bound, smallest_detectable, traces_needed
from analytics.stats.contrast import Contrast, rate_difference
from analytics.stats.evidence import rate_evidence
from analytics.stats.family import Members, anytime_p_values, family
from analytics.stats.horizon import Horizon, split_p_value
from analytics.stats.sums import ArmSums, CrossSums, FloatArray, TwoArmSums


def arm(n: FloatArray, y: FloatArray) -> ArmSums:
    """One trace per unit."""
    return ArmSums(n, n, y, n, y, y)


def two_arms(n_a: FloatArray, y_a: FloatArray, n_b: FloatArray, y_b: FloatArray) -> TwoArmSums:
    """Cumulative sums without shared units."""
    nothing = np.zeros_like(n_a)
    return TwoArmSums(arm(n_a, y_a), arm(n_b, y_b), CrossSums(nothing, nothing, nothing, nothing))


def rates(y_a: float, n_a: float, y_b: float, n_b: float) -> Contrast:
    """One cell at one look."""
    return rate_difference(two_arms(*(np.array([float(x)]) for x in (n_a, y_a, n_b, y_b))))


def simple(effect: float, error: float) -> Contrast:
    """A contrast with a given standard error and very many units; one scale, as in the worked examples."""
    scales = np.array([[0.02]])
    return Contrast(np.array([effect]), np.array([error**2]), np.array([1e7]), scales)


def test_bounds_hold_the_estimate_and_widen_with_the_level() -> None:
    """The interval holds the estimate and grows as alpha shrinks."""
    contrast = rates(80, 1_000, 100, 1_000)
    low, high = (bound(contrast, np.array([0.05]), sign)[0] for sign in (1.0, -1.0))
    wide_low, wide_high = (bound(contrast, np.array([0.05 / 240]), sign)[0] for sign in (1.0, -1.0))
    assert wide_low < low < 0.02 < high < wide_high


def test_bounds_are_where_the_e_value_reaches_one_over_alpha() -> None:
    """At the bound ln e is ln 1/alpha."""
    contrast = rates(80, 1_000, 130, 1_000)
    for sign in (1.0, -1.0):
        end = bound(contrast, np.array([0.05]), sign)
        assert contrast.log_e(end, sign)[0] == pytest.approx(np.log(20), abs=1e-6)


def test_swapping_the_arms_mirrors_the_bounds() -> None:
    """Bounds of base less candidate are those of candidate less base with the sign turned."""
    one, other = rates(30, 400, 45, 500), rates(45, 500, 30, 400)
    alpha = np.array([0.01])
    assert bound(one, alpha, 1.0)[0] == pytest.approx(-bound(other, alpha, -1.0)[0], abs=1e-9)


def test_zero_events_bound_the_difference() -> None:
    """Without any event the interval is about 0, finite, and narrower with more traffic."""
    few, many = rates(0, 100, 0, 100), rates(0, 10_000, 0, 10_000)
    alpha = np.array([0.05])
    assert 0.02 < bound(few, alpha, -1.0)[0] < 0.2
    assert 0 < bound(many, alpha, -1.0)[0] < 0.002
    assert bound(few, alpha, 1.0)[0] == pytest.approx(-bound(few, alpha, -1.0)[0], abs=1e-9)


def test_a_single_user_bounds_nothing() -> None:
    """One unit per arm leaves the interval open."""
    assert bound(rates(1, 1, 0, 1), np.array([0.05]), -1.0)[0] == np.inf


@pytest.mark.parametrize(("effect", "more"), [(0.004, 4_700), (0.012, 38_900), (0.02, np.inf), (0.03, np.inf)])
def test_traces_needed(effect: float, more: float) -> None:
    """With margin .02 and a standard error of .008 at 5,000 traces the method's worked examples come out."""
    contrast = simple(effect, 0.008)
    sums = two_arms(*(np.array([x]) for x in (2_500.0, 100.0, 2_500.0, 100.0)))
    needed = traces_needed(contrast, sums, np.array([0.02]), 0.05)[0]
    assert needed == pytest.approx(more, rel=0.15)


def test_smallest_detectable_shrinks_with_traffic() -> None:
    """Four times the traffic halves, roughly, what can be seen; without units nothing can."""
    alpha = np.array([0.05 / 240])
    small = smallest_detectable(rates(80, 1_000, 80, 1_000), alpha)[0]
    large = smallest_detectable(rates(320, 4_000, 320, 4_000), alpha)[0]
    assert 0.4 * small < large < 0.6 * small
    assert smallest_detectable(rates(0, 1, 0, 1), alpha)[0] == np.inf


def test_smallest_detectable_is_detected_nine_times_in_ten() -> None:
    """Raising the rate by just that much is found in about 90 % of runs at the last look."""
    alpha, n = 0.05 / 240, 7_000.0
    shift = smallest_detectable(rates(560, n, 560, n), np.array([alpha]))[0]
    rng = np.random.default_rng(3)
    runs = 2_000
    y_a, y_b = rng.binomial(int(n), 0.08, runs), rng.binomial(int(n), 0.08 + shift, runs)
    contrast = rate_difference(two_arms(np.full(runs, n), y_a.astype(float), np.full(runs, n), y_b.astype(float)))
    found = contrast.log_e(np.zeros(runs), 1.0) >= -np.log(alpha)
    assert 0.85 < found.mean() < 0.95


def random_cells(cells: int, looks: int) -> TwoArmSums:
    """Many cells of all sizes with a few true regressions."""
    rng = np.random.default_rng(8)
    size = rng.choice([3, 30, 300], cells)[:, None]
    rate = rng.choice([0.0, 0.005, 0.05, 0.3], cells)[:, None]
    n_a, n_b = (rng.poisson(size, (cells, looks)) for _ in range(2))
    worse = np.where(np.arange(cells)[:, None] % 10 == 0, 1.8, 1.0)
    y_a, y_b = rng.binomial(n_a, rate), rng.binomial(n_b, np.minimum(rate * worse, 1.0))
    return two_arms(*(np.cumsum(x, axis=1).astype(float) for x in (n_a, y_a, n_b, y_b)))


def test_interval_and_verdict_agree_in_every_cell() -> None:
    """The lower end is above 0 just where the family-wise test rejected, however it rejected."""
    sums = random_cells(400, 10)
    evidence = rate_evidence(sums)
    alike = Members(np.ones(400, dtype=np.bool_), np.ones(400), np.zeros(400, dtype=np.intp))
    (tested,) = family([anytime_p_values(evidence.worse)], [anytime_p_values(evidence.better)], [alike], 0.05)
    found = assess(
        sums,
        rate_difference,
        evidence,
        tested,
        margin=np.full(400, 0.01),
        first_look=np.zeros(400, dtype=np.intp),
        alpha=0.05,
    )
    agrees = found.effect > 0
    assert tested.worse.sum() > 5
    assert ((found.low > 0) == (tested.worse & agrees)).all()
    assert (found.low <= found.effect + 1e-12).all()
    assert (found.high >= found.effect - 1e-12).all()


def test_p_values_follow_the_strongest_look() -> None:
    """An anytime p-value is the smallest 1/e so far and never above 1."""
    found = anytime_p_values(np.array([[0.0, 3.0, 1.0], [-2.0, -1.0, -3.0]]))
    assert found[0] == pytest.approx([1.0, np.exp(-3), np.exp(-3)])
    assert found[1] == pytest.approx([1.0, 1.0, 1.0])


def test_with_a_declared_end_interval_and_verdict_agree_but_for_rare_events() -> None:
    """Rejections by the spending half have an end above 0 too; a rate tested once, at the end, has none."""
    cells, looks = 400, 10
    sums = random_cells(cells, looks)
    begin = datetime(2026, 3, 1)
    end = begin + timedelta(days=looks)
    days = [(begin + timedelta(days=look)).date() for look in range(looks)]
    declared = DeclaredEnd(Horizon.of(days, start=begin, planned_end=end, as_of=end), timedelta(0))
    contrast, first = rate_difference(sums), np.zeros(cells, dtype=np.intp)
    evidence, spent = rate_evidence(sums), declared.p_values(sums, contrast, first)
    worse = split_p_value(anytime_p_values(evidence.worse), spent.worse)
    better = split_p_value(anytime_p_values(evidence.better), spent.better)
    alike = Members(np.ones(cells, dtype=np.bool_), np.ones(cells), np.zeros(cells, dtype=np.intp))
    (tested,) = family([worse], [better], [alike], 0.05)
    margin = np.full(cells, 0.01)
    found = assess(
        sums, rate_difference, evidence, tested, margin=margin, first_look=first, alpha=0.05, declared=declared
    )
    alone = anytime_p_values(evidence.worse)[:, -1]
    by_spending = tested.worse & (alone > tested.worse_level / 2)
    assert by_spending.any()
    assert (found.low[~tested.worse] <= 0).all()
    assert (found.low > 0)[tested.worse & (found.effect > 0)].mean() > 0.9
    assert (found.low <= found.effect + 1e-12).all()
