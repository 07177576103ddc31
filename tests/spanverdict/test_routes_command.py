"""`spanverdict routes`: from a stored report to a gateway's file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from analytics.promotions import Promotion, end_row, promotion_row
from analytics.report.model import CohortResult, Decision, Report, Verdict
from analytics.stored_reports import report_id, store_report
from spanverdict.cli import main
from sql.address import StoreAddress
from sql.clock import utc_now
from tests.spanverdict.conftest import DEFAULT, MadeOnce
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

TUNED = "ft:gpt-base:acme::7q"
PRESENT = """# Ours, by hand
model_list:
- model_name: other   # keep
  litellm_params: {model: openai/other}
# the router
router_settings:
  num_retries: 2
guardrails:
- guardrail_name: pii
  litellm_params: {guardrail: presidio, mode: pre_call}
"""
CONFIG = f"""
[routes]
model_name = "refunds"
[routes.models."{TUNED}"]
litellm = {{ api_key = "os.environ/OPENAI_API_KEY" }}
"""

Run = Callable[..., Result]


def report(as_of: datetime, **decisions: Decision) -> Report:
    """A report of these decisions."""
    promotion = Promotion(
        "refunds-v2", "gpt-base", TUNED, "concurrent", as_of - timedelta(days=14), None, "app.cohort", 0.5
    )
    cohorts = tuple(
        CohortResult(name, decision, "It is so.", {"base": 9, "candidate": 9}, ())
        for name, decision in sorted(decisions.items())
    )
    return Report(promotion, as_of, as_of, None, "f00d", 0.05, Verdict.INCONCLUSIVE, (), cohorts)


@pytest.fixture(scope="module")
def newest() -> Report:
    """A report of now: chargeback is promoted, policy_exception rolled back, gift_card held."""
    return report(
        utc_now().replace(microsecond=0),
        chargeback=Decision.PROMOTE,
        policy_exception=Decision.ROLL_BACK,
        gift_card=Decision.HOLD,
    )


@pytest.fixture
def stored(newest: Report, made_once: MadeOnce) -> Report:
    """The newest report of the store, in which there is another one of three days before."""

    def make(address: StoreAddress) -> None:
        older = replace(newest, as_of=newest.as_of - timedelta(days=3), cohorts=newest.cohorts[:1])
        with store_at(address) as store:
            store.write({"promotions": promotion_row(newest.promotion, utc_now())})
            store_report(store, newest)
            store_report(store, older)

    made_once(f"reports-{newest.as_of:%Y%m%d%H%M%S}", make)
    return newest


@pytest.fixture
def run(workdir: Path) -> Run:
    """Runs `spanverdict routes refunds-v2` with options, in the folder's store."""
    (workdir / "c.toml").write_text(CONFIG)

    def call(*options: str, name: str = "refunds-v2") -> Result:
        return CliRunner().invoke(main, ["routes", name, "--config", "c.toml", *options])

    return call


@pytest.mark.any_store
def test_the_newest_report_becomes_a_plan(run: Run, stored: Report) -> None:
    """Without options: the plan as JSON on standard output, who goes where and why on standard error."""
    result = run()
    assert result.exit_code == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["report_id"] == report_id(stored)
    models = {route["cohort"]: [(each["model"], each["share"]) for each in route["models"]] for route in plan["routes"]}
    assert models == {
        "chargeback": [(TUNED, 1.0)],
        "gift_card": [(TUNED, 0.5), ("gpt-base", 0.5)],
        "policy_exception": [("gpt-base", 1.0)],
    }
    assert "'policy_exception': gpt-base. Rolled back: It is so." in result.stderr


