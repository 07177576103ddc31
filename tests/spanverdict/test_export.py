"""`spanverdict export` and what takes it back: lossless, once, going on where it was, with a server and without."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from click.testing import Result

from collector.decode import decode_logs, decode_traces
from collector.otlp_json import to_protobuf
from collector.rows import log_rows, span_rows
from collector.signals import Signal
from spanverdict.export_manifest import MANIFEST
from sql.access import open_store
from sql.address import StoreAddress
from sql.exported_tables import TABLES, WHAT
from tests.spanverdict.conftest import MadeOnce
from tests.stores import address_of, store_at

pytestmark = pytest.mark.any_store(slow=True)

Cli = Callable[..., Result]
NIGHT = 1_793_750_399_999_999_000
"""A microsecond before the midnight that begins 2026-11-04, in nanoseconds."""

VALUES: dict[str, Any] = {
    "text": 'a "quoted"\n\u2028 line \U0001f600', "empty": "", "whole": -(2**63), "small": 1e-9, "large": 1e300,
    "integral": 2.0, "true": True, "none": None, "octets": b"\x00\xff", "list": [1, "a", None, [2.5, {"k": []}]],
    "map": {"a": {"b": [True]}}, "nan": float("nan"), "negative_zero": -0.0,
}  # fmt: skip

FEEDBACK = """time,name,value,conversation_id,id,comment
2026-11-03T10:00,thumbs_down,0,conv-1,1,first said
2026-11-04T10:00,thumbs_down,1,conv-1,1,then corrected
2026-11-04T11:00,escalated,1,conv-2,2,
"""


@pytest.fixture
def source(
    request: pytest.FixtureRequest, workdir: Path, made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory
) -> StoreAddress:
    """A store with something in each table that is exported but calibrations, and a trace that crosses midnight."""
    kept = tmp_path_factory.getbasetemp() / "exported.json"

    def make(_: StoreAddress) -> None:
        request.getfixturevalue("filled")
        shutil.copy(workdir / "first.json", kept)

    made = made_once("exported", make)
    shutil.copy(kept, workdir / "first.json")
    return made


@pytest.fixture
def copy(workdir: Path) -> StoreAddress:
    """The address of a store that is not there yet, or is empty."""
    return address_of(workdir / "copy.duckdb")


@pytest.fixture
def filled(promoted: Path, fill: Callable[..., None], workdir: Path, cli: Cli, otlp: Any) -> Path:
    """The store, and a report of it in first.json."""
    fill(promoted, "m0", failing=3, traces=120)
    fill(promoted, "m1", failing=30, traces=120)
    root = {
        "trace_id": b"\x07" * 16, "span_id": b"\x07" * 8, "attributes": VALUES, "trace_state": "a=b", "flags": 257,
        "kind": 2, "start_time_unix_nano": NIGHT, "end_time_unix_nano": NIGHT + 10**10,
        "dropped_attributes_count": 3, "dropped_events_count": 1, "dropped_links_count": 2,
        "status": {"code": 2, "message": "it failed"},
        "events": [{"name": "e", "time_unix_nano": NIGHT + 1, "attributes": otlp.key_values(VALUES)}],
        "links": [{"trace_id": b"\x08" * 16, "span_id": b"\x08" * 8, "attributes": otlp.key_values(VALUES)}],
    }  # fmt: skip
    call = {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "m0", "gen_ai.conversation.id": "conv-1",
        "gen_ai.usage.input_tokens": 5,
    }  # fmt: skip
    child = {
        "trace_id": b"\x07" * 16, "span_id": b"\x09" * 8, "parent_span_id": b"\x07" * 8, "name": "",
        "start_time_unix_nano": NIGHT + 5000, "end_time_unix_nano": 0, "attributes": call,
    }  # fmt: skip
    request = otlp.request(root, child, resource=VALUES)
    scope = request.resource_spans[0].scope_spans[0].scope
    scope.version = "1.2"
    logs = [
        {"timeUnixNano": str(NIGHT + 7), "body": {"stringValue": "entry"}, "severityNumber": 9, "severityText": "INFO"},
        *(
            {
                "timeUnixNano": str(NIGHT + 8 + number), "eventName": "gen_ai.evaluation.result", "traceId": "07" * 16,
                "spanId": "07" * 8, "attributes": [
                    {"key": "gen_ai.evaluation.name", "value": {"stringValue": "faithful"}},
                    {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": score}},
                ],
            }
            for number, score in enumerate((0.25, 0.75))
        ),
    ]  # fmt: skip
    of_logs = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": logs}]}]}).encode()
    arrived = datetime(2026, 11, 20)
    with store_at(promoted) as store:
        store.write(span_rows(decode_traces([request.SerializeToString()]), [None], arrived).tables)
        store.write(log_rows(decode_logs([to_protobuf(of_logs, Signal.LOGS)]), [None], arrived).tables)
    (workdir / "f.csv").write_text(FEEDBACK)
    (workdir / "items.jsonl").write_text('{"id": "a", "input": "hello", "expected": {"tool": "pay"}}\n')
    (workdir / "m.jsonl").write_text(
        json.dumps(
            {
                "request_id": "r", "created_at": "2026-11-03T00:00:00Z", "source_model": "m0", "shadow_model": "m1",
                "source_latency_ms": 5, "shadow_latency_ms": 6, "source_status_code": 200, "shadow_status_code": 200,
            }
        )
    )  # fmt: skip
    for command in (
        ("feedback", "import", "f.csv"), ("dataset", "import", "golden", "items.jsonl"),
        ("mirror", "import", "m.jsonl"),
        ("promotion", "share", "p", "--candidate-share", "0.3", "--at", "2026-11-03T00:00Z"),
        ("derive",), ("report", "p", "--as-of", "2026-11-20T00:00Z", "--format", "json", "--out", "first.json"),
    ):  # fmt: skip
        done = cli(*command, "--db", promoted)
        assert done.exit_code in {0, 1}, done.output
    return promoted


def rows_of(db: StoreAddress, tables: Iterable[str], without: str = "") -> dict[str, pa.Table]:
    """Rows of tables in one order, perhaps without a column."""
    with open_store(db) as store:
        found = {}
        for table in tables:
            columns = store.read(f"SELECT * FROM {table} LIMIT 0").column_names
            kept = ", ".join(f'"{name}"' for name in columns if name != without)
            found[table] = store.read(f"SELECT {kept} FROM {table} ORDER BY ALL")
        return found


def manifest(root: Path) -> dict[str, Any]:
    """What an export says of itself."""
    found: dict[str, Any] = json.loads((root / MANIFEST).read_text())
    return found


def test_what_goes_out_comes_back(source: StoreAddress, copy: StoreAddress, workdir: Path, cli: Cli) -> None:
    """Every column of every exported table is equal, times of derivation too, and a report is the same bytes."""
    exported = cli("export", "--to", "out", "--db", source)
    assert (exported.exit_code, exported.stdout) == (0, ""), exported.output
    assert cli("import", "out", "--db", copy).exit_code == 0
    names = [table.name for table in TABLES]
    first, second = rows_of(source, names), rows_of(copy, names)
    assert {
        name: table.num_rows for name, table in first.items() if name != "calibrations" and not table.num_rows
    } == {}
    for name in names:
        assert second[name].equals(first[name]), name
    # What is made anew: which outcome speaks of which trace.
    made = ("outcome_matches", "open_outcomes", "trace_keys", "stale_traces", "new_outcomes")
    assert rows_of(source, made, "matched_at") == rows_of(copy, made, "matched_at")
    cli("report", "p", "--as-of", "2026-11-20T00:00Z", "--format", "json", "--out", "second.json", "--db", copy)
    assert (workdir / "second.json").read_bytes() == (workdir / "first.json").read_bytes()
    again = cli("import", "out", "--db", copy)
    assert (again.exit_code, " 0 of them new or changed" in again.stderr) == (0, True)
    assert rows_of(copy, names)["spans"].equals(first["spans"])


def test_the_files_are_partitions_that_other_tools_read(source: StoreAddress, workdir: Path, cli: Cli) -> None:
    """Days are folders, rows are in order, and everything is for its owner alone."""
    cli("export", "--to", "out/of/it", "--db", source)
    root = workdir / "out" / "of" / "it"
    spans = pl.scan_parquet(root / "spans", hive_partitioning=True).collect()
    assert (spans["start_time"].dt.date() == spans["date"]).all()
    ordered = spans.filter(pl.col("date") == datetime(2026, 11, 3).date()).select("start_time", "trace_id")
    assert len(ordered) > 1
    assert ordered.rows() == sorted(ordered.rows())
    assert {stat.S_IMODE(path.stat().st_mode) for path in (workdir / "out").rglob("*") if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (workdir / "out").rglob("*") if path.is_dir()} == {0o700}
    files = manifest(root)["files"]
    assert sum(file["rows"] for file in files.values() if file["table"] == "spans") == len(spans)
    assert {file["table"] for file in files.values()} == {table.name for table in TABLES} - {"calibrations"}


def test_a_server_takes_back_and_exports_the_same(
    source: StoreAddress, copy: StoreAddress, workdir: Path, cli: Cli, start_server: Callable[..., Any]
) -> None:
    """What a server took back it exports in the same bytes, its calls with the costs they had."""
    cli("export", "--to", "direct", "--db", source)
    start_server(copy)
    taken = cli("import", "direct", "--db", copy)
    assert taken.exit_code == 0, taken.output
    assert cli("export", "--to", "served", "--db", copy).exit_code == 0
    first, second = manifest(workdir / "direct")["files"], manifest(workdir / "served")["files"]
    assert {name: file["checksum"] for name, file in second.items()} == {
        name: file["checksum"] for name, file in first.items()
    }


def test_it_goes_on_where_it_was_interrupted(source: StoreAddress, workdir: Path, cli: Cli) -> None:
    """What cannot be written ends it with one sentence; what was written stays, and is not written again."""
    (workdir / "out").mkdir()
    (workdir / "out" / "spans").write_text("in the way")
    failed = cli("export", "--to", "out", "--db", source)
    assert (failed.exit_code, "spans" in failed.stderr, "Traceback" in failed.stderr) == (4, True, False)
    done = manifest(workdir / "out")["files"]
    assert {file["table"] for file in done.values()} >= {"promotions", "evaluations"}
    assert list((workdir / "out").rglob("*.tmp")) == []
    (workdir / "out" / "spans").unlink()
    resumed = cli("export", "--to", "out", "--db", source)
    assert f"{len(done)} were there already" in resumed.stderr
    files = manifest(workdir / "out")["files"]
    assert {file["table"] for file in files.values()} == {table.name for table in TABLES} - {"calibrations"}
    assert done.items() <= files.items()
    assert "0 rows into 0 files" in cli("export", "--to", "out", "--db", source).stderr


def test_days_that_changed_are_written_anew_and_none_is_lost(
    source: StoreAddress, workdir: Path, cli: Cli, otlp: Any
) -> None:
    """A late span replaces its day's file alone; a day of which the store has less stays as it is."""
    cli("export", "--to", "out", "--what", "spans", "--db", source)
    before = manifest(workdir / "out")["files"]
    late = otlp.request({"trace_id": b"\x0a" * 16, "start_time_unix_nano": NIGHT, "end_time_unix_nano": NIGHT + 1})
    with store_at(source) as store:
        store.write(span_rows(decode_traces([late.SerializeToString()]), [None], datetime(2026, 11, 21)).tables)
    assert "into 1 files" in cli("export", "--to", "out", "--what", "spans", "--db", source).stderr
    after = manifest(workdir / "out")["files"]
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"spans/date=2026-11-03/spans.parquet"}
    less = address_of(workdir / "less.duckdb")
    with store_at(less) as store:
        store.write(span_rows(decode_traces([late.SerializeToString()]), [None], datetime(2026, 11, 21)).tables)
    told = cli("export", "--to", "out", "--what", "spans", "--db", less)
    assert "spans/date=2026-11-03/spans.parquet stays as it is: the store has 1 of its" in told.stderr
    assert manifest(workdir / "out")["files"] == after


