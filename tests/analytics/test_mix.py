"""Differences of a categorical mix: their size, and whether chance explains them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from analytics.mix import Share, compare_mix


def frame(base: dict[str | None, int], candidate: dict[str | None, int]) -> pl.DataFrame:
    """Traces with so many of each value in each arm, each of a user of its own."""
    rows = [
        (arm, value) for arm, mix in (("base", base), ("candidate", candidate)) for value, n in mix.items()
        for _ in range(n)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema={"arm": pl.String, "value": pl.String}, orient="row").with_columns(
        unit=pl.format("u{}", pl.int_range(pl.len()))
    )


def test_distance_is_half_the_sum_of_differences() -> None:
    """A hand-made mix has its total-variation distance, and its values in order of difference."""
    found = compare_mix(frame({"a": 60, "b": 40}, {"a": 30, "b": 40, None: 30}), "value")
    assert found.distance == pytest.approx(0.3)
    assert found.shares == (Share(None, 0.0, 0.3), Share("a", 0.6, 0.3), Share("b", 0.4, 0.4))
    assert (found.significant, found.disjoint) == (True, False)


def test_equal_mixes_do_not_differ() -> None:
    """The same mix at another size is no difference."""
    found = compare_mix(frame({"a": 10, "b": 30}, {"a": 100, "b": 300}), "value")
    assert (found.distance, found.significant, found.disjoint) == (pytest.approx(0.0), False, False)


def test_mixes_without_a_common_value_are_disjoint() -> None:
    """Two values, one to each arm, have distance 1."""
    found = compare_mix(frame({"a": 2}, {"b": 2}), "value")
    assert (found.distance, found.disjoint) == (1.0, True)


def test_random_mixes_are_seldom_significant() -> None:
    """Arms drawn from one mix, users with several traces alike: at most two of 400 pairs differ."""
    rng = np.random.default_rng(5)
    units = np.repeat(np.arange(120), 5)
    called = 0
    for _ in range(400):
        values = rng.choice(["a", "b", "c"], size=120, p=[0.5, 0.4, 0.1])[units]
        arms = rng.choice(["base", "candidate"], size=120)[units]
        traces = pl.DataFrame({"arm": arms, "unit": units.astype(str), "value": values})
        called += compare_mix(traces, "value").significant
    assert called <= 2
