"""Intervals of quantiles: coverage, clustering, and saying nothing where nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.stats.quantile import QuantileSample, bounding_factor, difference_interval, quantile_contrast


def sample(values: np.ndarray[tuple[int], np.dtype[np.float64]], design: float = 1.0) -> QuantileSample:
    """One arm with one trace per user."""
    return QuantileSample(np.sort(values), design, len(values) / design)


def test_woodruff_interval_is_made_of_order_statistics() -> None:
    """At 1.96 the median of 1..100 lies between the 40th and the 61st value."""
    assert sample(np.arange(1.0, 101.0)).interval(0.5, 1.96) == (40.0, 61.0)


def test_too_few_values_beyond_the_quantile_bound_nothing() -> None:
    """The p99 of 100 values has no upper end; that of 10,000 has."""
    assert sample(np.arange(100.0)).interval(0.99, 2.0) is None
    assert sample(np.arange(10_000.0)).interval(0.99, 2.0) is not None


def test_a_single_user_bounds_nothing() -> None:
    """Many values of one user per arm give no interval of the difference."""
    one = QuantileSample(np.arange(10_000.0), 1.0, 1.0)
    assert difference_interval(one, one, 0.5, 0.05) is None


def test_equal_values_have_no_spread() -> None:
    """Constant latency gives no contrast and no interval."""
    flat = sample(np.full(5_000, 7.0))
    assert quantile_contrast(flat, flat, 0.99) is None
    assert difference_interval(flat, flat, 0.99, 0.05) is None


def test_the_interval_covers_the_true_difference() -> None:
    """The anytime interval at 5 % each side holds the true difference of two p95 in well over 90 % of samples."""
    rng = np.random.default_rng(2)
    true = np.exp(1.6448536) * 0.2
    covered = 0
    for _ in range(200):
        base, candidate = sample(rng.lognormal(0.0, 1.0, 3_000)), sample(1.2 * rng.lognormal(0.0, 1.0, 2_000))
        ends = difference_interval(base, candidate, 0.95, 0.05)
        assert ends is not None
        covered += ends[0] <= true <= ends[1]
    assert covered >= 190


def test_clustering_widens_the_interval() -> None:
    """Returning users, as a design effect of 4, make the interval about twice as wide."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(10.0, 1.0, 4_000), rng.normal(10.0, 1.0, 4_000)
    narrow = difference_interval(sample(a), sample(b), 0.5, 0.05)
    wide = difference_interval(sample(a, 4.0), sample(b, 4.0), 0.5, 0.05)
    assert narrow is not None
    assert wide is not None
    assert 1.7 < (wide[1] - wide[0]) / (narrow[1] - narrow[0]) < 2.4


def test_bounding_factor_says_when_an_interval_will_exist() -> None:
    """With that many times the traffic the upper end exists, with a tenth less it does not."""
    rng = np.random.default_rng(4)
    few = sample(rng.lognormal(size=300))
    factor = bounding_factor(few, few, 0.99, 3.0)
    assert factor == pytest.approx(1_082 / 300, rel=1e-3)
    assert sample(rng.lognormal(size=int(300 * factor * 1.05))).interval(0.99, 3.0) is not None
    assert sample(rng.lognormal(size=int(300 * factor * 0.9))).interval(0.99, 3.0) is None


@pytest.mark.parametrize("z", [0.5, 1.0, 2.3, 3.1])
@pytest.mark.parametrize("probability", [0.5, 0.9, 0.99])
def test_equal_weights_leave_the_interval_as_it_is(probability: float, z: float) -> None:
    """Values that each stand for three are as many as they are: with their design effect of three nothing changes."""
    values = np.sort(np.random.default_rng(2).lognormal(6.0, 0.7, 457))
    plain = QuantileSample(values, 1.2, 457.0)
    weighted = QuantileSample(values, 3.6, 457.0, np.full(457, 3.0))
    assert weighted.interval(probability, z) == plain.interval(probability, z)
