"""The server's part in archiving: it knows when a closed day waits, and has the command run that archives it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from spanverdict.archiving import KEPT, closed_days
from spanverdict.config_sections import ArchiveConfig
from sql import statements
from sql.access import Access
from sql.errors import StoreError

_LOG = logging.getLogger("spanverdict.serve")

FIRST_LOOK_SECONDS = 300.0
"""How long after its start the server looks first: what has just begun to receive has other things to do."""

LOOK_SECONDS = 3600.0
"""The pause between two looks."""


class ArchiveTask:
    """Archives closed days: ``spanverdict archive``.

    Args:
        config: when a day is closed.
        store: the server's store.
        clock: tells seconds, from whatever beginning.
    """

    def __init__(self, config: ArchiveConfig, store: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._next_look = clock() + FIRST_LOOK_SECONDS

    def due(self, now: datetime) -> Sequence[str] | None:
        """The command, if a day is to be archived or a file to be removed; asked once an hour."""
        if self._clock() < self._next_look:
            return None
        self._next_look = self._clock() + LOOK_SECONDS
        before = (now - timedelta(days=self._config.after_days)).date()
        try:
            days = closed_days(self._store, before, self._config.least_rows, now)
            replaced = self._store.read(statements.read("archive_listing"))["replaced_at"].to_pylist()
        except StoreError as error:
            _LOG.warning("Whether days are to be archived could not be read: %s", error)
            return None
        waiting = any(day.waits_for is None for day in days) or any(at and now - at > KEPT for at in replaced)
        return ("archive",) if waiting else None

    def ended(self, status: int) -> None:
        """The command has said what is wrong; it is run again at the next look."""
        if status:
            _LOG.warning("Archiving ended with status %d; the days stay in the store.", status)
