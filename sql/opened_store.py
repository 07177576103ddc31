"""A store that this process has open: what may be asked of it, wherever its rows are.

Each question has a cursor and a read-only transaction of its own, so that questions never wait for one another.
"""

from __future__ import annotations

import contextlib
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import duckdb
import pyarrow as pa

from sql import statements
from sql.address import StoreAddress
from sql.errors import QueryError, StoreError, StoreUnavailableError
from sql.mends import with_mend
from sql.query_watch import QueryWatch
from sql.read_only import check_parameters, check_read_only, parameter_names, without_end
from sql.unknown_types import as_unknown

BATCH_ROWS = 8_192
"""Rows of one record batch of an answer. DuckDB's memory limit does not hold for a batch, and there are copies of it on
its way: 200,000 texts of 9 kB took 2.9 GB in batches of 100,000 rows, 0.9 GB so, in the same time."""


class OpenedStore(ABC):
    """The part that a file (sql/store.py) and a lake (sql/lake_store.py) have in common.

    Args:
        address: where the store is.
        query_seconds: how long one query may take.

    Attributes:
        address: where the store is.
        query_seconds: how long one query may take.
    """

    def __init__(self, address: StoreAddress, query_seconds: float) -> None:
        self.address = address
        self.query_seconds = query_seconds
        self._reading: set[duckdb.DuckDBPyConnection] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the store.

        Raises:
            StoreUnavailableError: readers keep it busy.
        """

    @abstractmethod
    def reopen(self) -> None:
        """Open the store anew after it could not be written; queries that run are stopped.

        Raises:
            StoreUnavailableError: it cannot be opened now.
        """

    @abstractmethod
    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """Run named writes (sql/writes) in one transaction; when this returns, the rows are on disk.

        Args:
            tables: name of the write → its rows; empty tables are passed over.

        Returns:
            For each write, how many rows it stored; rows that were there already are not counted.

        Raises:
            StoreFailedError: the database can no longer be written, for example because the disk is full.
            RowsRefusedError: these rows cannot be written; the store is as it was.
            StoreError: they could not be written now.
        """

    @abstractmethod
    def held(self) -> contextlib.AbstractContextManager[None]:
        """Let nobody write meanwhile, so that the files can be copied; what the log holds is in the file first.

        Raises:
            StoreError: it could not be held for so long.
        """

    @abstractmethod
    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor to which the store's tables are known by their bare names.

        Raises:
            duckdb.Error: the store is closed.
        """

    def _refuse_unfinished(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Refuse a store that has not been copied whole: its reports would be those of some of the rows.

        Args:
            cursor: on the store, which has the newest schema.

        Raises:
            StoreError: it is not whole.
        """
        for (source,) in cursor.execute("SELECT source FROM transfers WHERE finished_at IS NULL").fetchall():
            raise StoreError(
                f"{self.address} is an unfinished copy of {source}: finish it with"
                f" `spanverdict migrate --store {shlex.quote(source)} --to {shlex.quote(str(self.address))}`."
            )

    def read(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        given_up: Callable[[], bool] | None = None,
    ) -> pa.Table:
        """Answer one read-only query as an Arrow table.

        Args:
            query: a single SELECT (or EXPLAIN) statement, with named parameters such as ``$since``.
            parameters: their values.
            given_up: asked now and then whether nobody waits for it any more; the query is stopped then.

        Raises:
            QueryError: the statement is refused or fails.
        """
        with self.reader(query, parameters, given_up) as batches:
            return batches.read_all()

    @contextlib.contextmanager
    def reader(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        given_up: Callable[[], bool] | None = None,
    ) -> Iterator[pa.RecordBatchReader]:
        """Answer one read-only query as a stream of record batches, in its own read-only transaction.

        Args:
            query: a single SELECT (or EXPLAIN) statement.
            parameters: values of its named parameters.
            given_up: asked now and then whether the client has gone; the query is stopped then.

        Raises:
            QueryError: the statement is refused, fails, also while its batches are read, or takes longer than the
                store's limit.
        """
        given = dict(parameters or {})
        with self._read_cursor(query, given_up) as cursor:
            check_parameters(cursor, query, given)
            yield cursor.sql(query, params=given).to_arrow_reader(BATCH_ROWS)

    def question(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        given_up: Callable[[], bool] | None = None,
    ) -> contextlib.AbstractContextManager[pa.RecordBatchReader]:
        """Answer somebody's question; whoever has the store open is not limited."""
        return self.reader(query, parameters, given_up)

    def check(self, name: str, rows: pa.Table, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Ask what would become of rows (sql/checks); nothing is written.

        Args:
            name: the named check.
            rows: what it is asked about.
            parameters: values of its named parameters.

        Raises:
            QueryError: it fails, such as for a column that is not there, or takes longer than the store's limit.
        """
        query = statements.check(name)
        with self._read_cursor(query, given=rows) as cursor:
            return cursor.sql(query, params=dict(parameters or {})).to_arrow_table()

    def schema(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Schema:
        """The columns that a query would return, without running it.

        Args:
            query: a single SELECT (or EXPLAIN) statement.
            parameters: values of its parameters; those without one count as NULL.

        Raises:
            QueryError: the statement is refused or does not bind.
        """
        with self._read_cursor(query) as cursor:
            names = parameter_names(cursor, query)
            given = dict.fromkeys(names) | dict(parameters or {})
            bare = without_end(query)
            schema = cursor.sql(bare, params=given).limit(0).to_arrow_table().schema
            # A parameter that is NULL has a value: the answer has the type that the database tells.
            return as_unknown(cursor, bare, given, schema) if set(names) - set(parameters or {}) else schema

    def parameter_names(self, query: str) -> list[str]:
        """The parameters of a query in their order: numbers as text where it counts them, else names.

        Raises:
            QueryError: the statement is refused.
        """
        with self._read_cursor(query) as cursor:
            return parameter_names(cursor, query)

    @contextlib.contextmanager
    def _read_cursor(
        self, query: str, given_up: Callable[[], bool] | None = None, given: pa.Table | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor in a read-only transaction, interrupted past the time limit or when nobody waits for it.

        Rows that are ``given`` are there as the table ``incoming``. What fails on it is a QueryError.
        """
        try:
            cursor = self._cursor()
        except duckdb.Error as error:
            raise StoreUnavailableError(f"{self.address} is being opened anew; ask again.") from error
        watch = QueryWatch(cursor, self.query_seconds, given_up)
        try:
            check_read_only(cursor, query)
            if given is not None:
                cursor.register("incoming", given)
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            self._reading.add(cursor)
            watch.start()
            yield cursor
        except (duckdb.Error, pa.ArrowException) as error:
            raise self._with_mend(watch.failure(error), error, query) from error
        finally:
            watch.end()
            self._reading.discard(cursor)
            cursor.close()

    def _with_mend(self, failure: QueryError, error: Exception, query: str) -> QueryError:
        """What a failed question says, with what to write instead where the database only refused its words."""
        if not isinstance(error, duckdb.CatalogException | duckdb.BinderException | duckdb.ConversionException):
            return failure
        columns: dict[str, list[str]] = {}
        with contextlib.suppress(duckdb.Error), self._cursor() as cursor:
            for table, column, *_ in cursor.execute(statements.read("catalog_columns")).fetchall():
                columns.setdefault(table, []).append(column)
        return QueryError(with_mend(str(failure), query, columns))

    def interrupt_readers(self) -> None:
        """Stop every query that runs."""
        for cursor in list(self._reading):
            # One that the store has closed meanwhile has stopped.
            with contextlib.suppress(duckdb.Error):
                cursor.interrupt()
