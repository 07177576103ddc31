"""Upkeep of a shared store beside its writers and readers: fewer files, and every row once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import Result

from sql import lake_upkeep
from sql.lake_address import LakeAddress
from sql.lake_catalog import DataFile, LakeCatalog
from sql.lake_files import NewFiles
from sql.lake_store import LakeStore
from sql.lake_turn import TASKS, UPKEEP, Turn
from sql.lake_upkeep import SOON, LakeUpkeep, Merged, merge_waits
from tests.postgres import Postgres

Cli = Callable[..., Result]
Rows = Callable[..., dict[str, pa.Table]]
HOUR = timedelta(hours=1)
NOTHING = timedelta(0)


def rename(old: str, new: str) -> str:
    """A statement that deletes rows and inserts others."""
    return f"UPDATE live_spans SET name = '{new}' WHERE name = '{old}'"


def spans(rows: Rows, name: str = "chat", count: int = 3) -> dict[str, pa.Table]:
    """Some spans with one name, each of a trace of its own."""
    return rows(*({"name": name, "span_id": os.urandom(8), "trace_id": os.urandom(16)} for _ in range(count)))


@dataclass
class Lake:
    """A lake that is open, to write and for its upkeep."""

    address: LakeAddress
    store: LakeStore
    upkeep: LakeUpkeep


@pytest.fixture(scope="module")
def opened(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake that these tests share, for opening one takes longer than they do."""
    address = postgres.lake(tmp_path_factory.mktemp("upkeep"))
    with LakeStore(address) as store, LakeUpkeep(address) as upkeep:
        yield Lake(address, store, upkeep)
    postgres.drop(address)


@pytest.fixture
def lake(opened: Lake, rows: Rows) -> Lake:
    """That lake, with what four requests of three spans brought: `chat 0` to `chat 3`."""
    change(opened.store, "DELETE FROM live_spans")
    opened.upkeep.tidy(NOTHING)
    for number in range(4):
        opened.store.write(spans(rows, f"chat {number}"))
    return opened


def counts(store: LakeStore) -> tuple[int, int]:
    """How many spans there are, and how many different ones."""
    (row,) = store.read("SELECT count(span_id) AS rows, count(DISTINCT span_id) AS ids FROM spans").to_pylist()
    return row["rows"], row["ids"]


def live_files(lake: Lake, table: str = "live_spans") -> list[DataFile]:
    """The files of a table."""
    with LakeCatalog(lake.address) as catalog:
        return catalog.files().get(table, [])


def on_disk(lake: Lake) -> set[str]:
    """The files of spans in a lake's folder."""
    assert lake.address.folder
    return {str(path) for path in lake.address.folder.glob("main/spans/*.parquet")}


def change(store: LakeStore, statement: str) -> None:
    """What a program does that waits for no turn."""
    with store._cursor() as cursor:
        cursor.execute(statement)


def test_beside_a_writer_and_readers(lake: Lake, rows: Rows) -> None:
    """While one process writes and two read, files are merged all the time: no error, every row once, fewer files."""
    ended = threading.Event()

    def write() -> None:
        try:
            for _ in range(8):
                lake.store.write(spans(rows))
        finally:
            ended.set()

    def read() -> int:
        last = 0
        while not ended.is_set():
            found, different = counts(reader)
            assert found == different
            assert last <= found
            last = found
            time.sleep(0.02)
        return last

    merged = 0
    with LakeStore(lake.address, read_only=True) as reader, ThreadPoolExecutor(3) as threads:
        running = [threads.submit(what) for what in (write, read, read)]
        while not ended.is_set():
            merged += lake.upkeep.merge(4).files
            time.sleep(0.02)
        for each in running:
            each.result()
    merged += lake.upkeep.merge().files
    assert merged >= 12
    assert len(live_files(lake)) == 1
    assert counts(lake.store) == (36, 36)


