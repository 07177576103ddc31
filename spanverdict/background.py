"""What a server does from time to time, one thing after another, each in a process of its own.

A job's memory, or its end, does not touch what is received.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sql.clock import utc_now

_LOG = logging.getLogger("spanverdict.serve")

STOP_SECONDS = 5.0
"""How long a job may take to end when asked to."""


class Task(Protocol):
    """Something that is to be done from time to time."""

    def due(self, now: datetime) -> Sequence[str] | None:
        """The arguments of the command to run now, without ``--db`` and ``--config``; None if nothing is to be done.

        It is asked every few seconds, and is not asked again before the command has ended.

        Args:
            now: the present (UTC, naive).
        """
        ...

    def ended(self, status: int) -> None:
        """Take note of how the command ended.

        Args:
            status: its exit status; negative for the signal that ended it.
        """
        ...


class Background:
    """Runs tasks that are due, never two at a time.

    Args:
        tasks: what may be due, the more urgent first.
        store: the server's store.
        config_file: the configuration file that was named, None if none was.
        seconds: the pause between two looks.
    """

    def __init__(self, tasks: Sequence[Task], store: Path, config_file: Path | None, seconds: float = 1.0) -> None:
        self._tasks = tasks
        self._options = ["--db", str(store), *(["--config", str(config_file)] if config_file else [])]
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
                arguments = task.due(utc_now())
                if arguments is not None:
                    task.ended(self._execute(arguments))

    def _execute(self, arguments: Sequence[str]) -> int:
        # Its standard input is a pipe: should the server die, the pipe closes. In a session of its own it does not get
        # the terminal's Ctrl-C.
        process = subprocess.Popen(  # noqa: S603 (our own command)
            [sys.executable, "-m", "spanverdict", *arguments, *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        while process.poll() is None and not self._stopping.wait(self._seconds / 10):
            pass
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdin:
            process.stdin.close()
        return process.returncode
