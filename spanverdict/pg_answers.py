"""Answers to what PostgreSQL's clients ask: by the store's server, by the catalogs, or at once.

Queries go to the server of the store as those of `spanverdict sql` do, under the same guard and limits; nothing else of
the store is reached. A lake, which no server owns, is attached here, and the limits are this process's own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from spanverdict.pg_settings import SETTINGS, Command, session_command
from sql import statements
from sql.access import Access, connect
from sql.address import StoreAddress
from sql.errors import QueryError, StoreUnavailableError
from sql.lake_address import LakeAddress
from sql.postgres_catalog import PostgresCatalog
from sql.postgres_dialect import from_postgres, in_duckdb, read_catalog_query
from sql.query_limits import Places, QueryLimits

_Asked = TypeVar("_Asked")

_NAMES = ("catalog_tables", "catalog_columns", "catalog_views")
"""What is read of a store's own catalog."""

_CATALOG_SECONDS = 60.0
"""How long the names of the tables are kept; a migration may change them."""


@dataclass
class Answer:
    """The answer to one statement, read once.

    Attributes:
        tag: what was done; the rows of a SELECT are added by who sends them.
        schema: the columns; None for a command that has none.
        batches: the rows.
        in_transaction: as of :class:`Command`.
        close: lets go of what it holds; a query that still runs is stopped.
    """

    tag: str
    schema: pa.Schema | None = None
    batches: Iterator[pa.RecordBatch] = field(default_factory=lambda: iter(()))
    in_transaction: bool | None = None
    close: Callable[[], None] = lambda: None


class Answers:
    """Answers statements about one store.

    Args:
        store: a database file, whose server is asked and which is never opened, or a lake.
        query_seconds: how long one query may take.
        limits: of the answers from a lake; a server has its own.
    """

    def __init__(self, store: StoreAddress, query_seconds: float, limits: QueryLimits) -> None:
        self._store = store
        self._query_seconds = query_seconds
        self._limits = limits
        self._places = Places(limits.at_once, query_seconds)
        # The catalogs are read of a lake that may have to be attached first.
        self._lock = threading.RLock()
        self._lake: Access | None = None
        self._catalog: tuple[float, PostgresCatalog] | None = None

    def answer(self, statement: str, parameters: Mapping[str, Any], given_up: Callable[[], bool]) -> Answer:
        """Begin to answer a statement.

        Args:
            statement: one statement.
            parameters: values of ``$1`` and so on, by their numbers.
            given_up: asked now and then whether the answer is still wanted.

        Raises:
            QueryError: it is refused or fails, also while its batches are read.
            StoreUnavailableError: the server does not answer.
        """
        command = session_command(statement)
        if command:
            return _done(command)
        catalog_query = read_catalog_query(statement)
        if catalog_query:
            rows = self._catalogs().read(in_duckdb(catalog_query), parameters)
            return Answer("SELECT", rows.schema, iter(rows.to_batches()))
        return self._question(statement, parameters, given_up)

    def described(self, statement: str, count: int) -> pa.Schema | None:
        """The columns of a statement's answer, without running it; None for a command that has none.

        Args:
            statement: one statement.
            count: how many parameters it has; they count as NULL.

        Raises:
            QueryError: it is refused or cannot be bound.
            StoreUnavailableError: the server does not answer.
        """
        command = session_command(statement)
        if command:
            return _done(command).schema
        catalog_query = read_catalog_query(statement)
        if catalog_query:
            nothing = {str(number + 1): None for number in range(count)}
            return self._catalogs().read(in_duckdb(catalog_query), nothing).schema
        with self._server() as server:
            return self._either(statement, server.schema)

    def _question(self, statement: str, parameters: Mapping[str, Any], given_up: Callable[[], bool]) -> Answer:
        def begin(query: str) -> tuple[Generator[Any], pa.Schema]:
            stream = self._stream(query, parameters, given_up)
            return stream, next(stream)

        stream, schema = self._either(statement, begin)
        tag = "EXPLAIN" if statement.lstrip()[:7].upper() == "EXPLAIN" else "SELECT"
        return Answer(tag, schema, stream, close=stream.close)

    def _stream(self, query: str, parameters: Mapping[str, Any], given_up: Callable[[], bool]) -> Generator[Any]:
        """First the schema, then the batches; the query ends with the generator."""
        with self._server() as server, self._place(), server.question(query, parameters, given_up) as answer:
            yield answer.schema
            yield from self._limited(answer)

    def _place(self) -> AbstractContextManager[None]:
        return nullcontext() if isinstance(self._store, Path) else self._places.one()

    def _limited(self, batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        return batches if isinstance(self._store, Path) else self._limits.checked(batches)

    @staticmethod
    def _either(statement: str, ask: Callable[[str], _Asked]) -> _Asked:
        """Ask as it is written, else as PostgreSQL means it, for BI tools write its functions into their queries."""
        try:
            return ask(statement)
        except QueryError:
            meant = from_postgres(statement)
            if meant is None:
                raise
            try:
                return ask(meant)
            except QueryError:
                pass
            # What the user wrote is what the message is about.
            raise

    def _server(self) -> AbstractContextManager[Access]:
        if not isinstance(self._store, Path):
            return nullcontext(self._attached(self._store))
        server = connect(self._store, timeout=self._query_seconds)
        if server is None:
            raise StoreUnavailableError(f"No server of {self._store} runs; start `spanverdict serve`.")
        return closing(server)

    def _attached(self, lake: LakeAddress) -> Access:
        """The lake, which is attached once: that takes half a second."""
        from sql.lake_store import LakeStore  # noqa: PLC0415 (the database is not loaded where a server answers)

        with self._lock:
            if self._lake is None:
                self._lake = LakeStore(lake, read_only=True, query_seconds=self._query_seconds)
            return self._lake

    def _catalogs(self) -> PostgresCatalog:
        with self._lock:
            if self._catalog is None or time.monotonic() > self._catalog[0]:
                with self._server() as server:
                    tables, columns, views = (server.read(statements.read(name)).to_pylist() for name in _NAMES)
                made = PostgresCatalog(tables, columns, views, SETTINGS)
                self._catalog = (time.monotonic() + _CATALOG_SECONDS, made)
            return self._catalog[1]


def _done(command: Command) -> Answer:
    if command.shown is None:
        return Answer(command.tag, in_transaction=command.in_transaction)
    name, value = command.shown
    rows = pa.table({name: [value]})
    return Answer(command.tag, rows.schema, iter(rows.to_batches()))
