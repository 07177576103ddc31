"""The store that another one is copied into: empty before, not to be used until it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb

from sql.access import connect
from sql.address import StoreAddress
from sql.errors import StoreFailedError, StoreUnavailableError
from sql.journal import pending
from sql.lake_files import NewFiles
from sql.lake_store import LakeStore
from sql.lake_turn import Leadership
from sql.opened_store import OpenedStore
from sql.store import Store

MEMORY_LIMIT = "1GB"
"""DuckDB's own memory limit on each side of a copy."""

QUERY_SECONDS = 7 * 86_400
"""How long a question may take: nobody else waits for it."""


class FileTarget(Store):
    """A file that is being filled."""

    def _refuse_unfinished(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """It is here to be finished."""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor in a transaction, which is committed at the end."""
        with self._write_lock, contextlib.closing(self._cursor()) as cursor:
            cursor.begin()
            with _rolled_back(cursor):
                yield cursor
                cursor.commit()

    def follow(self, moment: datetime) -> None:
        """What arrives later is stamped later than a moment: a file's server sees to that when it starts."""


class LakeTarget(LakeStore):
    """A lake that is being filled."""

    def _refuse_unfinished(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """It is here to be finished."""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor in a transaction, which is committed at the end, in turn with others; its files are on disk then."""
        files = NewFiles(self._lake.folder)
        with self._write_lock, contextlib.closing(self._cursor()) as cursor:
            cursor.begin()
            with _rolled_back(cursor):
                yield cursor
                with self._turns.taken() as turn:
                    try:
                        files.sync()
                    except OSError as error:
                        raise StoreFailedError(
                            f"{self._lake.folder} can no longer be written: {error.strerror}."
                        ) from error
                    turn.check()
                    cursor.commit()

    def follow(self, moment: datetime) -> None:
        """Let what arrives later be stamped later than a moment (UTC, naive), whatever the catalog's clock says."""
        with self._turns.taken() as turn:
            turn.advance(moment)


Target = FileTarget | LakeTarget


@contextlib.contextmanager
def _rolled_back(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(duckdb.Error):
            cursor.rollback()
        raise


@contextlib.contextmanager
def target_to_fill(address: StoreAddress) -> Iterator[Target]:
    """Open the store to copy into, made if absent.

    Raises:
        StoreUnavailableError: it cannot be opened, or a server or scheduler runs on it.
        StoreError: it is of a newer version of spanverdict.
    """
    if isinstance(address, Path):
        refuse_server(address)
        if pending(address):
            raise StoreUnavailableError(
                f"Beside {address} lies the journal of a store that was there before: name another file."
            )
        with FileTarget(address, memory_limit=MEMORY_LIMIT, query_seconds=QUERY_SECONDS) as file:
            yield file
        return
    with LakeTarget(address, memory_limit=MEMORY_LIMIT, query_seconds=QUERY_SECONDS) as lake:
        leadership = Leadership(address)
        try:
            if not leadership.held():
                raise StoreUnavailableError(f"A server or scheduler runs on {address}: stop all of them first.")
            yield lake
        finally:
            leadership.release()


@contextlib.contextmanager
def target_to_read(address: StoreAddress) -> Iterator[OpenedStore]:
    """Open a store that was copied into, whole or not.

    Raises:
        StoreUnavailableError: it cannot be opened, or is not there.
    """
    kind = FileTarget if isinstance(address, Path) else LakeTarget
    if isinstance(address, Path):
        refuse_server(address)
    with kind(address, read_only=True, memory_limit=MEMORY_LIMIT, query_seconds=QUERY_SECONDS) as store:  # type: ignore[arg-type]
        yield store


def refuse_server(path: Path) -> None:
    """Make sure that no server runs on a file.

    Raises:
        StoreUnavailableError: one does.
    """
    if remote := connect(path, flush=False):
        remote.close()
        raise StoreUnavailableError(f"A server runs on {path}: stop it first.")