def test_files_with_deleted_rows_are_written_anew(lake: Lake) -> None:
    """Rows that were changed are in one file with the rest afterwards, without what hides the old ones."""
    change(lake.store, rename("chat 0", "renamed"))
    change(
        lake.store, "DELETE FROM live_spans WHERE name = 'chat 1' OR span_id = (SELECT min(span_id) FROM live_spans)"
    )
    left = counts(lake.store)
    lake.upkeep.merge()
    assert [(file.rows, file.deleted) for file in live_files(lake)] == [(left[0], 0)]
    names = lake.store.read("SELECT DISTINCT name FROM spans ORDER BY name")["name"].to_pylist()
    assert names == ["chat 2", "chat 3", "renamed"]
    assert counts(lake.store) == left


def test_replaced_files_stay_for_readers_that_began_before(lake: Lake) -> None:
    """A query goes on reading the files it began with; they are removed once nobody may be reading them."""
    lake.upkeep.tidy(NOTHING)
    before = on_disk(lake)
    with lake.store.reader("FROM spans") as batches:
        assert lake.upkeep.merge().files == 4
        tidied = lake.upkeep.tidy(HOUR)
        assert (tidied.files, tidied.snapshots) == (0, 0)
        assert before <= on_disk(lake)
        assert batches.read_all().num_rows == 12
    tidied = lake.upkeep.tidy(NOTHING)
    assert tidied.snapshots == 1
    assert len(before - on_disk(lake)) == 4
    assert counts(lake.store) == (12, 12)


def test_upkeep_gives_way_to_a_writer(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows are deleted of files that are just being merged the merge is done anew; in the end by the next run."""
    names = ["chat 0", "b", "c", "d", "e"]
    changes = iter([rename(*names[:2])])
    sync = NewFiles.sync

    def overtaken(files: NewFiles) -> None:
        if statement := next(changes, None):
            change(lake.store, statement)
        sync(files)

    monkeypatch.setattr(NewFiles, "sync", overtaken)
    assert lake.upkeep.merge() == Merged(files=4, into=1)
    assert counts(lake.store) == (12, 12)
    change(lake.store, "DELETE FROM live_spans WHERE name = 'chat 1'")
    changes = iter([rename(*pair) for pair in pairwise(names[1:])])
    assert lake.upkeep.merge().gave_way == ["live_spans"]
    assert next(changes, None) is None
    assert counts(lake.store) == (9, 9)
    assert lake.store.read("SELECT count(span_id) AS n FROM spans WHERE name = 'e'")["n"].to_pylist() == [3]


def test_a_write_that_finds_its_files_replaced_is_done_anew(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever merges without waiting for a turn, such as another program, costs a writer one more attempt."""
    merges = iter(["CALL ducklake_merge_adjacent_files('lake', 'live_spans')"])
    check = Turn.check

    def overtaken(turn: Turn) -> None:
        if merge := next(merges, None):
            change(lake.store, merge)
        check(turn)

    row = lake.store.read("SELECT start_time, span_id, trace_id FROM spans WHERE name = 'chat 0' LIMIT 1")
    monkeypatch.setattr(Turn, "check", overtaken)
    lake.store.write({"normalizer_versions": row.append_column("normalizer_version", pa.array([7], pa.int32()))})
    assert next(merges, None) is None
    told = lake.store.read("SELECT count(span_id) AS n FROM spans WHERE normalizer_version = 7")
    assert told["n"].to_pylist() == [1]
    assert counts(lake.store) == (12, 12)


_KILLED = """
import os, signal, sys
from sql.lake_address import LakeAddress
from sql.lake_files import NewFiles
from sql.lake_upkeep import LakeUpkeep
with LakeUpkeep(LakeAddress.parse(sys.argv[1])) as upkeep:
    NewFiles.sync = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    upkeep.merge()
"""


@pytest.mark.slow
def test_a_killed_compaction_loses_nothing(lake: Lake) -> None:
    """Killed before its commit it leaves a file that nobody knows; the next one does the work and removes that file."""
    before = on_disk(lake)
    lake.upkeep._right.release()
    try:
        done = subprocess.run([sys.executable, "-c", _KILLED, str(lake.address)], check=False)
    finally:
        assert lake.upkeep._right.held()
    assert done.returncode == -signal.SIGKILL
    (left,) = on_disk(lake) - before
    assert counts(lake.store) == (12, 12)
    assert lake.upkeep.merge().files == 4
    assert lake.upkeep.tidy(HOUR).orphans == 0
    two_days_ago = time.time() - 2 * 86_400
    os.utime(left, (two_days_ago, two_days_ago))
    assert lake.upkeep.tidy(HOUR).orphans == 1
    assert not Path(left).exists()
    assert counts(lake.store) == (12, 12)


def test_of_two_compactions_one_is_refused(opened: Lake, cli: Cli) -> None:
    """The second is told that another process is at it, and who it is can be seen."""
    refused = cli("compact", "--store", str(opened.address))
    assert refused.exit_code == 4
    assert "Another process is at the upkeep" in refused.stderr
    with LakeCatalog(opened.address) as catalog:
        holder = catalog.holder(UPKEEP)
        assert holder
        assert holder.name.startswith(f"spanverdict {os.getpid()} on ")
        assert catalog.holder(TASKS) is None


def test_where_no_lake_is_none_is_made(postgres: Postgres, cli: Cli, tmp_path: Path) -> None:
    """An empty database stays empty, and the sentence says what makes a lake."""
    postgres.execute("CREATE DATABASE nothing_here")
    try:
        refused = cli("compact", "--store", str(LakeAddress(postgres.uri("nothing_here"), f"{tmp_path}/")))
        assert refused.exit_code == 4
        assert "`spanverdict serve` makes one" in refused.stderr
        assert postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "nothing_here") == [(0,)]
    finally:
        postgres.execute("DROP DATABASE nothing_here WITH (FORCE)")


