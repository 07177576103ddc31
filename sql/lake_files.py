"""The Parquet files of a lake that lies in a folder: on disk before the commit that lists them.

DuckLake leaves that to the file system (duckdb/ducklake#680), and a power failure might keep the catalog and lose the
file. An object store answers an upload once it is durable.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_CLOCK_SLACK_NS = 2 * 10**9
"""How far the times of files may lag behind the clock."""


class NewFiles:
    """What was written into a lake's folder since this was made.

    Args:
        folder: the folder; None where the data is in an object store.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._since = time.time_ns() - _CLOCK_SLACK_NS

    def sync(self) -> None:
        """Have the files and their names on disk when this returns.

        Raises:
            OSError: one cannot be synced.
        """
        if self._folder is None or not self._folder.exists():
            return
        pending = [self._folder]
        while pending:
            directory = pending.pop()
            changed = directory.stat().st_mtime_ns >= self._since
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    elif changed and entry.stat().st_mtime_ns >= self._since:
                        _sync(entry.path)
            if changed:
                _sync(directory)


def _sync(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
