"""What a lake's catalog tells of its files: how many there are, how large, what is deleted in them, who looks after it.

It is asked of PostgreSQL itself: a look costs milliseconds, and needs neither DuckDB nor the files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sql.errors import StoreError, StoreUnavailableError
from sql.lake_address import LakeAddress
from sql.lake_turn import TASKS, connected

_FILES = """
    SELECT t.table_name, f.file_size_bytes AS size_bytes, f.record_count AS rows,
        coalesce(sum(d.delete_count), 0)::BIGINT AS deleted
    FROM ducklake_data_file AS f
    JOIN ducklake_table AS t ON t.table_id = f.table_id AND t.end_snapshot IS NULL
    LEFT JOIN ducklake_delete_file AS d ON d.data_file_id = f.data_file_id AND d.end_snapshot IS NULL
    WHERE f.end_snapshot IS NULL
    GROUP BY t.table_name, f.data_file_id, f.file_size_bytes, f.record_count
"""

_COLUMN_BYTES = """
    SELECT c.column_name, sum(s.column_size_bytes)::BIGINT AS size_bytes
    FROM ducklake_file_column_stats AS s
    JOIN ducklake_data_file AS f ON f.data_file_id = s.data_file_id AND f.end_snapshot IS NULL
    JOIN ducklake_table AS t ON t.table_id = f.table_id AND t.end_snapshot IS NULL
    JOIN ducklake_column AS c ON c.table_id = s.table_id AND c.column_id = s.column_id AND c.end_snapshot IS NULL
    WHERE t.table_name = %s
    GROUP BY c.column_name
"""

_HISTORY = """
    SELECT (SELECT count(*) FROM ducklake_snapshot) AS snapshots,
        (SELECT min(snapshot_time) AT TIME ZONE 'UTC' FROM ducklake_snapshot) AS oldest_snapshot_at,
        (SELECT count(*) FROM ducklake_files_scheduled_for_deletion) AS files_let_go,
        clock_timestamp() AT TIME ZONE 'UTC' AS now
"""

_INLINED = """
    SELECT t.table_name, i.table_name AS held_in
    FROM ducklake_inlined_data_tables AS i
    JOIN ducklake_table AS t ON t.table_id = i.table_id AND t.end_snapshot IS NULL
"""

_HOLDER = """
    SELECT a.application_name AS name, host(a.client_addr) AS host, a.backend_start AT TIME ZONE 'UTC' AS since
    FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (l.classid::BIGINT << 32) + l.objid::BIGINT = %s
