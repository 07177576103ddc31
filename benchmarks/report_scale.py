"""A report on millions of spans beside one bare query of DuckDB over the same columns, and the next day's report.

The bare query groups the spans by trace, then by cohort, model and day. The report runs twice: on the first days, and
again after one more. What `derive` takes is timed apart: a server does that while spans come in. Each of them is a
process of its own; times are those of the clock, with the processor time and the peak memory of the process.

    python benchmarks/report_scale.py [--spans 10000000] [--days 14] [--memory 2GB]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from large_store import BEGIN, fill

PROMOTION = "large"
REPORTED = (0, 1)
SPANVERDICT = [sys.executable, "-m", "spanverdict"]

RATIO, LATER_RATIO, MIB = 3.0, 0.1, 2048
"""What is asked for: of the first report in bare queries, of the second in firsts, and of either's memory."""

BARE = """
WITH traces AS (
    SELECT
        trace_id, min(start_time) AS start_time, max(end_time) AS end_time,
        max(json_extract_string(attributes, '/app.cohort')) AS cohort, max(user_id) AS user_id,
        max(request_model) AS model, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
        bool_or(parent_span_id IS NULL AND status_code = 'ERROR') AS error,
        max(duration_ns) FILTER (parent_span_id IS NULL) AS duration_ns,
        count(*) FILTER (gen_ai_span_kind = 'LLM') AS calls
    FROM spans
    GROUP BY trace_id
)
SELECT
    cohort, model, date_trunc('day', start_time) AS day, count(*), count(DISTINCT user_id), avg(error::INTEGER),
    quantile_cont(duration_ns, [0.5, 0.95, 0.99]), avg(input_tokens), avg(output_tokens), avg(calls)
FROM traces
GROUP BY ALL
"""


class Run(NamedTuple):
    """What a process took: seconds, seconds of processor time, and peak memory in MiB."""

    seconds: float
    processor: float
    mib: float


def run(command: list[str], expected: tuple[int, ...] = (0,)) -> Run:
    """Run a command whose output nobody reads; ends the benchmark where it fails."""
    with tempfile.TemporaryFile() as said:
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in expected:
            said.seek(0)
            raise SystemExit(f"{command} ended with {process.returncode}:\n{said.read().decode()}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def bare(store: Path, memory: str) -> Run:
    """The bare query in a process of its own, its start left out."""
    script = (
        "import duckdb, sys, time\n"
        "database = duckdb.connect(sys.argv[1], read_only=True, config={'memory_limit': sys.argv[2]})\n"
        "begun = time.monotonic()\n"
        "database.execute(sys.argv[3]).fetchall()\n"
        "open(sys.argv[4], 'w').write(str(time.monotonic() - begun))\n"
    )
    with tempfile.NamedTemporaryFile() as told:
        took = run([sys.executable, "-c", script, str(store), memory, BARE, told.name])
        return took._replace(seconds=float(Path(told.name).read_text("utf-8")))


def main() -> None:
    """Run, and print a line for each process and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--memory", default="2GB", help="what DuckDB may take for the bare query")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "large.duckdb"
        common = ["--db", str(store)]
        fill(store, options.spans, days=options.days)

        def told(what: str, took: Run) -> Run:
            print(f"{what:<28}{took.seconds:8.2f} s {took.processor:8.2f} s {took.mib:8,.0f} MiB", flush=True)
            return took

        def report(days: int) -> list[str]:
            as_of = (BEGIN + timedelta(days=days)).isoformat()
            return [*SPANVERDICT, "report", PROMOTION, "--as-of", as_of, "--format", "json", *common]

        print(f"{'':<28}{'clock':>10} {'processor':>10} {'peak':>12}")
        query = min(told("bare query", bare(store, options.memory)) for _ in range(2))
        told("derive, from nothing", run([*SPANVERDICT, "derive", *common]))
        first = told("report", run(report(options.days), REPORTED))
        fill(store, options.spans // options.days, days=1, first_day=options.days)
        told("derive, one more day", run([*SPANVERDICT, "derive", *common]))
        second = told("report, one more day", run(report(options.days + 1), REPORTED))
    for what, found, asked in (
        ("report in bare queries", first.seconds / query.seconds, RATIO),
        ("second report in firsts", second.seconds / first.seconds, LATER_RATIO),
        ("peak memory, MiB", max(first.mib, second.mib), MIB),
    ):
        print(f"{what}: {found:,.2f} (at most {asked:,.2f}: {'reached' if found <= asked else 'not reached'})")


if __name__ == "__main__":
    main()
