"""What OTLP carries."""

from __future__ import annotations

from enum import StrEnum


class Signal(StrEnum):
    """What a request carries, named as in OTLP/HTTP's paths."""

    TRACES = "traces"
    LOGS = "logs"
