"""Copies of a store's files: whole or not at all, on disk before they have their name, for their owner alone."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from sql.errors import StoreUnavailableError
from sql.journal import journal_directory

_LOG = logging.getLogger("spanverdict.store")

SPARE_BYTES = 64 * 2**20
"""What has to stay free beside a copy."""

_PIECE = 2**26


def copy_file(source: Path, to: Path) -> None:
    """Copy a file; where the file system can, the copy shares the blocks.

    Nobody may write to it meanwhile. A process that closes a file lets go of all its locks on it (fcntl(2)): DuckDB's
    too, where the store is open in this process.

    Args:
        source: the file.
        to: the copy, which is not there yet.

    Raises:
        OSError: it cannot be copied; nothing is left of the copy.
    """
    try:
        with source.open("rb") as read, os.fdopen(_created(to), "wb") as written:
            _copy(read.fileno(), written.fileno())
            os.fsync(written.fileno())
    except OSError:
        to.unlink(missing_ok=True)
        raise


def _created(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _copy(read: int, written: int) -> None:
    try:
        while os.copy_file_range(read, written, _PIECE):
            pass
    except OSError:
        # Not between these two file systems; what was copied is where both stand now, or is copied again.
        os.lseek(read, 0, os.SEEK_SET)
        os.lseek(written, 0, os.SEEK_SET)
        while piece := os.read(read, _PIECE):
            left = memoryview(piece)
            while left:
                left = left[os.write(written, left) :]


def sync_folder(folder: Path) -> None:
    """Make sure that what a folder names is on disk.

    Raises:
        OSError: it is not.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_room(folder: Path, size: int, purpose: str) -> None:
    """Refuse to begin what would not fit.

    Args:
        folder: where it is to lie.
        size: its bytes.
        purpose: what it is for, as the end of the sentence "… are needed for".

    Raises:
        StoreUnavailableError: there is not enough room.
    """
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        raise StoreUnavailableError(
            f"{(size + SPARE_BYTES) >> 20:,} MiB of {folder} are needed for {purpose}, and {free >> 20:,} MiB are free:"
            " make room."
        )


def kept_before(store: Path, version: int) -> Path:
    """Where a store is kept as it was before it was brought to a schema."""
    return store.with_name(f"{store.name}.before-schema-{version}.duckdb")


def kept_stores(store: Path) -> list[Path]:
    """What is kept of a store from before it was brought to newer schemas, by name."""
    return sorted(store.parent.glob(f"{store.name}.before-schema-*.duckdb"))


def keep_before(store: Path, version: int) -> Path:
    """Keep a store, and the journal that belongs to it, as it is before it is brought to a newer schema.

    Args:
        store: the file; this process holds it, and its log is empty.
        version: the newer schema.

    Returns:
        Where it is kept. What an earlier try left there is replaced.

    Raises:
        StoreUnavailableError: there is no room, or it cannot be copied; what was kept before is as it was.
    """
    kept = kept_before(store, version)
    journal = journal_directory(store)
    files = [path for path in sorted(journal.iterdir()) if path.is_file()] if journal.is_dir() else []
    size = sum(path.stat().st_size for path in (store, *files))
    check_room(store.parent, size, f"a copy of {store} before it is brought to schema {version}")
    draft = kept.with_name(f".{kept.name}.{os.getpid()}.tmp")
    try:
        copy_file(store, draft)
        if files:
            journal_directory(draft).mkdir(mode=0o700)
            for path in files:
                copy_file(path, journal_directory(draft) / path.name)
            sync_folder(journal_directory(draft))
        shutil.rmtree(journal_directory(kept), ignore_errors=True)
        if files:
            journal_directory(draft).replace(journal_directory(kept))
        draft.replace(kept)
        sync_folder(store.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        shutil.rmtree(journal_directory(draft), ignore_errors=True)
        raise StoreUnavailableError(
            f"{store} stays as it is: it could not be copied before it is brought to schema {version}"
            f" ({error.strerror})."
        ) from error
    _LOG.warning("%s is brought to schema %d; as it was before, it is kept in %s.", store, version, kept)
    return kept
