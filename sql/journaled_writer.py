"""The way into the store for telemetry: acknowledged from the journal, loaded behind in large batches.

`append` returns when the rows are on disk in the journal. A thread of its own moves them into the store: at once when
little comes, in batches of a row group when much does. A load holds the rows and how far the journal has been loaded in
one transaction, so that a crash between the two neither loses nor repeats anything.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from sql import statements
from sql.batches import combined
from sql.errors import RowsRefusedError, StoreError, StoreFailedError
from sql.journal import Entry, Journal, JournalError, journal_directory
from sql.store import Store
from sql.telemetry_writer import ARRIVALS, Loader, numbered

_LOG = logging.getLogger("spanverdict.load")

RETRY_SECONDS = 1.0
"""How long a load that failed waits before it is tried again."""

APPEND_FAILURE_SECONDS = 5.0
"""How long after a failed append nothing is taken to be writable, unless one succeeds."""


@dataclass(frozen=True)
class LoadLimits:
    """When what is in the journal is loaded into the store.

    Attributes:
        rows: as many at once are written as a whole row group, past the database's own log, at a third of the cost.
        size: bytes that are loaded at once.
        seconds: the least time between two loads; what comes after a longer pause is loaded at once.
        patience_seconds: how long rows may wait for their row group to fill when it fills quickly.
    """

    rows: int = 122_880
    size: int = 192 * 2**20
    seconds: float = 1.0
    patience_seconds: float = 3.0


class JournaledWriter:
    """The journal of a store and the thread that loads it.

    What an earlier process left in the journal is loaded first.

    Args:
        store: the open store; every load goes through its one write lock.
        limits: when to load.
        reserve_bytes: how much of the disk is left free.

    Raises:
        StoreError: what was left in the journal cannot be loaded.
    """

    def __init__(
        self,
        store: Store,
        limits: LoadLimits | None = None,
        reserve_bytes: int = 0,
    ) -> None:
        self._store = store
        self._limits = limits or LoadLimits()
        self._changed = threading.Condition()
        self._pending: deque[Entry] = deque()
        self._rows = self._size = self._loading_size = 0
        self._first_added = self._last_loaded = 0.0
        self._wanted = 0
        self._loaded = self._appended = self._loaded_sequence()
        self._journal = Journal(journal_directory(store.path), self._loaded, reserve_bytes)
        self._loader = Loader(store)
        self.counters = self._loader.counters
        self._failure: StoreError | None = None
        self._append_failure: tuple[float, JournalError] | None = None
        self._stopping = False
        self._recover()
        self._thread = threading.Thread(target=self._load_batches, name="ingest-load")
        self._thread.start()

    def last_received_at(self) -> datetime | None:
        """The latest arrival that the store holds."""
        latest: datetime | None = self._store.read(statements.read("last_received_at"))["received_at"][0].as_py()
        return latest

    @property
    def backlog_bytes(self) -> int:
        """Bytes that are in the journal and not in the store yet."""
        return self._size + self._loading_size

    @property
    def failure(self) -> str | None:
        """Why the last load failed; None once one succeeds."""
        return str(self._failure) if self._failure else None

    def problem(self) -> str | None:
        """Why nothing can be written now, be it to the journal or to the store; None if it can."""
        try:
            self._journal.check()
        except JournalError as error:
            return str(error)
        if self.failure is None and self._append_failure:
            failed_at, append_failure = self._append_failure
            return str(append_failure) if time.monotonic() - failed_at < APPEND_FAILURE_SECONDS else None
        return self.failure

    def append(self, tables: Mapping[str, pa.Table]) -> None:
        """Put rows on disk; when this returns they will be in the store, after a crash too.

        Args:
            tables: name of the write → its rows; the rows of ``ARRIVALS`` have to be among them.

        Raises:
            JournalError: they could not be written; nothing of them was kept.
        """
        try:
            entry = self._journal.append(tables)
        except JournalError as error:
            self._append_failure = time.monotonic(), error
            raise
        self._append_failure = None
        with self._changed:
            if not self._pending:
                self._first_added = time.monotonic()
            self._pending.append(entry)
            self._appended = entry.sequence
            self._rows += entry.rows
            self._size += entry.size
            self._changed.notify_all()

    def flush(self, timeout_seconds: float | None = None) -> bool:
        """Wait until all that was appended before is in the store; False if it is not after ``timeout_seconds``."""
        with self._changed:
            last = self._wanted = self._appended
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._loaded >= last or self._failure, timeout_seconds)
            return self._loaded >= last

    def close(self) -> None:
        """Load what can be loaded and stop; what cannot stays in the journal for the next start."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()
        self._journal.close(self._loaded)

    def _loaded_sequence(self) -> int:
        return int(self._store.read(statements.read("last_loaded_sequence"))["journal_sequence"][0].as_py())

    def _recover(self) -> None:
        batch: list[Entry] = []
        rows = size = total = 0
        for entry in self._journal.entries():
            batch.append(entry)
            rows, size, total = rows + entry.rows, size + entry.size, total + entry.rows
            if rows >= self._limits.rows or size >= self._limits.size:
                self._load(batch)
                batch, rows, size = [], 0, 0
        if batch:
            self._load(batch)
        if total:
            _LOG.info("Loaded %d rows that an earlier process had acknowledged.", total)
        self._journal.drop_through(self._loaded)

    def _load_batches(self) -> None:
        while batch := self._next_batch():
            try:
                self._load(batch)
            except StoreError as error:
                if not self._endure(error, batch):
                    return
                continue
            with self._changed:
                self._loading_size = 0
                self._last_loaded = time.monotonic()
                self._changed.notify_all()
            self._journal.drop_through(self._loaded)

    def _next_batch(self) -> list[Entry]:
        """Wait until a load is due and take its entries; none when stopped and empty."""
        with self._changed:
            while (left := self._seconds_left()) > 0:
                self._changed.wait(left)
            batch: list[Entry] = []
            rows = size = 0
            while self._pending and rows < self._limits.rows and size < self._limits.size:
                batch.append(self._pending.popleft())
                rows, size = rows + batch[-1].rows, size + batch[-1].size
            self._rows, self._size, self._loading_size = self._rows - rows, self._size - size, size
            self._first_added = time.monotonic()
            return batch

    def _seconds_left(self) -> float:
        """How long to wait for more before loading; with nothing to load, as long as it takes."""
        if self._stopping:
            return 0
        if not self._pending:
            return threading.TIMEOUT_MAX
        limits = self._limits
        if self._rows >= limits.rows or self._size >= limits.size or self._wanted >= self._pending[0].sequence:
            return 0
        now = time.monotonic()
        left = self._last_loaded + limits.seconds - now
        filling = self._rows * limits.patience_seconds >= limits.rows * max(now - self._first_added, limits.seconds)
        return max(left, self._first_added + limits.patience_seconds - now) if filling else left

    def _endure(self, error: StoreError, batch: Sequence[Entry]) -> bool:
        """Keep the batch, say what is wrong, try to open the store again; False when asked to stop meanwhile."""
        if self.failure != str(error):
            _LOG.error("%s What was acknowledged is in the journal; trying again.", error)
        left = [entry for entry in batch if entry.sequence > self._loaded]
        with self._changed:
            self._failure = error
            self._pending.extendleft(reversed(left))
            self._rows += sum(entry.rows for entry in left)
            self._size += sum(entry.size for entry in left)
            self._loading_size = 0
            self._changed.notify_all()
            if self._changed.wait_for(lambda: self._stopping, RETRY_SECONDS):
                return False
        if isinstance(error, StoreFailedError):
            with contextlib.suppress(StoreError):
                self._store.reopen()
        return True

    def _load(self, batch: Sequence[Entry]) -> None:
        """Store entries in one transaction; where that fails, halve; an entry refused alone is set aside.

        Raises:
            StoreError: they cannot be stored now; nothing of what is not stored is lost from the journal.
        """
        try:
            self._write(batch)
        except StoreFailedError:
            raise
        except StoreError as error:
            if len(batch) > 1:
                self._load(batch[: len(batch) // 2])
                self._load(batch[len(batch) // 2 :])
                return
            if not isinstance(error, RowsRefusedError):
                raise
            path = self._journal.set_aside(batch[0])
            refused = _all_rejected(self._journal.tables(batch[0])[ARRIVALS])
            self.counters.entries_refused += 1
            _LOG.error("The database refuses rows that were acknowledged: %s They are kept in %s.", error, path)
            self._loader.store({ARRIVALS: numbered(refused, batch[0].sequence)})
        with self._changed:
            self._loaded = batch[-1].sequence
            self._failure = None

    def _write(self, batch: Sequence[Entry]) -> None:
        parts = []
        for entry in batch:
            part = self._journal.tables(entry)
            parts.append({**part, ARRIVALS: numbered(part[ARRIVALS], entry.sequence)})
        self._loader.store(combined(parts))


def _all_rejected(arrivals: pa.Table) -> pa.Table:
    return arrivals.set_column(arrivals.schema.get_field_index("rejected"), "rejected", arrivals["accepted"])
