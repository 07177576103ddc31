"""Data sets: items that base and candidate are both run on, from a file to rows, or one sentence that says what is off.

Columns: ``id`` and ``input``; optionally ``cohort`` and ``expected``. Other columns are kept as attributes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from analytics.errors import InputError
from analytics.table_file import TableFileError, read_table
from sql import statements, strict_json
from sql.access import Access

MOST_ITEMS = 1_000_000
LONGEST_LINE = 64 * 2**20
"""Bytes of a line: an item may carry documents and images."""

_LONGEST_ID = 1_024
_COLUMNS = ("id", "input", "cohort", "expected")
_SCHEMA = pa.schema(
    {
        "dataset": pa.string(),
        "item_id": pa.string(),
        "input": pa.string(),
        "cohort": pa.string(),
        "expected": pa.string(),
        "attributes": pa.string(),
        "imported_at": pa.timestamp("us"),
    }
)


class DatasetError(InputError):
    """A data set cannot be imported, or there is none of that name; nothing was stored."""


def read_items(path: Path, dataset: str, imported_at: datetime) -> pa.Table:
    """Read and check a file of items whole.

    Args:
        path: a ``.csv``, ``.jsonl``, ``.ndjson`` or ``.parquet`` file; the former perhaps with ``.gz`` or ``.zst``.
        dataset: the name of the data set.
        imported_at: the time to store (UTC, naive).

    Returns:
        Rows for the named write ``dataset_items``; ``input`` and ``expected`` as JSON text.

    Raises:
        DatasetError: the file cannot be read, or a row is not usable; the message names file and row.
    """
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, row in enumerate(_rows(path), 1):
        item = _item(f"{path}, row {number}", row)
        known = found.setdefault(item["item_id"], (number, item))
        if known[1] != item:
            raise DatasetError(
                f"{path}, row {number}: the id {item['item_id'][:60]!r} is that of row {known[0]}, which says"
                " something else; nothing was imported."
            )
        if len(found) > MOST_ITEMS:
            raise DatasetError(f"{path} has more than {MOST_ITEMS:,} items; nothing was imported.")
    if not found:
        raise DatasetError(f"{path} has no items; nothing was imported.")
    rows = [{"dataset": dataset, "imported_at": imported_at, **item} for _, item in found.values()]
    return pa.Table.from_pylist(rows, _SCHEMA)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        for batch in read_table(path, typed=True, longest=LONGEST_LINE):
            for row in batch.iter_rows(named=True):
                yield {name: json.loads(cell) for name, cell in row.items() if cell is not None}
    except TableFileError as error:
        raise DatasetError(f"{error} Nothing was imported.") from error


def _item(where: str, row: dict[str, Any]) -> dict[str, Any]:
    """One row as an item.

    Raises:
        DatasetError: it lacks what an item has, or holds what it cannot.
    """
    for name in ("id", "input"):
        if name not in row:
            known = ", ".join(map(str, row)) or "none"
            raise DatasetError(f"{where}: the column {name!r} is missing; found {known}; nothing was imported.")
    item_id, cohort = _label(where, "id", row["id"]), _label(where, "cohort", row.get("cohort"))
    if item_id is None:
        raise DatasetError(f"{where}: the id is empty; nothing was imported.")
    content = _json(row["input"])
    if content is None:
        raise DatasetError(f"{where}: the input of item {item_id[:60]!r} is empty; nothing was imported.")
    others = {name: value for name, value in row.items() if name not in _COLUMNS}
    return {
        "item_id": item_id,
        "input": content,
        "cohort": cohort,
        "expected": _json(row.get("expected")),
        "attributes": json.dumps(others, ensure_ascii=False, sort_keys=True),
    }


def _label(where: str, name: str, value: object) -> str | None:
    """A short text; numbers are written as such, nothing else is one.

    Raises:
        DatasetError: it is no text, or too long.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise DatasetError(f"{where}: the {name} is {str(value)[:60]}, not a text; nothing was imported.")
    text = "" if value is None else str(value).strip()
    if len(text) > _LONGEST_ID:
        raise DatasetError(f"{where}: the {name} has more than {_LONGEST_ID:,} characters; nothing was imported.")
    return text or None


def _json(value: object) -> str | None:
    """A value as JSON text; a text that is itself a JSON object or array is read, as CSV has no other way."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        with contextlib.suppress(strict_json.JsonError):
            value = strict_json.parse_storable(value)
    return json.dumps(value, ensure_ascii=False)


def find_items(store: Access, dataset: str) -> pl.DataFrame:
    """The items of a data set: ``item_id``, ``cohort``, ``input``, ``expected``, ``attributes``, ``imported_at``.

    Raises:
        DatasetError: there is none of that name; the message names those that are there.
    """
    found = pl.DataFrame(pl.from_arrow(store.read(statements.read("dataset_items"), {"dataset": dataset})))
    if found.is_empty():
        names = store.read(statements.read("datasets"))["dataset"].to_pylist()
        known = f"known here are {', '.join(names)}" if names else "none is imported yet"
        raise DatasetError(f"There is no data set {dataset!r}; {known}. Import it with `spanverdict dataset import`.")
    return found
