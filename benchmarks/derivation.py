"""What deriving calls, chains and costs takes of the processor, beside what storing the same spans took.

Spans are stored as `spanverdict import` stores them, then the table of calls is derived from nothing; then a few
requests more arrive and it is brought up to date.

    python benchmarks/derivation.py [--runs 5] [--requests 400] [--spans 512]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from figures import tell
from payloads import Pattern, encoded

from analytics.derive import derive
from analytics.job_options import JobOptions
from collector.ingest import Ingest
from collector.signals import Signal
from sql.journaled_writer import JournaledWriter
from sql.store import Store

PATTERNS = 24
LATE_REQUESTS = 2


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of this process, all threads, while ``work`` runs."""
    started = time.process_time()
    work()
    return time.process_time() - started


def receive(store: Store, payloads: list[bytes]) -> None:
    """Store the spans of requests, from their bytes."""
    writer = JournaledWriter(store)
    ingest = Ingest(writer, last_received_at=writer.last_received_at())
    ingest.start()
    for start in range(0, len(payloads), PATTERNS):
        for done in [ingest.submit(Signal.TRACES, payload) for payload in payloads[start : start + PATTERNS]]:
            done.result()
    ingest.stop()
    writer.close()


def main() -> None:
    """Run, and print microseconds of processor time a span and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--spans", type=int, default=512)
    options = parser.parse_args()
    patterns = [Pattern(payload) for payload in encoded(PATTERNS, options.spans)]
    count = options.requests + LATE_REQUESTS
    payloads = [patterns[number % PATTERNS].numbered(number) for number in range(count)]
    spans, late_spans = options.requests * options.spans, LATE_REQUESTS * options.spans
    ratios, each, late = [], [], []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as directory, Store(Path(directory) / "bench.duckdb") as store:
            stored = processor_seconds(lambda store=store: receive(store, payloads[: options.requests]))  # type: ignore[misc]
            derived = processor_seconds(lambda store=store: derive(store, JobOptions()))  # type: ignore[misc]
            receive(store, payloads[options.requests :])
            again = processor_seconds(lambda store=store: derive(store, JobOptions()))  # type: ignore[misc]
            ratios.append(derived / stored)
            each.append(derived / spans * 1e6)
            late.append(again / late_spans * 1e6)
    print(f"deriving {spans:,} spans: {statistics.median(each):.2f} us of processor time a span,")
    print(f"  {statistics.median(ratios):.2f} of storing them (from {min(ratios):.2f} to {max(ratios):.2f})")
    print(f"deriving {late_spans:,} spans more beside them: {statistics.median(late):.2f} us a span")
    tell(
        [
            {
                "": f"{spans:,} spans at once, beside storing them",
                "µs a span": statistics.median(each),
                "median ratio": statistics.median(ratios),
                "from": min(ratios),
                "to": max(ratios),
            },
            {
                "": f"{late_spans:,} spans that arrive afterwards",
                "µs a span": statistics.median(late),
                "median ratio": "-",
                "from": "-",
                "to": "-",
            },
        ]
    )


if __name__ == "__main__":
    main()
