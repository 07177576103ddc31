"""`spanverdict evaluate`: from stored traces to stored results, resumed, bounded, alike in both arms."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import Result

from collector.decode import decode_traces
from collector.rows import span_rows
from spanverdict.output import records
from sql.access import open_store
from tests.judge_stand_in import StandIn, said, status
from tests.processes import PRODUCT_PATH
from tests.stores import address_of, store_at

pytestmark = pytest.mark.any_store(slow=True)

BEGAN = datetime(2026, 11, 2)
SCHEMA = json.dumps({"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}})
GOOD = said({"score": 0.9, "label": "pass", "explanation": "It does."})

Cli = Callable[..., Result]


def trace_id(model: str, number: int) -> str:
    """The id of a trace."""
    return hashlib.blake2b(f"{model}-{number}".encode(), digest_size=16).hexdigest()


@pytest.fixture
def talk(otlp: Any) -> Callable[..., None]:
    """Puts model calls with content into a store, a trace each; every third answer lacks what its schema wants."""

    def put(db: Path, model: str, traces: int, **extra: Any) -> None:
        spans = []
        for number in range(traces):
            known = bytes.fromhex(trace_id(model, number))
            begin = int((BEGAN + timedelta(minutes=number)).replace(tzinfo=UTC).timestamp()) * 10**9
            answer = '{"total": "much"}' if number % 3 == 0 else '{"total": 3}'
            attributes = {
                "gen_ai.operation.name": "chat", "gen_ai.request.model": model, "app.cohort": f"c{number % 2}",
                "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20, "dataset.item.id": f"item-{number}",
                "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Sum?"}]}]),
                "gen_ai.output.messages": json.dumps(
                    [{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]),
                "gen_ai.request.structured_output_schema": SCHEMA, **extra,
            }  # fmt: skip
            spans.append({
                "trace_id": known, "span_id": known[:8], "name": "chat", "attributes": attributes,
                "start_time_unix_nano": begin, "end_time_unix_nano": begin + 10**9,
            })  # fmt: skip
        with store_at(db) as store:
            store.write(span_rows(decode_traces([otlp.request(*spans).SerializeToString()]), [None], BEGAN).tables)

    return put


def stored(db: Path, query: str = "FROM evaluations ORDER BY trace_id") -> list[dict[str, Any]]:
    """Rows of the store."""
    with open_store(address_of(db)) as store:
        return list(records(store.read(query)))


def judge(workdir: Path, stand_in: StandIn, name: str = "Groundedness", more: str = "") -> None:
    """Configure a judge at a stand-in."""
    (workdir / "spanverdict.toml").write_text(
        f'[[evaluate]]\nname = "{name}"\nkind = "judge"\nbase_url = "{stand_in.url}"\nmodel = "judge-1"\n'
        f'prompt = "Grounded? {{input}} {{output}}"\nretries = 0\nconcurrency = 1\n{more}',
        "utf-8",
    )


def test_a_built_in_evaluator_stores_its_results_once(db: Path, cli: Cli, talk: Callable[..., None]) -> None:
    """Rows like those of any other evaluation, of the call's span; the second run finds nothing to do."""
    talk(db, "m0", 6)
    first = cli("evaluate", "JSONValidation")
    assert first.exit_code == 0, first.output
    assert "JSONValidation (version 1): judged 6." in first.output
    rows = stored(db)
    assert {row["trace_id"]: row["label"] for row in rows} == {
        trace_id("m0", number): "fail" if number % 3 == 0 else "pass" for number in range(6)
    }
    for row in rows:
        assert row["span_id"] == row["trace_id"][:16]
        assert (row["name"], row["annotator"], row["evaluator_version"]) == ("JSONValidation", "CODE", "1")
        assert (row["source"], row["carrier"], row["error_type"]) == ("spanverdict", "log", None)
    second = cli("evaluate", "JSONValidation")
    assert "judged 0, 6 were judged already" in second.output
    assert stored(db) == rows


