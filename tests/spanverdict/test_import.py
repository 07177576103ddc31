"""`spanverdict import`: with a server and without, once each, interrupted and grown."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import Result

from collector.decode import decode_traces
from collector.ingest import Ingest, OverloadedError
from collector.otlp_json import to_protobuf
from collector.signals import Signal
from spanverdict.import_files import REFUSALS_TOLD
from spanverdict.output import records
from sql.access import RemoteStore, open_store
from sql.address import StoreAddress
from sql.errors import StoreError
from tests.processes import PRODUCT_PATH
from tests.stores import address_of, lakes

pytestmark = pytest.mark.any_store(slow=True)

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample_traces"
AT = 1_793_000_000_000_000_000


def spans(first: int, number: int = 1) -> str:
    """A line of spans known by their numbers."""
    found = [
        {"traceId": f"{first + n + 1:032x}", "spanId": f"{first + n + 1:016x}", "name": "a", "startTimeUnixNano": AT}
        for n in range(number)
    ]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": found}]}]}) + "\n"


def logs(number: int) -> str:
    """A line of one log record."""
    record = {"timeUnixNano": str(AT + number), "body": {"stringValue": f"entry {number}"}}
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}) + "\n"


def ask(db: StoreAddress, query: str) -> list[dict[str, Any]]:
    """Rows of the store."""
    with open_store(address_of(db)) as store:
        return list(records(store.read(query)))


def counts(db: StoreAddress) -> tuple[int, int]:
    """Spans and log records in the store."""
    (row,) = ask(db, "SELECT (SELECT count(*) FROM spans) AS spans, (SELECT count(*) FROM log_records) AS logs")
    return row["spans"], row["logs"]


def test_a_file_is_imported_once(workdir: Path, cli: Callable[..., Result]) -> None:
    """Without a store or a server: the store is made, both signals go in, a second time changes nothing."""
    (workdir / "f.jsonl").write_text(spans(0, 3) + logs(1) + spans(3) + logs(2) + '{"resourceMetrics": [{}]}\n')
    done = cli("import", "f.jsonl", "--db", address_of(Path("s.duckdb")))
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == (
        "Imported 1 file: 6 records stored, 0 were there already, 0 rejected; 0 lines or messages refused."
        " Metrics are not kept: 1 lines or messages of them.\n"
    )
    assert counts(Path("s.duckdb")) == (4, 2)
    (row,) = ask(Path("s.duckdb"), "SELECT path, records_done, finished_at FROM imports")
    assert (row["path"], row["records_done"], row["finished_at"] is not None) == ("f.jsonl", 5, True)
    again = cli("import", "f.jsonl", "--db", address_of(Path("s.duckdb")))
    assert (again.exit_code, "was imported already" in again.stderr, "1 passed over" in again.stderr) == (0, True, True)
    forced = cli("import", "f.jsonl", "--again", "--db", address_of(Path("s.duckdb")))
    assert (forced.exit_code, "0 records stored, 6 were there already" in forced.stderr) == (0, True)
    assert counts(Path("s.duckdb")) == (4, 2)


def test_a_file_under_another_name_is_known(workdir: Path, cli: Callable[..., Result]) -> None:
    """A file is known by its content, wherever it lies."""
    (workdir / "f.jsonl").write_text(spans(0))
    cli("import", "f.jsonl")
    (workdir / "f.jsonl").rename(workdir / "g.jsonl")
    assert "g.jsonl was imported already" in cli("import", "g.jsonl").stderr


def test_a_file_that_has_grown_is_read_from_where_it_ended(workdir: Path, cli: Callable[..., Result]) -> None:
    """Only the lines that were added are taken, the one among them that was half written before."""
    file = workdir / "f.jsonl"
    file.write_text(spans(0, 2) + logs(1) + spans(2)[:30])
    first = cli("import", "f.jsonl")
    assert (first.exit_code, "f.jsonl, line 3: This is not OTLP/JSON" in first.stderr) == (1, True)
    file.write_text(spans(0, 2) + logs(1) + spans(2) + logs(2))
    second = cli("import", "f.jsonl")
    assert (second.exit_code, "2 records stored, 0 were there already" in second.stderr) == (0, True)
    assert counts(Path("spanverdict.duckdb")) == (3, 2)


def test_refusals_are_named_and_the_rest_goes_in(workdir: Path, cli: Callable[..., Result]) -> None:
    """Lines that cannot be read and spans that cannot be stored are told by file and line; the status is 1."""
    without_ids = spans(1).replace(f"{2:032x}", "abcd") + spans(2).replace("traceId", "trace_id")
    (workdir / "f.jsonl").write_text(spans(0) + "{oops\n" + without_ids + spans(3))
    done = cli("import", "f.jsonl")
    assert done.exit_code == 1
    told = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in told[:3]] == [f"f.jsonl, line {number}" for number in (2, 3, 4)]
    assert "1 of 1 were refused: spans need a non-zero 16-byte trace id" in told[1]
    assert "2 records stored, 0 were there already, 2 rejected; 1 line or message refused." in told[3]
    assert counts(Path("spanverdict.duckdb")) == (2, 0)


def test_many_refusals_are_counted(workdir: Path, cli: Callable[..., Result]) -> None:
    """A file of something else does not fill the terminal, and its name does not steer it."""
    (workdir / "f\x1b[31m.jsonl").write_text('{"name": "a"}\n' * 500)
    done = cli("import", ".")
    told = done.stderr.splitlines()
    assert (done.exit_code, len(told)) == (1, REFUSALS_TOLD + 2)
    assert f"{500 - REFUSALS_TOLD} more were refused" in told[-2]
    assert "\x1b" not in done.stderr


def test_what_is_not_there_is_a_usage_error(workdir: Path, cli: Callable[..., Result]) -> None:
    """A path without a file ends before anything is done."""
    done = cli("import", "missing.json")
    assert (done.exit_code, "missing.json: there is no such file or folder." in done.stderr) == (2, True)
    os.mkfifo(workdir / "pipe")
    assert "it is neither a file nor a folder" in cli("import", "pipe").stderr
    assert cli("import").exit_code == 2
    assert not (workdir / "spanverdict.duckdb").exists()


def test_any_name_of_a_file_will_do(workdir: Path, cli: Callable[..., Result]) -> None:
    """A name that is not UTF-8 is written down readably; a pipe and a dangling link in a folder are passed by."""
    folder = workdir / "in"
    folder.mkdir()
    (folder / os.fsdecode(b"a\xff.jsonl")).write_text(spans(0))
    (folder / "b.jsonl").symlink_to("nothing")
    os.mkfifo(folder / "c.jsonl")
    assert cli("import", "in").exit_code == 0
    assert counts(Path("spanverdict.duckdb")) == (1, 0)
    assert r"in/a\xff.jsonl" in cli("sql", "SELECT * FROM imports", "--format", "json").stdout.replace("\\\\", "\\")


def test_a_file_that_cannot_be_read_holds_up_no_other(workdir: Path, cli: Callable[..., Result]) -> None:
    """A damaged file is told and the ones after it are imported."""
    (workdir / "a.json.gz").write_bytes(gzip.compress(spans(0).encode())[:-6])
    (workdir / "b.jsonl").write_text(spans(1))
    done = cli("import", ".")
    assert (done.exit_code, "a.json.gz, after 1: It cannot be read further: it is cut off." in done.stderr) == (1, True)
    assert counts(Path("spanverdict.duckdb")) == (2, 0)
    assert "a.json.gz was imported" not in cli("import", ".").stderr


def test_through_the_running_server(server: Any, tmp_path: Path, command: Callable[..., Any]) -> None:
    """With a server the same goes through it: what is refused is told, a second time changes nothing."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.jsonl").write_text(spans(0, 50) + logs(1) + spans(90).replace(f"{91:032x}", "0" * 32))
    (folder / "b.json").write_text(json.dumps(json.loads(spans(50, 50)), indent=2))
    done = command("import", folder, "--db", server.db)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{folder / 'a.jsonl'}, line 3: 1 of 1 were refused" in done.stderr
    # A lake is written beside its server.
    taken = "101 records stored, 0 were there already" if lakes() else "101 records handed to the server"
    assert f"Imported 2 files: {taken}" in done.stderr
    again = command("import", folder, "--again", "--db", server.db)
    assert again.returncode == 1
    assert counts(server.db) == (100, 1)
    assert "2 passed over" in command("import", folder, "--db", server.db).stderr
    assert server.stop() == 0


