"""Readers of other processes while spans come in at half of full speed: stalls, errors, and what each reader got done.

The store is filled as fast as the server answers. Half of that rate is then offered by a process of its own, first
alone, then beside four readers over Arrow Flight SQL, each a process that asks again as soon as it has its answer and
has rested: every span of one trace, p99 by model and hour over everything, a saved query, and a stream of all
spans. A stall is an acknowledgement, or the wait for a reader's answer or for the next batch of its stream, that takes
longer than 250 ms.

    python benchmarks/readers.py [--spans 500000] [--seconds 60] [--alone 20] [--rest 0.1]
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from collectors import offer, send, spanverdict
from figures import Row, tell
from ingest import stored
from payloads import Pattern, encoded
from queries import HOURLY, REQUEST_SPANS, TRACE, percentile

from sql import statements
from sql.access import Access, open_store
from sql.errors import StoreError

STALL_MS = 250
CLIENTS = 8
SETTLING_SECONDS = 3
SAVED = "models_by_day"
STREAM = "SELECT trace_id, span_id, name, start_time, duration_ns, attributes FROM spans"


@dataclass
class Waits:
    """What one process waited for.

    Attributes:
        milliseconds: each wait.
        answers: answers that came whole.
        rows: rows of those.
        errors: what went wrong, a sentence each.
    """

    milliseconds: list[float] = field(default_factory=list)
    answers: int = 0
    rows: int = 0
    errors: list[str] = field(default_factory=list)

    def told(self, who: str) -> Row:
        """One line of the table."""
        return {
            "who waits": who,
            "waits": len(self.milliseconds),
            "rows": self.rows,
            "p50, ms": round(percentile(self.milliseconds, 50)),
            "p99, ms": round(percentile(self.milliseconds, 99)),
            "longest, ms": round(max(self.milliseconds)),
            f"over {STALL_MS} ms": sum(one > STALL_MS for one in self.milliseconds),
            "errors": len(self.errors),
        }


def numbered_payloads(first: int) -> Iterator[bytes]:
    """Endless requests of new spans."""
    patterns = [Pattern(payload) for payload in encoded(16, REQUEST_SPANS)]
    numbers = itertools.count(first)
    return (pattern.numbered(next(numbers)) for pattern in itertools.cycle(patterns))


def offered(address: str, first: int, per_second: float, seconds: float) -> Waits:
    """Offer requests at a steady rate; what is waited for are acknowledgements."""
    payloads = numbered_payloads(first)
    next(payloads)
    stop = threading.Event()
    timer = threading.Timer(seconds, stop.set)
    timer.start()
    paced = offer(address, payloads, per_second, stop)
    errors = [f"a request ended with {code}" for code in paced.answers.elements() if code != "OK"]
    errors += ["a request was not sent, as too many had no answer"] * paced.late
    return Waits(paced.milliseconds, paced.answers["OK"], paced.answers["OK"] * REQUEST_SPANS, errors)


def short(access: Access, query: str, parameters: dict[str, str] | None, waits: Waits) -> None:
    """Ask for an answer and wait for all of it."""
    started = time.perf_counter()
    with access.question(query, parameters) as batches:
        waits.rows += sum(batch.num_rows for batch in batches)
    waits.milliseconds.append((time.perf_counter() - started) * 1000)


def streamed(access: Access, waits: Waits) -> None:
    """Ask for a stream and wait for each of its batches."""
    last = time.perf_counter()
    with access.question(STREAM) as batches:
        for batch in batches:
            now = time.perf_counter()
            waits.milliseconds.append((now - last) * 1000)
            waits.rows += batch.num_rows
            last = time.perf_counter()


def read(kind: str, store: Path, traces: list[str], seconds: float, rest: float) -> Waits:
    """Ask one kind of question again and again."""
    endless = itertools.cycle(traces)
    kinds: dict[str, Callable[[Access, Waits], None]] = {
        "trace by id": lambda access, waits: short(access, TRACE, {"trace": next(endless)}, waits),
        "p99 by model and hour": lambda access, waits: short(access, HOURLY, None, waits),
        f"saved query {SAVED}": lambda access, waits: short(access, statements.query(SAVED), None, waits),
        "stream, each batch": streamed,
    }
    waits = Waits()
    with open_store(store) as access:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                kinds[kind](access, waits)
                waits.answers += 1
            except StoreError as error:
                waits.errors.append(str(error))
            time.sleep(rest)
    return waits


READERS = ("trace by id", "p99 by model and hour", f"saved query {SAVED}", "stream, each batch")


def main() -> None:
    """Fill, offer alone, offer beside readers; print a line for each who waits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=500_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--alone", type=float, default=20)
    parser.add_argument("--rest", type=float, default=0.1)
    options = parser.parse_args()
    requests = -(-options.spans // REQUEST_SPANS)
    payloads = numbered_payloads(0)
    with (
        tempfile.TemporaryDirectory() as directory,
        ProcessPoolExecutor(1 + len(READERS), multiprocessing.get_context("spawn")) as pool,
    ):
        store = Path(directory) / "bench.duckdb"
        with spanverdict(store) as collector:
            seconds = 0.0
            for first in range(0, requests, 256):
                part = list(itertools.islice(payloads, min(256, requests - first)))
                seconds += send(collector.address, part, CLIENTS)
            rate = requests / seconds / 2
            stored(store)
            with open_store(store) as access:
                traces = access.read("SELECT DISTINCT trace_id FROM spans USING SAMPLE 200 ROWS")["trace_id"]
            first = requests
            alone = pool.submit(offered, collector.address, first, rate, options.alone).result()
            first += alone.answers + 1
            before = collector.processor_seconds()
            whole = options.seconds + SETTLING_SECONDS
            offering = pool.submit(offered, collector.address, first, rate, whole)
            time.sleep(SETTLING_SECONDS)
            reading: dict[str, Future[Waits]] = {
                kind: pool.submit(read, kind, store, traces.to_pylist(), options.seconds, options.rest)
                for kind in READERS
            }
            beside = offering.result()
            found = {kind: future.result() for kind, future in reading.items()}
            used = collector.processor_seconds() - before
            kept = stored(store)
    acknowledged = requests + alone.answers + beside.answers
    if kept != acknowledged * REQUEST_SPANS:
        raise SystemExit(f"{acknowledged * REQUEST_SPANS:,} spans were acknowledged, {kept:,} are stored.")
    print(
        f"{requests * REQUEST_SPANS:,} spans stored at {requests * REQUEST_SPANS / seconds:,.0f}/s; then"
        f" {rate * REQUEST_SPANS:,.0f}/s offered; the server took {used / whole:.2f} cores"
    )
    rows = [alone.told("senders, no reader"), beside.told("senders")]
    rows += [waits.told(kind) for kind, waits in found.items()]
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    for who, waits in (("alone", alone), ("beside", beside), *found.items()):
        for error, count in Counter(waits.errors).items():
            print(f"{who}: {count} times: {error}")
    tell(rows)


if __name__ == "__main__":
    main()