def test_through_the_running_server(
    start_server: Callable[..., Any], db: Path, cli: Cli, talk: Callable[..., None]
) -> None:
    """The same command with a server: it derives, reads and stores through it."""
    talk(db, "m0", 3)
    server = start_server(db)
    result = cli("evaluate", "JSONValidation", "--db", db)
    assert result.exit_code == 0, result.output
    counted = server.sql("SELECT label, count(*) AS n FROM evaluations GROUP BY label ORDER BY label")
    assert counted == [{"label": "fail", "n": 1}, {"label": "pass", "n": 2}]


def test_tools_of_a_data_set_and_of_rules(workdir: Path, db: Path, cli: Cli, talk: Callable[..., None]) -> None:
    """The item that a trace names says which tools are expected; a rule where no item does."""
    called = json.dumps([{"role": "assistant", "parts": [{"type": "tool_call", "name": "search", "arguments": {}}]}])
    talk(db, "m0", 3, **{"gen_ai.output.messages": called})
    item = {"id": "item-0", "input": "1", "expected": {"tools": ["refund"]}}
    (workdir / "items.jsonl").write_text(json.dumps(item), "utf-8")
    assert cli("dataset", "import", "golden", "items.jsonl").exit_code == 0
    (workdir / "spanverdict.toml").write_text(
        '[[evaluate]]\nname = "ToolSelectionAccuracy"\n[[evaluate.rules]]\nattribute = "app.cohort"\n'
        'equals = "c1"\ntools = ["search"]\n',
        "utf-8",
    )
    result = cli("evaluate", "ToolSelectionAccuracy")
    assert result.exit_code == 0, result.output
    assert "judged 2, 1 are not for it (no expected tool is known: 1)" in result.output
    found = {row["trace_id"]: (row["score"], row["threshold"], row["span_id"]) for row in stored(db)}
    assert found == {trace_id("m0", 0): (0.0, 1.0, None), trace_id("m0", 1): (1.0, 1.0, None)}


def test_a_judge_is_bounded_and_goes_on(workdir: Path, db: Path, cli: Cli, talk: Callable[..., None]) -> None:
    """Without a budget nothing is sent; a spent one ends the run cleanly; the next run does what is left, once."""
    talk(db, "m0", 10)
    with StandIn([GOOD]) as stand_in:
        judge(workdir, stand_in, more="threshold = 0.7\n")
        unbounded = cli("evaluate", "Groundedness")
        assert unbounded.exit_code == 2
        assert "--budget-calls" in unbounded.output
        first = cli("evaluate", "Groundedness", "--budget-calls", 4, "--batch", 3)
        assert first.exit_code == 0, first.output
        assert "judged 4. 6 are left. The budget is spent." in first.output
        assert "Sent 4 requests: 400 input and 40 output tokens" in first.output
        second = cli("evaluate", "Groundedness", "--budget-calls", 100)
        assert "judged 6, 4 were judged already." in second.output
        assert len(stand_in.bodies) == 10
    rows = stored(db)
    assert len({row["span_id"] for row in rows}) == 10
    for row in rows:
        assert (row["score"], row["label"], row["threshold"], row["higher_is"]) == (0.9, None, 0.7, None)
        assert (row["annotator"], row["judge_model"], row["explanation"]) == ("LLM", "judge-1", "It does.")


def test_what_goes_better_later_is_tried_again(workdir: Path, db: Path, cli: Cli, talk: Callable[..., None]) -> None:
    """An error is neither pass nor failure; a transient one is replaced by the next run, and its history stays."""
    talk(db, "m0", 2)
    with StandIn([status(500), said("I cannot say."), GOOD]) as stand_in:
        judge(workdir, stand_in)
        failed = cli("evaluate", "Groundedness", "--budget-calls", 9)
        assert failed.exit_code == 1
        assert "2 could not be judged (server_error: 1, unreadable_answer: 1)" in failed.output
        assert {(row["error_type"], row["label"], row["score"]) for row in stored(db)} == {
            ("server_error", None, None), ("unreadable_answer", None, None)
        }  # fmt: skip
        again = cli("evaluate", "Groundedness", "--budget-calls", 9)
        assert (again.exit_code, len(stand_in.bodies)) == (0, 3)
    assert {(row["error_type"], row["label"]) for row in stored(db)} == {(None, "pass"), ("unreadable_answer", None)}
    (former,) = stored(db, "FROM superseded_evaluations")
    assert former["error_type"] == "server_error"


