"""The server: one process that owns the store, receives telemetry and answers SQL."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from collector.grpc_receiver import GrpcReceiver
from collector.ingest import Counters, Ingest, Limits
from spanverdict.config import Config
from sql.access import ServerFile
from sql.errors import StoreFailedError
from sql.flight_server import FlightServer
from sql.store import Store

_LOG = logging.getLogger("spanverdict.serve")

GRACE_SECONDS = 10
"""How long requests in flight may take at shutdown: an exporter's own deadline."""


async def serve(config: Config, path: Path, ready: Callable[[ServerFile], None]) -> Counters:
    """Run until SIGTERM or SIGINT, then commit what was taken and close the store.

    Args:
        config: addresses and limits.
        path: the database file.
        ready: called once, when everything listens.

    Returns:
        What was received and stored.

    Raises:
        StoreUnavailableError: the store cannot be opened.
        OSError: an address cannot be bound.
        StoreFailedError: the store could no longer be written; what was acknowledged is on disk.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    failures: list[StoreFailedError] = []

    def fail(error: StoreFailedError) -> None:
        failures.append(error)
        loop.call_soon_threadsafe(stopping.set)

    store = await asyncio.to_thread(Store, path, memory_limit=config.server.memory_limit)
    limits = Limits(waiting_bytes=config.ingest.waiting_mib * 2**20, linger_seconds=config.ingest.linger_ms / 1000)
    ingest = Ingest(store.write, limits, fail)
    receiver = GrpcReceiver(ingest, config.server.grpc)
    token = secrets.token_urlsafe(32)
    flight: FlightServer | None = None
    file: Path | None = None
    ingest.start()
    try:
        port = await receiver.start()
        flight = _start_flight(store, config.server.sql, token)
        told = ServerFile(
            pid=os.getpid(),
            grpc=f"{_host(config.server.grpc)}:{port}",
            sql=f"{_host(config.server.sql)}:{flight.port}",
            token=token,
        )
        file = told.write(path)
        ready(told)
        await stopping.wait()
        _LOG.info("Stopping: requests in flight are committed first.")
    finally:
        await receiver.stop(GRACE_SECONDS)
        await asyncio.to_thread(ingest.stop)
        if flight:
            await asyncio.to_thread(flight.shutdown)
        if file:
            file.unlink(missing_ok=True)
        await asyncio.to_thread(store.close)
    if failures:
        raise failures[0]
    return ingest.counters


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _start_flight(store: Store, address: str, token: str) -> FlightServer:
    try:
        server = FlightServer(store, address, token)
    except Exception as error:
        # pyarrow reports a taken port as a bare ArrowException subclass whose text is gRPC's.
        raise OSError(f"SQL cannot listen on {address}: is the port taken?") from error
    threading.Thread(target=server.serve, name="flight", daemon=True).start()
    return server
