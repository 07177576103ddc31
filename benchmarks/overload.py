"""Memory while more is offered than can be stored, beside memory while just as much is offered as is acknowledged.

First eight clients send as fast as they are answered; that rate times three is then offered for the given time, waiting
for no answer and sending nothing again. What was acknowledged has to be in the store at the end.

    python benchmarks/overload.py [--minutes 10] [--spans 512] [--content]
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from collectors import Collector, offer, send, spanverdict
from ingest import stored
from payloads import CONTENT_BYTES, Pattern, encoded

FACTOR = 3
SAMPLE_SECONDS = 0.2


class Peak:
    """The most memory that was seen."""

    mib = 0.0


@contextmanager
def watched(collector: Collector) -> Iterator[Peak]:
    """Look at a collector's memory again and again."""
    peak, ended = Peak(), threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            peak.mib = max(peak.mib, collector.resident_mib())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def main() -> None:
    """Measure, print memory and rates, and check that nothing acknowledged is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--spans", type=int, default=512)
    parser.add_argument("--content", action="store_true", help="prompts and completions on each LLM span")
    options = parser.parse_args()
    content = CONTENT_BYTES if options.content else None
    patterns = [Pattern(payload) for payload in encoded(16, options.spans, content_bytes=content)]
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory) / "bench.duckdb"
        with spanverdict(store) as collector:
            closed = [patterns[number % 16].numbered(next(numbers)) for number in range(128 if content else 512)]
            with watched(collector) as steady:
                seconds = send(collector.address, closed, 8)
            rate = FACTOR * len(closed) / seconds
            endless = (pattern.numbered(next(numbers)) for pattern in itertools.cycle(patterns))
            stop = threading.Event()
            with watched(collector) as overload, ThreadPoolExecutor(1) as pool:
                started = time.monotonic()
                offering = pool.submit(offer, collector.address, endless, rate, stop)
                stop.wait(60 * options.minutes)
                stop.set()
                paced = offering.result()
                elapsed = time.monotonic() - started
            acknowledged = len(closed) + paced.answers["OK"]
            found, expected = stored(store), acknowledged * options.spans
            if found != expected:
                # More than expected is what a client gave up on before it was answered.
                answers = dict(paced.answers)
                raise SystemExit(f"{expected:,} spans were acknowledged, {found:,} are stored; answers: {answers}.")
    per_second = options.spans / elapsed
    print(f"as fast as answered: {rate / FACTOR * options.spans:,.0f} spans/s, peak {steady.mib:,.0f} MiB")
    print(
        f"overload for {elapsed:.0f} s: meant {rate * options.spans:,.0f} spans/s,"
        f" sent {paced.sent * per_second:,.0f}/s, acknowledged {paced.answers['OK'] * per_second:,.0f}/s,"
        f" peak {overload.mib:,.0f} MiB"
    )
    print(f"answers: {dict(paced.answers)}; not sent, as 256 were unanswered: {paced.late}")
    print(f"ratio of peak memory: {overload.mib / steady.mib:.2f}; of 1 GiB: {overload.mib / 1024:.2f}")


if __name__ == "__main__":
    main()