@pytest.mark.slow
def test_the_samples_with_and_without_a_server(
    start_server: Callable[..., Any], tmp_path: Path, command: Callable[..., Any]
) -> None:
    """The sample files give the same rows either way."""
    files = sorted(SAMPLE.glob("support-email.*.gz"))
    alone, shared = (address_of(tmp_path / f"{name}.duckdb") for name in ("alone", "shared"))
    start_server(shared)
    for db in (alone, shared):
        assert command("import", *files, "--db", db).returncode == 0
    held = 0
    with gzip.open(SAMPLE / "support-email.traces.jsonl.gz", "rb") as lines:
        for line in lines:
            held += len(decode_traces([to_protobuf(line, Signal.TRACES)]))
    assert counts(alone) == counts(shared)
    assert counts(alone)[0] == held
    query = "SELECT * EXCLUDE (received_at) FROM spans ORDER BY trace_id, span_id LIMIT 200"
    assert ask(alone, query) == ask(shared, query)


ENDED_EARLY = """
import os, sys
from spanverdict import import_files
from spanverdict.cli import main

save, saved = import_files.Importer._save, []

def save_and_be_stopped(importer):
    save(importer)
    saved.append(importer)
    if len(saved) == 3:
        os.kill(os.getpid(), number)

number = int(sys.argv.pop(1))
import_files.SAVE_SECONDS = 0
import_files.BATCH_REQUESTS = 50
import_files.Importer._save = save_and_be_stopped
main()
"""


