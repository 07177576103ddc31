"""Rows T3 and T5: drift and lost scores, which have to be noticed before anything is compared."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from criteria import Found, Options, parts, percent, spread
from ordinary_tests import first_look
from power import LEVEL

from analytics.cells import cells
from analytics.evaluator_checks import EvaluatorContext, evaluator_checks
from analytics.metric_tests import metric_test
from analytics.missing_scores import score_losses, within_bounds
from analytics.report.model import CheckStatus, Verdict
from analytics.shared_versions import shared_traces
from analytics.simulation.family import TASKS, FamilySize, draw_family
from analytics.simulation.family_frame import FIRST_DAY, family_metrics, traces_frame
from analytics.simulation.scenarios import EVALUATORS, SCENARIOS
from analytics.stats.sums import BoolArray
from analytics.validity.versions import versions
from analytics.verdict import judge

_SEED = 5
_DAYS = 14
_AT_A_TIME = 20


def _frame(scenario: str, task: tuple[int, int]) -> pl.DataFrame:
    number, runs = task
    size = FamilySize(per_day=(500,), families=runs, days=_DAYS)
    return traces_frame(draw_family(SCENARIOS[scenario], [_SEED, number], size, (TASKS,))).drop("stratum")


def _called_worse(frame: pl.DataFrame) -> BoolArray:
    """Whether each cohort is called worse at any look, at the level of one of 240 tests."""
    metric = family_metrics()[TASKS]
    found = cells(frame, frame.clear(), (metric,), as_of=FIRST_DAY + timedelta(days=_DAYS))
    evidence = metric_test(metric, found.by_metric[metric.name]).evidence
    return np.isfinite(first_look(evidence.worse >= -np.log(LEVEL)))


def _by_cohort(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(str(name), part) for (name,), part in frame.group_by("cohort", maintain_order=True)]


def _prompts(task: tuple[int, int]) -> tuple[int, int, int]:
    """Runs in which the check fails, and in which the candidate is called worse, on all and on shared versions."""
    frame = _frame("prompt-drift", task).with_columns(stratum=pl.lit(None, dtype=pl.String))
    checks = [check for cohort, part in _by_cohort(frame) for check in versions(cohort, part)]
    fired = sum(check.check == "prompt_version" and check.status is CheckStatus.FAIL for check in checks)
    shared = shared_traces(frame, checks)
    on_shared = 0 if shared is None else int(_called_worse(shared.traces).sum())
    return fired, int(_called_worse(frame).sum()), on_shared


def _evaluators(task: tuple[int, int]) -> tuple[int, int]:
    """Runs in which the check fails, and in which the candidate would be called worse."""
    frame = _frame("evaluator-drift", task)
    evaluations = frame.select(
        "trace_id",
        name=pl.lit(EVALUATORS[TASKS]),
        evaluator_version=pl.when(pl.col("arm") == "candidate").then(pl.lit("2")).otherwise(pl.lit("1")),
    )
    fired = 0
    for cohort, part in _by_cohort(frame):
        found = evaluator_checks(cohort, part, evaluations, EvaluatorContext())
        fired += any(check.check == "evaluator_version" and check.status is CheckStatus.FAIL for check in found)
    return fired, int(_called_worse(frame).sum())


def t3(options: Options) -> list[Found]:
    """Another prompt, and another evaluator, in the candidate's arm."""
    fired, raw, shared = np.sum(spread(_prompts, parts(options.runs, _AT_A_TIME), options.jobs), axis=0) / options.runs
    noticed, would = np.sum(spread(_evaluators, parts(options.runs, _AT_A_TIME), options.jobs), axis=0) / options.runs
    return [
        Found(
            "T3",
            "40 % of the candidate's traffic has another prompt: the check fails; false REGRESSED on shared versions",
            "100.0 %; at most 1.0 %",
            f"{percent(fired)}; {percent(shared)} (raw {percent(raw)})",
            fired == 1 and shared <= 0.01,
        ),
        Found(
            "T3",
            "the candidate is graded by a stricter evaluator: the check fails",
            "100.0 %",
            f"{percent(noticed)} (raw: false REGRESSED {percent(would)})",
            noticed == 1,
        ),
    ]


def _lost(task: tuple[int, int]) -> tuple[int, int, int, int]:
    """Runs in which the check fails by the last day; called good on any day; good by the scores that came; worse."""
    frame, metric = _frame("missing-scores", task), family_metrics()[TASKS]
    good: set[str] = set()
    plain: set[str] = set()
    fired = worse = 0
    for day in range(1, _DAYS + 1):
        as_of = FIRST_DAY + timedelta(days=day)
        known = frame.filter(pl.col("end_time") <= as_of)
        losses = score_losses(known, EvaluatorContext(as_of=as_of))
        checks = [loss.check() for loss in losses]
        found = cells(known, known.clear(), (metric,), as_of=as_of)
        said = within_bounds(judge(found, (metric,), checks=checks).cohorts, losses)
        is_good = (Verdict.IMPROVED, Verdict.NO_REGRESSION)
        good |= {each.cohort for each in said if each.metrics[0].verdict in is_good}
        unaware = judge(found, (metric,)).cohorts
        plain |= {each.cohort for each in unaware if each.metrics[0].verdict in is_good}
        fired = sum(check.status is CheckStatus.FAIL for check in checks)
        worse = sum(each.metrics[0].verdict is Verdict.REGRESSED for each in unaware)
    return fired, len(good), len(plain), worse


def t5(options: Options) -> list[Found]:
    """A regression whose failing scores get lost."""
    found = spread(_lost, parts(options.runs, _AT_A_TIME), options.jobs)
    fired, good, plain, worse = np.sum(found, axis=0)
    return [
        Found(
            "T5",
            f"3 points worse, 40 % of the candidate's failing scores lost, 500 a day, {options.runs} runs: said to be"
            " better or no worse on any of 14 days; the check fails by the last",
            "0; at least 99.0 %",
            f"{good}; {percent(fired / options.runs)} (by the scores that came: good in {plain}, worse in {worse})",
            good == 0 and fired >= 0.99 * options.runs,
        )
    ]
