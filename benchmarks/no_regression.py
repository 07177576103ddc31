"""Rows P9, N1, N2 and S1: pairs, the verdict "no regression" and its forecast, and what the engine costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace

import numpy as np
from criteria import Found, Options, markdown, parts, percent
from ordinary_tests import first_look, naive_z
from power import LEVEL, shown

from analytics.metrics import MetricKind
from analytics.simulation.family import FamilySize, draw_family
from analytics.simulation.family_pairs import Mirrored
from analytics.simulation.family_sums import MetricSums, family_sums
from analytics.simulation.scenarios import RATES, SCENARIOS, Scenario
from analytics.stats.assessment import Assessment, assess
from analytics.stats.contrast import rate_difference
from analytics.stats.evidence import Evidence, rate_evidence
from analytics.stats.family import NEVER, Members, Tested, anytime_p_values, family
from analytics.stats.sums import ArmSums, CrossSums, FloatArray, IndexArray, TwoArmSums

ALPHA = 0.05
_SEED = 3
_RUNS_AT_A_TIME = 100
_REQUEST_SHARE = 0.5
"""The request's share of what decides whether an answer fails, in mirrored pairs."""


def pairs(options: Options) -> list[Found]:
    """Mirrored requests: found as pairs, and as two arms."""
    size = FamilySize(per_day=(300,), families=options.runs)
    sums = Mirrored((RATES["task_completion"], 0.11), _REQUEST_SHARE).sums([_SEED, 0], size)
    nothing = CrossSums(*[np.zeros_like(sums.base.n)] * len(fields(CrossSums)))
    apart = replace(sums, pairs=None, cross=nothing)
    paired, unpaired = (first_look(rate_evidence(each).worse >= -np.log(LEVEL)) for each in (sums, apart))
    return [
        Found(
            "P9",
            "mirrored, task_completion 8 → 11 %, 300 pairs a day: found",
            "at least 0.90",
            f"{shown(paired)}; analysed as two arms {shown(unpaired)}",
            float(np.isfinite(paired).mean()) >= 0.90,
        )
    ]


def _nothing_shown(cells: int) -> Tested:
    """What a family says of cells of which nothing is shown: "no regression" is at the level of one cell."""
    none, never = np.zeros(cells, dtype=np.bool_), np.full(cells, NEVER, dtype=np.intp)
    level = np.full(cells, ALPHA)
    return Tested(none, level, never, none, level, never)


def _assessed(sums: TwoArmSums, margin: float) -> Assessment:
    """Cells of a rate as a report assesses them at the last look."""
    cells, looks = sums.base.n.shape
    nothing = Evidence(np.zeros((cells, looks)), np.zeros((cells, looks)))
    first = np.zeros(cells, dtype=np.intp)
    return assess(
        sums,
        rate_difference,
        nothing,
        _nothing_shown(cells),
        margin=np.full(cells, margin),
        first_look=first,
        alpha=ALPHA,
    )


