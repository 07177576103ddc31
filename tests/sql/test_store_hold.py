"""A store that is held still while its files are copied: nobody writes, all may read, and nobody holds for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from sql.access import RemoteStore
from sql.errors import StoreError
from sql.flight_server import FlightServer
from sql.store import Store
from sql.store_hold import Hold

BACKUP = pa.table({"made_at": pa.array([0], pa.timestamp("us")), "path": ["x"], "size_bytes": [1], "spans": [1]})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store(tmp_path / "s.duckdb") as opened:
        yield opened


@pytest.fixture
def remote(store: Store) -> Iterator[RemoteStore]:
    """The same, through a server."""
    server = FlightServer(store, "127.0.0.1:0", "token")
    client = RemoteStore(f"127.0.0.1:{server.port}", "token")
    yield client
    client.close()
    server.shutdown()


def test_reading_goes_on_and_writing_waits(remote: RemoteStore, store: Store) -> None:
    """What the log held is in the file, and a write that was asked for meanwhile is done afterwards."""
    assert remote.write({"backups": BACKUP}) == {"backups": 1}
    log = store.path.with_name(f"{store.path.name}.wal")
    assert log.stat().st_size > 0
    writing = threading.Thread(target=store.write, args=[{"backups": BACKUP}])
    with remote.held():
        assert not log.exists() or log.stat().st_size == 0
        writing.start()
        writing.join(0.1)
        assert writing.is_alive()
        assert remote.read("SELECT count(*) AS n FROM backups")["n"].to_pylist() == [1]
    writing.join()
    assert store.read("SELECT count(*) AS n FROM backups")["n"].to_pylist() == [2]


def test_a_client_that_dies_lets_go(remote: RemoteStore, store: Store) -> None:
    """A backup that was killed does not keep the server from writing."""
    holding = (
        "import os, sys; from sql.access import RemoteStore\nwith RemoteStore(sys.argv[1], 'token').held(): os._exit(7)"
    )
    ended = subprocess.run([sys.executable, "-c", holding, remote.address], check=False)
    assert ended.returncode == 7
    assert store.write({"backups": BACKUP}) == {"backups": 1}


def test_a_server_that_stops_does_not_wait(remote: RemoteStore, store: Store) -> None:
    """Whoever copied is told that the copy may not fit together."""
    with pytest.raises(StoreError, match="could not be held still any longer: the server stops"), remote.held():
        store.interrupt_readers()
    assert store.write({"backups": BACKUP}) == {"backups": 1}


def test_nobody_holds_for_ever() -> None:
    """Past its time the lock is free, once, and the holder learns of it."""
    lock = threading.Lock()
    lock.acquire()
    hold = Hold(lock, 0.01)
    assert lock.acquire(timeout=10)
    with pytest.raises(StoreError, match=r"it took longer than 0\.01 s"):
        hold.check()
    hold.end()
    assert lock.locked()
