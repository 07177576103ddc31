"""The report as JSON: the machine's contract, schema version 1.

Keys may be added in a schema version, not renamed. A value that is undefined is null, never NaN.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from typing import Any

from analytics.report.calibration import Calibration, CalibrationRow
from analytics.report.findings import check_order, metric_names
from analytics.report.formatting import iso
from analytics.report.headline import headline
from analytics.report.model import (
    SCHEMA_VERSION,
    Attribution,
    Check,
    CohortResult,
    Composition,
    MaturityState,
    MetricResult,
    Report,
    SharedVersions,
    StepDifference,
)
from analytics.report.values import ArmValue


def render(report: Report) -> str:
    """Render the report as indented ASCII JSON with a final newline; the same report gives the same bytes."""
    return json.dumps(to_dict(report), indent=2, allow_nan=False) + "\n"


def to_dict(report: Report) -> dict[str, Any]:
    """The report as plain dictionaries and lists: cohorts and metrics by name, failed checks first."""
    promotion = report.promotion
    return {
        "schema_version": SCHEMA_VERSION,
        "promotion": {
            "name": promotion.name,
            "base": promotion.base,
            "candidate": promotion.candidate,
            "design": promotion.design,
            "at": iso(promotion.at),
            "ended_at": None if promotion.ended_at is None else iso(promotion.ended_at),
            "cohort_by": promotion.cohort_by,
            "candidate_share": _number(promotion.candidate_share),
            "dataset": promotion.dataset,
            "planned_end": None if promotion.planned_end is None else iso(promotion.planned_end),
            "stratify_by": list(promotion.stratify_by),
            "share_changes": [
                {"since": iso(since), "candidate_share": _number(share)} for since, share in promotion.share_changes
            ],
        },
        # The moment that the report speaks of: the same data, moment and configuration give the same bytes.
        "generated_at": iso(report.as_of),
        "as_of": iso(report.as_of),
        "data_watermark": None if report.data_watermark is None else iso(report.data_watermark),
        "fingerprint": report.fingerprint,
        "alpha": _number(report.alpha),
        "overall": report.overall.value,
        "headline": headline(report),
        "checks": [_check(check) for check in sorted(report.checks, key=check_order)],
        "metric_order": list(metric_names(report)),
        "cohorts": _cohorts(report.cohorts),
        "watch_list": [
            {"cohort": item.cohort, "metric": item.metric, "e_value": _number(item.e_value)}
            for item in report.watch_list
        ],
        "shared_versions": None if report.shared is None else _shared(report.shared),
        "calibration": None if report.calibration is None else calibration_to_dict(report.calibration, by_cohort=False),
        "evidence": _plain(asdict(report.evidence)),
    }


def _plain(value: object) -> Any:  # noqa: ANN401 (what JSON holds)
    """What dataclasses hold, as JSON holds it."""
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return _number(value)
    return value.isoformat() if isinstance(value, date) else value


def _cohorts(cohorts: Iterable[CohortResult]) -> list[dict[str, Any]]:
    return [_cohort(cohort) for cohort in sorted(cohorts, key=lambda each: each.cohort)]


def _shared(shared: SharedVersions) -> dict[str, Any]:
    return {
        "checks": sorted(shared.fields),
        "kept": {
            cohort: {arm: _number(share) for arm, share in sorted(arms.items())}
            for cohort, arms in sorted(shared.kept.items())
        },
        "cohorts": _cohorts(shared.cohorts),
    }


def calibration_to_dict(found: Calibration, *, by_cohort: bool) -> dict[str, Any]:
    """What a calibration found, as plain dictionaries and lists; a report leaves the single cohorts out."""
    return {
        "as_of": iso(found.as_of),
        "splits": found.splits,
        "injections": found.injections,
        "seed": found.seed,
        "split_by": found.split_by,
        "candidate_share": _number(found.candidate_share),
        "days": found.days,
        "traces": found.traces,
        "false_regressed": _number(found.false_regressed),
        "false_improved": _number(found.false_improved),
        "upper_limit": _number(found.upper_limit),
        "metrics": [_calibration_row(row, by_cohort=by_cohort) for row in found.metrics],
    }


def _calibration_row(row: CalibrationRow, *, by_cohort: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "metric": row.metric,
        "margins": _number(row.margins),
        "false_alarms": _number(row.false_alarms),
        "false_improvements": _number(row.false_improvements),
        "injected": _number(row.injected),
        "unit": row.unit,
        "found": _number(row.found),
        "median_day": row.median_day,
        "smallest_traffic": _number(row.smallest_traffic),
        "missed": _number(row.missed),
    }
    if not by_cohort:
        return told
    cells = [
        {
            "cohort": cell.cohort,
            "traces_per_day": _number(cell.traces_per_day),
            "false_alarms": _number(cell.false_alarms),
            "injected": _number(cell.injected),
            "found": _number(cell.found),
            "median_day": cell.median_day,
            "missed": _number(cell.missed),
        }
        for cell in row.cohorts
    ]
    return {**told, "cohorts": cells}


def _check(check: Check) -> dict[str, Any]:
    return {
        "check": check.check,
        "cohort": check.cohort,
        "status": str(check.status),
        "detail": check.detail,
        "metrics": None if check.metrics is None else sorted(check.metrics),
    }


def _cohort(cohort: CohortResult) -> dict[str, Any]:
    return {
        "cohort": cohort.cohort,
        "decision": cohort.decision.value,
        "reason": cohort.reason,
        "traces": {arm: int(cohort.traces[arm]) for arm in sorted(cohort.traces)},
        "pooled": list(cohort.pooled),
        "metrics": [metric_to_dict(result) for result in sorted(cohort.metrics, key=lambda each: each.metric)],
    }


def metric_to_dict(result: MetricResult) -> dict[str, Any]:
    """One metric of one cohort, as plain dictionaries and lists."""
    return {
        "metric": result.metric,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "base": _arm(result.base),
        "candidate": _arm(result.candidate),
        "effect": _number(result.effect),
        "interval": None if result.interval is None else [_number(bound) for bound in result.interval],
        "margin": _number(result.margin),
        "unit": result.unit,
        "p_value": _number(result.p_value),
        "more_traces_needed": None if result.more_traces_needed is None else int(result.more_traces_needed),
        "smallest_detectable": _number(result.smallest_detectable),
        "exemplars": {arm: list(result.exemplars[arm]) for arm in sorted(result.exemplars)},
        "maturity": None if result.maturity is None else _maturity(result.maturity),
        "days_needed": result.days_needed,
        "composition": None if result.composition is None else _composition(result.composition),
        "alert_raised_on": None if result.alert_raised_on is None else result.alert_raised_on.isoformat(),
        "attribution": None if result.attribution is None else _attribution(result.attribution),
    }


def _composition(parts: Composition) -> dict[str, Any]:
    return {
        "raw": _number(parts.raw),
        "within": _number(parts.within),
        "mix": _number(parts.mix),
        "reversed": parts.reversed,
    }


def _attribution(found: Attribution) -> dict[str, Any]:
    return {
        "summary": found.summary,
        "begins_at": None if found.begins_at is None else _step(found.begins_at),
        "steps": [_step(step) for step in found.steps],
        "strata": [
            {
                "stratum": part.stratum,
                "base": _arm(part.base),
                "candidate": _arm(part.candidate),
                "share": _number(part.share),
            }
            for part in found.strata
        ],
        "exemplars": {arm: list(found.exemplars[arm]) for arm in sorted(found.exemplars)},
    }


def _step(step: StepDifference) -> dict[str, Any]:
    return {
        "step": step.step,
        "stage": step.stage,
        "symptom": step.symptom,
        "base": _number(step.base),
        "candidate": _number(step.candidate),
        "unit": step.unit,
        "e_value": _number(step.e_value),
        "beyond_chance": step.beyond_chance,
        "share": _number(step.share),
    }


def _maturity(state: MaturityState) -> dict[str, Any]:
    return {
        "window_hours": _number(state.window_hours),
        "source": state.source,
        "detail": state.detail,
        "coverage": {arm: _number(state.coverage[arm]) for arm in sorted(state.coverage)},
        "next_verdict_at": None if state.next_verdict_at is None else iso(state.next_verdict_at),
    }


def _arm(side: ArmValue) -> dict[str, Any]:
    return {"n": int(side.n), "value": _number(side.value)}


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
