"""`spanverdict feedback import`: exports as they are, a look first, what matches nothing, with a server or without."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from collector.decode import decode_traces
from collector.rows import span_rows
from sql.clock import utc_now
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


Cli = Callable[..., Result]

TICKETS = "ticket_id,closed_at,agent\nT-1,2026-11-02,ann\nT-2,2026-11-03,bo\nT-3,2026-11-03,bo\n"
AS_TICKETS = (
    "--map",
    "time=closed_at",
    "--map",
    "key=ticket_id",
    "--name",
    "escalated",
    "--value",
    1,
    "--source",
    "desk",
)
ROWS = """time,name,value,trace_id,span_id,response_id,conversation_id,key
2026-11-02,a,1,01010101010101010101010101010101,,,,
2026-11-02,a,1,,0000000000000001,,,
2026-11-02,a,1,02020202020202020202020202020202,0000000000000001,,,
2026-11-02,a,1,,,resp-1,,
2026-11-02,a,1,,,,conv-1,
2026-11-02,a,1,,,,,T-1
2026-11-02,a,1,,,,,T-2
2026-11-02,a,1,,,resp-9,conv-9,
"""


@pytest.fixture(params=["direct", "server"])
def where(request: pytest.FixtureRequest, db: Path, workdir: Path, otlp: Any) -> Path:
    """A store with two spans, opened by the command itself or owned by a running server."""
    (workdir / "spanverdict.toml").write_text(
        '[feedback]\nkey_attribute = "ticket.id"\n[content]\npatterns = ["email"]\n'
    )
    names = {"ticket.id": "T-1", "gen_ai.response.id": "resp-1", "gen_ai.conversation.id": "conv-1"}
    requests = [
        otlp.request({"attributes": names}),
        otlp.request({"trace_id": b"\x03" * 16, "span_id": b"\x03" * 8}, resource={"ticket.id": "T-3"}),
    ]
    with store_at(db) as store:
        for request_sent in requests:
            store.write(span_rows(decode_traces([request_sent.SerializeToString()]), [None], utc_now()).tables)
    if request.param == "server":
        request.getfixturevalue("start_server")(db)
    return db


def stored(cli: Cli, query: str) -> Any:
    """The answer to a query."""
    return json.loads(cli("sql", query, "--format", "json").stdout)


def test_a_look_before_an_import(where: Path, workdir: Path, cli: Cli) -> None:
    """The dry run says what then happens, and lists what matches neither a span's nor a resource's attribute."""
    (workdir / "t.csv").write_text(TICKETS)
    given = ("feedback", "import", "t.csv", *AS_TICKETS, "--db", where)
    looked = cli(*given, "--dry-run")
    assert looked.exit_code == 0, looked.stderr
    assert "of 3 rows 3 are new, 0 are known already, 0 correct an earlier one. Nothing was stored." in looked.stderr
    assert "1 of its rows match nothing that is stored yet" in looked.stderr
    assert [line.split() for line in looked.stdout.splitlines()] == [
        ["file", "row", "key", "value"], ["t.csv", "2", "key", "T-2"],
    ]  # fmt: skip
    assert stored(cli, "SELECT count(*) AS n FROM feedback") == [{"n": 0}]
    done = cli(*given)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("Imported 3 outcomes from t.csv; 0 were there already.\n1 of its rows match nothing")
    query = "SELECT key, name, value, source, attributes->>'agent' AS agent FROM feedback ORDER BY key"
    assert stored(cli, query)[0] == {
        "key": "T-1", "name": "escalated", "value": 1.0, "source": "desk", "agent": "ann",
    }  # fmt: skip
    (workdir / "t.csv").write_text(TICKETS.replace("2026-11-03,bo", "2026-11-04,joe@example.org"))
    looked = cli(*given, "--dry-run", "--format", "csv", "--out", "missed.csv")
    assert "of 3 rows 0 are new, 1 are known already, 2 correct an earlier one" in looked.stderr
    (missed,) = csv.DictReader(io.StringIO((workdir / "missed.csv").read_text()))
    assert missed == {"file": "t.csv", "row": "2", "key": "key", "value": "T-2"}
    assert (
        "Imported 2 outcomes from t.csv, 2 of them correct an earlier one; 1 were there already." in cli(*given).stderr
    )
    assert "Imported 0 outcomes from t.csv; 3 were there already." in cli(*given).stderr
    history = json.loads(cli("sql", "--named", "outcome_history", "--format", "json").stdout)
    assert [(row["key"], row["stands"]) for row in history] in (
        [("T-2", True), ("T-2", False), ("T-3", True), ("T-3", False)],
        [("T-3", True), ("T-3", False), ("T-2", True), ("T-2", False)],
    )
    assert stored(cli, "SELECT DISTINCT attributes->>'agent' AS agent FROM feedback WHERE key <> 'T-1'") == [
        {"agent": "[redacted:email]"}
    ]


def test_every_key_is_looked_for(where: Path, workdir: Path, cli: Cli) -> None:
    """A span without a trace, one that its trace contradicts, answers, conversations, and the chosen attribute."""
    (workdir / "f.csv").write_text(ROWS)
    looked = cli("feedback", "import", "f.csv", "--dry-run", "--format", "json", "--db", where)
    missed = [(row["row"], row["key"], row["value"]) for row in json.loads(looked.stdout)]
    assert missed == [(3, "span_id", "0000000000000001"), (7, "key", "T-2"), (8, "response_id", "resp-9")]
    refused = cli("feedback", "import", "f.csv", "--require-match")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert (
        "f.csv, row 3: span_id '0000000000000001' matches nothing that is stored, nor do 2 more; nothing"
        in refused.stderr
    )
    assert stored(cli, "SELECT count(*) AS n FROM feedback") == [{"n": 0}]


def test_several_files_are_taken_one_by_one(db: Path, workdir: Path, cli: Cli) -> None:
    """Those before the first that cannot be used are in, and said; that one and those behind it are not."""
    for name, value in (("1.csv", "1"), ("2.csv", "maybe"), ("3.csv", "1"), ("0.csv", "")):
        row = f"2026-11-02,{name},{value},k\n" if value else ""
        (workdir / name).write_text("time,name,value,key\n" + row)
    done = cli("feedback", "import", "0.csv", "1.csv", "2.csv", "3.csv", "--db", db)
    assert done.exit_code == 2
    assert "0.csv has no rows.\nImported 1 outcomes from 1.csv" in done.stderr
    assert "1 have only a key: name its attribute as feedback.key_attribute" in done.stderr
    assert "2.csv, row 1: value 'maybe'" in done.stderr
    assert stored(cli, "SELECT name FROM feedback") == [{"name": "1.csv"}]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "Missing argument 'FILE...'"),
        (("f.csv", "--map", "when=closed"), "--map 'when=closed' is not FIELD=COLUMN, with a field among time, name,"),
        (("f.csv", "--map", "time"), "--map 'time' is not FIELD=COLUMN"),
        (("f.csv", "--map", "time=a", "--map", "time=b"), "The time is given twice."),
        (("f.csv", "--map", "name=a", "--name", "b"), "The name is given twice."),
        (("f.csv", "--source", " "), "--source is empty."),
        (("f.csv", "--out", "x"), "--format and --out tell how --dry-run lists rows."),
    ],
)
def test_wrong_use(db: Path, cli: Cli, options: tuple[str, ...], sentence: str) -> None:
    """Exits with 2 and says what is right."""
    result = cli("feedback", "import", *options, "--db", db)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
