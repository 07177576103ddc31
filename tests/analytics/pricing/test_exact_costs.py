"""Money adds up exactly, in whatever order, and at a rate that a store of calls needs."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from unittest import mock

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analytics.pricing import Price, PriceBook, list_prices

Calls = Callable[..., pl.DataFrame]
RATES = {
    "input_per_mtok": "0.15",
    "output_per_mtok": "0.600001",
    "cache_read_per_mtok": "0.0333333333333",
    "cache_write_per_mtok": "0.1875",
    "cache_write_1h_per_mtok": "0.3",
    "reasoning_per_mtok": "0.7",
    "input_audio_per_mtok": "10",
    "output_audio_per_mtok": "20",
    "cache_audio_read_per_mtok": "0.3",
}
BOOK = PriceBook([Price("m", **{name: Decimal(rate) for name, rate in RATES.items()})])

counts = st.integers(0, 10**6)
parts = st.fixed_dictionaries(dict.fromkeys(RATES, counts))


def as_usage(one: dict[str, int]) -> dict[str, int]:
    """Inclusive counts of a call whose parts are known."""
    cached = one["cache_read_per_mtok"] + one["cache_audio_read_per_mtok"]
    written = one["cache_write_per_mtok"] + one["cache_write_1h_per_mtok"]
    return {
        "input_tokens": one["input_per_mtok"] + one["input_audio_per_mtok"] + cached + written,
        "cache_read_tokens": cached,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": one["cache_write_1h_per_mtok"],
        "input_audio_tokens": one["input_audio_per_mtok"] + one["cache_audio_read_per_mtok"],
        "cache_audio_read_tokens": one["cache_audio_read_per_mtok"],
        "output_tokens": one["output_per_mtok"] + one["reasoning_per_mtok"] + one["output_audio_per_mtok"],
        "reasoning_tokens": one["reasoning_per_mtok"],
        "output_audio_tokens": one["output_audio_per_mtok"],
    }


@given(st.lists(parts, min_size=1, max_size=30))
def test_every_token_has_exactly_one_rate(calls: Calls, given_parts: list[dict[str, int]]) -> None:
    """A call costs the sum of its parts times their rates, rounded once, whatever parts it has."""
    priced = BOOK.price(calls(*({"request_model": "m", **as_usage(one)} for one in given_parts)))
    for row, one in zip(priced.iter_rows(named=True), given_parts, strict=True):
        # Rates are kept to 10⁻¹² USD per million tokens.
        rates = {name: Decimal(rate).quantize(Decimal("1e-12")) for name, rate in RATES.items()}
        exact = sum(one[name] * rates[name] for name in RATES) / Decimal(1_000_000)
        assert row["cost_usd"] == row["priced_cost_usd"] == exact.quantize(Decimal("1e-12"), ROUND_HALF_EVEN)
        assert (row["priced_tokens"], row["unpriced_tokens"]) == (row["input_tokens"] + row["output_tokens"], 0)


models = st.sampled_from(["m", "gpt-4o-mini", "nobodys", "text-embedding-3-small", "gpt-audio"])
usages = st.fixed_dictionaries(
    {
        "request_model": models,
        "service_tier": st.sampled_from([None, "batch", "scale"]),
        "gateway_cache_hit": st.sampled_from([None, True, False]),
        "reported_cost_usd": st.sampled_from([None, 0.0, 0.1]),
    },
    optional={
        name: st.one_of(st.none(), st.integers(-5, 10**12))
        for name in ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens", "input_audio_tokens")
    },
)


@given(st.lists(usages, min_size=1, max_size=30), st.sampled_from(["beside", "when_unpriced"]))
def test_what_is_priced_and_what_is_not_make_the_whole(calls: Calls, given_calls: list[Any], reported: Any) -> None:
    """Priced and unpriced tokens add up to all tokens; a cost is there exactly if nothing is unpriced and known."""
    book = PriceBook(BOOK.own, reported=reported)
    for row in book.price(calls(*given_calls)).iter_rows(named=True):
        known = all(row[name] is not None and 0 <= row[name] <= 10**10 for name in ("input_tokens", "output_tokens"))
        total = row["input_tokens"] + row["output_tokens"] if known else 0
        assert row["priced_tokens"] + row["unpriced_tokens"] == total
        assert row["priced_tokens"] >= 0
        assert row["unpriced_tokens"] >= 0
        if row["cost_usd"] is not None:
            assert row["unpriced_tokens"] == 0
            assert row["priced_cost_usd"] == row["cost_usd"] >= 0
        if row["unpriced_tokens"]:
            assert row["cost_usd"] is None
        assert (row["price_source"] is None) == (row["priced_cost_usd"] is None)


@given(st.lists(parts, min_size=2, max_size=40), st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_the_order(calls: Calls, given_parts: list[Any], shuffled: random.Random) -> None:
    """By call, by chain or by trace, forwards or backwards: the same sum, to the last digit."""
    rows = [{"request_model": "m", **as_usage(one)} for one in given_parts]
    priced = BOOK.price(calls(*rows)).with_columns(
        trace=pl.Series([shuffled.randrange(4) for _ in rows]), chain=pl.Series([shuffled.randrange(9) for _ in rows])
    )
    by_chain = priced.group_by("trace", "chain").agg(pl.col("cost_usd").sum())
    by_trace = by_chain.sample(fraction=1, shuffle=True, seed=1).group_by("trace").agg(pl.col("cost_usd").sum())
    each = sum(priced["cost_usd"].to_list(), Decimal(0))
    assert priced["cost_usd"].sum() == by_chain["cost_usd"].sum() == by_trace["cost_usd"].sum() == each
    backwards = BOOK.price(calls(*reversed(rows)))
    assert backwards["cost_usd"].to_list() == priced["cost_usd"].to_list()[::-1]


def test_cost_that_no_call_can_have_is_unknown(calls: Calls) -> None:
    """A count or a cost beyond all reason is nonsense that somebody sent, not money."""
    row = PriceBook([Price("m", 1_000_000, 1)]).price(calls({"request_model": "m"})).row(0, named=True)
    assert (row["cost_usd"], row["unpriced_tokens"]) == (None, 1_000_000)
    row = BOOK.price(calls({"request_model": "m", "input_tokens": 2**62})).row(0, named=True)
    assert (row["cost_usd"], row["priced_tokens"], row["unpriced_tokens"]) == (None, 0, 0)


def test_many_calls_are_priced_at_once(calls: Calls) -> None:
    """Prices are looked up once per model and day, not per call: a hundred thousand calls take a second or so."""
    names = ["gpt-4o", "o3", "gpt-4o-mini", "ft:gpt-4o-mini-2024-07-18:a::b", "nobodys", "m"]
    few = calls(*({"request_model": name} for name in names))
    begin = datetime(2025, 6, 1)
    many = pl.concat([few] * 20_000).with_columns(
        start_time=pl.Series([begin + timedelta(seconds=20 * number) for number in range(6 * 20_000)]).cast(
            pl.Datetime("ns")
        ),
        input_tokens=pl.int_range(pl.len(), dtype=pl.Int64),
    )
    days = many["start_time"].dt.date().n_unique()
    started = time.perf_counter()
    with mock.patch.object(list_prices, "calc_price", wraps=list_prices.calc_price) as looked_up:
        priced = PriceBook([Price("m", 1, 1)]).price(many)
    assert time.perf_counter() - started < 10
    assert days > 25
    assert looked_up.call_count <= 2 * len(names)
    assert priced["cost_usd"].null_count() == 20_000
