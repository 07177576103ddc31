"""The server: one process that owns the store, receives telemetry and answers SQL."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from prometheus_client.registry import Collector

from collector.ingest_counters import Counters
from spanverdict.config import Config
from spanverdict.export_requests import answer
from spanverdict.housekeeping import Housekeeping
from spanverdict.ingest_path import open_ingest_path
from spanverdict.lake_metrics import LakeMetrics
from spanverdict.listeners import Receivers, credentials_of, host, warn_of_exposure
from spanverdict.monitoring import Monitoring
from spanverdict.page_access import PageAccess
from spanverdict.pages import Pages
from spanverdict.report_pages import ReportPages
from spanverdict.schedule_metrics import ScheduleMetrics
from spanverdict.sql_answer import limits_of
from sql.address import StoreAddress, beside
from sql.flight_server import FlightServer
from sql.lake_address import LakeAddress
from sql.opened_store import OpenedStore
from sql.query_limits import QueryLimits
from sql.server_file import ServerFile
from sql.telemetry_writer import LoadCounters

_LOG = logging.getLogger("spanverdict.serve")

_ARENA_MAX = -8

FLIGHT_SECONDS = 3
"""How long clients of SQL may take to let go at shutdown."""

FLUSH_SECONDS = 30
"""How long a client may wait for what was acknowledged to be in the store; then it reads what is there."""

GRACE_SECONDS = 10
"""How long requests in flight may take at shutdown: an exporter's own deadline."""


@dataclass(frozen=True)
class Totals:
    """What a server did from its start to its end."""

    received: Counters
    loaded: LoadCounters


async def serve(
    config: Config, address: StoreAddress, ready: Callable[[ServerFile], None], config_file: Path | None = None
) -> tuple[Totals, bool]:
    """Run until SIGTERM or SIGINT, then commit what was taken and close the store.

    Args:
        config: addresses and limits.
        address: where the store is.
        ready: called once, when everything listens.
        config_file: where the configuration was read, for the processes beside the server.

    Returns:
        What was received and stored, and whether every client let go; if not, only ending the process cuts it off.

    Raises:
        ConfigError: content is to be hashed, and there is no key.
        StoreUnavailableError: the store cannot be opened.
        TlsError: the certificates cannot be used.
        OSError: an address cannot be bound.
    """
    # Whatever is written beside the store from here on, its log among it, is for its owner alone.
    os.umask(0o077)
    _share_heaps()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    opened = await asyncio.to_thread(open_ingest_path, config, address)
    store, writer, ingest = opened.store, opened.writer, opened.ingest
    pages = (
        _pages(config, store, ReportPages(address, config_file), ingest.count_refused) if config.server.pages else None
    )
    receivers: Receivers | None = None
    housekeeping = Housekeeping(config, store, config_file, writer)
    further: list[Collector] = [ScheduleMetrics(store, config.schedule)]
    if isinstance(address, LakeAddress):
        further.append(LakeMetrics(address, housekeeping))
    monitoring = Monitoring(ingest, writer, config.server.monitoring, further)
    token = secrets.token_urlsafe(32)
    flight: FlightServer | None = None
    released = True
    file: Path | None = None
    try:
        receivers = Receivers(config, ingest, pages)
        grpc, http = await receivers.start(GRACE_SECONDS)
        monitoring_port = await monitoring.start()
        flight = _start_flight(
            store,
            config.server.sql,
            token,
            flush=lambda: writer.flush(FLUSH_SECONDS),
            export=lambda body: answer(ingest, body),
            limits=limits_of(config.server),
        )
        told = ServerFile(
            pid=os.getpid(),
            grpc=grpc,
            http=http,
            monitoring=f"{host(config.server.monitoring)}:{monitoring_port}",
            sql=f"{host(config.server.sql)}:{flight.port}",
            token=token,
        )
        file = _tell_where(told, address)
        if config.server.run_tasks:
            housekeeping.start()
        warn_of_exposure(config)
        ready(told)
        await stopping.wait()
        _LOG.info("Stopping: requests in flight are committed first.")
    finally:
        if receivers:
            await receivers.stop(GRACE_SECONDS)
        await monitoring.stop()
        await asyncio.to_thread(ingest.stop)
        await asyncio.to_thread(housekeeping.stop)
        if flight:
            released = await asyncio.to_thread(_stop_flight, store, flight)
        if file:
            _remove(file)
        await asyncio.to_thread(writer.close)
        await asyncio.to_thread(store.close)
    return Totals(ingest.counters, writer.counters), released


def _pages(config: Config, store: OpenedStore, reports: ReportPages, refused: Callable[[str], None]) -> Pages:
    tls = config.server.tls
    access = PageAccess(
        credentials_of(config), config.server.http, client_certificates=tls is not None and tls.client_ca is not None
    )
    return Pages(store, access, reports, refused)


def _share_heaps() -> None:
    """Let threads share two heaps (mallopt(3), M_ARENA_MAX): one for each thread keeps what each once needed."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def _tell_where(told: ServerFile, address: StoreAddress) -> Path | None:
    """Write the file that says where the server is.

    A lake has many servers, and its commands need none: there it is for clients of SQL on this machine, if it can be
    written at all.
    """
    if isinstance(address, Path):
        return told.write(address)
    place = beside(address)
    place = place.with_name(f"{place.name}-{told.pid}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return told.write(place)
    except OSError as error:
        _LOG.info("Where SQL is answered is not written down: %s: %s.", place.parent, error.strerror)
        return None


def _remove(file: Path) -> None:
    """Take back the file that says where the server is; one that stays is passed over once nobody answers there."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        # On a file system gone read-only the store has to be closed all the same.
        _LOG.warning("%s could not be removed: %s.", file, error.strerror)


def _stop_flight(store: OpenedStore, flight: FlightServer) -> bool:
    """Stop queries and answer no more; a client that holds a result without reading it is not waited for."""
    store.interrupt_readers()
    stopping = threading.Thread(target=flight.shutdown, name="flight-shutdown", daemon=True)
    stopping.start()
    stopping.join(FLIGHT_SECONDS)
    if stopping.is_alive():
        _LOG.warning("A client still holds a result; it is cut off.")
    return not stopping.is_alive()


def _start_flight(
    store: OpenedStore,
    address: str,
    token: str,
    flush: Callable[[], object],
    export: Callable[[pa.Buffer], bytes],
    limits: QueryLimits,
) -> FlightServer:
    # It answers from here on; its serve() would only take the signals away from the event loop.
    try:
        return FlightServer(store, address, token, flush, export, limits)
    except Exception as error:
        # pyarrow reports a taken port as a bare ArrowException subclass whose text is gRPC's.
        raise OSError(f"SQL cannot listen on {address}: is the port taken?") from error
