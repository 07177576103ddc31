"""Reports as an alert sees them."""

from __future__ import annotations

from datetime import date, datetime

from analytics.promotions import Promotion
from analytics.report.model import (
    Check,
    CohortResult,
    Decision,
    MetricResult,
    Report,
    Verdict,
)
from analytics.report.values import ArmValue

Cells = dict[str, dict[str, str]]

DAY = datetime(2026, 11, 10)


def build(
    cells: Cells,
    *,
    as_of: datetime = DAY,
    raised: frozenset[tuple[str, str]] = frozenset(),
    failed: tuple[Check, ...] = (),
    promotion: str = "refunds-v2",
) -> Report:
    """A report: cohort → metric → verdict; ``raised`` are the cells whose alarm is kept."""
    cohorts = []
    for cohort, verdicts in cells.items():
        results = tuple(
            MetricResult(
                metric,
                Verdict(verdict),
                f"Because of {metric}.",
                ArmValue(1000, 0.061),
                ArmValue(1000, 0.098),
                0.037,
                (0.024, 0.051),
                0.01,
                "rate",
                exemplars={"base": ["a" * 32], "candidate": ["b" * 32]},
                alert_raised_on=date(2026, 11, 9) if verdict == "REGRESSED" or (cohort, metric) in raised else None,
            )
            for metric, verdict in verdicts.items()
        )
        worst = Decision.HOLD
        if "REGRESSED" in verdicts.values():
            worst = Decision.ROLL_BACK
        elif set(verdicts.values()) <= {"NO_REGRESSION", "IMPROVED"}:
            worst = Decision.PROMOTE
        cohorts.append(CohortResult(cohort, worst, "Because.", {"base": 1000, "candidate": 1000}, results))
    overall = Verdict.REGRESSED if any(c.decision is Decision.ROLL_BACK for c in cohorts) else Verdict.INCONCLUSIVE
    return Report(
        promotion=Promotion(promotion, "m0", "m1", "concurrent", datetime(2026, 11, 2), None, "app.cohort", 0.5),
        generated_at=as_of,
        as_of=as_of,
        data_watermark=as_of,
        fingerprint="f" * 32,
        alpha=0.05,
        overall=overall,
        checks=failed,
        cohorts=tuple(cohorts),
    )
