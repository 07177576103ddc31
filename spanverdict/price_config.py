"""The sections of the configuration about prices, currencies and costs."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from analytics.pricing import Price, PriceTier


class Section(BaseModel):
    """A section of the configuration: it knows all of its keys, and is not changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _check_currency(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{3}", text):
        raise ValueError("it is not a currency's code, such as EUR")
    # The keys of environment variables come in lower case.
    return text.upper()


Money = Annotated[Decimal, Field(ge=0, le=1_000_000)]
Currency = Annotated[str, AfterValidator(_check_currency)]


class _Rates(Section):
    input_per_mtok: Money | None = None
    output_per_mtok: Money | None = None
    cache_read_per_mtok: Money | None = None
    cache_write_per_mtok: Money | None = None
    cache_write_1h_per_mtok: Money | None = None
    reasoning_per_mtok: Money | None = None
    input_audio_per_mtok: Money | None = None
    output_audio_per_mtok: Money | None = None
    cache_audio_read_per_mtok: Money | None = None


class PriceTierConfig(_Rates):
    """``[[prices.tiers]]``: what a price is for calls with more input tokens than a threshold."""

    above: Annotated[int, Field(ge=0)]


class PriceConfig(_Rates):
    """``[[prices]]``: the price of one model, or of those that a pattern matches, per million tokens."""

    model: str | None = None
    pattern: str | None = None
    base: str | None = None
    factor: Money = Decimal(1)
    input_factor: Money | None = None
    output_factor: Money | None = None
    provider: str | None = None
    response_model: str | None = None
    server_address: str | None = None
    service_tier: str | None = None
    service_tiers: dict[str, Money] = Field(default_factory=dict)
    effective_from: datetime | None = None
    effective_until: datetime | None = None
    currency: Currency = "USD"
    per_request: Money | None = None
    tiers: tuple[PriceTierConfig, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.price()
        return self

    def price(self) -> Price:
        """The price that it describes.

        Raises:
            ValueError: its keys contradict each other.
        """
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return Price(**{**given, "tiers": [PriceTier(**tier.model_dump()) for tier in self.tiers]})


class ExchangeRateConfig(Section):
    """``[[exchange_rates.CURRENCY]]``: what one unit of a currency is worth in USD, from a moment on."""

    usd: Annotated[Decimal, Field(gt=0, le=1_000_000)]
    effective_from: datetime | None = None


def _as_dated(rates: object) -> object:
    return rates if isinstance(rates, list | tuple) else [{"usd": rates}]


ExchangeRates = Annotated[tuple[ExchangeRateConfig, ...], BeforeValidator(_as_dated), Field(min_length=1)]


class CostsConfig(Section):
    """``[costs]``: what becomes of a cost that a span states itself."""

    reported: Literal["beside", "when_unpriced"] = "beside"
