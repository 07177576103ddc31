"""`spanverdict doctor` on a store's upkeep: sizes, what is old, backups, the archive, what was left beside it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import Result

from spanverdict import upkeep_checks
from spanverdict.config import Config
from sql.clock import utc_now
from sql.journal import journal_directory
from sql.store_copy import kept_before
from tests.stores import store_at

Cli = Callable[..., Result]


@pytest.fixture
def doctor(cli: Cli) -> Callable[..., dict[str, list[dict[str, Any]]]]:
    """Asks the doctor; its findings by check."""

    def ask(*options: str) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for finding in json.loads(cli("doctor", "--format", "json", *options).stdout):
            found.setdefault(finding["check"], []).append(finding)
        return found

    return ask


def test_sizes_ages_and_backups(
    promoted: Path, fill: Callable[..., None], cli: Cli, doctor: Callable[..., Any], workdir: Path
) -> None:
    """What is late has its mend, files that are lost are named; a backup, archiving and pruning set it right."""
    fill(promoted, "m0", failing=3)
    assert cli("derive").exit_code == 0
    (workdir / "spanverdict.toml").write_text("[archive]\nleast_rows = 1\n[retention]\nspans_days = 5\n")
    found = doctor()
    assert "spans: 400 rows of 2026-11-02 to 2026-11-06, about" in found["size"][1]["detail"]
    late = found["retention"][0]
    assert (late["status"], "400 rows (spans) are older" in late["detail"]) == ("warn", True)
    assert found["archive"][0]["detail"].startswith("5 days that closed before")
    assert (found["backups"][0]["status"], found["backups"][0]["detail"]) == ("warn", "No backup was made yet.")
    assert cli("archive").exit_code == 0
    assert cli("backup", "kept").exit_code == 0
    found = doctor()
    assert found["archive"][0]["detail"] == "5 files; no closed day waits to be archived."
    assert found["retention"][0]["status"] == "warn"
    assert f"in {workdir / 'kept'}" in found["backups"][0]["detail"]
    first, second, *_ = sorted(promoted.with_name(f"{promoted.name}.archive").glob("spans/*/*.parquet"))
    first.rename(workdir / "first")
    shutil.copy(second, workdir / "second")
    os.truncate(second, 100)
    lost = [finding for finding in doctor()["archive"] if finding["status"] == "fail"]
    assert f"{first.name} is missing" in lost[0]["detail"]
    assert f"spanverdict archive --forget spans/day=2026-11-02/{first.name}" in lost[0]["mend"]
    assert "has 100 bytes and was written with" in lost[1]["detail"]
    (workdir / "first").rename(first)
    (workdir / "second").rename(second)
    assert cli("prune").exit_code == 0
    assert doctor()["retention"][0]["detail"] == "Nothing is older, or larger, than [retention] allows."
    (workdir / "spanverdict.toml").write_text('[retention]\nmax_size = "1KB"\n')
    assert "more than retention.max_size (1KB)" in doctor()["retention"][0]["detail"]


def test_what_lies_beside_a_store_is_told(db: Path, doctor: Callable[..., Any]) -> None:
    """A copy of before an update, a journal of a killed server, what a backup left."""
    shutil.copy(db, kept_before(db, 11))
    journal_directory(db).mkdir()
    (journal_directory(db) / f"{1:020d}.journal").write_bytes(b"")
    db.with_name(f"{db.name}.backup.1.tmp").mkdir()
    found = doctor()
    assert "is the store as it was before an update" in found["kept store"][0]["detail"]
    assert "belongs to a backup that runs, or was killed" in found["backups"][0]["detail"]
    assert "MiB of what a killed server had acknowledged lie in" in found["journal"][0]["detail"]


@pytest.mark.parametrize(("free", "status"), [(10, "ok"), (700, "warn"), (400, "ok")])
def test_a_file_that_is_mostly_free_is_worth_compacting(
    db: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    """Where more than half of it is, and more than a little."""
    told = {"size_bytes": 1000 * 2**20, "free_bytes": free * 2**20, "backed_up_at": None, "backed_up_to": None,
            "first_received_at": None}  # fmt: skip
    with store_at(db) as store:
        monkeypatch.setattr(store, "read", _answering(store.read, told))
        found = next(upkeep_checks.examine_upkeep(Config(), db, store, utc_now()))
    assert (found.status, "spanverdict compact" in (found.mend or "")) == (status, status == "warn")


def _answering(read: Callable[..., pa.Table], told: dict[str, Any]) -> Callable[..., pa.Table]:
    def answer(query: str, *given: Any) -> pa.Table:
        return pa.Table.from_pylist([told]) if "free_bytes" in query else read(query, *given)

    return answer
