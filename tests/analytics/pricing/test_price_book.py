"""What a call costs: own prices first, then the package's, and nothing guessed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from genai_prices import Usage, calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.pricing import PRICED_COLUMNS, Price, PriceBook, base_of, is_fine_tuned

NOON = datetime(2026, 11, 1, 12)
Cost = Callable[..., tuple[Decimal | None, str | None]]
Priced = Callable[..., dict[str, Any]]
Calls = Callable[..., pl.DataFrame]
UNKNOWN = (None, None)


def test_own_price_comes_first(cost: Cost) -> None:
    """A model of the user's table takes the user's price, though the package knows it too."""
    book = PriceBook([Price("gpt-4o-mini", 7, 9)])
    assert cost(book, request_model="gpt-4o-mini", output_tokens=1_000_000) == (16, "own")
    listed = (Decimal("0.75"), "genai-prices")
    assert cost(PriceBook(), request_model="gpt-4o-mini", output_tokens=1_000_000) == listed


def test_own_price_is_by_request_then_response_model(cost: Cost) -> None:
    """The exact requested name decides before the answering one; nothing matches by its beginning."""
    book = PriceBook([Price("asked", 1, 1), Price("answered", 2, 2)])
    assert cost(book, request_model="asked", response_model="answered") == (1, "own")
    assert cost(book, request_model="other", response_model="answered") == (2, "own")
    assert cost(book, request_model="asked-2", response_model=None) == UNKNOWN


def test_price_of_the_day(cost: Cost) -> None:
    """Of several prices of a model the latest that had begun at the call's start holds, to the moment."""
    book = PriceBook(
        [
            Price("m", 1, 1, effective_from=datetime(2026, 1, 1, tzinfo=UTC)),
            Price("m", 3, 3, effective_from=datetime(2026, 11, 1, 12, tzinfo=UTC)),
            Price("m", 2, 2, effective_from=datetime(2026, 6, 1, tzinfo=UTC)),
        ]
    )
    days = (datetime(2025, 12, 31), datetime(2026, 3, 1), datetime(2026, 11, 1, 11, 59), NOON)
    assert [cost(book, request_model="m", start_time=day)[0] for day in days] == [None, 1, 2, 3]


def test_fine_tuned_model_never_takes_its_bases_price(cost: Cost) -> None:
    """Without a price of its own a fine-tuned model is unpriced, even if the answer names the base."""
    book = PriceBook([Price("gpt-4-0613", 1, 1)])
    for request, response in (
        ("ft:gpt-4.1-mini-2025-04-14:acme::abc", None),
        ("ft:gpt-4-0613:acme::abc", None),
        ("ft:gpt-4-0613:acme::abc", "gpt-4-0613"),
        ("gpt-4-0613.ft-0123", "gpt-4-0613"),
        ("gpt-4o-mini", "ft:gpt-4.1-mini-2025-04-14:acme::abc"),
    ):
        assert cost(book, request_model=request, response_model=response) == UNKNOWN
    own = PriceBook([Price("ft:gpt-4-0613:acme::abc", 5, 5)])
    assert cost(own, request_model="ft:gpt-4-0613:acme::abc", response_model="gpt-4-0613") == (5, "own")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:custom-model/anthropic.claude-3-haiku-20240307-v1:0:200k/abcd"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:provisioned-model/anthropic.claude-3-haiku-20240307-v1:0"),
        ("gcp.vertex_ai", "projects/1/locations/us-central1/endpoints/12345"),
        ("gcp.gemini", "tunedModels/ours-gemini-2.5-flash"),
        ("mistral_ai", "ft:mistral-small-latest:587a6b29:20250101:7e773925"),
        ("openai", "davinci:ft-acme-2023-01-01"),
    ],
)
def test_what_one_customer_has_hosted_has_no_list_price(cost: Cost, provider: str, model: str) -> None:
    """Fine-tuned models of Bedrock, Google, Mistral and of OpenAI's first years are not billed as a listed model."""
    for response in (None, "gemini-2.5-flash", "anthropic.claude-3-haiku-20240307-v1:0"):
        assert cost(PriceBook(), provider=provider, request_model=model, response_model=response) == UNKNOWN


