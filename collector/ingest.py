"""Admission, group commit and acknowledgement.

Requests that arrive together are decoded together and stored in one transaction; each is acknowledged only after
that transaction is on disk. Two threads work behind one another: one decodes the next group while the other
commits the last. What waits is bounded in bytes; past the bound a request is refused at once, to be sent again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import pyarrow as pa

from collector.decode import MalformedRequestError, decode_logs, decode_traces
from collector.rows import Rows, log_rows, span_rows
from sql.errors import StoreError, StoreFailedError
from sql.store import utc_now

_LOG = logging.getLogger("spanverdict.ingest")

KNOWN_RESOURCES = 100_000
"""How many resource ids are remembered so that a resource is not looked up again at every commit."""


class Signal(StrEnum):
    """What a request carries."""

    TRACES = "traces"
    LOGS = "logs"


class OverloadedError(Exception):
    """More bytes wait for a commit than may; the client should send the request again in a moment."""


class StoppedError(Exception):
    """The collector is shutting down or cannot write; the request was not stored."""


@dataclass(frozen=True)
class Limits:
    """Bounds of the ingest path.

    Attributes:
        waiting_bytes: serialized bytes that may wait for their commit.
        group_bytes: serialized bytes that go into one commit.
        group_requests: requests that go into one commit.
        linger_seconds: how long the first request of a group waits for others.
    """

    waiting_bytes: int = 256 * 2**20
    group_bytes: int = 8 * 2**20
    group_requests: int = 4096
    linger_seconds: float = 0.02


@dataclass(frozen=True)
class Outcome:
    """What became of a stored request: how many of its records were refused, and why."""

    rejected: int
    reason: str


@dataclass
class Counters:
    """Totals since the start. Records of acknowledged requests are stored, rejected or duplicates."""

    requests: int = 0
    received_bytes: int = 0
    commits: int = 0
    rejected: int = 0
    stored: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Request:
    signal: Signal
    payload: bytes
    done: Future[Outcome]


@dataclass(frozen=True)
class _Group:
    """Requests that share one transaction, decoded: their rows and each one's outcome."""

    requests: list[_Request]
    outcomes: list[Outcome]
    tables: dict[str, pa.Table]


_ROWS: Mapping[Signal, Callable[[Sequence[bytes], datetime], Rows]] = {
    Signal.TRACES: lambda payloads, now: span_rows(decode_traces(payloads), len(payloads), now),
    Signal.LOGS: lambda payloads, now: log_rows(decode_logs(payloads), len(payloads), now),
}


