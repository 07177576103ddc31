"""The process beside the server that keeps calls, chains and costs up to date.

It is a client like any other: its memory, or its end, does not touch what is received. It is started when there is
something to derive, and again when it ends.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from pathlib import Path

from spanverdict import child
from sql.address import StoreAddress
from sql.telemetry_writer import TelemetryWriter

_LOG = logging.getLogger("spanverdict.serve")


class Follower:
    """Runs ``spanverdict derive --follow`` for a server.

    Args:
        writer: tells whether anything has been loaded; None where others load, so that something may wait.
        store: the server's store.
        config_file: the configuration file that was named, None if none was.
        seconds: the pause before the first start, and before each next one.
    """

    def __init__(
        self, writer: TelemetryWriter | None, store: StoreAddress, config_file: Path | None, seconds: float
    ) -> None:
        self._writer = writer
        self._store = store
        self._config_file = config_file
        self._seconds = seconds
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self, *, work_waits: bool) -> None:
        """Begin to watch.

        Args:
            work_waits: whether the store holds something to derive already.
        """
        self._work_waits = work_waits
        self._thread.start()

    def stop(self) -> None:
        """End the process and wait for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._process:
            child.end(self._process)

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            if self._process is None:
                if self._work_waits or self._writer is None or self._writer.counters.loads:
                    self._start()
            elif (status := self._process.poll()) is not None:
                _LOG.warning("The process that derives calls ended with status %d; it is started again.", status)
                self._start()

    def _start(self) -> None:
        self._process = child.start("spanverdict", ("derive", "--follow"), self._store, self._config_file)