def test_package_prices_some_fine_tuned_models_as_such(cost: Cost) -> None:
    """Where the package lists the fine-tuned model apart, its price (not the base's 0.15) is used."""
    name = "ft:gpt-4o-mini-2024-07-18:acme::abc"
    for response in (None, name, "gpt-4o-mini-2024-07-18"):
        assert cost(PriceBook(), request_model=name, response_model=response) == (Decimal("0.3"), "genai-prices")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ft:gpt-4o:acme::abc", True),
        ("gpt-4o-mini-2024-07-18.ft-0123", True),
        ("llama-3-ft", True),
        ("acme-finetuned-v2", True),
        ("arn:aws:bedrock:eu-west-1:1:imported-model/abc", True),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0", False),
        ("projects/p/locations/us/publishers/google/models/gemini-2.5-pro", False),
        ("gpt-4o", False),
        ("microsoft/phi-4", False),
        ("draft-model", False),
        ("gifts", False),
    ],
)
def test_names_that_say_fine_tuned(name: str, expected: bool) -> None:
    """The mark must stand as a part of the name, not inside a word."""
    assert is_fine_tuned(name) is expected


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("ft:gpt-4o-mini-2024-07-18:acme:refunds:1", "gpt-4o-mini-2024-07-18"),
        ("ft:open-mistral-7b:587a6b29:20240514:7e773925", "open-mistral-7b"),
        ("gpt-4o-mini-2024-07-18.ft-0123", "gpt-4o-mini-2024-07-18"),
        ("davinci:ft-acme-2023-01-01", "davinci"),
        ("arn:aws:bedrock:us-east-1:1:custom-model/amazon.titan-text-express-v1/ab", "amazon.titan-text-express-v1"),
        ("acme-finetuned-v2", None),
        ("gpt-4o", None),
    ],
)
def test_base_that_a_name_tells(name: str, base: str | None) -> None:
    """The base stands in the names that providers give to fine-tuned models."""
    assert base_of(name) == base


def test_answering_model_decides_the_packages_price(cost: Cost) -> None:
    """A deployment is priced by the model that answered; an unknown answer is not priced by the request."""
    azure = {"provider": "azure.ai.openai", "request_model": "our-deployment"}
    listed = (Decimal("0.15"), "genai-prices")
    assert cost(PriceBook(), **azure, response_model="gpt-4o-mini-2024-07-18") == listed
    assert cost(PriceBook(), request_model="gpt-4o-mini", response_model="somebody-elses") == UNKNOWN
    assert cost(PriceBook(), request_model="gpt-4o-mini", response_model="gpt-4o-mini-2031-01-01") == listed


def test_self_hosted_provider_does_not_take_an_apis_price(cost: Cost) -> None:
    """A provider that the package does not know has no price; a framework's name is no provider at all."""
    assert cost(PriceBook(), provider="ollama", request_model="gpt-4o-mini") == UNKNOWN
    assert cost(PriceBook(), provider="langchain", request_model="gpt-4o-mini")[1] == "genai-prices"
    assert cost(PriceBook(), provider=None, request_model="gpt-4o-mini")[1] == "genai-prices"
    assert cost(PriceBook(), provider=None, request_model=None) == UNKNOWN


