"""Tokens times rates, exactly: whole numbers of 10⁻¹⁸ USD, rounded once per call to 10⁻¹² USD.

Counts are inclusive: input of cached tokens and of audio, cached reads of cached audio, cache writes of those kept for
an hour, output of reasoning and of audio.
"""

from __future__ import annotations

import operator
from decimal import Decimal
from functools import reduce

import polars as pl

from analytics.pricing.rates import RATES

COST = pl.Decimal(18, 12)
MOST_TOKENS = 10**10
"""More tokens than any call has: a count beyond is not one."""

TOKEN_COLUMNS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "cache_audio_read_tokens",
)
UNITS = pl.Int128()
RATE_SCHEMA: dict[str, pl.DataType] = {**dict.fromkeys((f"rate_{name}" for name in RATES), UNITS), "request": UNITS}
"""Columns of rates: 10⁻¹⁸ USD per token, null where unknown; ``request``: 10⁻¹⁸ USD."""

_UNITS_PER_STEP = 10**6
_COST_LIMIT = 10**24
_STEP = Decimal("1e-12")


def with_costs(calls: pl.DataFrame) -> pl.DataFrame:
    """Add what calls cost and how many of their tokens are priced.

    Args:
        calls: :data:`TOKEN_COLUMNS` (Int64), the columns of :data:`RATE_SCHEMA`, and ``has_price`` and
            ``needs_modalities`` (Boolean).

    Returns:
        The calls with ``cost_usd``, ``priced_cost_usd`` (Decimal(18, 12)), ``priced_tokens`` and ``unpriced_tokens``
        (Int64). Where a count is unknown both are 0 and there is no cost.
    """
    parts = _parts(calls).hstack(calls.select(*RATE_SCHEMA, "has_price"))
    unpriced: list[pl.Expr] = [pl.col("untold")]
    units: list[pl.Expr] = [pl.col("request").fill_null(0)]
    for name in RATES:
        count, rate = pl.col(name), pl.col(f"rate_{name}")
        unpriced.append(pl.when(rate.is_null()).then(count).otherwise(0))
        units.append(pl.when(rate.is_not_null()).then(count * rate).otherwise(0))
    sums = parts.select("counted", "has_price", "total", unpriced=_sum(unpriced), units=_sum(units))
    # A sum that the column cannot hold is no cost of a call.
    priceless = ~pl.col("has_price") | (pl.col("units") >= _COST_LIMIT)
    sums = sums.with_columns(unpriced=pl.when(priceless).then("total").otherwise("unpriced"))
    nothing = priceless | ((pl.col("unpriced") == pl.col("total")) & (pl.col("total") > 0))
    cost = _rounded(pl.col("units"))
    return calls.hstack(
        sums.select(
            cost_usd=pl.when("counted", ~priceless, pl.col("unpriced") == 0).then(cost),
            priced_cost_usd=pl.when("counted", ~nothing).then(cost),
            priced_tokens=pl.when("counted").then(pl.col("total") - pl.col("unpriced")).otherwise(0).cast(pl.Int64),
            unpriced_tokens=pl.when("counted").then("unpriced").otherwise(0).cast(pl.Int64),
        )
    )


def as_cost(amount: pl.Expr) -> pl.Expr:
    """Floating-point USD as a cost; null where it is none above zero that the column can hold."""
    fits = amount.is_finite() & (amount > 0) & (amount < _COST_LIMIT / 10**18)
    return pl.when(fits).then(amount).round(12).cast(COST, strict=False)


def usd(cost: pl.Expr) -> pl.Expr:
    """A cost, or a sum of costs, as floating-point USD."""
    return cost.cast(pl.Float64)


def _parts(calls: pl.DataFrame) -> pl.DataFrame:
    """Divide each call's tokens by the rate they have: one column per name of RATES, and ``untold``.

    Where counts do not tell which rate tokens have, or contradict each other, the whole direction is ``untold``.
    """

    def count(name: str) -> pl.Expr:
        return pl.max_horizontal(pl.col(f"{name}_tokens").fill_null(0), 0)

    counts = calls.select(
        pl.col(TOKEN_COLUMNS).cast(UNITS, strict=False), speaks=pl.col("needs_modalities").fill_null(value=False)
    )
    whole = pl.col("input_tokens", "output_tokens").is_between(0, MOST_TOKENS).fill_null(value=False)
    counts = counts.with_columns(
        counted=pl.all_horizontal(whole),
        read=count("cache_read"),
        write=pl.max_horizontal(count("cache_write"), count("cache_write_1h")),
        hour=count("cache_write_1h"),
        audio=count("input_audio"),
        audio_read=count("cache_audio_read"),
        spoken=count("output_audio"),
    ).with_columns(
        plain=pl.col("input_tokens") - pl.col("write") - pl.col("audio") - pl.col("read") + pl.col("audio_read"),
        silent=pl.col("output_tokens") - pl.col("spoken"),
    )
    shared_untold = pl.col("cache_audio_read_tokens").is_null() & (pl.col("audio") > 0) & (pl.col("read") > 0)
    contradiction = (pl.col("plain") < 0) | (pl.col("audio_read") > pl.min_horizontal("audio", "read"))
    untold_input = shared_untold | contradiction | (pl.col("speaks") & pl.col("input_audio_tokens").is_null())
    untold_output = (pl.col("silent") < 0) | (pl.col("speaks") & pl.col("output_audio_tokens").is_null())
    reasoning = pl.min_horizontal(count("reasoning"), "silent")
    into = {
        "input": pl.col("plain"),
        "cache_read": pl.col("read") - pl.col("audio_read"),
        "cache_write": pl.col("write") - pl.col("hour"),
        "cache_write_1h": pl.col("hour"),
        "input_audio": pl.col("audio") - pl.col("audio_read"),
        "cache_audio_read": pl.col("audio_read"),
    }
    out = {"output": pl.col("silent") - reasoning, "reasoning": reasoning, "output_audio": pl.col("spoken")}
    return counts.select(
        "counted",
        total=pl.col("input_tokens") + pl.col("output_tokens"),
        untold=pl.when(untold_input).then("input_tokens").otherwise(0)
        + pl.when(untold_output).then("output_tokens").otherwise(0),
        **{name: pl.when(untold_input).then(0).otherwise(part) for name, part in into.items()},
        **{name: pl.when(untold_output).then(0).otherwise(part) for name, part in out.items()},
    )


def _sum(parts: list[pl.Expr]) -> pl.Expr:
    return reduce(operator.add, parts)


def _rounded(units: pl.Expr) -> pl.Expr:
    """Round to the nearest step of a cost, a half to the even one."""
    steps, rest = units // _UNITS_PER_STEP, units % _UNITS_PER_STEP
    up = (rest * 2 > _UNITS_PER_STEP) | ((rest * 2 == _UNITS_PER_STEP) & (steps % 2 == 1))
    return ((steps + up.cast(UNITS)).cast(pl.Decimal(38, 0)) * pl.lit(_STEP)).cast(COST, strict=False)
