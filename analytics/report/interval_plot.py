"""The geometry of a small interval plot: zero, margin, interval and effect on one line."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analytics.report import formatting
from analytics.report.model import MetricResult

WIDTH = 160
HEIGHT = 24
_PAD = 8
# Air beyond the outermost mark, as a share of it.
_AIR = 1.08


@dataclass(frozen=True)
class IntervalPlot:
    """Where the marks stand, in pixels from the left of a plot ``WIDTH`` wide; zero is in the middle.

    Attributes:
        zero: no difference.
        low: lower end of the interval, at the edge if it is open.
        high: upper end of the interval, at the edge if it is open.
        open_low: whether the interval has no lower end.
        open_high: whether the interval has no upper end.
        effect: the effect; None if undefined.
        margin: the margin; None if undefined.
        text: what the plot shows, in words.
    """

    zero: float
    low: float
    high: float
    open_low: bool
    open_high: bool
    effect: float | None
    margin: float | None
    text: str


def interval_plot(result: MetricResult) -> IntervalPlot | None:
    """Lay out a metric's interval; None if it has none to draw."""
    if result.interval is None or any(math.isnan(bound) for bound in result.interval):
        return None
    low, high = result.interval
    marks = [mark for mark in (low, high, result.effect, result.margin) if mark is not None and math.isfinite(mark)]
    reach = max((abs(mark) for mark in marks), default=0.0) * _AIR
    if not reach:
        return None

    def place(mark: float) -> float:
        share = min(1.0, max(-1.0, mark / reach))
        return round(WIDTH / 2 + share * (WIDTH / 2 - _PAD), 1)

    def place_if_known(mark: float | None) -> float | None:
        return place(mark) if mark is not None and math.isfinite(mark) else None

    unit = result.unit
    margin = "" if result.margin is None else f"; margin {formatting.size(abs(result.margin), unit)}"
    return IntervalPlot(
        zero=place(0.0),
        low=place(low),
        high=place(high),
        open_low=math.isinf(low),
        open_high=math.isinf(high),
        effect=place_if_known(result.effect),
        margin=place_if_known(result.margin),
        text=(
            f"Effect {formatting.difference(result.effect, unit)}, "
            f"interval {formatting.interval(result.interval, unit)}{margin}"
        ),
    )
