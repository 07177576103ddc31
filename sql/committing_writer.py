"""The way into a lake for telemetry: acknowledged once it is committed.

A collector of a lake keeps nothing on its own disk, so it may vanish at any moment. What comes while one group of
requests is committed is the next group, so that the cost of a commit is shared by whatever the load is.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa

from sql import statements
from sql.errors import RowsRefusedError, StoreError, StoreFailedError, StoreMemoryError
from sql.lake_store import LakeStore
from sql.telemetry_writer import ARRIVALS, LoadCounters, Loader, numbered

_LOG = logging.getLogger("spanverdict.load")

RETRY_SECONDS = 1.0
"""How long requests are turned away after a commit that failed; then one may try."""


class CommittingWriter:
    """Commits every group of rows before it is acknowledged.

    Args:
        store: the attached lake.
    """

    def __init__(self, store: LakeStore) -> None:
        self._store = store
        self._loader = Loader(store)
        self._failure: tuple[float, StoreError] | None = None

    @property
    def counters(self) -> LoadCounters:
        """Totals since the start."""
        return self._loader.counters

    @property
    def backlog_bytes(self) -> int:
        """None: what is taken is stored."""
        return 0

    @property
    def failure(self) -> str | None:
        """Why the last commit failed, for a moment; then one may try again."""
        if self._failure and time.monotonic() - self._failure[0] < RETRY_SECONDS:
            return str(self._failure[1])
        return None

    def problem(self) -> str | None:
        """Why the last commit failed; None once one succeeds, or could."""
        if self._failure is None:
            return None
        try:
            self._open_again()
            self._store.check_writable()
        except StoreError as error:
            return str(error)
        self._failure = None
        return None

    def last_received_at(self) -> datetime | None:
        """The latest arrival that the lake holds, of whichever collector."""
        latest: datetime | None = self._store.read(statements.read("last_received_at"))["received_at"][0].as_py()
        return latest

    def append(self, tables: Mapping[str, pa.Table]) -> None:
        """Commit rows; when this returns every process sees them.

        Args:
            tables: name of the write → its rows; the rows of ``ARRIVALS`` have to be among them.

        Raises:
            RowsRefusedError: these rows cannot be stored.
            StoreMemoryError: they need more memory than there is now; others may be stored.
            StoreError: they could not be stored now, or nobody can tell whether they were: sent again they are not
                doubled.
        """
        try:
            self._open_again()
            self._loader.store({**tables, ARRIVALS: numbered(tables[ARRIVALS], 0)})
        except (RowsRefusedError, StoreMemoryError):
            raise
        except StoreError as error:
            if self._failure is None:
                _LOG.error("%s Requests are refused meanwhile.", error)
            self._failure = (time.monotonic(), error)
            raise
        if self._failure:
            _LOG.info("The store can be written again.")
        self._failure = None

    def flush(self, timeout_seconds: float | None = None) -> bool:  # noqa: ARG002 (there is nothing to wait for)
        """True: what was acknowledged is in the lake."""
        return True

    def close(self) -> None:
        """Nothing is left to store."""

    def _open_again(self) -> None:
        """After a failure the database may know a connection to the catalog that is gone."""
        if self._failure and isinstance(self._failure[1], StoreFailedError):
            with contextlib.suppress(StoreError):
                self._store.reopen()