def test_an_export_joins_what_is_there(source: StoreAddress, workdir: Path, cli: Cli, otlp: Any) -> None:
    """A store with a part of a trace gets the rest, and derives it anew; of words on an outcome the later stands."""
    cli("export", "--to", "out", "--db", source)
    part = otlp.request(
        {
            "trace_id": b"\x07" * 16,
            "span_id": b"\x0b" * 8,
            "start_time_unix_nano": NIGHT + 9,
            "end_time_unix_nano": NIGHT + 10,
        }
    )
    other = address_of(workdir / "other.duckdb")
    with store_at(other) as store:
        store.write(span_rows(decode_traces([part.SerializeToString()]), [None], datetime(2026, 11, 25)).tables)
    later = FEEDBACK.replace("2026-11-04T10:00,thumbs_down,1", "2026-11-05T10:00,thumbs_down,0")
    (workdir / "later.csv").write_text(later)
    cli("feedback", "import", "later.csv", "--db", other)
    cli("derive", "--db", other)
    assert cli("import", "out", "--db", other).exit_code == 0
    found = rows_of(other, ("spans", "calls", "stale_traces", "feedback", "superseded_feedback"))
    assert found["spans"].num_rows == rows_of(source, ("spans",))["spans"].num_rows + 1
    assert found["calls"].num_rows == rows_of(source, ("calls",))["calls"].num_rows
    assert found["stale_traces"].num_rows == 0
    derived = dict(zip(found["calls"]["trace_id"].to_pylist(), found["calls"]["derived_at"].to_pylist(), strict=True))
    first = rows_of(source, ("calls",))["calls"]
    anew = {
        trace_id
        for trace_id, at in zip(first["trace_id"].to_pylist(), first["derived_at"].to_pylist(), strict=True)
        if derived[trace_id] != at
    }
    assert anew == {"07" * 16}
    stands = [row["event_time"].day for row in found["feedback"].to_pylist() if row["name"] == "thumbs_down"]
    replaced = [row["event_time"].day for row in found["superseded_feedback"].to_pylist()]
    assert (stands, sorted(replaced)) == ([5], [3, 4])


