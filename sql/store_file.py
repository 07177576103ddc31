"""The file of a store: how it is opened, and what is said where it cannot be."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from sql.errors import StoreUnavailableError
from sql.priority import behind_ingest
from sql.read_only import first_line


def open_file(path: Path, config: Mapping[str, Any], *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Open a store's file; one that is made is for its owner alone.

    Args:
        path: the file.
        config: DuckDB's settings.
        read_only: open it without the right to write.

    Raises:
        StoreUnavailableError: it cannot be opened, or another process holds it.
    """
    try:
        with owner_only(), behind_ingest():
            return duckdb.connect(str(path), read_only=read_only, config=dict(config))
    except duckdb.Error as error:
        raise StoreUnavailableError(opening_message(path, error)) from error


@contextlib.contextmanager
def owner_only() -> Iterator[None]:
    """Files made meanwhile are for their owner alone: the store holds what users said."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def opening_message(path: Path, error: duckdb.Error) -> str:
    """Why a store cannot be opened, and what to do."""
    text = str(error)
    if "Could not set lock" in text:
        holder = text.partition("held in ")[2].partition(" by ")[0].split(". See")[0]
        by = f" ({holder})" if holder else ""
        return f"{path} is held by another process{by}; stop it or name another store with --db."
    if "replaying WAL" in text:
        return (
            f"{path}.wal is damaged, and holds what was stored last: restore it and {path} from a copy. Without one, "
            f"move it away, keep it, and start again: what came since the last checkpoint is then missing. "
            f"DuckDB says: {first_line(error)}"
        )
    return f"{path} cannot be opened as a store: {first_line(error)}"
