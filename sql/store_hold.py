"""A store that is held still: nobody writes to its files while another process copies them."""

from __future__ import annotations

import threading

from sql.errors import StoreError

HOLD_SECONDS = 900.0
"""How long a store may be held. What arrives meanwhile waits in the journal, up to ``ingest.backlog_mib``."""


class Hold:
    """The write lock of a store, held until it is let go of or its time is over.

    Args:
        lock: the lock, which the caller has taken.
        seconds: how long it may be held.
    """

    def __init__(self, lock: threading.Lock, seconds: float = HOLD_SECONDS) -> None:
        self._lock = lock
        self._once = threading.Lock()
        self._is_held = True
        self._broken: str | None = None
        self._timer = threading.Timer(seconds, self.end, [f"it took longer than {seconds:g} s"])
        self._timer.daemon = True
        self._timer.start()

    def end(self, broken: str | None = None) -> None:
        """Let go of the lock, once.

        Args:
            broken: why, where whoever holds it has not finished.
        """
        self._timer.cancel()
        with self._once:
            if self._is_held:
                self._is_held = False
                self._broken = broken
                self._lock.release()

    def check(self) -> None:
        """Whether it is still held.

        Raises:
            StoreError: it is not, so what was copied may not fit together.
        """
        if self._broken:
            raise StoreError(f"The store could not be held still any longer: {self._broken}.")
