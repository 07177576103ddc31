"""The upkeep of a lake beside its writers: small files become large ones, and what nobody needs any more goes.

The work is done without the turn to write, and only its commit waits for it. A writer, whose transaction begins and
ends within its turn, therefore never finds its files replaced underneath it; it is the upkeep that gives way where rows
of a file that it merged were deleted meanwhile, and does it anew.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

import duckdb

from sql.archive_views import literal
from sql.errors import StoreFailedError, StoreUnavailableError
from sql.lake_address import LakeAddress
from sql.lake_catalog import DataFile, InlinedRows, LakeCatalog
from sql.lake_connection import CATALOG, connect, cursor_on, lock
from sql.lake_files import NewFiles
from sql.lake_schema import check_version, lake_version
from sql.lake_turn import UPKEEP, Leadership, Turns
from sql.write_failures import as_store_errors

SMALL_BYTES = 8 * 2**20
"""What is smaller is merged soon."""

SIZES = ((0, SMALL_BYTES), (SMALL_BYTES, 8 * SMALL_BYTES))
"""Files of like size are merged with one another, so that a row is written three times at most: as it comes, in a file
of the middle size, in a large one."""

SOON = 16
"""How many files of a size make it worth merging them at once, and files with deleted rows to write them anew."""

AT_ALL = 2
"""How many files can be merged."""

REWRITTEN_BYTES = 256 * 2**20
"""How much of a table's files is written anew in one step, those first of which most is deleted."""

FLUSHED_ROWS = 10_000
"""Rows of a table in the catalog from which on they are moved into a file."""

ORPHAN_AGE = timedelta(days=1)
"""How old a file is that the catalog does not know before it is removed: a younger one may be about to be committed."""

EXPIRED_AT_ONCE = 500
"""Snapshots that are given up within one turn."""

_ATTEMPTS = 3
"""How often a step is done that a writer came in the way of; then the next run does it."""

_CONFLICT = re.compile(r"conflict", re.IGNORECASE)


@dataclass
class Merged:
    """What became of small files and of files with deleted rows.

    Attributes:
        files: how many went.
        into: how many came in their place.
        gave_way: tables in which a writer came before; the next run does them.
    """

    files: int = 0
    into: int = 0
    gave_way: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Tidied:
    """What nobody needs any more and has gone.

    Attributes:
        flushed: rows that moved from the catalog into files.
        snapshots: states of the lake that can be read no longer.
        files: files that no state needs.
        orphans: files that no state ever had.
        rows: rows of the catalog that no state sees.
    """

    flushed: int
    snapshots: int
    files: int
    orphans: int
    rows: int


def merge_waits(files: Mapping[str, Sequence[DataFile]]) -> bool:
    """Whether enough files have come together for a merge.

    Args:
        files: table → its files.
    """
    return any(
        _threshold(held, SOON) is not None or any(_of_size(held, *size) >= SOON for size in SIZES)
        for held in files.values()
    )


