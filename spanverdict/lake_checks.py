"""What the doctor finds in a shared store: its catalog, who does its tasks, its files and how large it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from spanverdict.config import Config
from spanverdict.doctor import CLOCK_SECONDS, Finding, Status
from spanverdict.store_sizes import sizes_of
from spanverdict.upkeep_checks import examine_retention, examine_tables
from sql.access import Access
from sql.lake_address import LakeAddress
from sql.lake_catalog import DataFile, History, LakeCatalog, used_bytes
from sql.lake_upkeep import SMALL_BYTES, SOON

MANY_SMALL_FILES = 300
"""Small files of one table that are worth a word: each costs a query a look, and is merged within minutes."""

PATIENCE = timedelta(hours=3)
"""How much longer than configured snapshots may stay before it is worth a warning: they go once an hour."""

_MIB = 2**20


def has_tasks_done(address: LakeAddress) -> bool:
    """Whether a process derives, reports, prunes and tidies for a lake.

    Raises:
        StoreError: the catalog cannot be reached.
    """
    with LakeCatalog(address) as catalog:
        return catalog.holder() is not None


def examine_lake(config: Config, address: LakeAddress, store: Access, now: datetime) -> Iterator[Finding]:
    """Look at a lake.

    Args:
        config: what retention and upkeep allow.
        address: the lake.
        store: the same, opened.
        now: the present by the clock here (UTC, naive).

    Raises:
        StoreError: the catalog or the store could not answer.
    """
    with LakeCatalog(address) as catalog:
        files, history, holder = catalog.files(), catalog.history(), catalog.holder()
        inlined = sum(rows.live + rows.dead for tables in catalog.inlined().values() for rows in tables)
    if holder:
        where = f", from {holder.host}" if holder.host else ""
        yield Finding(Status.OK, "tasks", f"{holder.name}{where} does them since {holder.since:%Y-%m-%d %H:%M} UTC.")
    else:
        yield Finding(
            Status.WARN,
            "tasks",
            "No process derives, makes scheduled reports, prunes and merges files for this store.",
            "start `spanverdict scheduler`, or `spanverdict serve` without server.run_tasks = false.",
        )
    stored = sum(file.size_bytes for held in files.values() for file in held)
    yield _clock(history, now)
    yield from _files(files)
    yield _history(config, history)
    yield Finding(
        Status.OK,
        "size",
        f"The rows take about {used_bytes(files) / _MIB:,.1f} MiB of {stored / _MIB:,.1f} MiB of files;"
        f" {inlined:,} rows are in the catalog itself.",
    )
    sizes = sizes_of(store, address)
    yield from examine_tables(store, sizes, now, "of files")
    yield from examine_retention(config, store, sizes, now)


def _clock(history: History, now: datetime) -> Finding:
    ahead = (now - history.now).total_seconds()
    if abs(ahead) <= CLOCK_SECONDS:
        return Finding(Status.OK, "clock", "The clock here and the catalog's agree.")
    return Finding(
        Status.WARN,
        "clock",
        f"The clock here is {abs(ahead):,.0f} seconds {'ahead of' if ahead > 0 else 'behind'} the catalog's.",
        "set both by NTP: the age of snapshots and files is told by the clocks of those who write them.",
    )


def _files(files: Mapping[str, Sequence[DataFile]]) -> Iterator[Finding]:
    waiting = {name: sum(file.size_bytes < SMALL_BYTES for file in held) for name, held in files.items()}
    many = {name: count for name, count in waiting.items() if count > MANY_SMALL_FILES}
    for name, count in sorted(many.items()):
        yield Finding(
            Status.WARN,
            "files",
            f"{name} has {count:,} small files, which slow every query down.",
            "run `spanverdict compact`; the process with the tasks does each minute, and its log says what kept it.",
        )
    if not many:
        total = sum(map(len, files.values()))
        yield Finding(
            Status.OK,
            "files",
            f"{total:,} files, {sum(waiting.values()):,} of them small; {SOON} of a table are merged.",
        )


def _history(config: Config, history: History) -> Finding:
    detail = f"{history.snapshots:,} snapshots, and {history.files_let_go:,} files that were replaced or given up"
    if history.oldest_snapshot_at is None or history.snapshots <= 1:
        return Finding(Status.OK, "snapshots", f"{detail}.")
    age = history.now - history.oldest_snapshot_at
    detail = (
        f"{detail}, are kept for readers; the oldest snapshot is of {history.oldest_snapshot_at:%Y-%m-%d %H:%M} UTC."
    )
    if age > timedelta(minutes=config.lake.keep_minutes) + PATIENCE:
        return Finding(
            Status.WARN,
            "snapshots",
            detail,
            "run `spanverdict compact`; the process with the tasks does each hour, and its log says what kept it.",
        )
    return Finding(Status.OK, "snapshots", detail)
