"""What a server does for alerts and guards from time to time: each task says when its command is due."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from spanverdict.background import Task
from spanverdict.config import Config
from spanverdict.guard_config import GuardConfig
from sql import statements
from sql.access import Access
from sql.errors import StoreError

_LOG = logging.getLogger("spanverdict.serve")

LOOK_SECONDS = 3.0
"""How often the store is asked whether a message waits."""

REST_SECONDS = 60.0
"""The pause after a command that could not do its work."""

EXIT_DONE = 0
EXIT_NOT_SENT = 1
"""The status of ``spanverdict alerts`` where something could not be sent."""


def alert_tasks(config: Config, store: Access) -> list[Task]:
    """The tasks that the configuration asks for, the more urgent first; none where it asks for none.

    Args:
        config: the channels and the guards.
        store: the server's store.
    """
    calls = bool(config.alerts) or any(guard.calls for guard in config.guard)
    deliveries: list[Task] = [DeliveryTask(store)] if calls else []
    return [*deliveries, *(GuardTask(guard, store) for guard in config.guard)]


class DeliveryTask:
    """Sends messages that wait: ``spanverdict alerts deliver``.

    Args:
        store: the server's store.
        clock: tells seconds, from whatever beginning.
    """

    def __init__(self, store: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._next_look = 0.0

    def due(self, now: datetime) -> Sequence[str] | None:
        """The command, if a message is to be sent now; asked at most every few seconds."""
        if self._clock() < self._next_look:
            return None
        self._next_look = self._clock() + LOOK_SECONDS
        try:
            waiting = self._store.read(statements.read("alert_due"), {"now": now}).num_rows
        except StoreError as error:
            _LOG.warning("Whether messages wait could not be read: %s", error)
            self._next_look = self._clock() + REST_SECONDS
            return None
        return ("alerts", "deliver", "--quiet") if waiting else None

    def ended(self, status: int) -> None:
        """A command that could not look is not started again at once; what could not be sent has a pause of its own."""
        if status not in (EXIT_DONE, EXIT_NOT_SENT):
            self._next_look = self._clock() + REST_SECONDS
            _LOG.warning("Sending alerts ended with status %d; `spanverdict alerts deliveries` says why.", status)


class GuardTask:
    """Looks whether a guarded metric regressed: ``spanverdict guard check``.

    Args:
        guard: what is guarded.
        store: the server's store.
        clock: tells seconds, from whatever beginning.
    """

    def __init__(self, guard: GuardConfig, store: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self._guard = guard
        self._store = store
        self._clock = clock
        self._next_look = 0.0

    def due(self, now: datetime) -> Sequence[str] | None:
        """The command, if it is time and the promotion is under way; after a start at once."""
        if self._clock() < self._next_look:
            return None
        self._next_look = self._clock() + self._guard.every_seconds
        parameters = {"promotion": self._guard.promotion, "now": now}
        try:
            is_open = self._store.read(statements.read("guard_open"), parameters).num_rows
        except StoreError as error:
            _LOG.warning("Whether %s is under way could not be read: %s", self._guard.promotion, error)
            return None
        return ("guard", "check", "--promotion", self._guard.promotion, "--quiet") if is_open else None

    def ended(self, status: int) -> None:
        """Say if a check failed; the next one comes in its time, counted from the end of this one."""
        self._next_look = self._clock() + self._guard.every_seconds
        if status:
            _LOG.warning(
                "The guard of %s could not look: its check ended with status %d.", self._guard.promotion, status
            )
