"""What the configuration says about reports, and about the calls and outcomes that they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from analytics.chain_rules import ChainRule, rule_attributes
from analytics.condition_attributes import ConditionAttributes
from analytics.defaults import ITEM_ATTRIBUTES, VALIDATION_EVALUATORS
from analytics.errors import InputError
from analytics.evaluators import EvaluatorRule
from analytics.metrics import MetricOverride, OutcomeRule
from analytics.outcome_names import OutcomeNames
from analytics.pooling import PoolingRules
from analytics.pricing import PriceBook


class JobOptionsError(InputError):
    """The configuration asks for something that this report cannot do; the message names it."""


@dataclass(frozen=True)
class JobOptions:
    """What the configuration says about reports.

    Attributes:
        prices: what calls cost.
        evaluator_rules: how to read scores without a label, and what is expected, by evaluator.
        outcomes: direction and maturity of outcomes, by name.
        overrides: changes to metrics, by metric name.
        feedback_key: the attribute that feedback's ``key`` is matched with; None matches none.
        validation_evaluators: evaluators whose failure makes the next call a schema repair.
        chain_rules: the user's own rules for attempt chains.
        simulated: traces that a simulator made take part.
        item_attributes: where runs say which item of a data set they are of.
        alpha: family-wise error rate of each direction.
        pooling: which small cohorts are taken together.
        conditions: the application's own attributes for the conditions of a trace.
        trace_spread: how far from what arrived the rest of a trace is looked for when its calls are derived.
    """

    prices: PriceBook = field(default_factory=PriceBook)
    evaluator_rules: Mapping[str, EvaluatorRule] = field(default_factory=dict)
    outcomes: Mapping[str, OutcomeRule] = field(default_factory=dict)
    overrides: Mapping[str, MetricOverride] = field(default_factory=dict)
    feedback_key: str | None = None
    validation_evaluators: tuple[str, ...] = VALIDATION_EVALUATORS
    chain_rules: tuple[ChainRule, ...] = ()
    simulated: bool = False
    item_attributes: tuple[str, ...] = ITEM_ATTRIBUTES
    alpha: float = 0.05
    pooling: PoolingRules = field(default_factory=PoolingRules)
    conditions: ConditionAttributes = field(default_factory=ConditionAttributes)
    trace_spread: timedelta = timedelta(hours=48)

    @property
    def names(self) -> OutcomeNames:
        """What evaluators and outcomes go by.

        Raises:
            NameConflictError: one name is configured as both.
        """
        # A rate with a direction names an outcome too, in the metric's spelling.
        rates = [
            name.removesuffix("_rate")
            for name, override in self.overrides.items()
            if override.higher_is is not None and name.endswith("_rate") and not name.endswith("_fail_rate")
        ]
        return OutcomeNames.of(self.evaluator_rules, [*rates, *self.outcomes])


def chain_paths(options: JobOptions) -> list[str]:
    """The JSON pointers of the attributes that rules for chains read."""
    return [json_pointer(name) for name in rule_attributes(options.chain_rules)]


def json_pointer(attribute: str) -> str:
    """The JSON pointer (RFC 6901) of one attribute, whatever characters its name has."""
    return "/" + attribute.replace("~", "~0").replace("/", "~1")
