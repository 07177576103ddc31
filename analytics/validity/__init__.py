"""May base and candidate be compared at all? The checks that come before any verdict."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from analytics.compact import by_cohort
from analytics.evaluator_checks import EvaluatorContext, evaluator_checks
from analytics.missing_scores import ScoreLoss, score_losses
from analytics.promotions import BEFORE_AFTER, Promotion
from analytics.report.model import Check, CheckStatus
from analytics.validity.arms import both_arms, sample_ratios, scored_ratios
from analytics.validity.completeness import incomplete_traces, missing_root, unpriced
from analytics.validity.mix_shift import request_mix, strata_mix
from analytics.validity.order import in_order
from analytics.validity.retrieved_context import retrieved_context
from analytics.validity.sampling import sampling
from analytics.validity.versions import instrumentation, versions


@dataclass(frozen=True)
class Validity:
    """What stands against a comparison.

    Attributes:
        checks: failed ones first.
        losses: how evaluators' scores are missing, by cohort.
    """

    checks: tuple[Check, ...]
    losses: tuple[ScoreLoss, ...] = ()


def checks(
    traces: pl.DataFrame,
    *,
    promotion: Promotion,
    evaluations: pl.DataFrame | None,
    context: EvaluatorContext | None = None,
) -> tuple[Check, ...]:
    """The checks of :func:`examine`, for those who ask for nothing else."""
    return examine(traces, promotion=promotion, evaluations=evaluations, context=context).checks


def examine(
    traces: pl.DataFrame,
    *,
    promotion: Promotion,
    evaluations: pl.DataFrame | None,
    context: EvaluatorContext | None = None,
    requests: pl.DataFrame | None = None,
) -> Validity:
    """Check cohort by cohort whether the arms may be compared.

    Args:
        traces: the wide traces frame, one row per trace of the comparison window, every row in an arm.
        promotion: what is compared; its ``candidate_share`` is what the sample ratio is held against.
        evaluations: one row per score, with ``trace_id`` (resolved), ``name`` and what
            :data:`analytics.evaluator_checks.COLUMNS` names; None if no scores are stored.
        context: what else is known of the evaluators.
        requests: attributes of root spans, ``trace_id``, ``name`` and ``value``; None looks for none.

    Returns:
        The checks, failed ones first: a pass or warning that is the same in every cohort is said once, with cohort
            None. With them what they found that verdicts have to heed.
    """
    if traces.is_empty():
        detail = (
            f"No trace started with {promotion.base} or {promotion.candidate} since the promotion: "
            "check that telemetry arrives and that both names are the request models the application sends."
        )
        return Validity((Check("both_arms", None, CheckStatus.FAIL, detail),))
    cohorts = dict(by_cohort(traces))
    found: list[Check] = []
    comparable: dict[str, pl.DataFrame] = {}
    for cohort, frame in cohorts.items():
        there = both_arms(cohort, frame)
        found.append(there)
        if there.status is CheckStatus.PASS:
            comparable[cohort] = frame
    found += sample_ratios(comparable, promotion)
    found += scored_ratios(comparable, promotion)
    known = context or EvaluatorContext()
    compared = traces
    if len(comparable) < len(cohorts):
        compared = pl.concat(comparable.values()) if comparable else traces.clear()
    # Where one arm follows the other no stratum of a day has both: the arms are compared as wholes.
    whole = compared.drop("stratum", strict=False) if promotion.design == BEFORE_AFTER else compared
    losses = score_losses(whole, known)
    found += [loss.check() for loss in losses]
    if comparable:
        found += retrieved_context(whole, known.until(whole))
        if requests is not None and not promotion.stratify_by:
            found += request_mix(compared, requests, frozenset({promotion.cohort_by or ""}))
    for cohort, frame in comparable.items():
        found += [check for check in (sampling(cohort, frame),) if check is not None]
        found += versions(cohort, frame)
        found += [check for check in (strata_mix(cohort, frame),) if check is not None]
        found.append(instrumentation(cohort, frame))
        found += evaluator_checks(cohort, frame, evaluations, known)
        found.append(unpriced(cohort, frame))
        found.append(missing_root(cohort, frame))
        found.append(incomplete_traces(cohort, frame))
    return Validity(in_order(found, len(cohorts)), losses)
