"""The application's own attributes for the conditions of a trace."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConditionAttributes:
    """Attributes of the application's own that tell conditions; each goes before those that instrumentations write.

    Attributes:
        tool_schema: version or hash of the definitions of tools, on model calls.
        system_prompt: version or hash of the instructions, on model calls.
        retrieval_version: version of the index, on retrievals.
        keep_probability: the probability of being kept, on root spans or model calls.
        request: attributes of root spans that describe requests, looked at for a different mix of them; empty looks
            at whatever has few values.
    """

    tool_schema: str | None = None
    system_prompt: str | None = None
    retrieval_version: str | None = None
    keep_probability: str | None = None
    request: tuple[str, ...] = ()
