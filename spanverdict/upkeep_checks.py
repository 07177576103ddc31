"""What the doctor finds in a store's upkeep: its size, what is old, backups, and what was left beside it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from spanverdict.archive_pruning import listed_files
from spanverdict.archiving import closed_days
from spanverdict.config import Config
from spanverdict.doctor import Finding, Status
from spanverdict.pruning import Limits
from spanverdict.store_sizes import StoreSizes, sizes_of
from sql import statements
from sql.access import Access
from sql.archived_tables import archive_directory
from sql.journal import journal_directory, pending
from sql.pruned_tables import GROUPS, days_query
from sql.store_copy import kept_stores

BACKUP_EVERY = timedelta(days=7)
"""How old the last backup may be, and a store that has none."""

FREE_BYTES = 256 * 2**20
"""Free blocks that are worth a word, where they are half of the file."""

PATIENCE = timedelta(days=2)
"""How long what is too old may stay before it is worth a warning: it goes once a day."""

_SHOWN = ("spans", "log_records", "evaluations", "feedback", "calls", "reports")
_MIB = 2**20


def examine_files(db: Path, *, serving: bool) -> Iterator[Finding]:
    """Look at what lies beside a store.

    Args:
        db: the store.
        serving: whether a server runs on it.
    """
    if not serving and pending(db):
        size = _size(journal_directory(db))
        yield Finding(
            Status.WARN,
            "journal",
            f"{size / _MIB:,.1f} MiB of what a killed server had acknowledged lie in {journal_directory(db)}.",
            "start `spanverdict serve`; whatever opens the store next loads it.",
        )
    for kept in kept_stores(db):
        yield Finding(
            Status.OK,
            "kept store",
            f"{kept} ({kept.stat().st_size / _MIB:,.1f} MiB) is the store as it was before an update.",
            "delete it when you will not go back; what retention deletes is still in it.",
        )
    for left in sorted(db.parent.glob(f"{db.name}.backup.*.tmp")):
        yield Finding(
            Status.WARN,
            "backups",
            f"{left} belongs to a backup that runs, or was killed.",
            "the next `spanverdict backup` removes it, if it was.",
        )


def examine_upkeep(config: Config, db: Path, store: Access, now: datetime) -> Iterator[Finding]:
    """Look at a store's size, at what is old in it, and at its backups.

    Args:
        config: what retention allows.
        db: the store.
        store: the same, opened.
        now: the present (UTC, naive).

    Raises:
        StoreError: the store could not answer.
    """
    (file,) = store.read(statements.read("doctor_file")).to_pylist()
    yield _file(db, file)
    sizes = sizes_of(store, db)
    yield from examine_tables(store, sizes, now, "of the file")
    yield from _archive(config, db, store, now)
    yield from examine_retention(config, store, sizes, now)
    yield _backup(file, now)


def _file(db: Path, file: dict[str, Any]) -> Finding:
    archive = _size(archive_directory(db))
    detail = (
        f"The file has {file['size_bytes'] / _MIB:,.1f} MiB, of which {file['free_bytes'] / _MIB:,.1f} MiB are free and"
        f" will be used again; the archive has {archive / _MIB:,.1f} MiB."
    )
    if file["free_bytes"] > max(FREE_BYTES, file["size_bytes"] / 2):
        return Finding(Status.WARN, "size", detail, "stop the server, run `spanverdict compact`, start it again.")
    return Finding(Status.OK, "size", detail)


def examine_tables(store: Access, sizes: StoreSizes, now: datetime, held: str) -> Iterator[Finding]:
    """How large the tables are that grow, and of which days their rows are.

    Args:
        store: the store.
        sizes: what tells its sizes.
        now: the present (UTC, naive).
        held: what holds the rows, such as ``of the file``.

    Raises:
        StoreError: the store could not answer.
    """
    for table in (table for tables in GROUPS.values() for table in tables if table.name in _SHOWN):
        days = store.read(days_query([table]), {"until": now + timedelta(days=1)}).to_pylist()
        if days:
            size = sizes.table(table)
            yield Finding(
                Status.OK,
                "size",
                f"{table.name}: {size.rows:,} rows of {days[0]['day']} to {days[-1]['day']}, about"
                f" {size.size_bytes / _MIB:,.1f} MiB {held}.",
            )


def _archive(config: Config, db: Path, store: Access, now: datetime) -> Iterator[Finding]:
    files = listed_files(store)
    for file in files:
        path = archive_directory(db) / file.file
        size = path.stat().st_size if path.exists() else None
        if size != file.size_bytes:
            how = "is missing" if size is None else f"has {size:,} bytes and was written with {file.size_bytes:,}"
            yield Finding(
                Status.FAIL,
                "archive",
                f"{path} {how}: the {file.rows:,} rows of {file.table} of {file.day} cannot be read.",
                f"restore it from a backup, or give its rows up with `spanverdict archive --forget {file.file}`.",
            )
    if not config.archive.enabled:
        yield Finding(Status.OK, "archive", f"{len(files):,} files; days stay in the store (archive.enabled).")
        return
    before = (now - PATIENCE - timedelta(days=config.archive.after_days)).date()
    late = [day for day in closed_days(store, before, config.archive.least_rows) if not day.waits_for]
    waiting = [day for day in closed_days(store, before, 1) if day.waits_for]
    if late:
        yield Finding(
            Status.WARN,
            "archive",
            f"{len(late):,} days that closed before {before} are not in the archive, the oldest {late[0].day}.",
            "run `spanverdict archive`; a server does every hour, and its log says what kept it.",
        )
    elif waiting:
        yield Finding(
            Status.WARN,
            "archive",
            f"{len(waiting):,} closed days are not in the archive: {waiting[0].waits_for}.",
            "run `spanverdict derive`.",
        )
    else:
        yield Finding(Status.OK, "archive", f"{len(files):,} files; no closed day waits to be archived.")


def examine_retention(config: Config, store: Access, sizes: StoreSizes, now: datetime) -> Iterator[Finding]:
    """Whether anything is older, or larger, than it may be.

    Args:
        config: what retention allows.
        store: the store.
        sizes: what tells its sizes.
        now: the present (UTC, naive).

    Raises:
        StoreError: the store could not answer.
    """
    if not config.retention.deletes:
        yield Finding(Status.OK, "retention", "Nothing is deleted for its age or for the store's size.")
        return
    # What is due since yesterday may still go today.
    limits = Limits.of(config.retention, now - PATIENCE)
    late = [
        row
        for group, before in limits.groups.items()
        if before is not None
        for row in store.read(days_query(GROUPS[group]), {"until": before}).to_pylist()
    ]
    late += [
        {"table_name": file.table, "day": file.day, "rows": file.rows}
        for file in listed_files(store)
        if (before := limits.groups[file.table]) is not None and file.day < before.date()
    ]
    if late:
        names = ", ".join(sorted({row["table_name"] for row in late}))
        yield Finding(
            Status.WARN,
            "retention",
            f"{sum(row['rows'] for row in late):,} rows ({names}) are older than [retention] allows, the oldest of"
            f" {min(row['day'] for row in late)}.",
            "run `spanverdict prune`; a server does once a day, and its log says what kept it.",
        )
    elif limits.max_bytes is not None and (used := sizes.used_bytes()) > limits.max_bytes:
        yield Finding(
            Status.WARN,
            "retention",
            f"The store takes {used / _MIB:,.1f} MiB, more than retention.max_size ({config.retention.max_size}).",
            "run `spanverdict prune`, which says what is left; keep outcomes, derived rows or reports for fewer days.",
        )
    else:
        yield Finding(Status.OK, "retention", "Nothing is older, or larger, than [retention] allows.")


def _backup(file: dict[str, Any], now: datetime) -> Finding:
    made, first = file["backed_up_at"], file["first_received_at"]
    mend = "run `spanverdict backup FOLDER`, from cron or a timer."
    if made is None:
        young = first is None or now - first < BACKUP_EVERY
        return Finding(Status.OK if young else Status.WARN, "backups", "No backup was made yet.", mend)
    detail = f"The last was made on {made:%Y-%m-%d %H:%M} UTC, in {file['backed_up_to']}."
    if now - made > BACKUP_EVERY:
        return Finding(Status.WARN, "backups", detail, mend)
    return Finding(Status.OK, "backups", detail)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
