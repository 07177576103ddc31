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
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import psycopg
from collectors import EXPORT, OPTIONS, spanverdict
from figures import Row, tell
from ingest import stored
from payloads import encoded
from queries import percentile

from sql.address import StoreAddress
from sql.lake_address import LakeAddress

CLIENTS = 16
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


def send(addresses: Sequence[str], payloads: Sequence[bytes]) -> tuple[float, list[float]]:
    """Send all payloads, each client to its collector; the seconds it took, and each acknowledgement's milliseconds."""
    waits: list[float] = []
    lock = threading.Lock()

    def run(number: int) -> None:
        own = []
        with grpc.insecure_channel(addresses[number % len(addresses)], options=OPTIONS) as channel:
            export = channel.unary_unary(EXPORT)
            for payload in payloads[number::CLIENTS]:
                begun = time.perf_counter()
                export(payload, timeout=60, wait_for_ready=True)
                own.append((time.perf_counter() - begun) * 1000)
        with lock:
            waits.extend(own)

    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(run, range(CLIENTS)))
    return time.perf_counter() - started, waits


def ingest(store: StoreAddress, collectors: int, payloads: Sequence[bytes]) -> Row:
    """One run against fresh collectors: a quarter of the payloads to warm up, then all the others."""
    warm = len(payloads) // 4
    with ExitStack() as stack:
        running = [stack.enter_context(spanverdict(store)) for _ in range(collectors)]
        addresses = [collector.address for collector in running]
        send(addresses, payloads[:warm])
        before = sum(collector.processor_seconds() for collector in running)
        seconds, waits = send(addresses, payloads[warm:])
        processor = sum(collector.processor_seconds() for collector in running) - before
        if stored(store) != REQUEST_SPANS * len(payloads):
            raise SystemExit("Acknowledged spans are missing, or stored twice.")
    spans = REQUEST_SPANS * (len(payloads) - warm)
    return {
        "store": "file" if isinstance(store, Path) else "lake",
        "collectors": collectors,
        "spans/s": spans / seconds,
        "spans per CPU-second": spans / processor,
        "p50, ms": percentile(waits, 50),
        "p99, ms": percentile(waits, 99),
    }


def compare_ingest(catalog: str, data: str, requests: int, runs: int) -> list[Row]:
    """The rows of the table of ingest: medians of alternating runs."""
    payloads = encoded(requests, REQUEST_SPANS)
    found: dict[tuple[str, int], list[Row]] = {}
    for _ in range(runs):
        for collectors in (0, *COLLECTORS):
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                store: StoreAddress = Path(folder) / "store.duckdb"
                if collectors:
                    store = stack.enter_context(new_lake(catalog, data or folder))
                row = ingest(store, max(collectors, 1), payloads)
            print(row, flush=True)
            found.setdefault((str(row["store"]), int(row["collectors"])), []).append(row)
    rows = []
    for (kind, collectors), measured in found.items():
        medians = {name: statistics.median([float(row[name]) for row in measured]) for name in list(measured[0])[2:]}
        rows.append({"store": kind, "collectors": collectors, **medians})
    first = float(rows[0]["spans/s"])
    return [{**row, "of a file's spans/s": float(row["spans/s"]) / first} for row in rows]


def main() -> None:
    """Measure what is asked for, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ingest", "report"))
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--data", default="")
    parser.add_argument("--requests", type=int, default=480)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--spans", type=int, default=1_000_000)
    options = parser.parse_args()
    tell(compare_ingest(options.catalog, options.data, options.requests, options.runs))


if __name__ == "__main__":
    main()
