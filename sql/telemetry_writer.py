"""What every way into the store for telemetry has in common: what it promises, and how rows are stored and counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from sql.opened_store import OpenedStore

ARRIVALS = "ingest_loads"
"""The write that counts what came in; each entry has its rows, and it runs last."""

COUNTED = {"traces": "spans", "logs": "log_records", "feedback": "feedback"}
"""The signals of the arrivals, and the table that holds the records of each."""

KNOWN_RESOURCES = 100_000
"""How many resource ids are remembered so that a resource is not looked up again at every load."""


@dataclass
class LoadCounters:
    """Totals of the loads since the start.

    Attributes:
        loads: transactions.
        seconds: time spent in them.
        last_load_at: when the last one succeeded, as Unix time.
        entries_refused: entries that the database refused and that were set aside.
        stored: rows that each table gained.
        duplicates: records, by signal, that the store had already.
    """

    loads: int = 0
    seconds: float = 0.0
    last_load_at: float | None = None
    entries_refused: int = 0
    stored: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)


class TelemetryWriter(Protocol):
    """Takes the rows of requests; what it has taken is kept, whatever happens afterwards."""

    @property
    def counters(self) -> LoadCounters:
        """Totals since the start."""
        ...

    @property
    def backlog_bytes(self) -> int:
        """Bytes that were taken and are not in the store yet."""
        ...

    @property
    def failure(self) -> str | None:
        """Why nothing can be stored now; None if it can."""
        ...

    def problem(self) -> str | None:
        """Why nothing can be taken now; None if it can."""
        ...

    def last_received_at(self) -> datetime | None:
        """The latest arrival that the store holds."""
        ...

    def append(self, tables: Mapping[str, pa.Table]) -> None:
        """Take rows; when this returns they are kept.

        Args:
            tables: name of the write → its rows; the rows of ``ARRIVALS`` have to be among them.

        Raises:
            StoreError: they could not be taken; nothing of them was kept.
        """
        ...

    def flush(self, timeout_seconds: float | None = None) -> bool:
        """Wait until all that was taken before is in the store; False if it is not after ``timeout_seconds``."""
        ...

    def close(self) -> None:
        """Store what can be stored and stop."""
        ...


class Loader:
    """Stores rows of telemetry and counts them.

    Args:
        store: the open store.

    Attributes:
        counters: totals since the start.
    """

    def __init__(self, store: OpenedStore) -> None:
        self._store = store
        self._known_resources: set[str] = set()
        self.counters = LoadCounters()

    def store(self, tables: dict[str, pa.Table]) -> None:
        """Store rows in one transaction.

        Args:
            tables: name of the write → its rows; those of ``ARRIVALS`` have `journal_sequence`.

        Raises:
            StoreError: they cannot be stored now, or ever.
        """
        started = time.monotonic()
        arrivals = tables.pop(ARRIVALS)
        resources = tables.pop("resources", None)
        ids: list[str] = resources["resource_id"].to_pylist() if resources is not None else []
        if not self._known_resources.issuperset(ids):
            tables["resources"] = resources
        tables[ARRIVALS] = arrivals
        stored = self._store.write(tables)
        for signal, table in COUNTED.items():
            came = arrivals.filter(pc.equal(arrivals["signal"], signal))
            new = pc.sum(pc.subtract(came["accepted"], came["rejected"])).as_py() or 0
            self.counters.duplicates[signal] += new - stored.get(table, 0)
        if len(self._known_resources) > KNOWN_RESOURCES:
            self._known_resources.clear()
        self._known_resources.update(ids)
        self.counters.loads += 1
        self.counters.seconds += time.monotonic() - started
        self.counters.last_load_at = time.time()
        self.counters.stored.update(stored)


def numbered(arrivals: pa.Table, sequence: int) -> pa.Table:
    """Arrivals with the number of the journal's entry that they came in; 0 where there is no journal."""
    sequences = pa.repeat(pa.scalar(sequence, pa.int64()), arrivals.num_rows)
    return arrivals.append_column("journal_sequence", sequences)
