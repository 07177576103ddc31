"""What a server does from time to time, one thing after another, each in a process of its own.

A job's memory, or its end, does not touch what is received.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from spanverdict import child
from sql.address import StoreAddress
from sql.clock import utc_now
from sql.errors import StoreError

_LOG = logging.getLogger("spanverdict.serve")

LOOK_SECONDS = 1.0
"""The pause between two looks at what is due."""

_WATCH_SECONDS = 0.1


class Task(Protocol):
    """Something that is to be done from time to time."""

    def due(self, now: datetime) -> Sequence[str] | None:
        """The arguments of the command to run now, without ``--db`` and ``--config``; None if nothing is to be done.

        It is asked every second or so, and is not asked again before the command has ended.

        Args:
            now: the present (UTC, naive).
        """
        ...

    def ended(self, status: int) -> None:
        """Take note of how the command ended; not told of one that was ended because the server stops.

        Args:
            status: its exit status; negative for the signal that ended it.
        """
        ...


class Background:
    """Runs tasks that are due, never two at a time. What goes wrong with one is logged, and the others go on.

    Args:
        tasks: what may be due, the more urgent first.
        store: the server's store.
        config_file: the configuration file that was named, None if none was.
        seconds: the pause between two looks.
    """

    def __init__(
        self, tasks: Sequence[Task], store: StoreAddress, config_file: Path | None, seconds: float = LOOK_SECONDS
    ) -> None:
        self._tasks = tasks
        self._store = store
        self._config_file = config_file
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        if self._tasks:
            self._thread.start()

    def stop(self) -> None:
        """End the job that runs, and look no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            for task in self._tasks:
                if self._stopping.is_set():
                    return
                try:
                    arguments = task.due(utc_now())
                    if arguments is None:
                        continue
                    status = self._execute(arguments)
                    if not self._stopping.is_set():
                        task.ended(status)
                except (OSError, StoreError) as error:
                    # Such as a process that cannot be started for want of memory: the next look may go better.
                    _LOG.warning("A task beside the server could not be run: %s", error)

    def _execute(self, arguments: Sequence[str]) -> int:
        process = child.start("spanverdict.attended", arguments, self._store, self._config_file)
        try:
            while process.poll() is None and not self._stopping.wait(_WATCH_SECONDS):
                pass
        finally:
            child.end(process)
        return process.returncode
