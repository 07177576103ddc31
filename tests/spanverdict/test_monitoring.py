"""Health, readiness and metrics, as a probe and a Prometheus server see them."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector.ingest import Ingest, StoppedError
from collector.signals import Signal
from spanverdict.monitoring import Monitoring
from sql.committing_writer import CommittingWriter
from sql.errors import StoreFailedError
from sql.journaled_writer import JournaledWriter, LoadLimits
from sql.lake_store import LakeStore
from sql.store import Store
from sql.telemetry_writer import TelemetryWriter
from tests.stores import address_of

pytestmark = pytest.mark.any_store


class FullStore(Store):
    """A real store that fails as long as its disk is full."""

    full = False

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """Fail, or write for real."""
        if self.full:
            raise StoreFailedError("the disk is full")
        return super().write(tables)


class FullLake(LakeStore):
    """A real lake that fails as long as the disk of its files is full."""

    full = False

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """Fail, or write for real."""
        self.check_writable()
        return super().write(tables)

    def check_writable(self) -> None:
        """Fail, or try for real."""
        if self.full:
            raise StoreFailedError("the disk is full")
        super().check_writable()


class Watched:
    """An ingest path and its monitoring address."""

    def __init__(
        self, store: FullStore | FullLake, writer: TelemetryWriter, ingest: Ingest, loop: Any, port: int
    ) -> None:
        self.store, self.writer, self.ingest, self.loop, self.port = store, writer, ingest, loop, port

    def recovered(self) -> None:
        """Wait until what was acknowledged is stored."""
        while not self.writer.flush(10):
            time.sleep(0.05)

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text of one page."""

        def ask() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        return await asyncio.to_thread(ask)

    async def metrics(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Every sample of the metrics page: (name, label values) → value."""
        _, text = await self.get("/metrics")
        return {
            (sample.name, tuple(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@contextmanager
def path_of(directory: Path) -> Iterator[tuple[FullStore | FullLake, TelemetryWriter, Ingest]]:
    """A started ingest path."""
    address = address_of(directory / "s.duckdb")
    with FullStore(address) if isinstance(address, Path) else FullLake(address) as store:
        writer: TelemetryWriter
        if isinstance(store, FullStore):
            writer = JournaledWriter(store, LoadLimits(seconds=0))
        else:
            writer = CommittingWriter(store)
        ingest = Ingest(writer)
        ingest.start()
        try:
            yield store, writer, ingest
        finally:
            ingest.stop()
            writer.close()


def watched(directory: Path, check: Any) -> None:
    """Run a check against a monitored path."""

    async def run() -> None:
        with path_of(directory) as (store, writer, ingest):
            monitoring = Monitoring(ingest, writer, "127.0.0.1:0")
            port = await monitoring.start()
            try:
                await check(Watched(store, writer, ingest, asyncio.get_running_loop(), port))
            finally:
                await monitoring.stop()

    asyncio.run(run())


def test_metrics_say_what_became_of_records(tmp_path: Path, otlp: Any) -> None:
    """Accepted, stored, duplicate and rejected records add up; the page is in Prometheus' format."""

    async def check(path: Watched) -> None:
        wrong = otlp.request({"trace_id": bytes(16)}, {"trace_id": b"\x02" * 16}).SerializeToString()
        sound = otlp.request({"trace_id": b"\x01" * 16}).SerializeToString()
        for payload in (wrong, sound, sound):
            await asyncio.wrap_future(path.ingest.submit(Signal.TRACES, payload))
            assert await asyncio.to_thread(path.writer.flush, 10)
        path.ingest.ignore(Signal.METRICS)
        found = await path.metrics()
        assert found["spanverdict_requests_total", ("traces",)] == 3
        assert found["spanverdict_records_accepted_total", ("traces",)] == 4
        assert found["spanverdict_records_stored_total", ("traces",)] == 2
        assert found["spanverdict_records_duplicate_total", ("traces",)] == 1
        assert found["spanverdict_records_rejected_total", ("invalid_ids", "traces")] == 1
        assert found["spanverdict_received_bytes_total", ()] == len(wrong) + 2 * len(sound)
        assert found["spanverdict_requests_ignored_total", ("metrics",)] == 1
        assert found["spanverdict_commit_seconds_count", ()] == 3
        assert found["spanverdict_commit_seconds_sum", ()] > 0
        assert found["spanverdict_acknowledge_seconds_count", ()] == 3
        assert found["spanverdict_last_commit_timestamp_seconds", ()] > 1_790_000_000
        assert found["spanverdict_waiting_bytes", ()] == found["spanverdict_backlog_bytes", ()] == 0
        assert found["spanverdict_ready", ()] == 1
        assert found["process_resident_memory_bytes", ()] > 0

    watched(tmp_path, check)


def test_health_goes_red_while_commits_fail(tmp_path: Path, otlp: Any) -> None:
    """Both pages are 503 and say why while the store fails, and green again afterwards; nothing is lost."""

    async def check(path: Watched) -> None:
        assert await path.get("/healthz") == (200, "healthy\n")
        assert await path.get("/readyz") == (200, "ready\n")
        path.store.full = True
        payload = otlp.request({"trace_id": b"\x01" * 16}).SerializeToString()
        sent = asyncio.wrap_future(path.ingest.submit(Signal.TRACES, payload))
        if isinstance(path.store, FullStore):
            await sent
            assert not await asyncio.to_thread(path.writer.flush, 10)
            assert path.writer.backlog_bytes > 0
        else:
            with pytest.raises(StoppedError, match="the disk is full"):
                await sent
        assert await path.get("/healthz") == (503, "the disk is full\n")
        assert await path.get("/readyz") == (503, "the disk is full\n")
        assert (await path.metrics())["spanverdict_ready", ()] == 0
        assert (await path.metrics())["spanverdict_backlog_bytes", ()] == path.writer.backlog_bytes
        path.store.full = False
        await asyncio.to_thread(path.recovered)
        assert await path.get("/readyz") == (200, "ready\n")
        if isinstance(path.store, FullLake):
            await asyncio.wrap_future(path.ingest.submit(Signal.TRACES, payload))
        assert path.store.read("SELECT count(*) AS n FROM spans")["n"].to_pylist() == [1]

    watched(tmp_path, check)


def test_a_path_that_stops_is_not_ready(tmp_path: Path) -> None:
    """Shutting down is alive and not ready; unknown pages are not found."""

    async def check(path: Watched) -> None:
        await asyncio.to_thread(path.ingest.stop)
        assert (await path.get("/healthz"))[0] == 200
        assert await path.get("/readyz") == (503, "The collector is shutting down.\n")
        assert (await path.get("/"))[0] == 404

    watched(tmp_path, check)
