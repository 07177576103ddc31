"""A store in a file, a lake, and a lake with a distributed engine: ingest and reports against the size of the load.

Ingest: the same requests into a file's collector, and into 1, 2 and 4 collectors of a lake. Report: a report on as many
spans as are named, from a file, from a lake, and from a lake with 1 and 2 workers. Each is a process of its own; times
are those of the clock, with the processor time of the collectors, or the peak memory of the report.

    python benchmarks/scale.py ingest --catalog postgresql://postgres@127.0.0.1:5432 [--requests 480]
    python benchmarks/scale.py report --catalog postgresql://postgres@127.0.0.1:5432 [--spans 1000000]

The catalog is a PostgreSQL server where databases may be made and removed. The lake's data is a folder, or what
``--data s3://BUCKET/PREFIX`` names.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import grpc
import psycopg
from collectors import EXPORT, OPTIONS, free_port, spanverdict, wait_for
from figures import Row, tell
from ingest import stored
from large_store import BEGIN, fill
from payloads import encoded
from queries import percentile
from report_scale import PROMOTION, REPORTED, SPANVERDICT, Run, run

from analytics.part_files import files_of
from sql.address import StoreAddress
from sql.lake_address import LakeAddress

REQUEST_SPANS = 512
COLLECTORS = (1, 2, 4)


@contextlib.contextmanager
def new_lake(catalog: str, data: str) -> Iterator[LakeAddress]:
    """A lake of its own, removed afterwards (its data is not).

    Args:
        catalog: URI of the PostgreSQL server.
        data: a folder, or a place in an object store.
    """
    name = f"spanverdict_{secrets.token_hex(6)}"
    with psycopg.connect(f"{catalog}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield LakeAddress.parse(f"ducklake:{catalog}/{name}?data={data.rstrip('/')}/{name}")
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def send(addresses: Sequence[str], payloads: Sequence[bytes], clients: int) -> tuple[float, list[float]]:
    """Send all payloads, each client to its collector; the seconds it took, and each acknowledgement's milliseconds."""
    waits: list[float] = []
    lock = threading.Lock()

    def run(number: int) -> None:
        own = []
        with grpc.insecure_channel(addresses[number % len(addresses)], options=OPTIONS) as channel:
            export = channel.unary_unary(EXPORT)
            for payload in payloads[number::clients]:
                begun = time.perf_counter()
                export(payload, timeout=60, wait_for_ready=True)
                own.append((time.perf_counter() - begun) * 1000)
        with lock:
            waits.extend(own)

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(run, range(clients)))
    return time.perf_counter() - started, waits


def ingest(store: StoreAddress, collectors: int, payloads: Sequence[bytes], clients: int) -> Row:
    """One run against fresh collectors: a quarter of the payloads to warm up, then all the others."""
    warm = len(payloads) // 4
    with ExitStack() as stack:
        running = [stack.enter_context(spanverdict(store)) for _ in range(collectors)]
        addresses = [collector.address for collector in running]
        send(addresses, payloads[:warm], clients)
        before = sum(collector.processor_seconds() for collector in running)
        seconds, waits = send(addresses, payloads[warm:], clients)
        processor = sum(collector.processor_seconds() for collector in running) - before
        if stored(store) != REQUEST_SPANS * len(payloads):
            raise SystemExit("Acknowledged spans are missing, or stored twice.")
    spans = REQUEST_SPANS * (len(payloads) - warm)
    return {
        "store": "file" if isinstance(store, Path) else "lake",
        "collectors": collectors,
        "clients": clients,
        "spans/s": spans / seconds,
        "spans per CPU-second": spans / processor,
        "p50, ms": percentile(waits, 50),
        "p99, ms": percentile(waits, 99),
    }


def compare_ingest(catalog: str, data: str, requests: int, runs: int, clients: int) -> list[Row]:
    """The rows of the table of ingest: medians of alternating runs."""
    payloads = encoded(requests, REQUEST_SPANS)
    found: dict[tuple[str, int], list[Row]] = {}
    for _ in range(runs):
        for collectors in (0, *COLLECTORS):
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                store: StoreAddress = Path(folder) / "store.duckdb"
                if collectors:
                    store = stack.enter_context(new_lake(catalog, data or folder))
                row = ingest(store, max(collectors, 1), payloads, clients)
            print(row, flush=True)
            found.setdefault((str(row["store"]), int(row["collectors"])), []).append(row)
    rows = []
    for (kind, collectors), measured in found.items():
        medians = {name: statistics.median([float(row[name]) for row in measured]) for name in list(measured[0])[3:]}
        rows.append({"store": kind, "collectors": collectors, "clients": clients, **medians})
    first = float(rows[0]["spans/s"])
    return [{**row, "of a file's spans/s": float(row["spans/s"]) / first} for row in rows]


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[str]:
    """A scheduler of Dask and so many workers with a thread each, as processes of their own; the engine's address."""
    address = f"127.0.0.1:{free_port()}"
    host, port = address.split(":")
    common = ["--no-dashboard"]
    commands = [["scheduler", "--host", host, "--port", port, *common]]
    commands += [["worker", f"tcp://{address}", "--nthreads", "1", "--host", host, *common]] * workers
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    running = []
    try:
        for command in commands:
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *command],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            wait_for(address)
        yield f"dask://{address}"
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait()


def report(store: StoreAddress, days: int, engine: str | None) -> Run:
    """A report that finds no rows kept from an earlier one."""
    with tempfile.TemporaryDirectory() as cache:
        as_of = (BEGIN + timedelta(days=days)).isoformat()
        command = [*SPANVERDICT, "report", PROMOTION, "--as-of", as_of, "--format", "json", "--store", str(store)]
        if engine:
            command += ["--engine", engine]
        os.environ["XDG_CACHE_HOME"] = cache
        if isinstance(store, Path):
            files_of(store).clear()
        return run(command, REPORTED)


def compare_reports(
    catalog: str, data: str, spans: int, days: int, workers: Sequence[int], *, derive: bool
) -> list[Row]:
    """The rows of the table of reports, on one size of load; reports do not need what `derive` makes."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stores: dict[str, StoreAddress] = {
            "file": Path(folder) / "large.duckdb",
            "lake": stack.enter_context(new_lake(catalog, data or folder)),
        }
        for kind, store in stores.items():
            fill(store, spans, days=days)
            derived = run([*SPANVERDICT, "derive", "--store", str(store)]).seconds if derive else "not run"
            for count in (0, *workers) if kind == "lake" else (0,):
                with cluster(count) if count else contextlib.nullcontext() as engine:
                    took = report(store, days, engine)
                row: Row = {
                    "spans": f"{spans:,}",
                    "store": kind,
                    "workers": count or "none",
                    "derive, s": derived,
                    "report, s": took.seconds,
                    "its processor time, s": took.processor,
                    "its peak, MiB": took.mib,
                }
                print(row, flush=True)
                rows.append(row)
    first = float(rows[0]["report, s"])
    return [{**row, "of the file's time": float(row["report, s"]) / first} for row in rows]


def main() -> None:
    """Measure what is asked for, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ingest", "report"))
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--data", default="")
    parser.add_argument("--requests", type=int, default=480)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--no-derive", action="store_true", help="reports alone, which do not need it")
    options = parser.parse_args()
    catalog, data = options.catalog, options.data
    if options.what == "ingest":
        tell(compare_ingest(catalog, data, options.requests, options.runs, options.clients))
    else:
        tell(compare_reports(catalog, data, options.spans, options.days, options.workers, derive=not options.no_derive))


if __name__ == "__main__":
    main()