class Ingest:
    """The path from request bytes to a commit.

    Args:
        write: stores named tables in one transaction and returns how many rows each gained.
        limits: bounds of what waits and of what is committed together.
        on_failure: called once, from the committing thread, when the store can no longer be written.
    """

    def __init__(
        self,
        write: Callable[[Mapping[str, pa.Table]], dict[str, int]],
        limits: Limits | None = None,
        on_failure: Callable[[StoreFailedError], None] | None = None,
    ) -> None:
        self._write = write
        self._limits = limits or Limits()
        self._on_failure = on_failure
        self._waiting: deque[_Request] = deque()
        self._arrived = threading.Condition()
        self._bytes = 0
        self._open = True
        self._failure: StoreFailedError | None = None
        self._decoded: queue.Queue[_Group | None] = queue.Queue(maxsize=1)
        self._known_resources: set[str] = set()
        self.counters = Counters()
        self._threads = (
            threading.Thread(target=self._decode_groups, name="ingest-decode"),
            threading.Thread(target=self._commit_groups, name="ingest-commit"),
        )

    def start(self) -> None:
        """Start the two threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Admit nothing more, commit what waits, and end the threads."""
        with self._arrived:
            self._open = False
            self._arrived.notify_all()
        for thread in self._threads:
            thread.join()

    def submit(self, signal: Signal, payload: bytes) -> Future[Outcome]:
        """Queue a serialized export request; the future is done once its rows are on disk.

        The future raises MalformedRequestError if the bytes are not such a request, StoppedError if they could not
        be stored.

        Raises:
            OverloadedError: too many bytes wait already.
            StoppedError: the collector is shutting down or cannot write.
        """
        done: Future[Outcome] = Future()
        # A client that gives up must not cancel what the commit will answer.
        done.set_running_or_notify_cancel()
        with self._arrived:
            if not self._open or self._failure:
                raise StoppedError(str(self._failure or "The collector is shutting down."))
            if self._bytes and self._bytes + len(payload) > self._limits.waiting_bytes:
                raise OverloadedError(
                    f"{self._bytes} bytes wait for their commit already; send this again in a moment."
                )
            self._bytes += len(payload)
            self._waiting.append(_Request(signal, payload, done))
            self._arrived.notify()
        return done

    def _decode_groups(self) -> None:
        while (requests := self._next_requests()) is not None:
            try:
                self._decoded.put(self._decode(requests))
            except Exception:  # noqa: BLE001 (one group must not end the thread: its clients are told)
                _LOG.exception("A group of %d requests could not be decoded", len(requests))
                self._refuse(requests, MalformedRequestError("The request could not be decoded."))
        self._decoded.put(None)

    def _next_requests(self) -> list[_Request] | None:
        """Wait for a request, then a little longer for more; None when stopped and empty."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._waiting or not self._open)
            if not self._waiting:
                return None
            deadline = time.monotonic() + self._limits.linger_seconds
            while self._open and self._bytes < self._limits.group_bytes:
                left = deadline - time.monotonic()
                if left <= 0 or len(self._waiting) >= self._limits.group_requests:
                    break
                self._arrived.wait(left)
            taken: list[_Request] = []
            size = 0
            while self._waiting and len(taken) < self._limits.group_requests and size < self._limits.group_bytes:
                taken.append(self._waiting.popleft())
                size += len(taken[-1].payload)
            return taken

    def _decode(self, requests: list[_Request]) -> _Group:
        group = _Group([], [], {})
        parts: dict[str, list[pa.Table]] = {}
        for signal in Signal:
            chosen = [request for request in requests if request.signal is signal]
            if not chosen:
                continue
            chosen, rows = self._rows(signal, chosen)
            group.requests.extend(chosen)
            group.outcomes.extend(Outcome(int(n), rows.reason if n else "") for n in rows.rejected)
            for name, table in rows.tables.items():
                if table.num_rows:
                    parts.setdefault(name, []).append(table)
        for name, tables in parts.items():
            group.tables[name] = tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="default")
        return group

    def _rows(self, signal: Signal, requests: list[_Request]) -> tuple[list[_Request], Rows]:
        """Decode together; where that fails, find the malformed requests, refuse them, and go on with the rest."""
        now = utc_now()
        make = _ROWS[signal]
        try:
            return requests, make([request.payload for request in requests], now)
        except MalformedRequestError:
            sound: list[_Request] = []
            for request in requests:
                try:
                    make([request.payload], now)
                    sound.append(request)
                except MalformedRequestError as error:
                    self._refuse([request], error)
            return sound, make([request.payload for request in sound], now)

    def _commit_groups(self) -> None:
        while (group := self._decoded.get()) is not None:
            if self._failure:
                self._refuse(group.requests, StoppedError(str(self._failure)))
                continue
            try:
                self._commit(group)
            except StoreError as error:
                _LOG.error("%s", error)
                self._refuse(group.requests, StoppedError(str(error)))
                if isinstance(error, StoreFailedError):
                    self._failure = error
                    if self._on_failure:
                        self._on_failure(error)
            except Exception:  # noqa: BLE001 (as above)
                _LOG.exception("A group of %d requests could not be stored", len(group.requests))
                self._refuse(group.requests, StoppedError("The request could not be stored."))

    def _commit(self, group: _Group) -> None:
        tables = dict(group.tables)
        resources = tables.pop("resources", None)
        if resources is not None:
            ids = resources["resource_id"].to_pylist()
            if not self._known_resources.issuperset(ids):
                tables["resources"] = resources
        stored = self._write(tables)
        if resources is not None:
            if len(self._known_resources) > KNOWN_RESOURCES:
                self._known_resources.clear()
            self._known_resources.update(ids)
        self.counters.commits += 1
        for name, count in stored.items():
            self.counters.stored[name] = self.counters.stored.get(name, 0) + count
        for request, outcome in zip(group.requests, group.outcomes, strict=True):
            self.counters.requests += 1
            self.counters.received_bytes += len(request.payload)
            self.counters.rejected += outcome.rejected
            request.done.set_result(outcome)
        self._release(group.requests)

    def _refuse(self, requests: Sequence[_Request], error: Exception) -> None:
        for request in requests:
            if not request.done.done():
                request.done.set_exception(error)
        self._release(requests)

    def _release(self, requests: Sequence[_Request]) -> None:
        with self._arrived:
            self._bytes -= sum(len(request.payload) for request in requests)
