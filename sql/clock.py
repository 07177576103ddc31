"""Time, as the store keeps it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment in UTC, naive, as the store keeps times."""
    return datetime.now(UTC).replace(tzinfo=None)
