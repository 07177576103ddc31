"""E-CMH: its expectation by enumeration, its symmetry, and what clustering does to it."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from analytics.stats.cmh import log_e_cmh
from analytics.stats.evidence import hybrid_ready
from analytics.stats.sums import ArmSums, CrossSums, FloatArray, TwoArmSums


def sums_of(n_a: FloatArray, y_a: FloatArray, n_b: FloatArray, y_b: FloatArray) -> TwoArmSums:
    """One trace per unit: daily counts, shape (cells, looks), as cumulative sums."""
    a_n, a_y, b_n, b_y = (np.cumsum(daily, axis=1) for daily in (n_a, y_a, n_b, y_b))
    nothing = np.zeros_like(a_n)
    return TwoArmSums(
        ArmSums(a_n, a_n, a_y, a_n, a_y, a_y),
        ArmSums(b_n, b_n, b_y, b_n, b_y, b_y),
        CrossSums(nothing, nothing, nothing, nothing),
    )


def binomial(n: int, rate: float) -> FloatArray:
    """Probabilities of 0 to n events."""
    return np.array([comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(n + 1)])


@pytest.mark.parametrize(
    ("n_a", "n_b", "rate_a", "rate_b"),
    [
        (30, 30, 0.02, 0.02),
        (30, 30, 0.30, 0.30),
        (60, 6, 0.05, 0.05),
        (6, 60, 0.10, 0.10),
        (20, 20, 0.95, 0.95),
        (1, 1, 0.5, 0.5),
        (30, 30, 0.20, 0.15),
    ],
)
def test_expectation_is_at_most_one(n_a: int, n_b: int, rate_a: float, rate_b: float) -> None:
    """Over all outcomes of a day the expected e is at most 1 when the candidate is not worse."""
    y_a, y_b = np.meshgrid(np.arange(n_a + 1.0), np.arange(n_b + 1.0), indexing="ij")
    cells = y_a.size
    sums = sums_of(
        np.full((cells, 1), float(n_a)),
        y_a.reshape(-1, 1),
        np.full((cells, 1), float(n_b)),
        y_b.reshape(-1, 1),
    )
    e = np.exp(log_e_cmh(sums)[:, 0]).reshape(y_a.shape)
    expected = binomial(n_a, rate_a) @ e @ binomial(n_b, rate_b)
    assert 0 < expected <= 1 + 1e-12


def test_expectation_over_two_days_with_changing_allocation() -> None:
    """Days multiply: with another allocation on the second day the expected e is still at most 1."""
    days = [(6, 6), (10, 2)]
    shapes = [(n_a + 1, n_b + 1) for n_a, n_b in days]
    grids = np.indices((*shapes[0], *shapes[1])).reshape(4, -1).astype(float)
    n = grids.shape[1]
    sums = sums_of(np.tile([6.0, 10.0], (n, 1)), grids[[0, 2]].T, np.tile([6.0, 2.0], (n, 1)), grids[[1, 3]].T)
    weights = np.ones(n)
    for (n_a, n_b), (row_a, row_b), rate in zip(days, [(0, 1), (2, 3)], [0.1, 0.4], strict=True):
        weights *= binomial(n_a, rate)[grids[row_a].astype(int)] * binomial(n_b, rate)[grids[row_b].astype(int)]
    assert weights.sum() == pytest.approx(1.0)
    assert float(weights @ np.exp(log_e_cmh(sums)[:, -1])) <= 1 + 1e-12


@pytest.mark.parametrize(
    ("n_a", "n_b", "rate", "expected"),
    [(50, 50, 0.02, 0.998), (200, 20, 0.05, 0.961), (30, 300, 0.10, 0.971), (400, 40, 0.005, 0.999)],
)
def test_reference_expectation(n_a: int, n_b: int, rate: float, expected: float) -> None:
    """The expectation at equal rates is what the method promises, from one event to many."""
    y_a, y_b = np.meshgrid(np.arange(n_a + 1.0), np.arange(n_b + 1.0), indexing="ij")
    n = [np.full((y_a.size, 1), float(count)) for count in (n_a, n_b)]
    e = np.exp(log_e_cmh(sums_of(n[0], y_a.reshape(-1, 1), n[1], y_b.reshape(-1, 1)))[:, 0]).reshape(y_a.shape)
    assert binomial(n_a, rate) @ e @ binomial(n_b, rate) == pytest.approx(expected, abs=0.005)


def test_no_events_is_no_evidence() -> None:
    """Without events e is 1 in both directions, with an arm empty too."""
    n = np.full((1, 5), 100.0)
    none = np.zeros((1, 5))
    assert log_e_cmh(sums_of(n, none, n, none)) == pytest.approx(np.zeros((1, 5)), abs=1e-12)
    assert log_e_cmh(sums_of(n, n * 0.1, none, none)) == pytest.approx(np.zeros((1, 5)), abs=1e-12)


def test_days_without_traffic_change_nothing() -> None:
    """A day on which neither arm served leaves the evidence as it was."""
    n, y_a, y_b = np.array([[50.0, 0.0, 50.0]]), np.array([[2.0, 0.0, 1.0]]), np.array([[6.0, 0.0, 7.0]])
    log_e = log_e_cmh(sums_of(n, y_a, n, y_b))
    short = log_e_cmh(sums_of(n[:, [0, 2]], y_a[:, [0, 2]], n[:, [0, 2]], y_b[:, [0, 2]]))
    assert log_e[:, [0, 2]] == pytest.approx(short)
    assert log_e[0, 1] == pytest.approx(log_e[0, 0])


def test_returning_users_temper_the_evidence() -> None:
    """The same counts from users who each fail twice carry about half the evidence."""
    n, y_a, y_b = np.full((1, 4), 500.0), np.full((1, 4), 20.0), np.full((1, 4), 50.0)
    single = sums_of(n, y_a, n, y_b)

    def doubled(arm: ArmSums) -> ArmSums:
        return ArmSums(arm.units / 2, arm.n, arm.y, arm.nn * 2, arm.yn * 2, arm.yy * 2)

    twice = TwoArmSums(doubled(single.base), doubled(single.candidate), single.cross)
    ratio = log_e_cmh(twice)[0, -1] / log_e_cmh(single)[0, -1]
    assert 0.4 < ratio < 0.55


@pytest.mark.parametrize(
    ("rate", "n", "ready"),
    [(0.08, 1_000, False), (0.08, 1_300, True), (0.4, 90, False), (0.4, 120, True), (0.6, 120, True)],
)
def test_the_normal_mixture_joins_frequent_rates_early(rate: float, n: int, ready: bool) -> None:
    """A rate near one half needs fewer events than a rare one, whichever side is called the event."""
    arm = np.array([[float(n)]])
    assert bool(hybrid_ready(sums_of(arm, arm * rate, arm, arm * rate))[0, 0]) is ready
