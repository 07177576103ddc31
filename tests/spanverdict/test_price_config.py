"""The configuration of prices: what its keys come to, and what is wrong said in one sentence."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from analytics.pricing import ExchangeRate, Price, PriceTier
from spanverdict.config import ConfigError, load
from spanverdict.job_options import job_options

WHOLE = """
[costs]
reported = "when_unpriced"

[exchange_rates]
GBP = 1.3

[[exchange_rates.EUR]]
usd = 1.08

[[exchange_rates.EUR]]
usd = 1.1
effective_from = 2026-11-01T12:00:00Z

[[prices]]
pattern = "ft:gpt-4o-mini-*"
base = "gpt-4o-mini"
factor = 1.5
input_factor = 1.1
output_factor = 2
provider = "openai"
response_model = "gpt-4o-mini-2024-07-18"
server_address = "api.openai.com"
service_tiers = { batch = 0.5, priority = 1.75 }
effective_from = 2026-01-01
effective_until = 2026-12-31T12:00:00+01:00
currency = "EUR"
per_request = 0.001
input_per_mtok = 0.1
output_per_mtok = 0.2
cache_read_per_mtok = 0.3
cache_write_per_mtok = 0.4
cache_write_1h_per_mtok = 0.5
reasoning_per_mtok = 0.6
input_audio_per_mtok = 0.7
output_audio_per_mtok = 0.8
cache_audio_read_per_mtok = 0.9

[[prices.tiers]]
above = 200000
input_per_mtok = 1

[[prices]]
model = "m"
input_per_mtok = 1
output_per_mtok = 2
service_tier = "batch"
"""


def written(directory: Path, text: str) -> Path:
    """A configuration file."""
    path = directory / "c.toml"
    path.write_text(text)
    return path


def test_every_key_is_translated(workdir: Path) -> None:
    """Every key of a price arrives, decimal fractions to the digit, and so do rates and what reported costs are for."""
    book = job_options(load(written(workdir, WHOLE))).prices
    first, second = book.own
    assert book.reported == "when_unpriced"
    assert book.exchange_rates["GBP"] == [ExchangeRate(Decimal("1.3"))]
    assert [rate.usd for rate in book.exchange_rates["EUR"]] == [Decimal("1.08"), Decimal("1.1")]
    assert book.exchange_rates["EUR"][1].since == datetime(2026, 11, 1, 12)
    assert second == Price("m", 1, 2, service_tier="batch")
    assert (first.pattern, first.base, first.provider) == ("ft:gpt-4o-mini-*", "gpt-4o-mini", "openai")
    assert (first.response_model, first.server_address) == ("gpt-4o-mini-2024-07-18", "api.openai.com")
    assert (first.factor, first.input_factor, first.output_factor) == (Decimal("1.5"), Decimal("1.1"), 2)
    assert first.service_tiers == {"batch": Decimal("0.5"), "priority": Decimal("1.75")}
    assert (first.since, first.until) == (datetime(2026, 1, 1), datetime(2026, 12, 31, 11))
    assert (first.currency, first.per_request, first.tiers) == (
        "EUR", Decimal("0.001"), (PriceTier(200_000, input_per_mtok=1),)
    )  # fmt: skip
    rates = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "input_audio",
             "output_audio", "cache_audio_read")  # fmt: skip
    assert [getattr(first, f"{name}_per_mtok") * 10 for name in rates] == list(range(1, 10))


def test_an_exchange_rate_of_the_environment(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate can be set where no file is, whatever the case of its currency there."""
    monkeypatch.setenv("SPANVERDICT_EXCHANGE_RATES__EUR", "1.25")
    book = job_options(load(written(workdir, PRICE + "currency = 'EUR'"))).prices
    assert book.exchange_rates == {"EUR": [ExchangeRate(Decimal("1.25"))]}


PRICE = "[[prices]]\nmodel = 'm'\ninput_per_mtok = 1\noutput_per_mtok = 1\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[prices]]\nmodel = 'm'\nbas = 'x'", "unknown key 'prices.0.bas'; did you mean 'base'?"),
        (PRICE + "[[prices.tiers]]\nabov = 1", "unknown key 'prices.0.tiers.0.abov'; did you mean 'above'?"),
        (PRICE + "[[prices.tiers]]\ninput_per_mtok = 1", "'prices.0.tiers.0.above' is missing."),
        (PRICE + "[[prices]]\nbase = 'x'", "c.toml: 'prices.1' cannot be used: the price of an entry without model"),
        (PRICE + "service_tiers = { batch = -1 }", "'prices.0.service_tiers.batch' is -1, but input should be greater"),
        (PRICE + "effective_from = 'soon'", "'prices.0.effective_from' is 'soon', but"),
        (PRICE + "currency = 'euro'", "'prices.0.currency' is 'euro', but it is not a currency's code, such as EUR."),
        ("[exchange_rates]\nEUR = 0", "'exchange_rates.EUR.0.usd' is 0, but input should be greater than 0."),
        ("[exchange_rates]\nEUR = []", "'exchange_rates.EUR' is [], but"),
        ("[[exchange_rates.EUR]]\nusdd = 1", "unknown key 'exchange_rates.EUR.0.usdd'; did you mean 'usd'?"),
        ("[costs]\nreported = 'always'", "'costs.reported' is 'always', but"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(workdir: Path, text: str, sentence: str) -> None:
    """The sentence names the entry, the field, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        load(written(workdir, text))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_currency_without_a_rate_names_the_key(workdir: Path) -> None:
    """Which key has to be set stands in the sentence."""
    with pytest.raises(
        ConfigError, match=r"^prices: .* is in EUR, .* set exchange_rates\.EUR to what one EUR is worth"
    ):
        job_options(load(written(workdir, PRICE + "currency = 'EUR'")))
