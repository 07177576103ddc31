"""The user's own prices: which of several holds, what they are derived from, in which currency."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from analytics.pricing import ExchangeRate, Price, PriceBook, PriceTier

Cost = Callable[..., tuple[Decimal | None, str | None]]
Priced = Callable[..., dict[str, Any]]
BASE = "gpt-4o-mini-2024-07-18"
TUNED = f"ft:{BASE}:acme:refunds:1"
MILLION = {"output_tokens": 1_000_000}
MAY = datetime(2026, 5, 1)


def own(price: float, **more: Any) -> Price:
    """A price of so many USD per million tokens in, and nothing out."""
    return Price(input_per_mtok=price, output_per_mtok=0, **more)


def test_cached_tokens_have_their_own_price(cost: Cost) -> None:
    """Input counts include cached tokens, which are priced apart, or as input where no price is given."""
    usage = {"cache_read_tokens": 600_000, "cache_write_tokens": 100_000}
    book = PriceBook([Price("m", 10, 1, cache_read_per_mtok=1, cache_write_per_mtok=20), Price("n", 10, 1)])
    assert cost(book, request_model="m", **usage)[0] == Decimal("5.6")
    assert cost(book, request_model="n", **usage)[0] == 10


def test_cache_writes_for_an_hour(priced: Priced) -> None:
    """They have their own rate; where only writes have one it is not theirs; where none is given they are input."""
    usage = {"cache_write_tokens": 500_000, "cache_write_1h_tokens": 400_000}
    prices = [
        Price("both", 10, 1, cache_write_per_mtok=20, cache_write_1h_per_mtok=30),
        Price("one", 10, 1, cache_write_per_mtok=20),
        Price("none", 10, 1),
    ]
    rows = {price.model: priced(PriceBook(prices), request_model=price.model, **usage) for price in prices}
    assert rows["both"]["cost_usd"] == 5 + 2 + 12
    assert (rows["one"]["cost_usd"], rows["one"]["priced_cost_usd"]) == (None, 5 + 2)
    assert rows["one"]["unpriced_tokens"] == 400_000
    assert rows["none"]["cost_usd"] == 10


def test_reasoning_is_not_billed_on_top(cost: Cost) -> None:
    """Output counts include reasoning tokens, which take their own rate if they have one."""
    usage = {"input_tokens": 0, "output_tokens": 1_000_000, "reasoning_tokens": 900_000}
    book = PriceBook([Price("m", 1, 10), Price("r", 1, 10, reasoning_per_mtok=20)])
    assert cost(book, request_model="m", **usage)[0] == 10
    assert cost(book, request_model="r", **usage)[0] == 1 + 18


def test_audio_has_its_own_price_or_none(priced: Priced) -> None:
    """Audio in, audio out and cached audio have rates of their own; without one they are unknown, never text."""
    usage = {"input_audio_tokens": 500_000, "cache_read_tokens": 300_000, "cache_audio_read_tokens": 100_000}
    rates = {"cache_read_per_mtok": 1, "input_audio_per_mtok": 30, "cache_audio_read_per_mtok": 3}
    book = PriceBook([Price("m", 10, 1, output_audio_per_mtok=60, **rates), Price("n", 10, 1)])
    row = priced(book, request_model="m", output_audio_tokens=400_000, **usage, **MILLION)
    # 300,000 text in, 200,000 text cached, 400,000 audio in, 100,000 audio cached; 600,000 text and 400,000 audio out.
    assert row["cost_usd"] == 3 + Decimal("0.2") + 12 + Decimal("0.3") + Decimal("0.6") + 24
    row = priced(book, request_model="n", **usage, **MILLION)
    assert (row["priced_tokens"], row["unpriced_tokens"]) == (1_500_000, 500_000)


def test_price_per_request(cost: Cost) -> None:
    """A fee for the call itself is added once."""
    book = PriceBook([Price("m", 1, 1, per_request=0.005)])
    assert cost(book, request_model="m")[0] == Decimal("1.005")


def test_tiers_are_for_all_tokens_of_a_larger_call(priced: Priced) -> None:
    """One token above the threshold and every token has the tier's rate; what a tier leaves out stays."""
    tiers = [PriceTier(400, output_per_mtok=8), PriceTier(200, input_per_mtok=2, output_per_mtok=4)]
    book = PriceBook([Price("m", 1, 3, tiers=tiers)])
    costs = {
        size: priced(book, request_model="m", input_tokens=size, output_tokens=100) for size in (200, 201, 400, 401)
    }
    per_token = {size: row["cost_usd"] * 1_000_000 for size, row in costs.items()}
    assert per_token == {200: 200 + 300, 201: 402 + 400, 400: 800 + 400, 401: 802 + 800}
    assert costs[201]["price_name"] == "m above 200"