class LakeUpkeep:
    """A connection for the upkeep of one lake, and the right to do it.

    Args:
        address: the lake.
        memory_limit: DuckDB's own memory limit.

    Raises:
        StoreUnavailableError: the lake cannot be reached, or another process is at it.
        StoreError: there is no lake, or it is of another version of spanverdict.
    """

    def __init__(self, address: LakeAddress, *, memory_limit: str = "512MB") -> None:
        self._address = address
        self._right = Leadership(address, UPKEEP)
        if not self._right.held():
            raise StoreUnavailableError(f"Another process is at the upkeep of {address}: let it finish.")
        with contextlib.ExitStack() as opened:
            opened.callback(self._right.release)
            self._catalog = opened.enter_context(LakeCatalog(address))
            self._catalog.files()
            self._connection = opened.enter_context(
                connect(address, {"memory_limit": memory_limit, "threads": 1}, read_only=False, make=False)
            )
            with self._failing(), cursor_on(self._connection) as cursor:
                check_version(lake_version(cursor), address, read_only=True, make=False)
            lock(self._connection, address)
            self._turns = Turns(address)
            opened.callback(self._turns.close)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def merge(self, least: int = AT_ALL) -> Merged:
        """Write files anew of which rows were deleted, then merge small files.

        Args:
            least: in how many files of a table and a size it has to be worth it.

        Raises:
            StoreError: the lake cannot be read or written; what was merged before is merged.
        """
        done = Merged()
        for table in sorted(self._catalog.files()):
            while self._rewrite(done, table, least):
                pass
        for table, files in sorted(self._catalog.files().items()):
            for at_least, below in SIZES:
                if _of_size(files, at_least, below) < least:
                    continue
                call = (
                    f"ducklake_merge_adjacent_files('{CATALOG}', {literal(table)}, min_file_size => {at_least},"
                    f" max_file_size => {below}, max_compacted_files => 1)"
                )
                while self._step(done, table, call) >= least:
                    pass
        return done

    def tidy(self, keep: timedelta) -> Tidied:
        """Move rows out of the catalog where they are many, and remove what nobody needs.

        Args:
            keep: for how long readers may go on reading what they began to read: states of the lake, and files that
                were replaced.

        Raises:
            StoreError: the lake cannot be read or written.
        """
        flushed = self._flush()
        before = self._catalog.history().now - keep
        snapshots = self._expire(before)
        at = f"older_than => {_moment(before)}"
        rows = self._catalog.forget_dead_rows()
        files = len(self._call(f"ducklake_cleanup_old_files('{CATALOG}', {at})"))
        at = f"older_than => {_moment(min(before, self._catalog.history().now - ORPHAN_AGE))}"
        orphans = len(self._call(f"ducklake_delete_orphaned_files('{CATALOG}', {at})"))
        return Tidied(flushed, snapshots, files, orphans, rows)

    def _expire(self, before: datetime) -> int:
        """Give snapshots up that are older, but for the newest, some at a time, as writers wait meanwhile."""
        numbers = self._catalog.snapshots_before(before)
        for begin in range(0, len(numbers), EXPIRED_AT_ONCE):
            some = numbers[begin : begin + EXPIRED_AT_ONCE]
            with self._turns.taken():
                self._call(f"ducklake_expire_snapshots('{CATALOG}', versions => {some})")
        return len(numbers)

    def _flush(self) -> int:
        """Move rows of tables to which rows are only added, which DuckLake does without harm to them.

        Where rows were deleted it has told them twice and applied deletions twice (duckdb/ducklake#1364): such a table
        waits until its dead rows are forgotten, or stays in the catalog.
        """
        moved = 0
        for table, rows in sorted(self._catalog.inlined().items()):
            if _movable(rows):
                moved += self._flush_table(table)
        return moved

    def _flush_table(self, table: str) -> int:
        files = NewFiles(self._address.folder)
        with self._turns.taken() as turn:
            rows = self._catalog.inlined().get(table, [])
            if not _movable(rows) or self._catalog.has_inlined_deletes(table):
                return 0
            with self._changing() as cursor:
                call = f"ducklake_flush_inlined_data('{CATALOG}', table_name => {literal(table)})"
                cursor.execute(f"CALL {call}").fetchall()
                self._sync(files)
                turn.check()
                cursor.commit()
        return sum(each.live for each in rows)

    def _rewrite(self, done: Merged, table: str, least: int) -> int:
        """Write files of a table anew of which rows were deleted, as many as are worth it at once."""
        threshold = _threshold(self._catalog.files().get(table, []), least)
        if threshold is None:
            return 0
        call = f"ducklake_rewrite_data_files('{CATALOG}', {literal(table)}, delete_threshold => {threshold})"
        return self._step(done, table, call)

    def _step(self, done: Merged, table: str, call: str) -> int:
        """One piece of work and its commit; returns how many files it took."""
        for _ in range(_ATTEMPTS):
            files = NewFiles(self._address.folder)
            with self._changing() as cursor:
                told = cursor.execute(f"CALL {call}").fetchall()
                taken, made = _counted(told)
                if not taken:
                    return 0
                self._sync(files)
                try:
                    with self._turns.taken() as turn:
                        turn.check()
                        cursor.commit()
                except duckdb.TransactionException as error:
                    if not _CONFLICT.search(str(error)):
                        raise
                    continue
            done.files += taken
            done.into += made
            return taken
        done.gave_way.append(table)
        return 0

    def _call(self, call: str) -> Sequence[Any]:
        with self._failing(), cursor_on(self._connection) as cursor:
            return cursor.execute(f"CALL {call}").fetchall()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor in a transaction, which is undone unless it is committed."""
        with self._failing(), cursor_on(self._connection) as cursor:
            cursor.begin()
            try:
                yield cursor
            finally:
                # One that was committed, or could not be, has ended.
                with contextlib.suppress(duckdb.Error):
                    cursor.rollback()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        with as_store_errors(self._address):
            yield

    def _sync(self, files: NewFiles) -> None:
        try:
            files.sync()
        except OSError as error:
            raise StoreFailedError(f"{self._address.folder} can no longer be written: {error.strerror}.") from error


def _threshold(files: Sequence[DataFile], least: int) -> float | None:
    """The share of a file's rows from which on it is written anew; None if that is not worth it for any.

    The files of which most is deleted come first, as many as one step may write.
    """
    touched = sorted((file for file in files if file.deleted), key=lambda file: file.deleted / file.rows, reverse=True)
    # One alone is worth it, too, where files are merged at all: it cannot be merged before.
    if not touched or (least > AT_ALL and len(touched) < least):
        return None
    written = list(itertools.accumulate(file.size_bytes for file in touched))
    last = max(sum(size <= REWRITTEN_BYTES for size in written), 1) - 1
    return touched[last].deleted / touched[last].rows


def _movable(rows: Sequence[InlinedRows]) -> bool:
    """Whether a table has many rows in the catalog, and no dead ones."""
    return sum(each.live for each in rows) >= FLUSHED_ROWS and not any(each.dead for each in rows)


def _of_size(files: Sequence[DataFile], at_least: int, below: int) -> int:
    """How many files there are of a size that can be merged: of those with deleted rows DuckLake merges none."""
    return sum(at_least <= file.size_bytes < below and not file.deleted for file in files)


def _counted(told: Sequence[Sequence[Any]]) -> tuple[int, int]:
    """Files that a step took, and files that it made, as DuckLake tells by table."""
    return sum(row[2] for row in told), sum(row[3] for row in told)


def _moment(at: datetime) -> str:
    return f"TIMESTAMPTZ '{at.isoformat(sep=' ')}+00'"
