"""Holm's procedure: published data, weights and the levels that intervals are shown at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.stats.multiplicity import holm

PUBLISHED = Path(__file__).parents[4] / "shared" / "reference_numbers" / "published_reference_numbers.json"
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_benjamini_hochberg_1995_data() -> None:
    """Of the 15 p-values of the thrombolysis trial, Holm rejects as many as published."""
    if not PUBLISHED.exists():
        pytest.skip(f"the published reference numbers are not at {PUBLISHED}")
    known = json.loads(PUBLISHED.read_text())["benjamini_hochberg_1995"]
    rejected, _ = holm(np.array(known["p"]), np.ones(15), known["alpha"])
    assert rejected.sum() == known["holm_rejections"]


def test_levels_of_a_worked_example() -> None:
    """.01 passes at .05/4, .013 at .05/3; .04 fails, and all left are tested at .05/2."""
    rejected, levels = holm(np.array([0.04, 0.01, 0.9, 0.013]), np.ones(4), 0.05)
    assert rejected.tolist() == [False, True, False, True]
    assert levels == pytest.approx([0.025, 0.0125, 0.025, 0.05 / 3])


def test_weights_move_the_levels() -> None:
    """A cell with three quarters of the weight is tested at three quarters of alpha."""
    rejected, levels = holm(np.array([0.03, 0.02]), np.array([3.0, 1.0]), 0.05)
    assert rejected.tolist() == [True, True]
    assert levels == pytest.approx([0.0375, 0.05])


@given(P_VALUES)
def test_a_cell_is_rejected_just_where_its_level_says(p_values: list[float]) -> None:
    """Decision and level agree in every cell, so an interval at that level agrees with the verdict."""
    p = np.array(p_values)
    rejected, levels = holm(p, np.ones(len(p)), 0.05)
    assert (rejected == (p <= levels)).all()


def test_an_empty_family_is_no_error() -> None:
    """Nothing to test gives nothing."""
    rejected, levels = holm(np.zeros(0), np.zeros(0), 0.05)
    assert rejected.size == levels.size == 0