def test_days_are_whole(source: StoreAddress, copy: StoreAddress, workdir: Path, cli: Cli) -> None:
    """--since and --until are rounded outwards to UTC days: a later run of other days adds to the same folder."""
    cli("export", "--to", "out", "--what", "spans,traces", "--db", source,
        "--since", "2026-11-03T13:00Z", "--until", "2026-11-03T14:00Z")  # fmt: skip
    assert [name for name in manifest(workdir / "out")["files"] if "date=" in name] == [
        "spans/date=2026-11-03/spans.parquet", "calls/date=2026-11-03/calls.parquet",
    ]  # fmt: skip
    cli("export", "--to", "out", "--what", "spans,traces", "--since", "2026-11-04", "--db", source)
    cli("import", "out", "--db", copy)
    both = [rows_of(path, ("spans",))["spans"].to_pylist() for path in (source, copy)]
    assert both[1] == [row for row in both[0] if row["start_time"].to_pydatetime(warn=False).day >= 3]
    assert cli("export", "--to", "x", "--since", "2026-11-05", "--until", "2026-11-05", "--db", source).exit_code == 2


def test_otlp_lines_come_back_as_they_were(source: StoreAddress, copy: StoreAddress, workdir: Path, cli: Cli) -> None:
    """Attributes of every type, events, links, resources, scopes and log records are equal after import as OTLP."""
    exported = cli("export", "--to", "out", "--format", "otlp", "--db", source)
    assert exported.exit_code == 0, exported.output
    assert {file["table"] for file in manifest(workdir / "out")["files"].values()} == {"spans", "log_records"}
    taken = cli("import", "out", "--db", copy)
    assert (taken.exit_code, "0 lines or messages refused" in taken.stderr) == (0, True), taken.output
    names = ("spans", "log_records", "resources", "evaluations", "superseded_evaluations")
    first = rows_of(source, names, "received_at")
    second = rows_of(copy, names, "received_at")
    for name in names:
        assert second[name].equals(first[name]), name


