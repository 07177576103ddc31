"""Which price is that of a call: by the call's names and its time, the user's own before the list's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from analytics.pricing.model_names import is_fine_tuned
from analytics.pricing.own_prices import USD, ExchangeRate, Price
from analytics.pricing.providers import provider_id
from analytics.pricing.rates import RateCard, canonical_tier

if TYPE_CHECKING:
    from analytics.pricing.list_prices import ListModel


class Subject(NamedTuple):
    """What tells whose price a call has, its time aside."""

    provider: str | None
    request_model: str | None
    response_model: str | None
    server_address: str | None
    service_tier: str | None


@dataclass(frozen=True)
class Segment:
    """A time in which one price, or none, is that of a subject.

    Attributes:
        since: when it begins (naive UTC); None: always.
        own: the user's price, if it is one.
        listed: the list's, if it is that.
        changes: when in a day its rates may change, by ascending time; empty if they never do.
    """

    since: datetime | None
    own: Price | None
    listed: ListModel | None
    changes: tuple[timedelta, ...] = ()


@dataclass(frozen=True)
class Matcher:
    """Finds prices.

    Attributes:
        own: the user's prices.
        exchange_rates: by currency.
    """

    own: Sequence[Price]
    exchange_rates: Mapping[str, Sequence[ExchangeRate]]

    def segments(self, subject: Subject) -> list[Segment]:
        """Which price a subject has from when on, by ascending time."""
        from analytics.pricing.list_prices import find_list_model  # noqa: PLC0415 (loads all list prices)

        candidates = self.candidates(subject)
        listed = find_list_model(subject.provider, subject.request_model, subject.response_model)
        segments = []
        for since in self._changes(candidates):
            price = next((price for price in candidates if price.holds_at(since or datetime.min)), None)  # noqa: DTZ901
            if price is None:
                segments.append(Segment(since, None, listed, () if listed is None else listed.changes))
            else:
                base = self._listed_base(price, subject)
                segments.append(Segment(since, price, None, () if base is None else base.changes))
        return segments

    def card(self, subject: Subject, segment: Segment, at: datetime) -> RateCard | None:
        """The rates of a subject at a moment within a segment; None where they are not known."""
        tier = canonical_tier(subject.service_tier)
        if segment.own is not None:
            return self._own_card(segment.own, subject, at, tier)
        return None if segment.listed is None else segment.listed.card(at, tier)

    def _own_card(self, price: Price, subject: Subject, at: datetime, tier: str) -> RateCard | None:
        usd = self.usd(price.currency, at)
        if usd is None:
            return None
        return price.card(tier, self._base_card(price, subject, at, price.base_tier(tier)), usd)

    def _base_card(self, price: Price, subject: Subject, at: datetime, tier: str) -> RateCard | None:
        for base in self._own_bases(price, subject):
            if base.holds_at(at):
                return self._own_card(base, subject, at, tier)
        listed = self._listed_base(price, subject)
        return None if listed is None else listed.card(at, tier)

    def _listed_base(self, price: Price, subject: Subject) -> ListModel | None:
        if price.base is None:
            return None
        from analytics.pricing.list_prices import look_up  # noqa: PLC0415 (loads all list prices)

        # A gateway or a host of one's own serves the model under a provider that the list does not have.
        provider = price.provider or subject.provider
        return look_up(provider, price.base) or look_up(None, price.base)

    def _own_bases(self, price: Price, subject: Subject) -> list[Price]:
        """The user's stated prices of a base, which go before the list's."""
        if price.base is None:
            return []
        alike = subject._replace(request_model=price.base, response_model=None)
        return [base for base in self.candidates(alike) if base.base is None and base is not price]

    def candidates(self, subject: Subject) -> list[Price]:
        """The user's prices that may be a subject's, the one that goes before first.

        The name that was asked for decides before the one that answered; an exact name before a pattern, a longer
        pattern before a shorter; more conditions before fewer; stated rates before those of a base; later before
        earlier; of what is left the first in the configuration.
        """
        names = [subject.request_model]
        if _answer_may_decide(subject):
            names.append(subject.response_model)
        ranked = []
        for number, price in enumerate(self._newest_first):
            if not _meets_conditions(price, subject):
                continue
            place = next((place for place, name in enumerate(names) if price.names(name)), None)
            if place is not None:
                literal = 0 if price.pattern is None else len(price.pattern.replace("*", "").replace("?", ""))
                rank = (place, price.pattern is not None, -literal, -_conditions(price), price.base is not None, number)
                ranked.append((rank, price))
        return [price for _, price in sorted(ranked, key=lambda one: one[0])]

    @cached_property
    def _newest_first(self) -> list[Price]:
        def began(price: Price) -> datetime:
            return price.since or datetime.min  # noqa: DTZ901 (the store's times are naive UTC)

        return sorted(self.own, key=began, reverse=True)

    def _changes(self, prices: Sequence[Price]) -> list[datetime | None]:
        """When the price of a subject may change, from the user's side."""
        involved = list(prices)
        for price in prices:
            if price.base is not None:
                involved += [other for other in self.own if other.names(price.base)]
        moments = {moment for price in involved for moment in (price.since, price.until)}
        for currency in {price.currency for price in involved} - {USD}:
            moments.update(rate.since for rate in self.exchange_rates[currency])
        return [None, *sorted(moment for moment in moments if moment is not None)]

    def usd(self, currency: str, at: datetime) -> Decimal | None:
        """What one unit of a currency was worth; None before its first rate."""
        if currency == USD:
            return Decimal(1)
        held = [rate for rate in self.exchange_rates[currency] if rate.since is None or rate.since <= at]
        latest = max(held, key=lambda rate: rate.since or datetime.min, default=None)  # noqa: DTZ901
        return None if latest is None else Decimal(latest.usd)


def _answer_may_decide(subject: Subject) -> bool:
    """Whether the response model may stand for the call: not if only the request says that it was fine-tuned.

    Azure, and gateways, answer with the base's name whatever was deployed.
    """
    asked = subject.request_model is not None and is_fine_tuned(subject.request_model)
    return not asked or (subject.response_model is not None and is_fine_tuned(subject.response_model))


def _meets_conditions(price: Price, subject: Subject) -> bool:
    tier = canonical_tier(subject.service_tier)
    return all(
        wanted is None or wanted == found
        for wanted, found in (
            (provider_id(price.provider), provider_id(subject.provider)),
            (price.response_model, subject.response_model),
            (price.server_address, subject.server_address),
            (price.service_tier, tier),
        )
    )


def _conditions(price: Price) -> int:
    stated = (price.provider, price.response_model, price.server_address, price.service_tier)
    return sum(one is not None for one in stated)
