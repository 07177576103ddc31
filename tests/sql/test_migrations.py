"""Stores of older and newer schemas: brought forward with a copy kept, or left alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from sql import statements
from sql.errors import StoreError, StoreUnavailableError
from sql.journal import journal_directory
from sql.store import STORAGE_VERSION, Store
from sql.store_copy import kept_before, kept_stores

NEWEST = statements.migrations()[-1][0]
OLDER = 4


def write_older(path: Path, *, checkpoint: bool = True) -> None:
    """Make a store as an earlier version would have left it, with one promotion."""
    with duckdb.connect(str(path), config={"storage_compatibility_version": STORAGE_VERSION}) as older:
        if not checkpoint:
            older.execute("PRAGMA disable_checkpoint_on_shutdown")
        older.execute("CREATE TABLE schema_migrations (version INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL)")
        for version, text in statements.migrations()[:OLDER]:
            older.execute(text)
            older.execute("INSERT INTO schema_migrations VALUES (?, now()::TIMESTAMP)", [version])
        older.execute("CHECKPOINT")
        older.execute(
            "INSERT INTO promotions BY NAME SELECT 'p' AS name, 'a' AS base, 'b' AS candidate, 'concurrent' AS design,"
            " now()::TIMESTAMP AS started_at, 'c' AS cohort_by, now()::TIMESTAMP AS created_at"
        )


@pytest.fixture
def broken_migration(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A release whose newest migration fails after it has changed something."""
    text = "ALTER TABLE promotions ADD COLUMN half_done VARCHAR; INSERT INTO no_such_table VALUES (1);"
    known = (*statements.migrations(), (NEWEST + 1, text))
    with monkeypatch.context() as patched:
        patched.setattr(statements, "migrations", lambda: known)
        yield


def promotions(path: Path) -> list[tuple[str]]:
    """What a file holds, asked of DuckDB itself."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute("SELECT name FROM promotions").fetchall()


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_store_is_kept_before_it_is_brought_forward(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, checkpoint: bool
) -> None:
    """The copy is whole, also of what only the log held, opens by itself, and it is said where it is."""
    path = tmp_path / "s.duckdb"
    write_older(path, checkpoint=checkpoint)
    assert (tmp_path / "s.duckdb.wal").exists() is not checkpoint
    with Store(path) as store:
        assert store.read("SELECT name FROM promotions")["name"].to_pylist() == ["p"]
        kept = kept_before(path, NEWEST)
        assert kept_stores(path) == [kept]
        assert f"kept in {kept}" in caplog.text
        if checkpoint:
            # Closing the copied file lets go of the locks of this process: they have to be taken again.
            ask = [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1])", str(path)]
            other = subprocess.run(ask, capture_output=True, text=True, check=False)
            assert "Could not set lock" in other.stderr
    assert kept.stat().st_mode & 0o777 == 0o600
    assert promotions(kept) == [("p",)]
    with duckdb.connect(str(kept), read_only=True) as connection:
        assert connection.execute("SELECT max(version) FROM schema_migrations").fetchone() == (OLDER,)
    with Store(kept) as again:
        assert again.read("SELECT name FROM promotions")["name"].to_pylist() == ["p"]


def test_a_new_store_and_one_of_this_schema_are_not_kept(tmp_path: Path) -> None:
    """Only what is about to change is copied."""
    for _ in range(2):
        Store(tmp_path / "s.duckdb").close()
    assert kept_stores(tmp_path / "s.duckdb") == []


def test_the_journal_is_kept_with_its_store(tmp_path: Path) -> None:
    """What a killed server had acknowledged belongs to the older store as well."""
    path = tmp_path / "s.duckdb"
    write_older(path)
    journal_directory(path).mkdir()
    (journal_directory(path) / "one").write_bytes(b"acknowledged")
    Store(path).close()
    assert (journal_directory(kept_before(path, NEWEST)) / "one").read_bytes() == b"acknowledged"


@pytest.mark.usefixtures("broken_migration")
def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    """The sentence says where the copy is; the store is as before, and the next try replaces the copy."""
    path = tmp_path / "s.duckdb"
    write_older(path)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="It is as it was, and a copy from before is") as told:
            Store(path)
        assert str(kept_before(path, NEWEST + 1)) in str(told.value)
    assert "no_such_table" in str(told.value)
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT max(version) FROM schema_migrations").fetchone() == (OLDER,)
        assert "half_done" not in [row[0] for row in connection.execute("DESCRIBE promotions").fetchall()]
    assert promotions(path) == [("p",)]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["s.duckdb", kept_before(path, NEWEST + 1).name]


def test_without_room_for_the_copy_a_store_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said how much room is needed, and the store is not touched."""
    path = tmp_path / "s.duckdb"
    write_older(path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=2**20))
    with pytest.raises(StoreUnavailableError, match="and 1 MiB are free: make room"):
        Store(path)
    monkeypatch.undo()
    assert promotions(path) == [("p",)]
    assert kept_stores(path) == []


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    """A file of a newer schema is left alone, whoever opens it and how."""
    path = tmp_path / "s.duckdb"
    Store(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (999, now()::TIMESTAMP)")
    before = path.read_bytes()
    openers: tuple[Callable[[], Store], ...] = (lambda: Store(path), lambda: Store(path, read_only=True))
    for opened in openers:
        with pytest.raises(StoreError, match=rf"schema 999; this one knows {NEWEST}\): update spanverdict"):
            opened()
    assert path.read_bytes() == before