def test_again_replaces_and_history_stays(workdir: Path, db: Path, cli: Cli, talk: Callable[..., None]) -> None:
    """A run with --again has one row for each call still; what it replaced is kept."""
    talk(db, "m0", 3)
    with StandIn([GOOD]) as stand_in:
        judge(workdir, stand_in)
        cli("evaluate", "Groundedness", "--budget-calls", 9)
        stand_in.answers = [said({"score": 0.1, "label": "fail"})]
        result = cli("evaluate", "Groundedness", "--budget-calls", 9, "--again")
        assert result.exit_code == 0, result.output
    assert [row["label"] for row in stored(db)] == ["fail"] * 3
    assert [row["label"] for row in stored(db, "FROM superseded_evaluations")] == ["pass"] * 3


def test_a_sample_is_the_same_in_both_arms(promoted: Path, cli: Cli, talk: Callable[..., None]) -> None:
    """Which traces are judged hangs on their ids alone; a limited run judges a random part of both arms."""
    talk(promoted, "m0", 60)
    talk(promoted, "m1", 60)
    half = cli("evaluate", "JSONValidation", "--promotion", "p", "--sample", 0.5)
    assert half.exit_code == 0, half.output
    expected = {
        known
        for model in ("m0", "m1")
        for known in (trace_id(model, number) for number in range(60))
        if hashlib.md5(known.encode(), usedforsecurity=False).hexdigest() < "8"
    }
    assert {row["trace_id"] for row in stored(promoted)} == expected
    one = cli("evaluate", "JSONValidation", "--promotion", "p", "--cohort", "c1", "--limit", 40, "--again", "--dry-run")
    assert "JSONValidation (version 1): 40 would be judged (" in one.output
    whole = cli("evaluate", "JSONValidation", "--promotion", "p", "--limit", 30)
    base, candidate = (int(line.split()[1]) for line in whole.output.splitlines() if line.endswith("of 60 judged."))
    assert base + candidate == len(expected) + 30
    assert "are left. The limit is reached." in whole.output


def test_a_limit_counts_what_was_judged(workdir: Path, db: Path, cli: Cli, talk: Callable[..., None]) -> None:
    """Calls that cannot be judged do not use a limit up, so that the same command again always comes further."""
    talk(db, "m0", 20, **{"gen_ai.output.messages": "[]"})
    talk(db, "m1", 4)
    with StandIn([GOOD]) as stand_in:
        judge(workdir, stand_in)
        for judged in range(1, 5):
            result = cli("evaluate", "Groundedness", "--budget-calls", 9, "--limit", 1)
            assert result.exit_code == 0, result.output
            assert len(stand_in.bodies) == len(stored(db)) == judged


def test_a_cohort_and_a_window(promoted: Path, cli: Cli, talk: Callable[..., None]) -> None:
    """Only traces of the cohort, by the promotion's attribute, that began in time."""
    talk(promoted, "m0", 10)
    talk(promoted, "m9", 10)
    cli("evaluate", "JSONValidation", "--promotion", "p", "--cohort", "c1", "--since", "2026-11-02T00:04Z",
        "--until", "2026-11-02T00:08Z")  # fmt: skip
    assert {row["trace_id"] for row in stored(promoted)} == {trace_id("m0", 5), trace_id("m0", 7)}


