"""Reports that a page must stand: one with a difference by mix, and one of many cohorts and metrics."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta

from analytics.evidence.asked import MOST_CELLS
from analytics.report.evidence import Attempts, DayValues, Distribution, Evidence, OverTime, Usage
from analytics.report.findings import findings
from analytics.report.model import (
    CohortResult,
    Composition,
    Decision,
    MetricResult,
    Report,
    Verdict,
    WatchItem,
)
from analytics.report.values import ArmValue

VERDICTS = (Verdict.NO_REGRESSION, Verdict.INCONCLUSIVE, Verdict.NO_REGRESSION, Verdict.REGRESSED, Verdict.INVALID)
PROBABILITIES = (0.01, *(place / 20 for place in range(1, 20)), 0.99, 0.999)


def with_mix(report: Report) -> Report:
    """The report with a cell to watch and a regression that is in part the arms' mix of strata."""
    *others, last = report.cohorts
    mixed = replace(last.metrics[1], composition=Composition(0.037, 0.05, -0.013, reversed=False))
    metrics = (last.metrics[0], mixed, *last.metrics[2:])
    watched = (WatchItem(others[0].cohort, others[0].metrics[0].metric, 31.0),)
    return replace(report, cohorts=(*others, replace(last, metrics=metrics)), watch_list=watched)


def of_many(report: Report, cohorts: int, metrics: int) -> Report:
    """A report of so many cohorts and metrics, every kind of verdict among them, with all evidence."""
    many = tuple(_cohort(cohort, metrics) for cohort in range(cohorts))
    large = replace(report, cohorts=many, checks=())
    names = [cohort.cohort for cohort in many]
    evidence = Evidence(
        over_time=tuple(
            _over_time(each.cohort, each.result) for each in findings(large, Verdict.REGRESSED)[:MOST_CELLS]
        ),
        distributions=tuple(
            _distribution(cohort, quantity, unit, scale, 0.01 * place)
            for place, cohort in enumerate(names)
            for quantity, unit, scale in (("latency", "ms", 900.0), ("cost", "usd", 0.0009))
        ),
        usage=tuple(
            Usage(cohort, arm, 1100, 0.00123 + 0.00001 * place, place, 812.0, 400.5, 212.4, None, 2.4)
            for place, cohort in enumerate(names)
            for arm in ("base", "candidate")
        ),
        attempts=tuple(
            Attempts(cohort, arm, 2400, 1.04, 60, 34, 5, 52, 8, 0.00004, 0, 0.025, 0.014, 0.002, 0.022, 0.003)
            for cohort in names
            for arm in ("base", "candidate")
        ),
    )
    return replace(large, evidence=evidence)


def _cohort(number: int, metrics: int) -> CohortResult:
    return CohortResult(
        f"cohort-{number:02}",
        Decision.ROLL_BACK if number % 3 else Decision.HOLD,
        "So it follows.",
        {"base": 1000 + number, "candidate": 990},
        tuple(_result(number, metric) for metric in range(metrics)),
    )


def _result(cohort: int, metric: int) -> MetricResult:
    effect = ((cohort * 7 + metric * 13) % 41 - 20) / 1000
    return MetricResult(
        metric=f"evaluator_{metric:02}_fail_rate",
        verdict=VERDICTS[(cohort + 3 * metric) % 23 % 5],
        reason=f"The rate went from 10.0 % to {100 * (0.1 + effect):.1f} %.",
        base=ArmValue(1000 + cohort, 0.1),
        candidate=ArmValue(990 + metric, 0.1 + effect),
        effect=effect,
        interval=(effect - 0.012, effect + 0.012),
        margin=0.02,
        unit="rate",
        exemplars={"candidate": [f"{cohort:016x}{metric:016x}"], "base": []},
    )


def _over_time(cohort: str, result: MetricResult) -> OverTime:
    days = []
    for day in range(14):
        wave = 1 + 0.15 * math.sin(2.0 * day)
        base, candidate = (
            ArmValue(70, None if side.value is None else side.value * wave) for side in (result.base, result.candidate)
        )
        # One day on which an arm had nothing.
        days.append(DayValues(date(2026, 11, 2) + timedelta(day), base, candidate if day != 5 else ArmValue(0, None)))
    return OverTime(cohort, result.metric, result.unit, tuple(days))


def _distribution(cohort: str, quantity: str, unit: str, scale: float, slower: float) -> Distribution:
    def curve(shape: float) -> tuple[float | None, ...]:
        return tuple(scale * math.exp(shape * math.sqrt(-math.log(1 - share))) for share in PROBABILITIES)

    base, candidate = curve(0.7), curve(0.8 + slower)
    return Distribution(
        cohort, quantity, unit, PROBABILITIES, base, (*candidate[:-1], None), {"base": 1102, "candidate": 1096}
    )
