"""Why a number is missing: machine-readable, so that an undefined result is never a silent number."""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    """What stood in the way of an estimate or a test."""

    NO_DATA = "no_data"
    NO_BASE = "no_base"
    NO_CANDIDATE = "no_candidate"
    NO_SHARED_STRATA = "no_shared_strata"
    NO_VARIATION = "no_variation"
    NO_RATIO = "no_ratio"
    NO_THRESHOLD = "no_threshold"
    TOO_FEW_UNITS = "too_few_units"
    TOO_FEW_EVENTS = "too_few_events"
    TOO_FEW_DAYS = "too_few_days"
