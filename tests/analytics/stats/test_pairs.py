"""The e-process of pairs: its expectation by enumeration, known answers, what clustering and averaging do to it."""

from __future__ import annotations

from dataclasses import replace
from math import comb, exp

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta

from analytics.stats.bounds import bound, rejected_rate_bound
from analytics.stats.contrast import rate_difference
from analytics.stats.evidence import rate_evidence
from analytics.stats.pairs import log_e_pairs, log_e_pairs_above, pair_design, restricted_variance
from analytics.stats.sums import ArmSums, CrossSums, FloatArray, PairSums, TwoArmSums


def counts(n: FloatArray | float, higher: FloatArray, lower: FloatArray) -> PairSums:
    """Pairs, of which the candidate is higher and lower in so many."""
    return PairSums(np.broadcast_to(n, higher.shape).astype(float), higher, lower, higher + lower)


def independent(pairs: PairSums, both: float = 0.0) -> TwoArmSums:
    """Sums of units of one pair each, of which ``both`` have the event in both arms."""
    n = pairs.n
    base, candidate = pairs.lower + both, pairs.higher + both
    return TwoArmSums(
        ArmSums(n, n, base, n, base, base),
        ArmSums(n, n, candidate, n, candidate, candidate),
        CrossSums(np.full_like(n, both), base, candidate, n),
        pairs,
    )


@pytest.mark.parametrize("differing", [1, 2, 7, 40, 300])
def test_expectation_is_one(differing: int) -> None:
    """Under equal rates the direction of a differing pair is a coin's throw; over all throws E[e] = 1."""
    higher = np.arange(differing + 1.0)
    e = np.exp(log_e_pairs(counts(differing, higher, differing - higher), np.ones_like(higher)))
    throws = np.array([comb(differing, int(k)) / 2**differing for k in higher])
    assert float(throws @ e) == pytest.approx(1.0, abs=1e-12)


def test_known_answer() -> None:
    """150 against 86 differing pairs (Agresti's approval ratings): the closed form is the integral that defines it."""
    log_e = log_e_pairs(counts(1_600.0, np.array([150.0]), np.array([86.0])), np.ones(1))

    def growth(share: float) -> float:
        return exp(236 * np.log(2) + 150 * np.log(share) + 86 * np.log(1 - share))

    by_hand = [2 * quad(lambda t, k=k: growth(t) * beta.pdf(t, k, k), 0.5, 1.0, limit=200)[0] for k in (3, 12, 50)]
    assert float(log_e[0]) == pytest.approx(np.log(np.mean(by_hand)), abs=1e-9)
    assert float(log_e[0]) == pytest.approx(7.178, abs=1e-3)


def test_no_difference_is_no_evidence() -> None:
    """Pairs that are alike say nothing, however many they are."""
    assert log_e_pairs(counts(1e6, np.zeros(1), np.zeros(1)), np.ones(1)) == pytest.approx(0.0, abs=1e-12)


def test_averaged_runs_keep_the_expectation() -> None:
    """Items run three times in each arm: the mean e of 60 items with equal rates is not above 1."""
    rng = np.random.default_rng(3)
    difficulty = rng.beta(0.3, 3.0, (4_000, 60, 1))
    base, candidate = (rng.random((4_000, 60, 3)) < difficulty for _ in range(2))
    difference = candidate.mean(axis=2) - base.mean(axis=2)
    pairs = counts(60.0, np.maximum(difference, 0).sum(axis=1), np.maximum(-difference, 0).sum(axis=1))
    e = np.exp(log_e_pairs(pairs, np.ones(4_000)))
    assert e.mean() + 3 * e.std() / np.sqrt(len(e)) < 1.0


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.2])
def test_a_shifted_hypothesis_keeps_the_expectation(shift: float) -> None:
    """Where the difference is just ``shift`` the expected e is at most 1, over all outcomes of 12 pairs."""
    n, only_base = 12, 0.1
    only_candidate = only_base + shift
    higher, lower = (grid.ravel() for grid in np.meshgrid(np.arange(n + 1.0), np.arange(n + 1.0)))
    kept = higher + lower <= n
    higher, lower = higher[kept], lower[kept]
    weight = np.array([comb(n, int(b)) * comb(n - int(b), int(c)) for b, c in zip(higher, lower, strict=True)])
    weight = (
        weight * only_candidate**higher * only_base**lower * (1 - only_candidate - only_base) ** (n - higher - lower)
    )
    assert weight.sum() == pytest.approx(1.0)
    e = np.exp(log_e_pairs_above(counts(n, higher, lower), np.ones_like(higher), np.full_like(higher, shift)))
    assert 0.9 < float(weight @ e) <= 1 + 1e-12


def test_the_variance_without_a_shift_is_mcnemars() -> None:
    """At no difference the squared z of 150 against 86 is McNemar's published 17.356."""
    pairs = np.array([1_600.0]), np.array([150.0]), np.array([86.0])
    assert float((64 / 1_600) ** 2 / restricted_variance(pairs, np.zeros(1))[0]) == pytest.approx(17.356, abs=1e-3)


