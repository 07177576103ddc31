"""What goes wrong is one clear sentence, the right exit status, and nothing half-written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import Result

from sql.address import StoreAddress
from sql.server_file import ServerFile, server_file
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

Cli = Callable[..., Result]

ADD = ("promotion", "add", "q", "--base", "m0", "--candidate", "m1", "--cohort-by", "app.cohort")
HEADER = "time,name,value,trace_id\n"
GOOD = "2026-11-02,thumbs_down,1,0123456789abcdef0123456789abcdef\n"


FREE_PORTS = [text for name in ("grpc", "http", "sql", "monitoring") for text in (f"--{name}", "127.0.0.1:0")]


def count(db: StoreAddress, table: str) -> int:
    """How many rows a table has."""
    with store_at(db, read_only=True) as store:
        return int(store.read(f"SELECT count(*) AS n FROM {table}")["n"][0].as_py())


def refused(result: Result, status: int, said: str) -> None:
    """The command ended with this status and this sentence, and printed no result."""
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    sentences = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(sentences) == 1
    assert said in sentences[0]
    assert sentences[0].endswith((".", "?", "!", "...", '"')), sentences[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "q"), "There is no promotion 'q'; known here are p."),
        (("promotion", "show", "q"), "There is no promotion 'q'; known here are p."),
        (("promotion", "end", "q"), "There is no promotion 'q'; known here are p."),
        ((*ADD[:2], "p", *ADD[3:], "--at", "2026-11-02"), "There is a promotion 'p' already"),
        ((*ADD, "--at", "2026-11-02", "--base", "m1"), "--base and --candidate name the same model"),
        ((*ADD, "--at", "tomorrow"), "'tomorrow' is not an ISO 8601 time, such as 2026-11-01T00:00Z."),
        ((*ADD, "--at", "0001-01-01T00:00+10:00"), "is not an ISO 8601 time"),
        ((*ADD, "--at", "0001-01-05"), "is not a time between 1970 and 2262"),
        ((*ADD, "--at", "9999-12-31"), "is not a time between 1970 and 2262"),
        ((*ADD,), "--at is missing: the design concurrent needs to know when the candidate began to serve."),
        ((*ADD, "--at", "2026-11-02", "--design", "wild"), "'wild' is not"),
        ((*ADD, "--at", "2026-11-02", "--candidate-share", "1"), "Invalid value for '--candidate-share'"),
        (("promotion", "end", "p", "--at", "2026-11-01"), "p began at 2026-11-02T00:00:00Z; it cannot end"),
        (("report", "p", "--as-of", "never"), "'never' is not an ISO 8601 time"),
        (("report", "p", "--format", "pdf"), "'pdf' is not one of"),
        (("report", "p", "--out", "gone/r.txt"), "gone/r.txt cannot be written: No such file or directory."),
        (("sql",), "Give one of: a query, --file (- reads standard input), --named."),
        (("sql", "SELECT 1", "--named", "models_by_day"), "Give one of"),
        (("sql", "--file", "q.sql", "--named", "models_by_day"), "Give one of"),
        (("sql", "--file", "none.sql"), "none.sql cannot be read: there is no such file."),
        (("sql", "--file", "latin.sql"), "latin.sql cannot be read: it is not UTF-8 text."),
        (("sql", "--named", "none"), "There is no saved query 'none'; --list shows them."),
        (("sql", ""), "The query is empty."),
        (("sql", "SELECT 1; SELECT 2"), "Send one statement at a time; this text holds 2."),
        (("sql", "SELEKT 1"), 'syntax error at or near "SELEKT"'),
        (("sql", "SELECT * FROM nowhere"), "nowhere"),
        (("sql", "SELECT error('boom')"), "boom"),
        (("sql", "DELETE FROM promotions"), "Only SELECT is answered"),
        (("sql", "SELECT * FROM read_csv('/etc/passwd')"), "read_csv reads files and is not answered"),
        (("sql", "SELECT 1", "--out", "gone/x"), "gone/x cannot be written: No such file or directory."),
        (("sql", "SELECT INTERVAL 1 DAY", "--format", "parquet", "--out", "x"), "Cast it to VARCHAR in the query."),
        (("sql", "SELECT 1", "--db", "."), ". is a folder; name a file for the store."),
        (("serve", "--grpc", "localhost"), "'localhost' cannot be used: it is not host:port, such as 127.0.0.1:4317."),
        (("serve", "--grpc", "127.0.0.1:70000"), "is not host:port"),
        (("serve", "--http", "127.0.0.1"), "is not host:port"),
        (("serve", "--sql", ":4319"), "is not host:port"),
        (("serve", "--sql", "127.0.0.1:²"), "is not host:port"),
        (("nonsense",), "No such command 'nonsense'"),
    ],
)  # fmt: skip
def test_usage_errors(promoted: Path, workdir: Path, cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    """Wrong use exits with 2, says what is right, and changes nothing in the store."""
    (workdir / "latin.sql").write_bytes(b"SELECT '\xe9'")
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert count(promoted, "promotions") == 1
    with store_at(promoted, read_only=True) as store:
        assert store.read("SELECT ended_at FROM promotions")["ended_at"].to_pylist() == [None]


def test_a_promotion_ends_once(promoted: Path, cli: Cli) -> None:
    """A second end is refused with the first one's time, which stays."""
    assert cli("promotion", "end", "p", "--at", "2026-11-10").exit_code == 0
    refused(cli("promotion", "end", "p", "--at", "2026-11-12"), 2, "p has ended already, at 2026-11-10")
    with store_at(promoted, read_only=True) as store:
        assert str(store.read("SELECT ended_at FROM promotions")["ended_at"][0].as_py()) == "2026-11-10 00:00:00"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "none.csv cannot be read: there is no such file."),
        ("f.xlsx", "x", "f.xlsx: name a .csv, .jsonl or .parquet file, the former two"),
        ("f.csv", "", "f.csv cannot be read: "),
        ("f.csv", "when,name,value,key\n", "f.csv: the column 'time' is missing; found when, name, value, key."),
        ("f.csv", "time,value,key\n", "f.csv: the column 'name' is missing"),
        ("f.csv", "time,name,key\n", "f.csv: a column 'value' or 'label' is missing"),
        ("f.csv", "time,name,value\n", "f.csv: at least one key column is needed: trace_id, span_id,"),
        ("f.csv", HEADER + GOOD + "soon,thumbs_down,1,ab\n", "f.csv, row 2: time 'soon' is not an ISO 8601 time or"),
        ("f.csv", HEADER + GOOD + GOOD + "2026-11-02,,1,ab\n", "f.csv, row 3: name is missing; nothing was imported."),
        ("f.csv", HEADER + GOOD + "2026-11-02,a,maybe,ab\n", "f.csv, row 2: value 'maybe' is not 0/1, true/false"),
        ("f.csv", HEADER + GOOD + "2026-11-02,a,,ab\n", "f.csv, row 2: value or label is missing"),
        ("f.csv", HEADER + GOOD + "2026-11-02,a,1,\n", "f.csv, row 2: key (trace_id, span_id, response_id, conv"),
        ("f.csv", HEADER + GOOD + GOOD[:-1] + ",x,y\n", "f.csv, row 2: it has 6 fields, the header 4."),
        ("f.csv", HEADER.encode() + b"\xff\xfe,a,1,x\n", "f.csv, line 2: it is not UTF-8 text."),
        ("f.jsonl", '{"name": "escalated"}\n{not json\n', "f.jsonl, line 2: it is not JSON: "),
        ("f.jsonl", "{}\n", "f.jsonl, line 1: it is an empty object"),
        ("f.jsonl", "[1]\n", "f.jsonl, line 1: it is not a JSON object."),
        ("f.jsonl", b'{"name": "\xff"}\n', "f.jsonl, line 1: it is not UTF-8 text."),
        ("f.parquet", "not parquet", "f.parquet cannot be read: "),
    ],
)  # fmt: skip
def test_an_unusable_feedback_file(
    db: Path, workdir: Path, cli: Cli, name: str, content: str | bytes | None, said: str
) -> None:
    """The sentence names file and row; nothing of the file is stored."""
    if content is not None:
        (workdir / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(cli("feedback", "import", name), 2, said)
    assert count(db, "feedback") == 0


@pytest.mark.file_only("tests of lakes alone have a catalog without one")
@pytest.mark.parametrize(
    "arguments",
    [("sql", "SELECT 1"), ("report", "p"), ("promotion", "list"), ("promotion", "end", "p"),
     (*ADD, "--at", "2026-11-02"), ("feedback", "import", "f.csv")],
)  # fmt: skip
def test_no_store(workdir: Path, cli: Cli, arguments: tuple[str, ...]) -> None:
    """Without a store every command exits with 4, says how to get one, and makes none."""
    (workdir / "f.csv").write_text(HEADER + GOOD)
    refused(cli(*arguments), 4, "There is no store at spanverdict.duckdb; start `spanverdict serve`")
    assert sorted(path.name for path in workdir.iterdir()) == ["f.csv"]


@pytest.mark.file_only("a lake is no file")
def test_files_that_are_no_store(workdir: Path, cli: Cli) -> None:
    """A text file, another database and a missing folder are told apart; all exit with 4 and stay as they are."""
    (workdir / "notes.txt").write_text("notes" * 1000)
    with duckdb.connect(str(workdir / "other.duckdb")) as other:
        other.execute("CREATE TABLE t (x INTEGER)")
    refused(cli("sql", "SELECT 1", "--db", "notes.txt"), 4, "notes.txt cannot be opened as a store")
    refused(
        cli("promotion", "list", "--db", "other.duckdb"), 4, "other.duckdb is a DuckDB file but not a spanverdict store"
    )
    refused(
        cli(
            "serve",
            "--db",
            "none/s.duckdb",
            "--grpc",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--sql",
            "127.0.0.1:0",
            "--monitoring",
            "127.0.0.1:0",
        ),
        4,
        "none of the store",
    )
    assert (workdir / "notes.txt").read_text() == "notes" * 1000
    with duckdb.connect(str(workdir / "other.duckdb")) as other:
        assert other.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (1,)


@pytest.mark.file_only("a lake has no server that owns it")
def test_a_server_that_does_not_answer(db: Path, cli: Cli, start_server: Callable[..., Any]) -> None:
    """What a killed server left is passed over; a server that holds the store and does not answer exits with 4."""
    gone = ServerFile(
        pid=os.getpid(), grpc="127.0.0.1:1", http="127.0.0.1:1", sql="127.0.0.1:1", monitoring="127.0.0.1:1", token="t"
    )
    gone.write(db)
    assert cli("sql", "SELECT 1 AS one", "--format", "csv").stdout == "one\n1\n"
    server_file(db).unlink()
    start_server(db)
    gone.write(db)
    refused(cli("sql", "SELECT 1"), 4, "spanverdict.duckdb is held by another process")


@pytest.mark.file_only("a lake has no server that owns it")
def test_a_damaged_server_file(db: Path, cli: Cli) -> None:
    """A server file that cannot be read exits with 4 and says which file to remove."""
    server_file(db).write_text("{")
    refused(cli("sql", "SELECT 1"), 4, "is damaged: remove it")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("report", "q"), "There is no promotion 'q'"), (("sql", "SELEKT 1"), "syntax error"),
     (("sql", "DELETE FROM spans"), "Only SELECT is answered"), (("sql", "SELECT error('boom')"), "boom"),
     (("promotion", "end", "q"), "There is no promotion 'q'")],
)  # fmt: skip
def test_the_same_sentences_through_a_server(
    promoted: Path, cli: Cli, start_server: Callable[..., Any], arguments: tuple[str, ...], said: str
) -> None:
    """With a server running, errors read as they do without one."""
    alone = cli(*arguments)
    start_server(promoted)
    served = cli(*arguments)
    assert (served.exit_code, served.stdout) == (2, "")
    assert said in served.stderr
    assert served.stderr == alone.stderr


