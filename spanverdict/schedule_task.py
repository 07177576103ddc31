"""The server's part in scheduled reports: it knows when one is due, and has the command run that makes them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from spanverdict.schedule_config import ScheduleConfig

_LOG = logging.getLogger("spanverdict.serve")

AGAIN_AFTER = timedelta(minutes=1)
"""The pause before the command is run again that ended without having looked at everything."""

_LOOKED = frozenset({0, 1, 2, 3})
"""Exit statuses after which nothing is left to do before the next slot: reports were made, or noted as failed."""


class ScheduledReports:
    """A task of :class:`spanverdict.background.Background`.

    It is due at once when a server starts, for the slot that was missed meanwhile, then at each slot.

    Args:
        schedules: what is configured.
    """

    def __init__(self, schedules: Sequence[ScheduleConfig]) -> None:
        self._schedules = schedules
        self._next: datetime | None = None
        self._looked_at: datetime | None = None

    def due(self, now: datetime) -> Sequence[str] | None:
        """The command, from a slot on."""
        if self._looked_at is not None and (self._next is None or now < self._next):
            return None
        self._looked_at = now
        return ("report", "--scheduled")

    def ended(self, status: int) -> None:
        """The next time is the first slot since the command began, or soon, where it came to nothing."""
        looked_at = self._looked_at
        if looked_at is None:
            return
        slots = [(each.slots.following(looked_at - each.delay), each.delay) for each in self._schedules]
        coming = [slot + delay for slot, delay in slots if slot is not None]
        if status not in _LOOKED:
            _LOG.warning("Scheduled reports ended with status %d; they are tried again.", status)
            coming.append(looked_at + AGAIN_AFTER)
        self._next = min(coming, default=None)
