"""The kinds of news."""

from __future__ import annotations

from enum import StrEnum


class Change(StrEnum):
    """What kind of news an event is."""

    REGRESSED = "regressed"
    RESOLVED = "resolved"
    IMPROVED = "improved"
    NO_REGRESSION = "no_regression"
    INVALID = "invalid"
    DECISION = "decision"
    FAILED_RUN = "failed_run"
    GUARD = "guard"