@pytest.mark.parametrize("shift", [-0.3, -0.01, 0.01, 0.3])
def test_the_restricted_variance_is_at_the_likeliest_rates(shift: float) -> None:
    """Tango's closed form is the maximum of the restricted likelihood, found here by search."""
    n, higher, lower = 80.0, 9.0, 4.0
    q = np.linspace(max(0.0, -shift) + 1e-9, (1 - shift) / 2 - 1e-9, 2_000_001)
    likelihood = higher * np.log(q + shift) + lower * np.log(q) + (n - higher - lower) * np.log(1 - 2 * q - shift)
    best = q[np.argmax(likelihood)]
    given = np.array([n]), np.array([higher]), np.array([lower])
    assert float(restricted_variance(given, np.array([shift]))[0]) == pytest.approx(
        (2 * best + shift * (1 - shift)) / n, abs=1e-7
    )


def test_pairs_that_never_differ_do_not_prove_equality() -> None:
    """Fifty pairs that are all alike still allow a difference of several points."""
    ends = bound(rate_difference(independent(counts(50.0, np.zeros(1), np.zeros(1)), both=5.0)), np.array([0.05]), -1.0)
    assert 0.05 < float(ends[0]) < 0.5


def test_interval_and_rejection_agree() -> None:
    """Where "no higher" is rejected its end lies above 0, below the estimate, and is rejected by the same test."""
    pairs = counts(400.0, np.array([[30.0]]), np.array([[6.0]]))
    sums = independent(pairs, both=20.0)
    assert rate_evidence(sums).worse[0, 0] > -np.log(0.01)
    end = rejected_rate_bound(sums, np.array([0]), np.array([0]), np.array([0.01]))
    assert 0 < end[0] < 24 / 400
    flat = pairs.at(np.array([0]), np.array([0]))
    assert log_e_pairs_above(flat, np.ones(1), end)[0] == pytest.approx(-np.log(0.01), abs=1e-6)


def test_exchanging_the_arms_exchanges_the_directions() -> None:
    """Evidence for "worse" of the swapped arms is that for "better"."""
    sums = independent(counts(300.0, np.array([[12.0]]), np.array([[31.0]])), both=9.0)
    assert rate_evidence(sums.swapped()).worse == pytest.approx(rate_evidence(sums).better)
    assert rate_difference(sums.swapped()).effect == pytest.approx(-rate_difference(sums).effect)


def test_users_with_several_pairs_temper_the_evidence() -> None:
    """The same differences from users who each differ twice carry about half the evidence."""
    single = independent(counts(400.0, np.array([[60.0]]), np.array([[20.0]])))

    def doubled(arm: ArmSums) -> ArmSums:
        return ArmSums(arm.units / 2, arm.n, arm.y, arm.nn * 2, arm.yn * 2, arm.yy * 2)

    twice = replace(single, base=doubled(single.base), candidate=doubled(single.candidate))
    assert single.pairs is not None
    assert pair_design(twice, single.pairs) == pytest.approx(2.0)
    assert 0.4 < rate_evidence(twice).worse[0, 0] / rate_evidence(single).worse[0, 0] < 0.55


def averaged(seed: int, rates: tuple[float, float], items: int = 150, runs: int = 3) -> TwoArmSums:
    """Sums of 2,000 data sets whose items were run three times in each arm, some items harder than others."""
    rng = np.random.default_rng(seed)
    shape = (2_000, items, 1)
    hard = rng.beta(0.5, 2.0, shape)
    a, b = (np.mean(rng.random((2_000, items, runs)) < np.minimum(hard * rate, 1.0), axis=2) for rate in rates)
    difference = b - a

    def column(values: FloatArray) -> FloatArray:
        return values.sum(axis=1, keepdims=True)

    n = np.full((2_000, 1), float(items))
    return TwoArmSums(
        ArmSums(n, n, column(a), n, column(a), column(a**2)),
        ArmSums(n, n, column(b), n, column(b), column(b**2)),
        CrossSums(column(a * b), column(a), column(b), n),
        PairSums(n, column(np.maximum(difference, 0)), column(np.maximum(-difference, 0)), column(difference**2)),
    )


def test_averages_of_equal_models_are_seldom_told_apart() -> None:
    """With three runs an item the normal mixture joins in; at 1 % it alarms in few of 2,000 data sets."""
    evidence = rate_evidence(averaged(5, (0.6, 0.6)))
    assert np.mean(evidence.worse >= np.log(100)) <= 0.01
    assert np.mean(evidence.better >= np.log(100)) <= 0.01


def test_averages_are_worth_more_than_their_counts() -> None:
    """A worse candidate is found more often than by the bet alone, which wastes how little averages vary."""
    sums = averaged(6, (0.4, 1.0))
    assert sums.pairs is not None
    both = np.mean(rate_evidence(sums).worse >= np.log(400))
    alone = np.mean(log_e_pairs(sums.pairs, pair_design(sums, sums.pairs)) >= np.log(400))
    assert both > alone + 0.2
