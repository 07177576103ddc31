"""The interval plot puts every mark where its number is."""

from __future__ import annotations

import math
from typing import Any

import pytest
from analytics.report.interval_plot import WIDTH, interval_plot
from hypothesis import given
from hypothesis import strategies as st

from analytics.report.model import MetricResult, Verdict
from analytics.report.values import ArmValue

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False).map(lambda number: round(number, 3))


def test_zero_is_in_the_middle_and_the_scale_is_even(build: Any) -> None:
    """Marks stand at distances from zero in proportion to their values."""
    plot = interval_plot(build.metric("m", Verdict.REGRESSED, effect=0.02, interval=(0.01, 0.04), margin=0.03))
    assert plot is not None
    assert plot.zero == WIDTH / 2
    step = plot.low - plot.zero
    assert step > 0
    assert (plot.effect, plot.margin, plot.high) == pytest.approx(
        (plot.zero + 2 * step, plot.zero + 3 * step, plot.zero + 4 * step), abs=0.2
    )


@pytest.mark.parametrize("bounds", [None, (math.nan, 0.1), (0.0, 0.0)])
def test_draws_nothing_where_there_is_nothing(build: Any, bounds: tuple[float, float] | None) -> None:
    """No interval, or none of any size, gives no plot."""
    assert interval_plot(build.metric("m", Verdict.INVALID, effect=None, interval=bounds, margin=None)) is None


def test_an_open_end_reaches_the_edge(build: Any) -> None:
    """An infinite bound is drawn to the edge and marked as open."""
    plot = interval_plot(build.metric("m", Verdict.INCONCLUSIVE, interval=(-math.inf, 0.04)))
    assert plot is not None
    assert (plot.open_low, plot.open_high) == (True, False)
    assert plot.low < plot.zero < plot.high


@given(low=NUMBERS, width=st.floats(0.001, 1e9), effect=NUMBERS, margin=NUMBERS)
def test_marks_keep_their_order_inside_the_plot(low: float, width: float, effect: float, margin: float) -> None:
    """Whatever the numbers, marks stand inside the plot in the order of their values."""
    arm = ArmValue(1, 0.5)
    result = MetricResult("m", Verdict.REGRESSED, "", arm, arm, effect, (low, low + width), margin, "ms")
    plot = interval_plot(result)
    assert plot is not None
    values = [
        (low, plot.low),
        (low + width, plot.high),
        (effect, plot.effect),
        (margin, plot.margin),
        (0.0, plot.zero),
    ]
    places = [place for _, place in sorted(values, key=lambda pair: pair[0])]
    assert places == sorted(places)
    assert all(0 <= place <= WIDTH for place in places)
