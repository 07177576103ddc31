"""Export requests on their way into the store: to a collector in this process, or to the one of the running server."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import pyarrow as pa

from collector.ingest import Ingest, Outcome, OverloadedError, StoppedError
from collector.signals import Signal
from collector.wire import MalformedRequestError
from spanverdict.config import Config
from spanverdict.ingest_path import open_ingest_path
from sql.access import Access, RemoteStore, connect
from sql.address import StoreAddress
from sql.errors import StoreUnavailableError
from sql.telemetry_writer import COUNTED

RETRY_SECONDS = 0.1
"""How long an overloaded collector is left alone before a request is offered again."""

PATIENCE_SECONDS = 120
"""How long one request is offered."""

_SCHEMA = pa.schema([("signal", pa.string()), ("payload", pa.large_binary())])

Request = tuple[Signal, bytes]
"""A serialized export request and what it carries."""


@dataclass(frozen=True)
class Answer:
    """What became of a request.

    Attributes:
        records: how many it held.
        rejected: how many of those were refused.
        reason: why; where no record could be read at all, why the request was refused.
        refused: the request was refused as a whole.
    """

    records: int
    rejected: int
    reason: str
    refused: bool = False


@dataclass(frozen=True)
class Destination:
    """Where requests go.

    Attributes:
        store: the store they end in.
        export: takes requests and answers once all of them are on disk.
        duplicates: how many records the store had already, once it is closed; None where others send as well.
    """

    store: Access
    export: Callable[[Sequence[Request]], list[Answer]]
    duplicates: Counter[str] | None


@contextmanager
def open_destination(config: Config, address: StoreAddress) -> Iterator[Destination]:
    """The server of a store if one runs, else the store itself, made if absent, and a collector for the time.

    Raises:
        ConfigError: content is to be hashed, and there is no key.
        StoreUnavailableError: neither can be reached.
    """
    remote = connect(address)
    if remote:
        try:
            yield Destination(remote, lambda requests: _over_connection(remote, requests), None)
        finally:
            remote.close()
        return
    opened = open_ingest_path(config, address)
    store, writer, ingest = opened.store, opened.writer, opened.ingest
    before = writer.counters.duplicates.copy()
    duplicates: Counter[str] = Counter()
    try:
        yield Destination(store, lambda requests: _in_process(ingest, requests), duplicates)
    finally:
        ingest.stop()
        writer.close()
        store.close()
        duplicates.update({signal: writer.counters.duplicates[signal] - before[signal] for signal in COUNTED})


def answer(ingest: Ingest, body: pa.Buffer) -> bytes:
    """The server's end of a connection: take the requests in a body of `pack` and say what became of each.

    Raises:
        StoreUnavailableError: they cannot be stored now; some may have been.
    """
    try:
        with pa.ipc.open_stream(body) as stream:
            rows = stream.read_all().select(_SCHEMA.names).to_pylist()
        requests = [(Signal(row["signal"]), row["payload"]) for row in rows]
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise StoreUnavailableError(f"This is not a batch of export requests: {error}") from error
    return json.dumps([asdict(each) for each in _in_process(ingest, requests)]).encode()


def pack(requests: Sequence[Request]) -> bytes:
    """The body of an export over a connection: the requests as an Arrow stream."""
    signals, payloads = [str(signal) for signal, _ in requests], [payload for _, payload in requests]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA) as stream:
        stream.write_table(pa.table([signals, payloads], schema=_SCHEMA))
    body: bytes = sink.getvalue().to_pybytes()
    return body


def _over_connection(remote: RemoteStore, requests: Sequence[Request]) -> list[Answer]:
    if not requests:
        return []
    return [Answer(**each) for each in json.loads(remote.export(pack(requests)))]


def _in_process(ingest: Ingest, requests: Sequence[Request]) -> list[Answer]:
    try:
        # All are offered before any is waited for: they share a sync.
        offered = [_offer(ingest, signal, payload) for signal, payload in requests]
        return [_answer(done) for done in offered]
    except StoppedError as error:
        raise StoreUnavailableError(str(error)) from error


def _offer(ingest: Ingest, signal: Signal, payload: bytes) -> Future[Outcome]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return ingest.submit(signal, payload)
        except OverloadedError as error:
            if time.monotonic() > deadline:
                raise StoreUnavailableError(str(error)) from error
            time.sleep(RETRY_SECONDS)


def _answer(done: Future[Outcome]) -> Answer:
    try:
        outcome = done.result()
    except MalformedRequestError as error:
        return Answer(0, 0, f"{error}", refused=True)
    return Answer(outcome.records, outcome.rejected, outcome.reason)
