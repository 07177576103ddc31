"""The server's part in scheduled reports: it knows when one is due, and has the command run that makes them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from spanverdict.config import Config
from spanverdict.schedule_runs import Open, first_seen, open_runs
from sql.access import Access

_LOG = logging.getLogger("spanverdict.serve")

AGAIN_AFTER = timedelta(minutes=1)
"""The pause before the command is run again where something is left to do."""

_MADE_ALL = frozenset({0, 1, 3})
"""Exit statuses of a command that has made whatever was due."""

_LOOKED = _MADE_ALL | {2}
"""Those of one that may have: 2 is also that of one that could not read its configuration."""


class ScheduledReports:
    """A task of :class:`spanverdict.background.Background`.

    It is due at once when a server starts, for the slot that was missed meanwhile, then at each slot, and a minute
    after a command that left a report over: because it failed, or because one that died still holds its claim.

    Args:
        config: the schedules, and whom to tell of a failure.
        store: the server's store.
    """

    def __init__(self, config: Config, store: Access) -> None:
        self._config = config
        self._store = store
        self._looked_at: datetime | None = None
        self._next: datetime | None = None
        self._is_left = False

    def due(self, now: datetime) -> Sequence[str] | None:
        """The command, from a slot on."""
        if self._is_left:
            self._is_left = False
            self._next = min(now + AGAIN_AFTER, self._next or now + AGAIN_AFTER)
        if self._looked_at is not None and (self._next is None or now < self._next):
            return None
        self._looked_at = now
        return ("report", "--scheduled", "--no-wait")

    def ended(self, status: int) -> None:
        """The next time is the first slot since the command began, or soon, where something is left.

        Raises:
            StoreError: what is left could not be read, or not be told.
        """
        looked_at = self._looked_at
        if looked_at is None:
            return
        schedules = self._config.schedule
        slots = [(each.slots.following(looked_at - each.delay), each.delay) for each in schedules]
        self._next = min((slot + delay for slot, delay in slots if slot is not None), default=None)
        # So it stays if the store cannot be read.
        self._is_left = True
        left = open_runs(self._store, schedules, first_seen(self._store, schedules), looked_at)
        self._is_left = bool(left.due or left.held or left.lost) or status not in _LOOKED
        if status not in _MADE_ALL:
            self._tell(left, status)

    def _tell(self, left: Open, status: int) -> None:
        """Tell of reports that a command left undone; what it noted as failed it has told of itself."""
        # Few servers ever need it.
        from spanverdict.alerting import announce_failure  # noqa: PLC0415

        for run in (*left.due, *left.held):
            sentence = (
                f"`spanverdict report --scheduled` ended with status {status} and without the report on {run.promotion}"
                f" of {run.slot:%Y-%m-%d %H:%M} UTC; the server's log may say why. It is tried again every minute."
            )
            _LOG.warning("%s", sentence)
            announce_failure(
                self._store, self._config, schedule=run.schedule, promotion=run.promotion, sentence=sentence
            )