@pytest.mark.parametrize(("design", "judged"), [("before_after", 10), ("concurrent", 5)])
def test_the_base_before_a_change_of_all_traffic(
    db: Path, cli: Cli, talk: Callable[..., None], design: str, judged: int
) -> None:
    """Where all users changed at one moment the base's traces precede it; a split has both arms since then."""
    talk(db, "m0", 10)
    added = cli("promotion", "add", "q", "--base", "m0", "--candidate", "m1", "--at", "2026-11-02T00:05Z",
                "--cohort-by", "app.cohort", "--design", design)  # fmt: skip
    assert added.exit_code == 0
    assert cli("evaluate", "JSONValidation", "--promotion", "q").exit_code == 0
    assert len(stored(db)) == judged


def test_arms_that_are_not_judged_alike_are_told(promoted: Path, cli: Cli, talk: Callable[..., None]) -> None:
    """Where one arm's content was not recorded, the coverage of both and a warning."""
    talk(promoted, "m0", 6)
    talk(promoted, "m1", 6, **{"gen_ai.output.messages": "[hash:00ff]"})
    result = cli("evaluate", "JSONValidation", "--promotion", "p")
    assert "6 are not for it (content was cut, hashed or is too large: 6)" in result.output
    assert "base: 6 of 6 judged." in result.output
    assert "candidate: 0 of 6 judged." in result.output
    assert "not judged alike" in result.output


