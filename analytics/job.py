"""The report job: from the store to verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import polars as pl

from analytics.attribution import with_attribution
from analytics.before_after import NOT_ASKED, Periods, design_check, judge_periods, periods
from analytics.calibrations import find_calibration
from analytics.cells import cells
from analytics.compact import compact, in_order
from analytics.datasets import find_items
from analytics.deleted_days import deleted_checks
from analytics.engine import Engine
from analytics.evaluator_checks import EvaluatorContext
from analytics.evidence import gather_evidence
from analytics.fingerprint import fingerprint
from analytics.held_out import (
    compared,
    item_check,
)
from analytics.job_options import JobOptions, JobOptionsError
from analytics.label_maturity import maturity_checks, with_maturity
from analytics.maturity import Maturity
from analytics.metrics import Metric, metrics_for
from analytics.mirrored import read_mirrored
from analytics.missing_scores import ScoreLoss, within_bounds
from analytics.novelty import novelty_checks
from analytics.part_files import PartFiles
from analytics.periods import with_periods
from analytics.pooling import pooled
from analytics.promotions import BEFORE_AFTER, MIRRORED, Promotion, find_promotion
from analytics.report.findings import check_order
from analytics.report.model import Check, Report
from analytics.report_input import ReadTraces, read_traces
from analytics.shared_versions import compare_shared
from analytics.stats.horizon import Horizon
from analytics.steps import StepsOf
from analytics.validity import Validity, examine
from analytics.verdict import BETWEEN_ARMS, Judgement, between_arms_until, judge, overall
from sql.access import Access


def run_report(
    store: Access,
    name: str,
    options: JobOptions,
    *,
    as_of: datetime,
    now: datetime,
    files: PartFiles | None = None,
    engine: Engine | None = None,
) -> Report:
    """Compare the two arms of a promotion, by cohort.

    Args:
        store: where spans, evaluations and feedback are.
        name: the promotion's name.
        options: prices, rules and margins.
        as_of: the moment the world is looked at (UTC, naive).
        now: what to write as the time of making (UTC, naive).
        files: where the rows of traces are kept from one report to the next; None: nowhere.
        engine: where the rows of traces are made; None: in this process.

    Raises:
        EngineError: the engine failed.
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
    read = read_traces(store, promotion, options, as_of, files, engine)
    deleted = deleted_checks(store, promotion, read.traces.columns, as_of=as_of)
    read = replace(read, outcome_checks=(*read.outcome_checks, *deleted))
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
        read_checks = (*read_checks, item_check(window, find_items(store, promotion.dataset), promotion))
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
    report: Report, window: pl.DataFrame, steps: StepsOf | None, metrics: tuple[Metric, ...], *, by_day: bool = False
) -> Report:
    """Add where regressions begin, and what is shown beside the verdicts."""
    as_of = report.as_of
    cohorts = with_attribution(report.cohorts, window, steps, metrics, as_of=as_of, by_day=by_day)
    return replace(report, cohorts=cohorts, evidence=gather_evidence(cohorts, window, metrics, as_of=as_of))


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