def test_a_metric_that_does_not_exist(incident: Path, workdir: Path, cli: Cli) -> None:
    """The configuration's word for an unknown metric is refused when the report is made, with those that are known."""
    (workdir / "spanverdict.toml").write_text("[metrics.latency_p42]\nmargin = 1")
    result = cli("report", "p", "--as-of", "2026-11-20")
    refused(result, 2, "metric 'latency_p42' is not known; known are")
    assert "latency_p99" in result.stderr
    assert count(incident, "reports") == 0


@pytest.mark.slow
def test_processes_end_with_the_status(
    promoted: Path, workdir: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Through real processes: 2 for usage, 3 for undecided, 4 for the store; one sentence, no traceback."""
    (workdir / "f.csv").write_text(HEADER + GOOD + "soon,a,1,x\n")
    for status, arguments in (
        (2, ("report", "none")), (2, ("feedback", "import", "f.csv")), (2, ("sql", "SELEKT")),
        (3, ("report", "p", "--fail-on-undecided")), (4, ("sql", "SELECT 1", "--db", "none.duckdb")),
    ):  # fmt: skip
        done = command(*arguments)
        assert done.returncode == status
        assert "Traceback" not in done.stderr
        assert bool(done.stdout) == (status == 3)
    assert count(promoted, "feedback") == 0
