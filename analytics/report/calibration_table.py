"""A calibration for a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from analytics.report import formatting
from analytics.report.calibration import Calibration, CalibrationCell, CalibrationRow
from analytics.report.calibration_words import NOTHING, day_of, percent, share_of, size_of, times, traffic_of
from analytics.report.pages import pages
from analytics.report.text import name, visible

_COHORT_LIMIT = 16
_COLUMN_GAP = 3


def render_calibration(found: Calibration, alpha: float, width: int) -> str:
    """Render a calibration for a terminal of so many columns; lines with a final newline."""
    console = Console(
        file=io.StringIO(), width=width, color_system=None, legacy_windows=False, highlight=False, markup=False,
        emoji=False, _environ={},
    )  # fmt: skip
    with console.capture() as captured:
        for block in _blocks(found, alpha, width):
            console.print(block)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _blocks(found: Calibration, alpha: float, width: int) -> Iterator[RenderableType]:
    yield Text(
        f"{formatting.count(found.splits, 'placebo promotion')} on your own traffic: "
        f"{formatting.count(found.traces, 'base trace')} of {formatting.count(found.days, 'day')}, split at random by "
        f"{found.split_by}, {share_of(found.candidate_share)} to the pseudo-candidate, judged as the report judges at "
        f"family-wise error {alpha:g} in each direction."
    )
    yield Text()
    yield Text(
        f"A false REGRESSED in {share_of(found.false_regressed)} of them (at most {share_of(found.upper_limit)}), "
        f"a false improved in {share_of(found.false_improved)}."
    )
    if not found.injections:
        return
    by_size = {row.margins: [each for each in found.metrics if each.margins == row.margins] for row in found.metrics}
    for margins, rows in by_size.items():
        yield Text()
        yield Text(
            f"A regression {times(margins)} in every cohort, {formatting.count(found.injections, 'time')} a metric:"
        )
        yield _by_metric(rows)
    yield Text()
    yield Text(
        "found: share of the injected regressions called REGRESSED by the last day, over all cohorts. by day: when "
        "half of them had been. enough: traces of both arms in a day of the smallest cohort in which four of five were "
        "found. missed: called no regression, or improved. false alarm: share of the placebo promotions with a false "
        "REGRESSED."
    )
    largest, rows = max(by_size.items())
    yield Text()
    yield Text(f"Found of a regression {times(largest)}, by cohort:")
    for number, cohorts in enumerate(_pages(rows, width)):
        if number:
            yield Text()
        yield _by_cohort(rows, cohorts)


def _by_metric(rows: Sequence[CalibrationRow]) -> Table:
    columns = {
        "injected": [size_of(row) for row in rows],
        "found": [percent(row.found) for row in rows],
        "by day": [day_of(row.median_day) for row in rows],
        "enough": [traffic_of(row.smallest_traffic) for row in rows],
        "missed": [percent(row.missed) for row in rows],
        "false alarm": [share_of(row.false_alarms) for row in rows],
    }
    known = {title: cells for title, cells in columns.items() if set(cells) != {NOTHING}}
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("metric", no_wrap=True)
    for title in known:
        table.add_column(title, justify="right", no_wrap=True)
    for row, *cells in zip(rows, *known.values(), strict=True):
        table.add_row(Text(name(row.metric)), *cells)
    return table


def _pages(rows: Sequence[CalibrationRow], width: int) -> Iterator[list[int]]:
    """The cohorts' places, those with the most traffic first, so many at a time as fit the width."""
    cohorts = rows[0].cohorts if rows else ()
    room = width - max((cell_len(name(row.metric)) for row in rows), default=0)
    order = sorted(range(len(cohorts)), key=lambda place: -cohorts[place].traces_per_day)
    widths = [max(len("100 %"), cell_len(_short(cohorts[place]))) + _COLUMN_GAP for place in order]
    for page in pages(widths, room):
        yield [order[place] for place in page]


def _by_cohort(rows: Sequence[CalibrationRow], places: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_footer=True)
    table.add_column("metric", footer="traces a day", no_wrap=True)
    for place in places:
        cell = rows[0].cohorts[place]
        table.add_column(Text(_short(cell)), footer=traffic_of(cell.traces_per_day), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(Text(name(row.metric)), *(percent(row.cohorts[place].found) for place in places))
    return table


def _short(cell: CalibrationCell) -> str:
    return visible(cell.cohort, _COHORT_LIMIT)
