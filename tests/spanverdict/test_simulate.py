"""`spanverdict simulate`: its commands, as printed, give a report that agrees with the truth."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from analytics.simulation.scenarios import SCENARIOS
from analytics.simulation.scoring import score

LARGE = 400
"""Traces a day and arm with which the effects of the scenarios are found."""


def replay(
    cli: Callable[..., Result], folder: Path, *options: object, every: int | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Simulate, run what it prints, and report.

    Args:
        cli: runs a command.
        folder: to simulate into.
        options: of ``simulate``.
        every: days from one look to the next; None looks only once everything is known.

    Returns:
        The truth, and the reports by time, the last one once everything is known.
    """
    printed = cli("simulate", "--out", folder, *options)
    assert printed.exit_code == 0, printed.stderr
    *steps, report = [shlex.split(line)[1:] for line in printed.stdout.splitlines()]
    for step in steps:
        done = cli(*step)
        assert done.exit_code == 0, done.stderr
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    looks = [] if every is None else truth["looks"][every - 1 :: every]
    answers = [cli(*report, "--as-of", look, "--format", "json") for look in (*looks, truth["all_mature_at"])]
    return truth, [json.loads(answer.stdout) for answer in answers]


def test_the_printed_commands_work(cli: Callable[..., Result], tmp_path: Path) -> None:
    """A small run as printed ends in a report on the cohorts that were simulated, in which nothing is wrong."""
    options = ("--scenario", "aa-by-request", "--cohorts", "2", "--days", "3", "--scale", "0.02")
    truth, (report,) = replay(cli, tmp_path / "sim", *options)
    assert [cohort["cohort"] for cohort in report["cohorts"]] == sorted(truth["rates"])
    assert {check["check"] for check in report["checks"] if check["status"] == "fail"} == set()
    verdicts = {metric["verdict"] for cohort in report["cohorts"] for metric in cohort["metrics"]}
    assert verdicts <= {"INCONCLUSIVE", "NO_REGRESSION"}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("mirrored", ("--days", 10, "--scale", 0.4), marks=pytest.mark.slow),
        pytest.param("mix-shift", ("--days", 3, "--scale", 0.1), marks=pytest.mark.slow),
        ("prompt-drift", ("--days", 3, "--scale", 0.05)),
    ],
)
def test_effects_are_found_and_traps_seen(
    cli: Callable[..., Result], tmp_path: Path, name: str, size: tuple[object, ...]
) -> None:
    """At every look no verdict is false; by the last one the effects are told and the checks fail that have to."""
    found = score(*replay(cli, tmp_path / "sim", "--scenario", name, "--cohorts", 1, *size, every=3))
    assert (found.false_verdicts, found.false_passes, found.not_fired, found.unexpected) == ((), (), (), ())
    told, effects = found.found()
    assert told == effects
    assert (found.invalid > 0) == bool(SCENARIOS[name].checks)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_agrees_with_its_truth(cli: Callable[..., Result], tmp_path: Path, name: str) -> None:
    """No false verdict at weekly looks, the checks fail that have to, and what has traffic enough is told."""
    options = ("--scenario", name, "--seed", 11, "--cohorts", 2, "--scale", 0.3)
    found = score(*replay(cli, tmp_path / "sim", *options, every=7))
    assert (found.false_verdicts, found.not_fired) == ((), ())
    assert found.false_passes == () or name == "p99-only"
    # The second cohort has 450 traces a day and arm.
    told, effects = found.found(LARGE)
    assert told == effects
    assert found.invalid < 1 or SCENARIOS[name].checks


def test_the_scenarios_are_listed(cli: Callable[..., Result], tmp_path: Path) -> None:
    """--list names each; without a scenario or a folder one sentence says what is missing."""
    assert "hidden-regression" in cli("simulate", "--list").stdout
    for options in ((), ("--scenario", "aa"), ("--out", tmp_path)):
        refused = cli("simulate", *options)
        assert refused.exit_code == 2
        assert "Name a --scenario" in refused.stderr
