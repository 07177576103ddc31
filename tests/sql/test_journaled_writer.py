"""From the journal into the store: in batches, once, whatever fails meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from sql.errors import RowsRefusedError, StoreError, StoreFailedError
from sql.journal import Journal, journal_directory
from sql.journaled_writer import JournaledWriter, LoadLimits
from sql.store import Store
from sql.telemetry_writer import ARRIVALS

START = datetime(2026, 11, 2)


class FailingStore(Store):
    """A real store whose writes can be made to fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.failure: StoreError | None = None
        self.poison = ""
        self.writes = 0
        self.reopened = threading.Event()

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """Fail as told, else write for real."""
        self.writes += 1
        if self.failure:
            raise self.failure
        if self.poison and "spans" in tables and self.poison in tables["spans"]["name"].to_pylist():
            raise RowsRefusedError("no")
        return super().write(tables)

    def reopen(self) -> None:
        """Open anew, and say so."""
        super().reopen()
        self.reopened.set()


def entry(number: int, name: str = "span", spans: int = 1) -> dict[str, pa.Table]:
    """What one group of requests brings: spans of a trace and what the ledger is told."""
    received = pa.array([START + timedelta(microseconds=number)] * spans, pa.timestamp("us"))
    return {
        "spans": pa.table(
            {
                "trace_id": [f"{number:032x}"] * spans,
                "span_id": [f"{span + 1:016x}" for span in range(spans)],
                "name": [name] * spans,
                "kind": ["INTERNAL"] * spans,
                "status_code": ["UNSET"] * spans,
                "start_time": pa.array([START] * spans, pa.timestamp("ns")),
                "end_time": pa.array([START] * spans, pa.timestamp("ns")),
                "service_name": ["app"] * spans,
                "attributes": ["{}"] * spans,
                "resource_id": ["0" * 32] * spans,
                "received_at": received,
            }
        ),
        ARRIVALS: pa.table(
            {
                "signal": ["traces"],
                "service_name": ["app"],
                "accepted": [spans],
                "rejected": [0],
                "received_at": received[:1],
            }
        ),
    }


def ledger(store: Store) -> list[tuple[int, ...]]:
    """The ledger's counts."""
    found = store.read("SELECT accepted, stored, rejected, duplicate FROM ingest_ledger").to_pylist()
    return [tuple(row.values()) for row in found]


def spans(store: Store) -> int:
    """How many spans are stored."""
    return int(store.read("SELECT count(*) AS n FROM spans")["n"][0].as_py())


def test_what_a_killed_process_acknowledged_is_loaded(tmp_path: Path) -> None:
    """A journal left behind is loaded at the next start, once, and removed."""
    path = tmp_path / "s.duckdb"
    journal = Journal(journal_directory(path))
    for number in range(5):
        journal.append(entry(number, spans=3))
    for _ in range(2):
        with Store(path) as store:
            JournaledWriter(store).close()
            assert ledger(store) == [(15, 15, 0, 0)]
    assert not journal_directory(path).exists()


def test_a_load_that_was_not_removed_is_not_repeated(tmp_path: Path) -> None:
    """Killed between the load and the removal of its segment, the next start does not count its rows again."""
    path = tmp_path / "s.duckdb"
    with Store(path) as store:
        writer = JournaledWriter(store)
        writer.append(entry(1, spans=3))
        (segment,) = journal_directory(path).glob("*.journal")
        kept = segment.read_bytes()
        writer.close()
        segment.parent.mkdir()
        segment.write_bytes(kept)
        JournaledWriter(store).close()
        assert ledger(store) == [(3, 3, 0, 0)]
    assert not segment.exists()


def test_flush_makes_it_visible(tmp_path: Path) -> None:
    """What was appended before a flush is there after it, however long loads otherwise wait."""
    with Store(tmp_path / "s.duckdb") as store:
        writer = JournaledWriter(store, LoadLimits(seconds=60))
        for number in range(3):
            writer.append(entry(number))
            assert writer.flush(10)
            assert spans(store) == number + 1
        assert writer.backlog_bytes == 0
        writer.close()


def test_many_small_entries_share_a_load(tmp_path: Path) -> None:
    """Entries that come faster than loads are due go in together."""
    with FailingStore(tmp_path / "s.duckdb") as store:
        writer = JournaledWriter(store, LoadLimits(seconds=60))
        writer.append(entry(0))
        assert writer.flush(10)
        for number in range(1, 200):
            writer.append(entry(number))
        writer.close()
        assert spans(store) == 200
        assert store.writes == 2
        assert writer.counters.loads == 2
        assert writer.counters.stored["spans"] == 200


def test_a_failed_store_keeps_everything_and_recovers(tmp_path: Path) -> None:
    """While the store fails the journal keeps what came and says why; afterwards it is stored, and once."""
    with FailingStore(tmp_path / "s.duckdb") as store:
        writer = JournaledWriter(store, LoadLimits(seconds=0))
        store.failure = StoreFailedError("the disk is full")
        writer.append(entry(1, spans=2))
        writer.append(entry(1, spans=2))
        assert not writer.flush(10)
        assert writer.problem() == "the disk is full"
        assert writer.backlog_bytes > 0
        assert store.reopened.wait(10)
        store.failure = None
        while not writer.flush(10):
            pass
        assert writer.problem() is None
        assert ledger(store) == [(4, 2, 0, 2)]
        assert writer.counters.duplicates["traces"] == 2
        writer.close()


def test_a_store_that_fails_to_the_end_loses_nothing(tmp_path: Path) -> None:
    """Stopped while the store fails, the journal still has everything for the next start."""
    path = tmp_path / "s.duckdb"
    with FailingStore(path) as store:
        writer = JournaledWriter(store, LoadLimits(seconds=0))
        store.failure = StoreFailedError("the disk is full")
        writer.append(entry(1))
        writer.close()
        assert spans(store) == 0
        store.failure = None
        JournaledWriter(store).close()
        assert spans(store) == 1


def test_rows_that_the_database_refuses_are_set_aside_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Found by halving; the others of the batch are stored, the refused ones kept in a file that the log names."""
    path = tmp_path / "s.duckdb"
    with FailingStore(path) as store:
        store.poison = "poison"
        writer = JournaledWriter(store, LoadLimits(seconds=60))
        writer.append(entry(0))
        assert writer.flush(10)
        for number in range(1, 8):
            writer.append(entry(number, "poison" if number == 5 else "span"))
        assert writer.flush(10)
        writer.close()
        assert spans(store) == 7
        assert writer.counters.entries_refused == 1
        assert ledger(store) == [(8, 7, 1, 0)]
    (kept,) = journal_directory(path).glob("*.refused")
    assert str(kept) in caplog.text
    with Store(path) as store:
        JournaledWriter(store).close()
        assert spans(store) == 7


def test_a_store_that_lost_its_file_system_is_opened_anew(tmp_path: Path) -> None:
    """After a reopen, reads and loads work on the new instance."""
    with Store(tmp_path / "s.duckdb") as store:
        writer = JournaledWriter(store)
        writer.append(entry(1))
        assert writer.flush(10)
        store.reopen()
        assert spans(store) == 1
        writer.append(entry(2))
        assert writer.flush(10)
        assert spans(store) == 2
        writer.close()