def test_globs(cost: Cost) -> None:
    """In a pattern a star is any characters, a question mark one; everything else, dots and brackets too, is itself."""
    book = PriceBook([own(1, pattern="ft:gpt-4o-mini-*"), own(2, pattern="gpt-4.?[x]")])
    assert cost(book, request_model=TUNED) == (1, "own")
    assert cost(book, request_model="gpt-4.1[x]") == (2, "own")
    for other in ("gpt-4x1[x]", "gpt-4.10[x]", "gpt-4.1x", f"my-{TUNED}", "FT:GPT-4O-MINI-X"):
        assert cost(book, request_model=other)[1] != "own"


def test_precedence(cost: Cost) -> None:
    """Exact names, then longer patterns, then shorter ones, then the list; of one name stated rates before a base's."""
    order = [
        own(1, model=BASE),
        Price(BASE, base="o4-mini"),
        own(3, pattern="gpt-4o-mini-*"),
        Price(pattern="gpt-4o-mini-*", base="o4-mini"),
        own(5, pattern="gpt-*"),
    ]
    expected = [Decimal(text) for text in ("1", "1.1", "3", "1.1", "5", "0.15")]
    for first, worth in enumerate(expected):
        book = PriceBook(list(reversed(order[first:])))
        assert cost(book, request_model=BASE, response_model=BASE)[0] == worth


def test_first_of_two_patterns_alike(cost: Cost) -> None:
    """Of two patterns of one length the first in the configuration holds."""
    patterns = [own(1, pattern="gpt*-mini"), own(2, pattern="*gpt-mini")]
    assert cost(PriceBook(patterns), request_model="gpt-gpt-mini")[0] == 1
    assert cost(PriceBook(patterns[::-1]), request_model="gpt-gpt-mini")[0] == 2


def test_requested_name_goes_before_the_answering_one(cost: Cost) -> None:
    """A pattern for the deployment that was asked for beats the exact name of the base that answered."""
    book = PriceBook([own(1, model=BASE), own(2, pattern="refunds-*")])
    azure = {"provider": "azure.ai.openai", "response_model": BASE}
    assert cost(book, request_model="refunds-v2", **azure) == (2, "own")
    assert cost(book, request_model="other-v2", **azure) == (1, "own")


def test_conditions(cost: Cost) -> None:
    """Provider, answering model, host and service tier restrict a price; more conditions go before fewer."""
    book = PriceBook(
        [
            own(1, model="m"),
            own(2, model="m", provider="azure"),
            own(3, model="m", provider="azure", response_model=BASE),
            own(4, model="m", server_address="eu.example.com", provider="azure", response_model=BASE),
            own(5, model="m", service_tier="batch"),
        ]
    )
    azure = {"request_model": "m", "provider": "azure.ai.openai"}
    assert cost(book, request_model="m")[0] == 1
    assert cost(book, **azure)[0] == 2
    assert cost(book, **azure, response_model=BASE)[0] == 3
    assert cost(book, **azure, response_model=BASE, server_address="eu.example.com")[0] == 4
    assert cost(book, **azure, server_address="us.example.com")[0] == 2
    assert cost(book, request_model="m", service_tier="Batch")[0] == 5


def test_azure_deployment_whose_answer_names_the_base(cost: Cost) -> None:
    """The deployment's own price is used, not the listed one of the base that the response names."""
    call = {"provider": "azure.ai.openai", "request_model": "refunds", "response_model": BASE}
    assert cost(PriceBook(), **call) == (Decimal("0.15"), "genai-prices")
    book = PriceBook([Price("refunds", base=BASE, factor=2, provider="azure.ai.openai")])
    assert cost(book, **call) == (Decimal("0.3"), "own")


