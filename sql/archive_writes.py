"""What changes the archive, each in one transaction of the store: no query sees a row twice, or not at all.

A file is there, whole and synced, before the transaction that lists it; one that is listed no more stays until no query
of before can be reading it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from sql.archive_views import literal, make_views, relative
from sql.archived_tables import TABLES, ArchivedTable, file_in, is_file_name, lost_file_sentence
from sql.errors import RowsRefusedError
from sql.read_only import first_line

_LOG = logging.getLogger("spanverdict.archive")

WRITES = frozenset({"archived_files", "thawed_files"})
"""The named writes that this module does."""

SLICE_ROWS = 400_000
"""Rows deleted by one statement: of some millions the process may die (duckdb#21749)."""


def change(cursor: duckdb.DuckDBPyConnection, name: str, store: Path) -> int:
    """Do a named write of the archive with the rows registered as ``incoming``, within the caller's transaction.

    ``archived_files``: each row lists a file of a day, with `live_rows`, the rows it took from the live table, which
    are deleted there; `replaces` names the file it takes the place of. Without a `file` the rows of the file that it
    `replaces` are given up.
    ``thawed_files``: the rows of each `file` go back into the live table, and the file is listed no more.

    Args:
        cursor: in a transaction.
        name: the write.
        store: the store's path.

    Returns:
        How many files were listed, or rows brought back.

    Raises:
        RowsRefusedError: a file cannot be read, or the rows changed since it was written.
        duckdb.Error: the database cannot be written.
    """
    changed = _archive(cursor, store) if name == "archived_files" else _thaw(cursor, store)
    try:
        make_views(cursor, store)
    except duckdb.Error as error:
        if lost := file_in(str(error)):
            raise RowsRefusedError(lost_file_sentence(lost, first_line(error))) from error
        raise
    return changed


def _archive(cursor: duckdb.DuckDBPyConnection, store: Path) -> int:
    found = cursor.execute("SELECT table_name, day::VARCHAR, file, replaces, rows, live_rows FROM incoming").fetchall()
    for table_name, day, file, replaces, rows, live_rows in found:
        table = TABLES.get(table_name)
        if table is None or (file is not None and not is_file_name(file)):
            raise RowsRefusedError(f"{file} of {table_name} is no file of an archive.")
        listed = [
            name
            for (name,) in cursor.execute(
                "SELECT file FROM archived_files WHERE table_name = ? AND day = ?::DATE", [table_name, day]
            ).fetchall()
        ]
        if listed != ([replaces] if replaces else []):
            raise RowsRefusedError(f"Another process has archived the {table_name} of {day} meanwhile.")
        _take_off(cursor, replaces)
        if file:
            if (held := _rows_in(cursor, store, file)) != rows:
                raise RowsRefusedError(f"The file {file} holds {held} rows, not {rows}; it is not listed.")
            if _delete(cursor, store, table, day, file) < live_rows:
                raise RowsRefusedError(
                    f"The {table_name} of {day} changed while they were archived; the next run takes them up."
                )
    cursor.execute(
        "INSERT INTO archived_files BY NAME SELECT * EXCLUDE (replaces, live_rows) FROM incoming WHERE file IS NOT NULL"
    )
    return sum(1 for row in found if row[2])


def _take_off(cursor: duckdb.DuckDBPyConnection, file: str | None) -> None:
    cursor.execute("DELETE FROM archived_files WHERE file = ?", [file])
    cursor.execute(
        "INSERT INTO replaced_files SELECT file, (now() AT TIME ZONE 'UTC')::TIMESTAMP"
        " FROM (SELECT ? AS file) WHERE file IS NOT NULL",
        [file],
    )


def _rows_in(cursor: duckdb.DuckDBPyConnection, store: Path, file: str) -> int:
    try:
        (count,) = cursor.execute(f"SELECT count(*) FROM {_parquet(store, file)}").fetchall()[0]
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise RowsRefusedError(lost_file_sentence(file, first_line(error))) from error
    return int(count)


def _delete(cursor: duckdb.DuckDBPyConnection, store: Path, table: ArchivedTable, day: str, file: str) -> int:
    """Delete from the live table what a file holds as it is there; returns how many rows those were."""
    same = " AND ".join(f"live.{column} = filed.{column}" for column in table.identity)
    if table.unchanged:
        same += f" AND live.{table.unchanged} IS NOT DISTINCT FROM filed.{table.unchanged}"
    deleted = 0
    for begin, end in _slices(cursor, table, day):
        within = f"{{0}}.{table.time} >= make_timestamp_ns({begin}) AND {{0}}.{table.time} < make_timestamp_ns({end})"
        text = (
            f"DELETE FROM {table.live} AS live USING {_parquet(store, file)} AS filed"
            f" WHERE {within.format('live')} AND {within.format('filed')} AND {same}"
        )
        deleted += int(cursor.execute(text).fetchall()[0][0])
    return deleted


def _slices(cursor: duckdb.DuckDBPyConnection, table: ArchivedTable, day: str) -> Iterator[tuple[int, int]]:
    """Parts of a day, in nanoseconds since 1970, each with a bounded number of live rows."""
    first, last = cursor.execute(
        f"SELECT epoch_ns({literal(day)}::TIMESTAMP_NS), epoch_ns({literal(day)}::TIMESTAMP + INTERVAL 1 DAY)"
    ).fetchall()[0]
    bounds = cursor.execute(
        f"SELECT DISTINCT epoch_ns(moment) FROM (SELECT {table.time} AS moment, row_number() OVER (ORDER BY"
        f" {table.time}) AS number FROM {table.live} WHERE {table.time} >= make_timestamp_ns({first}) AND"
        f" {table.time} < make_timestamp_ns({last})) WHERE number % {SLICE_ROWS} = 0 ORDER BY 1"
    ).fetchall()
    begin = first
    for (end,) in [*bounds, (last,)]:
        yield begin, end
        begin = end


def _thaw(cursor: duckdb.DuckDBPyConnection, store: Path) -> int:
    rows = 0
    for (file,) in cursor.execute("SELECT file FROM incoming").fetchall():
        listed = cursor.execute("SELECT table_name FROM archived_files WHERE file = ?", [file]).fetchall()
        if not listed:
            raise RowsRefusedError(f"{file} is no file of the archive; another process may have archived anew.")
        table = TABLES[listed[0][0]]
        _rows_in(cursor, store, file)
        text = f"INSERT INTO {table.live} BY NAME FROM {_parquet(store, file)} ORDER BY {table.time}"
        rows += int(cursor.execute(text).fetchall()[0][0])
        _take_off(cursor, file)
    return rows


def _parquet(store: Path, file: str) -> str:
    return f"read_parquet([{literal(relative(store, file))}], hive_partitioning = false)"


def not_archived(connection: duckdb.DuckDBPyConnection, table: ArchivedTable, rows: pa.Table, store: Path) -> pa.Table:
    """The rows that no file holds yet.

    Only files of the days that the rows are of are looked into, which rarely there are any. Where a file cannot be read
    its rows are taken for new ones: the run that archives them again drops what is there twice.

    Args:
        connection: the store; the caller holds its write lock.
        table: where the rows are going to.
        rows: what is to be written.
        store: the store's path.

    Raises:
        duckdb.Error: the rows cannot be looked at.
    """
    cursor = connection.cursor()
    try:
        if not cursor.execute("SELECT EXISTS (FROM archived_files WHERE table_name = ?)", [table.name]).fetchall()[0][
            0
        ]:
            return rows
        cursor.register("incoming", rows)
        files = cursor.execute(
            "SELECT file FROM archived_files WHERE table_name = ?"
            f" AND day IN (SELECT {table.time}::DATE FROM incoming)",
            [table.name],
        ).fetchall()
        for (file,) in files:
            try:
                rows = _without_those_of(cursor, table, rows, store, file)
            except (duckdb.IOException, duckdb.InvalidInputException) as error:
                _LOG.error(
                    "Whether spans or log records that arrived late were stored before cannot be told. %s",
                    lost_file_sentence(file, first_line(error)),
                )
    finally:
        cursor.close()
    return rows


def _without_those_of(
    cursor: duckdb.DuckDBPyConnection, table: ArchivedTable, rows: pa.Table, store: Path, file: str
) -> pa.Table:
    numbered = rows.append_column("row_number", pa.array(range(rows.num_rows), pa.int64()))
    cursor.register("numbered", numbered)
    keys = ", ".join(f"{expression} AS {column}" for column, expression in table.incoming_identity.items())
    known = cursor.execute(
        f"SELECT DISTINCT row_number FROM (SELECT row_number, {keys} FROM numbered) AS came"
        f" SEMI JOIN {_parquet(store, file)} AS filed USING ({', '.join(table.identity)})"
    ).fetchall()
    cursor.unregister("numbered")
    if not known:
        return rows
    gone = {number for (number,) in known}
    return rows.filter(pa.array([number not in gone for number in range(rows.num_rows)]))
