"""What retention deletes of the archive: whole files, or files that are written anew without content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from collector.stored_content import without_content
from spanverdict.archiving import LISTED, archive_lock, remove_leftovers
from sql import statements
from sql.access import Access
from sql.archive_file import ArchiveFiles
from sql.archived_tables import TABLES, archive_directory, new_file
from sql.clock import utc_now


@dataclass(frozen=True)
class ListedFile:
    """A file of the archive.

    Attributes:
        table: whose rows it holds.
        day: their UTC day.
        file: its name, relative to the archive's folder.
        rows: how many.
        size_bytes: its size.
        received_through: the latest arrival of its rows (UTC, naive).
        has_content: whether content may be in it.
    """

    table: str
    day: date
    file: str
    rows: int
    size_bytes: int
    received_through: datetime
    has_content: bool


def listed_files(store: Access) -> list[ListedFile]:
    """The files of the archive, the oldest day first."""
    rows = store.read(
        "SELECT table_name AS table, day, file, rows, bytes AS size_bytes, received_through, has_content"
        " FROM archived_files ORDER BY day, table_name"
    ).to_pylist()
    return [ListedFile(**row) for row in rows]


def remove_replaced(store: Access, path: Path) -> None:
    """Remove files that were given up or written anew, once no query of before can be reading them.

    Raises:
        StoreUnavailableError: another process changes the archive.
        StoreError: the store cannot be read or written.
    """
    if archive_directory(path).exists():
        with archive_lock(path):
            remove_leftovers(store, archive_directory(path))


def give_up(store: Access, path: Path, file: ListedFile) -> None:
    """Take a file off the list; it is removed when no query of before can be reading it.

    Raises:
        StoreUnavailableError: another process changes the archive.
        StoreError: the store cannot be written.
    """
    row = {"table_name": file.table, "day": file.day, "file": None, "replaces": file.file}
    with archive_lock(path):
        _list(store, row)


def rewrite_without_content(store: Access, path: Path, file: ListedFile, extra: tuple[str, ...]) -> None:
    """Write a file anew without content, and list it in place of the old one.

    Args:
        store: the store.
        path: its file.
        file: one whose rows may hold content.
        extra: attributes that hold content, as the configuration names them.

    Raises:
        StoreUnavailableError: another process changes the archive.
        StoreError: the file cannot be read or written; it stays as it was.
    """
    with archive_lock(path):
        _rewrite(store, path, file, extra)


def _rewrite(store: Access, path: Path, file: ListedFile, extra: tuple[str, ...]) -> None:
    table = TABLES[file.table]
    columns = [
        (row["name"], row["type"])
        for row in store.read(statements.read("relation_columns"), {"relation": table.live}).to_pylist()
    ]
    (version,) = store.read("SELECT max(version) AS version FROM schema_migrations")["version"].to_pylist()
    name = new_file(table.name, file.day)
    with store.reader(statements.read(f"archived_{table.name}_of_day"), {"day": file.day.isoformat()}) as rows:
        stripped = pa.RecordBatchReader.from_batches(rows.schema, _stripped(table.name, rows, extra))
        written = ArchiveFiles(archive_directory(path)).write(name, table, columns, stripped)
    row = {
        "table_name": table.name, "day": file.day, "file": name, "replaces": file.file, "rows": written.rows,
        "live_rows": 0, "bytes": written.size, "first_time": written.first_time, "last_time": written.last_time,
        "received_through": written.received_through, "oldest_normalizer": written.oldest_normalizer,
        "schema_version": version, "has_content": False, "archived_at": utc_now(),
    }  # fmt: skip
    _list(store, row)


def _stripped(table: str, rows: pa.RecordBatchReader, extra: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    for batch in rows:
        yield from without_content(table, pa.Table.from_batches([batch]), extra).to_batches()


def _list(store: Access, row: dict[str, Any]) -> None:
    store.write({"archived_files": pa.Table.from_pylist([row], LISTED)})
