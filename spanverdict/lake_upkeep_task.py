"""The part that the process with the tasks of a shared store has in its upkeep: it has `compact` run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sql.lake_address import LakeAddress
from sql.lake_catalog import LakeCatalog
from sql.lake_upkeep import merge_waits

_LOG = logging.getLogger("spanverdict.serve")

MERGE_EVERY = timedelta(minutes=1)
"""The pause after a look at whether files are to be merged, and after the merge."""

TIDY_EVERY = timedelta(hours=1)

AGAIN_AFTER = timedelta(minutes=5)
"""The pause after a command that could not do its work."""


class LakeUpkeepTask:
    """A task of :class:`spanverdict.background.Background`: merges each minute if there is enough, tidies each hour.

    Args:
        address: the lake.
    """

    def __init__(self, address: LakeAddress) -> None:
        self._address = address
        self._merge_at: datetime | None = None
        self._tidy_at: datetime | None = None
        self._tidies = False

    def due(self, now: datetime) -> Sequence[str] | None:
        """The command, first a minute after the start.

        Raises:
            StoreError: the catalog cannot be reached.
        """
        if self._merge_at is None or self._tidy_at is None:
            # Another process may have tidied a moment ago, but a process that is started anew each hour tidies, too.
            self._merge_at = self._tidy_at = now + MERGE_EVERY
        if now < self._merge_at:
            return None
        self._merge_at = now + MERGE_EVERY
        self._tidies = now >= self._tidy_at
        if self._tidies:
            self._tidy_at = now + TIDY_EVERY
            return ("compact", "--quiet")
        with LakeCatalog(self._address) as catalog:
            return ("compact", "--merge-only", "--quiet") if merge_waits(catalog.files()) else None

    def ended(self, status: int) -> None:
        """Try again soon where it failed."""
        if not status or self._merge_at is None:
            return
        self._merge_at += AGAIN_AFTER - MERGE_EVERY
        if self._tidies:
            self._tidy_at = self._merge_at
        _LOG.warning("The upkeep of %s ended with status %d; it is tried again in 5 minutes.", self._address, status)
