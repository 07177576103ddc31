"""Durable spans per second of the collector beside `rotel` (a collector in Rust) discarding the same payloads.

Both receive the same bytes over OTLP/gRPC from the same client, in alternating runs. spanverdict acknowledges what is
on disk and is asked afterwards how many spans it holds; rotel runs with its `blackhole` exporter and stores nothing.

    python benchmarks/ingest.py [--runs 5] [--requests 400] [--spans 512] [--clients 8] [--content]

One-span requests: --spans 1 --clients 50 --requests 20000. Prompts and completions of 2 to 20 kB: --content --spans 64.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from collectors import Collector, rotel, send, spanverdict
from figures import tell
from payloads import CONTENT_BYTES, encoded

from sql.access import open_store


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


def measure(
    running: AbstractContextManager[Collector], store: Path | None, payloads: list[bytes], spans: int, clients: int
) -> Measured:
    """One run against a fresh collector: a quarter of the payloads to warm up, then all the others."""
    warm = len(payloads) // 4
    with running as collector:
        send(collector.address, payloads[:warm], clients)
        if store:
            stored(store)
        before = collector.processor_seconds()
        wall = send(collector.address, payloads[warm:], clients)
        if store and stored(store) != spans * len(payloads):
            raise SystemExit("Acknowledged spans are missing.")
        processor = collector.processor_seconds() - before
    return Measured(spans * (len(payloads) - warm), wall, processor)


def stored(store: Path) -> int:
    """How many spans a store holds once everything acknowledged is in it."""
    with open_store(store) as access:
        return int(access.read("SELECT count(*) AS n FROM spans")["n"][0].as_py())


def main() -> None:
    """Alternate the two collectors and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--spans", type=int, default=512)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--content", action="store_true", help="prompts and completions on each LLM span")
    options = parser.parse_args()
    payloads = encoded(options.requests, options.spans, content_bytes=CONTENT_BYTES if options.content else None)
    size = sum(map(len, payloads)) / len(payloads) / options.spans
    print(f"{options.requests} requests of {options.spans} spans, {size:.0f} bytes a span, {options.clients} clients")
    ours, theirs = [], []
    for number in range(options.runs):
        with tempfile.TemporaryDirectory() as directory:
            store = Path(directory) / "bench.duckdb"
            ours.append(measure(spanverdict(store), store, payloads, options.spans, options.clients))
        theirs.append(measure(rotel(), None, payloads, options.spans, options.clients))
        for name, one in (("spanverdict", ours[-1]), ("rotel", theirs[-1])):
            print(
                f"run {number + 1}: {name:11} {one.per_processor:9,.0f} spans per CPU-second, {one.per_wall:9,.0f}/s, "
                f"{one.per_wall * size / 1e6:5.0f} MB/s"
            )
    for name, value in (("processor", Measured.per_processor), ("wall", Measured.per_wall)):
        read = value.fget
        ratios = [read(one) / read(other) for one, other in zip(ours, theirs, strict=True)]
        print(
            f"ratio by {name} time: median {statistics.median(ratios):.2f}"
            f" (from {min(ratios):.2f} to {max(ratios):.2f}); spanverdict's median"
            f" {statistics.median(map(read, ours)):,.0f}, rotel's {statistics.median(map(read, theirs)):,.0f}"
        )
    ratios = [one.per_processor / other.per_processor for one, other in zip(ours, theirs, strict=True)]
    plural = "s" if options.spans > 1 else ""
    tell(
        [
            {
                "a request": f"{options.spans} span{plural} of {size:,.0f} bytes, {options.clients} clients",
                "spans a CPU-second": statistics.median(one.per_processor for one in ours),
                "rotel": statistics.median(one.per_processor for one in theirs),
                "median ratio": statistics.median(ratios),
                "from": min(ratios),
                "to": max(ratios),
                "stored a second": statistics.median(one.per_wall for one in ours),
                "ratio by wall clock": statistics.median(
                    one.per_wall / other.per_wall for one, other in zip(ours, theirs, strict=True)
                ),
            }
        ]
    )


if __name__ == "__main__":
    main()
