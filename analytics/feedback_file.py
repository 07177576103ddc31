"""Outcome files: CSV, JSON Lines or Parquet → feedback rows, or one sentence that says which row is wrong.

Columns and what they hold: sql/feedback_rows.py. Other columns are kept as attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa

from analytics.errors import InputError
from analytics.table_file import TableFileError, read_table
from sql.feedback_rows import FIELDS, KEYS, FeedbackRowError, feedback_rows


class FeedbackFileError(InputError):
    """The file cannot be imported; nothing of it was stored."""


@dataclass(frozen=True)
class Columns:
    """Where the fields of a row stand, if not in a column of the same name.

    Attributes:
        named: field → the column that holds it.
        constant: field → what it is in every row; a column of that name is one among others.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    constant: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str | None:
        """The column that holds a field; None for a constant."""
        return None if name in self.constant else self.named.get(name, name)


_AS_NAMED = Columns()


def read_feedback(path: Path, received_at: datetime, columns: Columns = _AS_NAMED) -> pa.Table:
    """Read and check an outcome file whole.

    Args:
        path: a ``.csv``, ``.jsonl``, ``.ndjson`` or ``.parquet`` file; the former perhaps with ``.gz`` or ``.zst``.
        received_at: the arrival time to store (UTC, naive).
        columns: where the fields stand.

    Returns:
        Rows for the named write ``feedback``, in the order of the file.

    Raises:
        FeedbackFileError: the file cannot be read, or a row is not usable; the message names file and row.
    """
    held = {name: column for name in FIELDS if (column := columns.of(name)) is not None}
    is_lines = any(suffix in path.name.lower() for suffix in (".jsonl", ".ndjson"))
    found = [_empty()]
    first = 1
    try:
        for batch in read_table(path, plain=frozenset(held.values())):
            if first == 1 and not is_lines:
                _check_columns(path, batch.columns, columns)
            found.append(_rows(batch, held, columns.constant, first))
            first += batch.height
    except FeedbackRowError as error:
        shown = columns.named.get(error.field)
        where = f" (column {shown!r})" if shown else ""
        raise FeedbackFileError(
            f"{path}, row {error.row}: {error.field}{where} {error.complaint}; nothing was imported."
        ) from error
    except TableFileError as error:
        raise FeedbackFileError(f"{error} Nothing was imported.") from error
    table: pa.Table = pl.concat(found).to_arrow(compat_level=pl.CompatLevel.oldest())
    received = pa.repeat(pa.scalar(received_at, pa.timestamp("us")), table.num_rows)
    return table.append_column("received_at", received)


def _empty() -> pl.DataFrame:
    return feedback_rows(pl.DataFrame(schema=dict.fromkeys(FIELDS, pl.String)), pl.DataFrame())


def _rows(batch: pl.DataFrame, held: Mapping[str, str], constant: Mapping[str, str], first: int) -> pl.DataFrame:
    given = {name: column for name, column in held.items() if column in batch.columns}
    fields = batch.select(
        *(pl.col(column).alias(name) for name, column in given.items()),
        *(pl.lit(text).alias(name) for name, text in constant.items()),
    )
    return feedback_rows(fields, batch.drop(set(given.values())), first=first)


def _check_columns(path: Path, there: list[str], columns: Columns) -> None:
    """See that the file has the columns that every row needs.

    Raises:
        FeedbackFileError: it has not.
    """
    found = f"found {', '.join(there)[:500] or 'none'}"
    for name, column in columns.named.items():
        if column not in there:
            raise FeedbackFileError(f"{path}: the column {column!r}, which was to be the {name}, is missing; {found}.")
    known = {name for name in FIELDS if name in columns.constant or columns.of(name) in there}
    for name in ("time", "name"):
        if name not in known:
            raise FeedbackFileError(f"{path}: the column {name!r} is missing; {found}.")
    if not {"value", "label"} & known:
        raise FeedbackFileError(f"{path}: a column 'value' or 'label' is missing; {found}.")
    if not set(KEYS) & known:
        raise FeedbackFileError(f"{path}: at least one key column is needed: {', '.join(KEYS)}; {found}.")