"""


@dataclass(frozen=True)
class DataFile:
    """A file that holds rows of a table now.

    Attributes:
        size_bytes: its size.
        rows: rows in it, deleted ones too.
        deleted: rows of it that are deleted.
    """

    size_bytes: int
    rows: int
    deleted: int

    @property
    def used_bytes(self) -> int:
        """About how much of it is of rows that are not deleted."""
        return self.size_bytes * (self.rows - self.deleted) // max(self.rows, 1)


@dataclass(frozen=True)
class InlinedRows:
    """Rows of a table that are in the catalog itself.

    Attributes:
        held_in: the catalog's table.
        live: rows that there are now.
        dead: rows that older snapshots alone may see.
    """

    held_in: str
    live: int
    dead: int


@dataclass(frozen=True)
class History:
    """What a lake keeps for whoever reads it as it was.

    Attributes:
        snapshots: how many states of it can be read.
        oldest_snapshot_at: when the oldest was committed (UTC, naive).
        files_let_go: files that no state needs, which are not removed yet.
        now: the catalog's clock (UTC, naive).
    """

    snapshots: int
    oldest_snapshot_at: datetime | None
    files_let_go: int
    now: datetime


@dataclass(frozen=True)
class Holder:
    """The process that holds a right.

    Attributes:
        name: as its connection names it: its number and machine.
        host: the address that it connects from; None of a local socket.
        since: when it connected (UTC, naive).
    """

    name: str
    host: str | None
    since: datetime


class LakeCatalog:
    """A connection that asks a lake's catalog.

    Args:
        address: the lake.

    Raises:
        StoreUnavailableError: the catalog cannot be reached.
    """

    def __init__(self, address: LakeAddress) -> None:
        self._address = address
        self._connection = connected(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def files(self) -> dict[str, list[DataFile]]:
        """The files of each table that has any.

        Raises:
            StoreUnavailableError: the catalog went away.
            StoreError: the lake has not been made yet.
        """
        found: dict[str, list[DataFile]] = {}
        for row in self._rows(_FILES):
            found.setdefault(row.pop("table_name"), []).append(DataFile(**row))
        return found

    def column_bytes(self, table: str) -> dict[str, int]:
        """What each column of a table takes of its files.

        Raises:
            StoreError: as for files.
        """
        return {row["column_name"]: row["size_bytes"] or 0 for row in self._rows(_COLUMN_BYTES, [table])}

    def history(self) -> History:
        """What is kept for whoever reads the lake as it was.

        Raises:
            StoreError: as for files.
        """
        (row,) = self._rows(_HISTORY)
        return History(**row)

    def snapshots_before(self, moment: datetime) -> list[int]:
        """The numbers of snapshots that were committed before a moment (UTC, naive), the oldest first, but the newest.

        Raises:
            StoreError: as for files.
        """
        query = (
            "SELECT snapshot_id FROM ducklake_snapshot WHERE snapshot_time < %s AT TIME ZONE 'UTC'"
            " AND snapshot_id < (SELECT max(snapshot_id) FROM ducklake_snapshot) ORDER BY snapshot_id"
        )
        return [row["snapshot_id"] for row in self._rows(query, [moment])]

    def inlined(self) -> dict[str, list[InlinedRows]]:
        """The rows of each table that are in the catalog, where there are any, dead or alive.

        Raises:
            StoreError: as for files.
        """
        held = {row["held_in"]: row["table_name"] for row in self._rows(_INLINED)}
        if not held:
            return {}
        parts = (
            f"SELECT '{name}' AS held_in, count(*) - count(end_snapshot) AS live, count(end_snapshot) AS dead"
            f" FROM {name}"
            for name in held
        )
        found: dict[str, list[InlinedRows]] = {}
        for row in self._rows(" UNION ALL ".join(parts)):
            if row["live"] or row["dead"]:
                found.setdefault(held[row["held_in"]], []).append(InlinedRows(**row))
        return found

    def has_inlined_deletes(self, table: str) -> bool:
        """Whether the catalog itself holds deletions of rows that are in a table's files.

        Raises:
            StoreError: as for files.
        """
        (row,) = self._rows(
            "SELECT 'ducklake_inlined_delete_' || table_id AS name FROM ducklake_table"
            " WHERE table_name = %s AND end_snapshot IS NULL",
            [table],
        )
        (known,) = self._rows("SELECT to_regclass(%s) IS NOT NULL AS known", [row["name"]])
        return bool(known["known"] and self._rows(f"SELECT 1 AS one FROM {row['name']} LIMIT 1"))

    def forget_dead_rows(self) -> int:
        """Delete rows from the catalog that no snapshot sees; DuckLake leaves them there (duckdb/ducklake#1390).

        A row is seen by the snapshots before the one that ended it.

        Returns:
            How many.

        Raises:
            StoreError: as for files.
        """
        forgotten = 0
        for tables in self.inlined().values():
            for rows in tables:
                if rows.dead:
                    forgotten += self._change(
                        f"DELETE FROM {rows.held_in}"
                        " WHERE end_snapshot <= (SELECT min(snapshot_id) FROM ducklake_snapshot)"
                    )
        return forgotten

    def holder(self, right: int = TASKS) -> Holder | None:
        """The process that holds a right (sql/lake_turn.py); None if nobody does.

        Raises:
            StoreUnavailableError: the catalog went away.
        """
        found = self._rows(_HOLDER, [right])
        return Holder(**found[0]) if found else None

    def _rows(self, query: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        from psycopg.rows import dict_row  # noqa: PLC0415 (of the extra `lake`)

        with self._asking(), self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, parameters or None).fetchall()

    def _change(self, statement: str) -> int:
        with self._asking(), self._connection.cursor() as cursor:
            return cursor.execute(statement).rowcount

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        import psycopg  # noqa: PLC0415 (of the extra `lake`)

        try:
            yield
        except psycopg.errors.UndefinedTable as error:
            raise StoreError(f"There is no store at {self._address} yet; `spanverdict serve` makes one.") from error
        except psycopg.Error as error:
            said = " ".join(str(error).split()).rstrip(".")
            raise StoreUnavailableError(f"The catalog of {self._address} went away: {said}.") from error


def used_bytes(files: Mapping[str, Sequence[DataFile]]) -> int:
    """About how much of their files the rows of all tables take."""
    return sum(file.used_bytes for held in files.values() for file in held)
