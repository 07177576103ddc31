"""How long queries take while spans come in at half of full speed, beside the same queries while nothing comes in.

The store is filled as fast as the server answers; half of that rate is then offered while queries run over Arrow Flight
SQL: every span of one trace, and p99 by model and hour over everything stored.

    python benchmarks/queries.py [--spans 1000000] [--queries 100]
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from collectors import offer, send, spanverdict
from figures import Row, tell
from payloads import Pattern, encoded

from sql.access import Access, open_store

REQUEST_SPANS = 512
TRACE = "SELECT * FROM spans WHERE trace_id = $trace"
HOURLY = """
SELECT request_model, date_trunc('hour', start_time) AS hour, count(*) AS calls, quantile_cont(duration_ms, 0.99) AS p99
FROM llm_calls
GROUP BY ALL
"""


def milliseconds(ask: Callable[[], object], repeat: int) -> list[float]:
    """How long each of several askings took."""
    taken = []
    for _ in range(repeat):
        started = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def measured(access: Access, traces: list[str], queries: int) -> dict[str, list[float]]:
    """Milliseconds of each query, by kind."""
    endless = itertools.cycle(traces)
    return {
        "spans of one trace": milliseconds(lambda: access.read(TRACE, {"trace": next(endless)}), queries),
        "p99 by model and hour": milliseconds(lambda: access.read(HOURLY), queries),
    }


def percentile(values: list[float], percent: int) -> float:
    """A percentile of measured times."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def main() -> None:
    """Fill, ask, offer and ask again; print both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    patterns = [Pattern(payload) for payload in encoded(16, REQUEST_SPANS)]
    numbers = itertools.count()
    endless = (pattern.numbered(next(numbers)) for pattern in itertools.cycle(patterns))
    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory) / "bench.duckdb"
        with spanverdict(store) as collector:
            seconds = 0.0
            requests = -(-options.spans // REQUEST_SPANS)
            for first in range(0, requests, 256):
                part = list(itertools.islice(endless, min(256, requests - first)))
                seconds += send(collector.address, part, 8)
            with open_store(store) as access:
                found = access.read(f"SELECT DISTINCT trace_id FROM spans USING SAMPLE {options.queries} ROWS")
                traces = found["trace_id"].to_pylist()
                random.Random(1).shuffle(traces)  # noqa: S311 (an order of queries)
                idle = measured(access, traces, options.queries)
                stop = threading.Event()
                with ThreadPoolExecutor(1) as pool:
                    started = time.monotonic()
                    offering = pool.submit(offer, collector.address, endless, requests / seconds / 2, stop)
                    stop.wait(2)
                    busy = measured(access, traces, options.queries)
                    stop.set()
                    paced = offering.result()
                    elapsed = time.monotonic() - started
    rate = paced.answers["OK"] * REQUEST_SPANS / elapsed
    print(f"{requests * REQUEST_SPANS:,} spans stored; meanwhile {rate:,.0f} spans/s came in ({dict(paced.answers)})")
    rows: list[Row] = []
    for kind, before in idle.items():
        for percent in (50, 99):
            first, second = percentile(before, percent), percentile(busy[kind], percent)
            print(
                f"{kind}, p{percent}: {first:.0f} ms idle, {second:.0f} ms while ingesting, ratio {second / first:.1f}"
            )
            rows.append(
                {
                    "query": f"{kind}, p{percent}",
                    "idle, ms": first,
                    "while ingesting, ms": second,
                    "ratio": second / first,
                }
            )
    tell(rows)


if __name__ == "__main__":
    main()
