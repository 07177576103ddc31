"""A store's rows in a new file, without free blocks and without what deleted rows left in them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from sql.archive_views import literal
from sql.errors import StoreError, StoreUnavailableError
from sql.journal import pending
from sql.journaled_writer import JournaledWriter
from sql.read_only import first_line
from sql.store import STORAGE_VERSION, Store
from sql.store_copy import check_room, sync_folder


@dataclass(frozen=True)
class Compaction:
    """What it came to, in bytes of the file.

    Attributes:
        before: its size before.
        after: its size now.
    """

    before: int
    after: int


def compact(path: Path, *, memory_limit: str = "1GB") -> Compaction:
    """Write a store anew and put it in its place; no server runs on it meanwhile.

    Args:
        path: the store.
        memory_limit: DuckDB's own memory limit.

    Raises:
        StoreUnavailableError: another process holds the store, or there is no room; it is as it was.
        StoreError: it cannot be copied; it is as it was.
    """
    with Store(path) as store:
        if pending(path):
            JournaledWriter(store).close()
        (row,) = store.read("SELECT used_blocks * block_size AS used FROM pragma_database_size()").to_pylist()
    check_room(path.parent, int(row["used"]), f"{path} without its free blocks")
    state = _state(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _copy(path, draft, memory_limit)
        with _locked(path):
            if _state(path) != state:
                raise StoreUnavailableError(f"{path} was written meanwhile; compact it again.")
            draft.replace(path)
            sync_folder(path.parent)
    except duckdb.Error as error:
        raise StoreError(f"{path} could not be written anew, and is as it was: {first_line(error)}") from error
    finally:
        for left in (draft, draft.with_name(draft.name + ".wal")):
            left.unlink(missing_ok=True)
    return Compaction(state[0], path.stat().st_size)


def _copy(path: Path, draft: Path, memory_limit: str) -> None:
    """Copy all rows into a new file, and make sure of it."""
    before = os.umask(0o077)
    try:
        connection = duckdb.connect(
            str(draft), config={"storage_compatibility_version": STORAGE_VERSION, "memory_limit": memory_limit}
        )
    finally:
        os.umask(before)
    with connection:
        # The views name the files of the archive relative to the store's folder.
        connection.execute(f"SET GLOBAL file_search_path = {literal(str(path.absolute().parent))}")
        name = connection.execute("SELECT current_database()").fetchone()
        connection.execute(f"ATTACH {literal(str(path))} AS stored (READ_ONLY)")
        connection.execute(f'COPY FROM DATABASE stored TO "{name[0] if name else ""}"')
        if _rows(connection, "stored") != _rows(connection, name[0] if name else ""):
            raise StoreError(f"{path} could not be written anew, and is as it was: the copy has other rows.")
        connection.execute("DETACH stored")
        connection.execute("CHECKPOINT")
    with draft.open("rb") as file:
        os.fsync(file.fileno())


def _rows(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, int]:
    tables = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? ORDER BY table_name", [database]
    ).fetchall()
    counts = {}
    for (table,) in tables:
        found = connection.execute(f'SELECT count(*) FROM "{database}"."{table}"').fetchone()
        counts[table] = found[0] if found else 0
    return counts


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep DuckDB, which locks its file in the same way, from opening a file.

    Raises:
        StoreUnavailableError: another process has opened it.
    """
    with path.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreUnavailableError(f"{path} was opened by another process meanwhile; compact it again.") from error
        yield
