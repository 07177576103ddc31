"""Rows T1 to T6, B1 and B2: traffic that leads a plain comparison astray, through the product's own aggregation."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache, partial

import numpy as np
import polars as pl
from criteria import Found, Options, parts, percent, spread
from ordinary_tests import first_look, naive_z
from power import LEVEL, shown
from scipy.special import ndtri

from analytics.before_after import judge_periods, periods
from analytics.cells import cells
from analytics.metric_tests import metric_test
from analytics.metrics import Metric
from analytics.promotions import BEFORE_AFTER, Promotion
from analytics.report.model import MetricResult, Verdict
from analytics.simulation.draw import MATURITY
from analytics.simulation.family import COST, Bools, Drawn, FamilySize, draw_family
from analytics.simulation.family_frame import FIRST_DAY, family_metrics, traces_frame
from analytics.simulation.family_sums import COST_PER_TRACE, family_sums
from analytics.simulation.scenarios import SCENARIOS, Scenario
from analytics.stats.evidence import Evidence
from analytics.stats.family import RESERVE
from analytics.stats.sums import FloatArray

_SEED = 4
_DAYS = 14
_TASKS = "task_completion"


def _evidence(frame: pl.DataFrame, metric: Metric) -> Evidence:
    """What a report's tests say of a metric of each cohort at every look."""
    as_of = FIRST_DAY + timedelta(days=_DAYS)
    found = cells(frame, frame.clear(), (metric,), as_of=as_of)
    return metric_test(metric, found.by_metric[metric.name]).evidence


def _shown(log_e: FloatArray) -> FloatArray:
    """The look at which each cohort is found at the level of one of 240 tests, from 1; infinite if never."""
    return first_look(log_e >= -np.log(LEVEL))


_WORSE_BY = 0.03


