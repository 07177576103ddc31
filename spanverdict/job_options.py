"""The configuration's words → the report job's options."""

from __future__ import annotations

from datetime import timedelta

from analytics.chain_rules import ChainRule
from analytics.condition_attributes import ConditionAttributes
from analytics.evaluators import EvaluatorRule
from analytics.job_options import JobOptions
from analytics.metrics import MetricOverride, OutcomeRule
from analytics.outcome_names import NameConflictError
from analytics.pooling import PoolingRules
from analytics.pricing import ExchangeRate, PriceBook
from spanverdict.config import Config, ConfigError


def job_options(config: Config) -> JobOptions:
    """Translate what the configuration says about prices, evaluators, metrics, chains and reports.

    Raises:
        ConfigError: a name is configured as an evaluator and as an outcome, two prices of one model
            begin at the same time, or a price's currency has no exchange rate.
    """
    try:
        prices = PriceBook(
            [price.price() for price in config.prices],
            {
                currency: [ExchangeRate(rate.usd, rate.effective_from) for rate in rates]
                for currency, rates in config.exchange_rates.items()
            },
            config.costs.reported,
        )
    except ValueError as error:
        raise ConfigError(f"prices: {error}") from error
    options = JobOptions(
        prices=prices,
        evaluator_rules={
            name: EvaluatorRule(
                rule.threshold,
                rule.higher_is,
                rule.version,
                rule.judge_model,
                _hours(rule.maturity_hours),
                _learns(rule.maturity),
            )
            for name, rule in config.evaluators.items()
        },
        outcomes={
            name: OutcomeRule(rule.higher_is, _hours(rule.maturity_hours), _learns(rule.maturity))
            for name, rule in config.outcomes.items()
        },
        overrides={
            name: MetricOverride(
                margin=metric.margin,
                margin_kind=metric.margin_kind,
                maturity=_hours(metric.maturity_hours),
                higher_is=metric.higher_is,
                weight=metric.weight,
            )
            for name, metric in config.metrics.items()
        },
        feedback_key=config.feedback.key_attribute,
        validation_evaluators=config.report.validation_evaluators,
        simulated=config.report.simulated,
        item_attributes=config.datasets.item_attributes,
        chain_rules=tuple(ChainRule(**rule.model_dump()) for rule in config.chains.rules),
        conditions=ConditionAttributes(
            config.report.tool_schema_attribute,
            config.report.system_prompt_attribute,
            config.report.retrieval_version_attribute,
            config.report.keep_probability_attribute,
            config.report.request_attributes,
        ),
        alpha=config.report.alpha,
        pooling=PoolingRules(config.cohorts.pool_below, config.cohorts.parents),
        trace_spread=timedelta(hours=config.server.trace_hours),
    )
    try:
        # A conflict of names is the configuration's, and told before anything is read.
        _ = options.names
    except NameConflictError as error:
        raise ConfigError(str(error)) from error
    return options


def _hours(hours: float | None) -> timedelta | None:
    return None if hours is None else timedelta(hours=hours)


def _learns(word: str | None) -> bool | None:
    """Whether a maturity is learned; None where nothing is said."""
    return None if word is None else word == "learned"
