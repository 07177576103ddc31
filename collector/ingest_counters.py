"""What a collector has done since its start, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from collector.signals import Signal


@dataclass
class Counters:
    """Totals since the start.

    Attributes:
        requests: requests acknowledged, by signal.
        received_bytes: serialized bytes of those.
        accepted: records of those requests.
        rejected: those records among them that were refused, by signal and reason.
        refused: requests that a receiver did not acknowledge, by reason.
        redacted: values of those that were not stored as they came, by what was done: ``truncated``, ``hashed``,
            ``dropped``, ``masked:NAME`` of the pattern.
        ignored: requests acknowledged of which nothing is kept, by signal.
        groups: groups acknowledged.
        group_seconds: time from taking a group to its acknowledgement.
    """

    requests: Counter[Signal] = field(default_factory=Counter)
    received_bytes: int = 0
    accepted: Counter[Signal] = field(default_factory=Counter)
    rejected: Counter[tuple[Signal, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)
    ignored: Counter[Signal] = field(default_factory=Counter)
    groups: int = 0
    group_seconds: float = 0.0
