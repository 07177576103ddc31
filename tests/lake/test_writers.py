"""Several writers of one lake: each span once, arrivals that rise, and turns that nobody keeps for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import sql.lake_files
from sql import lake_turn
from sql.access import Access, RemoteStore
from sql.errors import StoreError, StoreFailedError
from sql.flight_server import FlightServer
from sql.lake_address import LakeAddress
from sql.lake_store import LakeStore

Rows = Callable[..., dict[str, pa.Table]]

REQUESTS = 6
KILLED = """
import os, pickle, signal, sys
from sql.lake_files import NewFiles
from sql.lake_store import LakeStore

def killed(files):
    os.kill(os.getpid(), signal.SIGKILL)

address, rows = pickle.load(sys.stdin.buffer)
store = LakeStore(address)
NewFiles.sync = killed
store.write(rows)
"""
"""Writes rows, and is killed when their files are there and the commit is not."""


@pytest.fixture
def two(lake: LakeAddress) -> Iterator[tuple[LakeStore, LakeStore]]:
    """A lake that is attached twice, as by two collectors."""
    with ExitStack() as stack:
        yield stack.enter_context(LakeStore(lake)), stack.enter_context(LakeStore(lake))


def request(rows: Rows, number: int) -> dict[str, pa.Table]:
    """The rows of one of several requests of two spans each."""
    return rows({"trace_id": bytes([number + 1]) * 16}, {"trace_id": bytes([number + 1]) * 16})


def count(store: LakeStore) -> int:
    """How many spans there are."""
    found: int = store.read("SELECT count(*) AS n FROM spans")["n"][0].as_py()
    return found


def test_the_same_spans_sent_to_two_at_once(two: tuple[LakeStore, LakeStore], lake: LakeAddress, rows: Rows) -> None:
    """Whoever writes a span first, it is stored once, and what was read up to a moment stays whole."""
    ended = threading.Event()
    seen: list[tuple[datetime, int]] = []

    def watch() -> None:
        with LakeStore(lake, read_only=True) as reader:
            while not ended.is_set():
                for row in reader.read("SELECT received_at AS at, count(*) AS n FROM spans GROUP BY ALL").to_pylist():
                    seen.append((row["at"], row["n"]))
                    assert row["at"] <= reader.read("SELECT max(received_at) AS at FROM spans")["at"][0].as_py()

    def send(store: LakeStore, order: range) -> int:
        # Each request is sent twice, as by an exporter whose answer was lost.
        return sum(store.write(request(rows, number))["spans"] for number in order for _ in range(2))

    with ThreadPoolExecutor(3) as threads:
        watching = threads.submit(watch)
        sent = [threads.submit(send, two[0], range(REQUESTS)), threads.submit(send, two[1], range(REQUESTS)[::-1])]
        stored = sum(future.result() for future in sent)
        ended.set()
        watching.result()
    assert stored == count(two[0]) == 2 * REQUESTS
    arrivals = two[0].read("SELECT received_at, count(*) AS n FROM spans GROUP BY ALL ORDER BY 1").to_pylist()
    assert [row["n"] for row in arrivals] == [2] * REQUESTS, "each turn has a moment of its own"
    assert {n for _, n in seen} <= {2}, "of a moment everything is seen at once"


def test_arrivals_rise_though_a_clock_is_behind(two: tuple[LakeStore, LakeStore], rows: Rows) -> None:
    """The moment is the turn's, whatever the collector wrote."""
    late = request(rows, 0)
    column = late["spans"].schema.get_field_index("received_at")
    kind = late["spans"].schema.field(column)
    late["spans"] = late["spans"].set_column(column, kind, pa.repeat(pa.scalar(datetime(2030, 1, 1), kind.type), 2))
    two[0].write(late)
    two[1].write(request(rows, 1))
    found = two[0].read("SELECT trace_id, received_at FROM spans GROUP BY ALL ORDER BY received_at").to_pylist()
    assert [row["trace_id"][:2] for row in found] == ["01", "02"]
    assert found[0]["received_at"] < found[1]["received_at"] < datetime(2030, 1, 1)


