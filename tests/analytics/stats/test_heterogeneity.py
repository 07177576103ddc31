"""Whether an effect differs between strata."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from analytics.stats.heterogeneity import heterogeneity_p_value


def test_is_cochrans_q() -> None:
    """Q around the inverse-variance mean, against chi-squared with one degree less than strata."""
    effects, variances = np.array([0.10, 0.02, 0.04]), np.array([0.0004, 0.0001, 0.0009])
    mean = (effects / variances).sum() / (1 / variances).sum()
    q = ((effects - mean) ** 2 / variances).sum()
    assert heterogeneity_p_value(effects, variances) == pytest.approx(chi2.sf(q, 2), rel=1e-12)


def test_holds_its_level() -> None:
    """Equal effects are called different in one case of twenty."""
    rng, variances = np.random.default_rng(3), np.array([1.0, 4.0, 0.25, 9.0])
    drawn = [heterogeneity_p_value(rng.normal(1.0, np.sqrt(variances)), variances) for _ in range(4000)]
    assert np.mean(np.array(drawn) < 0.05) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize(
    ("effects", "variances"), [([0.1], [0.01]), ([0.1, np.nan], [0.01, 0.01]), ([0.1, 0.3], [0.0, 0.0]), ([], [])]
)
def test_too_few_strata_say_nothing(effects: list[float], variances: list[float]) -> None:
    """A comparison takes two strata whose effects are known with some error."""
    assert heterogeneity_p_value(np.array(effects), np.array(variances)) == 1.0
