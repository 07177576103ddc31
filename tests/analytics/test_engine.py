"""Reports on a distributed engine: the same to the byte as here, whatever becomes of its workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from analytics import dask_engine, engine, part_rows
from analytics.dask_engine import DaskEngine
from analytics.engine import Engine, Here, check_engine, engine_at
from analytics.errors import EngineError, InputError
from analytics.job import run_report
from analytics.job_options import JobOptions
from analytics.report import as_html, as_json
from sql.errors import QueryError
from tests.analytics.test_window_traces import DAYS, UNTIL, World
from tests.conftest import ROOT

STORE = Path("s.duckdb")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few traces, so that there are many."""
    monkeypatch.setattr(part_rows, "SPANS_AT_ONCE", 7)


@pytest.fixture
def world(tmp_path: Path, otlp: Any) -> Iterator[World]:
    """A store with six days of traces."""
    made = World(tmp_path, otlp)
    with made.store:
        yield made


@pytest.fixture(scope="module")
def threads() -> Iterator[DaskEngine]:
    """A cluster with two workers in this process."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield DaskEngine(client, "dask://here:1", None)


@dataclass(frozen=True)
class Cluster:
    """Processes of one cluster.

    Attributes:
        address: its address.
        scheduler: its process id.
        workers: their process ids.
    """

    address: str
    scheduler: int
    workers: tuple[int, ...]


@contextmanager
def _cluster(workers: int, **settings: str) -> Iterator[Cluster]:
    """A scheduler, which knows nothing of spanverdict, and workers, which do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, **settings, "POLARS_MAX_THREADS": "1"}
    at = f"127.0.0.1:{port}"
    ours = {**environment, "PYTHONPATH": str(ROOT)}
    of_worker = ["dask_worker", f"tcp://{at}", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    commands = [
        (
            ["dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0"],
            environment,
        )
    ]
    commands += [(of_worker, ours)] * workers
    started = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{name}", *arguments],
            env=given,
            stderr=subprocess.DEVNULL,
        )
        for (name, *arguments), given in commands
    ]
    try:
        scheduler, *others = (process.pid for process in started)
        yield Cluster(f"dask://{at}", scheduler, tuple(others))
    finally:
        for process in started:
            process.kill()
            process.wait()


def _report(world: World, on: Engine | None, render: Callable[..., str] = as_json.render) -> str:
    return render(run_report(world.store, "p", JobOptions(), as_of=UNTIL, now=UNTIL, engine=on))


