"""Closed days moved into the archive, one after another; each is whole in one place at any moment.

The rows are read through whoever owns the store, and sorted, compressed and written here, in a process of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from collector.normalize import NORMALIZER_VERSION
from sql import statements
from sql.access import Access
from sql.archive_file import ArchiveFiles, WrittenFile
from sql.archived_tables import TABLES, ArchivedTable, archive_directory, new_file, unusable_name
from sql.clock import utc_now
from sql.errors import StoreError, StoreUnavailableError

KEPT = timedelta(hours=1)
"""How long a file that is listed no more is kept: no query that began before runs longer by far."""

MERGE_AFTER = timedelta(days=1)
"""How old the file of a day is before a few late rows have it written anew."""

LISTED = pa.schema(
    [
        ("table_name", pa.string()),
        ("day", pa.date32()),
        ("file", pa.string()),
        ("replaces", pa.string()),
        ("rows", pa.int64()),
        ("live_rows", pa.int64()),
        ("bytes", pa.int64()),
        ("first_time", pa.timestamp("ns")),
        ("last_time", pa.timestamp("ns")),
        ("received_through", pa.timestamp("us")),
        ("oldest_normalizer", pa.uint16()),
        ("schema_version", pa.int32()),
        ("has_content", pa.bool_()),
        ("archived_at", pa.timestamp("us")),
    ]
)
"""What the write ``archived_files`` takes."""


@dataclass(frozen=True)
class ClosedDay:
    """A day that the live tables hold rows of.

    Attributes:
        table: the table.
        day: the UTC day.
        live_rows: how many rows of it are live.
        replaces: the file that it has already; its live rows arrived late.
        waits_for: why it is not archived now; None if it is.
    """

    table: ArchivedTable
    day: date
    live_rows: int
    replaces: str | None
    waits_for: str | None


@dataclass(frozen=True)
class ArchivedDay:
    """A day that was archived.

    Attributes:
        day: which.
        file: what was written.
    """

    day: ClosedDay
    file: WrittenFile


def closed_days(store: Access, before: date, least_rows: int, now: datetime | None = None) -> list[ClosedDay]:
    """The days before a day that are not, or not whole, in the archive; the oldest first.

    Args:
        store: the store.
        before: the first day that is left alone.
        least_rows: with fewer live rows a day is not worth a file.
        now: the present (naive UTC).

    Raises:
        StoreError: the store cannot be read.
    """
    given = {"before": _midnight(before), "version": NORMALIZER_VERSION}
    rows = store.read(statements.read("closed_days"), given).to_pylist()
    return [_closed_day(row, least_rows, now or utc_now()) for row in rows]


def _closed_day(row: dict[str, Any], least_rows: int, now: datetime) -> ClosedDay:
    waits_for = None
    if not row["is_seen"]:
        waits_for = "what arrived has not been normalised, derived and matched yet"
    elif row["live_rows"] < least_rows and (row["replaces"] is None or now - row["archived_at"] < MERGE_AFTER):
        waits_for = f"fewer than {least_rows:,} rows (archive.least_rows)"
        if row["replaces"]:
            waits_for += ", and its file was written within a day"
    return ClosedDay(TABLES[row["table_name"]], row["day"], row["live_rows"], row["replaces"], waits_for)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001 (the store's times are naive UTC)


def archive(store: Access, path: Path, days: list[ClosedDay]) -> Iterator[ArchivedDay]:
    """Archive days that wait for nothing, and remove what earlier runs have left.

    Args:
        store: the store, to be written.
        path: its file; the archive is beside it.
        days: which.

    Yields:
        Each day, once it is archived.

    Raises:
        StoreUnavailableError: another process archives.
        StoreError: a day cannot be archived; it stays as it was, and those before it are done.
    """
    if why := unusable_name(path):
        raise StoreError(why)
    with archive_lock(path):
        files = ArchiveFiles(archive_directory(path))
        files.clear_drafts()
        remove_leftovers(store, files.folder)
        for day in days:
            if day.waits_for is None:
                yield ArchivedDay(day, _archive_day(store, files, day))


def _archive_day(store: Access, files: ArchiveFiles, day: ClosedDay) -> WrittenFile:
    table = day.table
    columns = [
        (row["name"], row["type"])
        for row in store.read(statements.read("relation_columns"), {"relation": table.live}).to_pylist()
    ]
    (version,) = store.read("SELECT max(version) AS version FROM schema_migrations")["version"].to_pylist()
    name = new_file(table.name, day.day)
    given = {"day": _midnight(day.day), "merges": day.replaces is not None}
    with store.reader(statements.read(f"archive_{table.name}"), given) as rows:
        written = files.write(name, table, columns, rows)
    listed = {
        "table_name": table.name, "day": day.day, "file": name, "replaces": day.replaces, "rows": written.rows,
        "live_rows": written.live_rows, "bytes": written.size, "first_time": written.first_time,
        "last_time": written.last_time, "received_through": written.received_through,
        "oldest_normalizer": written.oldest_normalizer, "schema_version": version, "has_content": True,
        "archived_at": utc_now(),
    }  # fmt: skip
    # A file that is not listed after all is removed by a later run: the server may list it yet, though it did not say.
    store.write({"archived_files": pa.Table.from_pylist([listed], LISTED)})
    return written


def forget(store: Access, path: Path, lost: Sequence[str]) -> int:
    """Take files that are lost off the list; their rows are given up.

    Args:
        store: the store, to be written.
        path: its file; the archive is beside it.
        lost: the files, relative to the archive's folder; all that are lost, as the views need the others.

    Returns:
        How many rows they held.

    Raises:
        StoreUnavailableError: another process archives.
        StoreError: one is not listed or not lost, or the store cannot be written.
    """
    with archive_lock(path):
        listed = store.read("SELECT table_name, day, file AS replaces, rows, bytes FROM archived_files").to_pylist()
        found = {row["replaces"]: row for row in listed}
        for file in lost:
            if file not in found:
                raise StoreError(
                    f"{file} is no file of the archive; `spanverdict sql 'FROM archived_files'` lists them."
                )
            on_disk = archive_directory(path) / file
            if on_disk.exists() and on_disk.stat().st_size == found[file]["bytes"]:
                raise StoreError(
                    f"{on_disk} is there and as long as it was; only a file that is lost can be forgotten."
                )
        gone = [{key: found[file][key] for key in ("table_name", "day", "replaces")} for file in dict.fromkeys(lost)]
        store.write({"archived_files": pa.Table.from_pylist(gone, LISTED)})
        return sum(found[row["replaces"]]["rows"] for row in gone)


def remove_leftovers(store: Access, folder: Path) -> None:
    """Remove files that no view lists, once no query of before can be reading it and no server be about to list it."""
    listing = store.read(statements.read("archive_listing")).to_pylist()
    replaced = {row["file"]: row["replaced_at"] for row in listing}
    now = utc_now()
    gone = []
    for path in folder.glob("*/day=*/*.parquet"):
        name = path.relative_to(folder).as_posix()
        written = datetime.fromtimestamp(path.stat().st_mtime)  # noqa: DTZ006 (compared with a file's own clock)
        if name not in replaced:
            if datetime.now() - written > KEPT:  # noqa: DTZ005 (as above)
                path.unlink()
        elif replaced[name] and now - replaced[name] > KEPT:
            path.unlink()
        # A day without files.
        with contextlib.suppress(OSError):
            path.parent.rmdir()
    gone = [file for file, since in replaced.items() if since and not (folder / file).exists()]
    if gone:
        store.write({"forgotten_files": pa.table({"file": gone})})


@contextlib.contextmanager
def archive_lock(path: Path) -> Iterator[None]:
    """Hold what only one process may: changing the archive of a store.

    Raises:
        StoreUnavailableError: another process holds it.
        OSError: the archive's folder cannot be made.
    """
    folder = archive_directory(path)
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StoreUnavailableError(
            f"Another process changes the archive {folder}; try again when it is done."
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)
