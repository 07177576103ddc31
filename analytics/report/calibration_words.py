"""What a calibration says in words: a footnote of the report, and how its numbers are written."""

from __future__ import annotations

from analytics.report import formatting
from analytics.report.calibration import Calibration, CalibrationRow
from analytics.report.text import name

NOTHING = "-"
_WORDS = {1.0: "of the margin", 2.0: "of twice the margin"}


def footnote(found: Calibration) -> str:
    """Say what the configuration does on the user's own traffic, in two sentences."""
    alarms = (
        f"On your own traffic {formatting.count(found.splits, 'placebo promotion')} gave a false REGRESSED in "
        f"{share_of(found.false_regressed)} (at most {share_of(found.upper_limit)})."
    )
    largest = max((row.margins for row in found.metrics), default=0.0)
    rows = [row for row in found.metrics if row.margins == largest and row.found is not None]
    if not rows:
        return alarms
    least, most = min(rows, key=_found), max(rows, key=_found)
    span = f"{percent(least.found)} ({_metric_and_size(least)}) to {percent(most.found)} ({_metric_and_size(most)})"
    together = percent(sum(map(_found, rows)) / len(rows))
    return f"{alarms} A regression {times(largest)} would have been found in {together} of the cells: from {span}."


def _found(row: CalibrationRow) -> float:
    return row.found or 0.0


def times(margins: float) -> str:
    """Say how large an injected regression is: "of twice the margin"."""
    return _WORDS.get(margins, f"of {margins:g} margins")


def share_of(share: float | None) -> str:
    """Write a share of many tries: "0.50 %"."""
    return NOTHING if share is None else formatting.value(share, "rate")


def percent(share: float | None) -> str:
    """Write a share of few tries, in whole per cent: "84 %"."""
    return NOTHING if share is None else f"{100 * share:.0f} %"


def day_of(day: int | None) -> str:
    """Write the number of a day."""
    return NOTHING if day is None else str(day)


def traffic_of(traces: float | None) -> str:
    """Write traces a day: "1,204"."""
    return NOTHING if traces is None else f"{traces:,.0f}"


def size_of(row: CalibrationRow) -> str:
    """Write the size of an injected regression without its sign: "2.0 points", "10.0 %"."""
    if row.injected is None:
        return NOTHING
    return formatting.size(abs(row.injected), "rate") if row.unit == "rate" else share_of(abs(row.injected - 1))


def _metric_and_size(row: CalibrationRow) -> str:
    return f"{name(formatting.metric_label(row.metric))} by {size_of(row)}"
