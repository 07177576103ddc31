"""Named writes into a lake: the same as into a file, but for those of telemetry, which every commit has.

While one writer has its turn the others wait, so what a turn takes bounds what all collectors store together.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from sql import statements
from sql.named_writes import run_write

_TIMES = {"spans": "start_time", "log_records": "event_time"}
"""Writes with a text of their own, and the column whose bounds say in which files a row may be stored already."""

_ARRIVALS = "ingest_loads"

_SIGNALS = {"traces": "spans", "logs": "log_records"}
"""The signals whose records are the rows of one write."""


def write_tables(cursor: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> dict[str, int]:
    """Run named writes within the caller's transaction; the caller has the turn to write.

    Args:
        cursor: on the lake, in a transaction.
        tables: name of the write → its rows; empty tables are passed over.

    Returns:
        For each write, how many rows it stored.

    Raises:
        duckdb.Error: the rows cannot be written.
        KeyError: there is no such write.
    """
    stored = dict.fromkeys(tables, 0)
    for name, rows in tables.items():
        if rows.num_rows == 0:
            continue
        cursor.register("incoming", rows)
        if name in _TIMES:
            stored[name] = _run(cursor, name, _bounds(rows[_TIMES[name]]))
        elif name == _ARRIVALS and _all_new(rows, stored):
            stored[name] = _run(cursor, name, {})
        else:
            stored[name] = run_write(cursor, name)
        cursor.unregister("incoming")
    return stored


def take_back_doubles(cursor: duckdb.DuckDBPyConnection, stamp: datetime) -> int:
    """Delete what one commit stored that another one has, too, within the caller's transaction.

    Args:
        cursor: on the lake, in a transaction; the caller has the turn to write.
        stamp: the `received_at` of the commit.

    Returns:
        How many rows were deleted; the ledger counts them as duplicates.

    Raises:
        duckdb.Error: the lake cannot be read or written.
    """
    deleted = 0
    for signal, name in _SIGNALS.items():
        doubled = cursor.sql(statements.lake_write(f"doubled_{name}"), params={"stamp": stamp}).to_arrow_table()
        if doubled.num_rows == 0:
            continue
        cursor.register("doubled", doubled)
        keys = ", ".join(column for column in doubled.column_names if column != "service_name")
        cursor.execute(
            f"DELETE FROM live_{name} WHERE received_at = ? AND ({keys}) IN (SELECT ({keys}) FROM doubled)", [stamp]
        )
        cursor.execute(
            "INSERT INTO ingest_loads SELECT 0, (now() AT TIME ZONE 'UTC')::TIMESTAMP, ?, service_name, 0, -count(*),"
            " 0, count(*) FROM doubled GROUP BY service_name",
            [signal],
        )
        cursor.unregister("doubled")
        deleted += doubled.num_rows
    return deleted


def _run(cursor: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, int]) -> int:
    (changed,) = cursor.execute(statements.lake_write(name), parameters).fetchall()
    return int(changed[0])


def _bounds(times: pa.ChunkedArray) -> dict[str, int]:
    """The first and the last of times, in nanoseconds since 1970."""
    found = pc.min_max(times.cast(pa.timestamp("ns")).cast(pa.int64()))
    return {"first": found["min"].as_py(), "last": found["max"].as_py()}


def _all_new(arrivals: pa.Table, stored: Mapping[str, int]) -> bool:
    """Whether each record that was accepted is a row that was stored just now."""
    new = pa.table({"signal": arrivals["signal"], "new": pc.subtract(arrivals["accepted"], arrivals["rejected"])})
    counted = new.group_by("signal").aggregate([("new", "sum")]).to_pylist()
    return all(stored.get(_SIGNALS.get(row["signal"], ""), -1) == row["new_sum"] for row in counted)
