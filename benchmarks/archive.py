"""What archiving closed days takes from senders, and what queries take before and after.

A store of many spans is served; one request after another is sent at a fixed pace and the wait for each acknowledgement
taken, first alone, then while `spanverdict archive` moves one day of the store after the other out. Queries are asked
in this process, on the store before and after, and their processor time is taken: wall time says little on a machine
that is shared.

    python -m benchmarks.archive [--spans 1000000] [--seconds 20]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import grpc

sys.path.insert(0, str(Path(__file__).parent))

from collectors import EXPORT, OPTIONS, spanverdict
from payloads import Pattern, encoded

from benchmarks import large_store
from collector.normalize import NORMALIZER_VERSION
from sql.archived_tables import archive_directory
from sql.store import Store

REQUEST_SPANS = 100
REQUESTS_A_SECOND = 8
HOURLY = "SELECT date_trunc('hour', start_time) AS hour, quantile_cont(duration_ns, 0.99) FROM spans"
QUERIES = {
    "every span of one trace": "SELECT * FROM spans WHERE trace_id = $trace",
    "p99 by hour, all days": f"{HOURLY} GROUP BY hour",
    "p99 by hour, one day": f"{HOURLY} WHERE start_time >= TIMESTAMP '2026-10-05'"
    " AND start_time < TIMESTAMP '2026-10-06' GROUP BY hour",
}


def fill(path: Path, spans: int) -> None:
    """A store of which everything counts as derived and matched."""
    large_store.fill(path, spans)
    with duckdb.connect(str(path)) as database:
        database.execute("UPDATE live_spans SET normalizer_version = ?", [NORMALIZER_VERSION])
        for table in ("derivations", "matchings"):
            database.execute(f"UPDATE {table} SET spans_through = (SELECT max(received_at) FROM live_spans)")


def milliseconds(path: Path, trace: str) -> dict[str, float]:
    """Processor time of each query, the median of some askings."""
    found = {}
    with Store(path, read_only=True) as store:
        for name, query in QUERIES.items():
            given = {"trace": trace} if "$trace" in query else None
            taken = []
            for _ in range(11):
                started = time.process_time()
                store.read(query, given)
                taken.append((time.process_time() - started) * 1000)
            found[name] = statistics.median(taken)
    return found


def acknowledgements(address: str, payloads: itertools.count[int], go_on: Callable[[], bool]) -> list[float]:
    """Send at a fixed pace, or as fast as they are answered; milliseconds from sending to acknowledgement."""
    patterns = [Pattern(payload) for payload in encoded(8, REQUEST_SPANS)]
    waited = []
    with grpc.insecure_channel(address, OPTIONS) as channel:
        export = channel.unary_unary(EXPORT)
        due = time.monotonic()
        while go_on():
            number = next(payloads)
            payload = patterns[number % len(patterns)].numbered(number)
            time.sleep(max(due - time.monotonic(), 0))
            sent = time.monotonic()
            export(payload, timeout=30)
            waited.append((time.monotonic() - sent) * 1000)
            due = max(due, sent) + 1 / REQUESTS_A_SECOND
    return waited


def told(waited: list[float]) -> str:
    """Percentiles of waits."""
    cuts = statistics.quantiles(waited, n=100, method="inclusive")
    return f"{len(waited)} requests, p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, at most {max(waited):.0f} ms"


def main() -> None:
    """Run, and print waits, sizes, and processor times with their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bench.duckdb"
        fill(path, options.spans)
        with Store(path, read_only=True) as store:
            query = "SELECT trace_id FROM spans WHERE start_time > TIMESTAMP '2026-10-05 12:00' LIMIT 1"
            trace = store.read(query)["trace_id"][0].as_py()
        live = milliseconds(path, trace)
        size = path.stat().st_size
        numbers = itertools.count()
        with spanverdict(path) as collector:
            until = time.monotonic() + options.seconds
            print(
                "alone:            ",
                told(acknowledgements(collector.address, numbers, lambda: time.monotonic() < until)),
            )
            command = [sys.executable, "-m", "spanverdict", "archive", "--db", str(path), "--before", "2026-10-30"]
            # As the server runs it.
            niced = ["nice", "-n", "10", *command]
            with subprocess.Popen(niced, stderr=subprocess.PIPE) as archiving:
                started = time.monotonic()
                waited = acknowledgements(collector.address, numbers, lambda: archiving.poll() is None)
                days = archiving.stderr.read().decode().count("spans archived") if archiving.stderr else 0
            print("during archiving: ", told(waited))
            print(f"{days} days of {options.spans:,} spans archived in {time.monotonic() - started:.0f} s")
        files = sum(file.stat().st_size for file in archive_directory(path).glob("*/*/*.parquet"))
        print(f"{size / 2**20:.0f} MiB in the database, {files / 2**20:.0f} MiB in files: ratio {files / size:.2f}")
        for name, was in live.items():
            now = milliseconds(path, trace)[name]
            print(f"{name}: {was:.1f} ms live, {now:.1f} ms archived, ratio {now / was:.2f}")


if __name__ == "__main__":
    main()
