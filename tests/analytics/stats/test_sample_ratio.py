"""Sample ratio: published numbers, and an error rate that survives looking every day."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from analytics.stats.sample_ratio import log_bayes_factor, periods_p_value

REFERENCE = Path(__file__).parents[4] / "shared" / "reference_numbers" / "published_reference_numbers.json"


def p_value(counts: list[int], shares: list[float], *concentrations: list[float]) -> float:
    """The p-value where the share never changed."""
    return periods_p_value([counts], [shares], *concentrations)


def test_agrees_with_the_reference_implementation() -> None:
    """The p-values of ssrm-test are met at every one of its three looks."""
    if not REFERENCE.exists():
        pytest.skip(f"the published reference numbers are not at {REFERENCE}")
    known = json.loads(REFERENCE.read_text())["srm_anytime"]
    looks = np.cumsum(known["counts"], axis=0).tolist()
    p_values = [p_value(look, known["p0"], [known["dirichlet_concentration"]]) for look in looks]
    assert p_values == pytest.approx(known["p"], rel=1e-9)


@pytest.mark.parametrize(("counts", "expected"), [([100_000, 98_500], 0.1549), ([821_588, 815_482], 0.001456)])
def test_published_splits(counts: list[int], expected: float) -> None:
    """Two splits known from the literature give their p-values at concentration 100."""
    assert p_value(counts, [0.5, 0.5], [100.0]) == pytest.approx(expected, rel=1e-3)


def test_equals_the_integral_over_the_prior() -> None:
    """The closed form is the likelihood ratio averaged over the Dirichlet prior."""
    draws = np.random.default_rng(7).beta(3.0, 7.0, 400_000)
    ratio = (draws / 0.3) ** 6 * ((1 - draws) / 0.7) ** 4
    assert log_bayes_factor([6, 4], [0.3, 0.7], 10.0) == pytest.approx(math.log(ratio.mean()), abs=0.01)


def test_no_users_is_no_evidence() -> None:
    """Before the first user the p-value is 1."""
    assert p_value([0, 0], [0.9, 0.1]) == 1.0


def test_gross_mismatch_among_few_users_is_seen() -> None:
    """Two hundred users against one hundred fail the intended halves at p < .001."""
    assert p_value([200, 100], [0.5, 0.5]) < 0.001


def test_daily_looks_keep_the_error_rate() -> None:
    """Looking after every batch of users for forty days alarms in at most 5 % of honest 10 % canaries."""
    rng = np.random.default_rng(11)
    runs = 400
    candidates = rng.binomial(60, 0.1, size=(runs, 40)).cumsum(axis=1)
    totals = 60 * np.arange(1, 41)
    alarms = sum(
        any(
            p_value([int(total - count), int(count)], [0.9, 0.1]) < 0.05
            for total, count in zip(totals, row, strict=True)
        )
        for row in candidates
    )
    assert alarms / runs <= 0.05


STEPS = [[0.95, 0.05], [0.75, 0.25], [0.5, 0.5]]


def test_periods_without_users_say_nothing() -> None:
    """No period is no evidence, and one that nobody was first seen in changes nothing."""
    assert periods_p_value([], []) == 1.0
    assert periods_p_value([[900, 90], [0, 0]], [[0.9, 0.1], [0.5, 0.5]]) == p_value([900, 90], [0.9, 0.1])


def test_periods_multiply() -> None:
    """At one concentration the Bayes factor is the product of those of the periods."""
    logs = [log_bayes_factor(*period, 1_000.0) for period in (([9_700, 300], STEPS[0]), ([7_000, 3_000], STEPS[1]))]
    together = periods_p_value([[9_700, 300], [7_000, 3_000]], STEPS[:2], [1_000.0])
    assert together == pytest.approx(math.exp(-sum(logs)), rel=1e-9)


def test_intended_steps_of_a_canary_are_no_mismatch() -> None:
    """Users who follow a share that was raised twice pass; held against any one share they would fail."""
    counts = [[9_500, 500], [7_500, 2_500], [5_000, 5_000]]
    assert periods_p_value(counts, STEPS) > 0.9
    totals = np.sum(counts, axis=0).tolist()
    assert all(p_value(totals, shares) < 0.001 for shares in STEPS)


def test_a_step_that_was_not_taken_is_seen() -> None:
    """A share that stayed at 25 % when half was intended fails, however well the steps before it went."""
    assert periods_p_value([[9_500, 500], [7_500, 2_500], [375, 125]], STEPS) < 0.001


def test_daily_looks_over_steps_keep_the_error_rate() -> None:
    """Looking after every batch of users, while the share is raised twice, alarms in at most 5 % of honest canaries."""
    rng = np.random.default_rng(12)
    runs, days = 200, 10
    drawn = rng.binomial(60, np.array([shares[1] for shares in STEPS])[:, None], size=(runs, len(STEPS), days))
    alarms = 0
    for candidates in drawn.tolist():
        counts = [[0, 0] for _ in STEPS]
        p_values = []
        for period, days_of_period in enumerate(candidates):
            for count in days_of_period:
                counts[period][0] += 60 - count
                counts[period][1] += count
                p_values.append(periods_p_value(counts, STEPS))
        alarms += min(p_values) < 0.05
    assert alarms / runs <= 0.05


def test_each_period_has_its_shares() -> None:
    """Counts and shares of different numbers of periods are refused with one clear sentence."""
    with pytest.raises(ValueError, match=r"counts of 2 periods were given with shares of 1: give the shares of each"):
        periods_p_value([[1, 2], [3, 4]], [[0.5, 0.5]])


@pytest.mark.parametrize(
    ("counts", "shares", "message"),
    [
        ([1, 2, 3], [0.5, 0.5], "one share per arm"),
        ([1, 2], [1.0, 0.0], "above 0"),
        ([1, 2], [0.5, 0.6], "sum to 1"),
        ([-1, 2], [0.5, 0.5], "not be negative"),
    ],
)
def test_says_what_is_wrong_with_its_input(counts: list[int], shares: list[float], message: str) -> None:
    """Shares that are no proportions are refused with one clear sentence."""
    with pytest.raises(ValueError, match=message):
        p_value(counts, shares)
