"""`spanverdict calibrate`: repeatable, kept in the store, told in the reports of the same configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

pytestmark = pytest.mark.any_store(slow=True)

AS_OF = ("--as-of", "2026-11-20")
FEW = ("--splits", "4", "--injections", "1")
FOOTNOTE = "On your own traffic 4 placebo promotions gave a false REGRESSED in"


@pytest.fixture
def calibrated(promoted: Path, fill: Callable[..., None], cli: Callable[..., Result]) -> Result:
    """A calibration on four hundred traces of the base model."""
    fill(promoted, "m0", failing=20)
    fill(promoted, "m1", failing=20)
    return cli("calibrate", "p", *AS_OF, *FEW)


@pytest.mark.any_store
def test_it_says_what_was_found(calibrated: Result) -> None:
    """The share of false alarms with its limit, and what would have been found of each metric."""
    assert calibrated.exit_code == 0
    assert calibrated.stdout.startswith("4 placebo promotions on your own traffic: ")
    assert "A false REGRESSED in 0 % of them (at most 49.0 %)" in calibrated.stdout
    assert "error_rate" in calibrated.stdout
    assert calibrated.stderr == ""


def test_the_same_again_is_the_same(calibrated: Result, cli: Callable[..., Result], tmp_path: Path) -> None:
    """The same seed gives the same bytes in every format, and is kept once; another seed gives another calibration."""
    assert cli("calibrate", "p", *AS_OF, *FEW).stdout == calibrated.stdout
    stored = "SELECT count(*) AS n FROM calibrations"
    assert json.loads(cli("sql", stored, "--format", "json").stdout) == [{"n": 1}]
    out = tmp_path / "rows.json"
    cli("calibrate", "p", *AS_OF, *FEW, "--format", "json", "--out", out, "--seed", "2")
    assert json.loads(cli("sql", stored, "--format", "json").stdout) == [{"n": 2}]
    rows = json.loads(out.read_text("utf-8"))
    assert {row["cohort"] for row in rows} == {None, "refunds"}
    assert {row["margins"] for row in rows} == {1.0, 2.0}
    assert all(0 <= row["false_alarms"] <= 1 for row in rows)


def test_reports_of_the_same_configuration_tell_it(calibrated: Result, cli: Callable[..., Result]) -> None:
    """The footnote stands in the report; it is gone under another configuration, and before the calibration."""
    assert calibrated.exit_code == 0
    assert FOOTNOTE in " ".join(cli("report", "p", *AS_OF).stdout.split())
    assert FOOTNOTE not in " ".join(cli("report", "p", "--as-of", "2026-11-19").stdout.split())
    told = json.loads(cli("report", "p", *AS_OF, "--format", "json").stdout)["calibration"]
    assert (told["splits"], told["as_of"]) == (4, "2026-11-20T00:00:00Z")
    assert not any("cohorts" in row for row in told["metrics"])
    Path("spanverdict.toml").write_text("[report]\nalpha = 0.01\n", "utf-8")
    assert json.loads(cli("report", "p", *AS_OF, "--format", "json").stdout)["calibration"] is None


def test_what_cannot_be_calibrated_is_refused(
    promoted: Path, fill: Callable[..., None], cli: Callable[..., Result]
) -> None:
    """Too little traffic ends with 3, a wrong name, design or number with 2; each with one sentence, nothing stored."""
    empty = cli("calibrate", "p", *AS_OF)
    assert (empty.exit_code, empty.stderr.count("\n")) == (3, 1)
    assert empty.stderr.startswith("Error: No trace started with m0")
    fill(promoted, "m0", failing=3, traces=100)
    few = cli("calibrate", "p", *AS_OF)
    assert few.exit_code == 3
    assert "wait for more traffic" in few.stderr
    unknown = cli("calibrate", "q", *AS_OF)
    assert (unknown.exit_code, "There is no promotion 'q'" in unknown.stderr) == (2, True)
    more = cli("calibrate", "p", "--splits", "5")
    assert (more.exit_code, "take at most as many" in more.stderr) == (2, True)
    cli("promotion", "add", "paired", "--base", "m0", "--candidate", "m1", "--design", "mirrored")
    paired = cli("calibrate", "paired", *AS_OF)
    assert paired.exit_code == 2
    assert "paired has the design mirrored: a calibration splits users at random" in paired.stderr
    assert json.loads(cli("sql", "SELECT * FROM calibrations", "--format", "json").stdout) == []
