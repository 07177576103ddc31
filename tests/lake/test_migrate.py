"""`spanverdict migrate` into a lake and back: whole, once, the same reports, also after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from benchmarks.large_store import fill
from spanverdict.cli import main
from sql import store_transfer
from sql.access import open_store
from sql.address import StoreAddress
from sql.copied_tables import copied_tables
from sql.errors import StoreError
from sql.lake_address import LakeAddress
from sql.lake_store import LakeStore
from sql.lake_turn import Leadership
from sql.store import Store
from sql.transfer_source import source_to_copy
from sql.transfer_target import target_to_fill
from tests.every_table import contents, fill_every_table

ROOT = Path(__file__).parents[2]
Rows = Callable[..., dict[str, pa.Table]]


def run(*arguments: object) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def migrate(source: StoreAddress, target: StoreAddress, *options: str) -> Result:
    """Copy a store."""
    return run("migrate", "--store", source, "--to", target, *options)


def test_every_value_there_and_back(lake: LakeAddress, tmp_path: Path, rows: Rows) -> None:
    """What went from a file into a lake, and from there into another file, is what it was; what comes then is later."""
    source, back = tmp_path / "source.duckdb", tmp_path / "back.duckdb"
    fill_every_table(source)
    with duckdb.connect(str(source)) as database:
        # By a clock that is fast.
        database.execute("UPDATE live_spans SET received_at = '2199-01-01' WHERE span_id = ''")
    done = migrate(source, lake)
    assert (done.exit_code, "both hold the same" in done.stderr) == (0, True), done.stderr
    assert migrate(source, lake, "--verify").exit_code == 0
    assert migrate(lake, back).exit_code == 0
    assert contents(back) == contents(source)
    with LakeStore(lake) as store:
        store.write(rows({"name": "came later"}))
        latest = store.read("SELECT name FROM spans ORDER BY received_at DESC LIMIT 1")
    assert latest["name"].to_pylist() == ["came later"]
    done = migrate(source, lake, "--verify")
    assert done.exit_code == 1
    assert "0 rows in" in done.stderr


@pytest.mark.slow
def test_the_same_report(lake: LakeAddress, tmp_path: Path) -> None:
    """A report of the copy is that of its source, to the byte."""
    source = tmp_path / "source.duckdb"
    fill(source, 4000, days=4)
    assert migrate(source, lake).exit_code == 0
    listed = [line.split() for line in migrate(lake, tmp_path / "none.duckdb", "--dry-run").stdout.splitlines()]
    assert [row[:3] for row in listed if row[0] == "spans"] == [["spans", "4,000", "rows"]]
    assert all(float(row[3]) > 0 for row in listed if row[0] == "spans")
    asked = ("--as-of", "2026-10-05T00:00Z", "--format", "json")
    reports = [run("report", "large", "--store", store, *asked) for store in (source, lake)]
    assert len(reports[0].stdout) > 1000, reports[0].stderr
    assert reports[0].stdout == reports[1].stdout
    # Copied in one slice: one file, however many days.
    assert len(list((tmp_path / "lake").rglob("main/spans/*.parquet"))) == 1


@pytest.mark.slow
def test_others_write_the_source(lake: LakeAddress, tmp_path: Path, rows: Rows) -> None:
    """A lake is copied as it was at one moment, and it is known that more came after."""
    with LakeStore(lake) as writer, target_to_fill(tmp_path / "copy.duckdb") as target:
        writer.write(rows({"name": "before"}))
        with source_to_copy(lake) as source:
            tables = copied_tables(source.store)
            store_transfer.begin(source, target, tables)
            assert not source.written_since()
            writer.write(rows({"name": "after", "span_id": b"after---"}))
            store_transfer.copy(source.store, target, store_transfer.slices_of(source.store, tables))
            assert source.written_since()
            assert store_transfer.differences(source.store, target) == []
        # Another attempt goes on at the same moment.
        with source_to_copy(lake, store_transfer.state_of_copy(target, str(lake))) as source:
            assert source.store.read("SELECT name FROM spans")["name"].to_pylist() == ["before"]
        assert target.read("SELECT name FROM spans")["name"].to_pylist() == ["before"]


@pytest.mark.slow
def test_an_unfinished_lake(lake: LakeAddress, tmp_path: Path) -> None:
    """It is refused as a store until the copy is whole; while somebody else leads its tasks, nothing is copied."""
    source = tmp_path / "source.duckdb"
    Store(source).close()
    leadership = Leadership(lake)
    assert leadership.held()
    done = migrate(source, lake)
    assert (done.exit_code, "A server or scheduler runs on" in done.stderr) == (4, True)
    leadership.release()
    with target_to_fill(lake) as target, source_to_copy(source) as opened:
        store_transfer.begin(opened, target, copied_tables(opened.store))
    for write in (True, False):
        with pytest.raises(StoreError, match="is an unfinished copy of"), open_store(lake, write=write):
            pass
    assert migrate(source, lake).exit_code == 0
    with open_store(lake) as store:
        assert store.read("SELECT count(*) AS n FROM transfers WHERE finished_at IS NULL")["n"].to_pylist() == [0]


@pytest.mark.slow
def test_killed_in_the_middle(lake: LakeAddress, tmp_path: Path) -> None:
    """After a SIGKILL at any moment the same command finishes the copy, with each row once."""
    source = tmp_path / "source.duckdb"
    fill(source, 200_000, days=4)
    words = ("migrate", "--store", str(source), "--to", str(lake))
    # Slices of a day, to be killed between and within them.
    code = (
        "import sys; from sql import store_transfer; store_transfer.SLICE_ROWS = 50_000;"
        " from spanverdict.cli import main; main(sys.argv[1:])"
    )
    kills = 0
    for number in range(30):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words], env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            _, told = process.communicate(timeout=3 + 1.5 * number)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
        else:
            break
    assert (process.returncode, kills > 0) == (0, True), told
    assert "of them before" in told
    with LakeStore(lake, read_only=True) as store:
        found = store.read("SELECT count(*) AS n, count(DISTINCT span_id || trace_id) AS once FROM spans").to_pylist()
    assert found == [{"n": 200_000, "once": 200_000}]
