"""Closed days in the archive: the same answers, nothing twice, nothing lost, whatever happens when."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from click.testing import Result

from analytics.job_options import JobOptions
from collector.decode import decode_logs, decode_traces
from collector.normalize import NORMALIZER_VERSION
from collector.otlp_json import to_protobuf
from collector.renormalize import renormalize
from collector.rows import log_rows, span_rows
from collector.signals import Signal
from spanverdict.archive_task import FIRST_LOOK_SECONDS, ArchiveTask
from spanverdict.archiving import KEPT, archive, archive_lock, closed_days
from spanverdict.config_sections import ArchiveConfig
from spanverdict.derivation import bring_up_to_date
from sql import statements
from sql.archived_tables import archive_directory
from sql.clock import utc_now
from sql.errors import QueryError, StoreError, StoreUnavailableError
from sql.exported_tables import BY_NAME, hours_query, rows_query
from sql.store import Store

Cli = Callable[..., Result]

NOW = datetime(2026, 11, 6)
FIRST_DAY = date(2026, 11, 2)
NEW_YEAR = 1_793_577_600_000_000_000
"""The midnight that begins the first day, in nanoseconds."""
DAY_NS = 86_400 * 10**9
ALL = date(2026, 11, 30)
FACT = "SELECT count(*) AS n, bit_xor(hash(whole)) AS content FROM {} AS whole"


def spans(otlp: Any, *numbers: int, received: datetime = NOW) -> dict[str, pa.Table]:
    """Spans by their numbers: of traces of four, two hours apart, from the first day on."""
    given = [
        {
            "trace_id": (1 + number // 4).to_bytes(16, "big"),
            "span_id": (1 + number).to_bytes(8, "big"),
            "parent_span_id": (1 + number - number % 4).to_bytes(8, "big") if number % 4 else b"",
            "start_time_unix_nano": NEW_YEAR + number * DAY_NS // 12 + 1,
            "end_time_unix_nano": NEW_YEAR + number * (DAY_NS // 12 + 10**6) + 10**9,
            "attributes": {
                "gen_ai.operation.name": "chat", "gen_ai.request.model": f"m{number % 2}", "app.cohort": "é",
                "gen_ai.usage.input_tokens": number, "gen_ai.usage.output_tokens": 3, "list": [1, "a"],
            },
        }
        for number in numbers
    ]  # fmt: skip
    return span_rows(decode_traces([otlp.request(*given).SerializeToString()]), [None], received).tables


def logs(*numbers: int) -> dict[str, pa.Table]:
    """Log records by their numbers, twelve a day."""
    records = [
        {"timeUnixNano": str(NEW_YEAR + number * DAY_NS // 12), "body": {"stringValue": f"record {number}"}}
        for number in numbers
    ]
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    return log_rows(decode_logs([to_protobuf(json.dumps(request).encode(), Signal.LOGS)]), [None], NOW).tables


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "s.duckdb"


@pytest.fixture(scope="module")
def derived(tmp_path_factory: pytest.TempPathFactory, otlp: Any) -> Path:
    """A store with two days of spans and one of log records, of which everything is derived."""
    path = tmp_path_factory.mktemp("derived") / "s.duckdb"
    with Store(path) as opened:
        opened.write(spans(otlp, *range(24)))
        opened.write(logs(*range(12)))
        bring_up_to_date(opened, JobOptions())
    return path


@pytest.fixture
def store(derived: Path, path: Path) -> Iterator[Store]:
    """A copy of that store, open."""
    shutil.copy(derived, path)
    with Store(path) as opened:
        yield opened


def archive_all(store: Store, path: Path, before: date = ALL, now: datetime | None = None) -> list[tuple[str, date]]:
    """Archive every closed day; tells which."""
    days = closed_days(store, before, 1, now)
    return [(done.day.table.name, done.day.day) for done in archive(store, path, days)]


def count(store: Store, relation: str) -> int:
    """How many rows it has."""
    return int(store.read(f"SELECT count(*) AS n FROM {relation}")["n"][0].as_py())


def files(path: Path) -> list[Path]:
    """The Parquet files that are there."""
    return sorted(archive_directory(path).glob("*/*/*.parquet"))


def test_every_view_and_query_answers_the_same(store: Store, path: Path, tmp_path: Path) -> None:
    """Every view, saved query and export reads the archive like live rows, in order and to the last type."""
    questions = [f"SELECT * FROM {name} ORDER BY ALL" for name in (*statements.VIEWS, "spans", "log_records")]
    questions += [
        f"SELECT * FROM ({statements.query(name).rstrip().rstrip(';')}) ORDER BY ALL"
        for name in statements.query_names()
    ]
    days = {"since": datetime(2026, 1, 1), "until": datetime(2027, 1, 1)}
    exports = [text(BY_NAME[name]) for name in ("spans", "log_records") for text in (rows_query, hours_query)]
    before = [store.read(question) for question in questions] + [store.read(text, days) for text in exports]

    assert len(archive_all(store, path)) == 3
    assert count(store, "live_spans") == count(store, "live_log_records") == 0
    after = [store.read(question) for question in questions] + [store.read(text, days) for text in exports]
    for text, was, is_now in zip([*questions, *exports], before, after, strict=True):
        assert is_now.equals(was), text
    assert sum(answer.num_rows > 0 for answer in after) > 25

    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files(path))
    frame = pl.read_parquet(files(path)[-1])
    assert frame["trace_id"].is_sorted(), "a trace is in one row group"
    assert frame.schema["start_time"] == pl.Datetime("ns")
    assert list(tmp_path.glob("**/.drafts/*")) == []


def test_a_repeated_record_is_stored_once(store: Store, path: Path, otlp: Any) -> None:
    """What is in the archive already is no new row; what is new of an archived day is live, then in its file."""
    archive_all(store, path)
    again = NOW + timedelta(days=1)
    assert store.write(spans(otlp, *range(24), received=again))["spans"] == 0
    assert store.write(logs(3, 4))["log_records"] == 0
    # The first day, with one span of it that is new.
    late = spans(otlp, 0, 1, 2, received=again)
    late["spans"] = pa.concat_tables([late["spans"], renamed(late["spans"].slice(1, 1))])
    assert store.write(late)["spans"] == 1
    assert (count(store, "live_spans"), count(store, "spans")) == (1, 25)

    bring_up_to_date(store, JobOptions())
    content = store.read(FACT.format("spans"))
    waiting = [day for day in closed_days(store, ALL, 1000) if day.table.name == "spans"]
    assert "written within a day" in str(waiting[0].waits_for), "one late span has no file written anew every hour"
    assert archive_all(store, path) == [("spans", FIRST_DAY)]
    assert store.read(FACT.format("spans")).equals(content)
    assert count(store, "live_spans") == 0
    assert store.read(
        "SELECT rows FROM archived_files WHERE day = '2026-11-02' AND table_name = 'spans'"
    ).to_pylist() == [{"rows": 13}]
    # The file of before stays while a query may read it, and goes then.
    (replaced,) = store.read("SELECT file FROM replaced_files")["file"].to_pylist()
    assert (archive_directory(path) / replaced).exists()
    store.write({"spans": renamed(late["spans"].slice(0, 1), "c")})
    assert count(store, "spans") == 26


def renamed(rows: pa.Table, first: str = "b") -> pa.Table:
    """The same spans under other ids."""
    other = pa.array([first + text[1:] for text in rows["span_id"].to_pylist()])
    return rows.set_column(rows.schema.get_field_index("span_id"), "span_id", other)


def test_a_late_span_is_derived_with_the_rest_of_its_trace(store: Store, path: Path, otlp: Any) -> None:
    """A trace whose first spans are archived keeps their calls when a span of it arrives days later, and is marked."""
    archive_all(store, path)
    late = spans(otlp, 3, received=NOW + timedelta(days=9))["spans"]
    moved = pa.array([NEW_YEAR + 8 * DAY_NS], late.schema.field("start_time").type)
    late = renamed(late.set_column(late.schema.get_field_index("start_time"), "start_time", moved))
    assert store.write({"spans": late})["spans"] == 1
    calls = "SELECT count(*) AS n FROM calls WHERE trace_id = '00000000000000000000000000000001'"
    assert store.read(calls)["n"].to_pylist() == [4]
    bring_up_to_date(store, JobOptions())
    assert store.read(calls)["n"].to_pylist() == [5]
    since = pa.array([None], pa.timestamp("us"))
    store.write({"stale_traces": pa.table({"since": since, "model": pa.array([None], pa.string())})})
    bring_up_to_date(store, JobOptions())
    assert store.read("SELECT count(*) AS n FROM calls")["n"].to_pylist() == [25]


def test_another_key_is_looked_for_in_the_archive_too(store: Store, path: Path) -> None:
    """When another attribute holds the application's key, archived spans are looked at once more."""
    archive_all(store, path)
    assert store.read("SELECT spans_left FROM matching_progress")["spans_left"].to_pylist() == [0]
    store.write({"key_attributes": pa.table({"key_attribute": ["app.cohort"]})})
    assert store.read("SELECT spans_left FROM matching_progress")["spans_left"].to_pylist() == [24]
    bring_up_to_date(store, JobOptions(feedback_key="app.cohort"))
    assert count(store, "trace_keys") == 6
    assert store.read("SELECT spans_left FROM matching_progress")["spans_left"].to_pylist() == [0]


