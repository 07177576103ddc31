"""Durable spans per second of the collector beside `rotel` (a collector in Rust) discarding the same payloads.

Both receive the same bytes over OTLP/gRPC from the same client, in alternating runs. spanverdict acknowledges after the
commit and is asked afterwards how many spans it holds; rotel runs with its `blackhole` exporter and stores nothing.

    python benchmarks/ingest.py [--runs 5] [--requests 160] [--spans 512] [--clients 8] [--content-bytes 0]
"""

from __future__ import annotations

import argparse
import importlib.util
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from payloads import encoded

from sql.access import ServerFile, open_store

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True)
class Measured:
    """One run: wall-clock and processor seconds for a number of spans."""

    spans: int
    wall: float
    processor: float

    @property
    def per_wall(self) -> float:
        """Spans per second of wall clock."""
        return self.spans / self.wall

    @property
    def per_processor(self) -> float:
        """Spans per processor second."""
        return self.spans / self.processor


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str) -> None:
    """Wait until something listens."""
    host, port = address.split(":")
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def spanverdict(directory: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A running collector with an empty store."""
    store = directory / "bench.duckdb"
    address = f"127.0.0.1:{free_port()}"
    command = [
        sys.executable,
        "-m",
        "spanverdict",
        "serve",
        "--db",
        str(store),
        "--grpc",
        address,
        "--http",
        "127.0.0.1:0",
        "--sql",
        "127.0.0.1:0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while ServerFile.read(store) is None:
            time.sleep(0.05)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def rotel(_directory: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A running rotel that discards what it receives."""
    package = importlib.util.find_spec("rotel")
    if package is None or package.origin is None:
        raise SystemExit("The package rotel is not installed: pip install rotel.")
    address = f"127.0.0.1:{free_port()}"
    agent = Path(package.origin).with_name("rotel-agent")
    command = [str(agent), "start", "--exporter", "blackhole", "--otlp-grpc-endpoint", address,
               "--otlp-http-endpoint", f"127.0.0.1:{free_port()}"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(address)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def send(address: str, payloads: list[bytes], clients: int) -> float:
    """Send all payloads from ``clients`` connections; returns the seconds until the last acknowledgement."""

    def run(part: list[bytes]) -> None:
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(address, options=options) as channel:
            export = channel.unary_unary(EXPORT)
            for payload in part:
                export(payload, timeout=60, wait_for_ready=True)

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(run, [payloads[number::clients] for number in range(clients)]))
    return time.perf_counter() - started


def measure(collector, payloads: list[bytes], spans: int, clients: int) -> Measured:  # noqa: ANN001 (a context manager)
    """One run against a fresh collector: warmed up, then all payloads."""
    with tempfile.TemporaryDirectory() as directory:
        with collector(Path(directory)) as (address, process):
            send(address, payloads[:clients], clients)
            before = process.cpu_times()
            wall = send(address, payloads[clients:], clients)
            if collector is spanverdict:
                with open_store(Path(directory) / "bench.duckdb") as store:
                    store.read("SELECT 1")
            after = process.cpu_times()
            processor = after.user + after.system - before.user - before.system
            expected = spans * len(payloads)
            if collector is spanverdict:
                with open_store(Path(directory) / "bench.duckdb") as store:
                    stored = store.read("SELECT count(*) AS n FROM spans")["n"][0].as_py()
                if stored != expected:
                    raise SystemExit(f"{stored} spans stored of {expected} acknowledged.")
        return Measured(expected - spans * clients, wall, processor)


def main() -> None:
    """Alternate the two collectors and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=160)
    parser.add_argument("--spans", type=int, default=512)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--content-bytes", type=int, default=0)
    options = parser.parse_args()
    payloads = encoded(options.requests + options.clients, options.spans, content_bytes=options.content_bytes)
    size = sum(map(len, payloads)) / len(payloads) / options.spans
    print(f"{options.requests} requests of {options.spans} spans, {size:.0f} bytes a span, {options.clients} clients")
    ratios: dict[str, list[float]] = {"processor": [], "wall": []}
    for number in range(options.runs):
        ours = measure(spanverdict, payloads, options.spans, options.clients)
        theirs = measure(rotel, payloads, options.spans, options.clients)
        ratios["processor"].append(ours.per_processor / theirs.per_processor)
        ratios["wall"].append(ours.per_wall / theirs.per_wall)
        print(
            f"run {number + 1}: spanverdict {ours.per_processor:,.0f} spans per CPU-second, {ours.per_wall:,.0f}/s;"
            f" rotel {theirs.per_processor:,.0f} per CPU-second, {theirs.per_wall:,.0f}/s"
        )
    for name, values in ratios.items():
        print(
            f"ratio by {name} time: median {statistics.median(values):.2f}"
            f" (from {min(values):.2f} to {max(values):.2f})"
        )


if __name__ == "__main__":
    main()
