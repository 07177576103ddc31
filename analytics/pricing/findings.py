"""What is to be said of prices: what has none and what to write, what is of no use, what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from analytics.pricing.applied import Applied, applied
from analytics.pricing.book import PriceBook
from analytics.pricing.list_prices import find_list_model, look_up
from analytics.pricing.matching import Matcher, Subject
from analytics.pricing.model_names import base_of, is_fine_tuned
from analytics.pricing.own_prices import USD, Price
from analytics.pricing.rates import RATES, STANDARD, RateCard, canonical_tier
from analytics.pricing.suggestions import price_entry
from analytics.pricing.usage import SUBJECT_COLUMNS

UNPRICED = "unpriced"
TOLERANCE = Decimal("0.01")
"""The share of the cost on spans by which ours may differ without being told."""

FINDING_SCHEMA: dict[str, pl.DataType] = {
    "finding": pl.String(),
    "model": pl.String(),
    "provider": pl.String(),
    "response_model": pl.String(),
    "service_tier": pl.String(),
    "calls": pl.Int64(),
    "unpriced_tokens": pl.Int64(),
    "difference_usd": pl.Decimal(38, 12),
    "first_seen": pl.Datetime("ns"),
    "last_seen": pl.Datetime("ns"),
    "detail": pl.String(),
    "write": pl.String(),
}
_TOKENS_OF_RATE = {
    "input": "input_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "input_audio": "input_audio_tokens",
    "cache_audio_read": "cache_audio_read_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "output_audio": "output_audio_tokens",
}

Finding = dict[str, Any]


def find(book: PriceBook, used: pl.DataFrame) -> pl.DataFrame:
    """Look for what is to be said of prices.

    Args:
        book: the prices.
        used: what :func:`analytics.pricing.usage.usage` found with them.

    Returns:
        One row per finding with :data:`FINDING_SCHEMA`, those without a price first, by their tokens. ``finding`` is
        "unpriced", "no_token_counts", "differs_from_span" (``difference_usd``: what spans state beyond our cost),
        "priced_by_answer", "deprecated", "overrides_list" or "matches_nothing"; ``write`` is what to add to the
        configuration, if that is the mend.
    """
    matcher = Matcher(book.own, book.exchange_rates)
    uses = [_Use.of(row, matcher) for row in used.iter_rows(named=True)]
    findings = [
        *(_unpriced(use, matcher) for use in uses if use.row["unpriced_calls"]),
        *(_without_counts(use) for use in uses if use.row["calls_without_counts"]),
        *_differing(used),
        *_distinct(finding for use in uses for finding in (*_answered(use), *_deprecated(use), *_overriding(use))),
        *_matching_nothing(book.own, matcher, [use.subject for use in uses]),
    ]
    return pl.DataFrame(findings, schema=FINDING_SCHEMA, orient="row")


@dataclass(frozen=True)
class _Use:
    """Calls of one subject, and the price that the last of them has."""

    row: Mapping[str, Any]
    subject: Subject
    price: Applied

    @classmethod
    def of(cls, row: Mapping[str, Any], matcher: Matcher) -> _Use:
        subject = Subject(*(row[name] for name in SUBJECT_COLUMNS))
        return cls(row, subject, applied(matcher, subject, row["last_seen"]))

    @property
    def model(self) -> str:
        return self.subject.request_model or self.subject.response_model or "(no model)"

    @property
    def tier(self) -> str:
        return canonical_tier(self.subject.service_tier)

    def finding(self, kind: str, detail: str, **more: object) -> Finding:
        return {
            "finding": kind,
            "model": self.model,
            "provider": self.subject.provider,
            "response_model": self.subject.response_model,
            "service_tier": None if self.tier == STANDARD else self.tier,
            "first_seen": self.row["first_seen"],
            "last_seen": self.row["last_seen"],
            "detail": detail,
            **more,
        }


def _unpriced(use: _Use, matcher: Matcher) -> Finding:
    detail, lines = _cause_and_mend(use, matcher)
    calls, tokens = use.row["unpriced_calls"], use.row["unpriced_tokens"]
    noun = "call" if calls == 1 else "calls"
    heading = f"# {calls:,} {noun} since {use.row['first_seen']:%Y-%m-%d} with {tokens:,} tokens without a price"
    return use.finding(
        UNPRICED, detail, calls=calls, unpriced_tokens=tokens, write="\n".join([heading, *lines]) if lines else None
    )


def _cause_and_mend(use: _Use, matcher: Matcher) -> tuple[str, list[str]]:
    """Why calls have no price, and the entry to write; none where an entry that is there has to be changed."""
    own, listed, card = use.price.segment.own, use.price.segment.listed, use.price.card
    missing = [] if card is None else _missing_rates(use, card)
    named = " and ".join(f"{name}_per_mtok" for name in missing)
    if own is not None:
        return _cause_in_own(use, own, named, matcher), []
    if listed is not None and card is not None:
        if not missing:
            return "The span does not say how many of its tokens were audio, which have another price.", []
        return f"The list has no {named} for this model.", price_entry(
            use.subject, base=_listed_as(use), missing=missing
        )
    if listed is not None:
        begins = listed.tier_since(use.tier)
        known = "no price" if begins is None else f"a price only since {begins}"
        entry = price_entry(use.subject, base=_listed_as(use), tier=use.tier)
        return f"The list has {known} for the service tier {use.tier}.", entry
    base = base_of(use.model)
    known_base = base if base and look_up(use.subject.provider, base) else None
    if is_fine_tuned(use.model):
        detail = "A fine-tuned model, or one hosted for you, has no list price and never takes its base's."
    else:
        detail = "Neither the price list nor your own prices have it."
    return detail, price_entry(use.subject, base=known_base)


def _cause_in_own(use: _Use, own: Price, missing: str, matcher: Matcher) -> str:
    if use.price.card is not None:
        return f"Your price {own.name!r} has no {missing or 'price for tokens that the span does not tell apart'}."
    if own.currency != USD and matcher.usd(own.currency, use.row["last_seen"]) is None:
        return f"Your price {own.name!r} is in {own.currency}, which had no exchange rate yet: add an earlier one."
    standard = matcher.card(use.subject._replace(service_tier=None), use.price.segment, use.row["last_seen"])
    if standard is None:
        return f"The base {own.base!r} of your price {own.name!r} has no price itself."
    return f"Your price {own.name!r} does not say what the service tier {use.tier} costs: add it to its service_tiers."


def _missing_rates(use: _Use, card: RateCard) -> list[str]:
    """The rates that tokens of these calls would need and that their price does not have."""
    rates = card.bands[-1].rates
    return [name for name in RATES if rates.get(name) is None and use.row[_TOKENS_OF_RATE[name]]]


def _listed_as(use: _Use) -> str | None:
    """The name under which the list has the model."""
    names = (use.subject.response_model, use.subject.request_model)
    return next((name for name in names if name and look_up(use.subject.provider, name)), None)


def _without_counts(use: _Use) -> Finding:
    detail = "No token counts were reported, so no price can help: look at what the instrumentation sends."
    return use.finding("no_token_counts", detail, calls=use.row["calls_without_counts"])


def _differing(used: pl.DataFrame) -> Iterator[Finding]:
    names = ["provider", "request_model", "response_model"]
    sums = used.group_by(names, maintain_order=True).agg(
        pl.col("compared_calls", "compared_cost_usd", "compared_reported_usd").sum(),
        pl.col("first_seen").min(),
        pl.col("last_seen").max(),
    )
    for row in sums.iter_rows(named=True):
        ours, stated = row["compared_cost_usd"], row["compared_reported_usd"]
        if abs(stated - ours) > TOLERANCE * stated:
            yield {
                "finding": "differs_from_span",
                "model": row["request_model"] or row["response_model"],
                "provider": row["provider"],
                "response_model": row["response_model"],
                "calls": row["compared_calls"],
                "difference_usd": stated - ours,
                "first_seen": row["first_seen"],
                "last_seen": row["last_seen"],
                "detail": f"Spans state {stated:.6f} USD for these calls; by these prices they cost {ours:.6f} USD.",
            }


def _answered(use: _Use) -> Iterator[Finding]:
    """Deployments, and gateways' own names, that have the price of whatever answered."""
    asked, answered = use.subject.request_model, use.subject.response_model
    if use.price.segment.listed is None or not asked or not answered or asked == answered:
        return
    if find_list_model(use.subject.provider, asked, None) is None and not answered.startswith(asked):
        detail = f"It has the list price of {answered}, which answered. If it is a fine-tuned model, say what it costs."
        entry = price_entry(use.subject, base=answered)
        yield use.finding("priced_by_answer", detail, calls=use.row["calls"], write="\n".join(entry))


