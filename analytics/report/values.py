"""An arm's side of a metric."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ArmValue:
    """One arm's side of a metric: how many traces it rests on and the observed value (None where undefined)."""

    n: int
    value: float | None