class Watched:
    """An engine that does something once some parts are made."""

    def __init__(self, engine: Engine, after: int, then: Callable[[], None]) -> None:
        self.reads = engine.reads
        self._engine, self._after, self._then = engine, after, then
        self.parts = 0

    def map(self, make: Callable[[Any], Any], parts: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        """What is made of each part."""
        for made in self._engine.map(make, parts):
            self.parts += 1
            if self.parts == self._after:
                self._then()
            yield made


def test_reports_are_the_same_to_the_byte(world: World, threads: DaskEngine) -> None:
    """They are those of this process; what the engine made is kept, and not made again."""
    watched, again = (Watched(threads, 0, lambda: None) for _ in range(2))
    here, there, later = (
        run_report(world.store, "p", JobOptions(), as_of=UNTIL, now=UNTIL, files=files, engine=on)
        for files, on in ((None, None), (world.files, watched), (world.files, again))
    )
    assert as_json.render(there) == as_json.render(later) == as_json.render(here)
    assert watched.parts >= 2 * DAYS
    assert again.parts == 0


def test_parts_wait_for_room(threads: DaskEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are taken than twice the workers' threads, nor than a bound of bytes; they come back in their order."""
    taken: list[int] = []

    def parts(size: int) -> Iterator[tuple[int, bytes]]:
        taken.clear()
        for number in range(12):
            taken.append(number)
            yield number, bytes(size)

    made = threads.map(len, parts(10))
    assert next(made) == (0, 10)
    assert len(taken) == 5
    assert list(made) == [(number, 10) for number in range(1, 12)]
    monkeypatch.setattr(dask_engine, "BYTES_IN_FLIGHT", 1000)
    made = threads.map(len, parts(900))
    assert next(made) == (0, 900)
    assert len(taken) == 2
    assert len(list(made)) == 11


def _refuse(given: type[Exception]) -> None:
    raise given("The table spans is not there.")


@pytest.mark.parametrize("kind", [QueryError, InputError, EngineError])
def test_a_workers_error_is_its_sentence(threads: DaskEngine, kind: type[Exception]) -> None:
    """What a worker's part of the work raises for people is raised here."""
    with pytest.raises(kind, match=r"^The table spans is not there\.$"):
        list(threads.map(_refuse, [(0, kind)]))


def test_workers_have_to_be_alike(threads: DaskEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with another version, or without a package, is named with what differs."""
    ours = {**dask_engine.versions(), "polars": "1.0"}
    monkeypatch.setattr(dask_engine, "versions", lambda: ours)
    with pytest.raises(EngineError, match=rf"^The worker \S+ has polars {version('polars')} instead of 1\.0; install"):
        threads.check()
    monkeypatch.setattr(dask_engine, "_PACKAGES", (*dask_engine._PACKAGES, "no-such-package"))
    monkeypatch.setattr(dask_engine, "versions", lambda: {"no-such-package": "3"})
    with pytest.raises(EngineError, match=r"has no no-such-package \(here 3\); install the same versions"):
        threads.check()


def test_a_worker_that_came_late_is_looked_at_too() -> None:
    """Work that was asked for by another version is not done."""
    with pytest.raises(EngineError, match="instead of"):
        dask_engine.made({**dask_engine.versions(), "polars": "1.0"}, b"")


def test_a_cluster_without_workers_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever, neither at first nor for a worker that is gone."""
    monkeypatch.setattr(dask_engine, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(dask_engine, "WORKERLESS_SECONDS", 0.2)
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        empty = DaskEngine(client, "dask://here:1", None)
        with pytest.raises(EngineError, match=r"^dask://here:1 has no workers; start one"):
            empty.check()
        with pytest.raises(EngineError, match=r"^dask://here:1 has had no workers for 0\.2 s"):
            list(empty.map(len, [(0, b"")]))


def test_what_cannot_be_reached_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address at which nothing listens is a sentence."""
    monkeypatch.setattr(dask_engine, "CONNECT_SECONDS", 0.3)
    with (
        pytest.raises(EngineError, match=r"^dask://127\.0\.0\.1:1 cannot be reached: .+\.$"),
        engine_at("dask://127.0.0.1:1", STORE),
    ):
        pass


def test_tls_without_a_certificate_is_said() -> None:
    """What is to be set is named, before anything is connected to."""
    with (
        pytest.raises(EngineError, match=r"^dask\+tls://127\.0\.0\.1:1 needs a certificate: name it in DASK_\S+CERT,"),
        engine_at("dask+tls://127.0.0.1:1", STORE),
    ):
        pass


@pytest.mark.parametrize("text", ["dask://h:8786", "dask+tls://10.0.0.1:65535", "dask://local"])
def test_addresses(text: str) -> None:
    """An address names a host and a port, or this machine."""
    assert check_engine(text) == text


@pytest.mark.parametrize("text", ["", "dask://h", "dask://h:65536", "ray://h:1", "tcp://h:1", "dask://h:1/x", "local"])
def test_other_addresses_are_refused(text: str) -> None:
    """Anything else is told what to write."""
    with pytest.raises(ValueError, match=r"^it is not dask://HOST:PORT"):
        check_engine(text)


def test_without_an_address_nothing_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is the engine; where Dask is asked for and not there, it is said how to install it."""
    monkeypatch.setattr(engine, "find_spec", lambda _name: None)
    with engine_at(None, STORE) as found:
        assert isinstance(found, Here)
    with (
        pytest.raises(InputError, match=r"^dask://h:1 needs Dask: install it with `pip .*\[engine\]'`\.$"),
        engine_at("dask://h:1", STORE),
    ):
        pass


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing(world: World) -> None:
    """One of two processes is killed in the middle: the report is complete, and the same."""
    with _cluster(2) as cluster, engine_at(cluster.address, STORE) as found:
        found._client.wait_for_workers(2, timeout=60)
        assert _report(world, found) == _report(world, None)
        killed = Watched(found, 4, lambda: os.kill(cluster.workers[0], signal.SIGKILL))
        assert _report(world, killed) == _report(world, None)
        assert killed.parts >= 2 * DAYS
        assert len(found._client.scheduler_info()["workers"]) == 1


def _die(_given: bytes) -> None:
    os._exit(1)


@pytest.mark.slow
def test_a_part_that_kills_its_workers_is_given_up() -> None:
    """Where each worker dies at one part, it is said."""
    with (
        _cluster(2, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as cluster,
        engine_at(cluster.address, STORE) as found,
        pytest.raises(EngineError, match=r"died at the same part of the report, the last was tcp://127\.0\.0\.1:\d+;"),
    ):
        list(found.map(_die, [(0, b"")]))


@pytest.mark.slow
def test_a_scheduler_that_is_gone_is_said(world: World) -> None:
    """The report ends with a sentence when the cluster goes away."""
    with _cluster(1) as cluster, engine_at(cluster.address, STORE) as found:
        gone = Watched(found, 3, lambda: os.kill(cluster.scheduler, signal.SIGKILL))
        with pytest.raises(EngineError, match=r"127\.0\.0\.1"):
            _report(world, gone)


@pytest.mark.slow
def test_workers_of_this_machine(world: World) -> None:
    """dask://local starts workers, and ends them."""
    with engine_at("dask://local", STORE) as found:
        watched = Watched(found, 0, lambda: None)
        assert _report(world, watched, as_html.render) == _report(world, None, as_html.render)
        assert watched.parts > 0
        assert len(found._client.scheduler_info()["workers"]) == len(os.sched_getaffinity(0))
