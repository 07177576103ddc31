"""What a calibration says to people: a footnote of the report, and the tables of the command."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from analytics.report import formatting
from analytics.report.model import Calibration, CalibrationCell, CalibrationRow
from analytics.report.text import name, visible

_NOTHING = "-"
_COHORT_LIMIT = 16
_COLUMN_GAP = 3
_WORDS = {1.0: "of the margin", 2.0: "of twice the margin"}


def footnote(found: Calibration) -> str:
    """Say what the configuration does on the user's own traffic, in two sentences."""
    alarms = (
        f"On your own traffic {formatting.count(found.splits, 'placebo promotion')} gave a false REGRESSED in "
        f"{_share(found.false_regressed)} (at most {_share(found.upper_limit)})."
    )
    largest = max((row.margins for row in found.metrics), default=0.0)
    rows = [row for row in found.metrics if row.margins == largest and row.found is not None]
    if not rows:
        return alarms
    least, most = min(rows, key=_found), max(rows, key=_found)
    span = f"{_percent(least.found)} ({_metric_and_size(least)}) to {_percent(most.found)} ({_metric_and_size(most)})"
    together = _percent(sum(map(_found, rows)) / len(rows))
    return f"{alarms} A regression {_times(largest)} would have been found in {together} of the cells: from {span}."


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
        f"{found.split_by}, {_share(found.candidate_share)} to the pseudo-candidate, judged as the report judges at "
        f"family-wise error {alpha:g} in each direction."
    )
    yield Text()
    yield Text(
        f"A false REGRESSED in {_share(found.false_regressed)} of them (at most {_share(found.upper_limit)}), "
        f"a false improved in {_share(found.false_improved)}."
    )
    if not found.injections:
        return
    by_size = {row.margins: [each for each in found.metrics if each.margins == row.margins] for row in found.metrics}
    for margins, rows in by_size.items():
        yield Text()
        yield Text(
            f"A regression {_times(margins)} in every cohort, {formatting.count(found.injections, 'time')} a metric:"
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
    yield Text(f"Found of a regression {_times(largest)}, by cohort:")
    for cohorts in _pages(rows, width):
        yield _by_cohort(rows, cohorts)


def _by_metric(rows: Sequence[CalibrationRow]) -> Table:
    columns = {
        "injected": [_size(row) for row in rows],
        "found": [_percent(row.found) for row in rows],
        "by day": [_day(row.median_day) for row in rows],
        "enough": [_traffic(row.smallest_traffic) for row in rows],
        "missed": [_percent(row.missed) for row in rows],
        "false alarm": [_share(row.false_alarms) for row in rows],
    }
    known = {title: cells for title, cells in columns.items() if set(cells) != {_NOTHING}}
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
    page: list[int] = []
    used = 0
    for place in sorted(range(len(cohorts)), key=lambda place: -cohorts[place].traces_per_day):
        needed = max(len("100 %"), cell_len(_short(cohorts[place]))) + _COLUMN_GAP
        if page and used + needed > room:
            yield page
            page, used = [], 0
        page.append(place)
        used += needed
    if page:
        yield page


def _by_cohort(rows: Sequence[CalibrationRow], places: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_footer=True)
    table.add_column("metric", footer="traces a day", no_wrap=True)
    for place in places:
        cell = rows[0].cohorts[place]
        table.add_column(Text(_short(cell)), footer=_traffic(cell.traces_per_day), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(Text(name(row.metric)), *(_percent(row.cohorts[place].found) for place in places))
    return table


def _short(cell: CalibrationCell) -> str:
    return visible(cell.cohort, _COHORT_LIMIT)


def _found(row: CalibrationRow) -> float:
    return row.found or 0.0


def _times(margins: float) -> str:
    return _WORDS.get(margins, f"of {margins:g} margins")


def _share(share: float | None) -> str:
    return _NOTHING if share is None else formatting.value(share, "rate")


def _percent(share: float | None) -> str:
    """A share of few tries, in whole per cent."""
    return _NOTHING if share is None else f"{100 * share:.0f} %"


def _day(day: int | None) -> str:
    return _NOTHING if day is None else str(day)


def _traffic(traces: float | None) -> str:
    return _NOTHING if traces is None else f"{traces:,.0f}"


def _size(row: CalibrationRow) -> str:
    """The size of an injected regression without its sign: "2.0 points", "10.0 %"."""
    if row.injected is None:
        return _NOTHING
    return formatting.size(abs(row.injected), "rate") if row.unit == "rate" else _share(abs(row.injected - 1))


def _metric_and_size(row: CalibrationRow) -> str:
    return f"{name(formatting.metric_label(row.metric))} by {_size(row)}"
