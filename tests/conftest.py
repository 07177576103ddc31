"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from spanverdict.output import records
from sql.access import open_store
from sql.address import StoreAddress, beside
from sql.server_file import ServerFile
from tests.postgres import made_object_store, new_lake, object_store, postgres  # noqa: F401 (fixtures)
from tests.processes import PRODUCT_PATH
from tests.stores import Lakes, address_of, lakes, use_lakes

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("repeatable")

FREE_PORTS = [text for name in ("grpc", "http", "sql", "monitoring") for text in (f"--{name}", "127.0.0.1:0")]

ROOT = Path(__file__).parent.parent
LAKE_TESTS = ROOT / "tests" / "lake"
SHARED = ROOT.parent / "shared" / "fixtures"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Stores are files, unless lakes are asked for."""
    parser.addoption("--lake", action="store_true", help="Run the tests of any store, and of lakes, on lakes.")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules whose tests would all be left out are not even imported."""
    if not config.getoption("--lake") or collection_path.suffix != ".py" or LAKE_TESTS in collection_path.parents:
        return None
    return True if "any_store" not in collection_path.read_text("utf-8") else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--lake``, what holds for files alone is left out, and what takes long on lakes is slow."""
    if not config.getoption("--lake"):
        return
    for item in items:
        marker = item.get_closest_marker("any_store")
        if marker and marker.kwargs.get("slow"):
            item.add_marker(pytest.mark.slow)
    fitting = [item for item in items if _fits_lakes(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(fitting)])
    items[:] = fitting


def _fits_lakes(item: pytest.Item) -> bool:
    if item.get_closest_marker("file_only"):
        return False
    return item.get_closest_marker("any_store") is not None or LAKE_TESTS in item.path.parents


@pytest.fixture(scope="session", autouse=True)
def _stores(request: pytest.FixtureRequest) -> None:
    """What paths of stores stand for."""
    if request.config.getoption("--lake"):
        use_lakes(Lakes(request.getfixturevalue("postgres")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Lakes go with the module that made them; those of the last one with the whole server."""
    yield
    if (made := lakes()) and nextitem is not None and nextitem.path != item.path:
        made.forget()


@pytest.fixture(scope="session")
def shared_fixtures() -> Path:
    """Captured spans and protocol cases that are not part of this repository."""
    if not SHARED.is_dir():
        pytest.skip("the captured spans are not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def load_json() -> Callable[[Path], Any]:
    """Read a JSON file."""
    return lambda path: json.loads(path.read_text("utf-8"))


def any_value(value: object) -> AnyValue:
    """A Python value as OTLP's AnyValue."""
    if value is None:
        return AnyValue()
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
    return AnyValue(string_value=str(value))


def key_values(values: dict[str, Any]) -> list[KeyValue]:
    """A dict as OTLP attributes."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


@dataclass(frozen=True)
class Otlp:
    """Builds OTLP requests for tests."""

    any_value: Callable[[object], AnyValue] = any_value
    key_values: Callable[[dict[str, Any]], list[KeyValue]] = key_values

    def request(
        self,
        *spans: dict[str, Any],
        service: str = "app",
        scope: str = "test",
        resource: dict[str, Any] | None = None,
    ) -> ExportTraceServiceRequest:
        """One request; each span is a dict of proto fields with ``attributes`` as a plain dict."""
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.extend(key_values({"service.name": service, **(resource or {})}))
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = scope
        for number, given in enumerate(spans):
            fields = {
                "trace_id": b"\x01" * 16,
                "span_id": (number + 1).to_bytes(8, "big"),
                "name": "span",
                "start_time_unix_nano": 1_793_000_000_000_000_000 + number,
                "end_time_unix_nano": 1_793_000_001_000_000_000 + number,
                **given,
            }
            attributes = fields.pop("attributes", {})
            span = scope_spans.spans.add(**fields)
            span.attributes.extend(key_values(attributes))
        return request


@pytest.fixture(scope="session")
def otlp() -> Otlp:
    """The request builder."""
    return Otlp()


@dataclass
class Server:
    """A real `spanverdict serve` in its own process."""

    db: StoreAddress
    process: subprocess.Popen[bytes]
    told: ServerFile
    place: Path
    log: Path

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Ask the running server, as another process would."""
        with open_store(self.db) as store:
            return list(records(store.read(query)))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, _stores: None) -> Iterator[None]:
    """What is kept beside a lake is not kept in the user's own cache."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if lakes():
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@contextmanager
def _servers(folder: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on free loopback ports; whatever still runs at the end is killed."""
    started: list[Server] = []

    def start(db: StoreAddress | None = None, *options: str) -> Server:
        store = address_of(db or folder / "store.duckdb")
        command = [sys.executable, "-m", "spanverdict", "serve", "--db", str(store),
                   *FREE_PORTS, *options]  # fmt: skip
        log = folder / f"server-{len(started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": PRODUCT_PATH},
            )
        place = beside(store)
        place = place if isinstance(store, Path) else place.with_name(f"{place.name}-{process.pid}")
        deadline = time.monotonic() + 60
        while (told := ServerFile.read(place)) is None or told.pid != process.pid:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server did not start: {log.read_text()}")
            time.sleep(0.02)
        started.append(Server(store, process, told, place, log))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on free loopback ports; whatever still runs at the end is killed."""
    with _servers(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One running server for all tests of a module that do not mind one another's rows; it ends cleanly after them."""
    with _servers(tmp_path_factory.mktemp("shared")) as start:
        running = start()
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log.read_text()


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    """One running server."""
    return start_server()


@pytest.fixture
def fixed_port() -> Callable[[], int]:
    """Draws free ports for servers that come and go, outside of those that the kernel hands out to clients."""

    def draw() -> int:
        for port in random.sample(range(12_000, 30_000), 100):
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
        return pytest.fail("no port is free")

    return draw