def test_an_evaluator_of_an_installed_package(
    workdir: Path, db: Path, cli: Cli, talk: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution that offers one as an entry point runs if named; what it breaks on is an error of that subject."""
    site = workdir / "site"
    (site / "shorty-1.0.dist-info").mkdir(parents=True)
    (site / "shorty-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: shorty\nVersion: 1.0\n")
    (site / "shorty-1.0.dist-info" / "entry_points.txt").write_text("[spanverdict.evaluators]\nShort = shorty:Short\n")
    (site / "shorty.py").write_text(
        "from analytics.evaluate.subject import Judgement\n"
        "class Short:\n"
        "    name = 'Short'\n"
        "    version = '3'\n"
        "    threshold = 1\n"
        "    def __init__(self, most=99):\n"
        "        self.most = most\n"
        "    def evaluate(self, subjects):\n"
        "        for subject in subjects:\n"
        "            if 'much' in subject.output:\n"
        "                raise KeyError('much')\n"
        "            yield Judgement(float(len(subject.output) <= self.most))\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(str(site))
    talk(db, "m0", 4)
    result = cli("evaluate", "Short")
    assert result.exit_code == 1
    assert "Short (version 3): judged 2, 2 could not be judged (KeyError: 2)." in result.output
    rows = stored(db)
    assert [(row["score"], row["error_type"]) for row in rows if row["error_type"] is None] == [(1.0, None)] * 2
    (workdir / "spanverdict.toml").write_text(
        '[[evaluate]]\nname = "Short"\nkind = "installed"\nsettings = { least = 1 }\n', "utf-8"
    )
    wrong = cli("evaluate", "Short")
    assert wrong.exit_code == 2
    assert "'Short' cannot be made: TypeError" in wrong.output


def test_what_cannot_run_is_said_in_a_sentence(workdir: Path, db: Path, cli: Cli, talk: Callable[..., None]) -> None:
    """An unknown evaluator, a key that is not there, a price that is not known, a cohort of nothing, no store."""
    talk(db, "m0", 1)
    with StandIn([GOOD]) as stand_in:
        judge(workdir, stand_in, more='api_key_env = "NO_SUCH_KEY"\n')
        for arguments, sentence in (
            (["Grounded"], "There is no evaluator 'Grounded'"),
            (["Groundedness", "--budget-calls", "1"], "the environment variable NO_SUCH_KEY is not set"),
            (["--cohort", "a", "JSONValidation"], "--cohort needs --promotion"),
            (["JSONValidation", "--promotion", "q"], "There is no promotion 'q'"),
        ):
            result = cli("evaluate", *arguments)
            assert result.exit_code == 2, result.output
            assert sentence in result.output
        judge(workdir, stand_in)
        unpriced = cli("evaluate", "Groundedness", "--budget-usd", "1")
        assert unpriced.exit_code == 2
        assert "the price of judge-1 is not known" in unpriced.output
        nowhere = cli("evaluate", "JSONValidation", "--db", workdir / "none.duckdb")
        assert nowhere.exit_code == 4
        assert not (workdir / "none.duckdb").exists()
        assert stand_in.bodies == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('base_url = "http://me:pass-word@host/v1"', "it has a user, a password"),
        ('base_url = "ftp://host"', "not an http or https URL"),
        ('api_key_env = "sk-pass-word"', "not the name of an environment variable"),
        ('prompt = "Is it good?"', "it shows nothing to judge"),
        ("schemas = { a = true }", "'G' is a judge, which does not read schemas"),
        ("lowest = 2", "lowest is not below highest"),
        ("threshhold = 1", "did you mean 'threshold'?"),
    ],
)
def test_a_wrong_entry_is_said_without_what_may_be_secret(workdir: Path, cli: Cli, line: str, sentence: str) -> None:
    """One sentence that names the key; a key or a password that stands in the wrong place is not repeated."""
    entry = {"base_url": '"http://h/v1"', "model": '"m"', "prompt": '"{output} pass-word"', "kind": '"judge"'}
    key, _, value = line.partition(" = ")
    body = "".join(f"{name} = {text}\n" for name, text in {**entry, key: value}.items())
    (workdir / "spanverdict.toml").write_text(f'[[evaluate]]\nname = "G"\n{body}', "utf-8")
    result = cli("evaluate")
    assert result.exit_code == 2
    assert sentence in result.output
    assert "pass-word" not in result.output


@pytest.mark.any_store
def test_a_budget_of_money_uses_the_prices(workdir: Path, db: Path, cli: Cli, talk: Callable[..., None]) -> None:
    """The judge's tokens are priced like any other model's."""
    talk(db, "m0", 3)
    with StandIn([GOOD]) as stand_in:
        judge(workdir, stand_in,
              more='[[prices]]\nmodel = "judge-1"\ninput_per_mtok = 1000\noutput_per_mtok = 1000\n')  # fmt: skip
        result = cli("evaluate", "Groundedness", "--budget-usd", "5")
        assert "Sent 3 requests: 300 input and 30 output tokens, 0.330000 USD." in result.output


@pytest.mark.parametrize(("number", "exit_status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_run_that_is_ended_goes_on_where_it_was(
    workdir: Path, db: Path, cli: Cli, talk: Callable[..., None], number: int, exit_status: int
) -> None:
    """What was stored before is not asked again: killed, at most one batch is; with Ctrl-C, only what was under way."""
    talk(db, "m0", 40)
    with StandIn([GOOD]) as stand_in:
        judge(workdir, stand_in)
        running = subprocess.Popen(
            [sys.executable, "-m", "spanverdict", "evaluate", "Groundedness", "--budget-calls", "99", "--batch", "2"],
            cwd=workdir, env={**os.environ, "PYTHONPATH": PRODUCT_PATH}, stderr=subprocess.PIPE,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while len(stand_in.bodies) < 5 and time.monotonic() < deadline:
            time.sleep(0.002)
        running.send_signal(number)
        _, told = running.communicate(timeout=60)
        assert running.returncode == exit_status, told
        assert b"Traceback" not in told
        asked = len(stand_in.bodies)
        before = len(stored(db))
        assert before >= asked - (2 if number == signal.SIGKILL else 1)
        assert before < 40
        result = cli("evaluate", "Groundedness", "--budget-calls", 99)
        assert result.exit_code == 0, result.output
        assert len(stand_in.bodies) == asked + 40 - before
    assert len(stored(db)) == 40
    assert pa.array([row["error_type"] for row in stored(db)]).null_count == 40