def loads(number: int) -> dict[str, pa.Table]:
    """The row that counts what came in a request."""
    row = {"received_at": None, "signal": "traces", "service_name": "shop", "accepted": number, "rejected": 0,
           "journal_sequence": 0}  # fmt: skip
    schema = pa.schema({"received_at": pa.timestamp("us"), "signal": pa.string(), "service_name": pa.string(),
                        "accepted": pa.int64(), "rejected": pa.int64(), "journal_sequence": pa.int64()})  # fmt: skip
    return {"ingest_loads": pa.Table.from_pylist([row], schema)}


def test_many_rows_of_the_catalog_move_into_a_file(opened: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a table to which rows are only added; where rows were deleted the dead are forgotten first."""
    store = opened.store

    def stored() -> list[Any]:
        accepted = store.read("SELECT accepted FROM ingest_loads ORDER BY accepted")["accepted"].to_pylist()
        pruned = store.read("SELECT rows FROM pruned_days ORDER BY rows")["rows"].to_pylist()
        return [accepted, pruned]

    monkeypatch.setattr(lake_upkeep, "FLUSHED_ROWS", 5)
    for number in range(5):
        store.write(loads(number))
    change(
        store, "INSERT INTO pruned_days SELECT 'spans', DATE '2026-11-01', 'rows', i, NULL, now() FROM range(6) r(i)"
    )
    change(store, "UPDATE pruned_days SET rows = 60 WHERE rows = 5")
    expected = [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 60]]
    assert stored() == expected
    assert opened.upkeep.tidy(NOTHING).rows == 1
    assert (len(live_files(opened, "ingest_loads")), live_files(opened, "pruned_days")) == (1, [])
    assert stored() == expected
    assert opened.upkeep.tidy(NOTHING).flushed == 6
    assert len(live_files(opened, "pruned_days")) == 1
    assert stored() == expected
    change(store, "UPDATE pruned_days SET rows = 5 WHERE rows = 60")
    store.write(loads(7))
    expected = [[0, 1, 2, 3, 4, 7], [0, 1, 2, 3, 4, 5]]
    assert stored() == expected
    opened.upkeep.merge()
    opened.upkeep.tidy(NOTHING)
    assert stored() == expected


def test_a_merge_waits_until_there_is_enough() -> None:
    """A few files are left alone, and large ones; deleted rows make files worth writing anew."""
    small, large, touched = DataFile(1000, 10, 0), DataFile(2**30, 10, 0), DataFile(1000, 10, 1)
    assert not merge_waits({})
    assert not merge_waits({"spans": [small] * (SOON - 1) + [touched] * (SOON - 1), "calls": [large] * SOON})
    assert merge_waits({"calls": [], "spans": [small] * SOON})
    assert merge_waits({"spans": [large, *[touched] * SOON]})
