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
from collector.rows import Rows, combined, log_rows, span_rows
from sql.errors import RowsRefusedError, StoreFailedError
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


def _as_malformed(error: BaseException) -> MalformedRequestError:
    if isinstance(error, MalformedRequestError):
        return error
    _LOG.error("A request could not be decoded", exc_info=error)
    return MalformedRequestError("its content could not be decoded")


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
                group = self._decode(requests)
            except Exception:  # noqa: BLE001 (nothing may end the thread: what is not answered yet is refused)
                _LOG.exception("A group of %d requests could not be put together", len(requests))
                unanswered = [request for request in requests if not request.done.done()]
                self._refuse(unanswered, StoppedError("The request could not be stored now."))
                continue
            self._decoded.put(group)
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
        parts: list[dict[str, pa.Table]] = []
        for signal in Signal:
            chosen = [request for request in requests if request.signal is signal]
            for sound, rows in self._decode_together(signal, chosen) if chosen else ():
                group.requests.extend(sound)
                group.outcomes.extend(Outcome(int(n), rows.reason if n else "") for n in rows.rejected)
                parts.append(rows.tables)
        group.tables.update(combined(parts))
        return group

    def _decode_together(self, signal: Signal, requests: list[_Request]) -> list[tuple[list[_Request], Rows]]:
        """Decode as one; where that fails, halve, so that only the request at fault is refused."""
        try:
            return [(requests, _ROWS[signal]([request.payload for request in requests], utc_now()))]
        except BaseException as error:  # noqa: BLE001 (whatever one request holds, a panic too, it harms no other)
            if len(requests) == 1:
                self._refuse(requests, _as_malformed(error))
                return []
        middle = len(requests) // 2
        halves = requests[:middle], requests[middle:]
        return [part for half in halves for part in self._decode_together(signal, half)]

    def _commit_groups(self) -> None:
        while (group := self._decoded.get()) is not None:
            self._commit_or_refuse(group)

    def _commit_or_refuse(self, group: _Group) -> None:
        """Commit; what cannot be stored together is stored alone, so that only the request at fault is refused."""
        if self._failure:
            self._refuse(group.requests, StoppedError(str(self._failure)))
            return
        try:
            self._commit(group)
        except StoreFailedError as error:
            _LOG.error("%s", error)
            self._failure = error
            self._refuse(group.requests, StoppedError(str(error)))
            if self._on_failure:
                self._on_failure(error)
        except Exception as error:  # noqa: BLE001 (as above: nothing may end the thread)
            if len(group.requests) > 1:
                for request in group.requests:
                    self._commit_or_refuse(self._decode([request]))
            elif isinstance(error, RowsRefusedError):
                _LOG.error("A request was refused: %s", error)
                self._refuse(group.requests, MalformedRequestError("its content could not be stored"))
            else:
                _LOG.exception("A request could not be stored")
                self._refuse(group.requests, StoppedError("The request could not be stored now."))

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
            request.done.set_exception(error)
        self._release(requests)

    def _release(self, requests: Sequence[_Request]) -> None:
        with self._arrived:
            self._bytes -= sum(len(request.payload) for request in requests)
