"""Run the benchmarks of docs/performance.md and write what they found into its tables.

Each benchmark is a script that prints what it finds for a person, and its table for this runner
(benchmarks/figures.py). A table stands in the page between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`, with the
commands that made it.

    python benchmarks/run.py [NAME…]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from figures import Row, told

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
MACHINE = "machine"
PACKAGES = ("duckdb", "pyarrow", "polars", "grpcio")
SIGNIFICANT = 3


@dataclass(frozen=True)
class Benchmark:
    """A table of the page.

    Attributes:
        name: what its markers say.
        commands: what is run, one after the other; the rows of all make the table.
    """

    name: str
    commands: tuple[str, ...]


BENCHMARKS = (
    Benchmark(
        "ingest",
        (
            "python benchmarks/ingest.py --runs 3 --requests 240",
            "python benchmarks/ingest.py --runs 3 --requests 160 --spans 64 --content",
            "python benchmarks/ingest.py --runs 3 --requests 6000 --spans 1 --clients 50",
        ),
    ),
    Benchmark("stages", ("python benchmarks/stages.py --groups 20",)),
    Benchmark("stages-content", ("python benchmarks/stages.py --groups 6 --requests 17 --spans 64 --content",)),
    Benchmark("readers", ("python benchmarks/readers.py",)),
    Benchmark("queries", ("python benchmarks/queries.py --spans 500000 --queries 50",)),
    Benchmark("derivation", ("python benchmarks/derivation.py --runs 3 --requests 200",)),
    Benchmark("repeats", ("python benchmarks/repeats.py",)),
    Benchmark("otlp_json", ("python benchmarks/otlp_json.py",)),
    Benchmark("redaction", ("python benchmarks/redaction.py --runs 3 --requests 12",)),
    Benchmark("report_page", ("python -m benchmarks.report_page",)),
)


def rendered(value: str | float) -> str:
    """A cell: numbers to three significant digits, whole ones with separators."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 10**SIGNIFICANT:
        return f"{value:,.0f}"
    return f"{value:.{SIGNIFICANT}g}"


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table; the first row says which columns there are."""
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([rendered(row[name]) for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def machine() -> str:
    """The machine and the versions, as one sentence."""
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, Python {platform.python_version()}, {versions}."


def between(name: str) -> re.Pattern[str]:
    """The part of the page that a benchmark writes, with its markers."""
    return re.compile(rf"(<!-- bench:{re.escape(name)} -->\n).*?(<!-- /bench:{re.escape(name)} -->)", re.DOTALL)


def written(page: str, name: str, text: str) -> str:
    """The page with another text between the markers of a benchmark.

    Raises:
        ValueError: it has no such markers.
    """
    found, count = between(name).subn(lambda match: f"{match[1]}{text}\n{match[2]}", page)
    if count != 1:
        raise ValueError(f"{PAGE} has {count} places for the benchmark {name}; it needs one.")
    return found


def block(benchmark: Benchmark, rows: Sequence[Row]) -> str:
    """The commands of a benchmark and its table."""
    commands = "\n".join(f"    {command}" for command in benchmark.commands)
    return f"\n{commands}\n\n{table(rows)}\n"


def run(benchmark: Benchmark) -> list[Row]:
    """Run a benchmark's commands; what they print is shown.

    Raises:
        SystemExit: one fails, or tells no rows.
    """
    rows = []
    for command in benchmark.commands:
        print(f"$ {command}", flush=True)
        words = [sys.executable, *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, flush=True)
        if done.returncode:
            raise SystemExit(f"{command} ended with {done.returncode}.")
        try:
            rows += told(done.stdout)
        except ValueError as error:
            raise SystemExit(f"{command}: {error}") from error
    return rows


def main() -> None:
    """Run those asked for, all by default, and write the page after each."""
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names = parser.parse_args().names or list(known)
    if unknown := sorted(set(names) - set(known)):
        raise SystemExit(f"There is no benchmark {unknown[0]}; there are {', '.join(known)}.")
    began = time.monotonic()
    for name in names:
        rows = run(known[name])
        page = written(PAGE.read_text("utf-8"), MACHINE, machine())
        PAGE.write_text(written(page, name, block(known[name], rows)), "utf-8")
        print(f"{name} is written; {time.monotonic() - began:.0f} s since the start.\n", flush=True)


if __name__ == "__main__":
    main()
