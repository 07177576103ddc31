"""Rows of a CSV, JSON Lines or Parquet file, one dict at a time, bounded in bytes, each with where it stands.

A cell of a CSV file is text; one of JSON Lines or Parquet is what JSON can say. Nothing is guessed about a column.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from math import isfinite, isnan
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

MOST_LINE_BYTES = 64 * 1024 * 1024
_BATCH_ROWS = 4_096
_MOST_DEPTH = 100


class ItemFileError(Exception):
    """The file cannot be read; the message names it and the line or row."""


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the rows of a ``.csv``, ``.jsonl``, ``.ndjson`` or ``.parquet`` file.

    Yields:
        Where the row stands ("line 3", "row 3"; a row counts without the header) and its columns; no value is NaN, no
        text holds half a surrogate pair, nothing is nested deeper than 100 levels.

    Raises:
        ItemFileError: the file or a row of it cannot be read.
    """
    if not path.is_file():
        raise ItemFileError(f"{path} cannot be read: there is no such file.")
    readers = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ItemFileError(f"{path}: name a .csv, .jsonl or .parquet file.")
    try:
        yield from reader(path)
    except OSError as error:
        raise ItemFileError(f"{path} cannot be read: {error.strerror or error}.") from error


def parse_json(text: str) -> Any:  # noqa: ANN401 (whatever JSON says)
    """Parse JSON as the standard has it.

    Raises:
        ValueError: it is not JSON, has NaN or an infinity, half a surrogate pair, or more than 100 levels.
    """
    try:
        value = json.loads(text, parse_constant=_not_json, parse_float=_finite)
        _check_depth(value)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError("it holds half a surrogate pair") from error
    return value


def _not_json(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _check_depth(value: object) -> None:
    """Refuse what is nested deeper than is read."""
    level = [value]
    for _ in range(_MOST_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {_MOST_DEPTH} levels")


def _lines(path: Path, file: IO[bytes]) -> Iterator[tuple[int, str]]:
    """The numbered lines of a file as text, none longer than is read."""
    number = 0
    while line := file.readline(MOST_LINE_BYTES + 1):
        number += 1
        if len(line) > MOST_LINE_BYTES:
            raise ItemFileError(f"{path}, line {number}: it has more than {MOST_LINE_BYTES // 2**20} MiB.")
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ItemFileError(f"{path}, line {number}: it is not UTF-8 text.") from error


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in _lines(path, file):
            if not line.strip():
                continue
            try:
                row = parse_json(line)
            except ValueError as error:
                raise ItemFileError(f"{path}, line {number}: not a JSON object ({error}).") from error
            if not isinstance(row, dict):
                raise ItemFileError(f"{path}, line {number}: not a JSON object.")
            yield f"line {number}", row


def _bounded(path: Path, lines: Iterable[tuple[int, str]]) -> Iterator[str]:
    """Lines for the CSV reader, which joins those of one quoted field: together they are bounded too."""
    pending = quotes = 0
    for number, line in lines:
        pending, quotes = pending + len(line), quotes + line.count('"')
        if pending > MOST_LINE_BYTES:
            raise ItemFileError(
                f"{path}, line {number}: a quoted field ends nowhere within {MOST_LINE_BYTES // 2**20} MiB."
            )
        if quotes % 2 == 0:
            pending = quotes = 0
        yield line


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    before = csv.field_size_limit(MOST_LINE_BYTES)
    try:
        with path.open("rb") as file:
            rows = csv.reader(_bounded(path, _lines(path, file)), strict=True)
            header = next(rows, [])
            repeated = next((name for name in header if header.count(name) > 1), None)
            if repeated is not None:
                raise ItemFileError(f"{path}: two columns are named {repeated!r}.")
            number = 0
            for row in rows:
                if not row:
                    continue
                number += 1
                if len(row) != len(header):
                    raise ItemFileError(f"{path}, row {number}: it has {len(row)} fields, the header {len(header)}.")
                yield f"row {number}", dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise ItemFileError(f"{path} cannot be read: line {rows.line_num}: {error}.") from error
    finally:
        csv.field_size_limit(before)


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            largest = max(
                (file.metadata.row_group(n).total_byte_size for n in range(file.metadata.num_row_groups)), default=0
            )
            if largest > 32 * MOST_LINE_BYTES:
                raise ItemFileError(f"{path}: a row group has more than {32 * MOST_LINE_BYTES // 2**30} GiB.")
            number = 0
            for batch in file.iter_batches(_BATCH_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    try:
                        yield f"row {number}", {name: _plain(value) for name, value in row.items()}
                    except ValueError as error:
                        raise ItemFileError(f"{path}, row {number}: {error}.") from error
    except pa.ArrowException as error:
        raise ItemFileError(f"{path} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from error


def _plain(value: Any) -> Any:  # noqa: ANN401 (whatever a column holds)
    """A Parquet value as JSON can say it.

    Raises:
        ValueError: it cannot.
    """
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, datetime | date):
        value = value.isoformat()
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and isnan(value):
        # So data frames write what is missing.
        return None
    try:
        return parse_json(json.dumps(value))
    except TypeError as error:
        raise ValueError(f"a value of the type {type(value).__name__} cannot be kept") from error
