"""Calls to price, and what became of one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from analytics.pricing import PRICE_COLUMNS, PriceBook

NOON = datetime(2026, 11, 1, 12)
_KINDS: dict[str, pl.DataType] = {
    "start_time": pl.Datetime("ns"),
    "gateway_cache_hit": pl.Boolean(),
    "reported_cost_usd": pl.Float64(),
    **dict.fromkeys(("provider", "request_model", "response_model", "server_address", "service_tier"), pl.String()),
}


def call_rows(*calls: dict[str, Any]) -> pl.DataFrame:
    """Calls to OpenAI at noon of a million input tokens, where nothing else is given."""
    usual = {"provider": "openai", "start_time": NOON, "input_tokens": 1_000_000, "output_tokens": 0}
    rows = [{**usual, **call} for call in calls]
    return pl.DataFrame(
        {column: [row.get(column) for row in rows] for column in PRICE_COLUMNS},
        schema={column: _KINDS.get(column, pl.Int64()) for column in PRICE_COLUMNS},
    )


@pytest.fixture(scope="session")
def calls() -> Callable[..., pl.DataFrame]:
    """Makes rows to price."""
    return call_rows


@pytest.fixture(scope="session")
def priced() -> Callable[..., dict[str, Any]]:
    """Prices one call: all its columns."""

    def price(book: PriceBook, **call: Any) -> dict[str, Any]:
        return book.price(call_rows(call)).row(0, named=True)

    return price


@pytest.fixture(scope="session")
def cost() -> Callable[..., tuple[Decimal | None, str | None]]:
    """Prices one call: its cost and the source of its price."""

    def price(book: PriceBook, **call: Any) -> tuple[Decimal | None, str | None]:
        row = book.price(call_rows(call)).row(0, named=True)
        return row["cost_usd"], row["price_source"]

    return price
