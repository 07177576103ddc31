"""The journal: what has been acknowledged, on disk in the order it came, until the store holds it.

A commit of a few hundred rows costs the database ten times what it costs in a batch of a hundred thousand, so what
arrives is appended here first, one `fdatasync` for a group of requests, and goes into the store in large batches. An
entry holds the rows as they will be stored: what the content policy removes never reaches this file either.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sql.errors import StoreUnavailableError

_LOG = logging.getLogger("spanverdict.journal")

SEGMENT_BYTES = 32 * 2**20
"""A segment that has grown past this is followed by a new one."""

_MAGIC = b"SVJ1"
_HEADER = struct.Struct("<4sQQI")
_CHECKSUM = struct.Struct("<I")
_NAME = b"name"
_SUFFIX = ".journal"


class JournalError(StoreUnavailableError):
    """What came could not be put on disk; nothing of it was kept, and it may be sent again."""


@dataclass(frozen=True)
class Entry:
    """Rows that were acknowledged together.

    Attributes:
        sequence: its place in the journal, counted from one, never used twice.
        tables: name of the write (sql/writes) → its rows.
    """

    sequence: int
    tables: Mapping[str, pa.Table]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.num_rows for table in self.tables.values())

    @property
    def size(self) -> int:
        """Bytes of all tables in memory."""
        return sum(table.nbytes for table in self.tables.values())


def journal_directory(store: Path) -> Path:
    """Where the journal of a store lies."""
    return store.with_name(store.name + ".journal")


class Journal:
    """The journal of one store; only the process that has opened the store for writing may use it.

    Args:
        directory: where its segments lie; made, for the owner alone, when first written.
        after: the last sequence that the store holds.
        reserve_bytes: how much of the disk is left free, so that the store itself can still work.
    """

    def __init__(self, directory: Path, after: int = 0, reserve_bytes: int = 0) -> None:
        self._directory = directory
        self._reserve_bytes = reserve_bytes
        self._file: int | None = None
        self._offset = 0
        self._closed: list[tuple[Path, int]] = []
        """Segments that are written no more, each with its last sequence."""
        self._current: Path | None = None
        self._last = after

    def entries(self) -> Iterator[Entry]:
        """What an earlier process left that the store does not hold yet, oldest first.

        A tail that was cut off in the middle of a write was never acknowledged and is passed over. A segment whose
        content does not agree with its checksums is set aside as ``*.damaged`` and said in the log.
        """
        after = self._last
        for path in _segments(self._directory):
            last = after
            for entry in _read(path, after):
                last = self._last = max(self._last, entry.sequence)
                yield entry
            if path.exists():
                self._closed.append((path, last))

    def append(self, tables: Mapping[str, pa.Table]) -> Entry:
        """Put rows on disk; when this returns they are there.

        Raises:
            JournalError: they could not be written; the journal is as it was.
        """
        self.check()
        content = _serialized(tables)
        sequence = self._last + 1
        header = _header(sequence, content)
        try:
            file = self._segment(sequence)
            _write_all(file, header)
            _write_all(file, content)
            os.fdatasync(file)
        except OSError as error:
            self._forget_tail()
            raise JournalError(f"{self._directory} cannot be written: {error.strerror}.") from error
        self._offset += len(header) + content.size
        self._last = sequence
        return Entry(sequence, tables)

    def set_aside(self, entry: Entry) -> Path:
        """Keep an entry that the database refuses in a file of its own, for a person to look at."""
        path = self._directory / f"{entry.sequence:020d}.refused"
        path.write_bytes(_serialized(entry.tables))
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
        """Remove segments that the store holds whole."""
        kept = []
        for path, last in self._closed:
            if last <= sequence:
                path.unlink(missing_ok=True)
            else:
                kept.append((path, last))
        self._closed = kept

    def close(self, loaded: int) -> None:
        """Stop writing; what the store holds (up to the sequence ``loaded``) is removed."""
        self._end_segment()
        self.drop_through(loaded)
        with contextlib.suppress(OSError):
            # Only an empty directory goes.
            self._directory.rmdir()

    def _segment(self, sequence: int) -> int:
        """The segment that is written to; a new one where the last is full."""
        if self._file is not None and self._offset < SEGMENT_BYTES:
            return self._file
        self._end_segment()
        self._directory.mkdir(mode=0o700, exist_ok=True)
        path = self._directory / f"{sequence:020d}{_SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._current, self._offset = path, 0
        _sync_directory(self._directory)
        return self._file

    def _end_segment(self) -> None:
        if self._file is not None and self._current is not None:
            os.close(self._file)
            self._closed.append((self._current, self._last))
        self._file = self._current = None

    def _forget_tail(self) -> None:
        """Cut off what was half written; after a failed sync the file's state is unknown, so a new one follows."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._offset)
        self._end_segment()


def _header(sequence: int, content: pa.Buffer) -> bytes:
    """Magic, sequence, length and checksum of the content, and a checksum of these."""
    fields = _HEADER.pack(_MAGIC, sequence, content.size, zlib.crc32(content))
    return fields + _CHECKSUM.pack(zlib.crc32(fields))


def _serialized(tables: Mapping[str, pa.Table]) -> pa.Buffer:
    """The tables as Arrow IPC streams one behind the other, each named in its schema's metadata."""
    sink = pa.BufferOutputStream()
    for name, table in tables.items():
        schema = table.schema.with_metadata({_NAME: name.encode()})
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(table.replace_schema_metadata(schema.metadata))
    return sink.getvalue()


def _tables(content: bytes) -> dict[str, pa.Table]:
    tables = {}
    reader = pa.BufferReader(content)
    while reader.tell() < len(content):
        with pa.ipc.open_stream(reader) as stream:
            table = stream.read_all()
        tables[table.schema.metadata[_NAME].decode()] = table.replace_schema_metadata(None)
    return tables


def _segments(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{_SUFFIX}"))


def pending(store: Path) -> bool:
    """Whether a store has a journal that may hold what the store does not."""
    return bool(_segments(journal_directory(store)))


def _read(path: Path, after: int) -> Iterator[Entry]:
    size = path.stat().st_size
    damaged: list[int] = []
    with path.open("rb") as file:
        while (offset := file.tell()) < size:
            header = file.read(_HEADER.size + _CHECKSUM.size)
            if len(header) < _HEADER.size + _CHECKSUM.size:
                break
            magic, sequence, length, checksum = _HEADER.unpack_from(header)
            if magic != _MAGIC or _CHECKSUM.unpack_from(header, _HEADER.size) != (zlib.crc32(header[: _HEADER.size]),):
                # Without its length the entries behind it cannot be found.
                damaged.append(offset)
                break
            if file.tell() + length > size:
                break
            content = file.read(length)
            if zlib.crc32(content) != checksum:
                damaged.append(offset)
            elif sequence > after:
                yield Entry(sequence, _tables(content))
    if damaged:
        kept = path.rename(path.with_suffix(".damaged"))
        places = ", ".join(map(str, damaged))
        _LOG.error("%s is damaged at byte %s; what could be read of it is stored, the file is kept.", kept, places)
    elif offset < size:
        _LOG.warning("%s ends in the middle of a write; those %d bytes were never acknowledged.", path, size - offset)


def _write_all(file: int, content: bytes | pa.Buffer) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
