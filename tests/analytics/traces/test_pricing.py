"""What a call costs: own prices first, then the package's, and nothing guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from genai_prices import Usage, calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.pricing import PRICE_COLUMNS, Price, PriceBook, is_fine_tuned

NOON = datetime(2026, 11, 1, 12)
_TEXT = {"provider", "request_model", "response_model"}


def _calls(*calls: dict[str, Any]) -> pl.DataFrame:
    def kind(column: str) -> pl.DataType:
        if column in _TEXT:
            return pl.String()
        if column == "start_time":
            return pl.Datetime("ns")
        return pl.Float64() if column == "reported_cost_usd" else pl.Int64()

    usual = {"provider": "openai", "start_time": NOON, "input_tokens": 1_000_000, "output_tokens": 0}
    rows = [{**usual, **call} for call in calls]
    return pl.DataFrame(
        {column: [row.get(column) for row in rows] for column in PRICE_COLUMNS},
        schema={column: kind(column) for column in PRICE_COLUMNS},
    )


def _cost(book: PriceBook, **call: Any) -> tuple[float | None, str | None]:
    row = book.price(_calls(call)).row(0, named=True)
    return row["cost_usd"], row["price_source"]


def test_own_price_comes_first() -> None:
    """A model of the user's table takes the user's price, though the package knows it too."""
    book = PriceBook([Price("gpt-4o-mini", 7, 9)])
    assert _cost(book, request_model="gpt-4o-mini", output_tokens=1_000_000) == (16.0, "own")
    cost, source = _cost(PriceBook(), request_model="gpt-4o-mini", output_tokens=1_000_000)
    assert (cost, source) == (pytest.approx(0.15 + 0.60), "genai-prices")


def test_own_price_is_by_request_then_response_model() -> None:
    """The exact requested name decides before the answering one; nothing matches by its beginning."""
    book = PriceBook([Price("asked", 1, 1), Price("answered", 2, 2)])
    assert _cost(book, request_model="asked", response_model="answered") == (1.0, "own")
    assert _cost(book, request_model="other", response_model="answered") == (2.0, "own")
    assert _cost(book, request_model="asked-2", response_model=None) == (None, None)


def test_cached_tokens_have_their_own_price() -> None:
    """Input counts include cached tokens, which are priced apart, or as input where no price is given."""
    usage = {"input_tokens": 1_000_000, "cache_read_tokens": 600_000, "cache_write_tokens": 100_000}
    book = PriceBook([Price("m", 10, 1, cache_read_per_mtok=1, cache_write_per_mtok=20), Price("n", 10, 1)])
    assert _cost(book, request_model="m", **usage)[0] == pytest.approx(0.3 * 10 + 0.6 * 1 + 0.1 * 20)
    assert _cost(book, request_model="n", **usage)[0] == pytest.approx(10.0)


def test_reasoning_is_not_billed_on_top() -> None:
    """Output counts include reasoning tokens."""
    book = PriceBook([Price("m", 1, 10)])
    assert _cost(book, request_model="m", input_tokens=0, output_tokens=1_000_000, reasoning_tokens=900_000)[0] == 10.0


def test_price_of_the_day() -> None:
    """Of several prices of a model the latest that had begun at the call's start holds."""
    book = PriceBook(
        [
            Price("m", 1, 1, effective_from=datetime(2026, 1, 1, tzinfo=UTC)),
            Price("m", 3, 3, effective_from=datetime(2026, 11, 1, 12, tzinfo=UTC)),
            Price("m", 2, 2, effective_from=datetime(2026, 6, 1, tzinfo=UTC)),
        ]
    )
    days = (datetime(2025, 12, 31), datetime(2026, 3, 1), datetime(2026, 11, 1, 11, 59), NOON)
    assert [_cost(book, request_model="m", start_time=day)[0] for day in days] == [None, 1.0, 2.0, 3.0]


def test_fine_tuned_model_never_takes_its_bases_price() -> None:
    """Without a price of its own a fine-tuned model is unpriced, even if the answer names the base."""
    for request, response in (
        ("ft:gpt-4.1-mini-2025-04-14:acme::abc", None),
        ("ft:gpt-4-0613:acme::abc", None),
        ("ft:gpt-4-0613:acme::abc", "gpt-4-0613"),
        ("gpt-4o-mini.ft-0123", "gpt-4o-mini-2024-07-18"),
        ("gpt-4o-mini", "ft:gpt-4.1-mini-2025-04-14:acme::abc"),
    ):
        assert _cost(PriceBook([Price("gpt-4-0613", 1, 1)]), request_model=request, response_model=response) == (
            None,
            None,
        )
    book = PriceBook([Price("ft:gpt-4-0613:acme::abc", 5, 5)])
    assert _cost(book, request_model="ft:gpt-4-0613:acme::abc", response_model="gpt-4-0613") == (5.0, "own")


def test_package_prices_some_fine_tuned_models_as_such() -> None:
    """Where the package lists the fine-tuned model apart, its price (not the base's 0.15) is used."""
    name = "ft:gpt-4o-mini-2024-07-18:acme::abc"
    for response in (None, name, "gpt-4o-mini-2024-07-18"):
        assert _cost(PriceBook(), request_model=name, response_model=response) == (
            pytest.approx(0.3),
            "genai-prices",
        )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ft:gpt-4o:acme::abc", True),
        ("gpt-4o-mini-2024-07-18.ft-0123", True),
        ("llama-3-ft", True),
        ("acme-finetuned-v2", True),
        ("gpt-4o", False),
        ("microsoft/phi-4", False),
        ("draft-model", False),
        ("gifts", False),
    ],
)
def test_names_that_say_fine_tuned(name: str, expected: bool) -> None:
    """The mark must stand as a part of the name, not inside a word."""
    assert is_fine_tuned(name) is expected


