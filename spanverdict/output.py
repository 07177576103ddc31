"""Rows as people and programs want them: table, CSV, JSON, JSON Lines, Parquet or Arrow.

What was stored may have been written by anybody. In a table and on a terminal it is text and does nothing; CSV and JSON
in a file or a pipe are data, and give back what was stored, to the character; CSV for spreadsheet programs is made safe
to be opened there, which changes it.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc

FORMATS = ("table", "csv", "spreadsheet", "json", "jsonl", "parquet", "arrow")
LONGEST_CELL = 40
"""Characters of a cell that a terminal shows."""

LONGEST_OF_A_TABLE = 2_000
"""Characters of a cell that a table shows elsewhere: every line of it is padded to the longest."""

LONGEST_OF_A_SPREADSHEET = 32_000
"""Characters of a cell that spreadsheet programs hold."""

_BINARY = frozenset({"parquet", "arrow"})
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160)) if code != ord("\n")}
_DIRECTIONS = {
    code: f"\\u{code:04x}"
    for code in (0x61C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""Separators of lines, and controls of the writing direction, which reorder what stands around them."""
_ESCAPED_IN_JSON = {code: f"\\u{code:04x}" for code in (127, *range(128, 160), *_DIRECTIONS)}
"""Of the same, those that JSON lets stand as they are; within a string an escape is the same character."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a cell begins that a spreadsheet program may take for a formula, also in full width (OWASP, CSV Injection)."""


def printable(text: str) -> str:
    """Text with control characters spelled out, so that stored content cannot steer a terminal."""
    return text.translate(_CONTROLS | _DIRECTIONS)


def write_rows(rows: pa.Table, form: str, out: Path | None) -> None:
    """Write rows in one of FORMATS to a file or to standard output; columns of one name are numbered.

    Raises:
        click.UsageError: a binary form was asked for on a terminal, or the form or the file cannot take the rows.
    """
    if form in _BINARY and out is None and sys.stdout.isatty():
        raise click.UsageError(f"{form} is binary: name a file with --out, or redirect the output.")
    rows = rows.rename_columns(_numbered(rows.column_names))
    on_terminal = out is None and sys.stdout.isatty()
    if form == "table":
        text = _table(rows, on_terminal=on_terminal)
    elif form == "csv":
        text = _csv(_cells(rows))
        text = printable(text) if on_terminal else text
    elif form == "spreadsheet":
        # Quoted, so that what separates fields elsewhere does not do so here.
        text = _csv(_without_formulas(rows), quoted=True)
    elif form == "json":
        text = _json(list(records(rows)), indent=2) + "\n"
    elif form == "jsonl":
        text = "".join(_json(record) + "\n" for record in records(rows))
    else:
        data = _binary(rows, form)
        if out:
            write_file(out, data)
        else:
            sys.stdout.buffer.write(data)
        return
    if out:
        write_file(out, text.encode())
    else:
        click.echo(text, nl=False)


def write_file(out: Path, data: bytes) -> None:
    """Write a result that the user asked for.

    Raises:
        click.UsageError: the file cannot be written.
    """
    try:
        out.write_bytes(data)
    except OSError as error:
        raise click.UsageError(f"{out} cannot be written: {error.strerror}.") from error


def _numbered(names: list[str]) -> list[str]:
    """The names with the second ``n`` as ``n_1``, the third as ``n_2``: SQL lets two columns have one name."""
    taken = set(names)
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            number = next(number for number in itertools.count(1) if f"{name}_{number}" not in taken)
            names[index] = f"{name}_{number}"
            taken.add(names[index])
        seen.add(name)
    return names


def _binary(rows: pa.Table, form: str) -> bytes:
    buffer = io.BytesIO()
    if form == "parquet":
        import pyarrow.parquet as pq  # noqa: PLC0415 (as above)

        try:
            pq.write_table(rows, buffer, compression="zstd")
        except pa.ArrowNotImplementedError as error:
            raise click.UsageError(
                f"Parquet cannot hold a column: {error}. Cast it to VARCHAR in the query."
            ) from error
    else:
        with pa.ipc.new_stream(buffer, rows.schema) as stream:
            stream.write_table(rows)
    return buffer.getvalue()


