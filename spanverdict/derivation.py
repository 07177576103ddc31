"""Bringing what is derived from spans up to date, with progress on a terminal."""

from __future__ import annotations

import re

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from analytics.derive import Step, derive
from analytics.job import JobOptions
from collector.renormalize import renormalize
from sql.access import Access

_DERIVED = re.compile(r"\b(calls|attempt_chains|trace_costs|unpriced_tokens)\b", re.IGNORECASE)
"""The relations that hold what a derivation has written."""


def bring_up_to_date(store: Access, options: JobOptions) -> tuple[int, Step]:
    """Normalise anew what an older version wrote, then derive; progress on a terminal.

    Returns:
        How many spans were normalised anew, and what was derived.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        spans = progress.add_task("Normalising spans anew", total=None, visible=False)
        traces = progress.add_task("Deriving calls", total=None, visible=False)

        def show(bar: TaskID, left: int) -> None:
            total = progress.tasks[bar].total or left
            progress.update(bar, total=total, completed=total - left, visible=True)

        renormalized = renormalize(store, lambda _done, left: show(spans, left))
        return renormalized, derive(store, options, lambda step: show(traces, step.spans_left + step.traces_left))


def tell_what_is_missing(store: Access, query: str) -> None:
    """Say on standard error if a query asks for what is derived, and not all of it has been derived yet."""
    if not _DERIVED.search(query):
        return
    left = store.read("SELECT spans_left, traces_left FROM derivation_progress").to_pylist()[0]
    if left["spans_left"] or left["traces_left"]:
        click.echo(
            f"Calls, chains and costs lack {left['spans_left']:,} spans that have just arrived and"
            f" {left['traces_left']:,} traces to derive anew; `spanverdict derive` brings them up to date.",
            err=True,
        )