def test_queries_meanwhile_see_each_row_once(store: Store, path: Path) -> None:
    """While days are archived, merged and brought back, no query counts a span twice or not at all."""
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            row = store.read("SELECT count(*) AS n, count(DISTINCT span_id) AS ids FROM spans").to_pylist()[0]
            seen.append((row["n"], row["ids"]))

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(2):
        archive_all(store, path)
        listed = store.read("SELECT file FROM archived_files")
        store.write({"thawed_files": listed})
    done.set()
    asking.join()
    assert len(seen) > 10
    assert set(seen) == {(24, 24)}


KILLED = """
import os, signal, sys
from pathlib import Path
from spanverdict import archiving
from sql.store import Store

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

path = Path(sys.argv[1])
with Store(path) as store:
    days = archiving.closed_days(store, archiving.date(2026, 11, 30), 1)
    if sys.argv[2] == "draft":
        archiving.os.replace = Path.replace = kill
    if sys.argv[2] == "renamed":
        store.write = kill
    if sys.argv[2] == "committed":
        store._checkpoint = kill
    list(archiving.archive(store, path, days))
"""


@pytest.mark.parametrize("when", [pytest.param("draft", marks=pytest.mark.slow), "renamed", "committed"])
def test_a_kill_at_any_step_loses_nothing(store: Store, path: Path, when: str) -> None:
    """Killed with a draft, between rename and commit, or between commit and checkpoint: each row is there once."""
    content = store.read(FACT.format("spans"))
    store.close()
    killed = subprocess.run([sys.executable, "-c", KILLED, path, when], cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -9
    with Store(path) as again:
        assert again.read(FACT.format("spans")).equals(content)
        assert count(again, "archived_files") == (when == "committed")
        for file in files(path):
            os.utime(file, times=(1, 1))
        left = len(files(path))
        assert left == (when != "draft")
        archive_all(again, path)
        assert len(files(path)) == 3, "what was left by the run that was killed is gone, what is listed is not"
        assert again.read(FACT.format("spans")).equals(content)
        assert not list((archive_directory(path) / ".drafts").iterdir())
        again.close()
        # The file behind the fixture is the same one; it is closed once more at its end.
        store.reopen()


def test_a_store_moves_with_its_archive(store: Store, path: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Moved together, opened for reading only, from wherever: the views find the files."""
    content = store.read(FACT.format("spans"))
    archive_all(store, path)
    store.close()
    new = tmp_path / "the 'new' place" / "other.duckdb"
    new.parent.mkdir()
    monkeypatch.chdir("/")
    path.rename(new.parent / path.name)
    archive_directory(path).rename(archive_directory(new.parent / path.name))
    with Store(new.parent / path.name, read_only=True) as moved:
        assert moved.read(FACT.format("spans")).equals(content)
    with Store(new.parent / path.name) as moved:
        assert moved.read(FACT.format("spans")).equals(content)
        assert moved.read("SELECT count(*) AS n FROM spans WHERE trace_id = '00000000000000000000000000000001'")[
            "n"
        ].to_pylist() == [4]


def test_a_file_that_is_lost_is_told(store: Store, path: Path, otlp: Any, caplog: Any) -> None:
    """A missing or cut file ends every query in one sentence that names it; what arrives is stored all the same."""
    archive_all(store, path)
    file = files(path)[-1]
    name = file.relative_to(archive_directory(path)).as_posix()
    whole = file.read_bytes()
    for cut in (0, len(whole) // 2):
        file.write_bytes(whole[:cut])
        with pytest.raises(QueryError, match=f"file {name} is missing or damaged: restore it") as told:
            store.read("SELECT sum(input_tokens) FROM spans")
        assert "\n" not in str(told.value)
    file.unlink()
    with pytest.raises(QueryError, match=f"file {name} is missing or damaged: restore it"):
        store.read("SELECT count(*) FROM spans")
    assert store.write(spans(otlp, 23))["spans"] == 1, "whether it is a repetition cannot be told now"
    assert name in caplog.text
    file.write_bytes(whole)
    file.chmod(0o600)
    bring_up_to_date(store, JobOptions())
    archive_all(store, path)
    assert count(store, "spans") == 24, "once the file is back, the repetition is dropped"


def test_lost_files_are_given_up_by_name(store: Store, path: Path, cli: Cli) -> None:
    """--forget takes files off the list that are lost, all at once, and none that is there."""
    archive_all(store, path)
    store.close()
    lost = files(path)[-2:]
    names = [file.relative_to(archive_directory(path)).as_posix() for file in lost]
    told = cli("archive", "--db", path, "--forget", names[0])
    assert told.exit_code == 4
    assert "only a file that is lost" in told.stderr
    for file in lost:
        file.unlink()
    told = cli("archive", "--db", path, "--forget", names[0], "--forget", names[1])
    assert (told.exit_code, told.stderr) == (0, f"{', '.join(names)}: listed no more; 24 rows are given up.\n")
    store.reopen()
    assert count(store, "spans") == 0


def test_what_changes_meanwhile_is_not_lost(store: Store, path: Path, otlp: Any) -> None:
    """A row changed after the file was written keeps the day live; one that arrives then stays live."""
    days = [day for day in closed_days(store, ALL, 1) if day.table.name == "spans"]
    write = store.write
    between: list[Callable[[], object]] = [
        lambda: write({"spans": renamed(spans(otlp, 0)["spans"])}),
        lambda: write({"normalizer_versions": renormalized(spans(otlp, 13)["spans"])}),
    ]

    def disturbed(tables: dict[str, pa.Table]) -> dict[str, int]:
        if "archived_files" in tables and between:
            between.pop(0)()
        return write(tables)

    store.write = disturbed  # type: ignore[method-assign, assignment]
    run = archive(store, path, days)
    assert next(run).file.rows == 12
    assert store.read("SELECT count(*) AS n FROM live_spans WHERE start_time < '2026-11-03'")["n"].to_pylist() == [1]
    with pytest.raises(StoreError, match="spans of 2026-11-03 changed while they were archived"):
        next(run)
    assert (count(store, "spans"), count(store, "archived_files")) == (25, 1)


def renormalized(rows: pa.Table) -> pa.Table:
    """A later version of the normaliser's word on spans."""
    keys = rows.select(["start_time", "span_id", "trace_id"])
    return keys.append_column("normalizer_version", pa.array([NORMALIZER_VERSION + 1], pa.uint16()))


def test_days_of_an_older_normaliser_come_back(store: Store, path: Path, otlp: Any) -> None:
    """An archived day that an older version normalised is brought back, normalised anew, and archived again."""
    old = pa.array([NORMALIZER_VERSION - 1] * 12, pa.uint16())
    keys = spans(otlp, *range(12))["spans"].select(["start_time", "span_id", "trace_id"])
    store.write({"normalizer_versions": keys.append_column("normalizer_version", old)})
    days = closed_days(store, ALL, 1)
    assert "has not been normalised" in str(days[1].waits_for)
    forced = [type(day)(day.table, day.day, day.live_rows, day.replaces, None) for day in days]
    assert len(list(archive(store, path, forced))) == 3
    assert renormalize(store) == 12
    assert (count(store, "live_spans"), count(store, "spans")) == (12, 24)
    archive_all(store, path)
    assert renormalize(store) == 0
    assert (count(store, "live_spans"), count(store, "spans")) == (0, 24)


def test_what_is_not_closed_stays(store: Store, path: Path, otlp: Any, cli: Cli) -> None:
    """What is not derived yet, too little or too new stays in the store, and --dry-run says why."""
    store.write(spans(otlp, 24, received=NOW + timedelta(days=1)))
    assert [day.waits_for is None for day in closed_days(store, ALL, 12) if day.table.name == "spans"] == [
        True, True, False,
    ]  # fmt: skip
    store.close()
    told = cli("archive", "--db", path, "--before", "2026-11-04", "--dry-run", "--format", "csv").stdout.splitlines()
    assert told[0] == "table_name,day,live_rows,replaces,waits_for"
    assert [line.split(",", 3)[:3] for line in told[1:]] == [
        [table, f"2026-11-0{day}", "12"] for table, day in (("log_records", 2), ("spans", 2), ("spans", 3))
    ]
    assert all("fewer than 1,000 rows (archive.least_rows)" in line for line in told[1:])
    assert cli("archive", "--db", path).stderr == "No day is to be archived; --dry-run says what days wait for.\n"
    store.reopen()
    with archive_lock(path), pytest.raises(StoreUnavailableError, match="Another process changes the archive"):
        archive_all(store, path)


def test_the_server_looks_once_an_hour(store: Store, path: Path) -> None:
    """Nothing at its start; then when a day waits, or a file that was replaced an hour ago."""
    clock = [0.0]
    task = ArchiveTask(ArchiveConfig(least_rows=12), store, lambda: clock[0])
    assert task.due(NOW) is None
    clock[0] = FIRST_LOOK_SECONDS
    assert task.due(NOW) == ("archive",)
    assert task.due(NOW) is None, "it looks once an hour"
    task.ended(0)
    archive_all(store, path)
    clock[0] += 3600
    assert task.due(NOW) is None
    with archive_lock(path):
        pass
    store.write({"thawed_files": store.read("SELECT min(file) AS file FROM archived_files")})
    clock[0] += 3600
    later = utc_now() + KEPT + timedelta(days=1)
    assert task.due(later) == ("archive",)


def test_through_a_server(start_server: Callable[..., Any], store: Store, path: Path, cli: Cli, tmp_path: Path) -> None:
    """The command asks a running server for the rows, writes the file, and has the server list it."""
    content = store.read(FACT.format("spans")).to_pylist()
    store.close()
    config = tmp_path / "small.toml"
    config.write_text("archive = {least_rows = 1}\n")
    server = start_server(path)
    told = cli("archive", "--db", path, "--config", config)
    assert told.exit_code == 0, told.stderr
    assert told.stderr.count("12 spans archived, now 12 in") == 2
    assert server.sql(FACT.format("spans")) == content
    assert server.sql("SELECT count(*) AS n FROM live_spans") == [{"n": 0}]
    with pytest.raises(QueryError, match="reads files"):
        server.sql(f"SELECT * FROM read_parquet('{files(path)[0]}')")
    with pytest.raises(QueryError, match="not read by name"):
        server.sql(f"SELECT * FROM '{files(path)[0]}'")
    assert server.stop() == 0
    store.reopen()
