"""Imports files of OTLP data: each once, however often it is named, going on where it was interrupted or has grown."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

import pyarrow as pa

from collector.otlp_files import OtlpFile, Record
from spanverdict.export_requests import Answer, Destination, Request
from sql import statements
from sql.clock import utc_now
from sql.errors import StoreError

BATCH_BYTES = 2 * 2**20
"""Bytes of requests that are handed over together."""

BATCH_REQUESTS = 512
"""Requests that are handed over together."""

IN_FLIGHT = 4
"""Batches that are under way: while some are written others are read."""

SAVE_SECONDS = 1.0
"""How often it is written down how far each file has been taken: so much is done again after a kill."""

REFUSALS_TOLD = 20
"""Lines of one file whose refusal is told; of the others only the number."""

_PIECE = 2**20

_TIME = pa.timestamp("us")
_ROW = pa.schema([
    ("content_id", pa.string()), ("path", pa.string()), ("size_bytes", pa.int64()), ("records_done", pa.int64()),
    ("started_at", _TIME), ("updated_at", _TIME), ("finished_at", _TIME),
])  # fmt: skip


@dataclass
class Summary:
    """What an import came to.

    Attributes:
        files: files that were read.
        passed_over: files that had been imported before.
        records: spans and log records that were taken.
        rejected: those of them that were refused, for their ids or times.
        refused: lines, messages or files that were refused.
        metrics: lines or messages with metrics, which are not kept.
    """

    files: int = 0
    passed_over: int = 0
    records: int = 0
    rejected: int = 0
    refused: int = 0
    metrics: int = 0


@dataclass
class _File:
    """How far a file has been taken."""

    path: Path
    content_id: str
    size: int
    done: int
    started_at: datetime
    finished: bool = False
    refusals: int = 0


@dataclass
class _Batch:
    """Requests that are handed over together, and how far the file is taken when they are stored."""

    places: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    size: int = 0

    def add(self, record: Record) -> None:
        """Take the requests of a record."""
        for signal, payload in record.content.requests if record.content else ():
            self.places.append(record.place)
            self.requests.append((signal, payload))
            self.size += len(payload)

    @property
    def full(self) -> bool:
        """Whether it should go."""
        return self.size >= BATCH_BYTES or len(self.requests) >= BATCH_REQUESTS


@dataclass(frozen=True)
class _Sent:
    file: _File
    places: Sequence[str]
    answers: Future[list[Answer]]
    done: int
    finished: bool


class Importer:
    """Imports files one after the other; a context manager that writes down how far it came, whatever ends it.

    Args:
        destination: where the requests go.
        tell: says one line to the person.
        advance: is told how many bytes of files were passed since it was called last.
        again: import files that were imported before, too.
    """

    def __init__(
        self,
        destination: Destination,
        tell: Callable[[str], None],
        advance: Callable[[int], object] = lambda _size: None,
        *,
        again: bool = False,
    ) -> None:
        self._destination = destination
        self._tell = tell
        self._advance = advance
        self._again = again
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="import-export")
        self._sent: deque[_Sent] = deque()
        self._unsaved: dict[str, _File] = {}
        self._saved_at = time.monotonic()
        self.summary = Summary()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._settle(leaving=0)
                self._save()
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
            with contextlib.suppress(StoreError):
                self._save()

    def take(self, path: Path) -> None:
        """Import one file.

        Raises:
            StoreError: nothing can be stored now; what was is written down.
        """
        try:
            file = self._identified(path)
        except OSError as error:
            self.summary.files += 1
            self._refuse(_File(path, "", 0, 0, utc_now()), "", f"It cannot be read: {error.strerror}.")
            return
        if file.finished and not self._again:
            self.summary.passed_over += 1
            self._tell(f"{path} was imported already; --again imports it once more.")
            self._advance(file.size)
            return
        self.summary.files += 1
        file.finished = False
        passed = 0
        whole = True
        done = 0 if self._again else file.done
        with OtlpFile(path) as opened:
            batch = _Batch()
            for record in opened.records(done):
                if record.refusal:
                    self._refuse(file, record.place, record.refusal)
                elif record.content:
                    self.summary.metrics += record.content.metrics
                    batch.add(record)
                whole &= record.whole
                done = record.number if record.whole else done
                if batch.full:
                    self._send(file, batch, done, finished=False)
                    batch = _Batch()
                self._advance(opened.position - passed)
                passed = opened.position
            self._send(file, batch, done, finished=whole)
        self._advance(file.size - passed)
        if file.refusals > REFUSALS_TOLD:
            self._tell(f"{path}: {file.refusals - REFUSALS_TOLD} more were refused.")

    def _identified(self, path: Path) -> _File:
        """A file by its content: how far the same content, or what it began with before it grew, has been taken."""
        size = path.stat().st_size
        known = self._destination.store.read(statements.read("imports"), {"size_bytes": size}).to_pylist()
        ends = sorted({size, *(row["size_bytes"] for row in known)})
        identity = hashlib.blake2b(digest_size=16)
        found = []
        with path.open("rb") as content:
            for end in ends:
                while left := end - content.tell():
                    piece = content.read(min(left, _PIECE))
                    if not piece:
                        break
                    identity.update(piece)
                found += [
                    row for row in known if row["size_bytes"] == end and row["content_id"] == identity.hexdigest()
                ]
        done = max((row["records_done"] for row in found), default=0)
        finished = any(row["finished"] and row["size_bytes"] == size for row in found)
        return _File(path, identity.hexdigest(), size, done, utc_now(), finished)

    def _refuse(self, file: _File, place: str, reason: str) -> None:
        self.summary.refused += 1
        file.refusals += 1
        if file.refusals <= REFUSALS_TOLD:
            self._tell(f"{file.path}{', ' if place else ''}{place}: {reason}")

    def _send(self, file: _File, batch: _Batch, done: int, *, finished: bool) -> None:
        self._settle(leaving=IN_FLIGHT - 1)
        answers = self._pool.submit(self._destination.export, batch.requests)
        self._sent.append(_Sent(file, batch.places, answers, done, finished))

    def _settle(self, leaving: int) -> None:
        """Wait, in the order in which they were sent, until at most so many batches are under way."""
        while len(self._sent) > leaving:
            sent = self._sent[0]
            answers = sent.answers.result()
            self._sent.popleft()
            for place, answer in zip(sent.places, answers, strict=True):
                self._count(sent.file, place, answer)
            sent.file.done, sent.file.finished = sent.done, sent.finished
            self._unsaved[sent.file.content_id] = sent.file
            if time.monotonic() - self._saved_at > SAVE_SECONDS:
                self._save()

    def _count(self, file: _File, place: str, answer: Answer) -> None:
        if answer.refused:
            self._refuse(file, place, f"It was refused: {answer.reason}.")
            return
        self.summary.records += answer.records
        self.summary.rejected += answer.rejected
        if answer.rejected:
            at = f", {place}" if place else ""
            self._tell(f"{file.path}{at}: {answer.rejected} of {answer.records} were refused: {answer.reason}.")

    def _save(self) -> None:
        if self._unsaved:
            now = utc_now()
            rows = [
                (file.content_id, _name(file.path), file.size, file.done, file.started_at, now,
                 now if file.finished else None)
                for file in self._unsaved.values()
            ]  # fmt: skip
            columns = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), _ROW.types, strict=True)]
            self._destination.store.write({"imports": pa.table(columns, schema=_ROW)})
            self._unsaved.clear()
        self._saved_at = time.monotonic()


def _name(path: Path) -> str:
    """A path as text; names of files may hold bytes that are not UTF-8, a table may not."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
