"""Rows P1 to P8 and P10: how often a regression is found inside a family of 240 tests, and how soon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import our_tests
from criteria import Found, Options, markdown, parts, spread
from ordinary_tests import Fixed, first_look, pooled_z

from analytics.simulation.family import COST, LATENCY, FamilySize, draw_family
from analytics.simulation.family_sums import (
    COST_PER_TRACE,
    LATENCY_P50,
    LATENCY_P99,
    family_sums,
)
from analytics.simulation.scenarios import RATES, Scenario
from analytics.stats.sums import FloatArray

TESTS = 240
LEVEL = 0.05 / TESTS
FIXED = "fixed-n, day 14 only"
_LAST_DAY = Fixed(FIXED, pooled_z, peeks=False)
_TRACES_AT_A_TIME = 700_000
_SEED = 2
_DAYS = 14


@dataclass(frozen=True)
class Regression:
    """A change of one metric, with its traffic.

    Attributes:
        metric: of a family's metrics.
        size: candidate's rate, or what its slow-path traces or cost are multiplied by.
        per_day: traces a day in the base arm.
        share: the candidate's share of users.
        alone: whether every trace comes from a user of its own.
    """

    metric: str
    size: float
    per_day: int
    share: float = 0.5
    alone: bool = False

    @property
    def scenario(self) -> Scenario:
        """As a scenario."""
        if self.metric in RATES:
            return Scenario("", "", share=self.share, added={self.metric: self.size - RATES[self.metric]})
        if self.metric == COST_PER_TRACE:
            return Scenario("", "", share=self.share, token_factor=self.size)
        return Scenario("", "", share=self.share, slow_factor=self.size)

    @property
    def column(self) -> str:
        """What has to be drawn."""
        return {COST_PER_TRACE: COST, LATENCY_P99: LATENCY, LATENCY_P50: LATENCY}.get(self.metric, self.metric)

    def __str__(self) -> str:
        if self.metric in RATES:
            return f"{self.metric} {100 * RATES[self.metric]:g} → {100 * self.size:g} %"
        what = "cost" if self.metric == COST_PER_TRACE else "slow path"
        return f"{what} times {self.size:g}{', one trace a user' if self.alone else ''}"


def _part(regression: Regression, task: tuple[int, int]) -> Mapping[str, FloatArray]:
    """The look at which each method finds each of some runs, counted from 1; infinite if never."""
    number, runs = task
    size = FamilySize(per_day=(regression.per_day,), days=_DAYS, families=runs, alone=regression.alone)
    drawn = draw_family(regression.scenario, [_SEED, number], size, (regression.column,))
    metric = family_sums(drawn, (regression.metric,))[regression.metric]
    ours = {name: first_look(worse <= LEVEL) for name, (worse, _) in our_tests.p_values(metric).items()}
    return {FIXED: _LAST_DAY.first_found(metric, LEVEL), **ours}


@lru_cache
def looks_found(regression: Regression, runs: int, jobs: int) -> Mapping[str, FloatArray]:
    """Per method, the look at which each run was found."""
    traces = regression.per_day / (1 - regression.share) * _DAYS
    at_a_time = max(1, int(_TRACES_AT_A_TIME / traces))
    found = spread(partial(_part, regression), parts(runs, at_a_time), jobs)
    return {method: np.concatenate([part[method] for part in found]) for method in found[0]}


def shown(looks: FloatArray) -> str:
    """Share found and median day, "-" where half are not found."""
    median = float(np.median(looks))
    return f"{np.isfinite(looks).mean():.2f} ({f'{median:g}' if np.isfinite(median) else '-'})"


RATE_TABLE = (
    *(Regression("task_completion", rate, n) for rate, n in ((0.10, 500), (0.10, 1_500), (0.11, 200), (0.11, 500))),
    *(Regression("task_completion", rate, n) for rate, n in ((0.11, 1_500), (0.13, 200), (0.13, 500))),
    *(
        Regression("tool_selection_accuracy", rate, n)
        for rate, n in ((0.07, 500), (0.07, 1_500), (0.08, 200), (0.08, 500))
    ),
    *(Regression("json_validation", rate, n) for rate, n in ((0.03, 1_500), (0.04, 200), (0.04, 500), (0.07, 60))),
    Regression("thumbs_down", 0.05, 500),
    *(Regression("reopened", 0.05, n) for n in (200, 500)),
    *(Regression("error", rate, n) for rate, n in ((0.01, 1_500), (0.015, 200), (0.015, 500))),
    *(Regression("schema_repair", 0.06, n) for n in (200, 500)),
    *(Regression(COST_PER_TRACE, size, n) for size, n in ((1.1, 1_500), (1.2, 200), (1.2, 500), (1.2, 1_500))),
)
CANARY = tuple(
    Regression(metric, size, 1_500, 0.1)
    for metric, size in (
        ("task_completion", 0.13),
        ("task_completion", 0.11),
        ("json_validation", 0.05),
        ("error", 0.015),
        (COST_PER_TRACE, 1.2),
    )
)
TAIL_TABLE = tuple(
    Regression(LATENCY_P99, size, n, alone=alone)
    for alone in (True, False)
    for size, n in ((2, 1_500), (2, 5_000), (3, 200), (3, 500), (3, 1_500), (6, 200), (6, 500))
)


def table(options: Options) -> str:
    """Share found and median day, by regression and method."""
    rows = []
    methods: tuple[str, ...] = ()
    for regression in (*RATE_TABLE, *TAIL_TABLE, *CANARY):
        found = looks_found(regression, options.runs, options.jobs)
        methods = tuple(found)
        canary = f" + {regression.per_day / 9:.0f}" if regression.share != 0.5 else ""
        rows.append([str(regression), f"{regression.per_day:,}{canary}", *(shown(found[name]) for name in methods)])
    return markdown(("regression", "traces/day/arm", *methods), rows)


@dataclass(frozen=True)
class Bar:
    """How often, and by which median day, a regression has to be found.

    Attributes:
        regression: what is to be found.
        share: at least this share of the runs.
        day: median day at the latest; None for any.
        method: by which test.
    """

    regression: Regression
    share: float
    day: int | None = None
    method: str = our_tests.ANYTIME


_WORDS = {our_tests.ANYTIME: "open-ended", our_tests.SPLIT: "end declared"}

BARS: Mapping[str, tuple[Bar, ...]] = {
    "P1": (
        Bar(Regression("tool_selection_accuracy", 0.08, 500), 0.90, 8),
        Bar(Regression("tool_selection_accuracy", 0.08, 500), 0.97, method=our_tests.SPLIT),
    ),
    "P2": (
        Bar(Regression("task_completion", 0.11, 500), 0.60),
        Bar(Regression("task_completion", 0.11, 500), 0.82, method=our_tests.SPLIT),
    ),
    "P3": (
        Bar(Regression("task_completion", 0.11, 1_500), 0.99, 3),
        Bar(Regression("task_completion", 0.13, 500), 0.99, 4),
    ),
    "P4": (Bar(Regression("json_validation", 0.04, 500), 0.93, 8),),
    "P5": (Bar(Regression("error", 0.015, 500), 0.83, 10), Bar(Regression("schema_repair", 0.06, 500), 0.99, 5)),
    "P6": (Bar(Regression("reopened", 0.05, 500), 0.93, 11),),
    "P7": (
        Bar(Regression(COST_PER_TRACE, 1.2, 1_500), 0.99, 3),
        Bar(Regression(COST_PER_TRACE, 1.2, 500), 0.58),
        Bar(Regression(COST_PER_TRACE, 1.2, 500), 0.82, method=our_tests.SPLIT),
    ),
    "P8": (
        Bar(Regression(LATENCY_P99, 3, 1_500, alone=True), 0.98, 6),
        Bar(Regression(LATENCY_P99, 6, 200, alone=True), 0.90),
    ),
    "P10": (Bar(Regression("task_completion", 0.13, 1_500, 0.1), 0.90, 7),),
}


def row(code: str, options: Options) -> list[Found]:
    """The bars of one row."""
    return [_against(code, bar, options) for bar in BARS[code]]


def _against(code: str, bar: Bar, options: Options) -> Found:
    looks = looks_found(bar.regression, options.runs, options.jobs)[bar.method]
    share, median = float(np.isfinite(looks).mean()), float(np.median(looks))
    canary = ", 10 % canary" if bar.regression.share != 0.5 else ""
    return Found(
        code,
        f"{bar.regression}, {bar.regression.per_day:,} a day{canary}: found, {_WORDS[bar.method]}",
        f"at least {bar.share:.2f}" + ("" if bar.day is None else f", by day {bar.day}"),
        shown(looks),
        share >= bar.share and (bar.day is None or median <= bar.day),
    )
