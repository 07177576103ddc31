"""The report job: from the store to verdicts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

import polars as pl
import pyarrow as pa

from analytics.cells import cells
from analytics.chain_rules import ChainRule, rule_attributes
from analytics.chains import VALIDATION_EVALUATORS
from analytics.evaluator_checks import EvaluatorContext
from analytics.evaluators import EvaluatorRule, with_passed
from analytics.label_maturity import maturity_checks, with_maturity
from analytics.maturity import Maturity, MaturityRules
from analytics.metrics import MetricOverride, OutcomeRule, metrics_for
from analytics.outcome_names import OutcomeNames, by_kind
from analytics.pricing import PriceBook
from analytics.promotions import Promotion, find_promotion
from analytics.report import as_json
from analytics.report.model import Check, CheckStatus, Report
from analytics.targets import match_targets
from analytics.traces import trace_frame
from analytics.unmatched import unmatched_checks
from analytics.validity import checks
from analytics.verdict import judge, overall
from sql import statements
from sql.access import Access

_SEVERITY = (CheckStatus.FAIL, CheckStatus.WARN, CheckStatus.PASS)

PRE_PERIOD = timedelta(days=28)
"""How far before the promotion traffic is read, to freeze thresholds and variances on."""


class JobOptionsError(Exception):
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
        alpha: family-wise error rate of each direction.
    """

    prices: PriceBook = field(default_factory=PriceBook)
    evaluator_rules: Mapping[str, EvaluatorRule] = field(default_factory=dict)
    outcomes: Mapping[str, OutcomeRule] = field(default_factory=dict)
    overrides: Mapping[str, MetricOverride] = field(default_factory=dict)
    feedback_key: str | None = None
    validation_evaluators: tuple[str, ...] = VALIDATION_EVALUATORS
    chain_rules: tuple[ChainRule, ...] = ()
    simulated: bool = False
    alpha: float = 0.05

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


def run_report(store: Access, name: str, options: JobOptions, *, as_of: datetime, now: datetime) -> Report:
    """Compare the two arms of a promotion, by cohort.

    Args:
        store: where spans, evaluations and feedback are.
        name: the promotion's name.
        options: prices, rules and margins.
        as_of: the moment the world is looked at (UTC, naive).
        now: what to write as the time of making (UTC, naive).

    Raises:
        NoPromotionError: there is no such promotion.
        QueryError: the store could not answer.
        JobOptionsError: the configuration names a metric that does not exist, or gives it a value without sense.
    """
    promotion = find_promotion(store, name)
    read = read_traces(store, promotion, options, as_of)
    traces = read.traces
    begun = pl.col("start_time") >= promotion.at
    open_still = pl.lit(value=True) if promotion.ended_at is None else pl.col("start_time") < promotion.ended_at
    window = traces.filter(begun & open_still & pl.col("arm").is_not_null())
    pre_period = traces.filter(~begun & (pl.col("arm") == "base"))
    try:
        metrics = metrics_for(window, options.overrides, options.outcomes, read.maturities)
    except ValueError as error:
        raise JobOptionsError(f"The configuration cannot be used: {error}") from error
    validity = checks(
        window,
        promotion=promotion,
        evaluations=read.evaluations,
        context=EvaluatorContext(pre_period, options.evaluator_rules, read.maturities, as_of),
    )
    labels = maturity_checks(window, metrics, as_of=as_of)
    every_check = (*read.outcome_checks, *validity, *labels)
    found_checks = tuple(sorted(every_check, key=lambda check: _SEVERITY.index(check.status)))
    cohorts = judge(cells(window, pre_period, metrics, as_of=as_of), metrics, alpha=options.alpha, checks=found_checks)
    cohorts = with_maturity(cohorts, window, metrics, as_of=as_of, ends_at=promotion.ended_at)
    newest = window["end_time"].max()
    return Report(
        promotion=promotion,
        generated_at=now,
        as_of=as_of,
        data_watermark=newest if isinstance(newest, datetime) else None,
        fingerprint=_fingerprint((promotion, options, as_of, found_checks), window, pre_period),
        alpha=options.alpha,
        overall=overall(cohorts),
        checks=found_checks,
        cohorts=cohorts,
    )