def records(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as JSON-ready dicts: times in ISO 8601 to the nanosecond, decimals as numbers, no NaN."""
    columns = [[_json_value(value) for value in _values(column)] for column in rows.columns]
    for values in zip(*columns, strict=True):
        yield dict(zip(rows.column_names, values, strict=True))


def _values(column: pa.ChunkedArray) -> list[Any]:
    """A column as Python values; times as text, for Python's own hold neither nanoseconds nor every year."""
    kind = column.type
    if pa.types.is_nested(kind):
        return [_nested(scalar) for scalar in column]
    if pa.types.is_temporal(kind) and not (pa.types.is_interval(kind) or pa.types.is_duration(kind)):
        column = _iso(column)
    plain: list[Any] = column.to_pylist()
    return plain


def _iso(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times in ISO 8601 without trailing zeros; those with a zone in UTC."""
    kind = column.type
    zoned = pa.types.is_timestamp(kind) and kind.tz is not None
    text = pc.cast(column.cast(pa.timestamp(kind.unit)) if zoned else column, pa.string())
    if pa.types.is_timestamp(kind):
        text = pc.replace_substring_regex(text, r"^(\S+) (\d\d:)", r"\1T\2")
    text = pc.replace_substring_regex(text, r"(\.\d*?)0+$", r"\1")
    text = pc.replace_substring_regex(text, r"\.$", "")
    return pc.binary_join_element_wise(text, "Z", "") if zoned else text


def _nested(scalar: pa.Scalar) -> Any:  # noqa: ANN401 (cells have any type)
    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.MapScalar):
        return {str(_nested(key)): _nested(value) for key, value in zip(*scalar.values.flatten(), strict=True)}
    if isinstance(scalar, pa.StructScalar):
        return {name: _nested(scalar[index]) for index, name in enumerate(scalar.type.names)}
    if isinstance(scalar, pa.UnionScalar):
        return _nested(scalar.value)
    if pa.types.is_nested(scalar.type):
        return [_nested(item) for item in scalar.values]
    return _values(pa.chunked_array([pa.array([scalar])]))[0]


def _json_value(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, pa.MonthDayNano):
        return _iso_duration(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        return {name: _json_value(item) for name, item in value.items()}
    return value


def _iso_duration(interval: pa.MonthDayNano) -> str:
    """An interval as an ISO 8601 duration: P1M2DT3.5S."""
    seconds = f"{Decimal(interval.nanoseconds) / 10**9:f}"
    seconds = seconds.rstrip("0").rstrip(".") if "." in seconds else seconds
    return f"P{interval.months}M{interval.days}DT{seconds}S"


def _cell(value: Any) -> str | None:  # noqa: ANN401
    if isinstance(value, Decimal):
        return f"{value:f}"
    plain = _json_value(value)
    if isinstance(plain, bool | list | dict):
        return json.dumps(plain, ensure_ascii=False)
    return None if plain is None else str(plain)


def _cells(rows: pa.Table) -> dict[str, list[str | None]]:
    return {
        name: [_cell(value) for value in _values(column)]
        for name, column in zip(rows.column_names, rows.columns, strict=True)
    }


def _csv(columns: Mapping[str, Sequence[str | None]], *, quoted: bool = False) -> str:
    import polars as pl  # noqa: PLC0415 (not to be loaded for the other forms)

    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return frame.write_csv(quote_style="always" if quoted else "necessary")


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent).translate(_ESCAPED_IN_JSON)


def _without_formulas(rows: pa.Table) -> dict[str, list[str | None]]:
    """Cells that a spreadsheet program takes for what they are: numbers as they stand, texts inert and not too long."""
    names = _numbered([_inert_cell(name) for name in rows.column_names])
    columns = {}
    for name, cells, kind in zip(names, _cells(rows).values(), rows.schema.types, strict=True):
        is_number = _is_numeric(kind) or pa.types.is_decimal(kind)
        columns[name] = cells if is_number else [cell and _inert_cell(cell) for cell in cells]
    return columns


def _inert_cell(text: str) -> str:
    """A text with an apostrophe before what would begin a formula, cut where the program would."""
    shown = _cut(f"'{text}" if text.startswith(_FORMULA) else text, LONGEST_OF_A_SPREADSHEET)
    # Lines within a cell are fine: the field is quoted.
    return printable(shown)


@dataclass(frozen=True)
class _Column:
    """A column of a table: its heading, its cells, and whether they are numbers."""

    heading: str
    cells: Sequence[str]
    is_numeric: bool

    def cut(self, limit: int) -> _Column:
        return replace(self, heading=_cut(self.heading, limit), cells=[_cut(cell, limit) for cell in self.cells])


def _table(rows: pa.Table, *, on_terminal: bool) -> str:
    """Every column on a pipe; on a terminal the columns that fit, and less of long cells."""
    from rich.cells import cell_len  # noqa: PLC0415 (as above)
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    whole = [
        _Column(_in_line(name), [_in_line(cell or "") for cell in cells], _is_numeric(kind))
        for (name, cells), kind in zip(_cells(rows).items(), rows.schema.types, strict=True)
    ]
    shown = [column.cut(LONGEST_CELL if on_terminal else LONGEST_OF_A_TABLE) for column in whole]
    columns = _fitting(shown, shutil.get_terminal_size().columns) if on_terminal else shown
    buffer = io.StringIO()
    table = Table(box=None, pad_edge=False, header_style="")
    for column in columns:
        table.add_column(Text(column.heading), justify="right" if column.is_numeric else "left", no_wrap=True)
    for index in range(rows.num_rows):
        table.add_row(*(Text(column.cells[index]) for column in columns))
    # As wide as it needs, so that no column takes room from another.
    width = sum(max(map(cell_len, (column.heading, *column.cells))) + 2 for column in columns)
    Console(file=buffer, width=max(width, 1), color_system=None).print(table)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    if left_out := len(whole) - len(columns):
        lines.append(f"({left_out} more columns do not fit; --format json shows everything)")
    if not on_terminal and shown != whole:
        lines.append(f"(… is where a cell had more than {LONGEST_OF_A_TABLE:,} characters; --format json shows them)")
    return "\n".join(lines) + "\n"


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _fitting(columns: Sequence[_Column], width: int) -> list[_Column]:
    """The first columns that fit the width, and at least one."""
    fitting: list[_Column] = []
    for column in columns:
        needed = max(map(len, (column.heading, *column.cells)))
        if fitting and width < needed:
            break
        width -= needed + 2
        fitting.append(column)
    return fitting


def _in_line(text: str) -> str:
    """Text on one line: a cell of several would draw rows that are not there."""
    return printable(text).replace("\n", "\\n")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
