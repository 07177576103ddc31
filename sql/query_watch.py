"""A query that runs: stopped past its time, or when nobody waits for it any more, and why it ended."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import duckdb

from sql.errors import QueryError
from sql.read_only import unanswered

WATCH_SECONDS = 0.2
"""How often a running query is checked."""


class QueryWatch:
    """Looks after one query from a thread of its own.

    Args:
        cursor: what the query runs on.
        seconds: how long it may take.
        given_up: asked now and then whether nobody waits for it any more.
    """

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, seconds: float, given_up: Callable[[], bool] | None = None
    ) -> None:
        self._cursor = cursor
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._given_up = given_up
        self._done = threading.Event()
        # Held while it is asked and interrupted, and to say that it is done: a call of Flight, which is forgotten with
        # its answer, is never asked after that.
        self._asking = threading.Lock()
        self._stopped: str | None = None

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._watch, name="query-watch", daemon=True).start()

    def end(self) -> None:
        """Look no more; whoever might have given up is not asked after this."""
        with self._asking:
            self._done.set()

    def failure(self, error: Exception) -> QueryError:
        """What a failed query comes to: why it was stopped, else what the database says."""
        if self._stopped:
            return QueryError(self._stopped)
        if isinstance(error, duckdb.InterruptException):
            return QueryError("The query was stopped, for the store closes or is opened anew; ask again.")
        return unanswered(error)

    def _watch(self) -> None:
        while not self._done.wait(WATCH_SECONDS):
            with self._asking, contextlib.suppress(duckdb.Error):
                if self._done.is_set():
                    return
                if time.monotonic() > self._deadline:
                    self._stopped = (
                        f"The query took longer than {self._seconds:g} s, which is the limit (server.query_seconds),"
                        " and was stopped."
                    )
                elif self._given_up and self._given_up():
                    self._stopped = "The query was cancelled."
                if self._stopped:
                    self._cursor.interrupt()
