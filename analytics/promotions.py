"""A promotion: which candidate was put beside which base, since when, and how traffic is split into cohorts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Promotion:
    """One candidate release under comparison.

    Attributes:
        name: the name people use for it.
        base: request model of the base arm.
        candidate: request model of the candidate arm.
        design: how the arms were made; "concurrent" means both models serve the same period.
        at: when the candidate began to serve (UTC, naive).
        ended_at: when the comparison ended (UTC, naive); None while it runs.
        cohort_by: the span or resource attribute whose value is the cohort.
        candidate_share: the share of users meant for the candidate, for the sample-ratio check; None if not stated.
    """

    name: str
    base: str
    candidate: str
    design: str
    at: datetime
    ended_at: datetime | None
    cohort_by: str
    candidate_share: float | None
