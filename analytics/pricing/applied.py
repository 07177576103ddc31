"""Which prices apply: for models that calls named, and the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from analytics.pricing.matching import Matcher, Segment, Subject
from analytics.pricing.own_prices import Price
from analytics.pricing.rates import RATES, RateCard, canonical_tier

RATE = pl.Decimal(38, 12)
PRICE_LIST_SCHEMA: dict[str, pl.DataType] = {
    "model": pl.String(),
    "provider": pl.String(),
    "response_model": pl.String(),
    "service_tier": pl.String(),
    "source": pl.String(),
    "price": pl.String(),
    "since": pl.String(),
    "until": pl.String(),
    "above_input_tokens": pl.Int64(),
    **{f"{name}_per_mtok": RATE for name in RATES},
    "per_request": RATE,
}


@dataclass(frozen=True)
class Applied:
    """The price of a subject at a moment.

    Attributes:
        subject: whose price.
        segment: what it comes from.
        card: its rates; None where they are not known.
    """

    subject: Subject
    segment: Segment
    card: RateCard | None


def applied(matcher: Matcher, subject: Subject, at: datetime) -> Applied:
    """Find the price of a subject at a moment (naive UTC)."""
    segments = [segment for segment in matcher.segments(subject) if segment.since is None or segment.since <= at]
    return Applied(subject, segments[-1], matcher.card(subject, segments[-1], at))


def price_list(own: Sequence[Price], matcher: Matcher, subjects: Iterable[Subject], at: datetime) -> pl.DataFrame:
    """List the prices that apply at a moment.

    Args:
        own: the user's prices: each is listed, those that no subject has under their own name.
        matcher: finds prices.
        subjects: what calls named.
        at: the moment (naive UTC).

    Returns:
        One row per subject, service tier and threshold, sorted by model, with :data:`PRICE_LIST_SCHEMA`: rates in USD
        per million tokens, null where unknown; ``source`` is null for a model without a price.
    """
    rows: list[dict[str, Any]] = []
    used: set[int] = set()
    for subject in subjects:
        found = applied(matcher, subject, at)
        used.add(id(found.segment.own))
        rows += _rows(found, at)
    for price in own:
        if id(price) not in used and price.holds_at(at):
            rows += _rows(_named_itself(matcher, price, at), at)
    order = ["model", "provider", "response_model", "service_tier", "above_input_tokens"]
    return pl.DataFrame(rows, schema=PRICE_LIST_SCHEMA, orient="row").unique(maintain_order=True).sort(order)


def subject_of(price: Price) -> Subject:
    """A call that a price is for: its model, or its pattern taken as a name."""
    return Subject(price.provider, price.name, price.response_model, price.server_address, price.service_tier)


def _named_itself(matcher: Matcher, price: Price, at: datetime) -> Applied:
    subject = subject_of(price)
    segment = Segment(None, price, None)
    return Applied(subject, segment, matcher.card(subject, segment, at))


def _rows(found: Applied, at: datetime) -> list[dict[str, Any]]:
    subject, segment, card = found.subject, found.segment, found.card
    own, listed = segment.own, segment.listed
    since = until = None
    if own is not None:
        since, until = (None if time is None else time.isoformat() for time in (own.since, own.until))
    elif listed is not None:
        since = listed.since(at)
    common = {
        "model": subject.request_model or subject.response_model,
        "provider": subject.provider,
        "response_model": subject.response_model,
        "service_tier": canonical_tier(subject.service_tier),
        "since": since,
        "until": until,
    }
    if card is None:
        return [common]
    return [
        {
            **common,
            "source": card.source,
            "price": card.name,
            "above_input_tokens": None if band.above < 0 else band.above,
            **{f"{name}_per_mtok": _rounded(band.rates.get(name)) for name in RATES},
            "per_request": _rounded(band.per_request) or None,
        }
        for band in card.bands
    ]


def _rounded(rate: Decimal | None) -> Decimal | None:
    return None if rate is None else round(rate, 12)
