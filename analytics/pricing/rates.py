"""Rates of one price, whatever they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

INPUT_RATES = ("input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "cache_audio_read")
OUTPUT_RATES = ("output", "reasoning", "output_audio")
RATES = (*INPUT_RATES, *OUTPUT_RATES)
"""What tokens may have a rate of their own, in USD per million tokens."""

STANDARD = "standard"
"""The service tier of a call that asked for nothing else."""

BATCH = "batch"
_STANDARD_TIERS = frozenset({"", "auto", "default", "on_demand", "standard", "standard_only"})
_UNITS_PER_RATE = Decimal(10) ** 12
_UNITS_PER_USD = Decimal(10) ** 18


def canonical_tier(tier: str | None) -> str:
    """A service tier as prices name it: "standard" for every provider's word for it."""
    tier = (tier or "").strip().lower()
    return STANDARD if tier in _STANDARD_TIERS else tier


@dataclass(frozen=True)
class Band:
    """What holds for calls with more than so many input tokens, for all their tokens.

    Attributes:
        above: the threshold, in input tokens; -1 for every call.
        rates: USD per million tokens, by name of :data:`RATES`; absent or None where not known.
        per_request: USD for the call itself.
    """

    above: int
    rates: Mapping[str, Decimal | None]
    per_request: Decimal = Decimal(0)

    def scaled(self, factors: Mapping[str, Decimal], request_factor: Decimal) -> Band:
        """The same with every rate multiplied by its factor."""
        rates = {name: None if rate is None else rate * factors[name] for name, rate in self.rates.items()}
        return Band(self.above, rates, self.per_request * request_factor)


@dataclass(frozen=True)
class RateCard:
    """The price of one model at one moment in one service tier.

    Attributes:
        source: "own" or "genai-prices".
        name: the own entry's name, or the package's provider/model, with the service tier if it is not the standard.
        bands: by ascending threshold, the first for every call.
        needs_modalities: text alone has the plain rates of a model that speaks: a call that does not say how many of
            its tokens were audio is not priced.
    """

    source: str
    name: str
    bands: tuple[Band, ...]
    needs_modalities: bool = False


def with_fallbacks(stated: Mapping[str, Decimal | None]) -> dict[str, Decimal | None]:
    """Complete what a price leaves out.

    Cached tokens cost what other input costs, and reasoning what other output costs, where nothing else is stated.
    Where writing to a cache has a price, keeping it there for an hour has another, so it is not known. Audio never
    costs what text costs.
    """
    complete = dict(stated)
    if stated.get("cache_write_1h") is None and stated.get("cache_write") is None:
        complete["cache_write_1h"] = stated["input"]
    for name, otherwise in (("cache_read", "input"), ("cache_write", "input"), ("reasoning", "output")):
        if stated.get(name) is None:
            complete[name] = stated[otherwise]
    return complete


def rate_units(rate: Decimal | None) -> int | None:
    """A rate per million tokens in whole units of 10⁻¹⁸ USD per token; None where unknown."""
    return None if rate is None else _whole(rate * _UNITS_PER_RATE)


def usd_units(amount: Decimal) -> int:
    """An amount of USD in whole units of 10⁻¹⁸ USD."""
    return _whole(amount * _UNITS_PER_USD)


def _whole(amount: Decimal) -> int:
    with localcontext() as context:
        context.prec = 60
        return int(amount.to_integral_value(ROUND_HALF_EVEN))
