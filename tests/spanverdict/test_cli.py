"""The command line: promotions, feedback, reports, SQL; with a server and without."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from analytics import dask_engine
from collector.decode import decode_traces
from collector.rows import span_rows
from sql import statements
from sql.clock import utc_now
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

Cli = Callable[..., Result]

FEEDBACK = """time,name,value,trace_id,key,channel
2026-11-02T10:00:00Z,thumbs_down,1,0123456789abcdef0123456789abcdef,,web
2026-11-02T11:00:00Z,escalated,0,,T-1,mail
"""


def rows(cli: Cli, query: str, *options: object) -> Any:
    """The answer to a query, through the command line."""
    result = cli("sql", query, "--format", "json", *options)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(params=["direct", "server"])
def where(request: pytest.FixtureRequest, db: Path) -> Path:
    """The same store, opened by the command itself or owned by a running server."""
    if request.param == "server":
        request.getfixturevalue("start_server")(db)
    return db


def test_promotions_are_kept(where: Path, cli: Cli) -> None:
    """Added, listed, shown, changed and ended, alike with a server and without; what is said goes to standard error."""
    added = cli(
        "promotion", "add", "p", "--base", "m0", "--candidate", "m1", "--at", "2026-11-02T02:00+02:00",
        "--cohort-by", "app.cohort", "--candidate-share", "0.25", "--planned-end", "2026-11-16",
        "--stratify-by", "app.difficulty", "--stratify-by", "app.language", "--db", where,
    )  # fmt: skip
    assert (added.exit_code, added.stdout) == (0, "")
    assert added.stderr == (
        "Promotion p: m1 beside m0 since 2026-11-02T00:00:00Z, until 2026-11-16T00:00:00Z as planned, by app.cohort, "
        "within each app.difficulty and app.language.\n"
    )
    changed = cli("promotion", "share", "p", "--candidate-share", "0.5", "--at", "2026-11-05")
    assert (changed.exit_code, changed.stdout) == (0, "")
    assert changed.stderr == "Promotion p: from 2026-11-05T00:00:00Z on the candidate's share is 0.5.\n"
    shown = cli("promotion", "show", "p")
    assert (shown.exit_code, shown.stderr) == (0, "")
    promotion = json.loads(shown.stdout)[0]
    assert promotion.pop("created_at")
    assert promotion == {
        "name": "p", "base": "m0", "candidate": "m1", "design": "concurrent", "started_at": "2026-11-02T00:00:00",
        "ended_at": None, "cohort_by": "app.cohort", "candidate_share": 0.25, "dataset": None,
        "planned_end": "2026-11-16T00:00:00", "stratify_by": ["app.difficulty", "app.language"],
        "share_changes": [{"since": "2026-11-05T00:00:00", "candidate_share": 0.5}],
    }  # fmt: skip
    listed = cli("promotion", "list", "--format", "csv")
    assert [row["name"] for row in csv.DictReader(io.StringIO(listed.stdout))] == ["p"]
    ended = cli("promotion", "end", "p", "--at", "2026-11-20")
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert json.loads(cli("promotion", "show", "p").stdout)[0]["ended_at"] == "2026-11-20T00:00:00"


def test_feedback_is_imported_once(where: Path, workdir: Path, cli: Cli) -> None:
    """A file's rows are stored whole and once, alike with a server and without; other columns become attributes."""
    (workdir / "f.csv").write_text(FEEDBACK)
    first = cli("feedback", "import", "f.csv", "--db", where)
    assert (first.exit_code, first.stdout) == (0, "")
    imported, unmatched = first.stderr.splitlines()
    assert imported == "Imported 2 outcomes from f.csv; 0 were there already."
    assert unmatched.startswith("2 of its rows match nothing that is stored yet; 1 have only a key: name its attribute")
    again = cli("feedback", "import", "f.csv")
    assert again.stderr.startswith("Imported 0 outcomes from f.csv; 2 were there already.\n")
    query = (
        "SELECT name, event_time, value, trace_id, key, attributes->>'channel' AS channel FROM feedback ORDER BY name"
    )
    assert rows(cli, query) == [
        {"name": "escalated", "event_time": "2026-11-02T11:00:00", "value": 0.0, "trace_id": None, "key": "T-1",
         "channel": "mail"},
        {"name": "thumbs_down", "event_time": "2026-11-02T10:00:00", "value": 1.0,
         "trace_id": "0123456789abcdef0123456789abcdef", "key": None, "channel": "web"},
    ]  # fmt: skip


