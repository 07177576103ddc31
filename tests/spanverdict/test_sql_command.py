"""`spanverdict sql`: parameters, the shell, and Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory

from spanverdict.cli import main
from spanverdict.config import Config
from spanverdict.options import Settings
from spanverdict.sql_parameters import parameter
from spanverdict.sql_prompt import SqlCompleter, open_history
from spanverdict.sql_shell import Catalog, Shell, is_whole
from sql import statements
from sql.address import StoreAddress
from sql.clock import utc_now
from sql.errors import QueryError
from sql.flight_server import FlightServer
from sql.opened_store import OpenedStore
from sql.server_file import ServerFile
from tests.processes import PRODUCT_PATH
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

Cli = Callable[..., Result]

PROMPT = "spanverdict>"
ENDLESS = "SELECT count(*) FROM range(9000000) a, range(9000000) b WHERE hash(a.range * b.range) % 7 = 3"


@pytest.fixture
def served(db: StoreAddress) -> Iterator[OpenedStore]:
    """The store of the working directory, served by this process; a lake is asked without a server."""
    with store_at(db) as store:
        if not isinstance(db, Path):
            yield store
            return
        server = FlightServer(store, "127.0.0.1:0", "secret")
        told = dict.fromkeys(("grpc", "http", "monitoring"), "127.0.0.1:1")
        file = ServerFile(pid=os.getpid(), sql=f"127.0.0.1:{server.port}", token="secret", **told).write(db)
        yield store
        file.unlink()
        server.shutdown()


def test_a_query_from_standard_input(db: StoreAddress) -> None:
    """A dash for a file is what comes through a pipe."""
    done = CliRunner().invoke(
        main, ["sql", "--db", str(db), "--file", "-", "--format", "csv"], input="SELECT 7 AS n;\n"
    )
    assert (done.exit_code, done.output) == (0, "n\n7\n")


def test_times_with_a_zone_are_explained(db: StoreAddress) -> None:
    """The first thing that people write, and what to write instead, which is right wherever the server runs."""
    query = "SELECT count(*) AS n FROM spans WHERE start_time > now() - INTERVAL 7 DAY"
    with store_at(db) as store:
        with pytest.raises(QueryError, match="Times of the store are UTC and have no zone"):
            store.read(query)
        assert store.read(query.replace("now()", "now()::TIMESTAMP"))["n"].to_pylist() == [0]
        offset = store.read("SELECT now()::TIMESTAMP - (now() AT TIME ZONE 'UTC') = INTERVAL 0 SECOND AS same")
        assert offset["same"].to_pylist() == [True]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("-1.5", -1.5), ("1e3", 1000.0), ("refunds", "refunds"), ("", ""), ("a=b", "a=b"), ("'7d'", "7d"),
        ('"12"', "12"), ("007", "007"), ("1234567890123456", "1234567890123456"), ("nan", "nan"), ("7 d", "7 d"),
        ("2026-11-02", datetime(2026, 11, 2)), ("2026-11-02T10:00+02:00", datetime(2026, 11, 2, 8)),
    ],
)  # fmt: skip
def test_values_of_parameters(text: str, value: object) -> None:
    """Numbers, ISO times and texts; what is quoted, and what is too long for a number, is text."""
    assert parameter(f"name={text}") == ("name", value)
    assert parameter(f" $name = {text}") == ("name", value)


@pytest.mark.parametrize(
    ("text", "ago"),
    [("90s", timedelta(seconds=90)), ("30m", timedelta(minutes=30)), ("24h", timedelta(days=1)),
     ("7d", timedelta(days=7)), ("2w", timedelta(weeks=2))],
)  # fmt: skip
def test_a_duration_is_a_time_so_long_ago(text: str, ago: timedelta) -> None:
    """Durations become moments in UTC."""
    assert abs(utc_now() - ago - parameter(f"since={text}")[1]) < timedelta(seconds=5)


@given(st.text())
def test_any_text_is_a_parameter_or_a_sentence(text: str) -> None:
    """Whatever is typed gives a value or a usage error."""
    with contextlib.suppress(click.UsageError):
        assert re.fullmatch(r"\w+", parameter(text)[0])


@pytest.mark.parametrize(
    "with_server",
    [
        pytest.param(True, marks=pytest.mark.file_only("a lake is asked without a server")),
        pytest.param(False, marks=pytest.mark.any_store),
    ],
)
@pytest.mark.usefixtures("db")
def test_parameters_are_bound(request: pytest.FixtureRequest, cli: Cli, *, with_server: bool) -> None:
    """Times compare as times, numbers as numbers, texts as texts, with a server and without."""
    if with_server:
        request.getfixturevalue("served")
    query = "SELECT $at > TIMESTAMP '2026-01-01' AS later, $n + 1 AS n, $text AS text, $since < now()::TIMESTAMP AS old"
    given = ["at=2026-11-02", "n=41", "text=it's; DROP", "since=1h"]
    done = cli("sql", query, *(word for one in given for word in ("--param", one)), "--format", "jsonl")
    assert json.loads(done.stdout) == {"later": True, "n": 42, "text": "it's; DROP", "old": True}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("SELECT $since",), "The query's parameter $since has no value; give it one, such as with --param since=7d."),
        (("SELECT $a", "--param", "a=1", "--param", "b=2"), "The query has no parameter $b; its parameters are: $a."),
        (("SELECT 1", "--param", "b=2"), "The query has no parameter $b; its parameters are: none."),
        (("SELECT $a", "--param", "a=1", "--param", "a=2"), "The parameter a is given twice."),
        (("SELECT $a", "--param", "a"), "'a' is not NAME=VALUE, such as since=7d."),
        (("SELECT $a", "--param", "a=2026-13-45"), "is not an ISO 8601 time"),
        (("SELECT $a", "--param", "a=999999w"), "999999w ago is before the year 1."),
    ],
)
def test_parameters_that_do_not_fit(db: StoreAddress, cli: Cli, words: tuple[str, ...], message: str) -> None:
    """What is missing, unknown, double or malformed is one sentence."""
    done = cli("sql", *words, "--db", db)
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.usefixtures("db")
def test_the_limits_hold_without_a_server(workdir: Path, cli: Cli) -> None:
    """A command that opens the store itself has the configured limits of an answer too."""
    (workdir / "spanverdict.toml").write_text("server = {result_rows = 100}\n")
    done = cli("sql", "SELECT range FROM range(101)")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "more than 100 rows, which is the limit (server.result_rows)" in done.stderr


def test_the_list_says_what_each_saved_query_is_for(cli: Cli) -> None:
    """A line each: the name, and a sentence."""
    lines = cli("sql", "--list").stdout.splitlines()
    assert [line.split(maxsplit=1)[0] for line in lines] == list(statements.query_names())
    assert all(re.fullmatch(r"\w+ +[A-Z].{20,}", line) for line in lines)


@pytest.mark.file_only("a lake is asked without a server")
def test_ctrl_c_stops_the_query_on_the_server(served: OpenedStore, workdir: Path) -> None:
    """Interrupted, a command ends with 130, and the server no longer runs its query."""
    command = [sys.executable, "-m", "spanverdict", "sql", ENDLESS]
    process = subprocess.Popen(
        command, cwd=workdir, env={**os.environ, "PYTHONPATH": PRODUCT_PATH}, stderr=-1, text=True
    )
    wait_for(lambda: served._reading)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert not served._reading, "the command had waited for it to end"
    assert process.communicate()[1] == "Interrupted.\n"


@pytest.fixture
def shell(db: StoreAddress) -> Shell:
    """The shell on an empty store."""
    settings = Settings(Config(), db)
    return Shell(settings, Catalog.read(settings), form="jsonl")


def test_what_a_line_does(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    """Queries, commands, parameters and forms; whatever is wrong is a sentence and the shell goes on."""

    def run(text: str) -> tuple[str, str]:
        assert shell.run(text)
        return capsys.readouterr()

    assert run("SELECT 1 AS one;") == ('{"one": 1}\n', "")
    assert run("  ;\n") == ("", "")
    assert "llm_calls\n" in run(".tables").out
    assert run(".schema spans").out.split()[:2] == ["trace_id", "VARCHAR"]
    assert "models_by_day " in run(".queries").out
    assert "SELECT" in run(".show models_by_day").out
    assert run(".run failed_evaluations") == ("", "")
    assert run(".param n=41") == ("n = 41\n", "")
    assert run("SELECT $n + 1 AS n;") == ('{"n": 42}\n', "")
    assert run("SELECT 2 AS two;") == ('{"two": 2}\n', ""), "parameters that a query does not name are not sent"
    run(".format csv")
    assert run("SELECT 1 AS one;") == ("one\n1\n", "")
    assert ".schema" in run(".help").out
    for text, message in {
        "SELEKT;": "syntax error",
        "SELECT $other;": "parameter $other has no value",
        "DELETE FROM spans;": "Only SELECT is answered",
        ".nothing": "There is no command .nothing; .help lists them.",
        ".schema": "Name a table.",
        ".schema nowhere": "There is no table 'nowhere'",
        ".run nowhere": "There is no saved query 'nowhere'",
        ".format pdf": "The forms are table, csv",
        ".param x": "is not NAME=VALUE",
    }.items():
        out, error = run(text)
        assert (out, error[:7]) == ("", "Error: ")
        assert message in error
    for text in ("exit", "QUIT;", ".exit", ".quit"):
        assert not shell.run(text)


@pytest.mark.parametrize(
    ("text", "whole"), [("SELECT 1", False), ("SELECT 1; ", True), (".tables", True), ("exit", True), (" ", True)]
)
def test_a_query_goes_on_to_its_semicolon(text: str, *, whole: bool) -> None:
    """Enter runs what is whole and begins a line otherwise."""
    assert is_whole(text) is whole


@pytest.mark.parametrize(
    ("before", "among", "not_among"),
    [
        ("SELECT * FROM llm", "llm_calls", "spans"),
        ("sel", "SELECT", "spans"),
        ("SELECT spans.tra", "spans.trace_id", "trace_totals"),
        ("SELECT request_m", "request_model", "SELECT"),
        (".sch", ".schema", ".tables"),
        (".schema attempt", "attempt_chains", ".schema"),
        (".run models", "models_by_day", "spans_by_service"),
        (".format j", "jsonl", "csv"),
    ],
)
def test_completion(shell: Shell, before: str, among: str, not_among: str) -> None:
    """Keywords, tables, columns, also after a table's name, commands and what they take."""
    found = [one.text for one in SqlCompleter(shell.catalog).get_completions(Document(before), CompleteEvent())]
    assert among in found
    assert not_among not in found


