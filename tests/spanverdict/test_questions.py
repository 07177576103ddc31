"""The saved queries and the examples of docs/data-model.md answer from the sample, as they say."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from collector.decode import decode_traces
from collector.ingest import span_rows
from spanverdict.cli import main
from sql import statements
from sql.address import StoreAddress
from tests.stores import address_of, store_at

pytestmark = pytest.mark.any_store(slow=True)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data-model.md").read_text("utf-8")
BASE, CANDIDATE = "gpt-4o-mini-2024-07-18", "ft:gpt-4o-mini-2024-07-18:northwind-pay:refunds-v2:B7xQ2kLm"

EMPTY = {
    "fallback_chains": "the sample's application has no second model to fall back to",
    "latest_verdicts": "no report is made here; test_reports_command.py asks it where some are",
    "outcome_history": "nothing in the sample is corrected; test_feedback_command.py asks it where something is",
    "reported_costs": "the sample's instrumentations state no cost",
    "rootless_traces": "every trace of the sample came whole",
    "scheduled_reports": "no report is scheduled; test_scheduled_reports.py asks it where some are",
    "uncounted_usage": "no span of the sample repeats another's tokens",
    "unpriced_models": "every model of the sample has a price",
}
"""Saved queries to which the sample has no answer, and why."""


def run(folder: Path, *arguments: str) -> str:
    """What a command prints when it runs in a folder."""
    with contextlib.chdir(folder):
        environment = {"SPANVERDICT_DB": str(address_of(folder / "spanverdict.duckdb"))}
        done = CliRunner(env=environment).invoke(main, arguments, prog_name="spanverdict")
    assert done.exit_code == 0, done.output
    return done.stdout


def answer(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a saved query."""
    return list(json.loads(run(folder, "sql", "--named", name, "--format", "json")))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store that the commands of the page make, and the sample's promotion in it."""
    folder = tmp_path_factory.mktemp("sample")
    (folder / "sample_traces").symlink_to(ROOT / "sample_traces")
    (shell,) = re.findall(r"```sh\n(spanverdict import .*?)```", PAGE, re.DOTALL)
    for line in shell.replace("\\\n", " ").splitlines():
        run(folder, *shlex.split(line)[1:])
    run(
        folder, "promotion", "add", "refunds-v2", "--base", BASE, "--candidate", CANDIDATE,
        "--at", "2026-11-02T00:00Z", "--cohort-by", "app.cohort", "--candidate-share", "0.5",
    )  # fmt: skip
    return folder


def test_every_view_is_shown_by_an_example_that_is_true(sample: Path) -> None:
    """Each query of the page runs, each output beneath one is what it prints, and each view has such an example."""
    shown = set()
    for query, printed in re.findall(r"```sql\n(.*?)```\n(?:\n```text\n(.*?)```)?", PAGE, re.DOTALL):
        told = run(sample, "sql", query)
        if printed:
            cells = [[re.split(r"\s{2,}", line.strip()) for line in text.splitlines()] for text in (told, printed)]
            assert cells[0] == cells[1], query
            shown |= {name for name in statements.VIEWS if re.search(rf"\b{name}\b", query)}
    assert shown == set(statements.VIEWS)


def test_every_saved_query_is_documented() -> None:
    """The table of saved queries says of each what its text says itself."""
    told = dict(
        re.findall(
            r"^\| `(\w+)` \| (.+) \|$", PAGE.partition("## Saved queries")[2].partition("\n## ")[0], re.MULTILINE
        )
    )
    assert told == {
        name: statements.query(name).splitlines()[0].removeprefix("-- ") for name in statements.query_names()
    }
    assert len(told) >= 20