def test_price_of_a_base(priced: Priced) -> None:
    """A mapping takes all rates of the base, cached and reasoning ones too, times the factors."""
    usage = {"cache_read_tokens": 400_000, **MILLION}
    plain = PriceBook([Price(TUNED, base=BASE)])
    # gpt-4o-mini: 0.15 in, 0.075 cached, 0.60 out.
    assert priced(plain, request_model=TUNED, **usage)["cost_usd"] == Decimal("0.09") + Decimal("0.03") + Decimal("0.6")
    both = PriceBook([Price(TUNED, base=BASE, factor=1.5)])
    assert priced(both, request_model=TUNED, **usage)["cost_usd"] == Decimal("1.08")
    apart = PriceBook([Price(TUNED, base=BASE, input_factor=2, output_factor=3)])
    assert priced(apart, request_model=TUNED, **usage)["cost_usd"] == Decimal("0.24") + Decimal("1.8")
    partly = PriceBook([Price(TUNED, base=BASE, factor=2, cache_read_per_mtok=0.1, per_request=1)])
    assert priced(partly, request_model=TUNED, **usage)["cost_usd"] == Decimal("0.18") + Decimal("0.04") + Decimal(
        "2.2"
    )
    assert priced(partly, request_model=TUNED)["price_name"] == TUNED


def test_base_keeps_its_tiers_and_dates(cost: Cost) -> None:
    """A mapping follows its base over a threshold and through a change of price."""
    book = PriceBook([Price("g", base="gemini-2.5-pro"), Price("o", base="o3")])
    google = {"provider": "gcp.gemini", "request_model": "g"}
    assert cost(book, **google, input_tokens=200_000)[0] == Decimal("0.25")
    assert cost(book, **google, input_tokens=200_001)[0] == Decimal("0.5000025")
    assert cost(book, request_model="o", start_time=datetime(2025, 6, 9, 23))[0] == 10
    assert cost(book, request_model="o", start_time=datetime(2025, 6, 10))[0] == 2


def test_base_with_a_price_of_the_users(cost: Cost) -> None:
    """The user's own price of the base goes before its list price, from when it began."""
    book = PriceBook([Price("tuned", base="gpt-4o", factor=2), own(1, model="gpt-4o", effective_from=MAY)])
    assert cost(book, request_model="tuned", start_time=datetime(2026, 4, 30))[0] == 5
    assert cost(book, request_model="tuned", start_time=MAY)[0] == 2


def test_base_served_by_ones_own_gateway(cost: Cost) -> None:
    """Where the list does not know who serves the model, the base's name tells whose price is meant."""
    book = PriceBook([Price("house-mini", base="gpt-4o-mini")])
    assert cost(book, provider="acme_gateway", request_model="house-mini") == (Decimal("0.15"), "own")
    assert cost(PriceBook([Price("x", base="nobodys")]), request_model="x") == (None, None)


def test_price_that_ended(cost: Cost) -> None:
    """After its end a price holds no longer and the next in line does."""
    book = PriceBook([own(9, model="gpt-4o", effective_until=MAY), own(4, model="m", effective_until=MAY)])
    assert cost(book, request_model="gpt-4o", start_time=datetime(2026, 4, 30))[0] == 9
    assert cost(book, request_model="gpt-4o", start_time=MAY)[0] == Decimal("2.5")
    assert cost(book, request_model="m", start_time=MAY) == (None, None)


def test_service_tiers(cost: Cost) -> None:
    """A tier multiplies all rates; one that is not named is unknown, and never the list's."""
    book = PriceBook([Price("gpt-4o", 2, 8, service_tiers={"batch": 0.5, "priority": 1.75}, per_request=1)])
    assert cost(book, request_model="gpt-4o", service_tier="batch", **MILLION)[0] == Decimal("5.5")
    assert cost(book, request_model="gpt-4o", service_tier="priority", **MILLION)[0] == Decimal("19.25")
    assert cost(book, request_model="gpt-4o", service_tier="flex", **MILLION) == (None, None)


def test_service_tiers_of_a_base(cost: Cost) -> None:
    """A mapping takes the base's listed price of a tier, or the factor that it states itself."""
    early = datetime(2026, 1, 1)
    listed = PriceBook([Price("x", base="gpt-4o", factor=2)])
    assert cost(listed, request_model="x", service_tier="batch")[0] == Decimal("2.5")
    assert cost(listed, request_model="x", service_tier="batch", start_time=early) == (None, None)
    stated = PriceBook([Price("gpt-4o", base="gpt-4o", service_tiers={"batch": 0.5})])
    assert cost(stated, request_model="gpt-4o", service_tier="batch", start_time=early) == (Decimal("1.25"), "own")
    assert cost(stated, request_model="gpt-4o") == (Decimal("2.5"), "own")


