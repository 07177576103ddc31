"""Admission, grouping and acknowledgement.

Requests that arrive together are decoded together and written to the journal with one sync; each is acknowledged only
after that. Two threads work behind one another: one decodes the next group while the other writes the last. What waits
is bounded in bytes; past the bound a request is refused at once, to be sent again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa

from collector.credentials import Credential
from collector.decode import decode_logs
from collector.feedback import decode_feedback, feedback_rows_of
from collector.ingest_counters import Counters
from collector.ingest_limits import Limits
from collector.misdirected import decode_sent_traces
from collector.redact import ContentPolicy
from collector.rows import Rows, arrivals, log_rows, span_rows
from collector.signals import Signal
from collector.wire import MalformedRequestError
from sql.batches import combined
from sql.clock import utc_now
from sql.errors import RowsRefusedError, StoreError, StoreMemoryError
from sql.telemetry_writer import ARRIVALS, TelemetryWriter

_LOG = logging.getLogger("spanverdict.ingest")

_GROUPS_AT_ONCE = 3
"""Groups of the usual size in memory: one is written, one is decoded, one waits between the two."""

_TICK = timedelta(microseconds=1)


class OverloadedError(Exception):
    """More bytes wait than may; the client should send the request again in a moment."""


class StoppedError(Exception):
    """The collector is shutting down or cannot write; the request was not stored."""


@dataclass(frozen=True)
class Outcome:
    """What became of a stored request: how many records it held, how many of them were refused, and why."""

    records: int
    rejected: int
    reason: str


@dataclass(frozen=True)
class _Request:
    signal: Signal
    payload: bytes
    credential: Credential | None
    done: Future[Outcome]


@dataclass
class _Group:
    """Requests that are acknowledged together, decoded: their rows and each one's outcome."""

    taken_at: float
    size: int = 0
    requests: list[_Request] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    rejections: Counter[tuple[Signal, str]] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)
    tables: dict[str, pa.Table] = field(default_factory=dict)


def _as_malformed(error: BaseException) -> MalformedRequestError:
    if isinstance(error, MalformedRequestError):
        return error
    # Where, and not what: the error's own words may quote a prompt.
    where = "".join(traceback.format_tb(error.__traceback__))
    _LOG.error("A request could not be decoded (%s):\n%s", type(error).__name__, where)
    return MalformedRequestError("its content could not be decoded")


_Decoded = tuple[Rows, Counter[str]]


def _trace_rows(requests: Sequence[_Request], received_at: datetime, content: ContentPolicy | None) -> _Decoded:
    columns = decode_sent_traces([request.payload for request in requests])
    columns, redacted = content.apply_to_spans(columns) if content else (columns, Counter())
    return span_rows(columns, [request.credential for request in requests], received_at), redacted


def _log_rows(requests: Sequence[_Request], received_at: datetime, content: ContentPolicy | None) -> _Decoded:
    columns = decode_logs([request.payload for request in requests])
    columns, redacted = content.apply_to_logs(columns) if content else (columns, Counter())
    return log_rows(columns, [request.credential for request in requests], received_at), redacted


def _feedback_rows(requests: Sequence[_Request], received_at: datetime, content: ContentPolicy | None) -> _Decoded:
    return feedback_rows_of(decode_feedback([request.payload for request in requests]), received_at, content)


_ROWS: Mapping[Signal, Callable[[Sequence[_Request], datetime, ContentPolicy | None], _Decoded]] = {
    Signal.TRACES: _trace_rows,
    Signal.LOGS: _log_rows,
    Signal.FEEDBACK: _feedback_rows,
}


def _outcomes(rows: Rows) -> list[Outcome]:
    return [
        Outcome(records, rejected, rows.sentence if rejected else "")
        for records, rejected in zip(rows.records.tolist(), rows.rejected.tolist(), strict=True)
    ]


