"""The normal mixture against the reference implementation's values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analytics.stats.mixture import critical_z, log_e_mixture, log_e_normal, t_to_z, z_to_t

GOLDEN = Path(__file__).parents[4] / "shared" / "reference_numbers" / "golden_confseq_0.0.11.json"


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """Values that confseq 0.0.11 computed."""
    if not GOLDEN.exists():
        pytest.skip(f"the recorded reference values are not at {GOLDEN}")
    values: dict[str, Any] = json.loads(GOLDEN.read_text())
    return values


def best_rho(v_opt: float, alpha_opt: float) -> float:
    """The mixture's precision that confseq chooses, one-sided."""
    log = np.log(1 / (2 * alpha_opt))
    return float(v_opt / (2 * log + np.log(1 + 2 * log)))


def test_log_mixture_equals_confseq(golden: dict[str, Any]) -> None:
    """The log e-value at s and v is confseq's one-sided normal log mixture."""
    rows = [row for row in golden["normal_log_mixture"] if row["one_sided"]]
    for row in rows:
        ratio = row["v"] / best_rho(row["v_opt"], row["alpha_opt"])
        value = log_e_normal(np.array(row["s"] / np.sqrt(row["v"])), np.array(ratio))
        assert value == pytest.approx(row["value"], abs=1e-9)
    assert len(rows) == 6


def test_bounds_equal_confseq(golden: dict[str, Any]) -> None:
    """The z at which e reaches 1/alpha, times sqrt(v), is confseq's one-sided bound."""
    rows = [row for row in golden["normal_mixture_bound"] if row["one_sided"]]
    for row in rows:
        ratio = row["v"] / best_rho(row["v_opt"], row["alpha_opt"])
        z = critical_z(np.array([row["alpha"]]), np.array([[ratio]]))
        assert z[0] * np.sqrt(row["v"]) == pytest.approx(row["value"], rel=1e-9)
    assert len(rows) == 8


@pytest.mark.parametrize(("degrees", "tail_t"), [(4.0, 2.776445), (19.0, 2.093024), (120.0, 1.979930)])
def test_t_quantiles_become_normal_quantiles(degrees: float, tail_t: float) -> None:
    """The tabled t quantile at 2.5 % becomes 1.96, in both directions and back."""
    z = t_to_z(np.array([tail_t, -tail_t]), np.full(2, degrees))
    assert z == pytest.approx([1.959964, -1.959964], abs=1e-5)
    assert z_to_t(z, np.full(2, degrees)) == pytest.approx([tail_t, -tail_t], abs=1e-5)


def test_no_degrees_of_freedom_is_no_evidence() -> None:
    """With a single unit no t says anything."""
    assert t_to_z(np.array([50.0]), np.array([0.0])) == 0.0
    assert z_to_t(np.array([2.0]), np.array([0.0])) == np.inf


def test_extreme_t_stays_finite() -> None:
    """A t beyond any table gives large but finite evidence."""
    z = t_to_z(np.array([1e9, -1e9]), np.array([1e5, 1e5]))
    assert np.isfinite(log_e_mixture(z, np.ones((3, 2)))).all()


def test_the_average_alarms_seldom_over_many_looks() -> None:
    """A random walk without drift crosses 1/alpha at any of 200 looks in at most alpha of the runs."""
    rng = np.random.default_rng(5)
    walks = rng.normal(size=(4_000, 200)).cumsum(axis=1)
    n = np.arange(1, 201)
    scales = np.array([0.05, 0.15, 0.4])[:, None, None]
    log_e = log_e_mixture(walks / np.sqrt(n), scales**2 * n)
    assert (log_e.max(axis=1) >= np.log(20)).mean() <= 0.05
    # The ordinary 5 % test on the same walks alarms far more often.
    assert ((walks / np.sqrt(n)).max(axis=1) > 1.645).mean() > 0.2
