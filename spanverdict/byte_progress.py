"""A bar on standard error, where that is a terminal, of bytes that are done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn


@contextlib.contextmanager
def byte_progress(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far something is.

    Args:
        doing: one word before the bar.

    Yields:
        What is to be told the bytes that are done and those there are.
    """
    console = Console(stderr=True)
    columns = (TextColumn(doing), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("", total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
