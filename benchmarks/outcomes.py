"""What a million feedback rows take to import, and new outcomes to be matched beside a short and a long history.

A history is days of traffic of one rate, each outcome matched; the long one has ten times the days of the short one.
Then ten thousand outcomes of traces of the last day arrive, are matched as the server's follower does it, and as many
spans arrive. Medians of processor time over several such arrivals.

    python benchmarks/outcomes.py [--rows 1000000] [--days 10] [--runs 5]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa

from analytics.outcome_matching import match_outcomes
from sql.store import Store

BEGIN = datetime(2024, 1, 1)  # noqa: DTZ001 (the store's times are naive UTC)
A_DAY = 10_000
"""Spans, and outcomes, of one day."""

NEW = 10_000
KEY_ATTRIBUTE = "ticket.id"


def main() -> None:
    """Run, and print rows a second, milliseconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        importing(Path(directory), options.rows)
    taken = {}
    for days in (options.days, 10 * options.days):
        with tempfile.TemporaryDirectory() as directory, Store(Path(directory) / "bench.duckdb") as store:
            taken[days] = matching(store, days, options.runs)
    for what in taken[options.days]:
        short, long = (taken[days][what] for days in taken)
        print(f"{what}: {short * 1e3:.0f} ms beside {A_DAY * options.days:,} spans and outcomes,")
        print(f"  {long * 1e3:.0f} ms beside {A_DAY * 10 * options.days:,}: ratio {long / short:.2f}")


def importing(folder: Path, rows: int) -> None:
    """Import feedback from CSV with the command, into an empty store, then once more."""
    file = folder / "feedback.csv"
    numbers = pl.DataFrame({"number": range(rows)})
    moment = pl.lit(BEGIN) + pl.duration(seconds=pl.col("number"))
    numbers.select(
        time=moment.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        name=pl.lit("thumbs_down"),
        value=(pl.col("number") % 7 == 0).cast(pl.Int8),
        trace_id=hexadecimal(pl.col("number"), 0, 32),
        source=pl.lit("web"),
    ).write_csv(file)
    with Store(folder / "import.duckdb"):
        pass
    command = [
        sys.executable,
        "-m",
        "spanverdict",
        "feedback",
        "import",
        str(file),
        "--db",
        str(folder / "import.duckdb"),
    ]
    for what in ("new", "all known"):
        started, busy = time.monotonic(), children_seconds()
        subprocess.run(command, check=True)
        seconds, busy = time.monotonic() - started, children_seconds() - busy
        print(f"importing {rows:,} rows of feedback, {what}: {rows / seconds:,.0f} rows a second,")
        print(f"  {rows / busy:,.0f} rows a second of processor time")


def children_seconds() -> float:
    """Processor time of the processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def matching(store: Store, days: int, runs: int) -> dict[str, float]:
    """Seconds of processor time for what arrives beside a history: medians over runs."""
    for begin in range(0, days, 20):
        store.write({"spans": spans(begin, min(begin + 20, days), 0)})
        store.write({"feedback": outcomes(begin, min(begin + 20, days), 0)})
    match_outcomes(store, KEY_ATTRIBUTE)
    taken: dict[str, list[float]] = {}

    def measure(what: str, work: Callable[[], object]) -> None:
        started = time.process_time()
        work()
        taken.setdefault(what, []).append(time.process_time() - started)

    for run in range(1, runs + 1):
        store.write({"feedback": outcomes(days - 1, days, run)})
        measure(
            f"matching {NEW:,} new outcomes",
            lambda: match_outcomes(store, KEY_ATTRIBUTE, look_back=False),
        )
        measure("looking back for those of them that may have more", lambda: match_outcomes(store, KEY_ATTRIBUTE))
        store.write({"spans": spans(days - 1, days, run)})
        measure(
            f"matching open outcomes with {NEW:,} new spans",
            lambda: match_outcomes(store, KEY_ATTRIBUTE, look_back=False),
        )
    return {what: statistics.median(seconds) for what, seconds in taken.items()}


def numbered(first_day: int, last_day: int) -> pl.DataFrame:
    """One row for each span, or outcome, of some days, with its moment."""
    numbers = pl.DataFrame({"number": range(first_day * A_DAY, last_day * A_DAY)})
    return numbers.with_columns(
        moment=pl.lit(BEGIN) + pl.duration(microseconds=pl.col("number") * (86_400_000_000 // A_DAY))
    )


def hexadecimal(number: pl.Expr, run: int, digits: int) -> pl.Expr:
    """Ids that scatter as random ones do."""
    scattered = (number.cast(pl.UInt64) + run * 10**9).hash(seed=digits)
    digits_of_each = scattered.cast(pl.String).str.zfill(20)
    return (digits_of_each.str.reverse() + digits_of_each).str.slice(0, digits)


def spans(first_day: int, last_day: int, run: int) -> pa.Table:
    """Spans, four to a trace, ten traces to a conversation, each trace with a ticket."""
    number = pl.col("number")
    trace = number // 4
    return (
        numbered(first_day, last_day)
        .select(
            trace_id=hexadecimal(trace, run, 32),
            span_id=hexadecimal(number, run, 16),
            name=pl.lit("chat"),
            kind=pl.lit("CLIENT"),
            start_time=pl.col("moment").cast(pl.Datetime("ns")),
            end_time=pl.col("moment").cast(pl.Datetime("ns")),
            status_code=pl.lit("UNSET"),
            response_id=pl.format("resp-{}-{}", pl.lit(run), number),
            conversation_id=pl.format("conversation-{}", trace // 10),
            attributes=pl.concat_str(pl.lit('{"ticket.id":"T-'), trace, pl.lit('"}')),
            resource_id=pl.lit("r"),
            received_at=pl.col("moment") + timedelta(seconds=run),
        )
        .to_arrow()
    )


def outcomes(first_day: int, last_day: int, run: int) -> pa.Table:
    """Feedback an hour after what it names: spans, traces, answers, conversations, tickets; one in 100 nothing."""
    number = pl.col("number")
    kind = number % 100
    return (
        numbered(first_day, last_day)
        .select(
            event_time=pl.col("moment") + timedelta(hours=1),
            name=pl.lit("thumbs_down"),
            value=pl.lit(1.0),
            label=pl.lit(None, pl.String),
            trace_id=pl.when(kind.is_between(40, 69)).then(hexadecimal(number // 4, 0, 32)),
            span_id=pl.when(kind < 40).then(hexadecimal(number, 0, 16)),
            response_id=pl.when(kind.is_between(70, 79)).then(pl.format("resp-0-{}", number)),
            conversation_id=pl.when(kind.is_between(80, 89)).then(pl.format("conversation-{}", number // 40)),
            key=pl.when(kind.is_between(90, 98)).then(pl.format("T-{}", number // 4))
            .when(kind == 99).then(pl.lit("gone")),
            source=pl.lit("web"),
            comment=pl.lit(None, pl.String),
            attributes=pl.lit(None, pl.String),
            id=pl.format("{}-{}", pl.lit(run), number),
            received_at=pl.col("moment") + timedelta(hours=1),
        )
        .to_arrow()
    )  # fmt: skip


if __name__ == "__main__":
    main()
