"""Both arms day by day."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analytics.report import formatting
from analytics.report.charts.canvas import Canvas, Chart, Colour, spread
from analytics.report.charts.scale import axis_label, drawable, reach, round_marks
from analytics.report.evidence import DayValues, OverTime

_WIDTH, _HEIGHT = 380, 190
_AIR = 1.1
# Of the axes' height: as near as two words can stand.
_WORD = 0.1


def over_time_chart(found: OverTime) -> Chart | None:
    """Draw an arm's values as a line with a mark for each day; None where no day has a value."""
    days = found.days
    values = [side.value for day in days for side in (day.base, day.candidate)]
    known = drawable(values)
    if not known:
        return None
    low, high = min(0.0, min(known) * _AIR), max(0.0, max(known) * _AIR)
    scale = reach((low, high))
    low, high = (low / scale, high / scale) if scale else (0.0, 1.0)
    scale = scale or 1.0
    with Canvas(_WIDTH, _HEIGHT, left=96, right=66, top=12, bottom=28) as canvas:
        axes = canvas.axes
        first, last = days[0].day.toordinal(), days[-1].day.toordinal()
        length = max(1, last - first)
        axes.set_xlim(-0.03 * length, length * 1.03)
        axes.set_ylim(low, high)
        marks = round_marks(low * scale, high * scale, 4)
        canvas.ticks("y", [(mark / scale, axis_label(mark, found.unit)) for mark in marks])
        ends = {0: days[0].day.isoformat(), last - first: days[-1].day.isoformat()}
        canvas.ticks("x", list(ends.items()), grid=False)
        said = []
        for name, colour, mark, dash in (("base", Colour.BASE, "s", (4, 2)), ("candidate", Colour.CANDIDATE, "o", ())):
            places = [day.day.toordinal() - first for day in days]
            heights = [_height(getattr(day, name).value, scale) for day in days]
            (line,) = axes.plot(places, heights, color=colour, linewidth=2, marker=mark, markersize=6)
            if dash:
                line.set_linestyle((0, dash))
            seen = [(place, height) for place, height in zip(places, heights, strict=True) if not math.isnan(height)]
            if seen:
                said.append((seen[-1][1], name, colour))
        said.sort()
        room = [height for height, _, _ in said]
        for height, (_, name, colour) in zip(spread(room, _WORD * (high - low)), said, strict=True):
            canvas.text(length * 1.06, height, name, colour, va="center", fontweight="bold", clip_on=False)
        return Chart("Both arms over time", _words(days, found.unit), _WIDTH, _HEIGHT, canvas.drawing())


def _height(value: float | None, scale: float) -> float:
    (drawn,) = drawable([value]) or [math.nan]
    return drawn / scale


def _words(days: Sequence[DayValues], unit: str) -> str:
    said = []
    for arm in ("base", "candidate"):
        seen = [(day.day, getattr(day, arm).value) for day in days if getattr(day, arm).value is not None]
        if seen:
            (first, start), (last, end) = seen[0], seen[-1]
            said.append(
                f"{arm} from {formatting.value(start, unit)} on {first.isoformat()} "
                f"to {formatting.value(end, unit)} on {last.isoformat()}"
            )
        else:
            said.append(f"{arm} has no values")
    both = [
        (d.base.value, d.candidate.value) for d in days if d.base.value is not None and d.candidate.value is not None
    ]
    higher = sum(candidate > base for base, candidate in both)
    return f"{'; '.join(said)}; the candidate is higher on {higher} of {formatting.count(len(both), 'day')} with both."
