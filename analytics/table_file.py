"""Tables that people bring: CSV, JSON Lines or Parquet → batches of columns of text, or one sentence of what is wrong.

A file is read once, from its beginning, and never whole: CSV and JSON Lines also compressed by gzip or zstd. Its lines,
its rows and its bytes are bounded, so that neither a line without an end nor a small file that unpacks to a large one
takes the memory.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from math import isnan
from pathlib import Path
from typing import Any, BinaryIO, cast

import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from sql import strict_json

LONGEST_LINE = 4 * 2**20
"""Bytes of a line, and of a row of CSV, whose quoted texts may have several lines, unless the caller says more."""

MOST_BYTES = 2 * 2**30
"""Bytes of a file, unpacked."""

MOST_ROWS = 20_000_000

MOST_COLUMNS = 2_000
"""Columns of a table, and names of a row of JSON Lines."""

BATCH_ROWS = 50_000
"""Rows of JSON Lines or Parquet that are read at once."""

_BATCH_CELLS = 2_000_000
"""Rows times names of JSON Lines that are read at once: every row may have names of its own."""

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
_COMPRESSED = (".gz", ".zst")

_PIECE = 2**20

_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


class TableFileError(Exception):
    """The file cannot be read; the message is one sentence that names it, and the line or row."""


@dataclass(frozen=True)
class _File:
    path: Path
    packed: str
    plain: Collection[str]
    typed: bool
    longest: int


def read_table(
    path: Path, plain: Collection[str] = (), *, typed: bool = False, longest: int = LONGEST_LINE
) -> Iterator[pl.DataFrame]:
    """Read a file as text.

    Texts stay as they are; numbers and times of Parquet are written out, times in UTC; what is nested, in Parquet or
    JSON, becomes JSON. An empty cell of CSV is null.

    Args:
        path: a file whose name ends with one of SUFFIXES, perhaps before ``.gz`` or ``.zst``.
        plain: columns that hold nothing nested.
        typed: make every cell JSON instead, texts quoted, so that the text "5" differs from the number 5. Then null is
            what a line of JSON has not; a cell of CSV is a text, perhaps an empty one; NaN, which data frames write for
            what is missing, is the null of JSON.
        longest: bytes that a line, or a row of CSV, may have.

    Yields:
        Batches of rows, every column a String. Those of CSV and Parquet have the same columns, and there is at least
        one; those of JSON Lines have the names that occur in them.

    Raises:
        TableFileError: the file cannot be read.
    """
    if not path.is_file():
        raise TableFileError(f"{path} cannot be read: there is no such file.")
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    packed = suffixes.pop() if suffixes and suffixes[-1] in _COMPRESSED else ""
    kind = suffixes[-1] if suffixes else ""
    if kind not in SUFFIXES or (packed and kind == ".parquet"):
        raise TableFileError(f"{path}: name a .csv, .jsonl or .parquet file, the former two perhaps with .gz or .zst.")
    read = {".csv": _csv, ".parquet": _parquet}.get(kind, _json_lines)
    try:
        rows = 0
        for frame in read(_File(path, packed, plain, typed, longest)):
            rows += frame.height
            if rows > MOST_ROWS:
                raise TableFileError(f"{path} has more than {MOST_ROWS:,} rows: split it.")
            yield frame
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TableFileError(f"{path} cannot be read: it is not whole, or not what its name says.") from error
    except OSError as error:
        # Arrow reports a damaged file so, without a number.
        reason = error.strerror or _first_line(error)
        raise TableFileError(f"{path} cannot be read: {reason}.") from error
    except (pa.ArrowException, pl.exceptions.PolarsError, OverflowError) as error:
        raise TableFileError(f"{path} cannot be read: {_first_line(error)}.") from error


class _Text(io.RawIOBase):
    """The unpacked bytes of a text file, checked as they pass: its length, its lines, that it is text.

    Raises:
        TableFileError: from ``readinto``: a bound is passed, or it is not UTF-8 text.
    """

    def __init__(self, path: Path, source: BinaryIO, longest: int) -> None:
        super().__init__()
        self._path = path
        self._longest = longest
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._piece = memoryview(b"")
        self._size = self._lines = self._open = self.quotes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 (any writable buffer)
        if not self._piece:
            piece = self._source.read(_PIECE)
            self._check(piece)
            if not self._size:
                piece = piece.removeprefix(codecs.BOM_UTF8)
            self._size += len(piece)
            self._piece = memoryview(piece)
        taken = self._piece[: len(buffer)]
        buffer[: len(taken)] = taken
        self._piece = self._piece[len(taken) :]
        return len(taken)

    def close(self) -> None:
        self._source.close()
        super().close()

    def _check(self, piece: bytes) -> None:
        if not self._size and piece[:2] in _MARKS:
            raise TableFileError(f"{self._path} cannot be read: it is {_MARKS[piece[:2]]}; save it as UTF-8.")
        if self._size + len(piece) > MOST_BYTES:
            raise TableFileError(f"{self._path} has more than {MOST_BYTES >> 20:,} MiB, unpacked: split it.")
        first, last = piece.find(b"\n"), piece.rfind(b"\n")
        if self._open + (len(piece) if first < 0 else first) > self._longest:
            raise TableFileError(f"{self._path}, line {self._lines + 1}: it is longer than {self._longest >> 20} MiB.")
        self._open = self._open + len(piece) if last < 0 else len(piece) - last - 1
        nul = piece.find(0)
        if nul >= 0:
            line = self._lines + piece.count(b"\n", 0, nul) + 1
            raise TableFileError(
                f"{self._path}, line {line}: it holds a NUL byte, which no text has; save it as UTF-8."
            )
        try:
            self._decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            line = self._lines + piece.count(b"\n", 0, max(0, error.start)) + 1
            raise TableFileError(f"{self._path}, line {line}: it is not UTF-8 text.") from error
        self._lines += piece.count(b"\n")
        self.quotes += piece.count(b'"')


def _open_text(file: _File) -> tuple[_Text, io.BufferedReader]:
    source: Any
    if file.packed == ".gz":
        source = gzip.GzipFile(file.path)
    elif file.packed:
        source = pa.CompressedInputStream(pa.OSFile(str(file.path)), "zstd")
    else:
        source = file.path.open("rb")
    raw = _Text(file.path, cast("BinaryIO", source), file.longest)
    return raw, io.BufferedReader(raw, _PIECE)


def _csv(file: _File) -> Iterator[pl.DataFrame]:
    raw, text = _open_text(file)
    with text:
        names = _header(file, text)
        if text.peek(1) == b"":
            yield pl.DataFrame(schema=dict.fromkeys(names, pl.String))
            return
        numbers = [str(number) for number in range(len(names))]
        try:
            reader = pyarrow.csv.open_csv(
                text,
                # Rows are counted, and so named in errors, only where one thread reads them.
                read_options=pyarrow.csv.ReadOptions(column_names=numbers, use_threads=False, block_size=file.longest),
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(numbers, pa.string()), null_values=[""], strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            )  # fmt: skip
            for batch in reader:
                frame = pl.DataFrame(pl.from_arrow(batch), schema=dict.fromkeys(numbers, pl.String)).rename(
                    dict(zip(numbers, names, strict=True))
                )
                yield _typed(file.path, frame.fill_null("")) if file.typed else frame
        except pa.ArrowInvalid as error:
            raise TableFileError(_csv_sentence(file, _first_line(error))) from error
        if raw.quotes % 2:
            _check_quotes(file)


def _check_quotes(file: _File) -> None:
    """See that no quote is left open: Arrow takes all that follows it for the end of the last row.

    Raises:
        TableFileError: one is.
    """
    _, text = _open_text(file)
    row = 0
    with text, io.TextIOWrapper(text, "utf-8", newline="") as lines:
        try:
            for row, _ in enumerate(_csv_rows(file, lines), 1):  # noqa: B007 (told below)
                pass
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise TableFileError(f"{file.path}, row {row}: a quote is left open to the end of the file.") from error
            if "field limit" in str(error):
                size = file.longest >> 20
                raise TableFileError(
                    f"{file.path}, row {row}: it is longer than {size} MiB; is a quote left open?"
                ) from error


def _csv_rows(file: _File, lines: Iterable[str]) -> Iterator[list[str]]:
    # The limit is the module's; another file may have been read by another one.
    csv.field_size_limit(file.longest)
    return csv.reader(lines, strict=True)


def _header(file: _File, text: io.BufferedReader) -> list[str]:
    """The names of the columns, each once."""
    path = file.path
    lines = (line.decode() for line in itertools.islice(text, 1))
    try:
        names = [name.strip() for name in next(_csv_rows(file, lines), [])]
    except csv.Error as error:
        raise TableFileError(f"{path}, line 1: the names of the columns cannot be read: {error}.") from error
    if not any(names):
        raise TableFileError(f"{path} cannot be read: its first line is empty, where the names of the columns stand.")
    _check_width(path, names)
    for number, name in enumerate(names, 1):
        if not name:
            raise TableFileError(f"{path}, line 1: column {number} has no name.")
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise TableFileError(f"{path}, line 1: two columns have the name {twice[:60]!r}.")
    return names


def _check_width(path: Path, names: list[str]) -> None:
    """See that there are not more columns than anybody means.

    Raises:
        TableFileError: there are.
    """
    if len(names) > MOST_COLUMNS:
        raise TableFileError(f"{path} has {len(names):,} columns; {MOST_COLUMNS:,} are read at most.")


def _csv_sentence(file: _File, said: str) -> str:
    found = re.search(r"Row #(\d+): Expected (\d+) columns?, got (\d+)", said)
    if found:
        row, expected, got = found.groups()
        mend = " (is a quote left open?)" if int(got) < int(expected) else ""
        return f"{file.path}, row {row}: it has {got} fields, the header {expected}{mend}."
    if "straddl" in said:
        return f"{file.path} cannot be read: a row is longer than {file.longest >> 20} MiB; is a quote left open?"
    return f"{file.path} cannot be read: {said}."


def _json_lines(file: _File) -> Iterator[pl.DataFrame]:
    _, text = _open_text(file)
    with text:
        lines = ((number, line) for number, line in enumerate(text, 1) if not line.isspace())
        batch: list[Mapping[str, str | None]] = []
        names: set[str] = set()
        for number, line in lines:
            batch.append(row := _json_row(file, number, line))
            names.update(row)
            if len(batch) == BATCH_ROWS or len(names) > MOST_COLUMNS or len(batch) * len(names) > _BATCH_CELLS:
                yield _columns(batch, names)
                batch, names = [], set()
        if batch:
            yield _columns(batch, names)


def _columns(batch: list[Mapping[str, str | None]], names: set[str]) -> pl.DataFrame:
    return pl.DataFrame([pl.Series(name, [row.get(name) for row in batch], pl.String) for name in sorted(names)])


def _json_row(file: _File, number: int, line: bytes) -> Mapping[str, str | None]:
    try:
        row = strict_json.parse(line)
        if not isinstance(row, dict):
            raise TableFileError(f"{file.path}, line {number}: it is not a JSON object.")
        if not row:
            raise TableFileError(f"{file.path}, line {number}: it is an empty object.")
        if len(row) > MOST_COLUMNS:
            raise TableFileError(f"{file.path}, line {number}: it has more than {MOST_COLUMNS:,} names.")
        return strict_json.typed(row) if file.typed else strict_json.texts(row, file.plain)
    except strict_json.JsonError as error:
        raise TableFileError(f"{file.path}, line {number}: {error}.") from error


def _parquet(file: _File) -> Iterator[pl.DataFrame]:
    path = file.path
    with pyarrow.parquet.ParquetFile(path) as parquet:
        schema = parquet.schema_arrow
        names = list(schema.names)
        _check_width(path, names)
        twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
        if twice is not None:
            raise TableFileError(f"{path}: two columns have the name {twice[:60]!r}.")
        for field in schema:
            if field.name in file.plain and pa.types.is_nested(field.type):
                raise TableFileError(f"{path}: the column {field.name!r} holds {field.type}, not a text or a number.")
        metadata = parquet.metadata
        if metadata.num_rows > MOST_ROWS:
            raise TableFileError(f"{path} has more than {MOST_ROWS:,} rows: split it.")
        if sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)) > MOST_BYTES:
            raise TableFileError(f"{path} has more than {MOST_BYTES >> 20:,} MiB, unpacked: split it.")
        first = 1
        for batch in itertools.chain([schema.empty_table()], parquet.iter_batches(BATCH_ROWS)):
            frame = pl.DataFrame(pl.from_arrow(batch))
            yield _typed(path, frame, first) if file.typed else _texts(frame)
            first += frame.height


def _typed(path: Path, frame: pl.DataFrame, first: int = 1) -> pl.DataFrame:
    """Every value as JSON; ``first`` is the number of the first row."""
    columns = []
    for name, kind in frame.schema.items():
        values = frame.select(_as_text(name, kind) if isinstance(kind, pl.Datetime) else name).to_series().to_list()
        written = []
        for row, value in enumerate(values, first):
            try:
                written.append(strict_json.write(_plain(value), repr(name[:60])))
            except UnicodeDecodeError as error:
                raise TableFileError(f"{path}, row {row}: {name[:60]!r} holds bytes that are no text.") from error
            except strict_json.JsonError as error:
                raise TableFileError(f"{path}, row {row}: {error}.") from error
        columns.append(pl.Series(name, written, pl.String))
    return pl.DataFrame(columns)


def _plain(value: Any) -> Any:  # noqa: ANN401 (whatever a column holds)
    """A value of Parquet as JSON can say it."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        value = float(value)
    return None if isinstance(value, float) and isnan(value) else value


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(_as_text(name, kind).alias(name) for name, kind in frame.schema.items())


def _as_text(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.Datetime):
        # A column with a zone shows its local time; the instant is what counts.
        instant = column if kind.time_zone is None else column.dt.convert_time_zone("UTC")
        return instant.dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ")
    if isinstance(kind, pl.Date):
        return column.dt.to_string("iso")
    if isinstance(kind, pl.Struct):
        return column.struct.json_encode()
    if isinstance(kind, pl.List | pl.Array):
        whole = pl.struct(column.alias("v")).struct.json_encode()
        return pl.when(column.is_not_null()).then(whole.str.strip_prefix('{"v":').str.strip_suffix("}"))
    return column.cast(pl.String)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")
