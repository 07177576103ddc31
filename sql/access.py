"""How a command reaches the store: through the server that owns it, or directly when no server runs."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from pyarrow import flight

from sql.address import StoreAddress
from sql.errors import MEMORY_SENTENCE, QueryError, QueryMemoryError, StoreError, StoreUnavailableError
from sql.flight_answers import Chunks, expect, interruptible, plain
from sql.flight_calls import CANCEL, EXPORT, FLUSH, HELD, HOLD, LET_GO, Statement, described, statement_ticket
from sql.journal import pending
from sql.server_file import ServerFile

TIMEOUT_SECONDS = 600

WATCH_SECONDS = 0.1
"""How often it is looked whether an answer is still wanted."""


class Reader(Protocol):
    """What whoever only reads may do with the store, wherever it is."""

    def read(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Answer one read-only query."""
        ...


class Batches(Protocol):
    """An answer as it comes: its columns, and its record batches, once."""

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        ...

    def __iter__(self) -> Iterator[pa.RecordBatch]: ...


class Access(Reader, Protocol):
    """What a command may do with the store, wherever it is."""

    def reader(
        self, query: str, parameters: Mapping[str, Any] | None = None
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """Answer one read-only query as a stream of record batches."""
        ...

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """Run named writes; returns the rows that each stored."""
        ...

    def check(self, name: str, rows: pa.Table, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Ask what would become of rows; nothing is written."""
        ...

    def question(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        given_up: Callable[[], bool] | None = None,
    ) -> AbstractContextManager[Batches]:
        """Answer somebody's question as a stream, for as long as it is wanted."""
        ...

    def schema(self, query: str) -> pa.Schema:
        """The columns that a query would return, without running it; its parameters count as NULL."""
        ...

    def held(self) -> AbstractContextManager[None]:
        """Let nobody write meanwhile, so that the files can be copied."""
        ...


class RemoteStore:
    """A store reached through its server.

    Args:
        address: host:port of Flight SQL.
        token: the server's token.
        timeout: seconds that one call may take.

    Attributes:
        address: where it is.
    """

    def __init__(self, address: str, token: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self.address = address
        self._timeout = timeout
        self._client = flight.FlightClient(f"grpc://{address}")
        self._headers = [(b"authorization", f"Bearer {token}".encode())]
        self._options = flight.FlightCallOptions(headers=self._headers, timeout=timeout)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def read(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Answer one read-only query of our own jobs.

        Raises:
            QueryError: the server refuses the query or it fails.
            StoreUnavailableError: the server does not answer.
        """
        ticket = statement_ticket(query, parameters)
        with self._translated(QueryError):
            return interruptible(lambda: self._client.do_get(ticket, self._options).read_all())

    def schema(self, query: str) -> pa.Schema:
        """The columns that a query would return, without running it; its parameters count as NULL.

        Raises:
            QueryError: the server refuses the query, or it cannot be bound.
            StoreUnavailableError: the server does not answer.
        """
        with self._translated(QueryError):
            return described(self._client, query, self._options)

    @contextlib.contextmanager
    def question(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        given_up: Callable[[], bool] | None = None,
    ) -> Iterator[Batches]:
        """Answer a question as a stream of record batches, within the server's limits.

        Args:
            query: a single SELECT (or EXPLAIN) statement.
            parameters: values of its named parameters.
            given_up: asked now and then whether the answer is still wanted; the server stops the query when it is not.

        Raises:
            QueryError: the server refuses the query, or it fails, also while its batches are read.
            StoreUnavailableError: the server does not answer.
        """
        name = secrets.token_hex(8)
        done = threading.Event()

        def watch() -> None:
            while not done.wait(WATCH_SECONDS):
                if given_up and given_up():
                    # What has ended meanwhile needs no stopping.
                    with contextlib.suppress(flight.FlightError, pa.ArrowException):
                        list(self._client.do_action(flight.Action(CANCEL, name.encode()), self._options))

        threading.Thread(target=watch, name="flight-cancel", daemon=True).start()
        ticket = Statement(query, parameters or {}, question=True, name=name).ticket()
        try:
            with self._translated(QueryError):
                yield Chunks(self._client.do_get(ticket, self._options))
        finally:
            done.set()

    @contextlib.contextmanager
    def reader(self, query: str, parameters: Mapping[str, Any] | None = None) -> Iterator[pa.RecordBatchReader]:
        """Answer one read-only query of our own jobs as a stream of record batches, which is never whole in memory.

        Raises:
            QueryError: the server refuses the query or it fails, also while it is read.
            StoreUnavailableError: the server does not answer.
        """
        with self._translated(QueryError):
            stream = self._client.do_get(statement_ticket(query, parameters), self._options)
            try:
                yield stream.to_reader()
            finally:
                stream.cancel()

    def flush(self) -> None:
        """Wait until what the server has acknowledged so far is in the store.

        Raises:
            StoreUnavailableError: the server does not answer.
        """
        with self._translated(StoreError):
            list(self._client.do_action(flight.Action(FLUSH, b""), self._options))

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """Run named writes on the server, each in its own transaction.

        Raises:
            StoreError: the server refuses or fails.
            StoreUnavailableError: the server does not answer.
        """
        stored: dict[str, int] = {}
        for name, rows in tables.items():
            with self._translated(StoreError):
                descriptor = flight.FlightDescriptor.for_path("write", name)
                writer, answers = self._client.do_put(descriptor, rows.schema, self._options)
                with writer:
                    writer.write_table(rows)
                    writer.done_writing()
                    stored |= json.loads(answers.read().to_pybytes())
        return stored

    def check(self, name: str, rows: pa.Table, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Ask the server what would become of rows (sql/checks); nothing is written.

        Raises:
            QueryError: the server refuses or fails.
            StoreUnavailableError: the server does not answer.
        """
        descriptor = flight.FlightDescriptor.for_path("check", name, json.dumps(dict(parameters or {})))

        def ask() -> pa.Table:
            writer, reader = self._client.do_exchange(descriptor, self._options)
            with writer:
                writer.begin(rows.schema)
                writer.write_table(rows)
                writer.done_writing()
                return reader.read_all()

        with self._translated(QueryError):
            return interruptible(ask)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody write to the store meanwhile, so that its files can be copied.

        Raises:
            StoreError: it could not be held for so long.
            StoreUnavailableError: the server does not answer.
        """
        # The server has a limit of its own.
        options = flight.FlightCallOptions(headers=self._headers)
        with self._translated(StoreError):
            writer, reader = self._client.do_exchange(flight.FlightDescriptor.for_path(HOLD), options)
            with writer:
                writer.begin(pa.schema([]))
                expect(reader, HELD)
                yield
                writer.done_writing()
                expect(reader, LET_GO)

    def export(self, body: bytes) -> bytes:
        """Hand export requests to the server; when it answers they are stored, each as the answer says.

        Raises:
            StoreError: the server cannot store them now.
            StoreUnavailableError: the server does not answer.
        """
        with self._translated(StoreError):
            (answer,) = self._client.do_action(flight.Action(EXPORT, body), self._options)
            data: bytes = answer.body.to_pybytes()
            return data

    @contextlib.contextmanager
    def _translated(self, failure: type[StoreError]) -> Iterator[None]:
        try:
            yield
        except flight.FlightUnavailableError as error:
            raise StoreUnavailableError(
                f"The server at {self.address} does not answer; if it was killed, start it again."
            ) from error
        except flight.FlightTimedOutError as error:
            raise StoreUnavailableError(
                f"The server at {self.address} took longer than {self._timeout:g} s to answer."
            ) from error
        except (flight.FlightError, pa.ArrowException) as error:
            said = plain(str(error))
            raise (QueryMemoryError if said.startswith(MEMORY_SENTENCE) else failure)(said) from error


@contextlib.contextmanager
def open_store(
    address: StoreAddress, *, write: bool = False, query_seconds: float = TIMEOUT_SECONDS
) -> Iterator[Access]:
    """Reach a store: a file by its server if one runs, else by opening it; a lake by attaching it.

    Either way what was acknowledged before is there to be read.

    Args:
        address: where the store is.
        write: the caller means to write.
        query_seconds: how long one call may take.

    Raises:
        StoreUnavailableError: neither works.
    """
    if not isinstance(address, Path):
        from sql.lake_store import LakeStore  # noqa: PLC0415 (as below)

        with LakeStore(address, read_only=not write, make=False, query_seconds=query_seconds) as lake:
            yield lake
        return
    path = address
    remote = connect(path, timeout=query_seconds)
    if remote:
        try:
            yield remote
        finally:
            remote.close()
        return
    if not path.exists():
        looked = "" if path.is_absolute() else f" (this is the folder {Path.cwd()})"
        raise StoreUnavailableError(
            f"There is no store at {path}; start `spanverdict serve`, or name another with --db{looked}."
        )
    from sql.store import Store  # noqa: PLC0415 (the database is not loaded where a server answers)

    if pending(path):
        from sql.journaled_writer import JournaledWriter  # noqa: PLC0415 (as above)

        # A server that was killed has left what only its journal holds.
        with Store(path) as store:
            JournaledWriter(store).close()
    with Store(path, read_only=not write, query_seconds=query_seconds) as store:
        yield store


def make_store(address: StoreAddress) -> None:
    """Make a store where there is none.

    Raises:
        StoreUnavailableError: it cannot be made, or reached.
    """
    if not isinstance(address, Path):
        from sql.lake_store import LakeStore  # noqa: PLC0415 (as in open_store)

        LakeStore(address).close()
    elif not address.exists():
        from sql.store import Store  # noqa: PLC0415 (as in open_store)

        Store(address).close()


def connect(address: StoreAddress, *, flush: bool = True, timeout: float = TIMEOUT_SECONDS) -> RemoteStore | None:
    """The server of a store, if one answers; to be closed. A lake has none: every process attaches it.

    A server that was killed leaves its file, and another process may have its number by now: what decides is whether
    it answers. If it does not and yet holds the store, opening the file will say so.

    Args:
        address: where the store is.
        flush: let the server first load what it has acknowledged; without, it loads when it sees fit.
        timeout: seconds that one call may take.
    """
    server = ServerFile.read(address) if isinstance(address, Path) else None
    if server is None:
        return None
    remote = RemoteStore(server.sql, server.token, timeout)
    try:
        if flush:
            remote.flush()
        else:
            remote.read("SELECT 1")
    except StoreUnavailableError:
        remote.close()
        return None
    return remote
