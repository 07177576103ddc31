"""The configuration's words → evaluators that can run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import polars as pl

from analytics.evaluate.ai_evaluation import AiEvaluation, Template, calls_a_model
from analytics.evaluate.budget import Budget, Price
from analytics.evaluate.endpoint import Endpoint
from analytics.evaluate.json_validation import JsonValidation
from analytics.evaluate.judge import Judge, Question
from analytics.evaluate.registry import installed, load_installed
from analytics.evaluate.subject import Evaluator
from analytics.evaluate.tool_selection import ToolRule, ToolSelection
from analytics.pricing import PriceBook
from analytics.pricing.book import PRICE_COLUMNS
from spanverdict.config import Config, ConfigError
from spanverdict.evaluate_config import BUILT_IN, EvaluateConfig
from sql.clock import utc_now

_PRICE_SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(PRICE_COLUMNS, pl.Int64()),
    **dict.fromkeys(("provider", "request_model", "response_model", "server_address", "service_tier"), pl.String()),
    "start_time": pl.Datetime("ns"),
    "gateway_cache_hit": pl.Boolean(),
    "reported_cost_usd": pl.Float64(),
}


def chosen(config: Config, names: Sequence[str]) -> list[EvaluateConfig]:
    """The evaluators that are asked for: those named, else all that are configured and the built-in ones.

    Raises:
        ConfigError: there is none of a name.
    """
    configured = {entry.name: entry for entry in config.evaluate}
    known = {**{name: EvaluateConfig(name=name, kind=kind) for name, kind in BUILT_IN.items()}, **configured}
    found = []
    for name in dict.fromkeys(names or known):
        if name not in known and name in installed():
            known[name] = EvaluateConfig(name=name, kind="installed")
        if name not in known:
            there = ", ".join(sorted({*known, *installed()}))
            raise ConfigError(f"There is no evaluator {name!r}; there are {there}. Configure it as [[evaluate]].")
        found.append(known[name])
    return found


def spends(entry: EvaluateConfig) -> bool:
    """Whether an evaluator calls a model that has to be paid for; of an installed one that is not known."""
    kind = entry.kind_of()
    return kind == "judge" or (kind == "ai_evaluation" and calls_a_model(_template(entry, None, None)))


def build(entry: EvaluateConfig, config: Config, prices: PriceBook, budget: Budget) -> Evaluator:
    """Make an evaluator.

    Raises:
        ConfigError: a file of schemas cannot be read, the key is not in the environment, or the price of a model is not
            known while money is bounded.
        EvaluatorUnusableError: a package that it needs is not there, or its evaluator cannot be made.
    """
    kind = entry.kind_of()
    rule = config.evaluators.get(entry.name)
    threshold = entry.threshold if entry.threshold is not None else rule.threshold if rule else None
    higher_is = entry.higher_is or (rule.higher_is if rule else None)
    if kind == "json_validation":
        schemas = {prompt: _schema(entry.name, schema) for prompt, schema in entry.schemas.items()}
        version = entry.version or _version(
            "1", [schemas, entry.tool_arguments] if schemas or not entry.tool_arguments else None
        )
        return JsonValidation(schemas, tool_arguments=entry.tool_arguments, version=version, name=entry.name)
    if kind == "tool_selection":
        rules = [ToolRule(**each.model_dump()) for each in entry.rules]
        told = [[each.model_dump() for each in entry.rules], entry.order]
        version = entry.version or _version("1", told if entry.rules or entry.order != "any" else None)
        least = 1.0 if threshold is None else threshold
        return ToolSelection(rules, order=entry.order, threshold=least, version=version, name=entry.name)
    if kind == "ai_evaluation":
        if (budget.tokens is not None or budget.usd is not None) and spends(entry):
            raise ConfigError(f"{entry.name}: ai-evaluation does not say what a call took; give --budget-calls.")
        return AiEvaluation(_template(entry, threshold, higher_is), budget, concurrency=entry.concurrency)
    if kind == "installed":
        return load_installed(entry.entry_point or entry.name, entry.name, entry.settings)
    price = _price(prices, entry)
    if budget.usd is not None and price(1, 1) is None:
        raise ConfigError(
            f"{entry.name}: the price of {entry.model} is not known, so --budget-usd cannot be kept; give it as "
            "[[prices]], or bound --budget-calls or --budget-tokens."
        )
    question = Question(
        entry.name, entry.prompt or "", entry.lowest, entry.highest, threshold, higher_is, entry.level, entry.version
    )
    return Judge(question, _endpoint(entry), budget, price, concurrency=entry.concurrency)


def _endpoint(entry: EvaluateConfig) -> Endpoint:
    key = os.environ.get(entry.api_key_env) if entry.api_key_env else None
    if entry.api_key_env and not key:
        raise ConfigError(f"{entry.name}: the environment variable {entry.api_key_env} is not set.")
    if key and not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"{entry.name}: what {entry.api_key_env} holds is no key: it has characters that no header may."
        )
    return Endpoint(
        base_url=entry.base_url or "",
        model=entry.model or "",
        api_key=key,
        key_name=entry.api_key_env,
        timeout_seconds=entry.timeout_seconds,
        retries=entry.retries,
        max_output_tokens=entry.max_output_tokens,
        response_format=entry.response_format,
        parameters=entry.parameters,
    )


def _template(entry: EvaluateConfig, threshold: float | None, higher_is: Literal["better", "worse"] | None) -> Template:
    inputs = {"inputs": entry.inputs} if entry.inputs else {}
    return Template(
        name=entry.name,
        template=entry.template or "",
        model=entry.model,
        engine=entry.engine,
        threshold=threshold,
        higher_is=higher_is,
        level=entry.level,
        version=entry.version,
        **inputs,
    )


def _price(prices: PriceBook, entry: EvaluateConfig) -> Price:
    def price(input_tokens: int, output_tokens: int) -> Decimal | None:
        call: dict[str, Any] = dict.fromkeys(PRICE_COLUMNS)
        call |= {
            "provider": entry.provider,
            "request_model": entry.model,
            "server_address": _endpoint_host(entry),
            "start_time": utc_now(),
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
        }
        priced = prices.price(pl.DataFrame([call], schema=_PRICE_SCHEMA))
        cost = priced["cost_usd"][0]
        return cost if isinstance(cost, Decimal) else None

    return price


def _endpoint_host(entry: EvaluateConfig) -> str:
    return Endpoint(entry.base_url or "", entry.model or "").host


def _schema(evaluator: str, schema: dict[str, Any] | bool | Path) -> Any:  # noqa: ANN401 (JSON)
    if not isinstance(schema, Path):
        return schema
    try:
        found = json.loads(schema.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{evaluator}: {schema} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{evaluator}: {schema} is not JSON.") from error
    if not isinstance(found, dict | bool):
        raise ConfigError(f"{evaluator}: {schema} is not a JSON Schema: it is no object.")
    return found


def _version(rules: str, told: Any) -> str:  # noqa: ANN401 (JSON)
    """The version of built-in rules, and of what the configuration adds to them."""
    if told is None:
        return rules
    return f"{rules}+{hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]}"
