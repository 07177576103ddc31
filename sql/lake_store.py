"""The store as a lake: many processes write it and read it at once, on one machine or many.

Every process attaches the lake by itself; there is no server that owns it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from sql import archive_writes
from sql.errors import RowsRefusedError, StoreError, StoreFailedError, StoreUnavailableError
from sql.lake_address import LakeAddress
from sql.lake_connection import CATALOG, connect, cursor_on, lock
from sql.lake_files import NewFiles
from sql.lake_schema import NEWEST, bring_up_to_date, check_version, lake_version, unset_options
from sql.lake_turn import Turn, Turns
from sql.lake_writes import take_back_doubles, write_tables
from sql.opened_store import OpenedStore
from sql.read_only import first_line
from sql.write_failures import as_store_errors

_LOG = logging.getLogger("spanverdict.store")

_Done = TypeVar("_Done")

_STAMPED = frozenset({"spans", "log_records", "evaluations", "resources", "feedback", "ingest_loads"})
"""Writes of telemetry: their `received_at` is the moment of the turn, so that what a job has read up to a moment is
whole, whichever collector's clock is behind."""

_COMMIT_ATTEMPTS = 5
"""How often a write is done anew that upkeep came in the way of, by replacing the files it changed."""

_CONFLICT = re.compile(r"conflict|compacted|snapshot", re.IGNORECASE)

_ROW_TO_TAKE_BACK = "INSERT INTO trace_keys VALUES ('', '', '1970-01-01')"
"""Of a table whose rows are in files, however few are written."""

_CLOSE_SECONDS = 5.0
"""How long queries may take to let go."""

_WATCH_SECONDS = 0.02


