"""Costs worked by hand from what providers publish."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from analytics.pricing import Price, PriceBook

Cost = Callable[..., tuple[Decimal | None, str | None]]
SONNET = {"provider": "anthropic", "request_model": "claude-sonnet-4-20250514"}
PRO = {"provider": "gcp.gemini", "request_model": "gemini-2.5-pro"}


def usd(text: str) -> Decimal:
    """An amount."""
    return Decimal(text)


@pytest.mark.parametrize(
    ("call", "worked"),
    [
        # gpt-4o: 2.50 in, 1.25 cached, 10.00 out. 2,000 in of which 1,536 cached; 300 out.
        (
            {"request_model": "gpt-4o-2024-08-06", "input_tokens": 2000, "cache_read_tokens": 1536,
             "output_tokens": 300},
            464 * usd("2.50") + 1536 * usd("1.25") + 300 * usd("10"),
        ),
        # o3 since June 2025: 2 in, 8 out, reasoning billed as output and counted in it.
        (
            {"request_model": "o3", "input_tokens": 500, "output_tokens": 2000, "reasoning_tokens": 1800},
            500 * usd("2") + 2000 * usd("8"),
        ),
        # Claude Sonnet 4: 3 in, 15 out, 3.75 written for 5 minutes, 6 for an hour, 0.30 read.
        (
            {**SONNET, "input_tokens": 1167, "cache_write_tokens": 1163, "output_tokens": 201},
            4 * usd("3") + 1163 * usd("3.75") + 201 * usd("15"),
        ),
        (
            {**SONNET, "input_tokens": 1167, "cache_read_tokens": 1163, "output_tokens": 201},
            4 * usd("3") + 1163 * usd("0.30") + 201 * usd("15"),
        ),
        (
            {**SONNET, "input_tokens": 9000, "cache_write_tokens": 6000, "cache_write_1h_tokens": 5000,
             "cache_read_tokens": 2000, "output_tokens": 10},
            1000 * usd("3") + 1000 * usd("3.75") + 5000 * usd("6") + 2000 * usd("0.30") + 10 * usd("15"),
        ),
        # Gemini 2.5 Pro: 1.25 in, 10 out up to 200,000 tokens in; above 2.50 and 15, for all tokens.
        ({**PRO, "input_tokens": 200_000, "output_tokens": 1000}, 200_000 * usd("1.25") + 1000 * usd("10")),
        ({**PRO, "input_tokens": 200_001, "output_tokens": 1000}, 200_001 * usd("2.50") + 1000 * usd("15")),
        # Gemini 2.5 Flash: 0.30 text in, 1.00 audio in, 2.50 out.
        (
            {"provider": "gcp.gemini", "request_model": "gemini-2.5-flash", "input_tokens": 1000,
             "input_audio_tokens": 800, "output_tokens": 100},
            200 * usd("0.30") + 800 * usd("1.00") + 100 * usd("2.50"),
        ),
        # gpt-audio: text 2.50 in and 10 out, audio 32 in and 64 out.
        (
            {"request_model": "gpt-audio", "input_tokens": 1000, "input_audio_tokens": 900, "output_tokens": 500,
             "output_audio_tokens": 400},
            100 * usd("2.50") + 900 * usd("32") + 100 * usd("10") + 400 * usd("64"),
        ),
        # The Batch API: half.
        (
            {"request_model": "gpt-4o", "service_tier": "batch", "input_tokens": 4000, "output_tokens": 1000},
            4000 * usd("1.25") + 1000 * usd("5"),
        ),
        # A fine-tuned gpt-4o-mini that OpenAI lists: 0.30 in, 1.20 out.
        (
            {"request_model": "ft:gpt-4o-mini-2024-07-18:acme:refunds:1", "input_tokens": 1000, "output_tokens": 1000},
            1000 * usd("0.30") + 1000 * usd("1.20"),
        ),
    ],
)  # fmt: skip
def test_published_price(cost: Cost, call: dict[str, Any], worked: Decimal) -> None:
    """The package's prices make what the provider's page makes, to the last digit."""
    assert cost(PriceBook(), **call) == (worked / 1_000_000, "genai-prices")


def test_price_change_in_the_middle_of_the_data(calls: Callable[..., Any]) -> None:
    """OpenAI cut o3 to a fifth on 10 June 2025: each call has the price of its own day."""
    times = [datetime(2025, 6, day, hour) for day in (9, 10) for hour in (0, 23)]
    rows = calls(*({"request_model": "o3", "start_time": time} for time in times))
    assert PriceBook().price(rows)["cost_usd"].to_list() == [10, 10, 2, 2]


def test_cached_tokens_are_not_billed_twice(cost: Cost) -> None:
    """Input that includes cached tokens is not added to them: 6,467 USD shown for 914 was that mistake."""
    usage = {"input_tokens": 1_000_000, "cache_read_tokens": 950_000}
    right = cost(PriceBook(), **SONNET, **usage)[0]
    assert right == usd("0.15") + usd("0.285")
    added_up = usd("3") + usd("0.285")
    assert added_up > 7 * right


def test_fine_tuned_model_is_not_free(cost: Cost) -> None:
    """A fine-tuned model that nobody lists costs nobody knows what, until the user says; never zero."""
    tuned = {"request_model": "ft:gpt-4.1-mini-2025-04-14:acme::abc", "output_tokens": 1000}
    assert cost(PriceBook(), **tuned) == (None, None)
    # gpt-4.1-mini: 0.40 in, 1.60 out.
    book = PriceBook([Price(pattern="ft:gpt-4.1-mini-*", base="gpt-4.1-mini", factor=2)])
    assert cost(book, **tuned) == (usd("0.8") + usd("0.0032"), "own")


def test_reasoning_is_not_billed_twice(cost: Cost) -> None:
    """What a reasoning model thought is a part of its output, not an addition to it."""
    without = cost(PriceBook(), request_model="o4-mini", output_tokens=5000)
    assert cost(PriceBook(), request_model="o4-mini", output_tokens=5000, reasoning_tokens=4600) == without
