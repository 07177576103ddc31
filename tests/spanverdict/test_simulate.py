"""`spanverdict simulate`: its commands, as printed, give a report that agrees with the truth."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result


def replay(cli: Callable[..., Result], folder: Path, *options: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Simulate, run what it prints, and report once everything is known; returns the report and the truth."""
    printed = cli("simulate", "--out", folder, *options)
    assert printed.exit_code == 0, printed.stderr
    *steps, report = [shlex.split(line)[1:] for line in printed.stdout.splitlines()]
    for step in steps:
        done = cli(*step)
        assert done.exit_code == 0, done.stderr
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    done = cli(*report, "--as-of", truth["all_mature_at"], "--format", "json")
    return json.loads(done.stdout), truth


def test_the_printed_commands_work(cli: Callable[..., Result], tmp_path: Path) -> None:
    """A small run as printed ends in a report on the cohorts that were simulated, in which nothing is wrong."""
    options = ("--scenario", "aa-by-request", "--cohorts", "2", "--days", "3", "--scale", "0.02")
    report, truth = replay(cli, tmp_path / "sim", *options)
    assert [cohort["cohort"] for cohort in report["cohorts"]] == sorted(truth["rates"])
    assert {check["check"] for check in report["checks"] if check["status"] == "fail"} == set()
    verdicts = {metric["verdict"] for cohort in report["cohorts"] for metric in cohort["metrics"]}
    assert verdicts <= {"INCONCLUSIVE", "NO_REGRESSION"}


@pytest.mark.slow
def test_a_regression_is_found_and_nothing_else(cli: Callable[..., Result], tmp_path: Path) -> None:
    """The effect is found where it is, and no other metric of any cohort is said to have changed."""
    report, truth = replay(cli, tmp_path / "sim", "--scenario", "rate-shift", "--cohorts", "2", "--scale", "0.3")
    found = {
        (cohort["cohort"], metric["metric"]): metric["verdict"]
        for cohort in report["cohorts"]
        for metric in cohort["metrics"]
        if metric["verdict"] in {"REGRESSED", "IMPROVED", "INVALID"}
    }
    assert found == {("identity_verification", "task_completion_fail_rate"): "REGRESSED"}
    assert "identity_verification" in truth["affected_cohorts"]
    base = next(cohort["traces"]["base"] for cohort in report["cohorts"])
    assert base > 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "metric"), [("prompt-drift", None), ("evaluator-drift", "task_completion_fail_rate")]
)
def test_a_comparison_that_is_not_valid_says_so(
    cli: Callable[..., Result], tmp_path: Path, scenario: str, metric: str | None
) -> None:
    """The check that the truth names fails, and what it touches is INVALID."""
    options = ("--scenario", scenario, "--cohorts", "1", "--days", "5", "--scale", "0.3")
    report, truth = replay(cli, tmp_path / "sim", *options)
    failed = {check["check"] for check in report["checks"] if check["status"] == "fail"}
    assert failed == set(truth["failing_checks"])
    verdicts = {metric["metric"]: metric["verdict"] for metric in report["cohorts"][0]["metrics"]}
    touched = [metric] if metric else list(verdicts)
    assert {verdicts[name] for name in touched} == {"INVALID"}


def test_the_scenarios_are_listed(cli: Callable[..., Result], tmp_path: Path) -> None:
    """--list names each; without a scenario or a folder one sentence says what is missing."""
    assert "hidden-regression" in cli("simulate", "--list").stdout
    for options in ((), ("--scenario", "aa"), ("--out", tmp_path)):
        refused = cli("simulate", *options)
        assert refused.exit_code == 2
        assert "Name a --scenario" in refused.stderr