_ON_A_TERMINAL = """
import fcntl, termios
from spanverdict.cli import main
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
main(["sql"], prog_name="spanverdict")
"""
"""Takes the terminal for its own, so that Ctrl-C reaches it as it reaches a person's command."""


class Terminal:
    """A command on a terminal of its own.

    Args:
        folder: where it runs, and keeps what it remembers.
    """

    def __init__(self, folder: Path) -> None:
        self.master, inner = pty.openpty()
        self.seen = ""
        environment = {**os.environ, "PYTHONPATH": PRODUCT_PATH, "XDG_STATE_HOME": str(folder), "TERM": "xterm",
                       "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "100", "LINES": "40"}  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ON_A_TERMINAL],
            stdin=inner, stdout=inner, stderr=inner, cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(inner)

    def type(self, text: str) -> None:
        """Press keys."""
        self.seen = ""
        os.write(self.master, text.encode())

    def wait_for(self, expected: str) -> None:
        """Read until a text is seen, whatever colours it has."""
        deadline = time.monotonic() + 30
        while expected not in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.seen):
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")

    def leave(self) -> int:
        """Press Ctrl-D, again where it fell between two prompts; the exit status."""
        for _ in range(10):
            self.type("\x04")
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(3)
        pytest.fail(f"It does not end: {self.seen}")


