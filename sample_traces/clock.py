"""Simulated time: three weeks of traffic pass in a minute, and every library reads the same clock."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

import time_machine

if TYPE_CHECKING:
    from types import TracebackType


class SimulatedClock:
    """Replaces the wall clock of the process; it stands still unless moved.

    The SDK's span times, log times and the instrumentations' own ``time.time()`` all read the wall clock, so
    all of them are simulated. Monotonic clocks run on: sockets and thread waits need them, and no library
    writes them to a span of a call that is not streamed.
    """

    def __init__(self, start: datetime) -> None:
        self._travel = time_machine.travel(start, tick=False)
        self._traveller: time_machine.Traveller | None = None

    def __enter__(self) -> Self:
        self._traveller = self._travel.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._travel.stop()
        self._traveller = None

    def move_to(self, moment: datetime) -> None:
        """Set the time of day; it may go back, since requests overlap."""
        self._running().move_to(moment)

    def advance(self, seconds: float) -> None:
        """Let time pass, in whole microseconds."""
        self._running().shift(timedelta(microseconds=round(seconds * 1e6)))

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()

    def _running(self) -> time_machine.Traveller:
        if self._traveller is None:
            raise RuntimeError("the simulated clock does not run: use it as a context manager")
        return self._traveller
