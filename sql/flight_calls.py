"""What our own clients call the server by, beside Flight SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
from pyarrow import flight

from sql import flight_messages as messages

_TIME = "$timestamp"
"""The key of a time among parameters: JSON has none, and a text is not compared with times."""

FLUSH = "Flush"
"""The action after which a query sees all that was acknowledged before."""

EXPORT = "Export"
"""The action that takes OTLP export requests; what its body and its answer are is agreed between the two ends."""

HOLD = "hold"
"""The path of the exchange during which nobody writes to the store: from when the server answers HELD until the client
ends its side or is gone. Only where the server answers LET_GO then did it hold throughout."""

HELD, LET_GO = b"held", b"let go"

CANCEL = "Cancel"
"""The action that stops the question of a name; its body is the name."""


@dataclass(frozen=True)
class Statement:
    """What a ticket asks.

    Attributes:
        query: the text.
        parameters: values of its named parameters: JSON values and times.
        question: a person or their program asks, and the limits of answers hold; else it is one of our jobs.
        name: what CANCEL knows it by.
    """

    query: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    question: bool = False
    name: str | None = None

    def handle(self) -> bytes:
        """What stands for it, in a ticket and as a prepared statement; nothing is kept by the server."""
        given = {name: _portable(value) for name, value in self.parameters.items()}
        told = {"query": self.query, "parameters": given, "question": self.question, "name": self.name}
        return json.dumps(told).encode()

    def bound(self, parameters: Mapping[str, Any]) -> Statement:
        """The same with these values of its parameters."""
        return replace(self, parameters=parameters)

    def ticket(self) -> flight.Ticket:
        """The ticket that asks it."""
        return flight.Ticket(messages.pack("TicketStatementQuery", statement_handle=self.handle()))

    @classmethod
    def read(cls, handle: bytes) -> Statement:
        """What a handle asks.

        Raises:
            ValueError: it was not made here; the message says so.
        """
        try:
            told = json.loads(handle)
        except ValueError:
            told = None
        if not isinstance(told, dict) or not isinstance(told.get("query"), str):
            raise ValueError("This ticket was not made by this server.")  # noqa: TRY004 (what the text holds is wrong)
        parameters = told.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise ValueError("A query's parameters are an object of names and values.")  # noqa: TRY004 (as above)
        name = told.get("name")
        return cls(
            told["query"],
            {key: _restored(value) for key, value in parameters.items()},
            bool(told.get("question")),
            name if isinstance(name, str) else None,
        )


def statement_ticket(query: str, parameters: Mapping[str, Any] | None = None) -> flight.Ticket:
    """The ticket of a query of our own jobs, with bound parameters."""
    return Statement(query, parameters or {}).ticket()


def described(client: flight.FlightClient, query: str, options: flight.FlightCallOptions) -> pa.Schema:
    """The columns of a query's answer, as the server tells them when it is prepared."""
    descriptor = flight.FlightDescriptor.for_command(messages.pack("CommandStatementQuery", query=query))
    return client.get_schema(descriptor, options).schema


def _portable(value: Any) -> Any:  # noqa: ANN401 (parameters are JSON values and times)
    return {_TIME: value.isoformat()} if isinstance(value, datetime) else value


def _restored(value: Any) -> Any:  # noqa: ANN401 (as above)
    return datetime.fromisoformat(str(value[_TIME])) if isinstance(value, dict) and _TIME in value else value
