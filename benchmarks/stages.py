"""Where a span's processor time goes between its bytes and the store, each stage beside the whole.

One thread runs the stages one behind the other on the payloads of benchmarks/ingest.py, in groups as the server forms
them; what gRPC and the threads' waiting for one another take is not in it.

    python benchmarks/stages.py [--groups 40] [--requests 24] [--spans 512] [--content]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from figures import Row, tell
from payloads import CONTENT_BYTES, Pattern, encoded

from collector import decode
from collector.normalize import NormalizerInput, canonical_columns
from collector.rows import arrivals, span_rows
from collector.signals import Signal
from sql.batches import combined
from sql.clock import utc_now
from sql.journal import Journal, journal_directory
from sql.journaled_writer import JournaledWriter
from sql.store import Store
from sql.telemetry_writer import ARRIVALS

Times = dict[str, list[float]]

NORMALIZING = "normalising"
MOST_OF_INGEST = 0.2
"""The share of the processor time of ingest that normalising may take."""


@contextmanager
def timed(times: Times, stage: str) -> Iterator[None]:
    """Note the processor seconds of a block."""
    started = time.process_time()
    yield
    times[stage].append(time.process_time() - started)


def run(store: Store, payloads: list[list[bytes]], times: Times) -> None:
    """Take every group through all stages."""
    journal = Journal(journal_directory(store.path))
    moment = utc_now()
    for number, group in enumerate(payloads):
        received_at = moment + timedelta(microseconds=number)
        with timed(times, "protobuf to columns (ptars)"):
            decode._TRACES.list_to_record_batch(group)  # noqa: SLF001 (a part of the next stage, by itself)
        with timed(times, "columns of spans, ptars included"):
            columns = decode.decode_traces(group)
        fresh = decode.decode_traces(group)
        with timed(times, NORMALIZING):
            # A part of the next stage, by itself, on columns of its own: what is prepared for one use is not reused.
            canonical_columns(NormalizerInput.of(fresh))
        with timed(times, "rows: canonical columns, JSON"):
            rows = span_rows(columns, [None] * len(group), received_at)
            tables = combined([rows.tables, {ARRIVALS: arrivals(Signal.TRACES, rows, received_at)}])
        with timed(times, "journal: Arrow, checksum, write, sync"):
            journal.append(tables)
    with timed(times, "load into DuckDB"):
        # What a server does at its start with what the one before it left: the same loads as while it runs.
        JournaledWriter(store).close()


def main() -> None:
    """Run, and print microseconds of processor time a span."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=40)
    parser.add_argument("--requests", type=int, default=24)
    parser.add_argument("--spans", type=int, default=512)
    parser.add_argument("--content", action="store_true", help="prompts and completions on each LLM span")
    options = parser.parse_args()
    content = CONTENT_BYTES if options.content else None
    patterns = [Pattern(payload) for payload in encoded(options.requests, options.spans, content_bytes=content)]
    payloads = [
        [pattern.numbered(number * len(patterns) + place) for place, pattern in enumerate(patterns)]
        for number in range(options.groups)
    ]
    times: Times = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory, Store(Path(directory) / "bench.duckdb") as store:
        run(store, payloads, times)
        if journal_directory(store.path).exists():
            raise SystemExit("Not everything was loaded.")
    spans = options.requests * options.spans
    each = {stage: statistics.median(taken) / spans * 1e6 for stage, taken in times.items()}
    each["load into DuckDB"] /= options.groups
    inner, normalizing = each.pop("protobuf to columns (ptars)"), each.pop(NORMALIZING)
    whole = sum(each.values())
    print(f"{whole:.2f} us of processor time a span; of which")
    for stage, taken in each.items():
        print(f"  {stage:40} {taken:6.2f} us, {taken / whole:4.0%}")
    print(f"ptars by itself: {inner:.2f} us, {inner / whole:.0%}")
    print(f"normalising by itself: {normalizing:.2f} us, {normalizing / whole:.1%} (at most {MOST_OF_INGEST:.0%})")
    each |= {"all": whole, "of it ptars by itself": inner, "of it normalising by itself": normalizing}
    rows: list[Row] = [
        {"stage": stage, "µs a span": taken, "part of all": f"{taken / whole:.0%}"} for stage, taken in each.items()
    ]
    tell(rows)


if __name__ == "__main__":
    main()
