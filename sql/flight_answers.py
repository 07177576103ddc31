"""What the server answers, as its clients take it: batches, waits that Ctrl-C ends, failures as sentences."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pyarrow as pa
from pyarrow import flight

from sql.errors import StoreError


def expect(reader: flight.FlightStreamReader, told: bytes) -> None:
    """Wait until the server says something.

    Raises:
        StoreError: it says something else, or nothing more.
        ArrowException: the call failed.
    """
    try:
        metadata = reader.read_chunk().app_metadata
    except StopIteration:
        metadata = None
    if metadata is None or metadata.to_pybytes() != told:
        raise StoreError("The server let go of the store.")


class Chunks:
    """A stream of Flight as batches; its own conversion to a reader would lose what kind of error ends it."""

    def __init__(self, stream: flight.FlightStreamReader) -> None:
        self._stream = stream
        self.schema: pa.Schema = stream.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return (chunk.data for chunk in self._stream)


def interruptible(ask: Callable[[], pa.Table]) -> pa.Table:
    """Wait for an answer so that Ctrl-C ends the wait; the connection ends with the process, and the query with it."""
    answer: Future[pa.Table] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 (handed to the waiting thread)
            answer.set_exception(error)

    threading.Thread(target=run, name="flight-answer", daemon=True).start()
    return answer.result()


def plain(text: str) -> str:
    """The server's sentence without what gRPC and Arrow put around it."""
    text = text.partition(". Detail:")[0]
    for prefix in ("Flight error: ", "Flight returned internal error, with message: "):
        text = text.removeprefix(prefix)
    return text.strip()
