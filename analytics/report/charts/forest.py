"""Every metric of a cohort on one axis: effects and intervals in margins, worse to the right."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analytics.report import formatting
from analytics.report.charts.canvas import Canvas, Chart, Colour
from analytics.report.model import CohortResult, MetricResult, Verdict
from analytics.report.text import visible

_WIDTH, _ROW, _ABOVE, _BELOW, _LABELS = 460, 22, 24, 26, 172
_LABEL_LIMIT = 27
# Farther out than this, how far no longer matters.
_EDGE = 3.0
# Each verdict has a shape of its own beside its colour.
_MARKS = {
    Verdict.REGRESSED: ("s", Colour.BAD, True),
    Verdict.IMPROVED: ("D", Colour.GOOD, True),
    Verdict.NO_REGRESSION: ("o", Colour.FINE, True),
    Verdict.INCONCLUSIVE: ("o", Colour.OPEN, False),
    Verdict.INVALID: ("X", Colour.QUIET, False),
}


@dataclass(frozen=True)
class _Row:
    result: MetricResult
    low: float
    high: float
    effect: float | None


def forest_chart(cohort: CohortResult) -> Chart | None:
    """Draw a cohort's metrics below one another; None where none has an interval and a margin."""
    rows = list(_rows(cohort))
    if not rows:
        return None
    height = _ABOVE + _ROW * len(rows) + _BELOW
    with Canvas(_WIDTH, height, left=_LABELS, right=10, top=_ABOVE, bottom=_BELOW) as canvas:
        axes = canvas.axes
        axes.set_xlim(-_EDGE, _EDGE)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        marks = {-2: "-2", -1: "-1", 0: "0", 1: "margin", 2: "2"}
        canvas.ticks("x", list(marks.items()))
        axes.axvspan(1, _EDGE, color=Colour.BAD, alpha=0.1, linewidth=0)
        axes.axvline(0, color=Colour.INK, linewidth=1.5)
        axes.axvline(1, color=Colour.BAD, linewidth=1.5, linestyle=(0, (4, 3)))
        for place, said, side in ((-0.15, "better", "right"), (1.15, "worse", "left")):
            canvas.text(place, -0.6, said, ha=side, va="bottom")
        canvas.ticks(
            "y",
            [
                (place, visible(formatting.metric_label(row.result.metric), _LABEL_LIMIT))
                for place, row in enumerate(rows)
            ],
            grid=False,
            colour=Colour.INK,
        )
        for verdict in dict.fromkeys(row.result.verdict for row in rows):
            _draw(canvas, [(place, row) for place, row in enumerate(rows) if row.result.verdict is verdict], verdict)
        return Chart("All metrics in margins", _words(rows), _WIDTH, height, canvas.drawing())


def _rows(cohort: CohortResult) -> Iterator[_Row]:
    for result in cohort.metrics:
        margin = result.margin
        if margin is None or not margin or result.interval is None or any(map(math.isnan, result.interval)):
            continue
        low, high = sorted(bound / margin for bound in result.interval)
        effect = None if result.effect is None or not math.isfinite(result.effect) else result.effect / margin
        if not math.isnan(low) and not math.isnan(high):
            yield _Row(result, low, high, effect)


def _draw(canvas: Canvas, placed: Sequence[tuple[int, _Row]], verdict: Verdict) -> None:
    mark, colour, filled = _MARKS[verdict]
    axes = canvas.axes
    ends = [[max(-_EDGE, min(_EDGE, bound)) for bound in (row.low, row.high)] for _, row in placed]
    axes.hlines([place for place, _ in placed], *zip(*ends, strict=True), color=colour, linewidth=3)
    beyond = _EDGE - 0.06
    for arrow, edge in (("<", -beyond), (">", beyond)):
        cut = [place for place, row in placed if (row.low if edge < 0 else row.high) / edge > _EDGE / beyond]
        if cut:
            axes.plot([edge] * len(cut), cut, marker=arrow, color=colour, markersize=8, linestyle="none")
    seen = [(row.effect, place) for place, row in placed if row.effect is not None and abs(row.effect) <= _EDGE]
    if seen:
        axes.plot(
            *zip(*seen, strict=True), marker=mark, markersize=9, linestyle="none", markeredgecolor=colour,
            markerfacecolor=colour if filled else Colour.PAPER, markeredgewidth=1.5,
        )  # fmt: skip


def _words(rows: list[_Row]) -> str:
    said = [
        f"{formatting.metric_label(row.result.metric)} {formatting.VERDICT_WORDS[row.result.verdict]}, "
        f"{_margins(row.effect)} ({_margins(row.low)} to {_margins(row.high)})"
        for row in rows
    ]
    return f"Effect and interval in margins, above 0 is worse, above 1 worse than the margin: {'; '.join(said)}."


def _margins(number: float | None) -> str:
    if number is None:
        return formatting.UNKNOWN
    if math.isinf(number):
        return "no end"
    return f"{number:+.1f}"
