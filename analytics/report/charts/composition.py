"""How much of a raw difference is within strata, and how much is their mix."""

from __future__ import annotations

from analytics.report import formatting
from analytics.report.charts.canvas import Canvas, Chart, Colour
from analytics.report.charts.scale import reach
from analytics.report.model import MetricResult

_WIDTH, _HEIGHT = 380, 104


def composition_chart(result: MetricResult) -> Chart | None:
    """Draw the raw difference and its two parts as bars from zero; None without a stratified comparison."""
    parts = result.composition
    if parts is None:
        return None
    bars = (
        ("raw", parts.raw, Colour.QUIET),
        ("within", parts.within, Colour.CANDIDATE),
        ("mix", parts.mix, Colour.OPEN),
    )
    edge = reach(value for _, value, _ in bars)
    if not edge:
        return None
    with Canvas(_WIDTH, _HEIGHT, left=52, right=12, top=6, bottom=6) as canvas:
        axes = canvas.axes
        # Room beyond the longest bar for its number.
        axes.set_xlim(-1.7, 1.7)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        canvas.ticks("y", [(place, name) for place, (name, _, _) in enumerate(bars)], grid=False)
        axes.axvline(0, color=Colour.INK, linewidth=1.5)
        for place, (_, value, colour) in enumerate(bars):
            axes.barh([place], [value / edge], height=0.55, color=colour)
            side = "left" if value >= 0 else "right"
            beyond = value / edge + (0.04 if value >= 0 else -0.04)
            said = formatting.difference(value, result.unit)
            canvas.text(beyond, place, said, Colour.INK, ha=side, va="center")
        return Chart(
            "What is within strata, and what is their mix", formatting.mix(result), _WIDTH, _HEIGHT, canvas.drawing()
        )
