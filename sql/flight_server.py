"""Live SQL from other processes: Arrow Flight SQL, answered by the process that owns the store.

Reading is one SELECT at a time; writing is limited to the named writes that the command line needs. Every call
carries a bearer token.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
from pyarrow import flight

from sql import archive_writes, flight_catalog, statements
from sql import flight_messages as messages
from sql.errors import QueryError, StoreError
from sql.flight_calls import CANCEL, EXPORT, FLUSH, HELD, HOLD, LET_GO, Statement
from sql.flight_parameters import parameter_values
from sql.opened_store import OpenedStore
from sql.query_limits import Places, QueryLimits

_TELEMETRY = frozenset({"spans", "log_records", "resources", "evaluations", "ingest_loads"})

REMOTE_WRITES = (statements.WRITES - _TELEMETRY) | archive_writes.WRITES
"""Writes that clients may ask for; new telemetry comes in as OTLP alone, an exported store comes back by its tables."""


class _Token(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    def __init__(self, token: str) -> None:
        super().__init__()
        self._expected = f"Bearer {token}"

    def start_call(self, _info: flight.CallInfo, headers: dict[str, list[str]]) -> None:
        given = next((values[0] for key, values in headers.items() if key.lower() == "authorization"), "")
        if not hmac.compare_digest(given.encode(), self._expected.encode()):
            raise flight.FlightUnauthenticatedError("Send the store's token as `authorization: Bearer …`.")


class FlightServer(flight.FlightServerBase):  # type: ignore[misc]
    """Flight SQL over one store.

    Args:
        store: the open store.
        address: host:port; port 0 takes a free one (see ``port``).
        token: what callers must present.
        flush: waits until what was acknowledged before is in the store; False if it is not.
        export: takes the body of an EXPORT and gives its answer, or raises StoreError; None where nothing is taken.
        limits: of the questions of people and their programs.
    """

    def __init__(
        self,
        store: OpenedStore,
        address: str,
        token: str,
        flush: Callable[[], object] = lambda: None,
        export: Callable[[pa.Buffer], bytes] | None = None,
        limits: QueryLimits | None = None,
    ) -> None:
        super().__init__(f"grpc://{address}", middleware={"token": _Token(token)})
        self._store = store
        self._flush = flush
        self._export = export
        self._limits = limits or QueryLimits()
        self._places = Places(self._limits.at_once, store.query_seconds)
        self._cancelled: dict[str, threading.Event] = {}

    def get_flight_info(
        self, _context: flight.ServerCallContext, descriptor: flight.FlightDescriptor
    ) -> flight.FlightInfo:
        """Flight SQL queries, prepared ones, and questions about the store: the schema and the ticket."""
        name, command = _unpack(descriptor.command)
        if schema := flight_catalog.schema_of(name, command):
            return _info(schema, descriptor, flight.Ticket(descriptor.command))
        if name == "CommandStatementQuery":
            asked = Statement(command.query, question=True)
        elif name == "CommandPreparedStatementQuery":
            asked = _prepared(command.prepared_statement_handle)
        else:
            raise flight.FlightServerError(f"{name} is not a query.")
        return _info(self._schema(asked), descriptor, asked.ticket())

    def get_schema(self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor) -> flight.SchemaResult:
        """The columns of what get_flight_info would give a ticket for."""
        return flight.SchemaResult(self.get_flight_info(context, descriptor).schema)

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.FlightDataStream:
        """Answer a ticket: stream the rows of its query, or of what it asks about the store."""
        name, command = _unpack(ticket.ticket)
        try:
            if flight_catalog.schema_of(name, command):
                return flight.RecordBatchStream(flight_catalog.answer(self._store, name, command))
            if name != "TicketStatementQuery":
                raise flight.FlightServerError(f"{name} is not a ticket.")
            batches = self._batches(Statement.read(command.statement_handle), context.is_cancelled)
            return flight.GeneratorStream(next(batches), batches)
        except (StoreError, ValueError) as error:
            raise flight.FlightServerError(str(error)) from None

    def do_action(self, _context: flight.ServerCallContext, action: flight.Action) -> Iterator[flight.Result]:
        """FLUSH, EXPORT, CANCEL, and prepared statements: their handle is the text, and nothing is kept per client."""
        if action.type == "ClosePreparedStatement":
            return
        if action.type == FLUSH:
            self._flush()
            return
        if action.type == CANCEL:
            if cancelled := self._cancelled.get(action.body.to_pybytes().decode("utf-8", "replace")):
                cancelled.set()
            return
        if action.type == EXPORT and self._export:
            try:
                answer = self._export(action.body)
            except StoreError as error:
                raise flight.FlightServerError(str(error)) from None
            yield flight.Result(answer)
            return
        if action.type != "CreatePreparedStatement":
            raise flight.FlightServerError(f"The action {action.type} is not supported.")
        name, request = _unpack(action.body.to_pybytes())
        if name != "ActionCreatePreparedStatementRequest":
            raise flight.FlightServerError(f"{name} does not create a prepared statement.")
        asked = Statement(request.query, question=True)
        yield flight.Result(
            messages.pack(
                "ActionCreatePreparedStatementResult",
                prepared_statement_handle=asked.handle(),
                dataset_schema=self._schema(asked).serialize().to_pybytes(),
                parameter_schema=self._parameters(asked).serialize().to_pybytes(),
            )
        )

    def list_actions(self, _context: flight.ServerCallContext) -> list[tuple[str, str]]:
        """The actions that do_action knows."""
        return [
            ("CreatePreparedStatement", "Prepare a query"),
            ("ClosePreparedStatement", "Forget a query"),
            (FLUSH, "Wait until what was acknowledged before is in the store"),
            (EXPORT, "Take OTLP export requests"),
            (CANCEL, "Stop a query"),
        ]

    def do_put(
        self,
        _context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,
    ) -> None:
        """A named write of the command line, descriptor path ``write/NAME``, or the parameters of a prepared query.

        The first answers with the rows stored, the second with the handle of the query with these parameters.
        """
        if descriptor.command:
            writer.write(messages.bound_handle(self._bound(descriptor.command, reader)))
            return
        path = [part.decode() for part in descriptor.path or ()]
        if len(path) != 2 or path[0] != "write" or path[1] not in REMOTE_WRITES:  # noqa: PLR2004 (write/NAME)
            raise flight.FlightServerError("Only the writes of the command line are accepted.")
        try:
            stored = self._store.write({path[1]: reader.read_all()})
        except StoreError as error:
            raise flight.FlightServerError(str(error)) from None
        writer.write(json.dumps(stored).encode())

    def do_exchange(
        self,
        _context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.MetadataRecordBatchWriter,
    ) -> None:
        """A named check of the command line: descriptor path ``check/NAME/PARAMETERS``, these a JSON object; HOLD."""
        path = [part.decode() for part in descriptor.path or ()]
        if path == [HOLD]:
            self._hold(reader, writer)
            return
        if len(path) != 3 or path[0] != "check" or path[1] not in statements.CHECKS:  # noqa: PLR2004 (as above)
            raise flight.FlightServerError("Only the checks of the command line are accepted.")
        try:
            answer = self._store.check(path[1], reader.read_all(), json.loads(path[2]))
        except StoreError as error:
            raise flight.FlightServerError(str(error)) from None
        writer.begin(answer.schema)
        writer.write_table(answer)

    def _hold(self, reader: flight.MetadataRecordBatchReader, writer: flight.MetadataRecordBatchWriter) -> None:
        """Let nobody write to the store until the client ends its side or is gone."""
        if self._flush() is False:
            raise flight.FlightServerError("What was acknowledged is not all in the store yet; try again.")
        try:
            with self._store.held():
                writer.write_metadata(HELD)
                with contextlib.suppress(StopIteration):
                    reader.read_chunk()
        except StoreError as error:
            raise flight.FlightServerError(str(error)) from None
        writer.write_metadata(LET_GO)

    def _schema(self, asked: Statement) -> pa.Schema:
        try:
            return self._store.schema(asked.query, asked.parameters)
        except QueryError as error:
            raise flight.FlightServerError(str(error)) from None

    def _parameters(self, asked: Statement) -> pa.Schema:
        """The parameters of a query. DuckDB does not tell their types; it takes a text for any of them."""
        try:
            return pa.schema([pa.field(name, pa.string()) for name in self._store.parameter_names(asked.query)])
        except QueryError as error:
            raise flight.FlightServerError(str(error)) from None

    def _bound(self, command: bytes, reader: flight.MetadataRecordBatchReader) -> bytes:
        """The handle of a prepared query with the parameters that a client sends for it."""
        name, request = _unpack(command)
        if name != "CommandPreparedStatementQuery":
            raise flight.FlightServerError(f"{name} is not accepted: this server is read-only.")
        asked = _prepared(request.prepared_statement_handle)
        try:
            names = self._store.parameter_names(asked.query)
            return asked.bound(parameter_values(names, reader.read_all())).handle()
        except (QueryError, ValueError) as error:
            raise flight.FlightServerError(str(error)) from None

    def _batches(self, asked: Statement, is_cancelled: Callable[[], bool]) -> Iterator[Any]:
        """First the schema, then the batches; the cursor closes with the generator."""
        cancelled = threading.Event()

        def given_up() -> bool:
            return cancelled.is_set() or is_cancelled()

        if asked.name:
            self._cancelled[asked.name] = cancelled
        try:
            with (
                self._places.one() if asked.question else contextlib.nullcontext(),
                self._store.reader(asked.query, asked.parameters, given_up) as reader,
            ):
                yield reader.schema
                yield from self._limits.checked(reader) if asked.question else reader
        except StoreError as error:
            raise flight.FlightServerError(str(error)) from None
        finally:
            if asked.name:
                self._cancelled.pop(asked.name, None)


def _info(schema: pa.Schema, descriptor: flight.FlightDescriptor, ticket: flight.Ticket) -> flight.FlightInfo:
    return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(ticket, [])], -1, -1)


def _prepared(handle: bytes) -> Statement:
    """What a prepared statement asks: somebody's question, whatever its handle says."""
    try:
        return replace(Statement.read(handle), question=True)
    except ValueError as error:
        raise flight.FlightServerError(str(error)) from None


def _unpack(data: bytes) -> tuple[str, Any]:
    try:
        return messages.unpack(data)
    except ValueError as error:
        raise flight.FlightServerError(str(error)) from None
