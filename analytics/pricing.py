"""What each model call cost, in USD, or that it is not known.

The user's own prices come first, then those of the genai-prices package. Nothing is guessed: a fine-tuned
model never takes its base's price, and a call without a price or without token counts has no cost. Token
counts are inclusive: input of cached tokens, output of reasoning tokens.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
from genai_prices import Usage, calc_price
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices, TimeOfDateConstraint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

PRICE_COLUMNS = (
    "provider",
    "request_model",
    "response_model",
    "start_time",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "reported_cost_usd",
)
TOKENS_PER_PRICE = 1_000_000
REQUESTS_PER_PRICE = 1_000

# Our provider names (OpenTelemetry's) where the package has others.
_PROVIDERS = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "aws.bedrock": "aws",
    "gcp.vertex_ai": "google",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
    "moonshot_ai": "moonshotai",
    "together": "together",
    "together_ai": "together",
    "perplexity": "perplexity",
}
# Emitters that name themselves, not who serves the model: the model's name must do.
_FRAMEWORKS = frozenset(
    {
        "langchain",
        "langgraph",
        "llamaindex",
        "llama_index",
        "function",
        "litellm",
        "pydantic_ai",
        "haystack",
        "dspy",
    }
)
# OpenAI "ft:base:org::id", Mistral "ft:base:…", Azure "base.ft-job", and names that say so in a part of
# their own.
_FINE_TUNED = re.compile(r"(^|[:/._-])ft([:._-]|$)|fine-?_?tuned?", re.IGNORECASE)
_SNAPSHOT = re.compile(r"[-@.:]?\d{4}-?\d{2}-?\d{2}")
# Price keys of the package that token counts can be set against; the first two decide whether a price is
# known.
_UNIT_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
}
_RATES = {**dict.fromkeys(_UNIT_KEYS, pl.Float64()), "request": pl.Float64()}
_BAND_SCHEMA = {"price_id": pl.Int64(), "above": pl.Int64(), **_RATES}
_INSTANT = pl.Datetime("ns")


@dataclass(frozen=True)
class Price:
    """The user's own price of one model, in USD per million tokens.

    Attributes:
        model: the exact request or response model.
        input_per_mtok: of input tokens that were not cached.
        output_per_mtok: of output tokens.
        cache_read_per_mtok: of input tokens read from a cache; None: as input.
        cache_write_per_mtok: of input tokens written to a cache; None: as input.
        effective_from: when the price began (UTC); None: always.
    """

    model: str
    input_per_mtok: float
    output_per_mtok: float
    cache_read_per_mtok: float | None = None
    cache_write_per_mtok: float | None = None
    effective_from: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("input_per_mtok", "output_per_mtok", "cache_read_per_mtok", "cache_write_per_mtok"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                message = f"The price of model {self.model!r} has {name} = {value}; make it a number of at least 0."
                raise ValueError(message)


@dataclass(frozen=True)
class PriceBook:
    """Where prices come from: the user's own, then the genai-prices package.

    Attributes:
        own: the user's prices; of several for one model the latest that had begun holds.
    """

    own: Sequence[Price] = ()

    def __post_init__(self) -> None:
        seen = set()
        for price in self.own:
            key = (price.model, _naive_utc(price.effective_from))
            if key in seen:
                since = price.effective_from.isoformat() if price.effective_from else "always"
                message = f"Model {price.model!r} has two prices from the same time ({since}); remove one of them."
                raise ValueError(message)
            seen.add(key)

    def price(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Price model calls.

        Args:
            calls: :data:`PRICE_COLUMNS` and any others, one row per call.

        Returns:
            The calls in their order, with ``cost_usd`` (null where unknown) and ``price_source``: "own",
            "genai-prices", "reported" (the cost that the span itself stated, used only where no price is
            known) or null.
        """
        facts = calls.select(PRICE_COLUMNS).with_row_index("call_row")
        own, own_bands = self._own_prices(facts)
        package, package_bands = _package_prices(facts.join(own, on="call_row", how="anti"), len(own_bands))
        priced = facts.join(pl.concat([own, package]), on="call_row", how="left")
        costs = _with_rates(priced, pl.concat([own_bands, package_bands])).with_columns(cost=_cost())
        stated = pl.col("reported_cost_usd")
        reported = pl.when(stated.is_finite() & (stated > 0)).then(stated)
        return calls.hstack(
            costs.sort("call_row").select(
                cost_usd=pl.coalesce("cost", reported),
                price_source=pl.when(pl.col("cost").is_not_null())
                .then("source")
                .when(reported.is_not_null())
                .then(pl.lit("reported")),
            )
        )

    def _own_prices(self, calls: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Match calls with the user's prices: by the exact request model, else by the response model."""
        bands = [
            {
                "price_id": number,
                "above": -1,
                "input": price.input_per_mtok,
                "output": price.output_per_mtok,
                "cache_read": price.cache_read_per_mtok,
                "cache_write": price.cache_write_per_mtok,
            }
            for number, price in enumerate(self.own)
        ]
        book = pl.DataFrame(
            {
                "model": [price.model for price in self.own],
                "since": [_naive_utc(price.effective_from) for price in self.own],
                "price_id": list(range(len(self.own))),
            },
            schema={"model": pl.String(), "since": _INSTANT, "price_id": pl.Int64()},
        ).with_columns(pl.col("since").fill_null(pl.lit(0).cast(_INSTANT)))
        book = book.sort("since")
        timed = calls.select(
            "call_row",
            "request_model",
            _asked_and_answered_alike().alias("answer_may_decide"),
            "response_model",
            at=pl.col("start_time").cast(_INSTANT),
        ).sort("at")
        for name in ("request_model", "response_model"):
            timed = timed.join_asof(
                book.rename({"model": name, "price_id": f"by_{name}"}),
                left_on="at",
                right_on="since",
                by=name,
                check_sortedness=False,
                coalesce=True,
            )
            timed = timed.drop("since", strict=False)
        by_answer = pl.when("answer_may_decide").then("by_response_model")
        matched = timed.select(
            "call_row", price_id=pl.coalesce("by_request_model", by_answer), source=pl.lit("own")
        ).filter(pl.col("price_id").is_not_null())
        return matched, pl.DataFrame(bands, schema=_BAND_SCHEMA)


def is_fine_tuned(model: str) -> bool:
    """Whether a model's name says that it is a fine-tuned one."""
    return _FINE_TUNED.search(model) is not None


def _asked_and_answered_alike() -> pl.Expr:
    """Whether the response model may stand for the call: not if only the request says that it was fine-tuned.

    Azure, and gateways, answer with the base's name whatever was deployed.
    """
    fine_tuned = f"(?i){_FINE_TUNED.pattern}"
    asked = pl.col("request_model").str.contains(fine_tuned).fill_null(value=False)
    return ~asked | pl.col("response_model").str.contains(fine_tuned).fill_null(value=False)


def _package_prices(calls: pl.DataFrame, first_id: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Match calls with the package's prices, looked up once per model and day (minute, if hours matter)."""
    names = ["provider", "request_model", "response_model"]
    distinct = calls.select(names).unique(maintain_order=True)
    models = [_find_model(*row) for row in distinct.iter_rows()]
    known = distinct.with_columns(
        model_id=pl.int_range(pl.len()),
        resolution=pl.Series([_resolution(model) for model in models], dtype=pl.String),
    ).filter(pl.col("resolution").is_not_null())
    timed = calls.select("call_row", *names, at=pl.col("start_time").cast(_INSTANT)).join(
        known, on=names, nulls_equal=True
    )
    timed = timed.with_columns(
        at=pl.when(pl.col("resolution") == "day")
        .then(pl.col("at").dt.truncate("1d"))
        .when(pl.col("resolution") == "minute")
        .then(pl.col("at").dt.truncate("1m"))
    )
    moments = timed.select("model_id", "at").unique(maintain_order=True).with_row_index("number")
    moments = moments.with_columns(price_id=pl.col("number").cast(pl.Int64) + first_id).drop("number")
    bands: list[dict[str, float | None]] = []
    for model_id, at, price_id in moments.iter_rows():
        model = models[model_id]
        if model is not None:
            bands.extend(_bands(price_id, model.get_prices(at or datetime.now(tz=UTC))))
    matched = timed.join(moments, on=["model_id", "at"], nulls_equal=True).select(
        "call_row", "price_id", source=pl.lit("genai-prices")
    )
    return matched, pl.DataFrame(bands, schema=_BAND_SCHEMA)


def _find_model(provider: str | None, request: str | None, response: str | None) -> ModelInfo | None:
    """Find what the package knows about the model that answered, else about the one that was asked for.

    The package prices some fine-tuned models by their own entries and others as their base ("ft:gpt-4-0…"):
    the latter are refused. An unknown answering model takes the requested one's price only if it is a dated
    snapshot of it.
    """
    if request and is_fine_tuned(request):
        return _look_up(provider, response if response and is_fine_tuned(response) else request)
    if not response:
        return _look_up(provider, request) if request else None
    found = _look_up(provider, response)
    if found is None and request and _SNAPSHOT.fullmatch(response.removeprefix(request)):
        return _look_up(provider, request)
    return found


def _look_up(provider: str | None, name: str) -> ModelInfo | None:
    provider_id = None if provider is None or provider in _FRAMEWORKS else _PROVIDERS.get(provider, provider)
    try:
        model = calc_price(Usage(input_tokens=0), name, provider_id=provider_id).model
    except LookupError:
        return None
    return None if is_fine_tuned(name) and not is_fine_tuned(model.id) else model


def _resolution(model: ModelInfo | None) -> str | None:
    """How finely a model's price depends on time: "constant", "day", "minute"; None without a model."""
    if model is None:
        return None
    if isinstance(model.prices, ModelPrice):
        return "constant"
    hourly = any(isinstance(price.constraint, TimeOfDateConstraint) for price in model.prices)
    return "minute" if hourly else "day"


def _bands(price_id: int, prices: ModelPrice) -> Iterable[dict[str, float | None]]:
    """Spread tiered prices: one row per threshold, for all tokens of a call with more input."""
    units = {name: getattr(prices, key) for name, key in _UNIT_KEYS.items()}
    starts = {tier.start for unit in units.values() if isinstance(unit, TieredPrices) for tier in unit.tiers}
    request = prices.requests_kcount
    for above in sorted({-1, *starts}):
        yield {
            "price_id": price_id,
            "above": above,
            **{name: _at(unit, above) for name, unit in units.items()},
            "request": _at(request, above),
        }


def _at(unit: Decimal | TieredPrices | None, above: int) -> float | None:
    if unit is None:
        return None
    if isinstance(unit, TieredPrices):
        return float(next((tier.price for tier in reversed(unit.tiers) if tier.start <= above), unit.base))
    return float(unit)


def _with_rates(calls: pl.DataFrame, bands: pl.DataFrame) -> pl.DataFrame:
    """Join to each call the rates of its price at its number of input tokens."""
    return (
        calls.with_columns(size=pl.col("input_tokens").cast(pl.Int64).fill_null(0))
        .sort("size")
        .join_asof(
            bands.sort("above"),
            left_on="size",
            right_on="above",
            by="price_id",
            allow_exact_matches=False,
            check_sortedness=False,
        )
    )


def _cost() -> pl.Expr:
    """USD of a call; null where a count or the price of a count above zero is not known."""
    cache_read = pl.col("cache_read_tokens").fill_null(0)
    cache_write = pl.col("cache_write_tokens").fill_null(0)
    reasoning = pl.min_horizontal(pl.col("reasoning_tokens").fill_null(0), "output_tokens")
    plain_input = pl.max_horizontal(pl.col("input_tokens") - cache_read - cache_write, 0)
    parts = (
        (plain_input, pl.col("input")),
        (cache_read, pl.coalesce("cache_read", "input")),
        (cache_write, pl.coalesce("cache_write", "input")),
        (pl.col("output_tokens") - reasoning, pl.col("output")),
        (reasoning, pl.coalesce("reasoning", "output")),
    )
    per_million = [pl.when(count == 0).then(0.0).otherwise(count * rate) for count, rate in parts]
    total = per_million[0]
    for part in per_million[1:]:
        total = total + part
    request = pl.col("request").fill_null(0.0) / REQUESTS_PER_PRICE
    # The horizontal minimum and maximum above skip nulls: counts must be known, said here.
    known = pl.all_horizontal(pl.col("price_id", "input_tokens", "output_tokens").is_not_null())
    return pl.when(known).then(total / TOKENS_PER_PRICE + request)


def _naive_utc(time: datetime | None) -> datetime | None:
    if time is None or time.tzinfo is None:
        return time
    return time.astimezone(UTC).replace(tzinfo=None)
