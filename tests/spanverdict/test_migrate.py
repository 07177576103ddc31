"""`spanverdict migrate` from file to file: whole, in slices, going on where it was, and compared."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import Result

from analytics.job_options import JobOptions
from benchmarks.large_store import fill
from spanverdict.archiving import archive, closed_days
from spanverdict.derivation import bring_up_to_date
from sql import store_transfer
from sql.access import open_store
from sql.errors import StoreError, StoreFailedError
from sql.journal import journal_directory
from sql.store import Store
from tests.every_table import ROWS, contents, fill_every_table

Cli = Callable[..., Result]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A store with rows in every table."""
    path = tmp_path / "source.duckdb"
    fill_every_table(path)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where it is copied to."""
    return tmp_path / "target.duckdb"


def migrate(cli: Cli, source: Path, target: Path, *options: str) -> Result:
    """Run the command."""
    return cli("migrate", "--store", source, "--to", target, *options)


def test_every_value_of_every_table(cli: Cli, source: Path, target: Path) -> None:
    """The copy has the same rows, with the same values, and may be compared again."""
    done = migrate(cli, source, target)
    assert (done.exit_code, "both hold the same" in done.stderr) == (0, True), done.stderr
    assert contents(target) == contents(source)
    assert min(map(len, contents(target).values())) == 1
    assert len(contents(target)["calls"]) == ROWS
    assert migrate(cli, source, target, "--verify").exit_code == 0


def test_archived_days_are_copied(cli: Cli, target: Path, tmp_path: Path) -> None:
    """What lies in files of the archive comes into the copy's live table."""
    source = tmp_path / "source.duckdb"
    fill(source, 400, days=3)
    with Store(source) as store:
        bring_up_to_date(store, JobOptions())
        days = closed_days(store, date(2026, 10, 3), 1)
        assert len(list(archive(store, source, days))) == 2
        assert store.read("SELECT sum(rows) AS n FROM archived_files")["n"].to_pylist() == [264]
    assert migrate(cli, source, target).exit_code == 0
    with Store(target, read_only=True) as store:
        assert store.read("SELECT count(*) AS n FROM live_spans")["n"].to_pylist() == [396]
    assert contents(target) == contents(source)


def test_goes_on_where_it_was(cli: Cli, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that ends in the middle is refused as a store, and the same command finishes it."""
    monkeypatch.setattr(store_transfer, "SLICE_ROWS", 6)
    real, passed = store_transfer._store_slice, []

    def ending(*given: Any) -> None:
        passed.append(1)
        if len(passed) == 9:
            raise StoreFailedError("the disk is full.")
        real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(store_transfer, "_store_slice", ending)
        assert migrate(cli, source, target).exit_code == 4
    with (
        pytest.raises(StoreError, match=r"is an unfinished copy of .*source.duckdb: finish it with"),
        open_store(target),
    ):
        pass
    done = migrate(cli, source, target)
    assert (done.exit_code, "of them before" in done.stderr) == (0, True), done.stderr
    assert contents(target) == contents(source)


def test_a_source_that_was_written_since(cli: Cli, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unfinished copy is not finished from a store that has changed, nor from another one."""
    with monkeypatch.context() as patch:
        patch.setattr(store_transfer, "differences", lambda *_: ["spans: not the same."])
        assert migrate(cli, source, target).exit_code == 1
    fill_every_table(source)
    assert "was written since its copy" in migrate(cli, source, target).stderr
    other = source.with_name("other.duckdb")
    Store(other).close()
    assert "not of" in migrate(cli, other, target).stderr


def test_what_differs_is_told(cli: Cli, source: Path, target: Path) -> None:
    """Rows that are missing or changed are found, and their table and day are named."""
    assert migrate(cli, source, target).exit_code == 0
    with duckdb.connect(str(target)) as database:
        database.execute("UPDATE live_spans SET flags = 7 WHERE start_time < '2026-11-02'")
        database.execute(
            "UPDATE live_log_records SET event_time = event_time + INTERVAL 1 MICROSECOND WHERE log_id = ''"
        )
        database.execute("DELETE FROM calls WHERE start_time >= '2026-11-07'")
        database.execute("UPDATE pruned_days SET rows = rows - 1 WHERE rows > 0 AND day = '2026-11-02'")
        database.execute("UPDATE promotions SET base = base || ' '")
        database.execute("UPDATE trace_keys SET key = 'a' WHERE key = 'a' || chr(0)")
        database.execute("INSERT INTO matchings FROM matchings")
        database.execute("UPDATE feedback SET value = NULL WHERE isnan(value)")
        database.execute("INSERT INTO new_outcomes VALUES ('a', 'b', '2026-12-01')")
        differing = database.execute("SELECT count(DISTINCT event_time::DATE) FROM live_log_records WHERE log_id = ''")
        logs = differing.fetchall()[0][0]
    done = migrate(cli, source, target, "--verify")
    told = done.stderr.splitlines()
    assert done.exit_code == 1
    assert "promotions: 12 rows in both, and not the same values." in told
    assert "spans of 2026-11-01: 2 rows in both, and not the same values." in told
    assert f"calls of 2026-11-07: 1 rows in {source}, 0 in {target}." in told
    assert f"new_outcomes of 2026-12-01: 0 rows in {source}, 1 in {target}." in told
    assert f"matchings: 1 rows in {source}, 2 in {target}." in told
    assert sum(line.startswith("log_records of ") for line in told) == logs
    assert {line.split()[0].rstrip(":") for line in told} == {
        "calls", "feedback", "log_records", "matchings", "new_outcomes", "promotions", "pruned_days", "spans",
        "trace_keys",
    }  # fmt: skip


def test_a_target_that_holds_something(cli: Cli, source: Path, target: Path) -> None:
    """A store that is not empty is not copied into, and stays as it is; nor is one beside a journal."""
    fill_every_table(target)
    before = contents(target)
    done = migrate(cli, source, target)
    assert (done.exit_code, "is not empty" in done.stderr) == (4, True)
    assert contents(target) == before
    beside = target.with_name("beside.duckdb")
    journal_directory(beside).mkdir()
    (journal_directory(beside) / f"{1:020d}.journal").touch()
    assert "the journal of a store that was there before" in migrate(cli, source, beside).stderr
    assert not beside.exists()


def test_a_dry_run(cli: Cli, source: Path, target: Path) -> None:
    """Tables, rows and MiB are listed, and nothing is made."""
    done = migrate(cli, source, target, "--dry-run")
    assert done.stdout.splitlines()[0].split() == ["alert_announcements", "12", "rows", "0.2", "MiB"]
    assert done.stdout.splitlines()[-1].startswith("in all")
    assert not target.exists()


def test_what_cannot_be_copied(cli: Cli, source: Path, target: Path) -> None:
    """A store onto itself, and one that is not there, are refused; no target is made."""
    assert "is the store itself" in migrate(cli, source, source).stderr
    assert "There is no store at" in migrate(cli, source.with_name("none.duckdb"), target).stderr
    assert not target.exists()


def test_a_server_keeps_it_away(cli: Cli, server: Any, target: Path) -> None:
    """While a server runs on the source, nothing is copied."""
    assert f"A server runs on {server.db}" in migrate(cli, server.db, target).stderr
