"""What the provider billed: token counts of the recorded answers, priced by the providers' own list prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Usage:
    """Tokens and cost of one file's traces: the truth, or what a product makes of them.

    Attributes:
        input: input tokens, those read from and written to a cache among them; None: unknown.
        output: output tokens, those of reasoning among them; None: unknown.
        cache_read: input tokens read from a cache; None: not told.
        cache_write: input tokens written to a cache; None: not told.
        cost: USD; None: unknown.
        nothing_billed: the provider refused the call, so that a zero says the same as no figure.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cost: Decimal | None = None
    nothing_billed: bool = False


@dataclass(frozen=True)
class ListPrice:
    """USD per million tokens, as the provider's own page states them."""

    input: str
    output: str
    page: str
    cache_read: str | None = None
    cache_write: str | None = None


_OPENAI = "https://developers.openai.com/api/docs/models/"
_ANTHROPIC = "https://docs.anthropic.com/en/docs/about-claude/pricing"
_GOOGLE = "https://ai.google.dev/gemini-api/docs/pricing"

# Standard tier, prompts of ordinary length; Anthropic's cache for five minutes (writes 1.25 x, reads 0.1 x input).
LIST_PRICES = {
    "gpt-3.5-turbo": ListPrice("0.50", "1.50", _OPENAI + "gpt-3.5-turbo"),
    "gpt-3.5-turbo-0125": ListPrice("0.50", "1.50", _OPENAI + "gpt-3.5-turbo"),
    "gpt-5-nano-2025-08-07": ListPrice("0.05", "0.40", _OPENAI + "gpt-5-nano", cache_read="0.005"),
    "gpt-5-2025-08-07": ListPrice("1.25", "10", _OPENAI + "gpt-5", cache_read="0.125"),
    "claude-3-5-sonnet-20240620": ListPrice("3", "15", _ANTHROPIC, cache_read="0.30", cache_write="3.75"),
    "claude-sonnet-4-5-20250929": ListPrice("3", "15", _ANTHROPIC, cache_read="0.30", cache_write="3.75"),
    "gemini-2.0-flash": ListPrice("0.10", "0.40", _GOOGLE),
    "gemini-2.5-flash": ListPrice("0.30", "2.50", _GOOGLE),
}


def billed(calls: Iterable[Mapping[str, Any]], model: str | None) -> Usage:
    """Add up calls and price them.

    Args:
        calls: ``input`` (cache included), ``output`` (reasoning included), optionally ``cache_read`` and
            ``cache_write``; ``input`` None for a call that the provider refused.
        model: the model that answered; without a list price the cost is unknown.
    """
    told = [call for call in calls if call["input"] is not None]
    if not told:
        return Usage(nothing_billed=True)
    sums = {name: sum(call.get(name, 0) for call in told) for name in ("input", "output", "cache_read", "cache_write")}
    return Usage(**sums, cost=_cost(sums, LIST_PRICES.get(model or "")))


def _cost(tokens: Mapping[str, int], price: ListPrice | None) -> Decimal | None:
    if price is None:
        return None
    read, write = tokens["cache_read"], tokens["cache_write"]
    total = Decimal(0)
    for rate, count in (
        (price.input, tokens["input"] - read - write),
        (price.cache_read, read),
        (price.cache_write, write),
        (price.output, tokens["output"]),
    ):
        if count and rate is None:
            return None
        total += Decimal(rate or 0) * count
    return total / 1_000_000