def _strata_part(scenario: Scenario, task: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """When each run is called worse: raw, and within strata."""
    number, runs = task
    size = FamilySize(per_day=(500,), families=runs)
    drawn = draw_family(scenario, [_SEED, number], size, (_TASKS,))
    if scenario.name == _IN_EACH_STRATUM:
        drawn = _worse_in_each_stratum(drawn, np.random.default_rng([_SEED, number, 1]))
    raw = family_sums(drawn, (_TASKS,))[_TASKS].evidence
    within = _evidence(traces_frame(drawn), family_metrics()[_TASKS])
    return _shown(raw.worse), _shown(within.worse)


_IN_EACH_STRATUM = "hidden-in-each-stratum"


def _worse_in_each_stratum(drawn: Drawn, rng: np.random.Generator) -> Drawn:
    """The candidate fails three points more often on easy and on hard requests alike."""
    failed = drawn.values[_TASKS] > 0
    usual = np.where(drawn.hard, *(failed[~drawn.candidate & (drawn.hard == hard)].mean() for hard in (True, False)))
    more = drawn.candidate & (rng.random(len(failed)) < _WORSE_BY / (1 - usual))
    return replace(drawn, values={_TASKS: (failed | more).astype(np.float64)})


def _strata(scenario: Scenario, options: Options) -> tuple[FloatArray, FloatArray]:
    found = spread(partial(_strata_part, scenario), parts(options.runs, 25), options.jobs)
    return np.concatenate([raw for raw, _ in found]), np.concatenate([within for _, within in found])


def t1(options: Options) -> list[Found]:
    """Equal models, another mix."""
    raw, within = (float(np.isfinite(looks).mean()) for looks in _strata(SCENARIOS["mix-shift"], options))
    return [
        Found(
            "T1",
            "only the mix shifts, 30 → 55 % hard requests, 500 a day: false REGRESSED",
            "at most 1.0 %",
            f"{percent(within)} within strata (raw {percent(raw)})",
            within <= 0.01,
        )
    ]


def t2(options: Options) -> list[Found]:
    """A regression under an easier mix."""
    hidden = SCENARIOS["hidden-regression"]
    at_base_mix = _strata(hidden, options)[1]
    raw, within = _strata(replace(hidden, name=_IN_EACH_STRATUM, added={}), options)
    share = float(np.isfinite(within).mean())
    return [
        Found(
            "T2",
            "3 points worse on easy and hard requests alike, hidden by an easier mix, 500 a day: found",
            "at least 0.80",
            f"{shown(within)} within strata (raw {shown(raw)}); 3 points worse at the base's mix, less within strata:"
            f" {shown(at_base_mix)}",
            share >= 0.80,
        )
    ]


_LATE = "reopened"


def _late_part(number: int) -> tuple[bool, bool]:
    """Whether one run is called better: by labels that had time to come, and by a naive z of what had come."""
    scenario = replace(SCENARIOS["aa-before-after"], day_shock=0.0)
    drawn = draw_family(scenario, [_SEED, number], FamilySize(per_day=(1_500,), days=_DAYS), (_LATE,))
    result = _judged(traces_frame(drawn).drop("stratum"), family_metrics()[_LATE], 0.05)
    failed, days = drawn.values[_LATE] > 0, drawn.days
    delay = np.random.default_rng([_SEED, number, 1]).exponential(MATURITY[_LATE].days / 5, len(failed))
    # By the end of each day, which traces had come, and which of their labels.
    came = drawn.day[failed] + np.minimum(delay[failed], MATURITY[_LATE].days)
    labelled = [
        np.bincount(drawn.candidate[failed & (drawn.day <= look)], came[drawn.day[failed] <= look] <= look + 1, 2)
        for look in range(scenario.days_before, days)
    ]
    total = [np.bincount(drawn.candidate[drawn.day <= look], minlength=2) for look in range(scenario.days_before, days)]
    n, y = np.array(total, dtype=np.float64), np.array(labelled)
    rate = y / n
    z = (rate[:, 1] - rate[:, 0]) / np.sqrt((rate * (1 - rate) / n).sum(axis=1))
    return result.verdict is Verdict.IMPROVED, bool((z <= ndtri(0.05)).any())


def t4(options: Options) -> list[Found]:
    """Labels that come late, where the candidate's traces are the younger ones."""
    found = np.array(spread(_late_part, range(options.runs), options.jobs))
    ours, naive = (float(share) for share in found.mean(axis=0))
    return [
        Found(
            "T4",
            "late labels, before/after, equal models, 1,500 a day, alpha .05: false IMPROVED",
            "at most 1.0 %",
            f"{percent(ours)} (counting what has come, naive z with peeks {percent(naive)})",
            ours <= 0.01,
        )
    ]


_SAMPLED = (_TASKS, "error", COST)
_KEPT = 0.2


def _sampled_part(task: tuple[int, int]) -> tuple[Bools, Bools]:
    """Whether each run has a false verdict, unweighted and weighted."""
    number, runs = task
    size = FamilySize(per_day=(5_000,), families=runs)
    drawn = draw_family(SCENARIOS["aa"], [_SEED, number], size, _SAMPLED)
    # The candidate's collector keeps every error and every dear trace, and a fifth of the others.
    worth_keeping = (drawn.values["error"] > 0) | (drawn.values[COST] > np.quantile(drawn.values[COST], 0.9))
    probability = np.where(drawn.candidate & ~worth_keeping, _KEPT, 1.0)
    rng = np.random.default_rng([_SEED, number, 1])
    kept = pl.Series(rng.random(len(probability)) < probability)
    frame = traces_frame(drawn).drop("stratum").with_columns(keep_probability=probability).filter(kept)
    metrics = [family_metrics()[name] for name in (_TASKS, "error", COST_PER_TRACE)]

    def false_verdict(sampled: pl.DataFrame) -> Bools:
        found = [_evidence(sampled, metric) for metric in metrics]
        sides = [np.isfinite(_shown(side)) for one in found for side in (one.worse, one.better)]
        return np.asarray(np.any(sides, axis=0), dtype=np.bool_)

    return false_verdict(frame.drop("keep_probability")), false_verdict(frame)


def t6(options: Options) -> list[Found]:
    """Tail sampling in one arm."""
    found = spread(_sampled_part, parts(options.runs, 4), options.jobs)
    plain, weighted = (float(np.concatenate([part[side] for part in found]).mean()) for side in (0, 1))
    return [
        Found(
            "T6",
            "the candidate's errors and dear traces are all kept, a fifth of the others, 5,000 a day: false verdict on"
            " tasks, errors or cost",
            "at most 1.0 %",
            f"{percent(weighted)} weighted (unweighted {percent(plain)})",
            weighted <= 0.01,
        )
    ]


_CHANGED_AT = FIRST_DAY + timedelta(days=SCENARIOS["aa-before-after"].days_before)


def _judged(frame: pl.DataFrame, metric: Metric, alpha: float) -> MetricResult:
    """What a report says of the cohort that changed, on the last day."""
    as_of = _CHANGED_AT + timedelta(days=_DAYS)
    promotion = Promotion("", "", "", BEFORE_AFTER, _CHANGED_AT, None, None, None)
    found = periods(frame.with_columns(start_time="end_time"), promotion)
    judged = judge_periods(found, (metric,), promotion=promotion, as_of=as_of, alpha=alpha / (1 - RESERVE), checks=())
    return judged.cohorts[0].metrics[0]


def _steps_part(name: str, number: int) -> tuple[float, ...]:
    """The day on which one run is called worse, by days alone, with controls, and by a naive z with peeks."""
    scenario = SCENARIOS[name]
    size = FamilySize(per_day=(500.0,) * (1 + scenario.controls), days=_DAYS)
    drawn = draw_family(scenario, [_SEED, number], size, (_TASKS,))
    frame, metric = traces_frame(drawn).drop("stratum"), family_metrics()[_TASKS]
    alone = frame.filter(cohort=frame["cohort"].min())
    days = [_day(_judged(rows, metric, LEVEL).alert_raised_on) for rows in (alone, frame)]
    z = naive_z(family_sums(drawn, (_TASKS,))[_TASKS])[0, scenario.days_before :]
    return *days, float(first_look((z >= -ndtri(0.05))[None])[0])


def _day(raised: date | None) -> float:
    return np.inf if raised is None else float((raised - _CHANGED_AT.date()).days + 1)


@lru_cache
def _steps(options: Options, scenario: str) -> FloatArray:
    """Shape (methods, runs)."""
    return np.array(spread(partial(_steps_part, scenario), range(options.runs), options.jobs)).T


def b1(options: Options) -> list[Found]:
    """Equal models before and after, on days that differ by themselves."""
    days = _steps(options, "aa-before-after-controls")
    alone, controlled, naive = (float(np.isfinite(of_method).mean()) for of_method in days)
    return [
        Found(
            "B1",
            "before/after, equal models, strong common shocks (2.4 points a day), 500 a day: false REGRESSED",
            "at most 1.0 %",
            f"{percent(alone)} by days, {percent(controlled)} with 4 controls"
            f" (naive z at 5 % with peeks {percent(naive)})",
            max(alone, controlled) <= 0.01,
        )
    ]


def b2(options: Options) -> list[Found]:
    """A regression of five points before and after."""
    alone, controlled, _ = _steps(options, "before-after-shift")
    share, median = float(np.isfinite(controlled).mean()), float(np.median(controlled))
    return [
        Found(
            "B2",
            "before/after, 5 points worse, shocks of 1.2 points, 500 a day, 28 days before, 4 controls: found",
            "at least 0.90, by day 6",
            f"{shown(controlled)} (no controls {shown(alone)})",
            share >= 0.90 and median <= 6,
        )
    ]
