"""How an attempt to send ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """How an attempt to send ended.

    Attributes:
        error: what went wrong, one sentence without secrets; None if it arrived.
        is_final: whether another attempt would be no better.
        wait_seconds: how long the receiver asks us to wait; None if it does not say.
    """

    error: str | None = None
    is_final: bool = False
    wait_seconds: float | None = None


SENT = Outcome()
