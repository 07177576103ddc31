"""What a server looks like from outside: health, readiness and Prometheus metrics over HTTP.

Each metric is described for people in docs/operations.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from collector.ingest import Ingest
from sql.telemetry_writer import COUNTED, TelemetryWriter


class _Metrics(Collector):
    """The counters of the ingest path, read when they are asked for."""

    def __init__(self, ingest: Ingest, writer: TelemetryWriter) -> None:
        self._ingest = ingest
        self._writer = writer

    def collect(self) -> Iterator[Metric]:
        received, loaded = self._ingest.counters, self._writer.counters
        signals = {table: signal for signal, table in COUNTED.items()}
        stored = {signals[table]: rows for table, rows in dict(loaded.stored).items() if table in signals}
        yield _counter("requests", "Requests acknowledged.", ("signal",), dict(received.requests))
        yield _counter("requests_refused", "Requests not acknowledged.", ("reason",), dict(received.refused))
        yield _counter("requests_ignored", "Requests acknowledged and not kept.", ("signal",), dict(received.ignored))
        yield _counter("received_bytes", "Bytes of acknowledged requests.", (), {(): received.received_bytes})
        yield _counter("records_accepted", "Records of acknowledged requests.", ("signal",), dict(received.accepted))
        yield _counter("records_stored", "Records that the store gained.", ("signal",), stored)
        yield _counter("records_duplicate", "Records that were stored already.", ("signal",), dict(loaded.duplicates))
        yield _counter(
            "records_rejected", "Records refused by partial success.", ("signal", "reason"), dict(received.rejected)
        )
        yield _counter("values_redacted", "Values changed by the content policy.", ("action",), dict(received.redacted))
        yield _counter(
            "journal_entries_refused", "Entries that the database refused.", (), {(): loaded.entries_refused}
        )
        yield _gauge("waiting_bytes", "Bytes of requests that wait in memory.", self._ingest.waiting_bytes)
        yield _gauge("backlog_bytes", "Bytes in the journal that are not stored yet.", self._writer.backlog_bytes)
        yield _summary(
            "acknowledge_seconds", "From taking a group of requests to its acknowledgement.",
            received.groups, received.group_seconds,
        )  # fmt: skip
        yield _summary("commit_seconds", "Transactions of the store.", loaded.loads, loaded.seconds)
        if loaded.last_load_at is not None:
            yield _gauge("last_commit_timestamp_seconds", "When the store last gained rows.", loaded.last_load_at)
        yield _gauge("ready", "1 while requests can be stored.", int(self._ingest.ready() is None))


class Monitoring:
    """Answers ``/healthz``, ``/readyz`` and ``/metrics``.

    Args:
        ingest: the path whose state it tells.
        writer: the path's writer.
        address: host:port; port 0 takes a free one.
        further: what else the metrics page tells.
    """

    def __init__(
        self, ingest: Ingest, writer: TelemetryWriter, address: str, further: Sequence[Collector] = ()
    ) -> None:
        self._ingest = ingest
        self._writer = writer
        self._address = address
        self._registry = CollectorRegistry()
        for collector in (_Metrics(ingest, writer), *further):
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Bind and serve; returns the bound port.

        Raises:
            OSError: the address cannot be bound.
        """
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/readyz", self._readiness),
                web.get("/metrics", self._metrics),
            ]
        )
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        host, _, port = self._address.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            await runner.cleanup()
            raise OSError(f"Monitoring cannot listen on {self._address}: is the port taken?") from error
        self._runner = runner
        bound: int = runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Stop answering."""
        if self._runner:
            await self._runner.cleanup()

    async def _health(self, _request: web.Request) -> web.Response:
        return _state("healthy", await asyncio.to_thread(self._writer.problem))

    async def _readiness(self, _request: web.Request) -> web.Response:
        return _state("ready", await asyncio.to_thread(self._ingest.ready))

    async def _metrics(self, _request: web.Request) -> web.Response:
        text = await asyncio.to_thread(generate_latest, self._registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _state(word: str, problem: str | None) -> web.Response:
    return web.Response(text=f"{problem or word}\n", status=503 if problem else 200)


def _name(name: str) -> str:
    return f"spanverdict_{name}"


def _counter(name: str, description: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(_name(name), description, labels=labels)
    for key, value in values.items():
        family.add_metric([str(label) for label in (key if isinstance(key, tuple) else (key,))], value)
    return family


def _gauge(name: str, description: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(_name(name), description, value=value)


def _summary(name: str, description: str, count: int, total: float) -> SummaryMetricFamily:
    return SummaryMetricFamily(_name(name), description, count_value=count, sum_value=total)
