"""One client of the PostgreSQL protocol: what each of its messages is answered with.

Source: PostgreSQL 15, "Frontend/Backend Protocol", sections 55.2 (message flow) and 55.7 (formats). pygwire reads and
writes the messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pygwire import messages
from pygwire.constants import TransactionStatus

from spanverdict.output import printable
from spanverdict.pg_answers import Answer, Answers
from spanverdict.pg_values import PARAMETER_DEFAULT, encoded_columns, parameter
from sql.errors import QueryError, StoreError, StoreUnavailableError
from sql.postgres_text import numbered_parameters, split_statements
from sql.postgres_types import oid_named, type_of_arrow

_REFUSED, _CANCELLED, _UNAVAILABLE, _PROTOCOL = "42000", "57014", "57P03", "08P01"
"""SQLSTATE: syntax error or access rule violation, query cancelled, cannot connect now, protocol violation."""

_BLOCK_BYTES = 1 << 16
"""How much is gathered before it is sent."""

_MOST_PARAMETERS = 1_000


@dataclass
class _Prepared:
    text: str
    oids: list[int]


@dataclass
class _Portal:
    prepared: _Prepared
    parameters: dict[str, object]
    formats: list[int]
    answer: Answer | None = None
    rows: Iterator[list[bytes | None]] = field(default_factory=lambda: iter(()))
    sent: int = 0


class PgSession:
    """A client that has given its password.

    Args:
        answers: what answers its statements.
        send: takes bytes for the client.
        has_gone: whether the client has closed the connection.
    """

    def __init__(self, answers: Answers, send: Callable[[bytes], object], has_gone: Callable[[], bool]) -> None:
        self._answers = answers
        self._send = send
        self._has_gone = has_gone
        self._pending = bytearray()
        self._in_transaction = False
        self._skipping = False
        self._cancelled = False
        self._prepared: dict[str, _Prepared] = {}
        self._portals: dict[str, _Portal] = {}

    def cancel(self) -> None:
        """Stop what runs; called by other threads."""
        self._cancelled = True

    def _given_up(self) -> bool:
        return self._cancelled or self._has_gone()

    def close(self) -> None:
        """The client has gone: let go of what it asked."""
        self.cancel()
        self._close_portals()

    def ready(self) -> None:
        """Tell the client that it may go on, and send what has gathered."""
        status = TransactionStatus.IN_TRANSACTION if self._in_transaction else TransactionStatus.IDLE
        self._add(messages.ReadyForQuery(status=status))
        self._flush()

    def take(self, message: messages.PGMessage) -> None:
        """Answer one message."""
        if self._skipping and not isinstance(message, messages.Sync):
            return
        self._cancelled = False
        try:
            self._take(message)
        except StoreError as error:
            self._fail(error)
            # After an error the rest of a batch is passed over, up to its end.
            self._skipping = not isinstance(message, messages.Query)
        if isinstance(message, messages.Query | messages.Sync):
            self._skipping = False
            if not self._in_transaction:
                self._close_portals()
            self.ready()

    def _take(self, message: messages.PGMessage) -> None:
        match message:
            case messages.Query():
                self._simple_query(message.query_string)
            case messages.Parse():
                self._parse(message)
            case messages.Bind():
                self._bind(message)
            case messages.Describe():
                self._describe(message)
            case messages.Execute():
                self._execute(message)
            case messages.Close():
                self._close(message)
            case messages.Flush():
                self._flush()
            case messages.Sync():
                pass
            case _:
                raise QueryError(f"The message {type(message).__name__} is not supported: the store is read-only.")

    def _simple_query(self, text: str) -> None:
        found = split_statements(text)
        if not found:
            self._add(messages.EmptyQueryResponse())
        for statement in found:
            portal = _Portal(_Prepared(statement, []), {}, [])
            try:
                self._open(portal)
                if portal.answer and portal.answer.schema is not None:
                    self._add(_row_description(portal.answer, []))
                self._send_rows(portal, 0)
            finally:
                _let_go(portal)

    def _parse(self, message: messages.Parse) -> None:
        found = split_statements(message.query)
        if len(found) > 1:
            raise QueryError(f"Send one statement at a time; this text holds {len(found)}.")
        text = found[0] if found else ""
        self._prepared[message.statement] = _Prepared(text, parameter_oids(text, message.param_types))
        self._add(messages.ParseComplete())

    def _bind(self, message: messages.Bind) -> None:
        prepared = self._statement(message.statement)
        values = message.param_values
        if len(values) != len(prepared.oids):
            raise QueryError(f"The query has {len(prepared.oids)} parameters; {len(values)} were sent.")
        formats = _spread(message.param_formats, len(values))
        parameters = {
            str(number): parameter(oid, code, value)
            for number, (oid, code, value) in enumerate(zip(prepared.oids, formats, values, strict=True), 1)
        }
        self._drop_portal(message.portal)
        self._portals[message.portal] = _Portal(prepared, parameters, message.result_formats)
        self._add(messages.BindComplete())

    def _describe(self, message: messages.Describe) -> None:
        if message.kind == "P":
            portal = self._portal(message.name)
            self._open(portal)
            self._add_columns(portal.answer, portal.formats)
            return
        prepared = self._statement(message.name)
        self._add(messages.ParameterDescription(type_oids=prepared.oids))
        schema = self._answers.described(prepared.text, len(prepared.oids)) if prepared.text else None
        self._add_columns(Answer("", schema), [])

    def _add_columns(self, answer: Answer | None, formats: list[int]) -> None:
        has_columns = answer is not None and answer.schema is not None
        self._add(_row_description(answer, formats) if answer and has_columns else messages.NoData())

    def _execute(self, message: messages.Execute) -> None:
        portal = self._portal(message.portal)
        if not portal.prepared.text:
            self._add(messages.EmptyQueryResponse())
            return
        self._open(portal)
        self._send_rows(portal, message.max_rows)

    def _close(self, message: messages.Close) -> None:
        if message.kind == "P":
            self._drop_portal(message.name)
        else:
            self._prepared.pop(message.name, None)
        self._add(messages.CloseComplete())

    def _open(self, portal: _Portal) -> None:
        """Begin to answer, unless it has begun."""
        if portal.answer is not None or not portal.prepared.text:
            return
        portal.answer = self._answers.answer(portal.prepared.text, portal.parameters, self._given_up)
        if portal.answer.in_transaction is not None:
            self._in_transaction = portal.answer.in_transaction
        portal.rows = self._rows(portal.answer, portal.formats)

    @staticmethod
    def _rows(answer: Answer, formats: list[int]) -> Iterator[list[bytes | None]]:
        for batch in answer.batches:
            codes = _spread(formats, batch.num_columns)
            yield from map(list, zip(*encoded_columns(batch, codes), strict=True))

    def _send_rows(self, portal: _Portal, most: int) -> None:
        """Send rows of a portal, at most so many (0 for all of them), and how it stands."""
        before = portal.sent
        for row in portal.rows:
            self._add(messages.DataRow(columns=row))
            portal.sent += 1
            if self._cancelled:
                raise QueryError("The query was cancelled.")
            if most and portal.sent - before == most:
                self._add(messages.PortalSuspended())
                return
        if portal.answer:
            tag = f"SELECT {portal.sent}" if portal.answer.tag == "SELECT" else portal.answer.tag
            self._add(messages.CommandComplete(tag=tag))

    def _statement(self, name: str) -> _Prepared:
        if name not in self._prepared:
            raise QueryError(f"There is no prepared statement {name!r}.")
        return self._prepared[name]

    def _portal(self, name: str) -> _Portal:
        if name not in self._portals:
            raise QueryError(f"There is no portal {name!r}; it ended with its transaction.")
        return self._portals[name]

    def _drop_portal(self, name: str) -> None:
        portal = self._portals.pop(name, None)
        if portal:
            _let_go(portal)

    def _close_portals(self) -> None:
        for name in list(self._portals):
            self._drop_portal(name)

    def _fail(self, error: StoreError) -> None:
        code = _CANCELLED if self._cancelled else _REFUSED
        if isinstance(error, StoreUnavailableError):
            code = _UNAVAILABLE
        self._add(error_response(str(error), code))
        self._flush()

    def _add(self, message: messages.PGMessage) -> None:
        self._pending += message.to_wire()
        if len(self._pending) >= _BLOCK_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._send(bytes(self._pending))
            self._pending.clear()


def error_response(said: str, code: str = _PROTOCOL, severity: str = "ERROR") -> messages.ErrorResponse:
    """An error as the protocol tells it.

    Args:
        said: one sentence.
        code: SQLSTATE.
        severity: ERROR, or FATAL where the connection ends.
    """
    return messages.ErrorResponse(fields={"S": severity, "V": severity, "C": code, "M": printable(said)})


def parameter_oids(text: str, given: list[int]) -> list[int]:
    """The types of a statement's parameters: what the client names, else of a cast (``$1::int``), else text.

    Raises:
        QueryError: there are more than can be meant.
    """
    cast = numbered_parameters(text)
    highest = max([len(given), *cast])
    if highest > _MOST_PARAMETERS:
        raise QueryError(f"A query has up to {_MOST_PARAMETERS:,} parameters; this one names ${highest}.")
    named = dict(enumerate(given, 1))
    return [
        named.get(number) or oid_named(cast.get(number) or "") or PARAMETER_DEFAULT for number in range(1, highest + 1)
    ]


def _spread(codes: list[int], count: int) -> list[int]:
    """Format codes for each of so many: none stands for text, one for all."""
    if len(codes) == 1:
        return codes * count
    return codes if len(codes) == count else [0] * count


def _row_description(answer: Answer, formats: list[int]) -> messages.RowDescription:
    schema = answer.schema or ()
    codes = _spread(formats, len(schema))
    fields = []
    for column, code in zip(schema, codes, strict=True):
        kind = type_of_arrow(column.type)
        fields.append(
            messages.FieldDescription(
                name=column.name.replace("\x00", ""),
                type_oid=kind.oid,
                type_size=kind.size,
                type_modifier=-1,
                format_code=code,
            )
        )
    return messages.RowDescription(fields=fields)


def _let_go(portal: _Portal) -> None:
    if portal.answer:
        portal.answer.close()
