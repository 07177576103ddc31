"""What may wait for its acknowledgement, and what is acknowledged together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of the ingest path.

    Attributes:
        waiting_bytes: bytes of requests that may wait in memory for their acknowledgement.
        backlog_bytes: acknowledged bytes that may wait on disk for the store.
        group_bytes: serialized bytes that are decoded and acknowledged together.
        group_requests: requests that are decoded and acknowledged together.
        linger_seconds: how long the first request of a group waits for others.
        enough_bytes: serialized bytes for which nobody waits longer, unless an earlier group is still being written.
    """

    waiting_bytes: int = 64 * 2**20
    backlog_bytes: int = 1024 * 2**20
    group_bytes: int = 8 * 2**20
    group_requests: int = 4096
    linger_seconds: float = 0.02
    enough_bytes: int = 8 * 2**20

    @classmethod
    def of_commits(cls) -> Limits:
        """Bounds where each group is a commit of a shared store, which costs more the more there are."""
        return cls(group_bytes=32 * 2**20, linger_seconds=0.5, enough_bytes=2**20)