@pytest.fixture
def terminal(served: OpenedStore, workdir: Path) -> Iterator[Terminal]:
    """The shell on a terminal, with a server."""
    assert served
    opened = Terminal(workdir)
    yield opened
    if opened.process.poll() is None:
        opened.process.kill()
    opened.process.wait()
    os.close(opened.master)


def test_the_shell_on_a_terminal(terminal: Terminal, served: OpenedStore, workdir: Path) -> None:
    """A prompt, answers, completion, a bar, Ctrl-C back to the prompt, history for its owner alone, and an end."""
    terminal.wait_for(PROMPT)
    terminal.type("SELECT 6 * 7\r")
    terminal.wait_for("…")
    terminal.type("AS answer;\r")
    terminal.wait_for("answer\r\n    42\r\n")
    terminal.wait_for(PROMPT)
    terminal.type(".sche\t")
    terminal.wait_for("ma")
    terminal.type(" llm_calls\r")
    terminal.wait_for("request_model")
    terminal.type(f"{ENDLESS};\r")
    terminal.wait_for("Ctrl-C stops it")
    terminal.type("\x03")
    terminal.wait_for("Cancelled.")
    assert not served._reading
    terminal.wait_for(PROMPT)
    terminal.type("half a query")
    terminal.wait_for("half a query")
    terminal.type("\x03")
    terminal.wait_for(PROMPT)
    assert terminal.leave() == 0
    kept = workdir / "spanverdict" / "sql_history"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert ".schema llm_calls" in kept.read_text()


def test_a_history_that_cannot_be_kept_is_said(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the state folder is no folder the shell works all the same, with this session's lines."""
    (workdir / "spanverdict").write_text("not a folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(workdir))
    assert isinstance(open_history(), InMemoryHistory)
    assert "sql_history cannot be written (File exists); lines are not kept." in capsys.readouterr().err
