"""Lines for the configuration that would price what has no price."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from analytics.pricing.matching import Subject
from analytics.pricing.rates import BATCH

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_UNWRITTEN = "# {} =  # USD per million tokens"


def price_entry(
    subject: Subject, *, base: str | None, missing: Sequence[str] = (), tier: str | None = None
) -> list[str]:
    """An entry of ``[[prices]]``. What only the user knows stands in comments: without it the entry is refused.

    Args:
        subject: whose price it would be.
        base: a model whose price is known and is likely to be meant; None if there is none.
        missing: rates that are to be added.
        tier: the service tier whose factor is missing.
    """
    lines = ["[[prices]]", f"model = {_text(subject.request_model or subject.response_model or '')}"]
    if subject.request_model and subject.response_model not in {None, subject.request_model}:
        lines.append(f"response_model = {_text(subject.response_model or '')}")
    if base is None:
        lines += [_UNWRITTEN.format(name) for name in ("input_per_mtok", "output_per_mtok")]
    else:
        lines.append(f"base = {_text(base)}")
        if base != subject.request_model and not missing and tier is None:
            lines.append("factor = 1.0  # what your provider charges, as a multiple of the base's price")
    lines += [_UNWRITTEN.format(f"{name}_per_mtok") for name in missing]
    if tier == BATCH:
        lines.append("service_tiers = { batch = 0.5 }  # what your provider charges, as a share of the standard price")
    elif tier is not None:
        lines.append(f"service_tiers = {{}}  # {{ {_key(tier)} = what it costs, as a multiple of the standard price }}")
    return lines


def _text(value: str) -> str:
    # A TOML basic string and a JSON string are written alike, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)
