"""Who sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Credential:
    """What a token stands for.

    Attributes:
        name: what the configuration calls it.
        attributes: resource attributes that everything sent with it has, whatever the sender says.
    """

    name: str
    attributes: Mapping[str, str]
