"""How many bytes of requests may be on their way in at once, over both transports.

What is received is in memory before the ingest path can count it. HTTP tells a request's size before its body; gRPC
does not, so only a few gRPC messages begin to be read at once. Most are there when their turn comes; one that is not
passes its turn on and is presumed to come at a fixed rate, up to the largest size taken. Past the budget, whoever has
been sending for longest is cut off, so that senders that stall or crawl hold nobody else up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from collector.ingest import OverloadedError

READ_SECONDS = 30.0
"""How long a request's bytes may take to arrive: three times an exporter's own deadline."""

PATIENCE_SECONDS = 2.0
"""How long anybody may take to send while others are turned away."""

PRESUMED_RATE = 32 * 2**20
"""Bytes a second that a message of unknown size is presumed to come at."""

TURN_SECONDS = 0.1
"""How long a message of unknown size has the turn while others wait for theirs."""

TURN_WAIT_SECONDS = 3.0
"""How long a message of unknown size may wait for its turn."""


class SlowSenderError(Exception):
    """The bytes of a request took too long to arrive."""


class Reading:
    """One request on its way in.

    Args:
        admission: where its bytes count.
        started: when it began, in seconds of the event loop's clock.
    """

    def __init__(self, admission: Admission, started: float) -> None:
        self._admission = admission
        self._limit: asyncio.Timeout | None = None
        self._cut = False
        self.has_turn = False
        self.started = started
        self.held = 0

    @property
    def arriving(self) -> bool:
        """Whether its bytes are being read now."""
        return self._limit is not None and not self._cut

    @contextlib.asynccontextmanager
    async def limited(self, seconds: float = READ_SECONDS) -> AsyncIterator[None]:
        """Within this the bytes are read.

        Raises:
            SlowSenderError: it took longer than ``seconds``.
            OverloadedError: it was cut off for others.
        """
        try:
            async with asyncio.timeout(seconds) as self._limit:
                yield
        except TimeoutError:
            if self._cut:
                raise OverloadedError("Too many requests arrive at once; send this again in a moment.") from None
            raise SlowSenderError(f"The request took longer than {seconds:g} s to arrive.") from None
        finally:
            self._limit = None

    def grow(self, size: int) -> None:
        """Count more bytes.

        Raises:
            OverloadedError: they do not fit into the budget.
        """
        self._admission.make_room(size, self)
        self.hold(self.held + size)

    def hold(self, size: int) -> None:
        """Count ``size`` bytes, whatever the budget."""
        self._admission.held_bytes += size - self.held
        self.held = size

    def cut(self) -> None:
        """End the reading; its bytes no longer count."""
        if self._limit is not None:
            self._cut = True
            self._limit.reschedule(0)
            self.hold(0)


class Admission:
    """The budget. It belongs to one event loop.

    Args:
        budget_bytes: bytes that may be on their way in; a request that is alone is taken whatever its size.
        message_bytes: the largest request taken.
    """

    def __init__(self, budget_bytes: int, message_bytes: int) -> None:
        self._budget = budget_bytes
        self._message_bytes = message_bytes
        self._readings: dict[Reading, None] = {}
        self._presumed: dict[Reading, None] = {}
        self._turns = asyncio.Semaphore(max(2, budget_bytes // message_bytes))
        self._sweeping: asyncio.TimerHandle | None = None
        self.held_bytes = 0

    @contextlib.contextmanager
    def reading(self, declared: int | None = None) -> Iterator[Reading]:
        """Count a request from here to the end of the block.

        Args:
            declared: its size in bytes, where the sender tells.

        Raises:
            OverloadedError: it does not fit into the budget.
        """
        reading = Reading(self, asyncio.get_running_loop().time())
        reading.grow(declared or 0)
        self._readings[reading] = None
        try:
            yield reading
        finally:
            del self._readings[reading]
            reading.hold(0)

    @contextlib.asynccontextmanager
    async def reading_unsized(self) -> AsyncIterator[Reading]:
        """Wait for a turn, then count a request of which nobody tells how much is there, to the end of the block.

        Raises:
            OverloadedError: too many others are being read.
        """
        await self._wait_for_turn()
        reading = Reading(self, asyncio.get_running_loop().time())
        reading.has_turn = True
        self._readings[reading] = self._presumed[reading] = None
        self._sweep_later()
        try:
            yield reading
        finally:
            del self._readings[reading], self._presumed[reading]
            self._pass_turn(reading)
            reading.hold(0)

    def make_room(self, size: int, reading: Reading) -> None:
        """See that ``size`` bytes fit, if need be by cutting off who has had time enough.

        Raises:
            OverloadedError: they do not fit.
        """
        if self._fits(size, reading):
            return
        latest = asyncio.get_running_loop().time() - PATIENCE_SECONDS
        for oldest in list(self._readings):
            if oldest.started > latest:
                break
            if oldest is not reading and oldest.arriving:
                oldest.cut()
                if self._fits(size, reading):
                    return
        raise OverloadedError(f"{self.held_bytes} bytes are arriving already; send this again in a moment.")

    def _fits(self, size: int, reading: Reading) -> bool:
        others = self.held_bytes - reading.held
        return not size or not others or self.held_bytes + size <= self._budget

    async def _wait_for_turn(self) -> None:
        if not self._turns.locked():
            # Done at once, without the price of a timer.
            await self._turns.acquire()
            return
        try:
            async with asyncio.timeout(TURN_WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise OverloadedError("Too many requests arrive at once; send this again in a moment.") from None

    def _pass_turn(self, reading: Reading) -> None:
        if reading.has_turn:
            reading.has_turn = False
            self._turns.release()

    def _sweep_later(self) -> None:
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(TURN_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Presume anew, cut off the oldest until the rest fits, and pass on the turns of those that take long."""
        self._sweeping = None
        now = asyncio.get_running_loop().time()
        arriving = [reading for reading in self._presumed if reading.arriving]
        for reading in arriving:
            reading.hold(min(self._message_bytes, int(PRESUMED_RATE * (now - reading.started))))
        for reading in arriving[:-1]:
            if self.held_bytes <= self._budget:
                break
            reading.cut()
        for reading in arriving:
            if now - reading.started >= TURN_SECONDS:
                self._pass_turn(reading)
        if self._presumed:
            self._sweep_later()