def test_the_saved_queries_answer_from_the_sample(sample: Path) -> None:
    """Every saved query answers, those without an answer for a known reason, and what they add up is what is stored."""
    answers = {name: answer(sample, name) for name in statements.query_names()}
    assert {name for name, rows in answers.items() if not rows} == set(EMPTY)

    def added(name: str, column: str) -> float:
        return sum(float(row[column]) for row in answers[name])

    (stored,) = json.loads(
        run(
            sample, "sql", "--format", "json",
            "SELECT (SELECT count(*) FROM llm_calls WHERE status_code <> 'ERROR') AS answers,"
            " (SELECT count(*) FROM spans WHERE gen_ai_span_kind = 'TOOL') AS runs,"
            " (SELECT count(*) FROM spans WHERE parent_span_id IS NOT NULL) AS steps,"
            " (SELECT count(DISTINCT trace_id) FROM spans) AS traces,"
            " (SELECT count(*) FROM attempt_chains) AS chains,"
            " (SELECT count(*) FROM evaluations_by_trace) AS results,"
            " (SELECT count(DISTINCT trace_id) FROM llm_calls WHERE start_time >= '2026-11-02') AS served,"
            " (SELECT sum(priced_cost_usd) FROM calls WHERE is_counted) AS cost_usd",
        )
    )  # fmt: skip
    assert added("promotion_latency", "calls") == added("finish_reasons", "answers") == stored["answers"]
    assert added("tool_errors", "runs") == stored["runs"]
    assert added("slowest_steps", "steps") == stored["steps"]
    assert added("cohorts_by_day", "traces") == added("costs_by_prompt", "traces") == stored["traces"]
    assert added("attempts_by_day", "chains") == stored["chains"]
    assert added("evaluations_by_prompt", "results") == stored["results"]
    assert added("promotion_split", "base_traces") + added("promotion_split", "candidate_traces") == stored["served"]
    assert added("costs_by_cohort", "priced_cost_usd") == pytest.approx(float(stored["cost_usd"]), abs=1e-3)
    assert {row["request_model"] for row in answers["promotion_latency"] if row["period"] == "before"} == {BASE}
    assert {row["meant_percent"] for row in answers["promotion_split"]} == {50.0}
    for name in ("dearest_conversations", "dearest_users"):
        costs = [float(row["priced_cost_usd"]) for row in answers[name]]
        assert (len(costs), costs) == (20, sorted(costs, reverse=True))


def test_saved_queries_find_what_goes_wrong(
    db: StoreAddress, workdir: Path, cli: Callable[..., Result], otlp: Any
) -> None:
    """A fallback, a failing tool, a trace without its root, a model without a price, costs and tokens told twice."""
    root = {"span_id": b"r" * 8, "name": "answer", "end_time_unix_nano": 1_793_000_009_000_000_000}
    tokens = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
    chat = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
    begin = 1_793_000_001_000_000_000
    first = {
        "span_id": b"a" * 8, "parent_span_id": b"r" * 8, "start_time_unix_nano": begin,
        "end_time_unix_nano": begin + 10**9, "status": {"code": 2},
        "attributes": {**chat, "gen_ai.request.model": "gpt-4o", "error.type": "RateLimitError"},
    }  # fmt: skip
    second = {
        "span_id": b"b" * 8, "parent_span_id": b"r" * 8, "start_time_unix_nano": begin + 2 * 10**9,
        "end_time_unix_nano": begin + 3 * 10**9,
        "attributes": {**chat, **tokens, "gen_ai.request.model": "in-house-1", "llm.cost.total": 0.5},
    }  # fmt: skip
    tool = {
        "span_id": b"c" * 8, "parent_span_id": b"r" * 8, "start_time_unix_nano": begin, "status": {"code": 2},
        "attributes": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund", "error.type": "Timeout"},
    }  # fmt: skip
    lost = {
        "trace_id": b"l" * 16, "span_id": b"d" * 8, "parent_span_id": b"x" * 8,
        "attributes": {**chat, **tokens, "gen_ai.request.model": "gpt-4o-mini-2024-07-18", "llm.cost.total": 0.25},
    }  # fmt: skip
    requests = [
        otlp.request({**root, "attributes": {"gen_ai.operation.name": "invoke_agent", **tokens}}, first, second, tool),
        otlp.request(lost, service="worker"),
    ]
    with store_at(db) as store:
        for request in requests:
            store.write(span_rows(decode_traces([request.SerializeToString()]), [None], datetime(2026, 11, 2)).tables)
    assert cli("derive").exit_code == 0

    def only(name: str) -> dict[str, Any]:
        (row,) = answer(workdir, name)
        return dict(row)

    chain = only("fallback_chains")
    assert (chain["started_model"], chain["answered_model"], chain["fallbacks"]) == ("gpt-4o", "in-house-1", 1)
    failed = only("tool_errors")
    assert (failed["tool"], failed["errors"], failed["error_percent"], failed["usual_error"]) == (
        "refund", 1, 100.0, "Timeout",
    )  # fmt: skip
    rootless = only("rootless_traces")
    assert (rootless["service_name"], rootless["traces"], rootless["last_trace"]) == ("worker", 1, (b"l" * 16).hex())
    assert (only("unpriced_models")["request_model"], only("unpriced_models")["unpriced_tokens"]) == ("in-house-1", 110)
    assert only("uncounted_usage")["gen_ai_span_kind"] == "AGENT"
    assert (only("reported_costs")["request_model"], only("reported_costs")["reported_cost_usd"]) == (BASE, 0.25)
    assert only("errors_by_model")["error_type"] == "RateLimitError"
