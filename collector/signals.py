"""What OTLP carries."""

from __future__ import annotations

from enum import StrEnum


class Signal(StrEnum):
    """What a request carries, named as in OTLP/HTTP's paths; metrics are taken and not kept."""

    TRACES = "traces"
    LOGS = "logs"
    METRICS = "metrics"
