"""The metric registry: what is compared between the arms, in which unit, and how much worse is acceptable."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from math import isfinite
from typing import TYPE_CHECKING

from analytics.outcome_words import KNOWN_OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

    from analytics.maturity import Maturity

EVALUATION_PREFIX = "evaluation:"
OUTCOME_PREFIX = "outcome:"

# Half a day in, most thumbs are in; a ticket may be reopened for a week.
DEFAULT_OUTCOME_MATURITY = timedelta(days=1)


class _Maturities(dict[str, timedelta]):
    """Outcome name → maturity, with the default for outcomes that nobody named."""

    def __missing__(self, outcome: str) -> timedelta:
        return DEFAULT_OUTCOME_MATURITY


OUTCOME_MATURITY: Mapping[str, timedelta] = _Maturities(
    thumbs_down=timedelta(days=1), escalated=timedelta(days=1), reopened=timedelta(days=7)
)
"""How long after a trace's end each outcome is final; indexing an unknown outcome gives one day."""


class MetricKind(StrEnum):
    """How a metric is estimated and tested."""

    RATE = "rate"
    MEAN = "mean"
    QUANTILE = "quantile"
    TAIL = "tail"


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: its name in reports and in the configuration.
        kind: RATE counts traces whose column is above 0; MEAN compares ratios of means of a positive column;
            QUANTILE compares mean logarithms and shows the quantile; TAIL compares log excesses and shows it.
        column: column of the traces frame.
        unit: "rate", "ms", "usd" or "tokens".
        margin: the regression that is still acceptable; None (rates only) is the larger of one percentage
            point and a quarter of the base rate.
        margin_kind: "absolute" (in ``unit``) or "relative" (a share of the base arm's value).
        maturity: how long after the trace's end the value is final.
        maturity_source: who says so: "configured", "learned" or "default".
        maturity_detail: what that rests on, as the end of a sentence; empty where there is nothing to say.
        quantile: the quantile shown, for QUANTILE and TAIL.
        higher_is: "worse" or "better".
        weight: share of the family-wise error this metric's cells get, relative to the others.
    """

    name: str
    kind: MetricKind
    column: str
    unit: str
    margin: float | None
    margin_kind: str = "absolute"
    maturity: timedelta = timedelta(0)
    maturity_source: str = "default"
    maturity_detail: str = ""
    quantile: float | None = None
    higher_is: str = "worse"
    weight: float = 1.0


@dataclass(frozen=True)
class MetricOverride:
    """What a configuration may change about a metric; None leaves it.

    Naming ``higher_is`` for ``<outcome>_rate`` registers an outcome that has no direction of its own.
    """

    margin: float | None = None
    margin_kind: str | None = None
    maturity: timedelta | None = None
    higher_is: str | None = None
    weight: float | None = None


@dataclass(frozen=True)
class OutcomeRule:
    """What a configuration may say of one outcome; None leaves it.

    Attributes:
        higher_is: "worse" or "better"; registers an outcome that has no direction of its own.
        maturity: how long after a trace's end it is waited for.
        learn: whether that is learned from the delays before the promotion; None learns where none is given.
    """

    higher_is: str | None = None
    maturity: timedelta | None = None
    learn: bool | None = None


_BUILT_IN = (
    Metric("error_rate", MetricKind.RATE, "error", "rate", None),
    Metric("schema_repair_rate", MetricKind.RATE, "schema_repairs", "rate", None),
    Metric("retry_rate", MetricKind.RATE, "retries", "rate", None),
    Metric("fallback_rate", MetricKind.RATE, "fallbacks", "rate", None),
    Metric("latency_p50", MetricKind.QUANTILE, "latency_ms", "ms", 0.10, "relative", quantile=0.50),
    Metric("latency_p95", MetricKind.TAIL, "latency_ms", "ms", 0.20, "relative", quantile=0.95),
    Metric("latency_p99", MetricKind.TAIL, "latency_ms", "ms", 0.20, "relative", quantile=0.99),
    Metric("input_tokens", MetricKind.MEAN, "input_tokens", "tokens", 0.10, "relative"),
    Metric("output_tokens", MetricKind.MEAN, "output_tokens", "tokens", 0.10, "relative"),
    Metric("total_tokens", MetricKind.MEAN, "total_tokens", "tokens", 0.10, "relative"),
    Metric("cost_per_trace", MetricKind.MEAN, "cost_usd", "usd", 0.10, "relative"),
)

BUILT_IN_METRICS = tuple(metric.name for metric in _BUILT_IN)
"""The metrics that are read from spans alone."""


_DEFAULT_WEIGHTS: Mapping[str, float] = {
    "json_validation_fail_rate": 3.0,
    "groundedness_fail_rate": 3.0,
    "tool_selection_accuracy_fail_rate": 3.0,
    "error_rate": 3.0,
    "escalated_rate": 2.0,
    "task_completion_fail_rate": 2.0,
}
"""Shares of the family-wise error of metrics that deserve more than others; the others have 1."""


def _snake_case(name: str) -> str:
    """Turn TaskCompletion into task_completion and "JSON validation" into json_validation."""
    words = re.sub(r"([A-Z]+)([A-Z][a-z])|([a-z0-9])([A-Z])", r"\1\3_\2\4", name)
    return re.sub(r"\W+|_+", "_", words).strip("_").lower()


def metric_names(columns: Iterable[str]) -> dict[str, str]:
    """Column of an evaluator or outcome → the name of its metric; names that differ only in spelling are numbered."""
    seen: Counter[str] = Counter()
    names = {}
    for column in sorted(columns):
        if column.startswith(EVALUATION_PREFIX):
            name = f"{_snake_case(column.removeprefix(EVALUATION_PREFIX)) or 'evaluation'}_fail_rate"
        elif column.startswith(OUTCOME_PREFIX):
            name = f"{_snake_case(column.removeprefix(OUTCOME_PREFIX)) or 'outcome'}_rate"
        else:
            continue
        seen[name] += 1
        names[column] = name if seen[name] == 1 else f"{name}_{seen[name]}"
    return names


def _rates(
    columns: list[str], overrides: Mapping[str, MetricOverride], outcomes: Mapping[str, OutcomeRule]
) -> list[Metric]:
    """One fail rate per evaluator, and one rate per outcome whose direction is known."""
    metrics = []
    for column, name in metric_names(columns).items():
        if column.startswith(EVALUATION_PREFIX):
            metrics.append(Metric(name, MetricKind.RATE, column, "rate", None))
            continue
        outcome = column.removeprefix(OUTCOME_PREFIX)
        stated = outcomes.get(outcome, OutcomeRule()).higher_is
        overridden = name in overrides and overrides[name].higher_is is not None
        if outcome in KNOWN_OUTCOMES or stated is not None or overridden:
            own = Metric(name, MetricKind.RATE, column, "rate", None, maturity=OUTCOME_MATURITY[outcome])
            metrics.append(own if stated is None else replace(own, higher_is=stated))
    return metrics


def _overridden(metric: Metric, override: MetricOverride) -> Metric:
    """The metric with the override's values.

    Raises:
        ValueError: a value makes no sense, with its name and the mend.
    """
    where = f"metric {metric.name!r}"
    if override.margin is not None and not (isfinite(override.margin) and override.margin > 0):
        raise ValueError(f"{where}: margin is {override.margin}; make it a number above 0.")
    if override.margin_kind not in (None, "absolute", "relative"):
        raise ValueError(f'{where}: margin_kind is {override.margin_kind!r}; use "absolute" or "relative".')
    if override.margin_kind is not None and override.margin is None and metric.margin is None:
        raise ValueError(f"{where}: margin_kind without a margin; give both.")
    if override.higher_is not in (None, "worse", "better"):
        raise ValueError(f'{where}: higher_is is {override.higher_is!r}; use "worse" or "better".')
    if override.weight is not None and not (isfinite(override.weight) and override.weight > 0):
        raise ValueError(f"{where}: weight is {override.weight}; make it a number above 0.")
    if override.maturity is not None and override.maturity < timedelta(0):
        raise ValueError(f"{where}: maturity is {override.maturity}; make it 0 or more.")
    changes = {name: value for name, value in vars(override).items() if value is not None}
    if override.maturity is not None:
        changes["maturity_source"] = "configured"
    return replace(metric, **changes)


def _require_known(overrides: Mapping[str, MetricOverride], known: set[str]) -> None:
    """Refuse overrides of metrics that cannot exist.

    Raises:
        ValueError: an override names no metric.
    """
    for name, override in overrides.items():
        registers_an_outcome = override.higher_is is not None and name.endswith("_rate")
        if name not in known and not registers_an_outcome:
            raise ValueError(
                f"metric {name!r} is not known; known are {', '.join(sorted(known))}"
                " (an outcome of your own is <outcome>_rate and needs higher_is)."
            )


def metrics_for(
    traces: pl.DataFrame,
    overrides: Mapping[str, MetricOverride],
    outcomes: Mapping[str, OutcomeRule] | None = None,
    maturities: Mapping[str, Maturity] | None = None,
) -> tuple[Metric, ...]:
    """The metrics that a traces frame can answer.

    Args:
        traces: the wide traces frame; only its columns and whether it has rows are looked at.
        overrides: metric name → what the configuration changes about it.
        outcomes: outcome name → what the configuration says of it.
        maturities: column → how long its outcome or evaluator takes, where that is settled.

    Returns:
        Evaluator fail rates, outcome rates, then the built-in metrics whose column is present.

    Raises:
        ValueError: an override names an unknown metric or holds a value that makes no sense.
    """
    found = _rates(traces.columns, overrides, outcomes or {})
    if traces.height:  # without traces nothing can be said about which evaluators exist
        names = {metric.name for metric in (*found, *_BUILT_IN)}
        _require_known(overrides, names | {f"{outcome}_rate" for outcome in KNOWN_OUTCOMES})
    present = (*found, *(metric for metric in _BUILT_IN if metric.column in traces.columns))
    metrics = (replace(metric, weight=_DEFAULT_WEIGHTS.get(metric.name, metric.weight)) for metric in present)
    none = MetricOverride()
    overridden = (_overridden(metric, overrides.get(metric.name, none)) for metric in metrics)
    return tuple(_matured(metric, (maturities or {}).get(metric.column)) for metric in overridden)


def _matured(metric: Metric, settled: Maturity | None) -> Metric:
    if settled is None:
        return metric
    return replace(metric, maturity=settled.window, maturity_source=settled.source, maturity_detail=settled.detail)
