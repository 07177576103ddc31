"""Files of OTLP data → export requests, one for each line or message.

Read are OTLP/JSON (one object, or one a line), a serialized request, and what the OpenTelemetry Collector's file
exporter writes: lines of JSON, or messages behind a length of four octets, each a zstd frame where it compresses
(opentelemetry-collector-contrib, exporter/fileexporter). The whole may be compressed by gzip or zstd. What a file holds
is told by its content, never by its name.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO, Self, cast

import pyarrow as pa

from collector.otlp_json import OtlpJsonError, load
from collector.otlp_records import Content, ContentError, from_json, from_protobuf

LIMIT = 64 * 2**20
"""Bytes of one line, document or message, decompressed: OTLP's recommended limit of a request."""

SUFFIXES = frozenset({".json", ".jsonl", ".ndjson", ".pb", ".bin", ".binpb"})
"""What files are taken from a directory, before a suffix of COMPRESSED."""

COMPRESSED = frozenset({".gz", ".zst"})

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f")
_LENGTH_BYTES = 4
_LOWEST_TAG = 8
"""Protobuf's lowest tag: a file that begins with a smaller octet begins with a length."""

_PIECE = 4096
"""Bytes that are decompressed at a time: so many may be lost before the place where a file is cut off."""

_UNREADABLE = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Record:
    """One line or message.

    Attributes:
        number: its number in the file, counted from one; blank lines count.
        place: what to call it, such as ``line 3``; empty for a file that is one document.
        content: the requests in it; None if it was refused.
        refusal: one sentence that says why it was; empty if it was not.
        whole: it will not be more if something is added to the file.
    """

    number: int
    place: str
    content: Content | None
    refusal: str = ""
    whole: bool = True


class Form(Enum):
    """How the content of a file is laid out."""

    LINES = auto()
    DOCUMENT = auto()
    MESSAGE = auto()
    MESSAGES = auto()


