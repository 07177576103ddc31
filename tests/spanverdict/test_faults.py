"""Disks that are full, read-only or damaged, under a real server: what it says, what it keeps, how it goes on."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sql.journal import journal_directory
from tests.processes import PRODUCT_PATH
from tests.stores import store_at

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SPANS = 20
WAIT_SECONDS = 20


def run(*command: object) -> None:
    """Run a system command; the test is skipped where that is not permitted."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{command[0]} is not permitted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB in memory; it has to be asked for before the servers, which end before it."""
    folder = tmp_path / "small"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def failing_disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 file system in a file, which can be made to fail as a disk does."""
    folder, image = tmp_path / "failing", tmp_path / "image"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(256 * 2**20)
    if not any(Path(place, "mkfs.ext4").exists() for place in ("/sbin", "/usr/sbin")):
        pytest.skip("mkfs.ext4 is not installed")
    run("mkfs.ext4", "-q", image)
    run("mount", "-o", "loop", image, folder)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Client:
    """Sends numbered requests, and knows which of them were acknowledged.

    Args:
        server: where to.
        otlp: the request builder.
        acknowledged: what earlier clients were told.
    """

    def __init__(self, server: Any, otlp: Any, acknowledged: list[int] | None = None) -> None:
        self.server, self.otlp = server, otlp
        self.acknowledged = acknowledged if acknowledged is not None else []
        self.sent = 1000 * len(self.acknowledged)

    def payload(self) -> bytes:
        """The next request: spans of a KiB that do not compress."""
        self.sent += 1
        text = os.urandom(512).hex()
        fields = {"trace_id": self.sent.to_bytes(16, "big"), "name": f"{self.sent}", "attributes": {"text": text}}
        payload: bytes = self.otlp.request(*[fields] * SPANS).SerializeToString()
        return payload

    def over_grpc(self) -> tuple[str, str]:
        """Status and message of one export."""
        payload = self.payload()
        with grpc.insecure_channel(self.server.told.grpc) as channel:
            try:
                channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")(payload, timeout=20)
            except grpc.RpcError as error:
                return error.code().name, error.details()
        self.acknowledged.append(self.sent)
        return "OK", ""

    def over_http(self) -> int:
        """Status of one export."""
        payload = self.payload()
        connection = http.client.HTTPConnection(self.server.told.http, timeout=20)
        try:
            connection.request("POST", "/v1/traces", payload, {"Content-Type": "application/x-protobuf"})
            status = connection.getresponse().status
        finally:
            connection.close()
        if status == 200:
            self.acknowledged.append(self.sent)
        return status

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of a monitoring page."""
        try:
            with urllib.request.urlopen(f"http://{self.server.told.monitoring}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def health(self) -> int:
        """What grpc.health.v1 says."""
        with grpc.insecure_channel(self.server.told.grpc) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        status: int = answer.status
        return status

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not holds():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def until_red(self, sentence: str) -> None:
        """Wait until everybody who asks is told that nothing can be written, and why."""
        self.until(lambda: self.page("/readyz")[0] == 503 and self.health() == NOT_SERVING)
        for path in ("/healthz", "/readyz"):
            status, text = self.page(path)
            assert (status, sentence in text) == (503, True), text
        status, message = self.over_grpc()
        assert (status, sentence in message) == ("UNAVAILABLE", True), message
        assert self.over_http() == 503

    def stored(self) -> dict[str, int]:
        """Name of each stored request → its spans."""
        rows = self.server.sql("SELECT name, count(*) AS n FROM spans GROUP BY name")
        return {row["name"]: row["n"] for row in rows}

    def log(self) -> str:
        """What the servers of this test have said."""
        folder = next(path for path in self.server.db.parents if list(path.glob("server-*.log")))
        return "".join(path.read_text() for path in sorted(folder.glob("server-*.log")))

    def check_all_is_stored_once(self) -> None:
        """Everything acknowledged is there once, and nothing is there twice."""
        stored = self.stored()
        assert {f"{number}" for number in self.acknowledged} <= set(stored)
        assert set(stored.values()) == {SPANS}
        (ledger,) = self.server.sql("SELECT * FROM ingest_ledger")
        assert ledger["accepted"] == ledger["stored"] + ledger["duplicate"]
        assert ledger["stored"] == SPANS * len(stored)
        assert "Traceback" not in self.log()


def free_bytes(folder: Path) -> int:
    """How much of a disk is free."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


@pytest.mark.parametrize("reserve_mib", [0, pytest.param(16, marks=pytest.mark.slow)])
def test_a_full_disk(
    small_disk: Path,
    start_server: Callable[..., Any],
    otlp: Any,
    monkeypatch: pytest.MonkeyPatch,
    reserve_mib: int,
) -> None:
    """With a reserve or without, what does not fit is refused, health is red; with room made all goes on by itself."""
    monkeypatch.setenv("SPANVERDICT_INGEST__RESERVE_MIB", f"{reserve_mib}")
    client = Client(start_server(small_disk / "s.duckdb"), otlp)
    assert client.over_grpc()[0] == "OK"
    filler = small_disk / "filler"
    filler.write_bytes(bytes(free_bytes(small_disk) - 3 * 2**20))
    client.until(lambda: client.over_grpc()[0] == "UNAVAILABLE")
    client.until_red("nearly full" if reserve_mib else "No space left on device")
    filler.unlink()
    client.until(lambda: client.page("/readyz")[0] == client.page("/healthz")[0] == 200)
    client.until(lambda: client.health() == SERVING)
    assert client.over_grpc()[0] == "OK"
    assert client.over_http() == 200
    client.check_all_is_stored_once()
    assert client.server.stop() == 0
    assert not journal_directory(client.server.db).exists()


def test_a_file_system_gone_read_only(
    failing_disk: Path, start_server: Callable[..., Any], otlp: Any, tmp_path: Path
) -> None:
    """After a disk error requests are refused, the server still stops; mounted anew, what it acknowledged is there."""
    client = Client(start_server(failing_disk / "s.duckdb"), otlp)
    for _ in range(5):
        assert client.over_grpc()[0] == "OK"
    run("mount", "-o", "remount,abort", failing_disk)
    client.until(lambda: client.over_grpc()[0] == "UNAVAILABLE")
    client.until_red("ead-only")
    assert client.server.stop() == 0
    subprocess.run(["umount", str(failing_disk)], check=True)
    subprocess.run(["fsck.ext4", "-p", str(tmp_path / "image")], check=False, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(tmp_path / "image"), str(failing_disk)], check=True)
    again = Client(start_server(client.server.db), otlp, client.acknowledged)
    assert again.over_grpc()[0] == "OK"
    again.check_all_is_stored_once()
    assert again.server.stop() == 0


def refused_start(db: Path) -> str:
    """What a server says that does not start; it says it in one sentence and ends with 4."""
    ports = [text for name in ("grpc", "http", "sql", "monitoring") for text in (f"--{name}", "127.0.0.1:0")]
    command = [sys.executable, "-m", "spanverdict", "serve", "--db", str(db), *ports]
    environment = {**os.environ, "PYTHONPATH": PRODUCT_PATH}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    return done.stderr


def with_log(start_server: Callable[..., Any], otlp: Any) -> tuple[Client, Path]:
    """A server that was killed with rows in the database's log alone: its journal has been let go of."""
    client = Client(start_server(), otlp)
    for _ in range(3):
        assert client.over_grpc()[0] == "OK"
        assert len(client.stored()) == len(client.acknowledged)
    client.server.stop(signal.SIGKILL)
    second = Client(start_server(client.server.db), otlp, client.acknowledged)
    assert len(second.stored()) == 3
    second.server.stop(signal.SIGKILL)
    log = client.server.db.with_name(client.server.db.name + ".wal")
    assert log.stat().st_size > SPANS * 1024
    return second, log


def test_a_damaged_database_log(start_server: Callable[..., Any], otlp: Any, tmp_path: Path) -> None:
    """A byte changed in DuckDB's log ends the start with what to do; of a log that was cut the loss is told."""
    client, log = with_log(start_server, otlp)
    shutil.copytree(log.parent, tmp_path / "cut", ignore=shutil.ignore_patterns("server-*.log"))
    content = bytearray(log.read_bytes())
    content[len(content) * 2 // 3] ^= 0x55
    log.write_bytes(content)
    said = refused_start(client.server.db)
    assert ".wal is damaged" in said
    assert "move it away" in said
    assert log.read_bytes() == content, "nothing was changed"
    log.rename(log.with_suffix(".kept"))
    after = Client(start_server(client.server.db), otlp, client.acknowledged)
    assert after.stored() == {}
    assert "entries 1 to 1 is neither here nor in the store" in after.log()
    assert after.over_grpc()[0] == "OK"

    os.truncate(tmp_path / "cut" / log.name, 100)
    cut = Client(start_server(tmp_path / "cut" / client.server.db.name), otlp, client.acknowledged)
    assert cut.stored() == {}
    assert "is neither here nor in the store" in cut.server.log.read_text()


def test_the_journal_makes_up_for_the_databases_log(start_server: Callable[..., Any], otlp: Any) -> None:
    """As long as the journal has not been let go of, a log that is lost whole loses nothing."""
    client = Client(start_server(), otlp)
    for _ in range(3):
        assert client.over_grpc()[0] == "OK"
        assert len(client.stored()) == len(client.acknowledged)
    client.server.stop(signal.SIGKILL)
    client.server.db.with_name(client.server.db.name + ".wal").unlink()
    after = Client(start_server(client.server.db), otlp, client.acknowledged)
    after.check_all_is_stored_once()


def test_a_torn_journal(start_server: Callable[..., Any], otlp: Any) -> None:
    """Bytes of a write that a kill cut short are passed over and said; what was acknowledged before is there."""
    client = Client(start_server(), otlp)
    for _ in range(3):
        assert client.over_grpc()[0] == "OK"
    client.server.stop(signal.SIGKILL)
    (segment,) = journal_directory(client.server.db).glob("*.journal")
    content = segment.read_bytes()
    ends = content.rstrip(b"\0")
    segment.write_bytes(ends + bytes(-len(ends) % 8) + content[:1000])
    after = Client(start_server(client.server.db), otlp, client.acknowledged)
    after.check_all_is_stored_once()
    assert "in the middle of a write" in after.log()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of a store that nobody has open."""
    path = tmp_path / "store.duckdb"
    store_at(path).close()
    return path


def test_a_file_of_a_newer_schema(file: Path) -> None:
    """A server of an older version leaves the file as it is and says what to do."""
    with duckdb.connect(str(file)) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (999, now()::TIMESTAMP)")
    before = file.read_bytes()
    assert "was written by a newer spanverdict" in refused_start(file)
    assert file.read_bytes() == before


def test_a_file_of_a_newer_database(file: Path) -> None:
    """A header that this DuckDB does not know ends the start with a sentence; the file stays as it is."""
    content = bytearray(file.read_bytes())
    content[12] += 40
    file.write_bytes(content)
    assert "cannot be opened as a store" in refused_start(file)
    assert file.read_bytes() == content
