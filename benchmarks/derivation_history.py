"""What a day's new spans take to be derived beside a short and a long history of the same rate.

The long history has ten times the days of the short one. Its calls are taken for derived; then the spans of one more
day arrive and are derived, several times. Medians of processor time.

    python benchmarks/derivation_history.py [--a-day 50000] [--days 10] [--runs 5]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
from large_store import fill

from analytics.derive import derive
from analytics.job_options import JobOptions
from sql.store import Store

_DERIVED = "UPDATE derivations SET spans_through = ?"


def main() -> None:
    """Run, and print seconds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a-day", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    taken = []
    for days in (options.days, 10 * options.days):
        with tempfile.TemporaryDirectory() as directory:
            taken.append(deriving(Path(directory) / "bench.duckdb", options.a_day, days, options.runs))
        print(f"{options.a_day:,} spans beside {options.a_day * days:,}: {taken[-1]:.2f} s", flush=True)
    print(f"ratio {taken[1] / taken[0]:.2f}")


def deriving(path: Path, a_day: int, days: int, runs: int) -> float:
    """The median of the seconds of processor time in which the spans of one more day are derived."""
    fill(path, a_day * days, days=days)
    with duckdb.connect(str(path)) as database:
        (known,) = database.execute("SELECT max(received_at) FROM live_spans").fetchall()[0]
    fill(path, a_day, days=1, first_day=days)
    seconds = []
    for _ in range(runs):
        with duckdb.connect(str(path)) as database:
            database.execute(_DERIVED, [known])
        with Store(path) as store:
            begun = time.process_time()
            step = derive(store, JobOptions())
            seconds.append(time.process_time() - begun)
        if step.traces == 0:
            raise SystemExit("Nothing was derived.")
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