def test_a_writer_that_hangs_loses_its_turn(lake: LakeAddress, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go on, and it commits nothing when it wakes up."""
    monkeypatch.setattr(lake_turn, "HOLD_SECONDS", 1)
    with LakeStore(lake) as hanging, LakeStore(lake) as other:
        with hanging._turns.taken() as turn:
            assert other.write(request(rows, 0))["spans"] == 2
            with pytest.raises(StoreFailedError, match="turn to write was lost before the commit"):
                turn.check()
        assert hanging.write(request(rows, 0))["spans"] == 0, "it may take another turn"


def test_a_turn_is_not_waited_for_without_end(lake: LakeAddress, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the limit nothing is written, and a sentence says why."""
    monkeypatch.setattr(lake_turn, "WAIT_SECONDS", 1)
    with LakeStore(lake) as busy, LakeStore(lake) as waiting:
        with (
            busy._turns.taken(),
            pytest.raises(StoreError, match=r"Other writers kept .* busy for 1 s; this was not written\."),
        ):
            waiting.write(request(rows, 0))
        assert count(waiting) == 0
        assert waiting.write(request(rows, 0))["spans"] == 2


def test_killed_before_the_commit(lake: LakeAddress, rows: Rows) -> None:
    """The files are there and nobody sees them; sent again the rows are stored once."""
    import pickle  # noqa: PLC0415 (from here to a process of our own)

    command = [sys.executable, "-c", KILLED]
    done = subprocess.run(command, input=pickle.dumps((lake, request(rows, 0))), check=False, timeout=60)
    assert done.returncode == -9
    left = list(Path(lake.data).rglob("main/spans/*.parquet"))
    assert len(left) == 1
    with LakeStore(lake) as store:
        assert count(store) == 0
        assert store.write(request(rows, 0))["spans"] == 2
        assert count(store) == 2


def test_files_are_synced_before_the_commit(
    two: tuple[LakeStore, LakeStore], lake: LakeAddress, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new file and its folder, when nobody sees the rows yet."""
    synced: list[tuple[Path, int]] = []
    really: Any = sql.lake_files._sync

    def noted(path: str | Path) -> None:
        really(path)
        synced.append((Path(path), count(two[1])))

    monkeypatch.setattr(sql.lake_files, "_sync", noted)
    two[0].write(request(rows, 0))
    (file,) = Path(lake.data).rglob("main/spans/*.parquet")
    assert {file, file.parent} <= {path for path, _ in synced}
    assert {seen for _, seen in synced} == {0}
    assert count(two[1]) == 2


def test_whether_it_could_be_written(lake: LakeAddress) -> None:
    """It is tried with a file that is gone again; where none can be made, that is said."""
    assert lake.folder
    with LakeStore(lake) as store:
        store.check_writable()
        assert [path for path in lake.folder.rglob("*") if path.is_file()] == []
        lake.folder.rename(away := lake.folder.with_name("away"))
        lake.folder.write_text("no folder")
        with pytest.raises(StoreFailedError, match="can no longer be written"):
            store.check_writable()
        lake.folder.unlink()
        away.rename(lake.folder)
        store.check_writable()
        assert store.read("SELECT count(*) AS n FROM trace_keys")["n"].to_pylist() == [0]


def test_a_lake_is_not_held_still(lake: LakeAddress) -> None:
    """Whoever would copy its files is told what to do instead, also by a server."""
    with LakeStore(lake) as store:
        server = FlightServer(store, "127.0.0.1:0", "token")
        remote = RemoteStore(f"127.0.0.1:{server.port}", "token")
        each: tuple[Access, ...] = (store, remote)
        for access in each:
            with pytest.raises(StoreError, match="`spanverdict migrate --to FILE` makes a copy"), access.held():
                pytest.fail("it was held")
        remote.close()
        server.shutdown()
