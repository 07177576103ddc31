"""`spanverdict demo`: the sample incident, end to end, as a person would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from analytics.report.schema import text
from sql.server_file import server_file
from sql.store import Store
from tests.processes import PRODUCT_PATH

ROOT = Path(__file__).parents[2]
STORE = "demo.duckdb"
STORIES = {
    ("chargeback", "task_completion_fail_rate", "IMPROVED"),
    ("policy_exception", "groundedness_fail_rate", "REGRESSED"),
    ("identity_verification", "schema_repair_rate", "REGRESSED"),
    ("identity_verification", "latency_p99", "REGRESSED"),
}
REPORT_KEYS = {"schema_version", "promotion", "generated_at", "as_of", "data_watermark", "fingerprint", "alpha",
               "overall", "checks", "cohorts"}  # fmt: skip
PROMOTION_KEYS = {"name", "base", "candidate", "design", "at", "cohort_by"}
CHECK_KEYS = {"check", "cohort", "status", "detail"}
COHORT_KEYS = {"cohort", "decision", "traces", "metrics"}
METRIC_KEYS = {"metric", "verdict", "reason", "base", "candidate", "effect", "interval", "margin", "unit",
               "more_traces_needed", "smallest_detectable", "exemplars"}  # fmt: skip


@dataclass(frozen=True)
class Demo:
    """One run of the demo: what it printed, what it left, how long it took."""

    done: subprocess.CompletedProcess[str]
    folder: Path
    report: dict[str, Any]
    seconds: float


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo in its own process."""
    command = [sys.executable, "-m", "spanverdict", "demo", "--dir", str(folder), "--no-browser"]
    # As wide as the README shows it, whatever terminal the tests run in.
    environment = {**os.environ, "PYTHONPATH": PRODUCT_PATH, "COLUMNS": "100"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=180, check=False, cwd=folder.parent, env=environment
    )


