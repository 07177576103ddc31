"""List prices, as the genai-prices package knows them: effective-dated, by tier, by service tier."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from genai_prices import Usage, calc_price
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from analytics.pricing.model_names import is_fine_tuned
from analytics.pricing.providers import provider_id
from analytics.pricing.rates import BATCH, STANDARD, Band, RateCard, with_fallbacks

SOURCE = "genai-prices"
REQUESTS_PER_PRICE = 1_000

_SNAPSHOT = re.compile(r"[-@.:]?\d{4}-?\d{2}-?\d{2}")
# How Google's APIs write a published model: "models/gemini…", "projects/…/publishers/google/models/gemini…".
_GOOGLE_PATH = re.compile(r"(?:^|/publishers/[^/]+/|^publishers/[^/]+/)models/([^/]+)$")
_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "input_audio": "input_audio_mtok",
    "output_audio": "output_audio_mtok",
    "cache_audio_read": "cache_audio_read_mtok",
}
# Output of such models is mostly not text, and no convention tells how many of its tokens were what.
_UNTOLD_OUTPUT = ("output_image_mtok", "output_video_mtok")

_SOME_DAY = date(2000, 1, 1)

Rate = Decimal | TieredPrices | None


@dataclass(frozen=True)
class ListModel:
    """A model of the package, as one provider serves it."""

    provider: Provider
    model: ModelInfo

    @property
    def name(self) -> str:
        """What the price is called: ``provider/model`` in the package's words."""
        return f"{self.provider.id}/{self.model.id}"

    @property
    def changes(self) -> tuple[timedelta, ...]:
        """When in a day (UTC) the price may change, by ascending time; empty if it never does."""
        dated = [*self._dated(), *(self.model.price_variants or ())]
        constraints = [entry.constraint for entry in dated if entry.constraint is not None]
        moments = {timedelta()} if constraints else set()
        for constraint in constraints:
            if isinstance(constraint, TimeOfDateConstraint):
                moments |= {_since_midnight(constraint.start_time), _since_midnight(constraint.end_time)}
        return tuple(sorted(moments))

    def card(self, at: datetime, tier: str) -> RateCard | None:
        """The price at a moment (UTC) in a service tier; None where the package does not know it."""
        dated = self._dated()
        if dated and not any(_active(entry, at) for entry in dated):
            return None
        context = None
        if tier != STANDARD:
            context = _context(tier)
            # Without a variant the package falls back to the standard price, which is not what was billed. What one
            # provider lists for a tier does not hold at another that serves the same model.
            own = any(model is self.model for model in self.provider.models)
            variants = self.model.price_variants or ()
            if not own or not any(variant.when == context and _active(variant, at) for variant in variants):
                return None
        prices = self.model.get_prices(at, context)
        name = self.name if tier == STANDARD else f"{self.name} {tier}"
        # Speech out means that audio is a part of every call, not an exception that would have been told.
        return RateCard(SOURCE, name, tuple(_bands(prices)), needs_modalities=prices.output_audio_mtok is not None)

    def since(self, at: datetime) -> str | None:
        """From which day (ISO 8601) the price of a moment holds; None where the package states none."""
        started = [
            entry.constraint.start_date
            for entry in self._dated()
            if isinstance(entry.constraint, StartDateConstraint) and entry.constraint.active(at)
        ]
        return max(started).isoformat() if started else None

    def tier_since(self, tier: str) -> str | None:
        """From which day (ISO 8601) the package knows the price of a service tier; None if it does not at all."""
        context = _context(tier)
        starts = [
            variant.constraint.start_date.isoformat()
            for variant in self.model.price_variants or ()
            if variant.when == context and isinstance(variant.constraint, StartDateConstraint)
        ]
        return min(starts, default=None)

    def _dated(self) -> list[ConditionalPrice]:
        return [] if isinstance(self.model.prices, ModelPrice) else self.model.prices


def find_list_model(provider: str | None, request: str | None, response: str | None) -> ListModel | None:
    """Find what the package knows about the model that answered, else about the one that was asked for.

    The package prices some fine-tuned models by their own entries and others as their base ("ft:gpt-4-0…", custom
    models of Bedrock): the latter are refused. An unknown answering model takes the requested one's price only if it
    is a dated snapshot of it.
    """
    if request and is_fine_tuned(request):
        return look_up(provider, response if response and is_fine_tuned(response) else request)
    if not response:
        return look_up(provider, request) if request else None
    found = look_up(provider, response)
    if found is None and request and _SNAPSHOT.fullmatch(response.removeprefix(request)):
        return look_up(provider, request)
    return found


def look_up(provider: str | None, name: str) -> ListModel | None:
    """Find one model by name; never a base for a fine-tuned one.

    Args:
        provider: as spans name it; None, or a framework: the model's name must tell.
        name: the model's name.
    """
    path = _GOOGLE_PATH.search(name)
    plain = path[1] if path else name
    # The package knows how LiteLLM writes "provider/model".
    served_by = provider if provider == "litellm" and "/" in plain else provider_id(provider)
    try:
        found = calc_price(Usage(input_tokens=0), plain, provider_id=served_by)
    except LookupError:
        return None
    if is_fine_tuned(name) and not is_fine_tuned(found.model.id):
        return None
    return ListModel(found.provider, found.model)


def _since_midnight(moment: time) -> timedelta:
    """A time of day, in UTC as the package takes one without an offset."""
    there = datetime.combine(_SOME_DAY, moment)
    utc = there if there.tzinfo is None else there.astimezone(UTC).replace(tzinfo=None)
    return timedelta(hours=utc.hour, minutes=utc.minute, seconds=utc.second, microseconds=utc.microsecond)


def _context(tier: str) -> dict[str, str]:
    """How the package calls a service tier other than the standard."""
    return {"processing": BATCH} if tier == BATCH else {"service_tier": tier}


def _active(entry: ConditionalPrice | PriceVariant, at: datetime) -> bool:
    return entry.constraint is None or entry.constraint.active(at)


def _bands(prices: ModelPrice) -> Iterator[Band]:
    """Spread tiered prices: one band per threshold, for all tokens of a call with more input."""
    stated: dict[str, Rate] = {name: getattr(prices, key) for name, key in _KEYS.items()}
    request: Rate = prices.requests_kcount
    untold = any(getattr(prices, key) is not None for key in _UNTOLD_OUTPUT)
    tiered = [rate for rate in (*stated.values(), request) if isinstance(rate, TieredPrices)]
    for above in sorted({-1, *(tier.start for rate in tiered for tier in rate.tiers)}):
        rates = with_fallbacks({name: _at(rate, above) for name, rate in stated.items()})
        if untold:
            rates["output"] = rates["reasoning"] = None
        yield Band(above, rates, (_at(request, above) or Decimal(0)) / REQUESTS_PER_PRICE)


def _at(rate: Rate, above: int) -> Decimal | None:
    if isinstance(rate, TieredPrices):
        return next((tier.price for tier in reversed(rate.tiers) if tier.start <= above), rate.base)
    return rate
