"""The store: one DuckDB file, owned by one process, written by one thread at a time, read by any number.

Why it is opened the way it is (versions, checkpoints, no index): docs/architecture.md.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

from sql import statements
from sql.errors import QueryError, StoreError, StoreFailedError, StoreUnavailableError

STORAGE_VERSION = "v1.5.0"
"""Files written so open in every DuckDB from 1.5.5 on."""

_FATAL = (duckdb.IOException, duckdb.FatalException, duckdb.InternalException)
_READABLE = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


class Store:
    """An open store.

    Args:
        path: the database file; made if absent unless ``read_only``.
        read_only: open without the right to write (several processes may do so while none writes).
        memory_limit: DuckDB's own memory limit, such as ``1GB``.

    Raises:
        StoreUnavailableError: the file cannot be opened, or another process holds it.
        StoreError: the file is of a newer version of spanverdict.
    """

    def __init__(self, path: Path, *, read_only: bool = False, memory_limit: str = "1GB") -> None:
        self.path = path
        self._write_lock = threading.Lock()
        config: dict[str, Any] = {"memory_limit": memory_limit}
        if not read_only:
            config |= {"storage_compatibility_version": STORAGE_VERSION, "wal_autocheckpoint": "256MB"}
        if read_only and not path.exists():
            raise StoreUnavailableError(f"There is no store at {path}; `spanverdict serve` makes one.")
        if not path.parent.is_dir():
            raise StoreUnavailableError(f"The folder {path.parent} of the store does not exist; make it first.")
        try:
            self._connection = duckdb.connect(str(path), read_only=read_only, config=config)
        except duckdb.Error as error:
            raise StoreUnavailableError(_opening_message(path, error)) from error
        try:
            self._prepare(read_only=read_only)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Checkpoint what is in the write-ahead log and close the file."""
        with self._write_lock:
            self._connection.close()

    def _prepare(self, *, read_only: bool) -> None:
        known = statements.migrations()
        newest = known[-1][0]
        at = self._version()
        if at > newest:
            raise StoreError(
                f"{self.path} was written by a newer spanverdict (schema {at}; this one knows {newest}):"
                " update spanverdict."
            )
        if not read_only:
            self._migrate([(version, text) for version, text in known if version > at])
        elif at < newest:
            raise StoreError(
                f"{self.path} has the older schema {at}: start `spanverdict serve` once to bring it to {newest}."
            )
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def _version(self) -> int:
        tables = self._connection.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_migrations'"
        ).fetchone()
        if not tables or not tables[0]:
            others = self._connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone()
            if others and others[0]:
                raise StoreError(f"{self.path} is a DuckDB file but not a spanverdict store; name another with --db.")
            return 0
        row = self._connection.execute("SELECT max(version) FROM schema_migrations").fetchone()
        return int(row[0]) if row else 0

    def _migrate(self, pending: list[tuple[int, str]]) -> None:
        connection = self._connection
        connection.begin()
        if pending:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL)"
            )
        for version, text in pending:
            connection.execute(text)
            connection.execute("INSERT INTO schema_migrations VALUES (?, ?)", [version, utc_now()])
        if pending:
            for name in statements.VIEWS:
                connection.execute(statements.view(name))
        connection.commit()
        if pending:
            # Replaying DDL together with later writes from the log has open bugs (duckdb#22124): leave none in it.
            connection.execute("CHECKPOINT")

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """Run named writes (sql/writes) in one transaction; when this returns, the rows are on disk.

        Args:
            tables: name of the write → its rows; empty tables are passed over.

        Returns:
            For each write, how many rows it stored; rows that were there already are not counted.

        Raises:
            StoreFailedError: the database can no longer be written, for example because the disk is full.
            StoreError: these rows cannot be written; the store is as it was.
        """
        stored = dict.fromkeys(tables, 0)
        with self._write_lock:
            try:
                cursor = self._connection.cursor()
                try:
                    cursor.begin()
                    for name, rows in tables.items():
                        if rows.num_rows == 0:
                            continue
                        cursor.register("incoming", rows)
                        changed = cursor.execute(statements.write(name)).fetchone()
                        cursor.unregister("incoming")
                        stored[name] = int(changed[0]) if changed else 0
                    cursor.commit()
                except duckdb.Error:
                    with contextlib.suppress(duckdb.Error):
                        cursor.rollback()
                    raise
                finally:
                    cursor.close()
            except _FATAL as error:
                raise StoreFailedError(f"{self.path} can no longer be written: {_first_line(error)}") from error
            except duckdb.Error as error:
                raise StoreError(f"These rows could not be written: {_first_line(error)}") from error
        return stored

    def read(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Answer one read-only query as an Arrow table.

        Args:
            query: a single SELECT (or EXPLAIN) statement, with named parameters such as ``$since``.
            parameters: their values.

        Raises:
            QueryError: the statement is refused or fails.
        """
        with self.reader(query, parameters) as batches:
            try:
                return batches.read_all()
            except duckdb.Error as error:
                raise QueryError(_first_line(error)) from error

    @contextlib.contextmanager
    def reader(
        self, query: str, parameters: Mapping[str, Any] | None = None, batch_rows: int = 100_000
    ) -> Iterator[pa.RecordBatchReader]:
        """Answer one read-only query as a stream of record batches, in its own transaction.

        Raises:
            QueryError: the statement is refused or fails.
        """
        cursor = self._connection.cursor()
        try:
            try:
                check_read_only(cursor, query)
                cursor.execute("BEGIN TRANSACTION READ ONLY")
                batches = cursor.sql(query, params=dict(parameters or {})).to_arrow_reader(batch_rows)
            except duckdb.Error as error:
                raise QueryError(_first_line(error)) from error
            yield batches
        finally:
            cursor.close()

    def schema(self, query: str) -> pa.Schema:
        """The columns that a query would return, without running it.

        Raises:
            QueryError: the statement is refused or does not bind.
        """
        cursor = self._connection.cursor()
        try:
            check_read_only(cursor, query)
            return cursor.sql(query).limit(0).to_arrow_table().schema
        except duckdb.Error as error:
            raise QueryError(_first_line(error)) from error
        finally:
            cursor.close()


def check_read_only(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse everything but one SELECT or EXPLAIN, by DuckDB's own parser.

    Raises:
        QueryError: the text is not exactly one such statement.
    """
    try:
        parsed = connection.extract_statements(query)
    except duckdb.Error as error:
        raise QueryError(_first_line(error)) from error
    if len(parsed) != 1:
        raise QueryError(f"Send one statement at a time; this text holds {len(parsed)}.")
    if parsed[0].type not in _READABLE:
        raise QueryError(f"Only SELECT is answered; this is {parsed[0].type.name}.")


def utc_now() -> datetime:
    """The present moment in UTC, naive, as the store keeps times."""
    return datetime.now(UTC).replace(tzinfo=None)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n\n", maxsplit=1)[0].replace("\n", " ")


def _opening_message(path: Path, error: duckdb.Error) -> str:
    text = str(error)
    if "Could not set lock" in text:
        holder = text.partition("held in ")[2].partition(" by ")[0].split(". See")[0]
        by = f" ({holder})" if holder else ""
        return f"{path} is held by another process{by}; stop it or name another store with --db."
    return f"{path} cannot be opened as a store: {_first_line(error)}"
