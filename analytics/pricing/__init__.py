"""What each model call cost, in USD, or that it is not known.

The user's own prices come first, then those of the genai-prices package. Nothing is guessed: a fine-tuned model never
takes its base's price, and a token without a price has no cost. How a price is found and a cost is made of it:
docs/costs.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analytics.pricing.arithmetic import usd
    from analytics.pricing.book import PRICE_COLUMNS, PRICED_COLUMNS, PriceBook
    from analytics.pricing.model_names import base_of, is_fine_tuned
    from analytics.pricing.own_prices import ExchangeRate, Price, PriceTier

__all__ = [
    "PRICED_COLUMNS",
    "PRICE_COLUMNS",
    "ExchangeRate",
    "Price",
    "PriceBook",
    "PriceTier",
    "base_of",
    "is_fine_tuned",
    "usd",
]

_HOMES = {
    "arithmetic": ("usd",),
    "book": ("PRICE_COLUMNS", "PRICED_COLUMNS", "PriceBook"),
    "model_names": ("base_of", "is_fine_tuned"),
    "own_prices": ("ExchangeRate", "Price", "PriceTier"),
}
"""The module of each name. The configuration takes prices from here, and shall not load the list of all models."""


def __getattr__(name: str) -> object:
    """Import the module of a name when the name is first asked for (PEP 562)."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