def test_a_report_says_what_is_known(incident: Path, cli: Cli, workdir: Path) -> None:
    """A regression exits with 1, every format tells it, and the same report can go to a file."""
    result = cli("report", "p", "--as-of", "2026-11-20", "--format", "json", "--db", incident)
    assert result.exit_code == 1
    stored = re.fullmatch(r"Stored as report [0-9a-f]{32}\.\n", result.stderr)
    assert stored
    report = json.loads(result.stdout, parse_constant=pytest.fail)
    assert report["overall"] == "REGRESSED"
    assert report["cohorts"][0]["cohort"] == "refunds"
    assert report["cohorts"][0]["traces"] == {"base": 400, "candidate": 400}
    verdicts = {metric["metric"]: metric["verdict"] for metric in report["cohorts"][0]["metrics"]}
    assert [name for name, verdict in verdicts.items() if verdict == "REGRESSED"] == ["error_rate"]
    assert verdicts["cost_per_trace"] == "INVALID", "neither model has a price"
    for form, mark in {"table": "error rate", "md": "|", "html": "<!doctype html>", "junit": "<testsuite"}.items():
        shown = cli("report", "p", "--as-of", "2026-11-20", "--format", form, "--out", f"r.{form}")
        assert (shown.exit_code, shown.stdout, shown.stderr) == (1, "", f"Wrote r.{form}.\n{stored[0]}")
        assert mark in (workdir / f"r.{form}").read_text("utf-8").lower()
    assert rows(cli, "SELECT count(*) AS n, min(overall) AS o FROM reports") == [{"n": 1, "o": "REGRESSED"}]


def test_an_engine_that_is_not_there(promoted: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no address is the command's fault; a cluster that does not answer is told as a store would be."""
    wrong = cli("report", "p", "--engine", "ray://h:1", "--db", promoted)
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "'ray://h:1': it is not dask://HOST:PORT, dask+tls://HOST:PORT or dask://local." in wrong.stderr
    monkeypatch.setattr(dask_engine, "CONNECT_SECONDS", 0.3)
    away = cli("report", "p", "--engine", "dask://127.0.0.1:1")
    assert (away.exit_code, away.stdout) == (4, "")
    assert re.fullmatch(r"Error: dask://127\.0\.0\.1:1 cannot be reached: [^\n]+\.\n", away.stderr)


@pytest.mark.parametrize(
    ("name", "mark"),
    [("r.html", "<!doctype html>"), ("r.HTM", "<!doctype html>"), ("r.json", '{\n  "schema_version": 1'),
     ("r.md", "**no verdict on p"), ("r.xml", "<?xml"), ("r.txt", "no verdict on p")],
)  # fmt: skip
def test_the_file_names_the_format(promoted: Path, cli: Cli, workdir: Path, name: str, mark: str) -> None:
    """Without --format a report is what its file's name ends with, else a table; --format wins."""
    assert cli("report", "p", "--out", name, "--db", promoted).stderr.startswith(f"Wrote {name}.\nStored as report ")
    assert (workdir / name).read_text("utf-8").lower().startswith(mark)
    cli("report", "p", "--out", name, "--format", "json")
    assert json.loads((workdir / name).read_text("utf-8"))["overall"] == "INVALID"


def test_a_report_of_the_past_can_be_made_again(incident: Path, cli: Cli, start_server: Callable[..., Any]) -> None:
    """The same moment gives the same fingerprint and verdicts, also through a server; another moment does not."""

    def report(moment: str) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(cli("report", "p", "--as-of", moment, "--format", "json").stdout)
        made.pop("generated_at")
        return made

    first = report("2026-11-05")
    assert report("2026-11-05") == first
    assert report("2026-11-05T00:00:00.000001")["fingerprint"] != first["fingerprint"]
    assert report("2026-11-04")["cohorts"][0]["traces"]["base"] < first["cohorts"][0]["traces"]["base"] < 400
    start_server(incident)
    assert report("2026-11-05") == first


def test_without_traffic_nothing_passes(promoted: Path, cli: Cli) -> None:
    """No data is INVALID, is said, and exits with 3, asked for or not; no metric and no test case is a pass."""
    result = cli("report", "p", "--format", "json")
    assert result.exit_code == 3
    report = json.loads(result.stdout)
    assert report["overall"] == "INVALID"
    assert report["data_watermark"] is None
    metrics = [metric for cohort in report["cohorts"] for metric in cohort["metrics"]]
    assert all(metric["verdict"] in {"INVALID", "INCONCLUSIVE"} for metric in metrics)
    assert all(cohort["decision"] == "hold" for cohort in report["cohorts"])
    assert report["headline"].startswith("No verdict on p")
    assert cli("report", "p", "--fail-on-undecided", "--db", promoted).exit_code == 3
    assert 'tests="1" failures="0" errors="1"' in cli("report", "p", "--format", "junit").stdout


def test_one_arm_alone_does_not_pass(promoted: Path, cli: Cli, fill: Callable[..., None]) -> None:
    """Traffic of the candidate alone decides nothing."""
    fill(promoted, "m1", failing=0)
    result = cli("report", "p", "--as-of", "2026-11-20", "--fail-on-undecided", "--format", "json")
    assert result.exit_code == 3
    metrics = [metric for cohort in json.loads(result.stdout)["cohorts"] for metric in cohort["metrics"]]
    assert {metric["verdict"] for metric in metrics} <= {"INVALID", "INCONCLUSIVE"}


def test_equal_arms_do_not_regress(promoted: Path, cli: Cli, fill: Callable[..., None]) -> None:
    """Two arms of the same quality exit with 0, and something is decided."""
    for model in ("m0", "m1"):
        fill(promoted, model, failing=3)
    result = cli("report", "p", "--as-of", "2026-11-20", "--fail-on-undecided", "--format", "json")
    assert result.exit_code == 0
    assert "REGRESSED" not in result.stdout
    assert "NO_REGRESSION" in result.stdout


def test_sql_in_every_way(where: Path, cli: Cli, workdir: Path) -> None:
    """A query as an argument, from a file, or saved, alike with a server and without."""
    assert rows(cli, "SELECT 41 + 1 AS answer", "--db", where) == [{"answer": 42}]
    (workdir / "q.sql").write_text("-- a comment\nSELECT 'ü' AS text;\n", "utf-8")
    from_file = cli("sql", "-f", "q.sql", "--format", "csv")
    assert (from_file.exit_code, from_file.stdout, from_file.stderr) == (0, "text\nü\n", "")
    assert cli("sql", "FROM spans LIMIT 5").stdout.startswith("trace_id")
    assert rows(cli, "EXPLAIN SELECT 1")[0]["explain_key"]
    for name in statements.query_names():
        assert cli("sql", "--named", name, "--format", "jsonl").exit_code == 0, name


def test_saved_queries_are_listed(cli: Cli) -> None:
    """Every saved query is listed with what it answers, without a store."""
    listed = cli("sql", "--list")
    assert listed.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines())
    assert tuple(lines) == statements.query_names()
    assert all(sentence.endswith(".") for sentence in lines.values())


