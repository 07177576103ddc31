"""A named write (sql/writes): which of its rows are new, and which text stores them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from sql import archive_writes, statements
from sql.archived_tables import TABLES

_USUALLY_NEW = {"spans": "known_spans", "evaluations": "known_evaluations", "feedback": "known_feedback"}
"""Writes that rarely find a row stored already, and the query that tells: an insert costs two thirds of a MERGE, and a
third or less of a write that replaces."""

_ARCHIVED = {**TABLES, "restored_spans": TABLES["spans"], "restored_log_records": TABLES["log_records"]}
"""Writes of rows that may be archived already, and the table that they go to."""


def write_rows(cursor: duckdb.DuckDBPyConnection, name: str, rows: pa.Table, store: Path) -> int:
    """Run a named write within the caller's transaction; the caller holds the write lock.

    Args:
        cursor: in a transaction.
        name: the write.
        rows: what it takes.
        store: the store's path.

    Returns:
        How many rows were stored.

    Raises:
        RowsRefusedError: the archive cannot be changed so.
        duckdb.Error: the rows cannot be written.
        KeyError: there is no such write.
    """
    if name in _ARCHIVED:
        rows = archive_writes.not_archived(cursor, _ARCHIVED[name], rows, store)
    if rows.num_rows == 0:
        return 0
    cursor.register("incoming", rows)
    stored = archive_writes.change(cursor, name, store) if name in archive_writes.WRITES else run_write(cursor, name)
    cursor.unregister("incoming")
    return stored


def run_write(cursor: duckdb.DuckDBPyConnection, name: str) -> int:
    """Run a named write with the rows registered as ``incoming``, whatever may be archived of them.

    Args:
        cursor: in a transaction.
        name: the write.

    Returns:
        How many rows were stored.

    Raises:
        duckdb.Error: the rows cannot be written.
        KeyError: there is no such write.
    """
    text = statements.write(name)
    if name in _USUALLY_NEW:
        known = cursor.execute(statements.read(_USUALLY_NEW[name])).fetchone()
        if known and not known[0]:
            text = statements.insert(name)
    # All of it: a result with rows left would still be under way at the commit.
    changed = cursor.execute(text).fetchall()
    return int(changed[0][0]) if changed else 0
