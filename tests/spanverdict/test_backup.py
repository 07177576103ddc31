"""`spanverdict backup` and `restore`: all that was acknowledged, once, beside a server; whole or not at all."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result

from spanverdict.backup_manifest import MANIFEST
from sql.access import open_store
from sql.store import Store

Cli = Callable[..., Result]


class Sender(threading.Thread):
    """Posts requests of a hundred spans, one after another, and knows which were acknowledged."""

    def __init__(self, address: str, otlp: Any) -> None:
        super().__init__(daemon=True)
        self._address = address
        self._otlp = otlp
        self.acknowledged: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        """Send until told to stop, or until the server is gone."""
        connection = http.client.HTTPConnection(self._address)
        number = 0
        while not self.stopping.is_set():
            number += 1
            trace = number.to_bytes(16, "big")
            spans = [{"trace_id": trace, "span_id": (n + 1).to_bytes(8, "big")} for n in range(100)]
            body = self._otlp.request(*spans).SerializeToString()
            try:
                connection.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                return
            if answer.status == 200:
                self.acknowledged.append(trace.hex())

    def wait_for(self, requests: int) -> None:
        """Wait until so many requests were acknowledged."""
        deadline = time.monotonic() + 30
        while len(self.acknowledged) < requests:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def report_id(cli: Cli, db: Path) -> str:
    """The id of the report on the promotion p."""
    made = cli("report", "p", "--as-of", "2026-11-09", "--format", "json", "--db", db)
    found = re.search(r"[0-9a-f]{12,}", made.stderr)
    assert found, made.stderr
    return found[0]


@pytest.mark.slow
def test_a_backup_during_ingest_has_all_that_was_acknowledged(
    promoted: Path, fill: Callable[..., None], start_server: Callable[..., Any], cli: Cli, otlp: Any, workdir: Path
) -> None:
    """Spans acknowledged before it began are in it, once, whatever becomes of the server; reports agree."""
    for model, failing in (("m0", 0), ("m1", 50)):
        fill(promoted, model, failing=failing, traces=60)
    server = start_server(promoted)
    sender = Sender(server.told.http, otlp)
    sender.start()
    sender.wait_for(20)
    before = list(sender.acknowledged)
    made = cli("backup", "kept")
    assert made.exit_code == 0, made.stderr
    after = len(sender.acknowledged)
    sender.wait_for(after + 5)
    assert server.sql("SELECT path, spans FROM backups")[0]["path"] == str(workdir / "kept")
    server.stop(signal.SIGKILL)
    sender.join()
    restored = cli("restore", "kept", "--db", "new.duckdb")
    assert restored.exit_code == 0, restored.stderr
    told = json.loads((workdir / "kept" / MANIFEST).read_text())["contents"]
    with Store(workdir / "new.duckdb") as store:
        counts = store.read("SELECT trace_id, count(*) AS spans FROM spans WHERE service_name = 'app' GROUP BY ALL")
        spans = dict(zip(counts["trace_id"].to_pylist(), counts["spans"].to_pylist(), strict=True))
        assert {spans.get(trace) for trace in before} == {100}
        assert sum(spans.values()) == told["spans"]
    assert f"{told['spans']:,} spans of 2026-" in restored.stderr
    assert report_id(cli, workdir / "new.duckdb") == report_id(cli, promoted)
    assert not list(workdir.glob("*.tmp")) + list(workdir.glob(".*.tmp"))


def test_a_backup_without_a_server(incident: Path, cli: Cli, workdir: Path) -> None:
    """It is for its owner alone, can be asked as it lies there, and is noted in the store."""
    assert cli("backup", "kept", "--db", incident).exit_code == 0
    kept = workdir / "kept"
    modes = {path.stat().st_mode & 0o777 for path in (kept, *kept.rglob("*"))}
    assert modes == {0o700, 0o600}
    count = "SELECT count(*) AS n FROM spans"
    with open_store(kept / "spanverdict.duckdb") as store:
        assert store.read(count)["n"].to_pylist() == [800]
    with open_store(incident) as store:
        assert store.read("SELECT spans FROM backups")["spans"].to_pylist() == [800]


def test_the_archive_comes_along(promoted: Path, fill: Callable[..., None], cli: Cli, workdir: Path) -> None:
    """Its files are linked, checked, and read where the backup lies and where it is restored under another name."""
    fill(promoted, "m0", failing=3)
    (workdir / "spanverdict.toml").write_text("[archive]\nleast_rows = 1\n")
    assert cli("derive").exit_code == 0
    assert cli("archive", "--before", "2026-11-05").exit_code == 0
    count = "SELECT count(*) AS n, (SELECT count(*) FROM live_spans) AS live FROM spans"
    with open_store(promoted) as store:
        before = store.read(count).to_pylist()
        assert before[0]["live"] < before[0]["n"] == 400
    assert cli("backup", "kept").exit_code == 0
    (archived,) = promoted.with_name(f"{promoted.name}.archive").glob("spans/day=2026-11-03/*")
    assert archived.stat().st_nlink == 2
    for path in promoted.with_name(f"{promoted.name}.archive").glob("spans/*/*.parquet"):
        path.unlink()
    assert cli("restore", "kept", "--db", "new.duckdb").exit_code == 0
    for path in (workdir / "kept" / promoted.name, workdir / "new.duckdb"):
        with open_store(path) as store:
            assert store.read(count).to_pylist() == before
    (workdir / "kept").rename(workdir / "again")
    lost = cli("backup", "kept")
    assert (lost.exit_code, "is missing or damaged" in lost.stderr) == (2, True)


@pytest.mark.parametrize("ending", ["", ".wal", ".journal", ".archive"])
def test_nothing_is_overwritten(db: Path, cli: Cli, workdir: Path, ending: str) -> None:
    """A folder for a backup, or a store or a part of one that is there, is left alone."""
    assert cli("backup", "kept").exit_code == 0
    again = cli("backup", "kept")
    assert (again.exit_code, "is there already; name a folder that is not" in again.stderr) == (2, True)
    there = workdir / f"new.duckdb{ending}"
    there.write_text("mine")
    refused = cli("restore", "kept", "--db", "new.duckdb")
    assert refused.exit_code == 2
    assert f"{there} is there already" in refused.stderr
    assert there.read_text() == "mine"
    assert db.exists()


def _cut(kept: Path) -> None:
    data = (kept / "spanverdict.duckdb").read_bytes()
    (kept / "spanverdict.duckdb").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def _reach_out(kept: Path) -> None:
    manifest = json.loads((kept / MANIFEST).read_text())
    manifest["files"]["spanverdict.duckdb/../../outside"] = manifest["files"]["spanverdict.duckdb"]
    (kept / MANIFEST).write_text(json.dumps(manifest))


def _newer(kept: Path) -> None:
    manifest = json.loads((kept / MANIFEST).read_text())
    manifest["contents"]["store_version"] = 999
    (kept / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_cut, "spanverdict.duckdb is not what was backed up"),
        (lambda kept: (kept / "spanverdict.duckdb").unlink(), "spanverdict.duckdb is missing"),
        (lambda kept: (kept / MANIFEST).unlink(), "is no backup"),
        (lambda kept: (kept / MANIFEST).write_text("{}"), "cannot be read (store"),
        (_reach_out, "which is no file of a backup"),
        (_newer, "schema 999"),
    ],
)
@pytest.mark.usefixtures("db")
def test_what_is_damaged_is_not_restored(cli: Cli, workdir: Path, harm: Callable[[Path], object], told: str) -> None:
    """The sentence names the file, and nothing is left where the store would be."""
    assert cli("backup", "kept").exit_code == 0
    harm(workdir / "kept")
    before = sorted(workdir.iterdir())
    refused = cli("restore", "kept", "--db", "new.duckdb")
    assert refused.exit_code == 2
    assert told in refused.stderr
    assert sorted(workdir.iterdir()) == before


@pytest.mark.usefixtures("db")
def test_what_a_killed_backup_left_goes_with_the_next(cli: Cli, workdir: Path) -> None:
    """Links would keep files of the archive for ever; those of a process that lives stay."""
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = workdir / f"spanverdict.duckdb.backup.{int(gone.stdout)}.tmp"
    left.mkdir()
    living = workdir / f"spanverdict.duckdb.backup.{os.getppid()}.tmp"
    living.mkdir()
    assert cli("backup", "kept").exit_code == 0
    assert not left.exists()
    assert living.exists()


@pytest.mark.usefixtures("db")
def test_without_room_there_is_no_backup(cli: Cli, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said before anything is copied."""
    before = sorted(workdir.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=2**20))
    refused = cli("backup", "kept")
    assert refused.exit_code == 4
    assert "are needed for the backup, and 1 MiB are free: make room" in refused.stderr
    assert sorted(workdir.iterdir()) == before
