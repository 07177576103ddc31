"""``[retention]``: how long what is stored is kept, and how large it may become."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spanverdict.config_sections import Size
from spanverdict.price_config import Section

_UNITS = {"K": 1, "M": 2, "G": 3, "T": 4}

Days = Annotated[int, Field(gt=0, lt=100_000)]


class RetentionConfig(Section):
    """``[retention]``: whole UTC days; what is not named is kept for ever."""

    content_days: Days | None = None
    spans_days: Days | None = None
    outcomes_days: Days | None = None
    derived_days: Days | None = None
    reports_days: Days | None = None
    max_size: Size | None = None

    @property
    def deletes(self) -> bool:
        """Whether anything is ever deleted."""
        return any(value is not None for value in self.model_dump().values())


def size_in_bytes(text: str) -> int:
    """What a size such as ``50GB`` or ``2GiB`` comes to."""
    number = text.rstrip("iBKMGT ")
    unit = text[len(number) :].strip()
    return int(float(number) * (1024 if "i" in unit else 1000) ** _UNITS[unit[0]])
