"""One file of the archive: the rows of a day, sorted so that a trace is found by reading little.

It is written by whoever archives, in a database of its own in memory, so that neither the sort nor the compression take
anything from the process that receives.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from sql.archive_views import literal
from sql.archived_tables import ArchivedTable
from sql.errors import StoreError
from sql.read_only import first_line

ROW_GROUP_BYTES = 32 * 2**20
"""About what a row group holds, uncompressed: one trace is in one of them, and much of that is read to find it."""

ROW_GROUP_ROWS = (4_096, 122_880)
"""The fewest and the most rows of a row group."""

MEMORY_LIMIT = "512MB"
"""What sorting may hold; past that it goes through files in the archive's folder."""

IS_LIVE = "is_live"
"""The column of the rows to be written that says which of them the live table holds."""


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written and is not listed yet.

    Attributes:
        rows: how many it holds.
        live_rows: how many of them came from the live table.
        size: its bytes.
        first_time: the earliest time of its rows, in nanoseconds since 1970.
        last_time: the latest.
        received_through: the latest arrival.
        oldest_normalizer: the least version of the normaliser; None for rows without one.
    """

    rows: int
    live_rows: int
    size: int
    first_time: int
    last_time: int
    received_through: datetime
    oldest_normalizer: int | None


class ArchiveFiles:
    """Writes files into the folder of an archive; made, for its owner alone, if it is not there.

    Args:
        folder: the archive's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._drafts = folder / ".drafts"

    def clear_drafts(self) -> None:
        """Remove what an interrupted run has left."""
        shutil.rmtree(self._drafts, ignore_errors=True)

    def write(
        self, name: str, table: ArchivedTable, columns: Sequence[tuple[str, str]], rows: pa.RecordBatchReader
    ) -> WrittenFile:
        """Write a file whole: as a draft, synced to disk, then moved to its name.

        Args:
            name: its name, relative to the folder.
            table: the table whose rows they are.
            columns: the name and the database's type of each column.
            rows: the rows of the day, in any order, with the column ``is_live``.

        Raises:
            StoreError: it cannot be written, such as for a full disk; nothing is left of it.
            QueryError: the rows cannot be read.
        """
        path = self.folder / name
        draft = self._drafts / path.name
        counted = _Counted(rows)
        before = os.umask(0o077)
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            told = self._sort_into(draft, table, columns, counted)
            _sync(draft)
            draft.replace(path)
            for folder in (path.parent, path.parent.parent, self.folder, self.folder.parent):
                _sync(folder)
        except (OSError, duckdb.Error) as error:
            draft.unlink(missing_ok=True)
            if counted.failure:
                raise counted.failure from error
            said = first_line(error) if isinstance(error, duckdb.Error) else error.strerror
            raise StoreError(
                f"{path} cannot be written: {str(said).rstrip('.')}. The day stays in the store."
            ) from error
        finally:
            os.umask(before)
        return WrittenFile(told[0], counted.live_rows, path.stat().st_size, *told[1:])

    def _sort_into(
        self, draft: Path, table: ArchivedTable, columns: Sequence[tuple[str, str]], rows: _Counted
    ) -> tuple[Any, ...]:
        spill = self._drafts / "sort"
        config: dict[str, Any] = {"memory_limit": MEMORY_LIMIT, "threads": 1, "temp_directory": str(spill)}
        typed = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in columns)
        normalizer = f"min(coalesce({table.unchanged}, 0))::USMALLINT" if table.unchanged else "NULL"
        with duckdb.connect(config=config) as connection:
            connection.register("incoming", rows.reader())
            # Ids repeat too little for a dictionary as a rule, and without one there is no bloom filter.
            options = f"COMPRESSION zstd, ROW_GROUP_SIZE {rows.group}, DICTIONARY_SIZE_LIMIT {rows.group // 2}"
            connection.execute(
                f"COPY (SELECT {typed} FROM incoming ORDER BY {', '.join(table.order)})"
                f" TO {literal(str(draft))} (FORMAT parquet, {options})"
            )
            return connection.execute(
                f"SELECT count(*), epoch_ns(min({table.time})), epoch_ns(max({table.time})), max(received_at),"
                f" {normalizer} FROM read_parquet([{literal(str(draft))}], hive_partitioning = false)"
            ).fetchall()[0]


class _Counted:
    """Rows on their way into a file; counts those of the live table, and tells how many make a row group."""

    def __init__(self, rows: pa.RecordBatchReader) -> None:
        self._rows = rows
        self.live_rows = 0
        self.failure: StoreError | None = None
        self._first = next(self._counted(), None)
        least, most = ROW_GROUP_ROWS
        size = self._first.nbytes / self._first.num_rows if self._first and self._first.num_rows else 1
        self.group = int(min(max(ROW_GROUP_BYTES / size, least), most))

    def reader(self) -> pa.RecordBatchReader:
        """The rows, once."""
        first = [] if self._first is None else [self._first]
        return pa.RecordBatchReader.from_batches(self._rows.schema, chain(first, self._counted()))

    def _counted(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._rows:
                self.live_rows += pc.sum(batch[IS_LIVE]).as_py() or 0
                yield batch
        except StoreError as error:
            self.failure = error
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
