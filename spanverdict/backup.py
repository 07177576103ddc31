"""Backups of a store, made while its server runs and takes spans, and stores made of them.

Nobody writes to the store while its file is copied; what arrives meanwhile is acknowledged from the journal. Files of
the archive never change, so links to them are enough for that moment; they are copied afterwards.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from spanverdict.archive_pruning import listed_files
from spanverdict.atomic_file import replace_file
from spanverdict.backup_manifest import MANIFEST, BackupError, BackupFile, BackupManifest, Contents, described
from sql import statements
from sql.access import open_store
from sql.archived_tables import archive_directory
from sql.clock import utc_now
from sql.journal import journal_directory
from sql.store import Store
from sql.store_copy import check_room, copy_file, sync_folder

_LOG = ".wal"


def back_up(db: Path, to: Path, advance: Callable[[int, int], object] = lambda _done, _all: None) -> BackupManifest:
    """Copy a store, by its server if one runs, into a folder that is there whole or not at all.

    Args:
        db: the store.
        to: the folder, which is not there yet.
        advance: is told how many bytes of how many have been checked.

    Raises:
        BackupError: there is something at ``to``, or no folder to make it in.
        StoreError: the store cannot be read, or there is no room.
        OSError: a file cannot be written; nothing is left of the backup.
    """
    to = to.absolute()
    if to.exists():
        raise BackupError(f"{to} is there already; name a folder that is not.")
    if not to.parent.is_dir():
        raise BackupError(f"The folder {to.parent} does not exist; make it first.")
    with _folder(to.parent, f".{to.name}") as made:
        manifest = _fill(db, made, advance)
        replace_file(made / MANIFEST, manifest.model_dump_json(indent=1).encode())
        (made / MANIFEST).chmod(0o600)
        _sync(made)
        made.rename(to)
    sync_folder(to.parent)
    row = {"made_at": manifest.made_at, "path": str(to), "size_bytes": manifest.size_bytes,
           "spans": manifest.contents.spans}  # fmt: skip
    kinds = {"made_at": pa.timestamp("us"), "path": pa.string(), "size_bytes": pa.int64(), "spans": pa.int64()}
    with open_store(db, write=True) as store:
        store.write({"backups": pa.Table.from_pylist([row], pa.schema(kinds))})
    return manifest


def _fill(db: Path, draft: Path, advance: Callable[[int, int], object]) -> BackupManifest:
    """Copy everything but the manifest."""
    with _folder(db.parent, f"{db.name}.backup") as links:
        with open_store(db, write=True) as store, store.held():
            made_at = utc_now()
            contents = Contents(**store.read(statements.read("backup_contents")).to_pylist()[0])
            pinned = [_pinned(archive_directory(db) / file.file, links / file.file) for file in listed_files(store)]
            check_room(draft.parent, db.stat().st_size + _to_copy(pinned, draft), "the backup")
            copy_file(db, draft / db.name)
            log = db.with_name(db.name + _LOG)
            if log.exists():
                copy_file(log, draft / log.name)
        for path in pinned:
            _link_or_copy(path, archive_directory(draft / db.name) / path.relative_to(links))
    files: dict[str, BackupFile] = {}
    paths = sorted(path for path in draft.rglob("*") if path.is_file())
    total = sum(path.stat().st_size for path in paths)
    for path in paths:
        files[path.relative_to(draft).as_posix()] = described(path)
        advance(sum(file.size_bytes for file in files.values()), total)
    return BackupManifest(store=db.name, made_at=made_at, contents=contents, files=files)


def _pinned(source: Path, link: Path) -> Path:
    """Another name of a file of the archive, under which it stays when the archive lets go of it."""
    _link_or_copy(source, link)
    return link


def _link_or_copy(source: Path, to: Path) -> None:
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(source, to)
    except OSError:
        # Another file system, or one without links.
        copy_file(source, to)


def _to_copy(paths: list[Path], folder: Path) -> int:
    """Bytes of those files that lie on another file system than a folder."""
    device = folder.stat().st_dev
    return sum(path.stat().st_size for path in paths if path.stat().st_dev != device)


def restore_backup(
    source: Path, db: Path, advance: Callable[[int, int], object] = lambda _done, _all: None
) -> BackupManifest:
    """Make a store of a backup, every file of which is what the manifest says.

    Args:
        source: the backup's folder.
        db: the store, which is not there yet.
        advance: is told how many bytes of how many have been copied.

    Raises:
        BackupError: it is no backup, a file is missing or damaged, or something lies where the store is to be.
        StoreError: there is no room.
        OSError: a file cannot be written; nothing is left of the store.
    """
    manifest = BackupManifest.read(source)
    newest = statements.migrations()[-1][0]
    if manifest.contents.store_version > newest:
        raise BackupError(
            f"{source} is of a store with the schema {manifest.contents.store_version}; this spanverdict knows"
            f" {newest}: update it."
        )
    db = db.absolute()
    for path in (db, db.with_name(db.name + _LOG), archive_directory(db), journal_directory(db)):
        if path.exists():
            raise BackupError(f"{path} is there already; name another store with --db, or move it away.")
    if not db.parent.is_dir():
        raise BackupError(f"The folder {db.parent} of the store does not exist; make it first.")
    check_room(db.parent, manifest.size_bytes, "the store")
    with _folder(db.parent, f".{db.name}") as draft:
        done = 0
        for name, file in manifest.files.items():
            _restore(source / name, draft / f"{db.name}{name.removeprefix(manifest.store)}", file)
            done += file.size_bytes
            advance(done, manifest.size_bytes)
        if manifest.contents.store_version == newest:
            # That it opens is better known now; and its views name the archive by the store's name.
            Store(draft / db.name).close()
        _sync(draft)
        # The store itself comes last: it is there only when all that belongs to it is.
        for made in sorted(draft.iterdir(), reverse=True):
            if made.name.startswith(db.name):
                made.rename(db.with_name(made.name))
    sync_folder(db.parent)
    return manifest


def _restore(source: Path, to: Path, file: BackupFile) -> None:
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        copy_file(source, to)
    except FileNotFoundError as error:
        raise BackupError(f"{source} is missing: the manifest names it. Use another backup.") from error
    if described(to) != file:
        raise BackupError(f"{source} is not what was backed up (its checksum is other): use another backup.")


@contextlib.contextmanager
def _folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder for the owner alone, which is gone afterwards unless it was renamed; what killed ones left goes too."""
    for left in parent.glob(f"{glob.escape(name)}.*.tmp"):
        number = left.name.split(".")[-2]
        if number.isdecimal() and left.is_dir() and not _is_alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    path = parent / f"{name}.{os.getpid()}.tmp"
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(folder: Path) -> None:
    """Make sure of the names in a folder and in those below it."""
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(path)
