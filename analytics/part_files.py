"""Rows of traces that were made before, kept as Parquet files beside the store.

A file is named after the digest of what its rows rest on, so that it is either the right one or none. Files may be
removed at any time: what is missing is made anew.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

KEPT_SECONDS = 40 * 86_400
"""How long a file is kept that no report asks for."""


def part_directory(store: Path) -> Path:
    """Where the rows of a store's traces are kept."""
    return store.with_name(store.name + ".parts")


def files_of(store: Path) -> PartFiles:
    """The files of the store at a path."""
    return PartFiles(part_directory(store))


class PartFiles:
    """The files of one store.

    Args:
        directory: where they are; made when the first is written, for its owner alone.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, digest: str) -> pl.DataFrame | None:
        """The rows of a part; None if they are not kept, or cannot be read."""
        path = self._path(digest)
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                table = file.read()
            os.utime(path)
        except (OSError, pa.ArrowException):
            return None
        return pl.DataFrame(pl.from_arrow(table))

    def write(self, digest: str, rows: pl.DataFrame) -> None:
        """Keep the rows of a part; where that cannot be, such as on a full disk, they are made anew next time."""
        draft = self._directory / f"{secrets.token_hex(8)}.draft"
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    pq.write_table(rows.to_arrow(), file, compression="zstd", write_page_checksum=True)
                draft.replace(self._path(digest))
            finally:
                draft.unlink(missing_ok=True)

    def drop_unused(self) -> None:
        """Remove the files that no report has asked for in a long time."""
        oldest = time.time() - KEPT_SECONDS
        with contextlib.suppress(OSError):
            for path in list(self._directory.iterdir()):
                if path.suffix in {".parquet", ".draft"} and path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all of them, such as because what they say of was deleted."""
        with contextlib.suppress(OSError):
            for path in list(self._directory.iterdir()):
                path.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._directory / f"{digest}.parquet"
