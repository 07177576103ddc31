"""The journal: what has been acknowledged, on disk in the order it came, until the store holds it.

A commit of a few hundred rows costs the database ten times what it costs in a batch of a hundred thousand, so what
arrives is appended here first, one `fdatasync` for a group of requests, and goes into the store in large batches. An
entry holds the rows as they will be stored: what the content policy removes never reaches this file either. The format
of the files: sql/journal_segment.py.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sql import journal_segment
from sql.errors import StoreUnavailableError
from sql.journal_segment import SEGMENT_BYTES, Place, Segment

_LOG = logging.getLogger("spanverdict.journal")

SPARE_SEGMENTS = 12
"""How many segments are kept to be written over: that needs no new memory and no new blocks of the disk."""

_NAME = b"name"


class JournalError(StoreUnavailableError):
    """What came could not be put on disk; nothing of it was kept, and it may be sent again."""


@dataclass(frozen=True)
class Entry:
    """Rows that were acknowledged together.

    Attributes:
        sequence: its number in the journal, counted from one, never used twice.
        rows: rows of all its tables.
        place: where it lies.
    """

    sequence: int
    rows: int
    place: Place

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.place.length


def journal_directory(store: Path) -> Path:
    """Where the journal of a store lies."""
    return store.with_name(store.name + ".journal")


def pending(store: Path) -> bool:
    """Whether a store has a journal that may hold what the store does not."""
    return bool(journal_segment.segments(journal_directory(store)))


class Journal:
    """The journal of one store; only the process that has opened the store for writing may use it.

    One thread may append while another reads and drops what it has read.

    Args:
        directory: where its segments lie; made, for the owner alone, when first written.
        after: the last sequence that the store holds.
        reserve_bytes: how much of the disk is left free, so that the store itself can still work.
    """

    def __init__(self, directory: Path, after: int = 0, reserve_bytes: int = 0) -> None:
        self._directory = directory
        self._reserve_bytes = reserve_bytes
        self._current: Segment | None = None
        self._ended: list[tuple[Path, int]] = []
        """Segments that are written no more, each with its last sequence."""
        self._ending = threading.Lock()
        self._last = after

    def entries(self) -> Iterator[Entry]:
        """What an earlier process left that the store does not hold yet, oldest first.

        A tail that was cut off in the middle of a write was never acknowledged and is passed over. A segment whose
        content does not agree with its checksums is kept as ``*.damaged`` and said in the log. So is an entry that the
        store has lost again after it was let go of here.
        """
        after = self._last
        spares = journal_segment.spare_sequences(self._directory)
        journal_segment.remove_spares(self._directory)
        for path in journal_segment.segments(self._directory):
            last = 0
            for sequence, rows, place in journal_segment.scan(path):
                last = max(last, sequence)
                if sequence > after:
                    self._tell_missing(sequence - 1)
                    self._last = max(self._last, sequence)
                    yield Entry(sequence, rows, place)
            if last and path.exists():
                self._ended.append((path, last))
            elif not last:
                journal_segment.remove(path)
        self._tell_missing(max(spares, default=0))

    def append(self, tables: Mapping[str, pa.Table]) -> Entry:
        """Put rows on disk; when this returns they are there.

        Raises:
            JournalError: they could not be written; the journal is as it was.
        """
        self.check()
        content = _serialized(tables)
        rows = sum(table.num_rows for table in tables.values())
        sequence = self._last + 1
        try:
            segment = self._segment(sequence, content.size)
            place = segment.append(sequence, rows, content)
        except OSError as error:
            # After a failed sync the file's state is unknown: another one follows.
            self._end_segment()
            raise JournalError(f"{self._directory} cannot be written: {error.strerror}.") from error
        self._last = sequence
        return Entry(sequence, rows, place)

    def tables(self, entry: Entry) -> dict[str, pa.Table]:
        """The rows of an entry: name of the write (sql/writes) → table, read in place.

        Raises:
            StoreUnavailableError: the file is gone, or the disk gives something else back.
        """
        try:
            return _tables(journal_segment.content(entry.place))
        except OSError as error:
            raise StoreUnavailableError(f"{entry.place.path} cannot be read: {error.strerror}.") from error
        except pa.ArrowException as error:
            raise StoreUnavailableError(f"{entry.place.path} is damaged at byte {entry.place.offset}.") from error

    def set_aside(self, entry: Entry) -> Path:
        """Keep an entry that the database refuses in a file of its own, for a person to look at.

        Raises:
            JournalError: it could not be written.
        """
        path = self._directory / f"{entry.sequence:020d}.refused"
        try:
            path.write_bytes(journal_segment.content(entry.place))
        except OSError as error:
            raise JournalError(f"{path} cannot be written: {error.strerror}.") from error
        return path

    def check(self) -> None:
        """Whether there is room to write.

        Raises:
            JournalError: the file system is read-only or nearly full.
        """
        place = self._directory if self._directory.exists() else self._directory.parent
        state = os.statvfs(place)
        if state.f_flag & os.ST_RDONLY or not os.access(place, os.W_OK):
            raise JournalError(f"{place} is read-only.")
        if state.f_bavail * state.f_frsize < self._reserve_bytes:
            raise JournalError(
                f"The disk of {place} is nearly full: less than {self._reserve_bytes >> 20} MiB are free; make room."
            )

    def drop_through(self, sequence: int) -> None:
        """Let go of segments that the store holds whole."""
        with self._ending:
            held = [ended for ended in self._ended if ended[1] <= sequence]
            self._ended = [ended for ended in self._ended if ended not in held]
        for path, _ in held:
            journal_segment.make_spare(path, SPARE_SEGMENTS)

    def close(self, loaded: int) -> None:
        """Stop writing; what the store holds (up to the sequence ``loaded``) is removed."""
        self._end_segment()
        self.drop_through(loaded)
        journal_segment.remove_spares(self._directory)
        with contextlib.suppress(OSError):
            # Only an empty directory goes.
            self._directory.rmdir()

    def _tell_missing(self, through: int) -> None:
        """Say which entries are nowhere between the last that is known and one that has been written."""
        if through > self._last:
            _LOG.error(
                "%s: what was acknowledged as entries %d to %d is neither here nor in the store: part of its file, its "
                "log (.wal) or this folder was lost. Restore the store from a copy.",
                self._directory, self._last + 1, through,
            )  # fmt: skip

    def _segment(self, sequence: int, size: int) -> Segment:
        """The segment that is written to; a new one where the last is full."""
        if self._current and self._current.size + size <= SEGMENT_BYTES:
            return self._current
        self._end_segment()
        if not self._directory.exists():
            self._directory.mkdir(mode=0o700)
            journal_segment.sync_directory(self._directory.parent)
        self._current = Segment(self._directory, sequence)
        return self._current

    def _end_segment(self) -> None:
        if self._current:
            self._current.close()
            if self._current.size:
                with self._ending:
                    self._ended.append((self._current.path, self._last))
        self._current = None


def _serialized(tables: Mapping[str, pa.Table]) -> pa.Buffer:
    """The tables as Arrow IPC streams one behind the other, each named in its schema's metadata."""
    sink = pa.BufferOutputStream()
    for name, table in tables.items():
        schema = table.schema.with_metadata({_NAME: name.encode()})
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(table.replace_schema_metadata(schema.metadata))
    return sink.getvalue()


def _tables(content: pa.Buffer) -> dict[str, pa.Table]:
    tables = {}
    reader = pa.BufferReader(content)
    while reader.tell() < content.size:
        with pa.ipc.open_stream(reader) as stream:
            table = stream.read_all()
        tables[table.schema.metadata[_NAME].decode()] = table.replace_schema_metadata(None)
    return tables
