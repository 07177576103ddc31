"""One effect with its interval, against its margin."""

from __future__ import annotations

import math

from analytics.report import formatting
from analytics.report.charts.canvas import Canvas, Chart, Colour
from analytics.report.charts.scale import reach, round_marks
from analytics.report.model import MetricResult, Verdict

_WIDTH, _HEIGHT = 380, 104
# Air beyond the outermost mark, as a share of it.
_AIR = 1.12
# Further out half of a word beside a mark would be outside.
_FAR_OUT = 0.75
_COLOURS = {Verdict.REGRESSED: Colour.BAD, Verdict.IMPROVED: Colour.GOOD}


def interval_chart(result: MetricResult) -> Chart | None:
    """Draw a metric's effect, its interval and its margin, in the metric's unit; None without an interval to draw."""
    if result.interval is None or any(math.isnan(bound) for bound in result.interval):
        return None
    low, high = result.interval
    edge = reach((low, high, result.effect, result.margin)) * _AIR
    if not edge:
        return None
    with Canvas(_WIDTH, _HEIGHT, left=34, right=34, top=22, bottom=24) as canvas:
        axes = canvas.axes
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1, 1)
        canvas.ticks(
            "x",
            [(mark / edge, formatting.difference(mark, result.unit)) for mark in round_marks(-edge, edge, 4)],
        )
        axes.axvline(0, color=Colour.INK, linewidth=1.5)
        margin = None if result.margin is None or not math.isfinite(result.margin) else result.margin / edge
        if margin:
            _draw_margin(canvas, margin, formatting.size(abs(result.margin or 0.0), result.unit))
        colour = _COLOURS.get(result.verdict, Colour.INK)
        ends = [max(-1.0, min(1.0, bound / edge)) for bound in (low, high)]
        axes.plot(ends, [0, 0], color=colour, linewidth=5, solid_capstyle="butt")
        for bound, mark in ((low, "<"), (high, ">")):
            if math.isinf(bound):
                axes.plot([math.copysign(0.98, bound)], [0], marker=mark, color=colour, markersize=11)
        if result.effect is not None and math.isfinite(result.effect):
            place = result.effect / edge
            axes.plot([place], [0], marker="o", color=colour, markersize=11, markeredgecolor=Colour.PAPER)
            said = formatting.difference(result.effect, result.unit)
            canvas.text(
                place, -0.4, said, Colour.INK, ha=_side(place), va="top", fontweight="bold", bbox=canvas.ground()
            )
        return Chart("Effect and interval against the margin", _words(result), _WIDTH, _HEIGHT, canvas.drawing())


def _draw_margin(canvas: Canvas, margin: float, size: str) -> None:
    side = math.copysign(1.0, margin)
    canvas.axes.axvspan(margin, side, color=Colour.BAD, alpha=0.12, linewidth=0)
    canvas.axes.axvline(margin, color=Colour.BAD, linewidth=1.5, linestyle=(0, (4, 3)))
    # To the left of a margin far out to the right there is room for its words, and the other way round.
    outward = abs(margin) < _FAR_OUT
    align = "left" if (side > 0) == outward else "right"
    canvas.text(margin, 1.1, f"margin {size}", Colour.BAD, ha=align, va="bottom")


def _side(place: float) -> str:
    if abs(place) < _FAR_OUT:
        return "center"
    return "right" if place > 0 else "left"


def _words(result: MetricResult) -> str:
    unit = result.unit
    said = f"Effect {formatting.difference(result.effect, unit)}, interval {formatting.interval(result.interval, unit)}"
    if result.margin is None:
        return f"{said}; no margin."
    worse = "higher" if result.margin >= 0 else "lower"
    return f"{said}; margin {formatting.size(abs(result.margin), unit)}, {worse} is worse."