class Ingest:
    """The path from request bytes to an acknowledgement.

    Args:
        writer: where rows go; what it has taken is on disk.
        limits: bounds of what waits and of what is acknowledged together.
        last_received_at: the latest arrival that the store holds; later ones are later, whatever the clock says.
        content: what of the requests' content may be stored; None stores all of it.
    """

    def __init__(
        self,
        writer: TelemetryWriter,
        limits: Limits | None = None,
        last_received_at: datetime | None = None,
        content: ContentPolicy | None = None,
    ) -> None:
        self._writer = writer
        self._limits = limits or Limits()
        self._last_received_at = last_received_at or datetime.min  # noqa: DTZ901 (the store's times are naive UTC)
        self._content = content
        self._waiting: deque[_Request] = deque()
        self._arrived = threading.Condition()
        self._bytes = self._unwritten = 0
        self._open = True
        self._decoded: queue.Queue[_Group | None] = queue.Queue(maxsize=1)
        self.counters = Counters()
        self._threads = (
            threading.Thread(target=self._decode_groups, name="ingest-decode"),
            threading.Thread(target=self._write_groups, name="ingest-write"),
        )

    @property
    def waiting_bytes(self) -> int:
        """Bytes of requests that are not acknowledged yet."""
        return self._bytes

    def start(self) -> None:
        """Start the two threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Admit nothing more, acknowledge what waits, and end the threads; the writer is left open."""
        with self._arrived:
            self._open = False
            self._arrived.notify_all()
        for thread in self._threads:
            thread.join()

    def ready(self) -> str | None:
        """None if requests can be stored, else one sentence that says why not."""
        return self._writer.problem() if self._open else "The collector is shutting down."

    def submit(self, signal: Signal, payload: bytes, credential: Credential | None = None) -> Future[Outcome]:
        """Queue a serialized export request; the future is done once its rows are on disk.

        The future raises MalformedRequestError if the bytes are not such a request, StoppedError if they could not
        be stored.

        Args:
            signal: what the request carries.
            payload: the protobuf message.
            credential: who sends it; its attributes go over those of every resource in the request.

        Raises:
            OverloadedError: too many bytes wait already.
            StoppedError: the collector is shutting down or cannot write.
        """
        done: Future[Outcome] = Future()
        # A client that gives up must not cancel what the group will answer.
        done.set_running_or_notify_cancel()
        with self._arrived:
            self.check_room(len(payload))
            self._bytes += len(payload)
            self._waiting.append(_Request(signal, payload, credential, done))
            self._arrived.notify()
        return done

    def check_room(self, size: int = 1) -> None:
        """See whether a request of ``size`` bytes would be queued now; receivers ask before they read one.

        Raises:
            OverloadedError: too many bytes wait already.
            StoppedError: the collector is shutting down or cannot write.
        """
        failure = self._writer.failure
        if not self._open or failure:
            raise StoppedError(failure or "The collector is shutting down.")
        backlog = self._writer.backlog_bytes
        full = self._bytes and self._bytes + size > self._limits.waiting_bytes
        if full or backlog > self._limits.backlog_bytes:
            waiting = self._bytes + backlog
            raise OverloadedError(f"{waiting} bytes wait for the disk already; send this again in a moment.")

    def ignore(self, signal: Signal) -> Outcome:
        """Take a request of a signal that is not kept; exporters send all signals unless told otherwise."""
        if not self.counters.ignored[signal]:
            _LOG.warning(
                "Somebody sends %s, which are taken and not kept; OTEL_METRICS_EXPORTER=none saves it.", signal
            )
        self.counters.ignored[signal] += 1
        return Outcome(0, 0, "")

    def count_refused(self, reason: str) -> None:
        """Count a request that its receiver answered with an error; most never come as far as the queue."""
        self.counters.refused[reason] += 1

    def _decode_groups(self) -> None:
        while (requests := self._next_requests()) is not None:
            size = sum(len(request.payload) for request in requests)
            self._wait_for_earlier(size)
            try:
                group = self._decode(requests)
                group.size = size
            except Exception:  # noqa: BLE001 (nothing may end the thread: what is not answered yet is refused)
                _LOG.exception("A group of %d requests could not be put together", len(requests))
                unanswered = [request for request in requests if not request.done.done()]
                self._refuse(unanswered, StoppedError("The request could not be stored now."))
                self._group_done(size)
                continue
            self._decoded.put(group)
        self._decoded.put(None)

    def _wait_for_earlier(self, size: int) -> None:
        """Begin a group; a large one waits until those before it are written: decoded, it is many times its size."""
        with self._arrived:
            self._arrived.wait_for(
                lambda: not self._unwritten or self._unwritten + size <= _GROUPS_AT_ONCE * self._limits.group_bytes
            )
            self._unwritten += size

    def _group_done(self, size: int) -> None:
        with self._arrived:
            self._unwritten -= size
            self._arrived.notify_all()

    def _next_requests(self) -> list[_Request] | None:
        """Wait for a request, then a little longer for more; None when stopped and empty."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._waiting or not self._open)
            if not self._waiting:
                return None
            deadline = time.monotonic() + self._limits.linger_seconds
            while self._open and not self._have_enough():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._arrived.wait(left)
            taken: list[_Request] = []
            size = 0
            while self._waiting and len(taken) < self._limits.group_requests and size < self._limits.group_bytes:
                taken.append(self._waiting.popleft())
                size += len(taken[-1].payload)
            return taken

    def _have_enough(self) -> bool:
        """Whether what waits is a group; behind one that is being written it may grow as long as that takes."""
        limits = self._limits
        enough = limits.group_bytes if self._unwritten else limits.enough_bytes
        return self._bytes - self._unwritten >= enough or len(self._waiting) >= limits.group_requests

    def _decode(self, requests: list[_Request]) -> _Group:
        group = _Group(time.monotonic())
        # What the ledger counts as stored it finds by this moment: no two groups may share it.
        received_at = self._last_received_at = max(utc_now(), self._last_received_at + _TICK)
        parts: list[Mapping[str, pa.Table]] = []
        for signal in Signal:
            chosen = [request for request in requests if request.signal is signal]
            for sound, rows, redacted in self._decode_together(signal, chosen, received_at) if chosen else ():
                group.requests.extend(sound)
                group.outcomes.extend(_outcomes(rows))
                group.redacted.update(redacted)
                group.rejections.update({(signal, reason): n for reason, n in rows.rejections.items()})
                parts.append(rows.tables)
                parts.append({ARRIVALS: arrivals(signal, rows, received_at)})
        group.tables.update(combined(parts))
        return group

    def _decode_together(
        self, signal: Signal, requests: list[_Request], received_at: datetime
    ) -> list[tuple[list[_Request], Rows, Counter[str]]]:
        """Decode as one; where that fails, halve, so that only the request at fault is refused."""
        try:
            return [(requests, *_ROWS[signal](requests, received_at, self._content))]
        except BaseException as error:  # noqa: BLE001 (whatever one request holds, a panic too, it harms no other)
            if len(requests) == 1:
                self._refuse(requests, _as_malformed(error))
                return []
        middle = len(requests) // 2
        halves = requests[:middle], requests[middle:]
        return [part for half in halves for part in self._decode_together(signal, half, received_at)]

    def _write_groups(self) -> None:
        said = ""
        while (group := self._decoded.get()) is not None:
            try:
                if ARRIVALS in group.tables:
                    self._writer.append(group.tables)
                said = ""
            except (RowsRefusedError, StoreMemoryError) as error:
                self._write_each(group, error)
            except StoreError as error:
                # Once, and not for each group that a full disk turns away.
                if said != str(error):
                    said = str(error)
                    _LOG.error("%s Requests are refused meanwhile.", error)
                self._refuse(group.requests, StoppedError(str(error)))
            except Exception:  # noqa: BLE001 (as above: nothing may end the thread)
                _LOG.exception("A group of %d requests could not be stored", len(group.requests))
                self._refuse(group.requests, StoppedError("The request could not be stored now."))
            else:
                self._acknowledge(group)
            size, group = group.size, None
            self._group_done(size)

    def _write_each(self, group: _Group, error: RowsRefusedError | StoreMemoryError) -> None:
        """Write the requests of a group that the database refuses one by one, so that only the one at fault goes."""
        if len(group.requests) == 1:
            _LOG.error("The database refuses what a request holds: %s", error)
            may_come_again = isinstance(error, StoreMemoryError)
            said = StoppedError(str(error)) if may_come_again else MalformedRequestError("the store refuses its rows")
            self._refuse(group.requests, said)
            return
        for request in group.requests:
            alone = self._decode([request])
            try:
                self._writer.append(alone.tables)
            except (RowsRefusedError, StoreMemoryError) as refused:
                self._write_each(alone, refused)
            except StoreError as failed:
                self._refuse(alone.requests, StoppedError(str(failed)))
            else:
                self._acknowledge(alone)

    def _acknowledge(self, group: _Group) -> None:
        counters = self.counters
        for request, outcome in zip(group.requests, group.outcomes, strict=True):
            counters.requests[request.signal] += 1
            counters.received_bytes += len(request.payload)
            counters.accepted[request.signal] += outcome.records
            request.done.set_result(outcome)
        counters.rejected.update(group.rejections)
        counters.redacted.update(group.redacted)
        counters.groups += 1
        counters.group_seconds += time.monotonic() - group.taken_at
        self._release(group.requests)

    def _refuse(self, requests: Sequence[_Request], error: Exception) -> None:
        for request in requests:
            request.done.set_exception(error)
        self._release(requests)

    def _release(self, requests: Sequence[_Request]) -> None:
        with self._arrived:
            self._bytes -= sum(len(request.payload) for request in requests)
