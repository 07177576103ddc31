"""The server's part in retention: once a day it has the command run that deletes what is too old."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

_LOG = logging.getLogger("spanverdict.serve")

EVERY = timedelta(days=1)

AGAIN_AFTER = timedelta(hours=1)
"""The pause after a command that could not do its work."""


class PruneTask:
    """A task of :class:`spanverdict.background.Background`: due when a server has started, then each day."""

    def __init__(self) -> None:
        self._next: datetime | None = None

    def due(self, now: datetime) -> Sequence[str] | None:
        """The command, once a day."""
        if self._next is not None and now < self._next:
            return None
        self._next = now + EVERY
        return ("prune", "--quiet")

    def ended(self, status: int) -> None:
        """Try again soon where it failed."""
        if status and self._next is not None:
            self._next -= EVERY - AGAIN_AFTER
            _LOG.warning("Deleting what is too old ended with status %d; it is tried again in an hour.", status)