def test_what_is_damaged_is_named(source: StoreAddress, copy: StoreAddress, workdir: Path, cli: Cli) -> None:
    """A file that is missing or other than written, a manifest that is not one: one sentence each."""
    cli("export", "--to", "out", "--what", "spans", "--db", source)
    spans = workdir / "out" / "spans" / "date=2026-11-03" / "spans.parquet"
    content = spans.read_bytes()
    spans.write_bytes(content[:-1] + b"x")
    damaged = cli("import", "out", "--db", copy)
    assert (damaged.exit_code, damaged.stderr.count("\n")) == (2, 1)
    assert "spans/date=2026-11-03/spans.parquet is not what was exported" in damaged.stderr
    spans.unlink()
    assert "spans.parquet is missing" in cli("import", "out", "--db", copy).stderr
    spans.write_bytes(content)
    assert cli("import", "out", "--db", copy).exit_code == 0
    assert rows_of(copy, ("spans",)) == rows_of(source, ("spans",))
    said = json.dumps(manifest(workdir / "out"))
    for wrong, sentence in (
        ("{", "cannot be read"),
        (said.replace('"version": 1', '"version": 99'), "newer spanverdict"),
        (said.replace('"table": "spans"', '"table": "secrets"'), "no file of an export"),
        (said.replace("spans/date=2026-11-03/", "../../"), "no file of an export"),
        (said.replace('"store_version": ', '"store_version": 9'), "update"),
    ):
        (workdir / "out" / MANIFEST).write_text(wrong)
        refused = cli("import", "out", "--db", copy)
        assert (refused.exit_code, sentence in refused.stderr, refused.stderr.count("\n")) == (2, True, 1), (
            refused.stderr
        )


def test_what_is_asked_wrongly_is_said(source: StoreAddress, cli: Cli) -> None:
    """Unknown parts, parts that OTLP does not hold, another format in the same folder, an address that is none."""
    cli("export", "--to", "out", "--what", "promotions", "--db", source)
    for options, sentence in (
        (("--to", "out", "--what", "secrets"), f"none of {', '.join(WHAT)}"),
        (("--to", "out", "--what", "outcomes", "--format", "otlp"), "OTLP holds spans and logs"),
        (("--to", "out", "--format", "otlp"), "has the format parquet"),
        (("--to", "nothing://there"), "nothing:// address cannot be used"),
    ):
        refused = cli("export", *options, "--db", source)
        assert (refused.exit_code, sentence in refused.stderr) == (2, True), refused.stderr


@pytest.mark.any_store
def test_nothing_is_exported_of_an_empty_store(db: Path, copy: StoreAddress, workdir: Path, cli: Cli) -> None:
    """A store without rows gives an export without files, which comes back as nothing."""
    assert "0 rows into 0 files" in cli("export", "--to", "out", "--db", db).stderr
    assert "export of 0 files: 0 rows" in cli("import", "out", "--db", copy).stderr
    assert manifest(workdir / "out")["files"] == {}