def _is_within(sums: TwoArmSums, margin: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    found = _assessed(sums, margin)
    return found.ready & (found.high_alone < margin)


def _first_within(sums: TwoArmSums, margin: float) -> FloatArray:
    """The look at which each cell is first called free of a regression, from 1; infinite if never."""
    cells, looks = sums.base.n.shape
    every: IndexArray = np.arange(cells)
    said = [_is_within(sums.at(every[:, None], np.arange(look + 1)[None, :]), margin) for look in range(looks)]
    return first_look(np.array(said).T)


SETTINGS = (
    *(("task_completion", 0.02, per_day) for per_day in (200, 500, 1_500)),
    *(("tool_selection_accuracy", 0.0125, per_day) for per_day in (500, 1_500)),
    *(("json_validation", 0.01, per_day) for per_day in (200, 500)),
    *(("error", 0.01, per_day) for per_day in (60, 200, 500)),
)
"""Metric, margin, traces a day in each arm."""


def _rate(metric: str, added: float, task: tuple[int, int], per_day: float, days: int = 14) -> TwoArmSums:
    number, runs = task
    scenario = Scenario("", "", added={metric: added} if added else {})
    size = FamilySize(per_day=(per_day,), families=runs, days=days)
    return family_sums(draw_family(scenario, [_SEED, number], size, (metric,)), (metric,))[metric].sums


_TOLD: dict[Options, list[tuple[str, float, int, FloatArray, FloatArray]]] = {}


def _told(options: Options) -> list[tuple[str, float, int, FloatArray, FloatArray]]:
    """Per setting, when "no regression" is said of candidates worse by just the margin, and of equal ones."""
    if options not in _TOLD:
        _TOLD[options] = [
            (
                metric,
                margin,
                per_day,
                *(
                    np.concatenate(
                        [
                            _first_within(_rate(metric, added, task, per_day), margin)
                            for task in parts(runs, _RUNS_AT_A_TIME)
                        ]
                    )
                    for added, runs in ((margin, 4 * options.runs), (0.0, options.runs))
                ),
            )
            for metric, margin, per_day in SETTINGS
        ]
    return _TOLD[options]


def table(options: Options) -> str:
    """How often "no regression" is said within 14 days, by metric and traffic."""
    rows = [
        [
            f"{metric} {100 * RATES[metric]:g} %",
            f"{100 * margin:g}",
            f"{per_day:,}",
            percent(float(np.isfinite(at_margin).mean())),
            shown(equal),
        ]
        for metric, margin, per_day, at_margin, equal in _told(options)
    ]
    header = ("metric", "margin, points", "traces/day/arm", "said of one worse by the margin", "said of an equal one")
    return markdown(header, rows)


def n2(options: Options) -> list[Found]:
    """False "no regression" at a true difference of just the margin."""
    shares = [float(np.isfinite(at_margin).mean()) for *_, at_margin, _ in _told(options)]
    return [
        Found(
            "N2",
            f"`NO_REGRESSION` in 14 daily looks of a candidate worse by just the margin, {len(SETTINGS)} settings,"
            f" {4 * options.runs:,} runs each",
            "at most 3.0 % in each",
            f"{percent(min(shares))} to {percent(max(shares))}",
            max(shares) <= 0.03,
        )
    ]


_FORECASTS: Mapping[str, float] = {"task_completion": 0.02, "tool_selection_accuracy": 0.0125, "json_validation": 0.01}
_PER_LOOK, _LOOKS, _FIRST = 100, 300, 15


def n1(options: Options) -> list[Found]:
    """Whether the traces that a report asks for suffice, half the time."""
    reached, asked, beyond, by_then = 0, 0, 0, 0
    for metric, margin in _FORECASTS.items():
        for task in parts(options.runs, _RUNS_AT_A_TIME):
            sums = _rate(metric, 0.0, task, _PER_LOOK, _LOOKS)
            every: IndexArray = np.arange(len(sums.base.n))
            early = _assessed(sums.at(every[:, None], np.arange(_FIRST + 1)[None, :]), margin)
            open_ = ~(early.ready & (early.high_alone < margin)) & np.isfinite(early.needed)
            traces = sums.base.n + sums.candidate.n
            wanted = traces[:, _FIRST] + early.needed
            far = open_ & (wanted > traces[:, -1])
            beyond += int(far.sum())
            by_then += int((far & _is_within(sums, margin)).sum())
            chosen = np.flatnonzero(open_ & (wanted <= traces[:, -1]))
            supplied = (traces[chosen] >= wanted[chosen, None]).argmax(axis=1)
            reached += int(_is_within(sums.until(chosen, supplied), margin).sum())
            asked += len(chosen)
    share = reached / asked
    return [
        Found(
            "N1",
            f"equal models, open after {(_FIRST + 1) * _PER_LOOK:,} traces an arm: `NO_REGRESSION` once the traces that"
            " the report asks for have come",
            "50.0 % to 80.0 %",
            f"{percent(share)} of {asked}; {beyond} more asked for over {2 * _PER_LOOK * _LOOKS:,} traces, of which"
            f" {by_then} had it by then",
            0.5 <= share <= 0.8,
        )
    ]


def _many_cells(cells: int) -> MetricSums:
    """The rates of one family over and over, until there are so many cells."""
    found = family_sums(draw_family(SCENARIOS["aa"], [_SEED, 0], FamilySize(), tuple(RATES)), tuple(RATES))

    def repeated(pick: Callable[[TwoArmSums], FloatArray]) -> FloatArray:
        together = np.concatenate([pick(metric.sums) for metric in found.values()])
        return np.resize(together, (cells, together.shape[1]))

    def arm(name: str) -> ArmSums:
        return ArmSums(*(repeated(lambda sums, f=f: getattr(getattr(sums, name), f.name)) for f in fields(ArmSums)))  # type: ignore[misc]

    cross = CrossSums(*(repeated(lambda sums, f=f: getattr(sums.cross, f.name)) for f in fields(CrossSums)))  # type: ignore[misc]
    sums = TwoArmSums(arm("base"), arm("candidate"), cross)
    return MetricSums(MetricKind.RATE, sums, (sums.base.y, sums.candidate.y))


def s1(options: Options) -> list[Found]:
    """Processor time of the tests of many cells: evidence at every look, Holm, and what a report says of each."""
    cells = 10_000
    metric = _many_cells(cells)
    whole = Members(np.ones(cells, dtype=np.bool_), np.ones(cells), np.zeros(cells, dtype=np.intp))
    ours, naive = [], []
    for _ in range(max(3, min(7, options.runs))):
        started = time.process_time()
        evidence = metric.evidence
        (tested,) = family([anytime_p_values(evidence.worse)], [anytime_p_values(evidence.better)], [whole], ALPHA)
        assess(
            metric.sums,
            rate_difference,
            evidence,
            tested,
            margin=np.full(cells, 0.01),
            first_look=np.zeros(cells, dtype=np.intp),
            alpha=ALPHA,
        )
        ours.append(time.process_time() - started)
        started = time.process_time()
        naive_z(metric)
        naive.append(time.process_time() - started)
    taken, ratio = statistics.median(ours), statistics.median(np.divide(ours, naive))
    return [
        Found(
            "S1",
            f"{cells:,} cells, 14 looks: evidence, Holm at every look, intervals and forecasts; processor time",
            "at most 2.0 s",
            f"{taken:.2f} s; {ratio:.0f} times a naive z of the same cells",
            taken <= 2.0,
        )
    ]
