"""What the answer to one question may come to, and how many questions may run at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from sql.errors import QueryError


@dataclass(frozen=True)
class QueryLimits:
    """Limits of questions that people and their programs ask; the jobs' own reads have none of these.

    Attributes:
        rows: rows of one answer.
        mib: MiB of one answer, as Arrow.
        at_once: how many may run at once.
    """

    rows: int = 10_000_000
    mib: int = 2048
    at_once: int = 8

    def checked(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches of an answer, up to the limit.

        Raises:
            QueryError: there is more than may be answered.
        """
        rows = size = 0
        for batch in batches:
            rows += batch.num_rows
            size += batch.get_total_buffer_size()
            if rows > self.rows:
                raise QueryError(
                    f"The answer has more than {self.rows:,} rows, which is the limit (server.result_rows); ask for"
                    " fewer with LIMIT or WHERE, or group them."
                )
            if size > self.mib * 2**20:
                raise QueryError(
                    f"The answer has more than {self.mib:,} MiB, which is the limit (server.result_mib); ask for fewer"
                    " rows or columns."
                )
            yield batch


class Places:
    """Places for questions that run at once; each is free again when its question ends, or its time.

    Args:
        count: how many there are.
        seconds: how long a question may take; a client that reads its answer no further keeps no place for longer.
    """

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._seconds = seconds
        self._lock = threading.Lock()
        self._taken: dict[object, float] = {}

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Take a place.

        Raises:
            QueryError: all are taken.
        """
        key = object()
        with self._lock:
            now = time.monotonic()
            self._taken = {other: until for other, until in self._taken.items() if until > now}
            if len(self._taken) >= self._count:
                raise QueryError(
                    f"{self._count} queries run already, which is the limit (server.queries_at_once); ask again when"
                    " one has ended."
                )
            self._taken[key] = now + self._seconds
        try:
            yield
        finally:
            with self._lock:
                self._taken.pop(key, None)