@dataclass(frozen=True)
class ReadTraces:
    """What a report is made of.

    Attributes:
        evaluations: those that stand, with ``trace_id`` resolved and ``passed``, once per trace.
        traces: the wide traces frame with the pre-period.
        maturities: how long each outcome and evaluator is waited for, by column.
        outcome_checks: whether feedback finds its traces.
    """

    evaluations: pl.DataFrame
    traces: pl.DataFrame
    maturities: Mapping[str, Maturity]
    outcome_checks: tuple[Check, ...]


def read_traces(store: Access, promotion: Promotion, options: JobOptions, as_of: datetime) -> ReadTraces:
    """Read what a report needs."""
    parameters: dict[str, Any] = {
        "since": promotion.at - PRE_PERIOD,
        "until": as_of,
        "simulated": options.simulated,
        "cohort_path": json_pointer(promotion.cohort_by),
        "key_path": None if options.feedback_key is None else json_pointer(options.feedback_key),
        "chain_paths": chain_paths(options),
    }
    said = {name: parameters[name] for name in ("since", "until")}
    frames = {
        name: pl.DataFrame(pl.from_arrow(store.read(statements.read(f"report_{name}"), given)))
        for name, given in (
            ("spans", parameters), ("resources", {}), ("feedback", said),
            ("evaluations", said | {"key_path": parameters["key_path"]}),
        )
    }  # fmt: skip
    evaluations, feedback = by_kind(frames["evaluations"], frames["feedback"], options.names)
    framed = trace_frame(
        frames["spans"],
        frames["resources"],
        evaluations,
        feedback,
        promotion=promotion,
        prices=options.prices,
        as_of=as_of,
        maturity=MaturityRules(options.overrides, options.outcomes, options.evaluator_rules, options.names),
        feedback_key=options.feedback_key,
        evaluator_rules=options.evaluator_rules,
        validation_evaluators=options.validation_evaluators,
        chain_rules=options.chain_rules,
    )
    stands = pl.col("replaced_at").is_null()
    # A result may name a span, a response or a conversation alone; the checks join by trace.
    judged = with_passed(evaluations.filter(stands), options.evaluator_rules)
    matched = match_targets(judged, frames["spans"]).with_columns(trace_id="matched_trace_id")
    outcome_checks = unmatched_checks(
        feedback.filter(stands),
        frames["spans"],
        promotion=promotion,
        as_of=as_of,
        feedback_key=options.feedback_key,
    )
    return ReadTraces(matched, framed.traces, framed.maturities, tuple(outcome_checks))


def store_report(store: Access, report: Report) -> None:
    """Keep a report in the store; the same report is kept once."""
    body = as_json.render(report)
    identity = f"{report.promotion.name}\n{report.as_of.isoformat()}\n{report.fingerprint}"
    moment = pa.timestamp("us")
    row = {
        "report_id": hashlib.sha256(identity.encode()).hexdigest()[:32],
        "promotion": report.promotion.name,
        "as_of": report.as_of,
        "generated_at": report.generated_at,
        "data_watermark": report.data_watermark,
        "fingerprint": report.fingerprint,
        "overall": report.overall.value,
        "body": body,
    }
    times = {"as_of", "generated_at", "data_watermark"}
    schema = pa.schema({key: moment if key in times else pa.string() for key in row})
    store.write({"reports": pa.Table.from_pylist([row], schema)})


def chain_paths(options: JobOptions) -> list[str]:
    """The JSON pointers of the attributes that rules for chains read."""
    return [json_pointer(name) for name in rule_attributes(options.chain_rules)]


def json_pointer(attribute: str) -> str:
    """The JSON pointer (RFC 6901) of one attribute, whatever characters its name has."""
    return "/" + attribute.replace("~", "~0").replace("/", "~1")


def _fingerprint(given: tuple[object, ...], window: pl.DataFrame, pre_period: pl.DataFrame) -> str:
    """A hash of everything that the verdicts rest on: what was given, the traces, the release that judged them."""
    digest = hashlib.sha256(repr((given, version("spanverdict"))).encode())
    for frame in (window, pre_period):
        # Values as text: Arrow's buffers of a filtered frame also hold what was filtered out.
        digest.update(repr(frame.schema).encode())
        digest.update(frame.write_csv().encode())
    return digest.hexdigest()
