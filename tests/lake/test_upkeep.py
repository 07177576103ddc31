"""Upkeep of a shared store beside its writers and readers: fewer files, and every row once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sql import lake_upkeep
from sql.errors import StoreError, StoreUnavailableError
from sql.lake_address import LakeAddress
from sql.lake_catalog import LakeCatalog
from sql.lake_files import NewFiles
from sql.lake_store import LakeStore
from sql.lake_turn import UPKEEP, Leadership, Turn
from sql.lake_upkeep import SOON, LakeUpkeep, merge_waits

Rows = Callable[..., dict[str, pa.Table]]
HOUR = timedelta(hours=1)
NOTHING = timedelta(0)
RENAME = "UPDATE live_spans SET name = 'renamed' WHERE name = 'chat 0'"


def spans(rows: Rows, name: str = "chat", count: int = 3) -> dict[str, pa.Table]:
    """Some spans with one name, each of a trace of its own."""
    return rows(*({"name": name, "span_id": os.urandom(8), "trace_id": os.urandom(16)} for _ in range(count)))


@pytest.fixture
def store(lake: LakeAddress, rows: Rows) -> Iterator[LakeStore]:
    """A lake into which six requests of three spans were written: `chat 0` to `chat 5`."""
    with LakeStore(lake) as opened:
        for number in range(6):
            opened.write(spans(rows, f"chat {number}"))
        yield opened


def counts(store: LakeStore) -> tuple[int, int]:
    """How many spans there are, and how many different ones."""
    (row,) = store.read("SELECT count(span_id) AS rows, count(DISTINCT span_id) AS ids FROM spans").to_pylist()
    return row["rows"], row["ids"]


def live_files(lake: LakeAddress, table: str = "live_spans") -> int:
    """How many files a table has."""
    with LakeCatalog(lake) as catalog:
        return len(catalog.files().get(table, []))


def on_disk(lake: LakeAddress) -> set[str]:
    """The files of a lake's folder."""
    assert lake.folder
    return {str(path) for path in lake.folder.rglob("*.parquet")}


def change(store: LakeStore, statement: str) -> None:
    """What a writer does that takes no turn."""
    with store._cursor() as cursor:
        cursor.execute(statement)


