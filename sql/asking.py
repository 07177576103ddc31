"""A question of a person: answered while they watch, and stopped where it runs when they no longer want it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any

import pyarrow as pa

from sql.access import Access, RemoteStore
from sql.query_limits import QueryLimits

TICK_SECONDS = 0.1
"""How often whoever waits is told how far it is."""

CANCEL_SECONDS = 5.0
"""How long a question that was called off may take to end."""


def ask(
    store: Access,
    query: str,
    parameters: Mapping[str, Any] | None = None,
    limits: QueryLimits | None = None,
    waiting: Callable[[int], None] = lambda _rows: None,
) -> pa.Table:
    """Answer one read-only query; Ctrl-C stops it where it runs.

    Args:
        store: where it is asked.
        query: a single SELECT (or EXPLAIN) statement.
        parameters: values of its named parameters.
        limits: of the answer where no server has its own.
        waiting: told the rows that have come so far, now and then.

    Raises:
        QueryError: it is refused, fails, or comes to more than the limits.
        StoreUnavailableError: the server does not answer.
        KeyboardInterrupt: Ctrl-C; the query has been stopped.
    """
    unwanted = threading.Event()
    answer: Future[pa.Table] = Future()
    rows = 0

    def run() -> None:
        nonlocal rows
        try:
            with store.question(query, parameters, unwanted.is_set) as reader:
                schema = reader.schema
                found = []
                limited = reader if isinstance(store, RemoteStore) else (limits or QueryLimits()).checked(reader)
                for batch in limited:
                    found.append(batch)
                    rows += batch.num_rows
            answer.set_result(pa.Table.from_batches(found, schema))
        except BaseException as error:  # noqa: BLE001 (handed to the waiting thread)
            answer.set_exception(error)

    threading.Thread(target=run, name="question", daemon=True).start()
    try:
        while not wait([answer], TICK_SECONDS).done:
            waiting(rows)
        return answer.result()
    except KeyboardInterrupt:
        unwanted.set()
        with contextlib.suppress(Exception):
            answer.result(CANCEL_SECONDS)
        raise
