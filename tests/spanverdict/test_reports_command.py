"""`spanverdict reports`: what was made is listed, shown to the byte, and compared."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import Result

from spanverdict.report_output import is_colored
from sql.address import StoreAddress
from tests.processes import PRODUCT_PATH
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

ROOT = Path(__file__).parents[2]
FIRST_RELEASE = ROOT / "tests" / "analytics" / "report" / "golden" / "first-release.json"
Cli = Callable[..., Result]
MOMENTS = ("2026-11-02T02:00", "2026-11-02T03:00", "2026-11-20")


@pytest.fixture
def made(incident: StoreAddress, cli: Cli) -> list[str]:  # noqa: ARG001 (reported on)
    """The ids of three reports as of MOMENTS: two undecided, then a regression."""
    answers = [cli("report", "p", "--as-of", day) for day in MOMENTS]
    assert [answer.exit_code for answer in answers] == [0, 0, 1]
    return [answer.stderr.removeprefix("Stored as report ").removesuffix(".\n") for answer in answers]


def listed(cli: Cli, *options: object) -> Any:
    """What the list says."""
    result = cli("reports", "list", *options, "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_reports_are_listed_shown_and_compared(
    made: list[str], incident: StoreAddress, cli: Cli, workdir: Path, start_server: Callable[..., Any]
) -> None:
    """Alike with a server and without: every report once, whatever is asked for, to the byte."""

    def everything() -> list[str]:
        shown = [cli("reports", "show", made[-1][:8], "--format", form) for form in ("table", "json", "html")]
        compared = cli("reports", "compare", made[-1], "--format", "json")
        assert [answer.exit_code for answer in (*shown, compared)] == [0, 0, 0, 1]
        return [answer.stdout for answer in (*shown, compared, cli("reports", "list"))]

    rows = listed(cli)
    assert [row["report_id"] for row in rows] == made[::-1]
    assert rows[0] | {"generated_at": None} == {
        "report_id": made[2], "promotion": "p", "as_of": "2026-11-20T00:00:00", "generated_at": None,
        "overall": "REGRESSED", "data_watermark": rows[0]["data_watermark"], "fingerprint": rows[0]["fingerprint"],
        "headline": rows[0]["headline"],
    }  # fmt: skip
    assert rows[0]["headline"].startswith("Roll back p: error rate on refunds rose")
    assert rows[0]["data_watermark"] < "2026-11-20"
    assert [row["report_id"] for row in listed(cli, "p", "--limit", "1")] == [made[2]]
    verdicts = json.loads(cli("sql", "--named", "latest_verdicts", "--format", "json").stdout)
    assert {row["as_of"] for row in verdicts} == {"2026-11-20T00:00:00"}, "of the newest report alone"
    assert (verdicts[0]["metric"], verdicts[0]["verdict"], verdicts[0]["decision"]) == (
        "error_rate", "REGRESSED", "roll_back",
    )  # fmt: skip
    assert len(verdicts) == sum(len(cohort["metrics"]) for cohort in json.loads(everything()[1])["cohorts"])
    direct = everything()
    for form, text in (("table", direct[0]), ("json", direct[1])):
        again = cli("report", "p", "--as-of", MOMENTS[2], "--format", form)
        assert (again.exit_code, again.stdout, again.stderr) == (1, text, f"Stored as report {made[2]}.\n")
    assert len(listed(cli)) == 3, "the same report is kept once"
    told = cli("reports", "show", made[0], "--out", "r.xml")
    assert (told.stdout, told.stderr) == ("", "Wrote r.xml.\n")
    assert (workdir / "r.xml").read_text("utf-8").startswith("<?xml")
    changed_is_said(made, cli)
    start_server(incident)
    assert everything() == direct


def changed_is_said(made: list[str], cli: Cli) -> None:
    """By default beside the report before; a new regression exits with 1, a standing or undecided one with 0."""
    first = cli("reports", "compare", made[0])
    assert first.exit_code == 0
    assert first.stdout.startswith("There is no earlier report of p: 0 new, 0 still, 0 resolved.\n")
    found = json.loads(cli("reports", "compare", made[2], "--format", "json").stdout)
    assert (found["before"]["report_id"], found["after"]["report_id"]) == (made[1], made[2])
    assert found["counts"] == {"new": 1, "still": 0, "resolved": 0, "undecided": 0}
    assert [(each["metric"], each["standing"]) for each in found["regressions"]] == [("error_rate", "new")]
    assert found["regressions"][0]["before"]["verdict"] == "INCONCLUSIVE"
    assert found["decisions"] == [{"cohort": "refunds", "before": "hold", "after": "roll_back"}]
    assert {"cohort": "refunds", "metric": "latency_p50", "before": "INCONCLUSIVE", "after": "NO_REGRESSION"} in found[
        "verdicts"
    ]
    table = cli("reports", "compare", made[2]).stdout.splitlines()
    assert table[0] == "Since the report as of 2026-11-02T03:00:00Z: 1 new, 0 still, 0 resolved."
    assert "  new  error_rate on refunds" in table
    assert "  refunds: hold → roll back" in table
    markdown = cli("reports", "compare", made[2], "--format", "md").stdout
    assert "- **new** `error_rate` on `refunds`: inconclusive → REGRESSED; effect was +" in markdown
    still = cli("reports", "compare", made[2], made[2])
    assert still.exit_code == 0
    assert still.stdout.splitlines()[0].endswith("Z: 0 new, 1 still, 0 resolved.")
    back = cli("reports", "compare", made[1], made[2])
    assert (back.exit_code, "1 undecided." in back.stdout) == (0, True)


def keep(path: StoreAddress, **bodies: str) -> None:
    """Put documents into a store under ids, as a release of their own would have."""
    row = {"promotion": "p", "as_of": datetime(2026, 11, 16), "generated_at": datetime(2026, 11, 16, 7, 30),
           "data_watermark": None, "fingerprint": "f", "overall": "REGRESSED"}  # fmt: skip
    rows = [row | {"report_id": identity, "body": body} for identity, body in bodies.items()]
    columns = ["report_id", "promotion", "as_of", "generated_at", "data_watermark", "fingerprint", "overall", "body"]
    with store_at(path) as store:
        store.write({"reports": pa.table({name: [each[name] for each in rows] for name in columns})})


def test_what_cannot_be_shown_is_said(promoted: StoreAddress, cli: Cli) -> None:
    """Unknown and ambiguous ids, unknown promotions, and documents that this release cannot read, as a sentence."""
    keep(promoted, ab1='{"schema_version": 2}', ab2='{"schema_version": 1}', ab3="[]")
    for given, said in {
        "zzz": "There is no report 'zzz' in the store; see `spanverdict reports list`.",
        "": "There is no report '' in the store; see `spanverdict reports list`.",
        "AB": "Several reports begin with 'AB' (ab1, ab2, ab3): give more of the identity.",
        "ab1": "Report ab1 cannot be shown: the report has schema version 2; this release reads 1.",
        "ab2": "Report ab2 cannot be shown: the document is no report: KeyError('promotion').",
        "ab3": "Report ab3 cannot be shown: the report has schema version None; this release reads 1.",
    }.items():
        for command in ("show", "compare"):
            answer = cli("reports", command, given)
            assert (answer.exit_code, answer.stdout, answer.stderr) == (2, "", f"Error: {said}\n")
    assert [row["headline"] for row in listed(cli)] == [None] * 3
    unknown = cli("reports", "list", "q")
    assert (unknown.exit_code, unknown.stderr[:32]) == (2, "Error: There is no promotion 'q'")


@pytest.mark.any_store
def test_a_document_of_the_first_release_is_shown(promoted: StoreAddress, cli: Cli) -> None:
    """As JSON what it wrote, to the byte, and in every other format what this release makes of it."""
    body = FIRST_RELEASE.read_text("utf-8")
    keep(promoted, c0ffee=body)
    assert cli("reports", "show", "c0", "--format", "json").stdout == body
    assert cli("reports", "show", "c0").stdout.startswith("Hold refunds-v2, roll back policy_exception: groundedness")
    assert cli("reports", "compare", "c0").stdout.startswith("There is no earlier report of refunds-v2: 2 new,")


@pytest.mark.usefixtures("promoted")
def test_a_promotion_without_reports_has_an_empty_list(cli: Cli) -> None:
    """That is no fault."""
    assert listed(cli, "p") == []


@pytest.mark.any_store
def test_the_schema_is_printed(cli: Cli) -> None:
    """The published schema, and a report of the command is valid under it."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 (not to be loaded for the others)

    result = cli("reports", "schema")
    assert result.exit_code == 0
    Draft202012Validator.check_schema(json.loads(result.stdout))


def test_colour_is_for_terminals_that_want_it(
    promoted: StoreAddress, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal verdicts are coloured, unless NO_COLOR or a terminal without colours says otherwise."""
    keep(promoted, c0ffee=FIRST_RELEASE.read_text("utf-8"))
    reader, writer = pty.openpty()
    with os.fdopen(reader, "rb", buffering=0) as screen, os.fdopen(writer, "w") as terminal:
        done = subprocess.run(
            [sys.executable, "-m", "spanverdict", "reports", "show", "c0ffee"], stdout=terminal, cwd=workdir,
            env={**os.environ, "PYTHONPATH": PRODUCT_PATH, "TERM": "xterm", "NO_COLOR": ""}, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0
        assert b"\x1b[1;31mREGRESSED" in screen.read(65_536)
        monkeypatch.setattr(sys, "stdout", terminal)
        for name, value, colored in (("NO_COLOR", "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)):
            with monkeypatch.context() as changed:
                changed.setenv("TERM", "xterm")
                changed.setenv("NO_COLOR", "")
                changed.setenv(name, value)
                assert is_colored(None) is colored
                assert not is_colored(Path("r.txt"))
