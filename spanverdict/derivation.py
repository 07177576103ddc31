"""Bringing what is derived from spans up to date, with progress on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from analytics.derive import Step, derive
from analytics.job_options import JobOptions
from analytics.outcome_matching import MatchStep, match_outcomes
from collector.renormalize import renormalize
from sql.access import Access


def bring_up_to_date(store: Access, options: JobOptions) -> tuple[int, Step, MatchStep]:
    """Normalise anew what an older version wrote, derive, then match outcomes; progress on a terminal.

    Returns:
        How many spans were normalised anew, what was derived, and what was matched.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        spans = progress.add_task("Normalising spans anew", total=None, visible=False)
        traces = progress.add_task("Deriving calls", total=None, visible=False)
        outcomes = progress.add_task("Matching outcomes", total=None, visible=False)

        def show(bar: TaskID, left: int) -> None:
            total = progress.tasks[bar].total or left
            progress.update(bar, total=total, completed=total - left, visible=True)

        renormalized = renormalize(store, lambda _done, left: show(spans, left))
        derived = derive(store, options, lambda step: show(traces, step.spans_left + step.traces_left))
        matched = match_outcomes(
            store, options.feedback_key, lambda step: show(outcomes, step.outcomes_left + step.spans_left)
        )
        return renormalized, derived, matched