def measured(folder: Path) -> Demo:
    """Run the demo and read what it left."""
    begun = time.monotonic()
    done = run(folder)
    seconds = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "report.json").read_text("utf-8"), parse_constant=pytest.fail)
    return Demo(done, folder, report, seconds)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The first run."""
    return measured(tmp_path_factory.mktemp("demo") / "made")


@pytest.fixture(scope="module")
def again(demo: Demo) -> Demo:
    """A second run in the same folder."""
    return measured(demo.folder)


def test_it_tells_the_four_stories(demo: Demo) -> None:
    """The verdicts are those that the sample was made to show, and nothing contradicts its truth."""
    found = {
        (cohort["cohort"], metric["metric"], metric["verdict"])
        for cohort in demo.report["cohorts"]
        for metric in cohort["metrics"]
    }
    assert found >= STORIES
    assert {verdict for cohort, _, verdict in found if cohort == "out_of_domain"} == {"INCONCLUSIVE"}
    assert demo.report["overall"] == "REGRESSED"
    assert "NOT FOUND" not in demo.done.stdout
    assert demo.done.stdout.count(": found\n") >= len(STORIES)
    assert "  other verdicts against the truth: none\n" in demo.done.stdout


def test_it_tells_where_each_story_begins(demo: Demo) -> None:
    """What the sample does to the answering call is found there: claims, schema failures, the slow path."""
    begins = {
        (cohort["cohort"], metric["metric"]): metric["attribution"]["begins_at"]
        for cohort in demo.report["cohorts"]
        for metric in cohort["metrics"]
        if metric["verdict"] == "REGRESSED"
    }
    symptoms = {
        ("policy_exception", "groundedness_fail_rate"): "Groundedness failures",
        ("identity_verification", "json_validation_fail_rate"): "JSONValidation failures",
        ("identity_verification", "schema_repair_rate"): "JSONValidation failures",
        ("identity_verification", "latency_p95"): "own time in the slowest 25 % of traces",
        ("identity_verification", "latency_p99"): "own time in the slowest 5 % of traces",
    }
    assert {cell: (step["step"], step["symptom"]) for cell, step in begins.items()} == {
        cell: ("answer", symptom) for cell, symptom in symptoms.items()
    }


def test_it_takes_less_than_a_minute(demo: Demo) -> None:
    """From the command to the report."""
    assert demo.seconds < 60


def test_results_and_progress_go_separate_ways(demo: Demo) -> None:
    """The table and the paths are on standard output; what was sent and imported is said on standard error."""
    assert demo.done.stdout.startswith("Hold refunds-v2")
    assert f"Report: {demo.folder.resolve() / 'report.html'}\n" in demo.done.stdout
    assert "\x1b" not in demo.done.stdout
    assert "each acknowledged after its commit" in demo.done.stderr
    assert "outcomes from feedback.csv" in demo.done.stderr
    assert "Traceback" not in demo.done.stderr


def test_the_json_is_the_contract(demo: Demo) -> None:
    """report.json has every key of schema version 1, its words and its shapes."""
    report = demo.report
    Draft202012Validator(json.loads(text())).validate(report)
    assert set(report) >= REPORT_KEYS
    assert report["schema_version"] == 1
    assert set(report["promotion"]) >= PROMOTION_KEYS
    assert all(set(check) >= CHECK_KEYS for check in report["checks"])
    assert {check["status"] for check in report["checks"]} <= {"pass", "warn", "fail"}
    for cohort in report["cohorts"]:
        assert set(cohort) >= COHORT_KEYS
        assert cohort["decision"] in {"promote", "hold", "roll_back"}
        assert set(cohort["traces"]) == {"base", "candidate"}
        for metric in cohort["metrics"]:
            assert set(metric) >= METRIC_KEYS
            assert metric["unit"] in {"rate", "ms", "usd", "tokens"}
            assert set(metric["base"]) == set(metric["candidate"]) == {"n", "value"}
            assert metric["reason"].endswith(".")
            if metric["interval"] is not None:
                low, high = metric["interval"]
                assert low <= metric["effect"] <= high
            if metric["verdict"] == "REGRESSED":
                assert metric["exemplars"]["candidate"]


def test_the_page_is_whole(demo: Demo) -> None:
    """report.html stands alone: a document without scripts of others or addresses to load."""
    page = (demo.folder / "report.html").read_text("utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert "policy_exception" in page
    assert "<script src" not in page
    assert "http://" not in page.replace("http://www.w3.org/", "")


def test_the_store_can_be_asked(demo: Demo) -> None:
    """The server is gone, its store is whole, and the exemplars of the report are traces in it."""
    path = demo.folder / STORE
    assert f"spanverdict sql --db {path} " in demo.done.stdout
    assert not server_file(path).exists()
    shown = {
        trace
        for cohort in demo.report["cohorts"]
        for metric in cohort["metrics"]
        for traces in metric["exemplars"].values()
        for trace in traces
    }
    with Store(path, read_only=True) as store:
        stored = set(store.read("SELECT DISTINCT trace_id FROM spans")["trace_id"].to_pylist())
        reports = store.read("SELECT fingerprint FROM reports")["fingerprint"].to_pylist()
    assert shown
    assert shown <= stored
    assert reports == [demo.report["fingerprint"]]


@pytest.mark.slow
def test_it_can_be_run_again(demo: Demo, again: Demo) -> None:
    """A second run in the same folder replaces the first and comes to the same, bit by bit."""
    changed = {"generated_at"}
    assert {key: value for key, value in again.report.items() if key not in changed} == {
        key: value for key, value in demo.report.items() if key not in changed
    }
    assert "  other verdicts against the truth: none\n" in again.done.stdout


def test_it_leaves_a_running_server_alone(tmp_path: Path, start_server: Callable[..., Any]) -> None:
    """Where a server runs on the demo's store, the demo says so, exits with 4 and touches nothing."""
    folder = tmp_path / "busy"
    folder.mkdir()
    server = start_server(folder / STORE)
    done = run(folder)
    assert (done.returncode, done.stdout) == (4, "")
    assert "A server runs on" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert server.sql("SELECT count(*) AS n FROM spans") == [{"n": 0}]


def test_it_replaces_only_its_own_files(tmp_path: Path) -> None:
    """A store that no demo made is left as it is, and the demo says so and exits with 4."""
    folder = tmp_path / "mine"
    folder.mkdir()
    Store(folder / STORE).close()
    before = (folder / STORE).read_bytes()
    done = run(folder)
    assert (done.returncode, done.stdout) == (4, "")
    assert "was not made by a demo" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (folder / STORE).read_bytes() == before


def test_the_readme_shows_what_it_prints(demo: Demo) -> None:
    """Every line of the README's transcript is one that the demo printed, in that order."""
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = next(part for part in readme.split("```\n") if part.startswith("Hold refunds-v2")).splitlines()
    printed = iter(line.rstrip() for line in demo.done.stdout.splitlines())
    assert [line for line in shown if line != "…" and line not in printed] == []
    assert len(shown) > 30
