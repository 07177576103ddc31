"""The user's own prices: of one model or of many, stated or derived from a base's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal

from analytics.pricing.rates import (
    INPUT_RATES,
    RATES,
    STANDARD,
    Band,
    RateCard,
    canonical_tier,
    with_fallbacks,
)

SOURCE = "own"
USD = "USD"
MOST = Decimal(1_000_000)
"""The largest rate, factor or exchange rate that is taken for one: a dollar a token."""

Number = Decimal | float | int


@dataclass(frozen=True)
class ExchangeRate:
    """What one unit of a currency is worth.

    Attributes:
        usd: in USD.
        effective_from: from when on (UTC); None: always.
    """

    usd: Number
    effective_from: datetime | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "usd", _number(self.usd, "usd", positive=True))
        except ValueError as error:
            raise ValueError(f"An exchange rate has {error}.") from error

    @property
    def since(self) -> datetime | None:
        """From when on, as the store has times (naive UTC)."""
        return naive_utc(self.effective_from)


@dataclass(frozen=True)
class PriceTier:
    """What a price is for calls with many input tokens, for all their tokens; None: as below the threshold.

    Attributes:
        above: the threshold, in input tokens: a call with more of them has this price.
    """

    above: int
    input_per_mtok: Number | None = None
    output_per_mtok: Number | None = None
    cache_read_per_mtok: Number | None = None
    cache_write_per_mtok: Number | None = None
    cache_write_1h_per_mtok: Number | None = None
    reasoning_per_mtok: Number | None = None
    input_audio_per_mtok: Number | None = None
    output_audio_per_mtok: Number | None = None
    cache_audio_read_per_mtok: Number | None = None

    def __post_init__(self) -> None:
        if self.above < 0:
            raise ValueError(f"A tier has above = {self.above}; make it at least 0.")
        try:
            _take_rates(self)
        except ValueError as error:
            raise ValueError(f"The tier above {self.above} has {error}.") from error


@dataclass(frozen=True)
class Price:
    """The user's own price of one model or of those that a pattern matches, per million tokens.

    Rates that are not given: cached tokens and reasoning as other input and output, cache writes kept for an hour as
    input if writes have no price at all, else unknown; audio unknown. With ``base`` as the base has it.

    Attributes:
        model: the exact name of the model that was asked for, or that answered.
        input_per_mtok: of input tokens for which nothing else is given.
        output_per_mtok: of output tokens for which nothing else is given.
        cache_read_per_mtok: of input read from a cache.
        cache_write_per_mtok: of input written to a cache.
        effective_from: when the price began (UTC); None: always.
        effective_until: when it ended (UTC, itself not included); None: it holds still.
        pattern: a glob in place of ``model``: ``*`` stands for any characters, ``?`` for one.
        base: the model whose price this is, times the factors.
        factor: what the base's price is multiplied with.
        input_factor: the same for input alone, in place of ``factor``.
        output_factor: the same for output alone, in place of ``factor``.
        provider: only calls of this provider.
        response_model: only calls that this model answered.
        server_address: only calls to this host.
        service_tier: only calls of this service tier, such as "batch".
        service_tiers: by service tier, what the rates are multiplied with there.
        currency: of all amounts of this price.
        cache_write_1h_per_mtok: of input written to a cache for an hour.
        reasoning_per_mtok: of reasoning tokens.
        input_audio_per_mtok: of audio in.
        output_audio_per_mtok: of audio out.
        cache_audio_read_per_mtok: of audio read from a cache.
        per_request: of the call itself.
        tiers: prices of calls with many input tokens.
    """

    model: str | None = None
    input_per_mtok: Number | None = None
    output_per_mtok: Number | None = None
    cache_read_per_mtok: Number | None = None
    cache_write_per_mtok: Number | None = None
    effective_from: datetime | None = None
    effective_until: datetime | None = None
    pattern: str | None = None
    base: str | None = None
    factor: Number = 1
    input_factor: Number | None = None
    output_factor: Number | None = None
    provider: str | None = None
    response_model: str | None = None
    server_address: str | None = None
    service_tier: str | None = None
    service_tiers: Mapping[str, Number] = field(default_factory=dict)
    currency: str = USD
    cache_write_1h_per_mtok: Number | None = None
    reasoning_per_mtok: Number | None = None
    input_audio_per_mtok: Number | None = None
    output_audio_per_mtok: Number | None = None
    cache_audio_read_per_mtok: Number | None = None
    per_request: Number | None = None
    tiers: Sequence[PriceTier] = ()

    def __post_init__(self) -> None:
        try:
            self._normalise()
            self._check()
        except ValueError as error:
            raise ValueError(f"The price of {self.subject} has {error}.") from error

    @property
    def name(self) -> str:
        """What the price is called: its model or pattern."""
        return self.model or self.pattern or ""

    @property
    def subject(self) -> str:
        """Which models it is for, in words."""
        if self.model:
            return f"model {self.model!r}"
        return f"pattern {self.pattern!r}" if self.pattern else "an entry without model"

    @property
    def since(self) -> datetime | None:
        """When it began, as the store has times (naive UTC)."""
        return naive_utc(self.effective_from)

    @property
    def until(self) -> datetime | None:
        """When it ended, as the store has times (naive UTC)."""
        return naive_utc(self.effective_until)

    @property
    def key(self) -> tuple[str | None, ...]:
        """Everything but time that decides which calls it is for."""
        tier = None if self.service_tier is None else canonical_tier(self.service_tier)
        return (self.model, self.pattern, self.provider, self.response_model, self.server_address, tier)

    def holds_at(self, at: datetime) -> bool:
        """Whether it holds at a moment (naive UTC)."""
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)

    def names(self, model: str | None) -> bool:
        """Whether its name or its pattern is that of a model."""
        if model is None:
            return False
        return model == self.model if self.pattern is None else _glob(self.pattern).fullmatch(model) is not None

    def card(self, tier: str, base: RateCard | None, usd: Decimal) -> RateCard | None:
        """The price in a service tier; None where it is not known.

        Args:
            tier: the service tier.
            base: the base's price in the tier that :meth:`base_tier` names, if there is a base.
            usd: what one unit of the currency is worth.
        """
        in_tier = self.tier_factor(tier)
        if (in_tier if self.base is None else base) is None:
            return None
        factor = Decimal(1) if in_tier is None else in_tier
        bands = self._bands(usd, None if base is None else base.bands)
        scaled = tuple(band.scaled(dict.fromkeys(RATES, factor), factor) for band in bands)
        needs = (base is not None and base.needs_modalities) or self.output_audio_per_mtok is not None
        return RateCard(SOURCE, self.name if tier == STANDARD else f"{self.name} {tier}", scaled, needs)

    def tier_factor(self, tier: str) -> Decimal | None:
        """What its rates are multiplied with in a service tier; None where it does not say."""
        if self.service_tier is not None or tier == STANDARD:
            return Decimal(1)
        given = self.service_tiers.get(tier)
        return None if given is None else _decimal(given)

    def base_tier(self, tier: str) -> str:
        """The service tier whose price of the base it starts from."""
        return tier if self.tier_factor(tier) is None else STANDARD

    def _bands(self, usd: Decimal, base: tuple[Band, ...] | None) -> list[Band]:
        own = self._own_bands(usd)
        if base is None:
            return [Band(band.above, with_fallbacks(band.rates), band.per_request) for band in own]
        bands = []
        for above in sorted({band.above for band in (*own, *base)}):
            stated, under = _at(own, above), _at(base, above).scaled(self._factors(), _decimal(self.factor))
            rates = {name: under.rates.get(name) if rate is None else rate for name, rate in stated.rates.items()}
            bands.append(Band(above, rates, under.per_request if self.per_request is None else stated.per_request))
        return bands

    def _own_bands(self, usd: Decimal) -> list[Band]:
        per_request = _decimal(self.per_request or 0) * usd
        bands = [Band(-1, _stated(self, usd), per_request)]
        for tier in sorted(self.tiers, key=lambda tier: tier.above):
            stated = {name: rate for name, rate in _stated(tier, usd).items() if rate is not None}
            bands.append(Band(tier.above, {**bands[-1].rates, **stated}, per_request))
        return bands

    def _factors(self) -> dict[str, Decimal]:
        into = _decimal(self.factor if self.input_factor is None else self.input_factor)
        out = _decimal(self.factor if self.output_factor is None else self.output_factor)
        return {name: into if name in INPUT_RATES else out for name in RATES}

    def _normalise(self) -> None:
        _take_rates(self)
        for name in ("factor", "input_factor", "output_factor", "per_request"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _number(getattr(self, name), name))
        factors = {canonical_tier(tier): _number(value, f"service_tiers.{tier}")
                   for tier, value in self.service_tiers.items()}  # fmt: skip
        object.__setattr__(self, "service_tiers", factors)
        object.__setattr__(self, "tiers", tuple(self.tiers))
        if self.service_tier is not None:
            object.__setattr__(self, "service_tier", canonical_tier(self.service_tier))

    def _check(self) -> None:
        if (self.model is None) == (self.pattern is None):
            raise ValueError("to have either model or pattern; give it one of them")
        if not self.name.strip():
            raise ValueError(f"an empty {'model' if self.pattern is None else 'pattern'}; name what it is the price of")
        if self.base is None:
            self._check_without_base()
        if self.service_tier is not None and self.service_tiers:
            raise ValueError("both service_tier and service_tiers; remove one of them")
        if STANDARD in self.service_tiers:
            raise ValueError("the standard tier in service_tiers, for which its rates are; remove it")
        if self.since and self.until and self.until <= self.since:
            raise ValueError("an effective_until that is not after effective_from; correct one of them")
        thresholds = [tier.above for tier in self.tiers]
        if len(set(thresholds)) < len(thresholds):
            raise ValueError("two tiers with the same above; remove one of them")

    def _check_without_base(self) -> None:
        for name in ("input_per_mtok", "output_per_mtok"):
            if getattr(self, name) is None:
                raise ValueError(f"no {name}; give it, or base")
        for name in ("factor", "input_factor", "output_factor"):
            if getattr(self, name) not in (None, 1):
                raise ValueError(f"{name} but no base whose price it would multiply; add base or remove it")


def naive_utc(time: datetime | None) -> datetime | None:
    """A moment as the store has it; without an offset it is UTC already."""
    if time is None or time.tzinfo is None:
        return time
    return time.astimezone(UTC).replace(tzinfo=None)


def check_unambiguous(prices: Iterable[Price]) -> None:
    """Refuse two prices between which nothing decides.

    Raises:
        ValueError: two prices are for the same calls from the same time on.
    """
    seen = set()
    for price in prices:
        key = (price.key, price.since, price.base is None)
        if key in seen:
            since = price.since.isoformat() if price.since else "always"
            subject = price.subject[0].upper() + price.subject[1:]
            raise ValueError(f"{subject} has two prices from the same time ({since}); remove one of them.")
        seen.add(key)


def _stated(entry: Price | PriceTier, usd: Decimal) -> dict[str, Decimal | None]:
    """The rates that an entry gives, in USD."""
    given: dict[str, Number | None] = {name: getattr(entry, f"{name}_per_mtok") for name in RATES}
    return {name: None if rate is None else _decimal(rate) * usd for name, rate in given.items()}


def _take_rates(entry: Price | PriceTier) -> None:
    for one in fields(entry):
        value = getattr(entry, one.name)
        if one.name.endswith("_per_mtok") and value is not None:
            object.__setattr__(entry, one.name, _number(value, one.name))


def _number(value: Number, name: str, *, positive: bool = False) -> Decimal:
    number = _decimal(value)
    if not number.is_finite() or number < 0 or number > MOST or (positive and number == 0):
        least = "above 0" if positive else "of at least 0"
        raise ValueError(f"{name} = {value}; make it a number {least} and at most {MOST:,}")
    return number


def _decimal(value: Number) -> Decimal:
    # A float's shortest text is what was written in the configuration.
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _at(bands: Sequence[Band], above: int) -> Band:
    return next(band for band in reversed(bands) if band.above <= above)


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(
        "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern), re.DOTALL
    )
