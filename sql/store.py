"""The store: one DuckDB file, owned by one process, written by one thread at a time, read by any number.

Why it is opened the way it is (versions, checkpoints, no index): docs/architecture.md.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sql import archive_writes, statements
from sql.archive_views import follow_name, let_in
from sql.errors import RowsRefusedError, StoreError, StoreUnavailableError
from sql.migrating import migrate, schema_version
from sql.named_writes import write_rows
from sql.opened_store import OpenedStore
from sql.query_watch import WATCH_SECONDS
from sql.read_only import first_line
from sql.store_copy import keep_before
from sql.store_file import open_file, opening_message
from sql.store_hold import Hold
from sql.write_failures import as_store_errors

STORAGE_VERSION = "v1.5.0"
"""Files written so open in every DuckDB from 1.5.5 on."""

REOPEN_SECONDS = 5.0
"""How long queries may take to let go before the file is opened anew."""


class Store(OpenedStore):
    """An open store.

    Args:
        path: the database file; made if absent unless ``read_only``.
        read_only: open without the right to write (several processes may do so while none writes).
        memory_limit: DuckDB's own memory limit, such as ``1GB``.
        query_seconds: how long one query may take.

    Raises:
        StoreUnavailableError: the file cannot be opened, or another process holds it.
        StoreError: the file is of a newer version of spanverdict.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, memory_limit: str = "1GB", query_seconds: float = 600
    ) -> None:
        super().__init__(path, query_seconds)
        self.path = path
        self._write_lock = threading.Lock()
        self._hold: Hold | None = None
        self._config: dict[str, Any] = {"memory_limit": memory_limit}
        self._read_only = read_only
        if not read_only:
            self._config |= {"storage_compatibility_version": STORAGE_VERSION, "wal_autocheckpoint": "256MB"}
        if read_only and not path.exists():
            raise StoreUnavailableError(f"There is no store at {path}; `spanverdict serve` makes one.")
        if not path.parent.is_dir():
            raise StoreUnavailableError(f"The folder {path.parent} of the store does not exist; make it first.")
        self._open()

    def _open(self) -> None:
        self._connection = self._connected()
        try:
            self._prepare(read_only=self._read_only)
        except duckdb.Error as error:
            self._connection.close()
            raise StoreUnavailableError(opening_message(self.path, error)) from error
        except BaseException:
            self._connection.close()
            raise

    def _connected(self) -> duckdb.DuckDBPyConnection:
        connection = open_file(self.path, self._config, read_only=self._read_only)
        let_in(connection, self.path)
        return connection

    def reopen(self) -> None:
        """Open the file anew after it could not be written; queries that run are stopped.

        Raises:
            StoreUnavailableError: it cannot be opened now.
        """
        with self._write_lock:
            deadline = time.monotonic() + REOPEN_SECONDS
            self._close_by(deadline)
            while self._reading and time.monotonic() < deadline:
                # The failed instance lives until the last cursor on it is closed.
                self.interrupt_readers()
                time.sleep(WATCH_SECONDS / 10)
            self._open()

    def _close_by(self, deadline: float) -> None:
        """Close the connection, which refuses while a reader takes its cursor from it.

        Raises:
            StoreUnavailableError: it refused until the deadline.
        """
        while True:
            try:
                self._connection.close()
            except duckdb.Error as error:
                if time.monotonic() >= deadline:
                    raise StoreUnavailableError(opening_message(self.path, error)) from error
                time.sleep(WATCH_SECONDS / 10)
            else:
                return

    def close(self) -> None:
        """Checkpoint what is in the write-ahead log and close the file.

        Raises:
            StoreUnavailableError: readers keep it busy.
        """
        with self._write_lock:
            self._close_by(time.monotonic() + REOPEN_SECONDS)

    def _prepare(self, *, read_only: bool) -> None:
        known = statements.migrations()
        newest = known[-1][0]
        at = schema_version(self._connection, self.path)
        if at > newest:
            raise StoreError(
                f"{self.path} was written by a newer spanverdict (schema {at}; this one knows {newest}):"
                " update spanverdict."
            )
        if not read_only:
            kept = self._keep_before(newest) if 0 < at < newest else None
            try:
                migrate(self._connection, self.path, [(version, text) for version, text in known if version > at])
            except duckdb.Error as error:
                if kept is None:
                    raise
                raise StoreUnavailableError(
                    f"{self.path} could not be brought from schema {at} to {newest}: {first_line(error).rstrip('.')}."
                    f" It is as it was, and a copy from before is {kept}."
                ) from error
            if at < newest or follow_name(self._connection, self.path):
                self._checkpoint()
        elif at < newest:
            raise StoreError(
                f"{self.path} has the older schema {at}: start `spanverdict serve` once to bring it to {newest}."
            )
        with self._cursor() as cursor:
            self._refuse_unfinished(cursor)
        # The store's times are UTC without an offset: now()::TIMESTAMP and current_date are, too, wherever it runs.
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def _keep_before(self, newest: int) -> Path:
        """Keep the store as it is before it is brought to the newest schema.

        Raises:
            StoreUnavailableError: it cannot be copied; it stays as it is.
        """
        # What its log holds is then in the file, and the copy is one file.
        self._connection.execute("CHECKPOINT")
        kept = keep_before(self.path, newest)
        # The copying let go of the lock (sql/store_copy.py).
        self._connection.close()
        self._connection = self._connected()
        return kept

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """As :meth:`OpenedStore.write`; the rows are in the file, or in its log."""
        stored = dict.fromkeys(tables, 0)
        with self._write_lock, as_store_errors(self.path):
            with contextlib.closing(self._connection.cursor()) as cursor:
                try:
                    cursor.begin()
                    for name, rows in tables.items():
                        stored[name] = write_rows(cursor, name, rows, self.path)
                    cursor.commit()
                except (duckdb.Error, RowsRefusedError):
                    with contextlib.suppress(duckdb.Error):
                        cursor.rollback()
                    raise
            if archive_writes.WRITES & tables.keys():
                self._checkpoint()
        return stored

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody write meanwhile, so that the files can be copied; what the log holds is in the file first.

        The files are copied by another process, or the store is closed afterwards (sql/store_copy.py says why).

        Raises:
            StoreError: it could not be held for so long.
        """
        self._write_lock.acquire()
        self._hold = hold = Hold(self._write_lock)
        try:
            cursor = self._connection.cursor()
            # Where it does not succeed, the log is copied beside the file.
            with contextlib.suppress(duckdb.Error):
                cursor.execute("CHECKPOINT")
            cursor.close()
            yield
            hold.check()
        finally:
            hold.end()

    def _checkpoint(self) -> None:
        """Leave no DDL in the write-ahead log (duckdb#22124); where a query is in the way, the next checkpoint does."""
        with contextlib.suppress(duckdb.TransactionException):
            self._connection.execute("CHECKPOINT")

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        return self._connection.cursor()

    def interrupt_readers(self) -> None:
        """Stop every query that runs, and hold still for nobody."""
        if self._hold:
            self._hold.end("the server stops")
        super().interrupt_readers()