def test_currencies(cost: Cost) -> None:
    """Amounts of another currency are worth what it was worth at the call's time."""
    rates = [
        ExchangeRate(1.05, datetime(2026, 1, 1, tzinfo=UTC)),
        ExchangeRate(1.10, datetime(2026, 11, 1, 12, tzinfo=UTC)),
    ]
    book = PriceBook([Price("m", 2, 0, per_request=1, currency="EUR")], {"EUR": rates})
    times = (datetime(2025, 12, 31), datetime(2026, 1, 1), datetime(2026, 11, 1, 11, 59), datetime(2026, 11, 1, 12))
    costs = [cost(book, request_model="m", start_time=time)[0] for time in times]
    assert costs == [None, Decimal("3.15"), Decimal("3.15"), Decimal("3.3")]


def test_base_is_not_exchanged(cost: Cost) -> None:
    """The list is in USD; what the user states beside it is in the user's currency."""
    book = PriceBook([Price("m", base="gpt-4o", per_request=1, currency="EUR")], {"EUR": [ExchangeRate(2)]})
    assert cost(book, request_model="m")[0] == Decimal("4.5")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "m", "input_per_mtok": 1, "output_per_mtok": -1}, "model 'm' has output_per_mtok = -1; make it a"),
        (
            {"model": "m", "input_per_mtok": 1, "output_per_mtok": 1, "cache_read_per_mtok": float("inf")},
            "cache_read_per_mtok = inf",
        ),
        ({"model": "m", "input_per_mtok": 1e7, "output_per_mtok": 1}, "at most 1,000,000"),
        ({"model": "m", "input_per_mtok": 1}, "model 'm' has no output_per_mtok; give it, or base"),
        ({"pattern": "m*", "base": "x", "factor": float("nan")}, r"pattern 'm\*' has factor = nan"),
        ({"model": "m", "pattern": "m*", "base": "x"}, "either model or pattern"),
        ({"base": "x"}, "either model or pattern"),
        ({"pattern": " ", "base": "x"}, "an empty pattern"),
        ({"model": "m", "input_per_mtok": 1, "output_per_mtok": 1, "factor": 2}, "factor but no base"),
        ({"model": "m", "base": "x", "service_tiers": {"batch": -1}}, "service_tiers.batch = -1"),
        ({"model": "m", "base": "x", "service_tiers": {"default": 1}}, "the standard tier in service_tiers"),
        ({"model": "m", "base": "x", "service_tier": "batch", "service_tiers": {"flex": 1}}, "both service_tier and"),
        (
            {"model": "m", "base": "x", "effective_from": MAY, "effective_until": MAY},
            "effective_until that is not after",
        ),
        ({"model": "m", "base": "x", "tiers": [PriceTier(5), PriceTier(5)]}, "two tiers with the same above"),
    ],
)
def test_wrong_prices_are_refused(given: dict[str, Any], words: str) -> None:
    """What cannot be a price is refused in one sentence that names the entry, the field and the mend."""
    with pytest.raises(ValueError, match=words):
        Price(**given)


def test_wrong_tiers_and_rates_are_refused() -> None:
    """A threshold below zero, a tier's negative rate, a currency that is worth nothing."""
    with pytest.raises(ValueError, match="above = -1"):
        PriceTier(-1)
    with pytest.raises(ValueError, match="The tier above 5 has input_per_mtok = -2"):
        PriceTier(5, input_per_mtok=-2)
    with pytest.raises(ValueError, match="usd = 0; make it a number above 0"):
        ExchangeRate(0)


def test_ambiguous_prices_are_refused() -> None:
    """Two prices of one model from one time are refused; a condition or a base tells them apart."""
    with pytest.raises(ValueError, match="Model 'm' has two prices from the same time"):
        PriceBook([own(1, model="m"), own(2, model="m")])
    with pytest.raises(ValueError, match=r"Pattern 'm\*' has two prices from the same time \(2026-05-01"):
        PriceBook([own(1, pattern="m*", effective_from=MAY), own(2, pattern="m*", effective_from=MAY)])
    assert PriceBook([own(1, model="m"), own(2, model="m", provider="azure"), Price("m", base="x")])


def test_currency_without_a_rate_is_refused() -> None:
    """The sentence names the key of the configuration that is missing."""
    with pytest.raises(ValueError, match=r"model 'm' is in EUR, .* no exchange rate: set exchange_rates\.EUR"):
        PriceBook([Price("m", 1, 1, currency="EUR")])
