"""The collectors that benchmarks send to, each in a process of its own, and the clients that send."""

from __future__ import annotations

import functools
import importlib.util
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil

from sql.address import StoreAddress
from sql.server_file import ServerFile

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
LISTENERS = ("grpc", "http", "sql", "monitoring")


@dataclass(frozen=True)
class Collector:
    """A running collector: its OTLP/gRPC address and its process."""

    address: str
    process: psutil.Process

    def processor_seconds(self) -> float:
        """Processor time that it has taken so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def resident_mib(self) -> float:
        """Memory that it has now."""
        return float(self.process.memory_info().rss) / 2**20


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
def spanverdict(store: StoreAddress) -> Iterator[Collector]:
    """`spanverdict serve` on a store."""
    ports = dict.fromkeys(LISTENERS, "127.0.0.1:0") | {"grpc": f"127.0.0.1:{free_port()}"}
    addresses = [text for name, address in ports.items() for text in (f"--{name}", address)]
    command = [sys.executable, "-m", "spanverdict", "serve", "--store", str(store), *addresses]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for(ports["grpc"])
        while isinstance(store, Path) and ServerFile.read(store) is None:
            if process.poll() is not None:
                raise SystemExit("spanverdict serve did not start.")
            time.sleep(0.05)
        yield Collector(ports["grpc"], psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


@contextmanager
def rotel() -> Iterator[Collector]:
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
        yield Collector(address, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


def send(address: str, payloads: Sequence[bytes], clients: int) -> float:
    """Send all payloads from ``clients`` connections; returns the seconds until the last acknowledgement."""

    def run(part: Sequence[bytes]) -> None:
        with grpc.insecure_channel(address, options=OPTIONS) as channel:
            export = channel.unary_unary(EXPORT)
            for payload in part:
                export(payload, timeout=60, wait_for_ready=True)

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(run, [payloads[number::clients] for number in range(clients)]))
    return time.perf_counter() - started


@dataclass
class Paced:
    """Requests sent at a steady rate, whether or not earlier ones are answered.

    Attributes:
        sent: requests sent.
        answers: how many ended with each status.
        late: requests that were not sent because too many were unanswered.
        milliseconds: how long each waited for its answer.
    """

    sent: int = 0
    late: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)


def offer(
    address: str, payloads: Iterator[bytes], per_second: float, stop: threading.Event, unanswered: int = 256
) -> Paced:
    """Send payloads at a steady rate until told to stop.

    Args:
        address: host:port of OTLP/gRPC.
        payloads: what to send.
        per_second: requests a second.
        stop: ends the sending.
        unanswered: no more are sent while as many have no answer.
    """
    paced = Paced()
    slots = threading.Semaphore(unanswered)
    lock = threading.Lock()

    def done(answer: grpc.Future, sent_at: float) -> None:
        milliseconds = (time.perf_counter() - sent_at) * 1000
        code = answer.code()
        with lock:
            paced.answers[code.name] += 1
            paced.milliseconds.append(milliseconds)
        slots.release()

    channels = [grpc.insecure_channel(address, options=OPTIONS) for _ in range(4)]
    exports = [channel.unary_unary(EXPORT) for channel in channels]
    begun = time.monotonic()
    number = 0
    while not stop.is_set():
        ahead = number / per_second - (time.monotonic() - begun)
        if ahead > 0:
            time.sleep(ahead)
        number += 1
        if not slots.acquire(blocking=False):
            paced.late += 1
            continue
        paced.sent += 1
        payload = next(payloads)
        answered = functools.partial(done, sent_at=time.perf_counter())
        exports[number % len(exports)].future(payload, timeout=60, wait_for_ready=True).add_done_callback(answered)
    for _ in range(unanswered):
        slots.acquire()
    for channel in channels:
        channel.close()
    return paced
