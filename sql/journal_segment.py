"""The files of the journal.

A segment is entries one behind the other: a header (magic, sequence, rows, length, checksum of the content, checksum of
the header), then the content, padded to eight bytes. Behind the last entry stands an empty header. The header of an
entry is written after its content and the empty header that follows it, so that a process that is killed in between
leaves the end where it was. Segments are written over when the store holds them; what an earlier use left lies behind
the empty header and is never reached.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

_LOG = logging.getLogger("spanverdict.journal")

SEGMENT_BYTES = 16 * 2**20
"""A segment that would grow past this is followed by a new one."""

_MAGIC = b"SVJ1"
_FIELDS = struct.Struct("<4sQIQI")
_CHECKSUM = struct.Struct("<I")
_HEADER_BYTES = _FIELDS.size + _CHECKSUM.size
_EMPTY = bytes(_HEADER_BYTES)
_ALIGNMENT = 8
_SUFFIX = ".journal"
_SPARE = ".spare"


@dataclass(frozen=True)
class Place:
    """Where the content of an entry lies: the file, the offset and the length in bytes."""

    path: Path
    offset: int
    length: int


class Segment:
    """A segment that is written to.

    Args:
        directory: the journal's directory.
        sequence: of the first entry, which names the file.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, directory: Path, sequence: int) -> None:
        self.path = directory / f"{sequence:020d}{_SUFFIX}"
        self.size = 0
        self._torn = False
        """Whether a write failed that may have put a header behind the end."""
        spare = next(directory.glob(f"*{_SPARE}"), None)
        if spare:
            with spare.open("r+b") as file:
                file.write(_EMPTY)
            spare.rename(self.path)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            sync_directory(directory)
        except OSError:
            os.close(self._file)
            raise

    def append(self, sequence: int, rows: int, content: pa.Buffer) -> Place:
        """Write an entry and wait until it is on disk.

        Raises:
            OSError: it is not; the end of the segment is where it was.
        """
        start = self.size + _HEADER_BYTES
        padding = bytes(-(_HEADER_BYTES + content.size) % _ALIGNMENT)
        _write_all(self._file, content, start)
        _write_all(self._file, padding + _EMPTY, start + content.size)
        self._torn = True
        _write_all(self._file, _header(sequence, rows, content), self.size)
        os.fdatasync(self._file)
        self._torn = False
        self.size = start + content.size + len(padding)
        return Place(self.path, start, content.size)

    def close(self) -> None:
        """Write no more; what a failed write left behind the end is taken back."""
        try:
            if self._torn:
                _write_all(self._file, _EMPTY, self.size)
        except OSError as error:
            _LOG.warning("%s: its end could not be written: %s.", self.path, error.strerror)
        os.close(self._file)
        if not self.size:
            # The next one has the same name, and must not be taken for one that has ended.
            remove(self.path)


def segments(directory: Path) -> list[Path]:
    """The segments of a journal, oldest first."""
    return sorted(directory.glob(f"*{_SUFFIX}"))


def make_spare(path: Path, limit: int) -> None:
    """Keep a segment to be written over, or remove it where ``limit`` of them are kept already."""
    try:
        if len(list(path.parent.glob(f"*{_SPARE}"))) < limit and path.stat().st_size <= 2 * SEGMENT_BYTES:
            path.rename(path.with_suffix(_SPARE))
            return
    except OSError as error:
        _LOG.warning("%s could not be kept to be written over: %s.", path, error.strerror)
    remove(path)


def spare_sequences(directory: Path) -> list[int]:
    """The first sequence of each segment that is kept to be written over: the store held it."""
    return [int(path.stem) for path in directory.glob(f"*{_SPARE}")]


def remove_spares(directory: Path) -> None:
    """Remove what is kept to be written over."""
    for path in directory.glob(f"*{_SPARE}"):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file that holds nothing any more; where that fails, the next start tries again."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _LOG.warning("%s could not be removed: %s.", path, error.strerror)


def sync_directory(directory: Path) -> None:
    """Put the names in a directory on disk, as syncing the files does not.

    Raises:
        OSError: they are not.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def content(place: Place) -> pa.Buffer:
    """The content of an entry, mapped and not copied."""
    with pa.memory_map(str(place.path)) as file:
        file.seek(place.offset)
        return file.read_buffer(place.length)


def scan(path: Path) -> Iterator[tuple[int, int, Place]]:
    """Sequence, rows and place of each sound entry; a file that is not sound is kept as ``*.damaged``, and said."""
    size = path.stat().st_size
    found: list[tuple[int, int, int, int]] = []
    damaged: list[int] = []
    offset = 0
    with path.open("rb") as file:
        while header := file.read(_HEADER_BYTES):
            if not any(header):
                break
            magic, sequence, rows, length, checksum = _FIELDS.unpack_from(header.ljust(_HEADER_BYTES, b"\0"))
            sealed = header[_FIELDS.size :] == _CHECKSUM.pack(zlib.crc32(header[: _FIELDS.size]))
            start = offset + _HEADER_BYTES
            if len(header) < _HEADER_BYTES or (sealed and start + length > size):
                _LOG.warning(
                    "%s ends in the middle of a write; those %d bytes were never acknowledged.", path, size - offset
                )
                break
            if not sealed or magic != _MAGIC:
                # Without its length the entries behind it cannot be found.
                damaged.append(offset)
                break
            if zlib.crc32(file.read(length)) == checksum:
                found.append((sequence, rows, start, length))
            else:
                damaged.append(offset)
            offset = start + length + -(_HEADER_BYTES + length) % _ALIGNMENT
            file.seek(offset)
    if damaged:
        path = path.rename(path.with_suffix(".damaged"))
        places = ", ".join(map(str, damaged))
        _LOG.error("%s is damaged at byte %s; what could be read of it is stored, the file is kept.", path, places)
    for sequence, rows, start, length in found:
        yield sequence, rows, Place(path, start, length)


def _header(sequence: int, rows: int, content: pa.Buffer) -> bytes:
    fields = _FIELDS.pack(_MAGIC, sequence, rows, content.size, zlib.crc32(content))
    return fields + _CHECKSUM.pack(zlib.crc32(fields))


def _write_all(file: int, content: bytes | pa.Buffer, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written