def test_answering_model_decides_the_packages_price() -> None:
    """A deployment is priced by the model that answered; an unknown answer is not priced by the request."""
    azure = {"provider": "azure.ai.openai", "request_model": "our-deployment"}
    assert _cost(PriceBook(), **azure, response_model="gpt-4o-mini-2024-07-18") == (
        pytest.approx(0.15),
        "genai-prices",
    )
    assert _cost(PriceBook(), request_model="gpt-4o-mini", response_model="somebody-elses") == (None, None)
    snapshot = _cost(PriceBook(), request_model="gpt-4o-mini", response_model="gpt-4o-mini-2031-01-01")
    assert snapshot == (pytest.approx(0.15), "genai-prices")


def test_self_hosted_provider_does_not_take_an_apis_price() -> None:
    """A provider that the package does not know has no price; a framework's name is no provider at all."""
    assert _cost(PriceBook(), provider="ollama", request_model="gpt-4o-mini") == (None, None)
    assert _cost(PriceBook(), provider="langchain", request_model="gpt-4o-mini")[1] == "genai-prices"
    assert _cost(PriceBook(), provider=None, request_model="gpt-4o-mini")[1] == "genai-prices"
    assert _cost(PriceBook(), provider=None, request_model=None) == (None, None)


def test_unknown_counts_have_no_cost() -> None:
    """Without input or output count the cost is unknown, not that of the rest."""
    book = PriceBook([Price("m", 1, 1)])
    assert _cost(book, request_model="m", input_tokens=None) == (None, None)
    assert _cost(book, request_model="m", output_tokens=None) == (None, None)


def test_output_of_an_embedding_model_has_no_price() -> None:
    """A model that the package prices by input alone is priced while it puts out nothing."""
    embedding = {"request_model": "text-embedding-3-small"}
    assert _cost(PriceBook(), **embedding)[0] == pytest.approx(0.02)
    assert _cost(PriceBook(), **embedding, output_tokens=5) == (None, None)


def test_reported_cost_is_the_last_resort() -> None:
    """A cost stated on the span is used, and marked, only where no price is known; zero means unknown."""
    book = PriceBook([Price("m", 1, 1)])
    assert _cost(book, request_model="m", reported_cost_usd=9.0) == (1.0, "own")
    assert _cost(book, request_model="x", reported_cost_usd=9.0) == (9.0, "reported")
    assert _cost(book, request_model="x", reported_cost_usd=0.0) == (None, None)
    assert _cost(book, request_model="x", reported_cost_usd=float("nan")) == (None, None)


@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    ("openai", "openai", "gpt-4o-mini"),
                    ("openai", "openai", "gpt-3.5-turbo"),
                    ("anthropic", "anthropic", "claude-sonnet-4-20250514"),
                    ("gcp.gemini", "google", "gemini-2.5-pro"),
                    ("gcp.vertex_ai", "google", "gemini-1.5-pro"),
                    ("aws.bedrock", "aws", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
                    ("deepseek", "deepseek", "deepseek-chat"),
                    ("deepseek", "deepseek", "deepseek-reasoner"),
                    ("mistral_ai", "mistral", "mistral-large-latest"),
                    ("x_ai", "x-ai", "grok-4"),
                ]
            ),
            st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),
            st.sampled_from([0, 1, 1000, 127_999, 128_000, 128_001, 200_000, 200_001, 272_001, 900_000]),
            st.integers(0, 100_000),
            st.floats(0, 1),
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=60, deadline=None)
def test_agrees_with_the_packages_own_arithmetic(calls: list[Any]) -> None:
    """Tiers, cached tokens, dates and hours of the day come out as genai-prices computes them one by one."""
    rows = [
        {
            "provider": names[0],
            "request_model": names[2],
            "start_time": time,
            "input_tokens": size,
            "output_tokens": output,
            "cache_read_tokens": int(size * cached),
        }
        for names, time, size, output, cached in calls
    ]
    priced = PriceBook().price(_calls(*rows))
    for row, (names, time, size, output, cached) in zip(priced.iter_rows(named=True), calls, strict=True):
        usage = Usage(input_tokens=size, output_tokens=output, cache_read_tokens=int(size * cached))
        expected = calc_price(usage, names[2], provider_id=names[1], genai_request_timestamp=time.replace(tzinfo=UTC))
        assert row["cost_usd"] == pytest.approx(float(expected.total_price), rel=1e-9, abs=1e-15)


def test_rows_keep_their_order_and_columns() -> None:
    """Pricing adds two columns and moves nothing, with no calls too."""
    calls = _calls({"request_model": "x"}, {"request_model": "gpt-4o-mini"}, {"request_model": "m"})
    calls = calls.with_columns(source=pl.Series(["1", "2", "3"]), size=pl.lit(1))
    priced = PriceBook([Price("m", 1, 1)]).price(calls)
    assert priced.drop("cost_usd", "price_source").equals(calls)
    assert priced["price_source"].to_list() == [None, "genai-prices", "own"]
    assert PriceBook().price(calls.clear()).columns == priced.columns


def test_wrong_prices_are_refused() -> None:
    """Negative or infinite prices, and two from one time, are refused by name."""
    with pytest.raises(ValueError, match="'m' has output_per_mtok = -1"):
        Price("m", 1, -1)
    with pytest.raises(ValueError, match="cache_read_per_mtok = inf"):
        Price("m", 1, 1, cache_read_per_mtok=float("inf"))
    with pytest.raises(ValueError, match="'m' has two prices from the same time"):
        PriceBook([Price("m", 1, 1), Price("m", 2, 2)])
