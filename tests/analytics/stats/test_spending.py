"""Alpha spending: published boundaries, boundaries by another method, and p-values that are not too small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from analytics.stats.spending import LEVELS, Boundaries, boundaries, obrien_fleming_spent

REFERENCE = Path(__file__).parents[4] / "shared" / "reference_numbers" / "published_reference_numbers.json"
FIVE = np.arange(1, 6) / 5


def test_published_boundaries() -> None:
    """Five equal looks at a one-sided .025 have the boundaries that ldbounds prints."""
    if not REFERENCE.exists():
        pytest.skip(f"the published reference numbers are not at {REFERENCE}")
    known = json.loads(REFERENCE.read_text())["lan_demets_obf_5_looks"]["z"]
    assert boundaries(FIVE, FIVE, np.array([0.025]))[0] == pytest.approx(known, abs=2e-4)


def test_spends_all_by_the_end_and_nothing_at_the_start() -> None:
    """The spending function is 0 at the start, alpha at the end and stays alpha afterwards."""
    spent = obrien_fleming_spent(np.array([0.0, 0.5, 1.0, 1.5]), np.full(4, 0.05))
    assert spent[[0, 2, 3]] == pytest.approx([0.0, 0.05, 0.05])
    assert 0 < spent[1] < 0.01


@pytest.mark.parametrize(
    ("times", "information"),
    [
        ([0.25, 0.5, 0.75, 1.0], [0.25, 0.5, 0.75, 1.0]),
        ([0.1, 0.6, 0.65, 1.0], [3.0, 4.0, 11.0, 12.0]),
        ([0.5, 0.6, 0.9, 1.0], [0.01, 0.2, 0.4, 1.0]),
    ],
)
def test_error_is_what_was_spent(times: list[float], information: list[float]) -> None:
    """The multivariate normal distribution gives back what was spent by each look, at uneven times and information."""
    roots = np.sqrt(information)
    correlation = np.minimum.outer(roots, roots) / np.maximum.outer(roots, roots)
    ends = boundaries(np.array(times), np.array(information), np.array([0.2]))[0]
    for look in range(1, len(times)):
        below = multivariate_normal.cdf(
            ends[: look + 1], np.zeros(look + 1), correlation[: look + 1, : look + 1], abseps=1e-7, releps=1e-7
        )
        expected = obrien_fleming_spent(np.array(times[look]), np.array(0.2))
        assert 1 - below == pytest.approx(float(expected), abs=2e-5)


def test_one_look_is_an_ordinary_test() -> None:
    """With one look at the end the boundary is the normal quantile, down to the smallest level."""
    ends = boundaries(np.array([1.0]), np.array([7.0]), LEVELS)[:, 0]
    assert ends == pytest.approx(norm.isf(LEVELS), abs=1e-9)


def test_nothing_is_spent_without_time_or_information() -> None:
    """A look after the end, or at which nothing was learned, cannot reject; what it left is spent later."""
    ends = boundaries(np.array([0.5, 0.8, 1.0, 1.0]), np.array([1.0, 1.0, 2.0, 3.0]), np.array([0.05]))[0]
    assert np.isinf(ends[[1, 3]]).all()
    assert ends[2] == pytest.approx(boundaries(np.array([0.5, 1.0]), np.array([1.0, 2.0]), np.array([0.05]))[0, 1])


def test_p_values_are_not_too_small() -> None:
    """Between tabulated levels the p-value is the level whose boundary it is, or at most 2 % above."""
    days = np.arange(1, 15) / 14
    table = Boundaries.of(tuple(days.tolist()), tuple(days.tolist()))
    between = np.sqrt(LEVELS[:-1] * LEVELS[1:])
    exact = boundaries(days, days, between)
    for look in (0, 3, 8, 13):
        p = table.p_value(exact[:, look], look)
        assert (p >= between * 0.998).all()
        assert (p <= between * 1.02).all()


def test_critical_value_inverts_the_p_value() -> None:
    """At the critical value of a level the p-value is that level; a level below all has none."""
    table = Boundaries.of(tuple(FIVE.tolist()), tuple(FIVE.tolist()))
    levels = np.array([1e-5, 0.003, 0.05])
    assert table.p_value(table.critical(levels, 4), 4) == pytest.approx(levels)
    assert np.isinf(table.critical(np.array([1e-9]), 4)).all()


@pytest.mark.parametrize("looks", [2, 14, 60])
def test_more_z_is_never_less_significant(looks: int) -> None:
    """The p-value falls with z, from 1 for what points the other way to the smallest level."""
    days = np.arange(1, looks + 1) / looks
    p = Boundaries.of(tuple(days.tolist()), tuple(days.tolist())).p_value(np.linspace(-3, 40, 500), looks - 1)
    assert p[0] == 1.0
    assert (np.diff(p) <= 0).all()
    assert p[-1] == pytest.approx(LEVELS[0])