@pytest.mark.usefixtures("stored")
def test_a_file_is_changed_once(run: Run, tmp_path: Path) -> None:
    """--apply-to changes what is ours, keeps the rest, and leaves a file alone that says so already."""
    path = tmp_path / "litellm.yaml"
    path.write_text(PRESENT)
    first = run("--apply-to", str(path))
    assert first.exit_code == 0, first.stderr
    assert (first.stdout, "+- model_name: refunds" in first.stderr) == ("", True)
    assert "requests with tags are refused by 'other'" in first.stderr
    text = path.read_text()
    assert [line for line in PRESENT.splitlines() if line not in text.splitlines()] == []
    before = path.stat()
    again = run("--apply-to", str(path), "--format", "litellm")
    assert "says so already" in again.stderr
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    edited = text.replace("weight: 5000", "weight: 2500", 1).replace("weight: 5000", "weight: 7500", 1)
    path.write_text(edited)
    kept = run("--apply-to", str(path))
    assert "says so already" in kept.stderr
    assert "'gift_card': 0.25 to" in kept.stderr


@pytest.mark.usefixtures("stored")
def test_a_difference_is_shown(run: Run, tmp_path: Path) -> None:
    """--diff shows what would change and changes nothing; from nothing, everything is new."""
    path = tmp_path / "litellm.yaml"
    path.write_text(PRESENT)
    result = run("--current", str(path), "--diff")
    assert result.stdout.startswith(f"--- {path}\n+++ routes\n")
    assert not [line for line in result.stdout.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert path.read_text() == PRESENT
    assert {line[0] for line in run("--format", "flagd", "--diff").stdout.splitlines()[3:]} == {"+"}
    run("--apply-to", str(path))
    assert run("--current", str(path), "--diff").stdout == ""


@pytest.mark.usefixtures("stored")
def test_a_present_file_of_another_format_says_the_shares(run: Run, tmp_path: Path) -> None:
    """Shares and guardrails are read from the present file, whatever is written."""
    path = tmp_path / "litellm.yaml"
    path.write_text(PRESENT)
    run("--apply-to", str(path))
    path.write_text(
        path.read_text().replace("weight: 5000", "weight: 0.2", 1).replace("weight: 5000", "weight: 0.6", 1)
    )
    plan = json.loads(run("--current", str(path), "--format", "json").stdout)
    assert plan["routes"][1]["models"][0] == {"model": TUNED, "share": 0.25}
    assert plan["guardrails"] == {"pre": ["pii"], "post": []}


def test_reports_by_id_and_age(run: Run, stored: Report) -> None:
    """A report is named by the beginning of its id; an old one is told, or refused."""
    older = report_id(replace(stored, as_of=stored.as_of - timedelta(days=3), cohorts=stored.cohorts[:1]))
    result = run("--report", older[:12])
    assert result.exit_code == 0, result.stderr
    assert "Warning: The report speaks of" in result.stderr
    assert json.loads(result.stdout)["report_id"] == older
    refused = run("--report", older, "--max-age", "24")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "72 hours ago, more than --max-age 24: make a new one" in refused.stderr
    assert run("--max-age", "24").exit_code == 0


@pytest.mark.usefixtures("stored")
def test_a_report_on_the_future_moves_nothing(run: Run, stored: Report, workdir: Path) -> None:
    """The newest report is the newest of those whose moment has come, however late others speak of."""
    with store_at(workdir / DEFAULT) as store:
        store_report(store, replace(stored, as_of=stored.as_of + timedelta(days=400)))
    assert json.loads(run().stdout)["report_id"] == report_id(stored)


def test_a_report_from_before_the_end_is_told(run: Run, stored: Report, workdir: Path) -> None:
    """Traffic between the report and the promotion's end was not looked at."""
    assert "The comparison ended" not in run().stderr
    with store_at(workdir / DEFAULT) as store:
        store.write({"promotion_ends": end_row("refunds-v2", stored.as_of + timedelta(microseconds=1))})
    assert "Warning: The comparison ended at" in run().stderr


@pytest.mark.usefixtures("stored")
def test_a_file_may_not_tell_its_format(run: Run, tmp_path: Path) -> None:
    """A configuration without models yet is what its owner says it is, and its content stays."""
    path = tmp_path / "proxy.yaml"
    path.write_text("general_settings:\n  master_key: os.environ/KEY\n")
    fails(run("--apply-to", str(path)), "--format")
    assert run("--apply-to", str(path), "--format", "litellm").exit_code == 0
    text = path.read_text()
    assert text.startswith("general_settings:\n  master_key: os.environ/KEY\n")
    assert "model_list:" in text


def fails(result: Result, *words: str) -> None:
    """A sentence, the status of a usage error, and nothing else."""
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    assert [word for word in words if word not in result.stderr] == []


@pytest.mark.usefixtures("stored")
def test_errors_leave_the_file_alone(run: Run, tmp_path: Path) -> None:
    """What is no configuration, of another format, or not there, is a sentence; the file stays as it is."""
    path = tmp_path / "x.yaml"
    for content, words in {
        "a: [": ("line 1", "not YAML"),
        "[1, 2]": ("--format",),
        "model_list: 7": ("litellm",),
        "model_list: [7]": ("not a mapping",),
        "model_list: []\nrouter_settings: [1]": ("router_settings", "not a mapping"),
        '{"flags": [1]}': ("'flags'",),
        '{"flags": {}, "flags": {}}': ("twice",),
        "kind: AIGatewayRoute\nmetadata: {name: refunds}\napiVersion: aigateway.envoyproxy.io/v1": ("not ours",),
        '{"kind": "route_plan"}': ("not one",),
    }.items():
        path.write_text(content)
        fails(run("--apply-to", str(path)), *words)
        assert path.read_text() == content
    path.write_text("")
    fails(run("--apply-to", str(path)), "or empty: say with --format")
    path.write_text("model_list: []")
    fails(run("--apply-to", str(path), "--format", "flagd"), "litellm, not flagd")
    fails(run("--apply-to", str(path), "--out", "y"), "leave --current and --out out")
    fails(run("--apply-to", str(tmp_path / "none.yaml")), "--format")
    fails(run("--report", "zz"), "no report 'zz'")
    fails(run("--format", "agentcc"), "provider")
    fails(run(name="other"), "no promotion 'other'")


def test_without_a_report_there_is_no_plan(run: Run, workdir: Path) -> None:
    """A promotion without a report says how to make one."""
    with store_at(workdir / DEFAULT) as store:
        store.write({"promotions": promotion_row(report(utc_now()).promotion, utc_now())})
    fails(run(), "spanverdict report refunds-v2")


@pytest.mark.usefixtures("stored")
def test_a_new_file_is_made(run: Run, tmp_path: Path) -> None:
    """--apply-to of a file that is not there writes all of it; --out writes all of it, too."""
    made, out = tmp_path / "made.yaml", tmp_path / "out.yaml"
    assert run("--apply-to", str(made), "--format", "litellm").exit_code == 0
    assert run("--out", str(out), "--format", "litellm").exit_code == 0
    assert made.read_text() == out.read_text()
    assert yaml.safe_load(made.read_text())["router_settings"]["enable_tag_filtering"] is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('models.x.litellm = { api_key = "sk-secret" }', "os.environ/"),
        ('models.x.litellm = { extra = { password = "sk-secret" } }', "os.environ/"),
        ("steps = [0.5, 0.1]", "rise"),
        ("steps = [0.5]", "rise"),
        ('cohort_key = "a.b"', "letters"),
        ('header = "a b"', "header"),
        ("mirror_rate = 2", "mirror_rate"),
    ],
)
def test_the_configuration_is_checked(run: Run, tmp_path: Path, text: str, words: str) -> None:
    """A secret that stands there itself, and what makes no sense, is refused; no secret is repeated."""
    (tmp_path / "c.toml").write_text(f"[routes]\n{text}\n")
    result: Any = run()
    fails(result, words)
    assert "sk-secret" not in result.stderr