def ended_early(file: Path, db: StoreAddress, number: int) -> subprocess.CompletedProcess[str]:
    """An import that a signal stops after its third small batch."""
    return subprocess.run(
        [sys.executable, "-c", ENDED_EARLY, str(number), "import", str(file), "--db", str(db)],
        cwd=file.parent, env={**os.environ, "PYTHONPATH": PRODUCT_PATH}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("with_server", [False, True])
def test_a_killed_import_goes_on_where_it_was(
    start_server: Callable[..., Any], tmp_path: Path, command: Callable[..., Any], *, with_server: bool
) -> None:
    """Killed in the middle: the next one goes on behind what was written down, and every record is stored once."""
    file, db = tmp_path / "f.jsonl", address_of(tmp_path / "s.duckdb")
    number = 400
    file.write_text("".join(spans(n * 100, 100) + logs(n) for n in range(number)))
    if with_server:
        start_server(db)
    killed = ended_early(file, db, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (row,) = ask(db, "SELECT records_done, finished_at FROM imports")
    assert 0 < row["records_done"] < 2 * number
    assert row["finished_at"] is None
    done = command("import", file, "--db", db)
    assert done.returncode == 0, done.stderr
    taken = int(re.search(r": (\d+) records", done.stderr)[1])  # type: ignore[index]
    assert taken <= (2 * number - row["records_done"]) // 2 * 101 + 101
    assert counts(db) == (number * 100, number)
    (row,) = ask(db, "SELECT records_done, finished_at FROM imports")
    assert (row["records_done"], row["finished_at"] is not None) == (2 * number, True)


def test_an_interrupted_import_ends_cleanly(tmp_path: Path, command: Callable[..., Any]) -> None:
    """Ctrl-C ends with its own status, everything acknowledged is in the store, and the next one goes on."""
    file, db = tmp_path / "f.jsonl", address_of(tmp_path / "s.duckdb")
    file.write_text("".join(spans(n * 100, 100) for n in range(1000)))
    interrupted = ended_early(file, db, signal.SIGINT)
    assert (interrupted.returncode, interrupted.stderr) == (130, "Interrupted.\n")
    assert not list(tmp_path.glob("*.journal"))
    assert 10_000 < counts(db)[0] < 100_000
    done = command("import", file, "--db", db)
    assert (done.returncode, "f.jsonl was imported" in done.stderr) == (0, False)
    assert counts(db)[0] == 100_000


def test_an_overloaded_collector_is_offered_it_again(
    workdir: Path, cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When more waits than may, the import waits too, and everything goes in."""
    monkeypatch.setenv("SPANVERDICT_INGEST__WAITING_MIB", "1")
    refused: list[Exception] = []
    submit = Ingest.submit

    def watched(ingest: Ingest, signal: Signal, payload: bytes) -> Any:
        try:
            return submit(ingest, signal, payload)
        except OverloadedError as error:
            refused.append(error)
            raise

    monkeypatch.setattr(Ingest, "submit", watched)
    (workdir / "f.jsonl").write_text("".join(spans(n * 1000, 1000) for n in range(60)))
    assert cli("import", "f.jsonl").exit_code == 0
    assert counts(Path("spanverdict.duckdb")) == (60_000, 0)
    assert refused


def test_a_server_that_was_killed_is_done_without(server: Any, workdir: Path, cli: Callable[..., Result]) -> None:
    """Where a server died the next import goes into the store itself; what came in before stays."""
    (workdir / "f.jsonl").write_text(spans(0))
    assert cli("import", "f.jsonl", "--db", server.db).exit_code == 0
    server.stop(signal.SIGKILL)
    (workdir / "f.jsonl").write_text(spans(1))
    assert cli("import", "f.jsonl", "--db", server.db).exit_code == 0
    assert counts(server.db) == (2, 0)


def test_what_is_no_batch_of_requests_is_refused(server: Any) -> None:
    """The server's end takes no other bytes for requests, and says so in a sentence."""
    remote = RemoteStore(server.told.sql, server.told.token)
    sink = pa.BufferOutputStream()
    table = pa.table({"signal": ["profiles"], "payload": [b""]})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    for body in (b"", b"nonsense", sink.getvalue().to_pybytes()):
        with pytest.raises(StoreError, match="This is not a batch of export requests"):
            remote.export(body)
    remote.close()