def test_beside_a_writer_and_readers(lake: LakeAddress, rows: Rows) -> None:
    """While one process writes and two read, files are merged again and again: no error, every row once, fewer files."""
    written = threading.Event()
    failures: list[BaseException] = []

    def attempt(what: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                what()
            except BaseException as error:  # noqa: BLE001 (of a thread; it is told below)
                failures.append(error)

        return run

    def write() -> None:
        with LakeStore(lake) as writer:
            for _ in range(20):
                writer.write(spans(rows))
        written.set()

    def read() -> None:
        last = 0
        with LakeStore(lake, read_only=True) as reader:
            while not written.is_set():
                found, different = counts(reader)
                assert found == different
                assert last <= found
                last = found

    threads = [threading.Thread(target=attempt(what)) for what in (write, read, read)]
    for thread in threads:
        thread.start()
    merged = 0
    with LakeUpkeep(lake) as upkeep:
        while threads[0].is_alive():
            merged += upkeep.merge(4).files
        for thread in threads:
            thread.join()
        merged += upkeep.merge().files
    assert not failures
    assert merged >= 20
    assert live_files(lake) == 1
    with LakeStore(lake, read_only=True) as reader:
        assert counts(reader) == (60, 60)


def test_files_with_deleted_rows_are_written_anew(store: LakeStore, lake: LakeAddress) -> None:
    """Rows that were changed are in one file with the rest afterwards, and nothing is left that hides the old ones."""
    change(store, RENAME)
    change(store, "DELETE FROM live_spans WHERE name = 'chat 1'")
    with LakeUpkeep(lake) as upkeep:
        upkeep.merge()
    with LakeCatalog(lake) as catalog:
        assert [(file.rows, file.deleted) for file in catalog.files()["live_spans"]] == [(15, 0)]
    names = store.read("SELECT name, count(*) AS n FROM spans GROUP BY name ORDER BY name").to_pylist()
    assert [row["name"] for row in names] == ["chat 2", "chat 3", "chat 4", "chat 5", "renamed"]


def test_replaced_files_stay_for_readers_that_began_before(store: LakeStore, lake: LakeAddress) -> None:
    """A query goes on reading the files it began with; they are removed once nobody may be reading them."""
    before = on_disk(lake)
    with store.reader("FROM spans") as batches, LakeUpkeep(lake) as upkeep:
        assert upkeep.merge().files == 6
        tidied = upkeep.tidy(HOUR)
        assert (tidied.files, tidied.snapshots) == (0, 0)
        assert before <= on_disk(lake)
        assert batches.read_all().num_rows == 18
        tidied = upkeep.tidy(NOTHING)
    assert (tidied.files, tidied.orphans) == (6, 0)
    assert tidied.snapshots > 6
    assert len(on_disk(lake) & before) == len(before) - 6
    assert counts(store) == (18, 18)


def test_upkeep_gives_way_to_a_writer(
    store: LakeStore, lake: LakeAddress, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rows are deleted of files that are just being merged the merge is done anew; if need be, another time."""
    statements = iter([RENAME])
    sync = NewFiles.sync

    def overtaken(files: NewFiles) -> None:
        if statement := next(statements, None):
            change(store, statement)
        sync(files)

    with LakeUpkeep(lake) as upkeep:
        monkeypatch.setattr(NewFiles, "sync", overtaken)
        merged = upkeep.merge()
        assert (merged.files, merged.gave_way) == (5, [])
        upkeep.merge()
        assert counts(store) == (18, 18)
        for name in ("a", "b"):
            store.write(spans(rows, name))
        statements = (f"UPDATE live_spans SET name = 'again {number}' WHERE name = 'a'" for number in range(9))
        statements = iter(
            [f"UPDATE live_spans SET name = '{new}' WHERE name = '{old}'" for old, new in ("ac", "cd", "de")]
        )
        assert upkeep.merge().gave_way == ["live_spans"]
    assert counts(store) == (24, 24)
    assert store.read("SELECT count(*) AS n FROM spans WHERE name = 'e'")["n"].to_pylist() == [3]


def test_a_write_that_finds_its_files_replaced_is_done_anew(
    store: LakeStore, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever merges without waiting for a turn, such as another program, costs a writer one more attempt."""
    merges = iter(["CALL ducklake_merge_adjacent_files('lake', 'live_spans')"])
    check = Turn.check

    def overtaken(turn: Turn) -> None:
        if merge := next(merges, None):
            change(store, merge)
        check(turn)

    row = store.read("SELECT start_time, span_id, trace_id FROM spans WHERE name = 'chat 0' LIMIT 1")
    monkeypatch.setattr(Turn, "check", overtaken)
    store.write({"normalizer_versions": row.append_column("normalizer_version", pa.array([7], pa.int32()))})
    assert next(merges, None) is None
    told = store.read("SELECT count(*) AS n FROM spans WHERE normalizer_version = 7")
    assert told["n"].to_pylist() == [1]
    assert counts(store) == (18, 18)


_KILLED = """
import os, signal, sys
from sql.lake_address import LakeAddress
from sql.lake_files import NewFiles
from sql.lake_upkeep import LakeUpkeep
with LakeUpkeep(LakeAddress.parse(sys.argv[1])) as upkeep:
    NewFiles.sync = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    upkeep.merge()
"""


def test_a_killed_compaction_loses_nothing(store: LakeStore, lake: LakeAddress) -> None:
    """Killed before its commit it leaves a file that nobody knows; the next one does the work and removes that file."""
    before = on_disk(lake)
    done = subprocess.run([sys.executable, "-c", _KILLED, str(lake)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = on_disk(lake) - before
    assert counts(store) == (18, 18)
    with LakeUpkeep(lake) as upkeep:
        assert upkeep.merge().files == 6
        assert upkeep.tidy(HOUR).orphans == 0
        two_days_ago = time.time() - 2 * 86_400
        os.utime(left, (two_days_ago, two_days_ago))
        assert upkeep.tidy(HOUR).orphans == 1
    assert not Path(left).exists()
    assert counts(store) == (18, 18)


def test_of_two_compactions_one_is_refused(store: LakeStore, lake: LakeAddress) -> None:
    """The second is told that another process is at it; when that one ends, it may."""
    with LakeUpkeep(lake) as upkeep:
        with pytest.raises(StoreUnavailableError, match="Another process is at the upkeep"):
            LakeUpkeep(lake)
        with LakeCatalog(lake) as catalog:
            holder = catalog.holder(UPKEEP)
            assert holder
            assert holder.name.startswith(f"spanverdict {os.getpid()} on ")
        assert upkeep.merge().files == 6
    with LakeUpkeep(lake) as again:
        assert again.merge().files == 0
    assert counts(store) == (18, 18)


def test_where_no_lake_is_nothing_is_made(postgres: Any, tmp_path: Path) -> None:
    """An empty database stays empty, and the sentence says what makes a lake; the right to upkeep is free again."""
    postgres.execute("CREATE DATABASE nothing_here")
    try:
        address = LakeAddress(postgres.uri("nothing_here"), f"{tmp_path}/")
        with pytest.raises(StoreError, match="`spanverdict serve` makes one"):
            LakeUpkeep(address)
        assert postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "nothing_here") == [(0,)]
        right = Leadership(address, UPKEEP)
        assert right.held()
        right.release()
    finally:
        postgres.execute("DROP DATABASE nothing_here WITH (FORCE)")


def loads(number: int) -> dict[str, pa.Table]:
    """The row that counts what came in a request."""
    row = {"received_at": None, "signal": "traces", "service_name": "shop", "accepted": number, "rejected": 0}
    schema = pa.schema({"received_at": pa.timestamp("us"), "signal": pa.string(), "service_name": pa.string(),
                        "accepted": pa.int64(), "rejected": pa.int64(), "journal_sequence": pa.int64()})  # fmt: skip
    return {"ingest_loads": pa.Table.from_pylist([row | {"journal_sequence": 0}], schema)}


def test_many_rows_of_the_catalog_move_into_a_file(
    store: LakeStore, lake: LakeAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a table to which rows are only added; where rows were deleted the dead are forgotten first."""
    monkeypatch.setattr(lake_upkeep, "FLUSHED_ROWS", 4)
    for number in range(5):
        store.write(loads(number))
    change(
        store, "INSERT INTO pruned_days SELECT 'spans', DATE '2026-11-01', 'rows', i, NULL, now() FROM range(6) r(i)"
    )
    change(store, "UPDATE pruned_days SET rows = 60 WHERE rows = 5")

    def stored() -> list[Any]:
        accepted = store.read("SELECT accepted FROM ingest_loads ORDER BY accepted")["accepted"].to_pylist()
        pruned = store.read("SELECT rows FROM pruned_days ORDER BY rows")["rows"].to_pylist()
        return [accepted, pruned]

    expected = [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 60]]
    assert stored() == expected
    with LakeUpkeep(lake) as upkeep:
        tidied = upkeep.tidy(NOTHING)
        assert (tidied.flushed, tidied.rows) == (5, 1)
        assert (live_files(lake, "ingest_loads"), live_files(lake, "pruned_days")) == (1, 0)
        assert stored() == expected
        tidied = upkeep.tidy(NOTHING)
        assert tidied.flushed == 6
        assert tidied.rows == 0
    assert live_files(lake, "pruned_days") == 1
    assert stored() == expected
    change(store, "UPDATE pruned_days SET rows = 5 WHERE rows = 60")
    store.write(loads(7))
    assert stored() == [[0, 1, 2, 3, 4, 7], [0, 1, 2, 3, 4, 5]]


def test_a_merge_waits_until_there_is_enough(store: LakeStore, lake: LakeAddress, rows: Rows) -> None:
    """A few files are left alone by whoever looks each minute."""
    with LakeCatalog(lake) as catalog, LakeUpkeep(lake) as upkeep:
        assert not merge_waits(catalog.files())
        assert upkeep.merge(SOON).files == 0
        for _ in range(SOON - 6):
            store.write(spans(rows))
        assert merge_waits(catalog.files())
        assert upkeep.merge(SOON).files == SOON
        assert not merge_waits(catalog.files())
