"""What it costs to know a repeated span again: batches of new spans, beside the same batches sent again.

python benchmarks/repeats.py [--batches 5] [--spans 122880]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from figures import Row, tell
from payloads import Pattern, encoded

from collector.decode import decode_traces
from collector.rows import span_rows
from sql.clock import utc_now
from sql.store import Store

REQUEST_SPANS = 512


PATTERNS = [Pattern(payload) for payload in encoded(16, REQUEST_SPANS)]


def batch(number: int, spans: int) -> pa.Table:
    """The rows of new spans."""
    requests = -(-spans // REQUEST_SPANS)
    first = number * requests
    payloads = [PATTERNS[place % len(PATTERNS)].numbered(place) for place in range(first, first + requests)]
    return span_rows(decode_traces(payloads), [None] * requests, utc_now()).tables["spans"].slice(0, spans)


def seconds(store: Store, rows: pa.Table) -> float:
    """Processor time of one write."""
    started = time.process_time()
    store.write({"spans": rows})
    return time.process_time() - started


def main() -> None:
    """Write each batch twice; print microseconds a span and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--spans", type=int, default=122_880)
    options = parser.parse_args()
    new, again, partly = [], [], []
    with tempfile.TemporaryDirectory() as directory, Store(Path(directory) / "bench.duckdb") as store:
        for number in range(options.batches):
            spans = batch(number, options.spans)
            first = spans.slice(0, options.spans // 100)
            store.write({"spans": first})
            partly.append(seconds(store, spans))
            again.append(seconds(store, spans))
            new.append(seconds(store, batch(options.batches + number, options.spans)))
    rows: list[Row] = []
    for name, taken in (("new", new), ("one in a hundred known", partly), ("all known", again)):
        beside = statistics.median(one / other for one, other in zip(taken, new, strict=True))
        each = statistics.median(taken) / options.spans * 1e6
        rows.append({"batch": name, "µs a span": each, "beside new ones": beside})
        print(f"{name:22} {statistics.median(taken) / options.spans * 1e6:.2f} us of processor time a span")
    for name, taken in (("one in a hundred known", partly), ("all known", again)):
        ratios = [one / other for one, other in zip(taken, new, strict=True)]
        print(f"ratio of {name} to new: median {statistics.median(ratios):.2f}")
    tell(rows)


if __name__ == "__main__":
    main()
