"""What our own clients call the server by, beside Flight SQL."""

from __future__ import annotations

import json
from typing import Any

from pyarrow import flight

from sql import flight_messages as messages

FLUSH = "Flush"
"""The action after which a query sees all that was acknowledged before."""

EXPORT = "Export"
"""The action that takes OTLP export requests; what its body and its answer are is agreed between the two ends."""


def statement_ticket(query: str, parameters: dict[str, Any] | None = None) -> flight.Ticket:
    """The ticket of a query with bound parameters (JSON values; cast them in the SQL)."""
    handle = json.dumps({"query": query, "parameters": parameters or {}}).encode()
    return flight.Ticket(messages.pack("TicketStatementQuery", statement_handle=handle))
