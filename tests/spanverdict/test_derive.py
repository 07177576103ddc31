"""Calls, chains and costs follow what a server receives; history follows the normaliser."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from click.testing import CliRunner

from collector.normalize import NORMALIZER_VERSION
from collector.sender import Sender
from spanverdict.cli import main
from sql.address import StoreAddress
from tests.stores import address_of, store_at

pytestmark = pytest.mark.any_store(slow=True)

SECOND = 1_000_000_000
START = 1_793_000_000 * SECOND


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@pytest.fixture
def deriving(start_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Starts servers that derive ten times a second."""
    monkeypatch.setenv("SPANVERDICT_SERVER__DERIVE_SECONDS", "0.1")
    return start_server


def retried(otlp: Any, trace: int = 1) -> Any:
    """A request with a failed call and the one that answered after it."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
                  "gen_ai.request.model": "gpt-4o-mini", "gen_ai.response.model": "gpt-4o-mini"}  # fmt: skip
    usage = {"gen_ai.usage.input_tokens": 1_000_000, "gen_ai.usage.output_tokens": 0}
    error = {"error.type": "RateLimitError"}
    times = [
        {"start_time_unix_nano": START + n * SECOND, "end_time_unix_nano": START + (n + 1) * SECOND} for n in (0, 2)
    ]
    ids = {"trace_id": trace.to_bytes(16, "big")}
    return otlp.request(
        {**ids, **times[0], "status": {"code": 2}, "attributes": attributes | error},
        {**ids, **times[1], "attributes": attributes | usage},
    )


def test_a_server_derives_what_it_receives(deriving: Callable[..., Any], otlp: Any) -> None:
    """Seconds after spans arrive, the chain and its cost can be asked for in SQL, and a later span is taken in."""
    server = deriving()
    query = "SELECT trace_id, attempts, retries, cost_usd FROM attempt_chains ORDER BY trace_id"
    with Sender(server.told.grpc) as sender:
        sender.send(retried(otlp))
        assert until(lambda: bool(server.sql(query)))
        assert server.sql(query) == [{"trace_id": f"{1:032x}", "attempts": 2, "retries": 1, "cost_usd": 0.15}]
        sender.send(retried(otlp, trace=2))
        assert until(lambda: len(server.sql(query)) == 2)
    assert server.stop() == 0


def test_the_process_that_derives_is_started_again_and_ends_with_the_server(
    deriving: Callable[..., Any], otlp: Any
) -> None:
    """Killed, it comes back and catches up; when the server is killed, it ends by itself."""
    server = deriving()
    children = psutil.Process(server.process.pid).children
    with Sender(server.told.grpc) as sender:
        sender.send(retried(otlp))
        assert until(lambda: bool(children()))
        first = children()[0]
        first.kill()
        sender.send(retried(otlp, trace=2))
        assert until(lambda: len(server.sql("SELECT DISTINCT trace_id FROM calls")) == 2)
    second = children()[0]
    assert second.pid != first.pid
    server.stop(signal.SIGKILL)
    assert until(lambda: not second.is_running() or second.status() == psutil.STATUS_ZOMBIE)


def spoil(path: StoreAddress) -> None:
    """Make every span of a store look as if a version that read nothing had normalised it."""
    with store_at(path) as store:
        rows = store.read(
            "SELECT * EXCLUDE (events, links) REPLACE (0::USMALLINT AS normalizer_version,"
            " NULL::BIGINT AS input_tokens, 'wrong' AS provider, ['other'] AS finish_reasons) FROM spans"
        )
        store.write({"renormalized_spans": rows})


def stored(path: Path, otlp: Any, traces: int = 10) -> StoreAddress:
    """A store of retried calls, imported without a server."""
    folder = path / "otlp"
    folder.mkdir()
    for number in range(traces):
        (folder / f"{number}.pb").write_bytes(retried(otlp, trace=number + 1).SerializeToString())
    store = address_of(path / "s.duckdb")
    result = CliRunner().invoke(main, ["import", str(folder), "--db", str(store)])
    assert result.exit_code == 0, result.output
    return store


@pytest.mark.any_store
def test_an_import_without_a_server_derives(tmp_path: Path, otlp: Any) -> None:
    """After `import` the costs are there; `derive` finds nothing more to do."""
    store = stored(tmp_path, otlp)
    found = CliRunner().invoke(main, ["sql", "SELECT sum(cost_usd) AS c FROM trace_costs", "--db", str(store),
                                      "--format", "csv"])  # fmt: skip
    assert found.stdout.split() == ["c", "1.500000000000"]
    assert found.stderr == ""
    again = CliRunner().invoke(main, ["derive", "--db", str(store)])
    assert again.stderr == "Derived 0 calls of 0 traces.\n"


def test_an_update_normalises_history_while_serving(deriving: Callable[..., Any], tmp_path: Path, otlp: Any) -> None:
    """Spans that an older version wrote are read anew beside what arrives, and costs follow."""
    store = stored(tmp_path, otlp, traces=300)
    spoil(store)
    server = deriving(store)
    with Sender(server.told.grpc) as sender:
        for trace in range(1000, 1040):
            sender.send(retried(otlp, trace=trace))
    old = f"SELECT count(*) AS n FROM spans WHERE normalizer_version IS DISTINCT FROM {NORMALIZER_VERSION}"
    assert until(lambda: server.sql(old) == [{"n": 0}])
    assert server.sql("SELECT DISTINCT provider, finish_reasons FROM spans") == [
        {"provider": "openai", "finish_reasons": None}
    ]
    assert until(lambda: server.sql("SELECT sum(cost_usd) AS c FROM trace_costs") == [{"c": 51}])
    assert server.sql("SELECT count(*) AS n FROM spans") == [{"n": 680}]


def test_a_server_matches_outcomes_with_traces(deriving: Callable[..., Any], tmp_path: Path, otlp: Any) -> None:
    """Feedback that came before its trace, and a restart later, stands beside it by itself."""
    (tmp_path / "f.csv").write_text("time,name,value,conversation_id\n2026-10-27T00:00Z,thumbs_down,1,c\n")
    server = deriving()
    done = CliRunner().invoke(main, ["feedback", "import", str(tmp_path / "f.csv"), "--db", str(server.db)])
    assert done.exit_code == 0
    server.stop()
    server = deriving(server.db)
    with Sender(server.told.grpc) as sender:
        sender.send(otlp.request({"attributes": {"gen_ai.conversation.id": "c"}}))
    found = "SELECT trace_id, matched_by FROM feedback_by_trace"
    assert until(lambda: server.sql(found) == [{"trace_id": "01" * 16, "matched_by": "conversation"}])


def test_sql_says_what_has_not_been_derived(tmp_path: Path, otlp: Any) -> None:
    """A question that touches calls tells on standard error what they lack; others tell nothing."""
    store = stored(tmp_path, otlp)
    with store_at(store) as opened:
        opened.write(
            {"stale_traces": pa.table({"since": pa.nulls(1, pa.timestamp("ns")), "model": pa.nulls(1, pa.string())})}
        )
    told = CliRunner().invoke(main, ["sql", "SELECT count(*) FROM attempt_chains", "--db", str(store)])
    assert "10 traces to derive anew; a running server derives them" in told.stderr
    silent = CliRunner().invoke(main, ["sql", "SELECT count(*) FROM spans", "--db", str(store)])
    assert silent.stderr == ""


def test_the_follower_ends_without_a_server(tmp_path: Path) -> None:
    """`derive --follow` is a part of a server: without one it ends at once."""
    command = [
        sys.executable,
        "-m",
        "spanverdict",
        "derive",
        "--follow",
        "--db",
        str(address_of(tmp_path / "none.duckdb")),
    ]
    ended = subprocess.run(command, stdin=subprocess.PIPE, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