def _deprecated(use: _Use) -> Iterator[Finding]:
    listed = use.price.segment.listed
    if listed is not None and listed.model.deprecated:
        detail = f"Its provider has deprecated it; the list may not follow the price of {listed.name} any more."
        yield use.finding("deprecated", detail, calls=use.row["calls"])


def _overriding(use: _Use) -> Iterator[Finding]:
    own, card = use.price.segment.own, use.price.card
    listed = find_list_model(use.subject.provider, use.subject.request_model, use.subject.response_model)
    theirs = None if listed is None else listed.card(use.row["last_seen"], use.tier)
    if own is None or card is None or listed is None or theirs is None:
        return
    detail = f"Your price {own.name!r} ({_rates(card)}) goes before that of {listed.name} ({_rates(theirs)})."
    yield use.finding("overrides_list", detail, calls=use.row["calls"])


def _rates(card: RateCard) -> str:
    def shown(name: str) -> str:
        rate = card.bands[0].rates.get(name)
        return "unknown" if rate is None else f"{rate.normalize():f}"

    return f"{shown('input')} in, {shown('output')} out, USD per million tokens"


def _distinct(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Of findings alike but for calls and times the first: calls of one model may have had several prices."""
    seen = set()
    for finding in findings:
        key = (finding["finding"], finding["model"], finding["provider"], finding["response_model"], finding["detail"])
        if key not in seen:
            seen.add(key)
            yield finding


def _matching_nothing(own: Sequence[Price], matcher: Matcher, subjects: list[Subject]) -> Iterator[Finding]:
    matched = {id(price) for subject in subjects for price in matcher.candidates(subject)}
    bases = {price.base for price in own if price.base is not None}
    for price in own:
        if id(price) not in matched and not any(price.names(base) for base in bases):
            detail = f"Your price of {price.subject} matches no call in the store: look at how it is spelled."
            yield {"finding": "matches_nothing", "model": price.name, "provider": price.provider, "detail": detail}
