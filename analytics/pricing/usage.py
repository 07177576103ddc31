"""What calls used and cost, summed by whose price they have: what a check of prices looks at."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from analytics.pricing.arithmetic import TOKEN_COLUMNS
from analytics.pricing.book import PriceBook
from analytics.pricing.matching import Subject

SUBJECT_COLUMNS = list(Subject._fields)
_KEY = [*SUBJECT_COLUMNS, "price_source", "price_name"]
_SUMS = (
    "calls",
    "calls_without_counts",
    "unpriced_calls",
    "priced_tokens",
    "unpriced_tokens",
    *TOKEN_COLUMNS,
    "compared_calls",
    "compared_cost_usd",
    "compared_reported_usd",
    "cost_usd",
    "former_cost_usd",
    "changed_calls",
)
MONEY = pl.Decimal(38, 12)


def usage(book: PriceBook, chunks: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Price calls chunk by chunk and sum them up.

    Args:
        book: what calls cost.
        chunks: one frame at least; the columns that prices are made of, and ``former_cost_usd`` (Decimal(18, 12)),
            what was stored as a call's cost.

    Returns:
        One row per subject and price, sorted by tokens without a price: calls, those without token counts, those
        without a cost though their tokens are known; tokens by kind, priced and not; first and last start;
        ``compared_…``: calls that stated a cost and have one of ours, and both sums; ``cost_usd`` and
        ``former_cost_usd``: sums of what is known; ``changed_calls``: whose cost is another than before.
    """
    return (
        pl.concat([_summed(book.price(chunk)) for chunk in chunks])
        .group_by(_KEY)
        .agg(pl.col(_SUMS).sum(), pl.col("first_seen").min(), pl.col("last_seen").max())
        .sort(["unpriced_tokens", "calls", *_KEY], descending=[True, True, *[False] * len(_KEY)])
    )


def _summed(calls: pl.DataFrame) -> pl.DataFrame:
    told = pl.all_horizontal(pl.col("input_tokens", "output_tokens").is_not_null())
    stated = pl.col("reported_cost_usd").is_finite() & (pl.col("reported_cost_usd") > 0)
    compared = (stated & pl.col("cost_usd").is_not_null() & pl.col("price_source").ne_missing("reported")).fill_null(
        value=False
    )
    reported = pl.col("reported_cost_usd").cast(MONEY, strict=False)
    return calls.group_by(_KEY).agg(
        calls=pl.len().cast(pl.Int64),
        calls_without_counts=(~told & pl.col("cost_usd").is_null()).sum().cast(pl.Int64),
        unpriced_calls=(told & pl.col("cost_usd").is_null()).sum().cast(pl.Int64),
        priced_tokens=pl.col("priced_tokens").sum(),
        unpriced_tokens=pl.col("unpriced_tokens").sum(),
        **{name: pl.col(name).fill_null(0).sum() for name in TOKEN_COLUMNS},
        compared_calls=compared.sum().cast(pl.Int64),
        compared_cost_usd=pl.col("cost_usd").filter(compared).sum().cast(MONEY),
        compared_reported_usd=reported.filter(compared).sum().cast(MONEY),
        cost_usd=pl.col("cost_usd").sum().cast(MONEY),
        former_cost_usd=pl.col("former_cost_usd").sum().cast(MONEY),
        changed_calls=pl.col("cost_usd").ne_missing(pl.col("former_cost_usd")).sum().cast(pl.Int64),
        first_seen=pl.col("start_time").min(),
        last_seen=pl.col("start_time").max(),
    )


def repriced(used: pl.DataFrame) -> pl.DataFrame:
    """What pricing anew would change.

    Args:
        used: what :func:`usage` found.

    Returns:
        One row per model of which a call's cost changes: ``provider``, ``request_model``, ``response_model``, ``calls``
        whose cost changes, ``former_cost_usd`` and ``cost_usd``: the sums of known costs, before and after.
    """
    names = ["provider", "request_model", "response_model"]
    return (
        used.group_by(names)
        .agg(pl.col("changed_calls").sum().alias("calls"), pl.col("former_cost_usd", "cost_usd").sum())
        .filter(pl.col("calls") > 0)
        .sort(names)
    )
