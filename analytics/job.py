"""The report job: from the store to verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from analytics.attribution import with_attribution
from analytics.before_after import NOT_ASKED, Periods, design_check, judge_periods, periods
from analytics.calibrations import find_calibration
from analytics.cells import cells
from analytics.compact import compact, in_order
from analytics.conditions import read_conditions, read_requests, with_conditions
from analytics.datasets import find_items
from analytics.evaluator_checks import EvaluatorContext
from analytics.evaluators import with_passed
from analytics.evidence import gather_evidence
from analytics.fingerprint import fingerprint
from analytics.held_out import (
    as_pairs,
    compared,
    item_check,
    item_parameters,
    items_of_resources,
    items_of_spans,
    separate_runs,
)
from analytics.job_options import JobOptions, JobOptionsError, chain_paths, json_pointer
from analytics.label_maturity import maturity_checks, with_maturity
from analytics.maturity import Maturity, MaturityRules
from analytics.metrics import Metric, metrics_for
from analytics.mirrored import read_mirrored
from analytics.missing_scores import ScoreLoss, within_bounds
from analytics.novelty import novelty_checks
from analytics.outcome_names import by_kind
from analytics.periods import with_periods
from analytics.pooling import pooled
from analytics.promotions import BEFORE_AFTER, MIRRORED, PRE_PERIOD, Promotion, find_promotion
from analytics.report.findings import check_order
from analytics.report.model import Check, Report
from analytics.shared_versions import compare_shared
from analytics.stats.horizon import Horizon
from analytics.steps import StepSource
from analytics.targets import match_targets
from analytics.trace_slices import read_by_traces
from analytics.traces import trace_frame
from analytics.unmatched import unmatched_checks
from analytics.validity import Validity, examine
from analytics.verdict import BETWEEN_ARMS, Judgement, between_arms_until, judge, overall
from sql import statements
from sql.access import Access


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
    if promotion.design == MIRRORED:
        window, mirror_checks = read_mirrored(store, promotion, options.prices, as_of)
        metrics = report_metrics(promotion, options, window, {})
        report = _report(promotion, options, window, window.clear(), metrics, mirror_checks, as_of=as_of, now=now)
        return _explained(report, window, None, metrics)
    read = read_traces(store, promotion, options, as_of)
    if promotion.design == BEFORE_AFTER:
        return _report_by_time(promotion, options, read, as_of=as_of, now=now)
    traces = compact(read.traces)
    # What the traces came as takes several times as much room.
    read = replace(read, traces=traces.clear())
    (traces,) = in_order(traces)
    begun = pl.col("start_time") >= promotion.at
    open_still = pl.lit(value=True) if promotion.ended_at is None else pl.col("start_time") < promotion.ended_at
    window = traces.filter(begun & open_still & pl.col("arm").is_not_null())
    pre_period = traces.filter(~begun & (pl.col("arm") == "base"))
    del traces
    read_checks = read.outcome_checks
    if promotion.dataset is not None:
        read_checks = (item_check(window, find_items(store, promotion.dataset), promotion),)
        window = compared(window)
    window, pre_period, together = pooled(with_periods(window, promotion), pre_period, options.pooling)
    if together:
        window, pre_period = in_order(window, pre_period)
    metrics = report_metrics(promotion, options, window, read.maturities)
    validity = Validity(())
    if not (promotion.is_paired and window.is_empty()):
        context = EvaluatorContext(pre_period, options.evaluator_rules, read.maturities, as_of)
        validity = examine(
            window, promotion=promotion, evaluations=read.evaluations, context=context, requests=read.requests
        )
        matured = maturity_checks(window, metrics, as_of=as_of)
        changing = () if promotion.is_paired else novelty_checks(window, metrics, at=promotion.at, as_of=as_of)
        read_checks = (*read_checks, *validity.checks, *matured, *changing)
    report = _report(
        promotion, options, window, pre_period, metrics, read_checks, as_of=as_of, now=now, losses=validity.losses
    )
    report = _explained(report, window, read.steps, metrics)
    named = tuple(replace(cohort, pooled=together.get(cohort.cohort, ())) for cohort in report.cohorts)
    calibration = find_calibration(store, promotion, options, as_of=as_of)
    return replace(report, cohorts=named, calibration=calibration)


def _report_by_time(
    promotion: Promotion, options: JobOptions, read: ReadTraces, *, as_of: datetime, now: datetime
) -> Report:
    """Compare the time before the change with that after it."""
    (traces,) = in_order(compact(read.traces))
    found = periods(traces, promotion)
    metrics = report_metrics(promotion, options, found.compared, read.maturities)
    context = EvaluatorContext(None, options.evaluator_rules, read.maturities, as_of)
    validity = examine(found.compared, promotion=promotion, evaluations=read.evaluations, context=context)
    asked = (check for check in validity.checks if check.check not in NOT_ASKED)
    matured = maturity_checks(found.compared, metrics, as_of=as_of)
    found_checks = (*read.outcome_checks, *asked, *matured, design_check(found, promotion))
    report = _report(
        promotion,
        options,
        found.compared,
        found.stayed,
        metrics,
        found_checks,
        as_of=as_of,
        now=now,
        by_time=found,
        losses=validity.losses,
    )
    return _explained(report, found.compared, read.steps, metrics, by_day=True)


def _explained(
    report: Report, window: pl.DataFrame, steps: StepSource | None, metrics: tuple[Metric, ...], *, by_day: bool = False
) -> Report:
    """Add where regressions begin, and what is shown beside the verdicts."""
    as_of = report.as_of
    cohorts = with_attribution(report.cohorts, window, steps, metrics, as_of=as_of, by_day=by_day)
    return replace(report, cohorts=cohorts, evidence=gather_evidence(cohorts, window, steps, metrics, as_of=as_of))


def report_metrics(
    promotion: Promotion, options: JobOptions, window: pl.DataFrame, maturities: Mapping[str, Maturity]
) -> tuple[Metric, ...]:
    """The metrics of a window.

    Raises:
        JobOptionsError: the configuration names a metric that does not exist, or gives it a value without sense.
    """
    overrides = options.overrides
    if promotion.is_paired:
        # The configuration is that of production; such a comparison need not have every metric of it.
        there = {metric.name for metric in metrics_for(window, {}, options.outcomes)}
        overrides = {name: changed for name, changed in overrides.items() if name in there or changed.higher_is}
    try:
        return metrics_for(window, overrides, options.outcomes, maturities)
    except ValueError as error:
        raise JobOptionsError(f"The configuration cannot be used: {error}") from error


def _report(
    promotion: Promotion,
    options: JobOptions,
    window: pl.DataFrame,
    pre_period: pl.DataFrame,
    metrics: tuple[Metric, ...],
    found: tuple[Check, ...],
    *,
    as_of: datetime,
    now: datetime,
    by_time: Periods | None = None,
    losses: Sequence[ScoreLoss] = (),
) -> Report:
    """Judge a window of traces, given what the checks found."""
    found_checks = tuple(sorted(found, key=check_order))
    shared = None
    # Hashing keeps one processor busy while the other judges.
    with ThreadPoolExecutor(1) as worker:
        hashed = worker.submit(fingerprint, (promotion, options, as_of, found_checks), (window, pre_period))
        if by_time is None:

            def judged(traces: pl.DataFrame, checks: Sequence[Check]) -> Judgement:
                aggregated = cells(traces, pre_period, metrics, as_of=as_of)
                engine = BETWEEN_ARMS
                if promotion.planned_end is not None:
                    engine = between_arms_until(
                        Horizon.of(aggregated.looks, start=promotion.at, planned_end=promotion.planned_end, as_of=as_of)
                    )
                return judge(aggregated, metrics, alpha=options.alpha, checks=checks, engine=engine)

            judgement = judged(window, found_checks)
            if not promotion.is_paired:
                shared = compare_shared(
                    window, found_checks, lambda traces, checks: within_bounds(judged(traces, checks).cohorts, losses)
                )
        else:
            judgement = judge_periods(
                by_time, metrics, promotion=promotion, as_of=as_of, alpha=options.alpha, checks=found_checks
            )
    bounded = within_bounds(judgement.cohorts, losses)
    cohorts = with_maturity(bounded, window, metrics, as_of=as_of, ends_at=promotion.ended_at)
    newest = window["end_time"].max()
    return Report(
        promotion=promotion,
        generated_at=now,
        as_of=as_of,
        data_watermark=newest if isinstance(newest, datetime) else None,
        fingerprint=hashed.result(),
        alpha=options.alpha,
        overall=overall(cohorts),
        checks=found_checks,
        cohorts=cohorts,
        watch_list=judgement.watch_list,
        shared=shared,
    )


@dataclass(frozen=True)
class ReadTraces:
    """What a report is made of.

    Attributes:
        evaluations: those that stand, with ``trace_id`` resolved and ``passed``, once per trace.
        traces: the wide traces frame with the pre-period.
        maturities: how long each outcome and evaluator is waited for, by column.
        outcome_checks: whether feedback finds its traces.
        steps: what the traces' steps can be found from.
        requests: what root spans say of requests; None where that is not asked.
    """

    evaluations: pl.DataFrame
    traces: pl.DataFrame
    maturities: Mapping[str, Maturity]
    outcome_checks: tuple[Check, ...]
    steps: StepSource
    requests: pl.DataFrame | None = None


def read_traces(store: Access, promotion: Promotion, options: JobOptions, as_of: datetime) -> ReadTraces:
    """Read what a report needs."""
    parameters: dict[str, Any] = {
        "since": promotion.at if promotion.is_paired else promotion.at - PRE_PERIOD,
        "until": as_of,
        "simulated": options.simulated,
        "cohort_path": None if promotion.cohort_by is None else json_pointer(promotion.cohort_by),
        "key_path": None if options.feedback_key is None else json_pointer(options.feedback_key),
        "chain_paths": chain_paths(options),
        "strata_paths": [json_pointer(name) for name in promotion.stratify_by],
    }
    window = {name: parameters[name] for name in ("since", "until")}
    resources, judgements, told = (
        _frame(store, statements.read(f"report_{name}"), given)
        for name, given in (
            ("resources", {}),
            ("evaluations", window | {"key_path": parameters["key_path"]}),
            ("feedback", window),
        )
    )
    conditions = read_conditions(store, promotion, options.conditions, **window)
    evaluations, feedback = by_kind(judgements, told, options.names)
    question = statements.read("report_spans")
    items = said = None
    if promotion.dataset is not None:
        items = find_items(store, promotion.dataset)
        of_resources = items_of_resources(resources, options.item_attributes, items)
        looked_for = item_parameters(options.item_attributes, of_resources)
        named = _frame(store, statements.read("item_spans"), {**window, **looked_for})
        said = items_of_spans(named, of_resources, items)
        # Runs are few beside production's traces.
        question = f"SELECT * FROM ({question}) WHERE trace_id IN (SELECT unnest($runs::VARCHAR[]))"
        parameters["runs"] = said["trace_id"].unique().to_list()
    spans = read_by_traces(store, question, parameters)
    runs = None if said is None else separate_runs(spans, evaluations, feedback, said)
    if runs is not None:
        spans, evaluations, feedback = runs.spans, runs.evaluations, runs.feedback
    framed = trace_frame(
        spans,
        resources,
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
    traces = with_conditions(framed.traces, conditions)
    stands = pl.col("replaced_at").is_null()
    # A result may name a span, a response or a conversation alone; the checks join by trace.
    judged = with_passed(evaluations.filter(stands), options.evaluator_rules)
    matched = match_targets(judged, spans).with_columns(trace_id="matched_trace_id")
    if items is not None and runs is not None:
        return ReadTraces(matched, as_pairs(traces, runs, items), framed.maturities, (), framed.steps)
    outcome_checks = unmatched_checks(
        feedback.filter(stands), spans, promotion=promotion, as_of=as_of, feedback_key=options.feedback_key
    )
    requests = read_requests(store, promotion, options.conditions, until=as_of)
    return ReadTraces(matched, traces, framed.maturities, tuple(outcome_checks), framed.steps, requests)


def _frame(store: Access, question: str, parameters: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(store.read(question, parameters)))
