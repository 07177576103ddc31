"""Acceptance criteria: what is asked, what was found, and whether that is enough; and tables of text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Options:
    """How much is simulated.

    Attributes:
        families: A/A families of each design.
        runs: runs of each regression and trap.
        jobs: processes at a time.
        data: folder with real data, or None.
    """

    families: int
    runs: int
    jobs: int
    data: Path | None


@dataclass(frozen=True)
class Found:
    """One criterion after the run.

    Attributes:
        code: its short name.
        criterion: what is asked, in words.
        bar: the bar, as text.
        found: what was found, as text.
        reached: whether the bar is reached; None where the row could not be run.
    """

    code: str
    criterion: str
    bar: str
    found: str
    reached: bool | None


def parts(runs: int, at_a_time: int) -> list[tuple[int, int]]:
    """Number and size of the parts in which runs are drawn."""
    return [(number, min(at_a_time, runs - first)) for number, first in enumerate(range(0, runs, at_a_time))]


def spread(function: Callable[[Task], Result], tasks: Iterable[Task], jobs: int) -> list[Result]:
    """The function of each task, in order, in so many processes."""
    if jobs == 1:
        return [function(task) for task in tasks]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(function, tasks))


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def acceptance(found: Iterable[Found]) -> str:
    """The table of criteria."""
    says = {True: "reached", False: "**not reached**", None: "not run"}
    return markdown(
        ("row", "criterion", "bar", "found", ""),
        ([one.code, one.criterion, one.bar, one.found, says[one.reached]] for one in found),
    )


def percent(share: float) -> str:
    """A share in percent, one digit."""
    return f"{100 * share:.1f} %"
