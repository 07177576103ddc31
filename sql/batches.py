"""Tables of several arrivals put together into one batch of writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

IDENTITY: Mapping[str, tuple[str, ...]] = {"spans": ("span_id", "trace_id"), "resources": ("resource_id",)}
"""What identifies a row of a batch, the most distinct column first; `MERGE` does not look inside its own source."""

SPARSE = frozenset({"spans"})
"""Tables with many columns that few rows fill: their writes put null where a column is not there."""


def combined(parts: Iterable[Mapping[str, pa.Table]]) -> dict[str, pa.Table]:
    """Tables of several parts put together by name; empty ones left out, repeated spans and resources dropped.

    A column of a sparse table that holds no value at all is left out too: carried, it would cost as much as any other.
    """
    found: dict[str, list[pa.Table]] = {}
    for tables in parts:
        for name, table in tables.items():
            if table.num_rows:
                found.setdefault(name, []).append(table)
    result = {}
    for name, same in found.items():
        table = same[0] if len(same) == 1 else pa.concat_tables(same, promote_options="default")
        table = first_of_each(table, *IDENTITY[name]) if name in IDENTITY else table
        if name in SPARSE:
            table = table.select([column for column in table.column_names if table[column].null_count < len(table)])
        result[name] = table
    return result


def first_of_each(table: pa.Table, *keys: str) -> pa.Table:
    """Drop repetitions inside a batch: an exporter may send a span twice in one request.

    Args:
        table: the rows.
        keys: what identifies a row, the most distinct key first.
    """
    column = table[keys[0]]
    if pc.count_distinct(column, mode="all").as_py() == len(column):
        return table
    frame = pl.DataFrame(pl.from_arrow(table.select(list(keys))))
    return table.filter(frame.select(pl.struct(keys).is_first_distinct()).to_series().to_arrow())
