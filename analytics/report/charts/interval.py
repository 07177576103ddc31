"""One effect with its interval, against its margin."""

from __future__ import annotations

import math

from analytics.report import formatting
from analytics.report.charts.canvas import Canvas, Chart, Colour
from analytics.report.charts.scale import drawable, reach, round_marks
from analytics.report.model import MetricResult, Verdict

_WIDTH, _HEIGHT = 380, 104
# Air beyond the outermost marks, as a share of what is between them.
_AIR = 0.16
# Nearer to an edge, as a share of the axis, half of a word beside a mark would be outside.
_NEAR = 0.14
_COLOURS = {Verdict.REGRESSED: Colour.BAD, Verdict.IMPROVED: Colour.GOOD}


def interval_chart(result: MetricResult) -> Chart | None:
    """Draw a metric's effect, its interval and its margin, in the metric's unit; None without an interval to draw."""
    if result.interval is None or any(math.isnan(bound) for bound in result.interval):
        return None
    marks = drawable((0.0, *result.interval, result.effect, result.margin))
    scale = reach(marks)
    if not scale:
        return None
    bounds = [bound / scale for bound in result.interval]
    left, right = min(marks) / scale, max(marks) / scale
    # An open end needs room to go on.
    left, right = (-1.0 if bounds[0] == -math.inf else left), (1.0 if bounds[1] == math.inf else right)
    air = _AIR * (right - left)
    left, right = left - air, right + air
    with Canvas(_WIDTH, _HEIGHT, left=34, right=34, top=22, bottom=24) as canvas:
        axes = canvas.axes
        axes.set_xlim(left, right)
        axes.set_ylim(-1, 1)
        ticks = round_marks(left * scale, right * scale, 4)
        canvas.ticks("x", [(mark / scale, formatting.difference(mark, result.unit)) for mark in ticks])
        axes.axvline(0, color=Colour.INK, linewidth=1.5)
        if result.margin and math.isfinite(result.margin):
            _draw_margin(canvas, result.margin / scale, formatting.size(abs(result.margin), result.unit))
        colour = _COLOURS.get(result.verdict, Colour.INK)
        ends = [max(left, min(right, bound)) for bound in bounds]
        axes.plot(ends, [0, 0], color=colour, linewidth=5, solid_capstyle="butt")
        for bound, mark in zip(bounds, "<>", strict=True):
            if math.isinf(bound):
                axes.plot([right if bound > 0 else left], [0], marker=mark, color=colour, markersize=11)
        for effect in drawable([result.effect]):
            place = effect / scale
            axes.plot([place], [0], marker="o", color=colour, markersize=11, markeredgecolor=Colour.PAPER)
            said = formatting.difference(effect, result.unit)
            align = _side((place - left) / (right - left))
            canvas.text(place, -0.4, said, Colour.INK, ha=align, va="top", fontweight="bold", bbox=canvas.ground())
        return Chart("Effect and interval against the margin", _words(result), _WIDTH, _HEIGHT, canvas.drawing())


def _draw_margin(canvas: Canvas, margin: float, size: str) -> None:
    left, right = canvas.axes.get_xlim()
    canvas.axes.axvspan(margin, right if margin > 0 else left, color=Colour.BAD, alpha=0.1, linewidth=0)
    canvas.axes.axvline(margin, color=Colour.BAD, linewidth=1.5, linestyle=(0, (4, 3)))
    # The words go to the side that is wider.
    align = "left" if margin < (left + right) / 2 else "right"
    canvas.text(margin, 1.1, f"margin {size}", Colour.BAD, ha=align, va="bottom")


def _side(share: float) -> str:
    if share < _NEAR:
        return "left"
    return "right" if share > 1 - _NEAR else "center"


def _words(result: MetricResult) -> str:
    unit = result.unit
    said = f"Effect {formatting.difference(result.effect, unit)}, interval {formatting.interval(result.interval, unit)}"
    if result.margin is None:
        return f"{said}; no margin."
    worse = "higher" if result.margin >= 0 else "lower"
    return f"{said}; margin {formatting.size(abs(result.margin), unit)}, {worse} is worse."