def find_files(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and those of the directories: sorted, hidden ones and other suffixes left out.

    In a directory, what is not a file (a pipe, a link to nothing) is left out too: reading it might never end.

    Raises:
        FileNotFoundError: there is nothing at a path, or neither a file nor a folder.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found.update(dict.fromkeys(sorted(_walk(path))))
        elif path.is_file():
            found[path] = None
        else:
            what = "it is neither a file nor a folder" if path.exists() else "there is no such file or folder"
            raise OSError(errno.ENOENT, what, str(path))
    return list(found)


def _walk(directory: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            kind = Path(path.stem).suffix if path.suffix.lower() in COMPRESSED else path.suffix
            if not name.startswith(".") and kind.lower() in SUFFIXES and path.is_file():
                yield path


class OtlpFile:
    """One file that is read; a context manager.

    Args:
        path: the file.
        limit: bytes that one line, document or message may have.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path = path
        self._limit = limit
        self._raw = path.open("rb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    @property
    def position(self) -> int:
        """Bytes of the file, as it is on disk, that have been read."""
        return self._raw.tell()

    def records(self, after: int = 0) -> Iterator[Record]:
        """What stands in the file, in order.

        Args:
            after: lines or messages that are passed over.
        """
        number = after
        try:
            form = self._form()
            stream = self._decompressed()
            if form is Form.LINES:
                found = self._lines(stream, after)
            elif form is Form.MESSAGES:
                found = self._messages(stream, after)
            else:
                found = self._single(stream, form, after)
            for record in found:
                number = record.number
                yield record
        except _UNREADABLE as error:
            reason = "it is cut off" if "runcated" in str(error) or isinstance(error, EOFError) else str(error)
            yield Record(number + 1, f"after {number}", None, f"It cannot be read further: {reason}.", whole=False)

    def _decompressed(self) -> BinaryIO:
        self._raw.seek(0)
        magic = self._raw.read(len(_ZSTD))
        self._raw.seek(0)
        if magic == _ZSTD:
            return io.BufferedReader(_Zstd(_Borrowed(self._raw)), 2**16)
        if magic.startswith(_GZIP):
            return cast("BinaryIO", gzip.GzipFile(fileobj=self._raw))
        return io.BufferedReader(_Borrowed(self._raw), 2**16)

    def _form(self) -> Form:
        stream = self._decompressed()
        start = stream.peek(1)[:_PIECE].removeprefix(_BOM)  # type: ignore[attr-defined]
        if not _CONTROLS.isdisjoint(start):
            return Form.MESSAGES if start[0] < _LOWEST_TAG else Form.MESSAGE
        first = next(
            (line for line in iter(lambda: _line(stream, self._limit), b"") if line is None or line.strip()), b""
        )
        if not first or _is_object(first):
            return Form.LINES
        try:
            rest = stream.read(self._limit + 1 - len(first))
        except _UNREADABLE:
            return Form.LINES
        if first.lstrip().startswith(b"[") or (len(first) + len(rest) <= self._limit and _is_object(first + rest)):
            return Form.DOCUMENT
        # Not JSON either way: a line that is damaged is followed by others that begin as lines do.
        following = rest.lstrip()
        return Form.LINES if not following or following.startswith(b"{") else Form.DOCUMENT

    def _lines(self, stream: BinaryIO, after: int) -> Iterator[Record]:
        number = 0
        while (line := _line(stream, self._limit)) != b"":
            number += 1
            if number <= after or (line is not None and not line.strip()):
                continue
            place = f"line {number}"
            if line is None:
                yield Record(number, place, None, f"It is longer than {_mebibytes(self._limit)}.")
            else:
                yield _record(number, place, line, whole=line.endswith(b"\n"))

    def _single(self, stream: BinaryIO, form: Form, after: int) -> Iterator[Record]:
        if after:
            return
        data = stream.read(self._limit + 1)
        if len(data) > self._limit:
            kind = "JSON document" if form is Form.DOCUMENT else "message"
            yield Record(1, "", None, f"It is one {kind} of more than {_mebibytes(self._limit)}.")
        else:
            yield _record(1, "", data)

    def _messages(self, stream: BinaryIO, after: int) -> Iterator[Record]:
        number = 0
        while prefix := stream.read(_LENGTH_BYTES):
            number += 1
            size = int.from_bytes(prefix, "big")
            data = _exactly(stream, min(size, self._limit)) if len(prefix) == _LENGTH_BYTES else None
            if data is not None and size > self._limit:
                data = _passed_over(stream, size - self._limit)
            if data is None:
                yield Record(number, f"message {number}", None, "The file is cut off in it.", whole=False)
                return
            if number <= after:
                continue
            place = f"message {number}"
            if size > self._limit:
                yield Record(number, place, None, f"It is longer than {_mebibytes(self._limit)}.")
            else:
                yield self._message(number, place, data)

    def _message(self, number: int, place: str, data: bytes) -> Record:
        if not data.startswith(_ZSTD):
            return _record(number, place, data)
        try:
            content = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read(self._limit + 1)
        except OSError as error:
            return Record(number, place, None, f"It cannot be decompressed: {error}.")
        if len(content) > self._limit:
            return Record(number, place, None, f"It is longer than {_mebibytes(self._limit)}.")
        return _record(number, place, content)


class _Borrowed(io.RawIOBase):
    """A file for a reader that would close it."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        return self._raw.readinto(buffer)


class _Zstd(io.RawIOBase):
    """Decompresses frame after frame, a piece at a time, whatever a frame says of its size."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._stream = pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._stream.read(min(len(buffer), _PIECE))
        buffer[: len(piece)] = piece
        return len(piece)


def _record(number: int, place: str, data: bytes, *, whole: bool = True) -> Record:
    text = data.removeprefix(_BOM).lstrip()
    try:
        is_json = text.startswith(b"{") or _CONTROLS.isdisjoint(data[:_PIECE])
        content = from_json(load(text)) if is_json else from_protobuf(data)
    except (OtlpJsonError, ContentError) as error:
        return Record(number, place, None, str(error), whole=whole)
    return Record(number, place, content, whole=True)


def _line(stream: BinaryIO, limit: int) -> bytes | None:
    """The next line; empty at the end, None for one that is too long, which is passed over."""
    line = stream.readline(limit + 1)
    if len(line) <= limit or line.endswith(b"\n"):
        return line
    while (piece := stream.readline(2**20)) and not piece.endswith(b"\n"):
        pass
    return None


def _exactly(stream: BinaryIO, size: int) -> bytes | None:
    data = stream.read(size)
    return data if len(data) == size else None


def _passed_over(stream: BinaryIO, size: int) -> bytes | None:
    while size:
        piece = stream.read(min(size, 2**20))
        if not piece:
            return None
        size -= len(piece)
    return b""


def _is_object(text: bytes | None) -> bool:
    if text is None:
        return True
    try:
        load(text.strip())
    except OtlpJsonError:
        return False
    return True


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:g} MiB"