def test_the_saved_queries_answer_from_traffic(incident: Path, cli: Cli) -> None:
    """The saved queries find the traffic."""
    by_day = json.loads(cli("sql", "--named", "models_by_day", "--format", "json", "--db", incident).stdout)
    assert sum(row["calls"] for row in by_day) == 800
    slowest = json.loads(cli("sql", "--named", "slowest_traces", "--format", "json").stdout)
    assert len(slowest) == 20
    assert slowest == sorted(slowest, key=lambda row: -row["latency_ms"])


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_binary_results_on_standard_output(
    db: Path, command: Callable[..., subprocess.CompletedProcess[str]], workdir: Path, form: str
) -> None:
    """Into a pipe or a file, the bytes of a binary result are whole and nothing else is among them."""
    query = "SELECT range AS n FROM range(1000)"
    done = command("sql", query, "--format", form, "--out", f"n.{form}", "--db", db)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    path = workdir / f"n.{form}"
    read = pq.read_table(path) if form == "parquet" else pa.ipc.open_stream(path).read_all()
    assert read["n"].to_pylist() == list(range(1000))


def test_a_reader_that_leaves_early(db: Path, workdir: Path) -> None:
    """Where nobody reads the output to its end, as with `head`, the command ends quietly."""
    query = "SELECT range AS n FROM range(500000)"
    line = f"{sys.executable} -m spanverdict sql --db '{db}' --format csv '{query}' | true"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False, cwd=workdir, env=environment
    )
    assert done.stderr == ""


def test_results_and_remarks_go_separate_ways(
    incident: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Through real processes: results alone on standard output, with the status of the verdict."""
    done = command("report", "p", "--as-of", "2026-11-20", "--format", "json", "--db", incident)
    assert (done.returncode, done.stderr.partition(" report ")[0]) == (1, "Stored as")
    assert json.loads(done.stdout)["overall"] == "REGRESSED"
    shown = command("report", "p", "--as-of", "2026-11-20")
    assert shown.returncode == 1
    assert "\x1b" not in shown.stdout, "no colour on a pipe"


@pytest.mark.any_store
def test_stored_text_cannot_steer_the_terminal(db: Path, cli: Cli, otlp: Any) -> None:
    """Escapes in a service name are spelled out in the table."""
    request = otlp.request({"name": "\x1b[2J\x1b]0;owned\x07"}, service="evil\rgood")
    with store_at(db) as store:
        store.write(span_rows(decode_traces([request.SerializeToString()]), [None], utc_now()).tables)
    shown = cli("sql", "SELECT service_name, name FROM spans").stdout
    assert r"evil\x0dgood  \x1b[2J\x1b]0;owned\x07" in shown
    assert not set(shown) & {"\x1b", "\r", "\x07"}


def test_reports_are_kept_once(incident: Path, cli: Cli) -> None:
    """Each run is kept with its body; the body is the JSON report."""
    shown = cli("report", "p", "--as-of", "2026-11-20", "--format", "json", "--db", incident).stdout
    kept = rows(cli, "SELECT promotion, as_of, fingerprint, body FROM reports")
    assert len(kept) == 1
    assert json.loads(kept[0]["body"]) == json.loads(shown)
    assert kept[0]["fingerprint"] == json.loads(shown)["fingerprint"]


def test_help_and_version(cli: Cli) -> None:
    """Every command explains itself; -h is --help."""
    for path in (
        (),
        ("demo",),
        ("serve",),
        ("sql",),
        ("feedback",),
        ("feedback", "import"),
        ("promotion",),
        ("report",),
    ):
        shown = cli(*path, "-h")
        assert (shown.exit_code, shown.stderr) == (0, "")
        assert "Usage:" in shown.stdout
    assert cli("--version").stdout.startswith("spanverdict, version 0.")
