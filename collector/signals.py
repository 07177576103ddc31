"""What is received."""

from __future__ import annotations

from enum import StrEnum


class Signal(StrEnum):
    """What a request carries, by its HTTP path; metrics are taken and not kept, feedback is not of OTLP."""

    TRACES = "traces"
    LOGS = "logs"
    METRICS = "metrics"
    FEEDBACK = "feedback"
