"""One question, asked and answered: a bar while it takes long, stopped by Ctrl-C, written in the form asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spanverdict.config_sections import ServerConfig
from spanverdict.derivation_gaps import tell_what_is_missing
from spanverdict.options import Settings
from spanverdict.output import write_rows
from sql.access import open_store
from sql.asking import ask
from sql.query_limits import QueryLimits

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

BAR_SECONDS = 1.0
"""How long a query runs before a bar is shown."""


def limits_of(server: ServerConfig) -> QueryLimits:
    """The configured limits of questions."""
    return QueryLimits(server.result_rows, server.result_mib, server.queries_at_once)


def answer(settings: Settings, query: str, parameters: Mapping[str, Any], form: str, out: Path | None = None) -> None:
    """Ask the store and write the answer.

    Args:
        settings: where the store is, and the limits where no server runs.
        query: a single SELECT (or EXPLAIN) statement.
        parameters: values of its named parameters.
        form: one of the forms of output.
        out: the file to write to; None is standard output.

    Raises:
        QueryError: the query is refused, fails, or comes to more than the limits.
        StoreUnavailableError: neither the server nor the file can be reached.
        click.UsageError: the form or the file cannot take the rows.
        KeyboardInterrupt: Ctrl-C; the query has been stopped.
    """
    with open_store(settings.db) as store:
        with _bar() as bar:
            rows = ask(store, query, parameters, limits_of(settings.config.server), bar.waiting)
        tell_what_is_missing(store, query)
    write_rows(rows, form, out)


@contextmanager
def _bar() -> Iterator[_Bar]:
    bar = _Bar(time.monotonic(), on_terminal=sys.stderr.isatty())
    try:
        yield bar
    finally:
        bar.end()


@dataclass
class _Bar:
    """A bar on standard error, if it is a terminal: how long it has taken and what has come, then gone without a trace.

    It moves but has no end: DuckDB tells no share for a store whose settings are locked.
    """

    began: float
    on_terminal: bool
    shown: tuple[Progress, TaskID] | None = None

    def waiting(self, rows: int) -> None:
        """Show it once it takes long."""
        if not self.on_terminal or time.monotonic() - self.began < BAR_SECONDS:
            return
        if self.shown is None:
            self.shown = self._begin()
        progress, task = self.shown
        progress.update(task, completed=rows)

    def end(self) -> None:
        """Take it away."""
        if self.shown:
            self.shown[0].stop()

    def _begin(self) -> tuple[Progress, TaskID]:
        from rich.console import Console  # noqa: PLC0415 (for long queries alone)
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        progress = Progress(
            TextColumn("asking"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.completed:,} rows; Ctrl-C stops it"),
            console=Console(stderr=True),
            transient=True,
        )
        progress.start()
        return progress, progress.add_task("query", total=None)
