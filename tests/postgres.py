"""Shared stores for tests: PostgreSQL as Debian ships it, an S3-compatible server, and lakes of their own in them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import duckdb
import pytest

from sql.lake_address import LakeAddress

LAKES_DUCKDB = "1.5.5"
"""The version of DuckDB that the extra `lake` has extensions for."""

_STARTING_SECONDS = 30
_BUCKET = "spans"
_USER = "lake"


def _program(name: str) -> Path | None:
    """A program of PostgreSQL's server, which Debian keeps off the PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1]
    found = shutil.which(name)
    return Path(found) if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def database(address: LakeAddress) -> str:
    """The name of the database that is a lake's catalog."""
    return address.catalog.rpartition("/")[2]


@dataclass
class Postgres:
    """A PostgreSQL server of its own on loopback, which trusts whoever comes; what it writes is not synced.

    Attributes:
        folder: its files; removed at the end.
        port: where it listens, also after it was stopped and started again.
    """

    folder: Path
    port: int
    _process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=count)
    _empty: LakeAddress | None = None

    def make(self) -> None:
        """Make its files, and start it."""
        initdb = _program("initdb")
        assert initdb
        command = [initdb, "-D", self.folder / "data", "-U", _USER, "--auth=trust", "--no-sync", "--no-locale",
                   "--encoding=UTF8", "--no-instructions"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as_user())
        assert done.returncode == 0, done.stderr
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [_program("postgres"), "-D", self.folder / "data", "-p", str(self.port), "-k", "",
                   "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "full_page_writes=off",
                   "-c", "max_connections=100", "-c", "autovacuum=off"]  # fmt: skip
        log = self.folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, **self._as_user())
        deadline = time.monotonic() + _STARTING_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"PostgreSQL did not start: {log.read_text()}")
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it at once, and every connection with it."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the owner of everything; OSError where it does not answer."""
        import psycopg  # noqa: PLC0415 (only where PostgreSQL is)

        try:
            with psycopg.connect(self.uri(database), autocommit=True) as connection:
                cursor = connection.execute(statement)
                return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError as error:
            raise OSError(str(error)) from error

    def uri(self, database: str) -> str:
        """The URI of a database."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"

    def lake(self, data: Path | str, like: LakeAddress | None = None, name: str | None = None) -> LakeAddress:
        """A lake with a catalog of its own: a copy of another one, which is faster than to make it.

        Args:
            data: the folder of its files, or where in an object store they are.
            like: whose rows it has, from a folder to a folder; None: an empty one.
            name: of the catalog's database; None: a new one.
        """
        if like is None:
            self._empty = self._empty or self._made_empty()
            like = self._empty
        name = name or f"lake_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {database(like)}")
        address = LakeAddress(self.uri(name), f"{str(data).rstrip('/')}/")
        self.execute(f"UPDATE ducklake_metadata SET value = '{address.data}' WHERE key = 'data_path'", name)
        if address.folder and like.folder:
            shutil.copytree(like.folder, address.folder, dirs_exist_ok=True)
        return address

    def drop(self, address: LakeAddress) -> None:
        """Remove a lake's catalog."""
        self.execute(f"DROP DATABASE {database(address)} WITH (FORCE)")

    def _made_empty(self) -> LakeAddress:
        from sql.lake_store import LakeStore  # noqa: PLC0415 (only where the extensions are)

        data = Path(tempfile.mkdtemp(dir=self.folder, prefix="empty-"))
        self.execute("CREATE DATABASE lake_template")
        address = LakeAddress(self.uri("lake_template"), f"{data}/")
        LakeStore(address).close()
        assert not list(data.rglob("*.parquet")), "an empty lake has files, which those in object stores would miss"
        return address

    @staticmethod
    def _as_user() -> dict[str, Any]:
        """PostgreSQL does not run as root."""
        if os.geteuid():
            return {}
        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL, in an environment in which lakes can be opened."""
    if duckdb.__version__ != LAKES_DUCKDB or not importlib.util.find_spec("duckdb_extension_ducklake"):
        pytest.skip("the extra `lake` is not installed")
    if not _program("postgres"):
        pytest.skip("PostgreSQL's server is not installed")
    # Not below pytest's own folder, which no other user may enter.
    folder = Path(tempfile.mkdtemp(prefix="spanverdict-postgres-"))
    if not os.geteuid():
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    server = Postgres(folder, _free_port())
    try:
        server.make()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def new_lake(postgres: Postgres) -> Iterator[Callable[[Path | str], LakeAddress]]:
    """Makes lakes: given a folder, or a place in an object store, an empty one; gone after the test."""
    made: list[LakeAddress] = []

    def make(data: Path | str) -> LakeAddress:
        made.append(postgres.lake(data))
        return made[-1]

    yield make
    for address in made:
        postgres.drop(address)


@dataclass
class ObjectStore:
    """An S3-compatible server on loopback, whose objects are in this process.

    Attributes:
        port: where it listens, also after it was stopped and started again.
    """

    port: int = 0
    _server: Any = None

    @property
    def environment(self) -> dict[str, str]:
        """What S3 clients are told by environment variables."""
        return {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "spanverdict-tests",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Let it answer."""
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 (takes half a second, where it is used alone)

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        """Let it answer no more; what it holds stays."""
        if self._server:
            self._server.stop()
            self._server = None

    def make_bucket(self, name: str) -> None:
        """Make a bucket."""
        self._answer(name, "PUT")

    def put(self, place: str, content: bytes) -> None:
        """Put an object at a place."""
        self._answer(place.removeprefix("s3://"), "PUT", content)

    def keys(self, place: str) -> list[str]:
        """What is below a place such as ``s3://spans/prefix``, at most a thousand."""
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        listed = self._answer(f"{bucket}?{urlencode({'list-type': 2, 'prefix': prefix})}", "GET")
        return re.findall("<Key>([^<]*)</Key>", listed)

    def _answer(self, path: str, method: str, body: bytes | None = None) -> str:
        # Whoever names a key may do anything.
        signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=tests/20261101/us-east-1/s3/aws4_request"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}", method=method, headers=signed, data=body
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (as above)
            text: str = answer.read().decode()
            return text


@pytest.fixture(scope="session")
def made_object_store() -> Iterator[ObjectStore]:
    """The S3-compatible server of this process."""
    pytest.importorskip("moto.server", reason="moto is not installed")
    server = ObjectStore()
    server.start()
    server.make_bucket(_BUCKET)
    yield server
    with contextlib.suppress(RuntimeError):
        server.stop()


@pytest.fixture
def object_store(made_object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """An S3-compatible server with the bucket `spans`, which this process and those it starts know of."""
    for name, value in made_object_store.environment.items():
        monkeypatch.setenv(name, value)
    return made_object_store
