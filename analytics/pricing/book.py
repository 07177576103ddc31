"""Prices of many calls at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import polars as pl

from analytics.pricing.arithmetic import COST, RATE_SCHEMA, TOKEN_COLUMNS, as_cost, with_costs
from analytics.pricing.matching import Matcher, Segment, Subject
from analytics.pricing.own_prices import USD, ExchangeRate, Price, check_unambiguous
from analytics.pricing.rates import RATES, RateCard, rate_units, usd_units

PRICE_COLUMNS = (
    "provider",
    "request_model",
    "response_model",
    "server_address",
    "service_tier",
    "start_time",
    *TOKEN_COLUMNS,
    "gateway_cache_hit",
    "reported_cost_usd",
)
PRICED_COLUMNS = ("cost_usd", "priced_cost_usd", "priced_tokens", "unpriced_tokens", "price_source", "price_name")
GATEWAY_CACHE = "gateway cache"

_Row = tuple[int | str | bool | None, ...]
_ROWS_AT_ONCE = 100_000
"""Calls multiplied at once: what bounds the memory of exact arithmetic."""

_INSTANT = pl.Datetime("ns")
_FAR_PAST = datetime(1677, 9, 22)  # noqa: DTZ001 (the store's times are naive UTC; the first day that ns hold)
_BAND_SCHEMA = {
    "card": pl.Int64(),
    "above": pl.Int64(),
    "source": pl.String(),
    "name": pl.String(),
    "needs_modalities": pl.Boolean(),
    **RATE_SCHEMA,
}


@dataclass(frozen=True)
class PriceBook:
    """Where prices come from: the user's own, then the genai-prices package.

    Attributes:
        own: the user's prices; which of several holds: docs/costs.md.
        exchange_rates: by currency, what one unit of it was worth from when on.
        reported: what becomes of a cost that the span itself stated: it stays "beside" ours, or stands in
            "when_unpriced".
    """

    own: Sequence[Price] = ()
    exchange_rates: Mapping[str, Sequence[ExchangeRate]] = field(default_factory=dict)
    reported: Literal["beside", "when_unpriced"] = "beside"

    def __post_init__(self) -> None:
        check_unambiguous(self.own)
        for price in self.own:
            if price.currency != USD and not self.exchange_rates.get(price.currency):
                raise ValueError(
                    f"The price of {price.subject} is in {price.currency}, which has no exchange rate: "
                    f"set exchange_rates.{price.currency} to what one {price.currency} is worth in USD."
                )

    def price(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Price model calls.

        Args:
            calls: :data:`PRICE_COLUMNS` and any others, one row per call.

        Returns:
            The calls in their order, with ``cost_usd`` (Decimal(18, 12); null unless every token has a known rate),
            ``priced_cost_usd`` (of the part that has one; null if nothing has), ``priced_tokens`` and
            ``unpriced_tokens`` (Int64; both 0 where a count is unknown), ``price_source`` ("own", "genai-prices",
            "gateway" for what a gateway answered from its cache, "reported" for a cost that the span stated, or null)
            and ``price_name``.
        """
        facts = calls.select(PRICE_COLUMNS).with_row_index("call_row")
        matched, bands = self._cards(facts)
        facts = facts.join(matched, on="call_row", how="left", maintain_order="left")
        parts = [self._costs(part, bands) for part in facts.iter_slices(_ROWS_AT_ONCE)] or [self._costs(facts, bands)]
        return calls.hstack(pl.concat(parts))

    def _costs(self, facts: pl.DataFrame, bands: pl.DataFrame) -> pl.DataFrame:
        """What calls cost at the rates of their price for their number of input tokens."""
        rated = (
            facts.with_columns(size=pl.col("input_tokens").cast(pl.Int64).fill_null(0))
            .sort("size")
            .join_asof(
                bands,
                left_on="size",
                right_on="above",
                by="card",
                allow_exact_matches=False,
                check_sortedness=False,
            )
            .sort("call_row")
        )
        costs = with_costs(rated.with_columns(has_price=pl.col("card").is_not_null()))
        known = pl.col("priced_cost_usd").is_not_null()
        costs = costs.with_columns(price_source=pl.when(known).then("source"), price_name=pl.when(known).then("name"))
        return _with_billed(costs, self.reported).select(PRICED_COLUMNS)

    def _cards(self, facts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Find the price of each call, once per model, service tier and day (or part of one, if hours matter).

        Returns:
            ``call_row`` and ``card`` of the calls that have a price, and the bands of each card by their threshold.
        """
        matcher = Matcher(self.own, self.exchange_rates)
        names = list(Subject._fields)
        distinct = facts.select(names).unique(maintain_order=True).with_row_index("subject")
        subjects = [Subject(*row) for row in distinct.select(names).iter_rows()]
        segments = [(number, segment) for number, one in enumerate(subjects) for segment in matcher.segments(one)]
        timed = (
            facts.select("call_row", *names, at=pl.col("start_time").cast(_INSTANT))
            .join(distinct, on=names, nulls_equal=True)
            .select("call_row", "subject", "at")
            .sort("at")
            .join_asof(
                _segment_frame(segments), left_on="at", right_on="since", by="subject", check_sortedness=False,
                coalesce=False,
            )
            .filter(pl.col("segment").is_not_null())
            .with_columns(day=pl.col("at").dt.truncate("1d"))
            .with_columns(in_day=pl.col("at") - pl.col("day"))
            .sort("in_day")
            .join_asof(
                _change_frame(segments), left_on="in_day", right_on="change", by="segment", check_sortedness=False,
                coalesce=False,
            )
            .with_columns(at=pl.max_horizontal(pl.col("day") + pl.col("change"), "since"))
        )  # fmt: skip
        moments = timed.select("segment", "at").unique(maintain_order=True).with_row_index("number")
        numbers: dict[tuple[_Row, ...], int] = {}
        card_of: list[int | None] = []
        for segment_number, at in moments.select("segment", "at").iter_rows():
            subject, segment = segments[segment_number]
            card = matcher.card(subjects[subject], segment, at)
            card_of.append(None if card is None else numbers.setdefault(_rows_of(card), len(numbers)))
        rows = [(number, *row) for card_rows, number in numbers.items() for row in card_rows]
        bands = pl.DataFrame(rows, schema=_BAND_SCHEMA, orient="row").sort("above")
        moments = moments.with_columns(card=pl.Series(card_of, dtype=pl.Int64)).drop_nulls("card")
        return timed.join(moments, on=["segment", "at"]).select("call_row", "card"), bands


def _segment_frame(segments: Sequence[tuple[int, Segment]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "subject": [subject for subject, _ in segments],
            "since": [segment.since or _FAR_PAST for _, segment in segments],
            "segment": range(len(segments)),
        },
        schema={"subject": pl.UInt32(), "since": _INSTANT, "segment": pl.Int64()},
    ).sort("since")


def _change_frame(segments: Sequence[tuple[int, Segment]]) -> pl.DataFrame:
    """When in a day the rates of segments may change."""
    changes = [(number, change) for number, (_, segment) in enumerate(segments) for change in segment.changes]
    schema = {"segment": pl.Int64(), "change": pl.Duration("ns")}
    return pl.DataFrame(changes, schema=schema, orient="row").sort("change")


def _rows_of(card: RateCard) -> tuple[_Row, ...]:
    """The rates of a price in whole units, one row per band."""
    return tuple(
        (
            band.above,
            card.source,
            card.name if band.above < 0 else f"{card.name} above {band.above}",
            card.needs_modalities,
            *(rate_units(band.rates.get(name)) for name in RATES),
            usd_units(band.per_request),
        )
        for band in card.bands
    )


def _with_billed(costs: pl.DataFrame, reported: str) -> pl.DataFrame:
    """Answers from a gateway's cache cost nothing; a cost that the span stated stands in where that is wanted."""
    hit = pl.col("gateway_cache_hit").fill_null(value=False)
    stated = as_cost(pl.col("reported_cost_usd"))
    stands_in = ~hit & pl.col("cost_usd").is_null() & stated.is_not_null() & pl.lit(reported == "when_unpriced")
    settled = hit | stands_in
    cost = pl.when(hit).then(pl.lit(0).cast(COST)).when(stands_in).then(stated)
    tokens = pl.col("priced_tokens") + pl.col("unpriced_tokens")
    return costs.with_columns(
        cost_usd=pl.when(settled).then(cost).otherwise("cost_usd"),
        priced_cost_usd=pl.when(settled).then(cost).otherwise("priced_cost_usd"),
        priced_tokens=pl.when(settled).then(tokens).otherwise("priced_tokens"),
        unpriced_tokens=pl.when(settled).then(pl.lit(0, pl.Int64)).otherwise("unpriced_tokens"),
        price_source=pl.when(hit)
        .then(pl.lit("gateway"))
        .when(stands_in)
        .then(pl.lit("reported"))
        .otherwise("price_source"),
        price_name=pl.when(hit).then(pl.lit(GATEWAY_CACHE)).when(stands_in).then(None).otherwise("price_name"),
    )