class LakeStore(OpenedStore):
    """An attached lake.

    Args:
        address: the lake.
        read_only: attach without the right to write.
        make: make the lake where there is none, unless ``read_only``.
        memory_limit: DuckDB's own memory limit, such as ``1GB``.
        query_seconds: how long one query may take.
        snapshot: read the lake as it was at this snapshot, ``read_only``; None for as it is.

    Raises:
        StoreUnavailableError: the catalog or the data cannot be reached, or an extension is missing.
        StoreError: the lake is of a newer version of spanverdict.
    """

    def __init__(
        self,
        address: LakeAddress,
        *,
        read_only: bool = False,
        make: bool = True,
        memory_limit: str = "1GB",
        query_seconds: float = 600,
        snapshot: int | None = None,
    ) -> None:
        super().__init__(address, query_seconds)
        self._snapshot = snapshot
        self._lake = address
        self._config: dict[str, Any] = {"memory_limit": memory_limit}
        self._read_only = read_only
        self._make = make and not read_only
        self._write_lock = threading.Lock()
        self._turns = Turns(address)
        self._in_doubt: list[datetime] = []
        try:
            self._open()
        except BaseException:
            self._turns.close()
            raise

    def _open(self) -> None:
        # Of collectors that start together one makes the lake or brings it forward, and the others find it done.
        first = self._make and not self._turns.is_made()
        with self._turns.taken() if first else contextlib.nullcontext():
            self._attach(in_turn=first)

    def _attach(self, *, in_turn: bool) -> None:
        self._connection = connect(
            self._lake, self._config, read_only=self._read_only, make=self._make, snapshot=self._snapshot
        )
        try:
            with self._cursor() as cursor:
                at = lake_version(cursor)
                check_version(at, self._lake, read_only=self._read_only, make=self._make)
                if not self._read_only and (at < NEWEST or unset_options(cursor)):
                    with contextlib.nullcontext() if in_turn else self._turns.taken():
                        files = NewFiles(self._lake.folder)
                        bring_up_to_date(cursor)
                        for statement in unset_options(cursor):
                            cursor.execute(statement)
                        files.sync()
                self._refuse_unfinished(cursor)
            lock(self._connection, self._lake)
        except duckdb.Error as error:
            self._connection.close()
            raise StoreUnavailableError(f"{self._lake} cannot be opened: {first_line(error).rstrip('.')}.") from error
        except BaseException:
            self._connection.close()
            raise

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        return cursor_on(self._connection)

    def snapshot(self) -> int:
        """The number of the newest commit that is seen now."""
        with self._cursor() as cursor:
            (number,) = cursor.execute(f"SELECT id FROM {CATALOG}.current_snapshot()").fetchall()[0]
        return int(number)

    def reopen(self) -> None:
        """Attach the lake anew after it could not be written; queries that run are stopped.

        Raises:
            StoreUnavailableError: it cannot be attached now.
        """
        with self._write_lock:
            self._let_go()
            self._open()

    def close(self) -> None:
        """Detach the lake."""
        with self._write_lock:
            self._let_go()
            self._turns.close()

    def _let_go(self) -> None:
        deadline = time.monotonic() + _CLOSE_SECONDS
        self._connection.close()
        while self._reading and time.monotonic() < deadline:
            self.interrupt_readers()
            time.sleep(_WATCH_SECONDS)

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """As :meth:`OpenedStore.write`, in turn with other processes, which all see the rows when this returns.

        Where the catalog goes away at the commit nobody can tell whether the rows are stored: sent again they are not
        doubled.
        """
        if refused := archive_writes.WRITES & tables.keys():
            raise RowsRefusedError(f"A shared store has no archive, so {', '.join(sorted(refused))} is not written.")
        with self._write_lock:
            committed: datetime | None = None
            try:
                with self._turns.taken() as turn, as_store_errors(self.address):
                    if self._in_doubt:
                        self._committed(self._take_back, turn)
                        self._in_doubt.clear()
                    stamped = {name: _stamped(name, rows, turn.stamp) for name, rows in tables.items()}
                    stored = self._committed(lambda cursor: write_tables(cursor, stamped), turn)
                    committed = turn.stamp
            except StoreUnavailableError:
                if committed:
                    # The turn was over before the commit was: another writer may have stored the same meanwhile.
                    self._in_doubt.append(committed)
                raise
        return stored

    def check_writable(self) -> None:
        """Write a row, and take it back.

        Raises:
            StoreFailedError: it cannot be written where the lake's files are.
            StoreError: it cannot be written now.
        """
        files = NewFiles(self._lake.folder)
        with self._write_lock, as_store_errors(self.address), contextlib.closing(self._cursor()) as cursor:
            cursor.begin()
            try:
                cursor.execute(_ROW_TO_TAKE_BACK)
                files.sync()
            except OSError as error:
                raise StoreFailedError(f"{self._lake.folder} can no longer be written: {error.strerror}.") from error
            finally:
                with contextlib.suppress(duckdb.Error):
                    cursor.rollback()

    def _take_back(self, cursor: duckdb.DuckDBPyConnection) -> None:
        for stamp in self._in_doubt:
            if deleted := take_back_doubles(cursor, stamp):
                _LOG.warning("%d rows that two collectors had stored at the same moment are there once.", deleted)

    def _committed(self, work: Callable[[duckdb.DuckDBPyConnection], _Done], turn: Turn) -> _Done:
        """Do something in a transaction, anew where upkeep came in its way."""
        for attempt in itertools.count(1):
            try:
                return self._commit(work, turn)
            except duckdb.TransactionException as error:
                if attempt == _COMMIT_ATTEMPTS or not _CONFLICT.search(str(error)):
                    raise
        raise AssertionError

    def _commit(self, work: Callable[[duckdb.DuckDBPyConnection], _Done], turn: Turn) -> _Done:
        files = NewFiles(self._lake.folder)
        with contextlib.closing(self._cursor()) as cursor:
            cursor.begin()
            try:
                done = work(cursor)
                files.sync()
                turn.check()
                cursor.commit()
            except OSError as error:
                with contextlib.suppress(duckdb.Error):
                    cursor.rollback()
                raise StoreFailedError(f"{self._lake.folder} can no longer be written: {error.strerror}.") from error
            except BaseException:
                with contextlib.suppress(duckdb.Error):
                    cursor.rollback()
                raise
        return done

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A lake is not held still.

        Raises:
            StoreError: always; what to do instead.
        """
        raise StoreError(
            f"{self.address} is not copied by its files: `spanverdict migrate --to FILE` makes a copy, and the catalog"
            " and the object store have backups of their own."
        )
        yield


def _stamped(name: str, rows: pa.Table, stamp: datetime) -> pa.Table:
    if name not in _STAMPED or "received_at" not in rows.column_names:
        return rows
    at = rows.schema.get_field_index("received_at")
    column = pa.repeat(pa.scalar(stamp, rows.schema.field(at).type), rows.num_rows)
    return rows.set_column(at, rows.schema.field(at), column)
