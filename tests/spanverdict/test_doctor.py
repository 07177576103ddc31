"""`spanverdict doctor` says what is missing or does not fit, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from analytics.derive import derive
from analytics.job_options import JobOptions
from collector.decode import decode_traces
from collector.rows import span_rows
from spanverdict.cli import main
from sql.clock import utc_now
from tests.stores import address_of, lakes, store_at

pytestmark = pytest.mark.any_store(slow=True)

FEEDBACK = """\
time,name,value,trace_id,span_id,key,source
{then},csat,4,,,T-1,zendesk
{then},thumbs_down,1,0123456789abcdef0123456789abcdef,,,web
{later},escalated,1,01010101010101010101010101010101,,,crm
"""


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, dict[str, list[Any]]]]:
    """Asks the doctor about a store; its exit status and findings by check."""
    monkeypatch.chdir(tmp_path)

    def ask(*options: str) -> tuple[int, dict[str, list[Any]]]:
        told = CliRunner().invoke(
            main, ["doctor", "--db", str(address_of(Path("s.duckdb"))), "--format", "json", *options]
        )
        assert told.stderr == ""
        found: dict[str, list[Any]] = {}
        for finding in json.loads(told.stdout):
            found.setdefault(finding["check"], []).append(finding)
        return told.exit_code, found

    return ask


def run(*arguments: str) -> str:
    """What a command says on standard error."""
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 0, done.stderr
    return done.stderr


def test_the_doctor_says_what_to_do(doctor: Callable[..., Any], tmp_path: Path, otlp: Any) -> None:
    """What matches nothing, by reason; feedback without direction; unread scores; prices; clocks; the configuration."""
    call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "ours", "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 1}  # fmt: skip
    score = {"gen_ai.evaluation.name": "Tone", "gen_ai.evaluation.score.value": 0.4}
    request = otlp.request({"attributes": call})
    event = (
        request.resource_spans[0]
        .scope_spans[0]
        .spans[0]
        .events.add(name="gen_ai.evaluation.result", time_unix_nano=1_793_000_000_000_000_000)
    )
    event.attributes.extend(otlp.key_values(score))
    address = address_of(tmp_path / "s.duckdb")
    store_at(address).close()
    now = datetime.now()  # noqa: DTZ005 (a time of a file without an offset)
    moments = {
        "then": f"{now - timedelta(days=3):%Y-%m-%dT%H:%M}",
        "later": f"{now + timedelta(days=9):%Y-%m-%dT%H:%M}",
    }
    (tmp_path / "f.csv").write_text(FEEDBACK.format(**moments))
    run("feedback", "import", "f.csv", "--db", str(address))
    with store_at(address) as store:
        store.write(span_rows(decode_traces([request.SerializeToString()]), [None], utc_now()).tables)
        derive(store, JobOptions())
        # What an older version let in.
        texts = ("label", "trace_id", "response_id", "conversation_id", "key", "source", "comment", "attributes", "id")
        given = {"name": "thumbs_down", "span_id": "nothex", **dict.fromkeys(texts)}
        kinds = {"event_time": pa.timestamp("us"), "received_at": pa.timestamp("us"), "value": pa.float64()}
        schema = pa.schema({**dict.fromkeys(given, pa.string()), **kinds})
        row = given | {"event_time": utc_now(), "received_at": utc_now(), "value": 1.0}
        store.write({"feedback": pa.Table.from_pylist([row], schema)})
    _, waiting = doctor()
    assert "2 outcomes and 1 spans wait" in waiting["matching"][0]["detail"]
    assert "have not been matched" in run("sql", "FROM feedback_by_trace", "--db", str(address))
    run("derive", "--db", str(address))
    status, found = doctor()
    assert status == 0
    statuses = [
        found[check][0]["status"]
        for check in ("configuration", "tasks" if lakes() else "server", "store", "spans", "matching")
    ]
    assert statuses == ["ok", "warn", "ok", "ok", "ok"]
    mends = " ".join(finding["mend"] or finding["detail"] for finding in found["unmatched outcomes"])
    assert "feedback.key_attribute" in mends
    assert "not 16 lowercase hex digits, such as 'nothex'" in mends
    assert "Their traces may still come." in mends
    assert [finding["detail"][:4] for finding in found["feedback"]] == ["csat"]
    assert "1 of 1 recent results of Tone" in found["evaluators"][0]["detail"]
    assert "1 calls have no price: ours." in found["prices"][0]["detail"]
    assert "feedback from crm" in found["clocks"][0]["detail"]
    (tmp_path / "keyed.toml").write_text('[feedback]\nkey_attribute = "ticket.id"\n')
    run("derive", "--db", str(address), "--config", "keyed.toml")
    _, keyed = doctor("--config", "keyed.toml")
    assert "no span or resource has the attribute ticket.id" in str(keyed["unmatched outcomes"])
    assert "give this command and the server the same configuration" in str(doctor()[1]["matching"])


@pytest.mark.file_only("a lake is neither missing nor another kind of file")
def test_what_cannot_be_looked_at_fails(doctor: Callable[..., Any], tmp_path: Path) -> None:
    """A broken configuration and a store that is none are said, with status 1, and do not end the doctor early."""
    status, found = doctor()
    assert status == 1
    assert "There is no store at s.duckdb." in found["store"][0]["detail"]
    (tmp_path / "s.duckdb").write_text("not a database")
    (tmp_path / "wrong.toml").write_text("[feedbak]\n")
    status, found = doctor("--config", "wrong.toml")
    assert status == 1
    assert "did you mean 'feedback'" in found["configuration"][0]["detail"]
    assert found["store"][0]["status"] == "fail"


@pytest.mark.file_only("a lake has no server that owns it")
def test_the_doctor_asks_a_running_server(server: Any) -> None:
    """With a server the doctor looks through it, and says so in a table."""
    told = CliRunner().invoke(main, ["doctor", "--db", str(server.db)])
    assert told.exit_code == 0
    assert f"ok      server: Process {server.told.pid} receives OTLP/gRPC on {server.told.grpc}" in told.stdout
    assert "warn    spans: The store has no span yet.\n        → point an OTLP exporter" in told.stdout