@pytest.mark.parametrize(
    ("provider", "name", "rate"),
    [
        ("gcp.gemini", "models/gemini-2.5-flash", "0.3"),
        ("gcp.vertex_ai", "projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash", "0.3"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0", "0.25"),
        ("litellm", "openai/gpt-4o", "2.5"),
        ("litellm", "gpt-4o", "2.5"),
        ("openai", "GPT-4o", "2.5"),
        ("fireworks", "accounts/acme/models/gpt-4o", None),
    ],
)
def test_names_of_listed_models(cost: Cost, provider: str, name: str, rate: str | None) -> None:
    """Paths and prefixes that providers and gateways write lead to the listed model; a customer's own path does not."""
    expected = UNKNOWN if rate is None else (Decimal(rate), "genai-prices")
    assert cost(PriceBook(), provider=provider, request_model=name) == expected


@pytest.mark.parametrize("counts", [{"input_tokens": None}, {"output_tokens": None}, {"input_tokens": -1}])
def test_unknown_counts_have_no_cost(priced: Priced, counts: dict[str, Any]) -> None:
    """Without an input or output count there is no cost of the rest, and no token is called priced or unpriced."""
    row = priced(PriceBook([Price("m", 1, 1)]), request_model="m", **counts)
    assert [row[name] for name in PRICED_COLUMNS] == [None, None, 0, 0, None, None]


def test_part_without_a_price_makes_the_cost_unknown(priced: Priced) -> None:
    """A model that the package prices by input alone is priced while it puts out nothing; else its part is said."""
    row = priced(PriceBook(), request_model="text-embedding-3-small")
    assert (row["cost_usd"], row["priced_tokens"], row["unpriced_tokens"]) == (Decimal("0.02"), 1_000_000, 0)
    row = priced(PriceBook(), request_model="text-embedding-3-small", output_tokens=5)
    assert (row["cost_usd"], row["priced_cost_usd"]) == (None, Decimal("0.02"))
    assert (row["priced_tokens"], row["unpriced_tokens"], row["price_source"]) == (1_000_000, 5, "genai-prices")


def test_no_tokens_of_a_model_without_a_price_are_not_free(priced: Priced) -> None:
    """Zero tokens cost zero where the price is known, which may be one per request; else nobody knows."""
    nothing = {"input_tokens": 0, "output_tokens": 0}
    assert priced(PriceBook(), request_model="gpt-4o-mini", **nothing)["cost_usd"] == 0
    assert priced(PriceBook(), request_model="nobodys", **nothing)["cost_usd"] is None
    assert priced(PriceBook(), provider="perplexity", request_model="sonar", **nothing)["cost_usd"] == Decimal("0.012")


def test_price_is_named(priced: Priced) -> None:
    """Which price it was: the own entry's name, or the package's, with its threshold or service tier."""
    google = {"provider": "gcp.gemini", "request_model": "gemini-2.5-pro"}
    book = PriceBook([Price(pattern="ft:acme-*", input_per_mtok=1, output_per_mtok=1)])
    assert priced(book, request_model="ft:acme-x")["price_name"] == "ft:acme-*"
    assert priced(book, **google, input_tokens=200_000)["price_name"] == "google/gemini-2.5-pro"
    assert priced(book, **google)["price_name"] == "google/gemini-2.5-pro above 200000"
    batch = priced(book, request_model="gpt-4o", service_tier="batch")
    assert batch["price_name"] == "openai/gpt-4o batch"


def test_cost_on_the_span_stays_beside_ours(cost: Cost) -> None:
    """A cost that the span states is not ours unless the configuration says that it may stand in."""
    beside, stands_in = (
        PriceBook([Price("m", 1, 1)], reported=how)
        for how in ("beside", "when_unpriced")  # type: ignore[arg-type]
    )
    assert cost(beside, request_model="x", reported_cost_usd=9.0) == UNKNOWN
    assert cost(stands_in, request_model="x", reported_cost_usd=9.0) == (9, "reported")
    assert cost(stands_in, request_model="m", reported_cost_usd=9.0) == (1, "own")
    for nothing in (0.0, float("nan"), float("inf"), -1.0, 1e300):
        assert cost(stands_in, request_model="x", reported_cost_usd=nothing) == UNKNOWN


def test_stated_cost_prices_all_tokens_of_its_call(priced: Priced) -> None:
    """Where the span's cost stands in, no token of the call is unpriced."""
    row = priced(PriceBook(reported="when_unpriced"), request_model="x", output_tokens=7, reported_cost_usd=0.1)
    assert (row["cost_usd"], row["priced_cost_usd"]) == (Decimal("0.1"), Decimal("0.1"))
    assert (row["priced_tokens"], row["unpriced_tokens"], row["price_name"]) == (1_000_007, 0, None)


@pytest.mark.parametrize("model", ["gpt-4o", "nobodys"])
def test_answer_from_a_gateways_cache_costs_nothing(priced: Priced, model: str) -> None:
    """The provider did not bill it, whatever the model and whatever the span says."""
    row = priced(
        PriceBook(reported="when_unpriced"), request_model=model, gateway_cache_hit=True, reported_cost_usd=3.0
    )
    assert [row[name] for name in PRICED_COLUMNS] == [0, 0, 1_000_000, 0, "gateway", "gateway cache"]
    missed = priced(PriceBook(), request_model="gpt-4o", gateway_cache_hit=False)
    assert missed["cost_usd"] == Decimal("2.5")


@pytest.mark.parametrize("tier", [None, "", "auto", "default", "standard", "on_demand"])
def test_words_for_the_standard_tier(cost: Cost, tier: str | None) -> None:
    """Every provider's word for the standard service tier means the plain price."""
    assert cost(PriceBook(), request_model="gpt-4o", service_tier=tier) == (Decimal("2.5"), "genai-prices")


def test_service_tier_without_a_price_is_unknown(cost: Cost) -> None:
    """A tier that has no list price, or had none yet, does not take the standard one; nor does another host's."""
    assert cost(PriceBook(), request_model="gpt-4o", service_tier="scale") == UNKNOWN
    assert cost(PriceBook(), request_model="gpt-4o", service_tier="batch", start_time=datetime(2026, 1, 1)) == UNKNOWN
    assert cost(PriceBook(), request_model="gpt-4o", service_tier="batch")[0] == Decimal("1.25")
    assert cost(PriceBook(), request_model="gpt-4o", service_tier="priority")[0] == Decimal("4.25")
    azure = {"provider": "azure.ai.openai", "request_model": "gpt-4o"}
    assert cost(PriceBook(), **azure) == (Decimal("2.5"), "genai-prices")
    assert cost(PriceBook(), **azure, service_tier="batch") == UNKNOWN


def test_tokens_that_are_not_told_apart_have_no_price(priced: Priced) -> None:
    """A model that speaks, or draws, is not priced as if all were text; nor is audio where no price is for audio."""
    spoken = {"request_model": "gpt-audio", "output_tokens": 10}
    assert priced(PriceBook(), **spoken)["unpriced_tokens"] == 1_000_010
    assert priced(PriceBook(), **spoken, input_audio_tokens=0)["unpriced_tokens"] == 10
    drawn = priced(PriceBook(), provider="gcp.gemini", request_model="gemini-2.5-flash-image", output_tokens=1290)
    assert (drawn["priced_tokens"], drawn["unpriced_tokens"]) == (1_000_000, 1290)
    heard = priced(PriceBook(), request_model="gpt-4o", input_audio_tokens=400)
    assert (heard["priced_tokens"], heard["unpriced_tokens"]) == (999_600, 400)


def test_counts_that_contradict_each_other_have_no_price(priced: Priced) -> None:
    """More cached tokens than input, or cached audio that nobody counted, leave that direction unpriced."""
    more_cached = priced(PriceBook(), request_model="gpt-4o", cache_read_tokens=1_000_001, output_tokens=3)
    assert (more_cached["priced_tokens"], more_cached["unpriced_tokens"]) == (3, 1_000_000)
    audio = {"provider": "gcp.gemini", "request_model": "gemini-2.5-flash", "input_audio_tokens": 10}
    assert priced(PriceBook(), **audio, cache_read_tokens=20)["unpriced_tokens"] == 1_000_000
    assert priced(PriceBook(), **audio, cache_read_tokens=20, cache_audio_read_tokens=0)["unpriced_tokens"] == 0


MODELS = [
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


@given(
    given_calls=st.lists(
        st.tuples(
            st.sampled_from(MODELS),
            st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),
            st.sampled_from([0, 1, 1000, 127_999, 128_000, 128_001, 200_000, 200_001, 272_001, 900_000]),
            st.integers(0, 100_000),
            st.floats(0, 1),
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=60)
def test_agrees_with_the_packages_own_arithmetic(calls: Calls, given_calls: list[Any]) -> None:
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
        for names, time, size, output, cached in given_calls
    ]
    priced = PriceBook().price(calls(*rows))
    for row, (names, time, size, output, cached) in zip(priced.iter_rows(named=True), given_calls, strict=True):
        usage = Usage(input_tokens=size, output_tokens=output, cache_read_tokens=int(size * cached))
        expected = calc_price(usage, names[2], provider_id=names[1], genai_request_timestamp=time.replace(tzinfo=UTC))
        assert row["cost_usd"] == round(expected.total_price, 12)


def test_rows_keep_their_order_and_columns(calls: Calls) -> None:
    """Pricing adds its columns and moves nothing, with no calls too."""
    given = calls({"request_model": "x"}, {"request_model": "gpt-4o-mini"}, {"request_model": "m"})
    given = given.with_columns(source=pl.Series(["1", "2", "3"]), size=pl.lit(1), units=pl.lit(2))
    priced = PriceBook([Price("m", 1, 1)]).price(given)
    assert priced.drop(PRICED_COLUMNS).equals(given)
    assert priced["price_source"].to_list() == [None, "genai-prices", "own"]
    empty = PriceBook().price(given.clear())
    assert empty.schema == priced.schema
    assert {name: empty.schema[name] for name in PRICED_COLUMNS} == {
        "cost_usd": pl.Decimal(18, 12),
        "priced_cost_usd": pl.Decimal(18, 12),
        "priced_tokens": pl.Int64(),
        "unpriced_tokens": pl.Int64(),
        "price_source": pl.String(),
        "price_name": pl.String(),
    }
