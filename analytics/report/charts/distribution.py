"""Quantile curves of both arms, the tail spread out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analytics.report import formatting
from analytics.report.charts.canvas import Canvas, Chart, Colour, spread
from analytics.report.charts.scale import axis_label, drawable, reach, round_factors, round_marks
from analytics.report.evidence import Distribution

_WIDTH, _HEIGHT = 380, 210
_AIR = 1.06
# A factor between smallest and largest from which on the ratio of values says more than their difference.
_LOGARITHMIC = 8.0
_NAMED = {0.0: "all", 0.5: "half", 0.9: "1 in 10", 0.99: "1 in 100", 0.999: "1 in 1,000"}
_WORD = 0.09


def distribution_chart(found: Distribution) -> Chart | None:
    """Draw value over the share of traces above it; None where an arm has nothing to draw."""
    curves = {arm: _curve(found.probabilities, getattr(found, arm)) for arm in ("base", "candidate")}
    heights = [height for curve in curves.values() for _, height in curve]
    if not heights or not reach(heights):
        return None
    low, high = min(heights), max(heights)
    logarithmic = low > 0 and high / low >= _LOGARITHMIC
    if logarithmic:
        low, high = low / _AIR, high * _AIR
        marks, place_of = round_factors(low, high, 6), math.log10
    else:
        low, high = min(0.0, low), high * _AIR
        marks, place_of = round_marks(low, high, 4), float
    title = f"{found.quantity.capitalize()} of both arms{', logarithmic' if logarithmic else ''}"
    with Canvas(_WIDTH, _HEIGHT, left=96, right=66, top=10, bottom=42) as canvas:
        axes = canvas.axes
        last = max(place for curve in curves.values() for place, _ in curve)
        axes.set_xlim(0, max(last, 0.1) * 1.02)
        bottom, top = place_of(low), place_of(high)
        axes.set_ylim(bottom, top)
        canvas.ticks("y", [(place_of(mark), axis_label(mark, found.unit)) for mark in marks])
        canvas.ticks("x", [(_tail(share), said) for share, said in _NAMED.items() if _tail(share) <= last])
        canvas.below("share of traces that are above")
        said = []
        for arm, colour, dash in (("base", Colour.BASE, (4, 2)), ("candidate", Colour.CANDIDATE, ())):
            curve = [(place, place_of(height)) for place, height in curves[arm]]
            if not curve:
                continue
            (line,) = axes.plot(*zip(*curve, strict=True), color=colour, linewidth=2.5)
            if dash:
                line.set_linestyle((0, dash))
            said.append((curve[-1][1], arm, colour))
        said.sort()
        least = _WORD * (top - bottom)
        # The pair is moved down where it would leave the top.
        room = list(spread([height for height, _, _ in said], least))
        over = max(0.0, room[-1] - top)
        for height, (_, arm, colour) in zip(room, said, strict=True):
            canvas.text(axes.get_xlim()[1] * 1.02, height - over, arm, colour, va="center", fontweight="bold")
        return Chart(title, _words(found), _WIDTH, _HEIGHT, canvas.drawing())


def _tail(probability: float) -> float:
    """Where a probability stands: each further step to the right is a tenth of the traces above."""
    return -math.log10(1.0 - probability)


def _curve(probabilities: Sequence[float], values: Sequence[float | None]) -> list[tuple[float, float]]:
    return [
        (_tail(probability), value)
        for probability, value in zip(probabilities, values, strict=True)
        if probability < 1 and value is not None and drawable([value])
    ]


def _words(found: Distribution) -> str:
    said = []
    for arm in ("base", "candidate"):
        values = dict(zip(found.probabilities, getattr(found, arm), strict=True))
        named = [
            f"{said} {formatting.value(values[share], found.unit)}"
            for share, said in ((0.5, "half of the traces are above"), (0.9, "1 in 10"), (0.99, "1 in 100"))
            if values.get(share) is not None
        ]
        count = formatting.count(found.n.get(arm, 0), "trace")
        said.append(f"{arm} ({count}): {', '.join(named) or 'too few traces for a quantile'}")
    return f"{'; '.join(said)}."
