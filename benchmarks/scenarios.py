"""Simulated promotions end to end through the command line, and their verdicts held against the truth.

For each scenario and seed: simulate, run the commands that it prints, report as of each day, score. The exit status
is 1 if a trap, or a promotion between equal models, led to a false verdict at any look.

    python benchmarks/scenarios.py [--scenarios aa,mix-shift] [--seeds 1,2] [--scale 0.3] [--cohorts 4] [--every 1]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from analytics.simulation.scenarios import SCENARIOS
from analytics.simulation.scoring import Score, score
from spanverdict.cli import main as command_line

ROOT = Path(__file__).parents[1]
REPORTED = (0, 1, 3)
"""Exit statuses of a report that was made: nothing regressed, something did, there are no data yet."""

Command = Callable[..., str]
"""Runs one command of the product and returns what it printed."""


def main() -> None:
    """Run what was asked for, and print a line for each run and a table at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="names, by commas; all by default")
    parser.add_argument("--seeds", default="1", help="numbers, by commas")
    parser.add_argument("--scale", default="0.3", help="what the traffic is multiplied by")
    parser.add_argument("--cohorts", default="4", help="how many cohorts")
    parser.add_argument("--days", default="14", help="days after the promotion")
    parser.add_argument("--every", type=int, default=1, help="days from one look to the next")
    parser.add_argument("--least", type=float, default=400.0, help="traces a day and arm from which an effect counts")
    parser.add_argument("--in-process", action="store_true", help="run the commands in this process, without starts")
    options = parser.parse_args()
    size = ("--scale", options.scale, "--cohorts", options.cohorts, "--days", options.days)
    failed = False
    rows = []
    for name in options.scenarios.split(","):
        for seed in options.seeds.split(","):
            with tempfile.TemporaryDirectory() as directory:
                folder = Path(directory)
                run = in_this_process(folder) if options.in_process else in_own_processes(folder)
                begun = time.monotonic()
                truth, reports = replay(run, folder / "sim", ("--scenario", name, "--seed", seed, *size), options.every)
                took = time.monotonic() - begun
            found = score(truth, reports)
            failed = failed or (truth["is_trap"] and bool(found.false_verdicts))
            rows.append(row(name, seed, found, options.least, took))
            print(rows[-1], flush=True)
            tell(found)
    print()
    print("| scenario, seed | false | passed | found | median day | checks that failed | warned | invalid | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    sys.exit(1 if failed else 0)


def in_own_processes(folder: Path) -> Command:
    """Runs each command in a process of its own, as a person would."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "spanverdict", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        return checked(arguments, done.returncode, done.stdout, done.stderr)

    return run


def in_this_process(folder: Path) -> Command:
    """Runs each command in this process: the same code without the time that a start takes."""

    def run(*arguments: str) -> str:
        # The store and the configuration are looked for in the working directory.
        with contextlib.chdir(folder):
            done = CliRunner().invoke(command_line, list(arguments), prog_name="spanverdict")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return checked(arguments, done.exit_code, done.stdout, done.stderr)

    return run


def checked(arguments: tuple[str, ...], status: int, printed: str, said: str) -> str:
    """What a command printed; ends the benchmark if it did not do what it was asked to."""
    if status not in (REPORTED if "report" in arguments else (0,)):
        sys.exit(f"spanverdict {shlex.join(arguments)} ended with {status}:\n{said}")
    return printed


def replay(
    run: Command, simulated: Path, options: tuple[str, ...], every: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Simulate, run what that prints, and report at the looks and once everything is known.

    Args:
        run: runs a command.
        simulated: the folder to simulate into.
        options: of ``simulate``.
        every: days from one look to the next.

    Returns:
        The truth, and the reports by time.
    """
    printed = run("simulate", "--out", str(simulated), *options)
    *steps, report = [shlex.split(line)[1:] for line in printed.splitlines()]
    for step in steps:
        run(*step)
    truth = json.loads((simulated / "truth.json").read_text("utf-8"))
    days = truth["looks"]
    looks = [look for number, look in enumerate(days, 1) if number % every == 0 or number == len(days)]
    answers = [run(*report, "--as-of", look, "--format", "json") for look in (*looks, truth["all_mature_at"])]
    return truth, [json.loads(answer) for answer in answers]


def row(name: str, seed: str, found: Score, least: float, took: float) -> str:
    """A run as a line of the table."""
    of_all, large = found.found(), found.found(least)
    effects = "" if not found.effects else f"{of_all[0]}/{of_all[1]}, large {large[0]}/{large[1]}"
    missing = "".join(f", **not {check}**" for check in found.not_fired)
    return (
        f"| {name}, {seed} | {len(found.false_verdicts)} | {len(found.false_passes)} | {effects} |"
        f" {'' if found.median_day is None else f'{found.median_day:g}'} | {', '.join(found.fired)}{missing} |"
        f" {', '.join(found.warned)} | {found.invalid:.0%} | {took:.0f} |"
    )


def tell(found: Score) -> None:
    """Name what was false."""
    for what, cells in (("false", found.false_verdicts), ("passed", found.false_passes)):
        for cell in cells:
            print(f"  {what}: {cell.verdict} for {cell.metric} of {cell.cohort} on day {cell.day}")


if __name__ == "__main__":
    main()
