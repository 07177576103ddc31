"""Rows as people and programs want them: table, CSV, JSON, JSON Lines, Parquet or Arrow."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from rich.console import Console
from rich.table import Table
from rich.text import Text

FORMATS = ("table", "csv", "json", "jsonl", "parquet", "arrow")
_BINARY = frozenset({"parquet", "arrow"})
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160)) if code != ord("\n")}


def printable(text: str) -> str:
    """Text with control characters spelled out, so that stored content cannot steer a terminal."""
    return text.translate(_CONTROL)


def write_rows(rows: pa.Table, form: str, out: Path | None) -> None:
    """Write rows in one of FORMATS to a file or to standard output.

    Raises:
        click.UsageError: a binary form was asked for on a terminal.
    """
    if form in _BINARY and out is None and sys.stdout.isatty():
        raise click.UsageError(f"{form} is binary: name a file with --out, or redirect the output.")
    if form == "table":
        text = _table(rows)
    elif form == "csv":
        text = pl.DataFrame(_flat(rows)).write_csv()
    elif form == "json":
        text = json.dumps(list(records(rows)), ensure_ascii=False, indent=2) + "\n"
    elif form == "jsonl":
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records(rows))
    else:
        data = _binary(rows, form)
        if out:
            out.write_bytes(data)
        else:
            sys.stdout.buffer.write(data)
        return
    if out:
        out.write_text(text, "utf-8")
    else:
        click.echo(text, nl=False)


def _binary(rows: pa.Table, form: str) -> bytes:
    buffer = io.BytesIO()
    if form == "parquet":
        pyarrow.parquet.write_table(rows, buffer, compression="zstd")
    else:
        with pa.ipc.new_stream(buffer, rows.schema) as stream:
            stream.write_table(rows)
    return buffer.getvalue()


def records(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as JSON-ready dicts: times in ISO 8601 to the nanosecond, decimals as numbers, no NaN."""
    for record in _readable(rows).to_pylist():
        yield {name: _json_value(value) for name, value in record.items()}


def _readable(rows: pa.Table) -> pa.Table:
    """Nanosecond times as text: Python's own datetime holds microseconds only."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            text = pc.replace_substring(pc.cast(rows.column(index), pa.string()), " ", "T")
            text = pc.replace_substring_regex(text, r"(\.\d*?)0+$", r"\1")
            rows = rows.set_column(index, field.name, pc.replace_substring_regex(text, r"\.$", ""))
    return rows


def _json_value(value: Any) -> Any:  # noqa: ANN401 (cells have any type)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _json_value(item) for name, item in value.items()}
    return value


def _cell(value: Any) -> str:  # noqa: ANN401
    plain = _json_value(value)
    if plain is None:
        return ""
    if isinstance(plain, bool | list | dict):
        return json.dumps(plain, ensure_ascii=False)
    return plain.replace("T", " ") if isinstance(value, datetime) else str(plain)


def _flat(rows: pa.Table) -> dict[str, list[str]]:
    readable = _readable(rows)
    return {name: [_cell(value) for value in readable[name].to_pylist()] for name in rows.column_names}


def _table(rows: pa.Table) -> str:
    """A table as wide as its content on a pipe, as wide as the terminal on a terminal."""
    terminal = sys.stdout.isatty()
    console = Console(file=io.StringIO(), width=None if terminal else 10_000, color_system=None)
    table = Table(box=None, pad_edge=False, header_style="")
    numeric = {
        field.name for field in rows.schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    }
    for name in rows.column_names:
        table.add_column(Text(printable(name)), justify="right" if name in numeric else "left", overflow="fold")
    columns = _flat(rows)
    for index in range(rows.num_rows):
        table.add_row(*(Text(printable(columns[name][index])) for name in rows.column_names))
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
