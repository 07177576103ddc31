"""How seldom the tests are wrong and how soon they are right, beside ordinary tests, and the bars they are held to.

    python benchmarks/detection.py [--rows A1,P3,S1] [--families 300] [--runs 300] [--jobs 1] [--data DIR] [--check]

Families of cells with a known truth are drawn as sums (`analytics.simulation.family`) and given to the product's own
tests. `--data` is a folder with the Azure LLM inference traces (AzureLLMInferenceTrace_code.csv.gz and _conv.csv.gz).
Prints the tables of docs/statistics.md; with `--check` the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import false_alarms
import gates
import no_regression
import power
import traps
from criteria import Found, Options, acceptance

ROWS: dict[str, Callable[[Options], list[Found]]] = {
    "A1": false_alarms.a1,
    "A2": false_alarms.a2,
    "A3": false_alarms.a3,
    "A4": false_alarms.a4,
    **{code: partial(power.row, code) for code in power.BARS},
    "P9": no_regression.pairs,
    "T1": traps.t1,
    "T2": traps.t2,
    "T3": gates.t3,
    "T4": traps.t4,
    "T5": gates.t5,
    "T6": traps.t6,
    "B1": traps.b1,
    "B2": traps.b2,
    "N1": no_regression.n1,
    "N2": no_regression.n2,
    "S1": no_regression.s1,
}
TABLES: dict[str, tuple[str, Callable[[Options], str]]] = {
    "A1": ("Families with a false alarm, worse / better, in %", false_alarms.table),
    "P1": ("Regressions found within 14 days at alpha .05/240, and the median day", power.table),
    "N2": ("Said to be free of a regression within 14 days", no_regression.table),
}


def main() -> None:
    """Run the rows and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="which criteria, by their short names")
    parser.add_argument("--families", type=int, default=300, help="A/A families of each design")
    parser.add_argument("--runs", type=int, default=300, help="runs of each regression and trap")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--data", type=Path, help="folder with the Azure LLM inference traces")
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a bar is missed")
    given = parser.parse_args()
    options = Options(given.families, given.runs, given.jobs, given.data)
    codes = [code.strip() for code in given.rows.split(",")]
    if unknown := [code for code in codes if code not in ROWS]:
        parser.error(f"no row is called {', '.join(unknown)}; there are {', '.join(ROWS)}")
    found: list[Found] = []
    for code in codes:
        started = time.monotonic()
        found += ROWS[code](options)
        print(f"{code}: {time.monotonic() - started:.0f} s", file=sys.stderr)
        if code in TABLES:
            title, table = TABLES[code]
            print(f"{title}\n\n{table(options)}\n", flush=True)
    print(acceptance(found))
    if given.check and any(one.reached is False for one in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
