"""Where in the trace a regression begins, which strata carry it, and the traces that show it best.

Arms differ by chance and by the model alone where traffic was split at random, so a step that differs beyond chance
differs because of the candidate. That the first such step brings about the rest is read from the order of the trace and
from what is left of the difference where that step did not fail; it is no proof.
"""

from __future__ import annotations

from dataclasses import replace
from math import exp
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from analytics.exemplars import EXEMPLARS
from analytics.metrics import MetricKind
from analytics.regressed_cell import Cell
from analytics.report import formatting
from analytics.report.model import Attribution, CohortResult, StepDifference, Verdict
from analytics.report.text import name as fit
from analytics.strata_parts import Parts, strata_parts
from analytics.symptoms import ADDITIVE, Symptom, Tested, symptoms, tail_in_words, tested
from analytics.unit_days import ONE, fixed_point
from analytics.values import ARMS, tail_share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from analytics.metrics import Metric
    from analytics.stats.sums import BoolArray, FloatArray
    from analytics.steps import Steps, StepsOf

MOST_CELLS = 50
"""Most regressed cells of a report that are looked into, those with the most evidence first."""

_FOLLOWS = 0.5
_TOLD_FROM = 0.2
_SHARE_TOLD_FROM = 0.1
_SAME = 0.98
_LEAST_SHARE = 0.01
_REST = "other steps"
_STAGE_STEPS = ("planner", "answer", "repair", "application")
# Beyond this a number has no room for it, and nobody a use.
_MOST_LOG_E = 700.0


def with_attribution(
    cohorts: tuple[CohortResult, ...],
    window: pl.DataFrame,
    steps: StepsOf | None,
    metrics: Sequence[Metric],
    *,
    as_of: datetime,
    by_day: bool = False,
) -> tuple[CohortResult, ...]:
    """Say of each regressed metric where in the trace it begins and who carries it.

    Args:
        cohorts: as they were judged.
        window: the traces frame that they were judged on.
        steps: what the steps of its traces can be found from; None where traces have none.
        metrics: those that were judged.
        as_of: only values that were final by then count (UTC, naive).
        by_day: whether the arms are times: days are then the units, as what happens on a day happens to all its traces.
    """
    regressed = sorted(
        (1.0 if result.p_value is None else result.p_value, cohort.cohort, result.metric)
        for cohort in cohorts
        for result in cohort.metrics
        if result.verdict is Verdict.REGRESSED
    )[:MOST_CELLS]
    chosen = {(cohort, metric) for _, cohort, metric in regressed}
    by_name = {metric.name: metric for metric in metrics}
    found = []
    for cohort in cohorts:
        asked = [result.metric for result in cohort.metrics if (cohort.cohort, result.metric) in chosen]
        if not asked:
            found.append(cohort)
            continue
        traces = window.filter((pl.col("cohort") == cohort.cohort) & pl.col("arm").is_in(ARMS))
        taken = None if steps is None else steps.of(traces["trace_id"].unique())
        found.append(
            replace(
                cohort,
                metrics=tuple(
                    replace(
                        result,
                        attribution=attribute(
                            Cell.of(traces, by_name[result.metric], as_of, by_day=by_day), taken, cohort.cohort
                        ),
                    )
                    if result.metric in asked
                    else result
                    for result in cohort.metrics
                ),
            )
        )
    return tuple(found)


def attribute(cell: Cell, steps: Steps | None, cohort: str) -> Attribution:
    """Find where the difference of one cell begins, who carries it, and what shows it.

    Args:
        cell: the cell.
        steps: of its traces; None where they have none.
        cohort: what to call it.
    """
    place = cell.traces.select("trace_id").with_row_index("place")
    results = () if steps is None else tested(tuple(symptoms(steps, place, cell.metric)), cell.traces)
    amounts = _amounts(cell, steps, place)
    origin = _origin([each for each in results if each.beyond_chance], cell, amounts)
    parts = strata_parts(cell.traces, cell.bad, cell.metric, steps)
    rows = () if steps is None else _rows(results, amounts, steps, cell)
    symptom = None if origin is None else origin.symptom
    begins_at = None
    if origin is not None and steps is not None:
        begins_at = _difference(origin, amounts, steps, cell)
    summary = _summary(cell, cohort, steps, results, symptom, amounts, parts)
    return Attribution(begins_at, rows, parts.strata, _exemplars(cell, symptom, parts.labels), summary)


def _origin(beyond: Sequence[Tested], cell: Cell, amounts: dict[str, _Amount]) -> Tested | None:
    """The earliest step that differs, accounts for a part of the difference, and does so of itself.

    A planner that is called again after a tool's failure runs more often too, and stands before the tool. How much of a
    step there was is therefore set aside where that hardly differs among traces alike in another step's failures.
    """
    telling = [each for each in beyond if _tells(each.symptom, cell, amounts)]
    failures = [each.symptom for each in telling if each.symptom.fails]
    of_its_own = [
        each
        for each in telling
        if each.symptom.fails
        or all(
            _left(each.symptom.values, each.symptom.known, other, cell) > _FOLLOWS
            for other in failures
            if other.step != each.symptom.step
        )
    ]
    first = next(iter(of_its_own), None)
    if first is None:
        return None
    same_step = [each for each in of_its_own if each.symptom.step == first.symptom.step]
    # That a step was slow or dear says less than what made it so.
    explains = {id(each): _accounted(cell, each.symptom) >= _FOLLOWS for each in same_step if not _adds(each.symptom)}
    return max(same_step, key=lambda each: (explains.get(id(each), False), *_telling(each)))


def _telling(each: Tested) -> tuple[bool, float]:
    """A failure says more than how much of a step there was; then the evidence decides."""
    return each.symptom.fails, each.log_e


def _adds(symptom: Symptom) -> bool:
    """Whether the metric is the sum of it over the steps."""
    return symptom.measure in ADDITIVE.values()


def _tells(symptom: Symptom, cell: Cell, amounts: dict[str, _Amount]) -> bool:
    """Whether a symptom accounts for a part of the difference that is worth a word."""
    if _adds(symptom):
        return (amounts[symptom.step].share or 0.0) >= _SHARE_TOLD_FROM
    return _accounted(cell, symptom) >= _TOLD_FROM


def _accounted(cell: Cell, symptom: Symptom) -> float:
    """What share of the cell's difference goes with a symptom."""
    return 1.0 - _left(cell.bad, np.ones(len(cell.bad), dtype=np.bool_), symptom, cell)


def _left(values: FloatArray, known: BoolArray, symptom: Symptom, cell: Cell) -> float:
    """What share of a difference of means is left among traces alike in a symptom (Kitagawa, JASA 50, 1955).

    Of traces with a symptom that is not seen in one of the arms, nothing is left.
    """
    usable = known & symptom.known
    base, other = (np.where(usable, cell.weights[arm], 0.0) for arm in ARMS)
    if not base.any() or not other.any():
        return 1.0
    raw = np.average(values, weights=other) - np.average(values, weights=base)
    shows = symptom.shown_by(cell.arm("base"))
    within = 0.0
    for alike in (shows, ~shows):
        ours, theirs = np.where(alike, base, 0.0), np.where(alike, other, 0.0)
        if ours.any() and theirs.any():
            share = (ours.sum() / base.sum() + theirs.sum() / other.sum()) / 2
            within += share * (np.average(values, weights=theirs) - np.average(values, weights=ours))
    return float(within / raw) if raw else 1.0


class _Amount(NamedTuple):
    """What a step adds to a metric that steps add up to: the means of both arms, and its part of their difference."""

    base: float
    candidate: float
    share: float | None


def _amounts(cell: Cell, steps: Steps | None, place: pl.DataFrame) -> dict[str, _Amount]:
    """Each step's part of the difference of means; of a tail, of the means of both arms' slowest traces.

    The latter are the contributions to expected shortfall (Tasche, "Risk contributions and performance measurement",
    1999). Parts are null where the candidate's mean is not higher.
    """
    measure = ADDITIVE.get(cell.metric.column)
    if measure is None or steps is None:
        return {}
    raw = cell.traces["raw"].to_numpy()
    weights = {}
    for name in ARMS:
        weight = cell.weights[name]
        if cell.metric.kind is MetricKind.TAIL:
            least = np.quantile(raw[weight > 0], 1 - tail_share(cell.metric.quantile or 0.0))
            weight = np.where(raw >= least, weight, 0.0)
        weights[name] = weight
    whole = {name: float(weight.sum()) for name, weight in weights.items()}
    means = {name: float((weight * raw).sum()) / whole[name] for name, weight in weights.items()}
    total = means["candidate"] - means["base"]
    amount = pl.col(measure).cast(pl.Float64)
    # In fixed point: floating-point sums of groups depend on the number of threads.
    of_steps = (
        steps.by_trace.join(
            place.with_columns(**{name: pl.Series(of_arm) for name, of_arm in weights.items()}), on="trace_id"
        )
        .group_by("step")
        .agg(fixed_point(pl.col(name) * amount).sum() for name in ARMS)
        .sort("step")
        .select("step", *(pl.col(name).cast(pl.Float64) / ONE / whole[name] for name in ARMS))
    )
    return {
        step: _Amount(base, candidate, (candidate - base) / total if total > 0 else None)
        for step, base, candidate in of_steps.iter_rows()
    }


def _rows(
    results: Sequence[Tested], amounts: dict[str, _Amount], steps: Steps, cell: Cell
) -> tuple[StepDifference, ...]:
    """What differs beyond chance, the most telling of each step, and the steps that hold a part of the difference."""
    rows: list[StepDifference] = []
    rest = dict(amounts)
    for step in steps.stages:
        own = [each for each in results if each.symptom.step == step]
        others = [each for each in own if each.beyond_chance and not _adds(each.symptom)]
        if others:
            rows.append(_difference(max(others, key=_telling), {}, steps, cell))
        for each in own:
            if _adds(each.symptom) and (each.beyond_chance or abs(amounts[step].share or 0.0) >= _LEAST_SHARE):
                rows.append(_difference(each, amounts, steps, cell))
                del rest[step]
    adding = next((each.symptom for each in results if _adds(each.symptom)), None)
    if adding is not None and any(amount.base or amount.candidate for amount in rest.values()):
        sums = [
            sum(column)
            for column in zip(*((each.base, each.candidate, each.share or 0.0) for each in rest.values()), strict=True)
        ]
        share = sums[2] if any(each.share is not None for each in rest.values()) else None
        rows.append(
            StepDifference(
                _REST, "other", adding.name, sums[0], sums[1], adding.unit, 1.0, beyond_chance=False, share=share
            )
        )
    return tuple(rows)


def _difference(each: Tested, amounts: dict[str, _Amount], steps: Steps, cell: Cell) -> StepDifference:
    symptom = each.symptom
    base, candidate, share = _values(symptom, amounts, cell)
    return StepDifference(
        step=symptom.step,
        stage=steps.stages[symptom.step],
        symptom=symptom.name,
        base=base,
        candidate=candidate,
        unit=symptom.unit,
        e_value=exp(min(each.log_e, _MOST_LOG_E)),
        beyond_chance=each.beyond_chance,
        share=share,
    )


def _values(symptom: Symptom, amounts: dict[str, _Amount], cell: Cell) -> _Amount:
    """The values of both arms."""
    if _adds(symptom):
        return amounts[symptom.step]
    base, candidate = (symptom.mean(cell.weights[arm]) for arm in ARMS)
    return _Amount(base, candidate, None)


def _summary(
    cell: Cell,
    cohort: str,
    steps: Steps | None,
    results: Sequence[Tested],
    origin: Symptom | None,
    amounts: dict[str, _Amount],
    parts: Parts,
) -> str:
    """One sentence for a person; empty where there is nothing to say, as of traces without steps."""
    carried = parts.in_words()
    if origin is None:
        looked_into = steps is not None and bool(steps.stages)
        said = ["no step that differs beyond chance accounts for it"] if looked_into else []
        said += carried
        return f"In {fit(cohort)} {'; '.join(said)}." if said else ""
    base, candidate, _ = _values(origin, amounts, cell)
    written = {"base": formatting.value(base, origin.unit), "candidate": formatting.value(candidate, origin.unit)}
    said = [f"In {fit(cohort)} it begins at {_called(origin.step)}, which {origin.phrase.format(**written)}"]
    said += _followed(cell, origin, results)
    shares = {step: amount.share for step, amount in amounts.items() if amount.share is not None}
    if shares:
        most = max(shares, key=lambda step: shares[step])
        tail = (
            f" among the slowest {tail_in_words(cell.metric)} of traces" if cell.metric.kind is MetricKind.TAIL else ""
        )
        where = "it" if most == origin.step else _called(most)
        said.append(f"{where} holds {100 * min(shares[most], 1.0):.0f} % of the difference of the means{tail}")
    return "; ".join([*said, *carried]) + "."


def _called(step: str) -> str:
    return f"the {fit(step)}" if step.partition(" of ")[0] in _STAGE_STEPS else fit(step)


def _followed(cell: Cell, origin: Symptom, results: Sequence[Tested]) -> list[str]:
    """What of the metric, and which failure of a later step, goes with the first failure."""
    if _adds(origin):
        return []
    said = []
    same = float(((cell.bad > 0) == (origin.values > 0))[origin.known].mean())
    if cell.metric.kind is not MetricKind.RATE or same < _SAME:
        said.append(f"such traces account for {100 * min(_accounted(cell, origin), 1.0):.0f} % of the difference")
    later = [
        each
        for each in results
        if each.beyond_chance
        and each.symptom.fails
        and each.symptom.step != origin.step
        and _left(each.symptom.values, each.symptom.known, origin, cell) <= _FOLLOWS
    ]
    if later:
        symptom = max(later, key=lambda each: each.log_e).symptom
        said.append(f"{symptom.name} at {_called(symptom.step)} go with it")
    return said


def _exemplars(cell: Cell, symptom: Symptom | None, labels: pl.Series) -> dict[str, list[str]]:
    """The candidate's traces that show it best, and for each a base trace of the like that went well.

    Ties are broken by trace id, so that the same data show the same traces.
    """
    base = cell.arm("base")
    has = np.zeros(len(cell.bad), dtype=np.bool_) if symptom is None else symptom.shown_by(base)
    frame = cell.traces.select("trace_id", "person", "arm").with_columns(
        bad=pl.Series(cell.bad), has=pl.Series(has), label=labels
    )
    candidates = frame.filter(pl.col("arm") == "candidate")
    if cell.metric.kind is MetricKind.RATE:
        candidates = candidates.filter(pl.col("bad") > 0)
    shown = candidates.sort("has", "bad", "trace_id", descending=[True, True, False]).head(EXEMPLARS)
    good = pl.col("bad") <= (0.0 if cell.metric.kind is MetricKind.RATE else pl.col("bad").median())
    well = frame.filter(pl.col("arm") == "base").filter(good & ~pl.col("has"))
    paired: list[str] = []
    for person, label in shown.select("person", "label").iter_rows():
        alike = well.filter(~pl.col("trace_id").is_in(paired)).sort(
            pl.col("person") != person, pl.col("label").ne_missing(label), "trace_id"
        )
        paired += alike["trace_id"].head(1).to_list()
    return {"base": paired, "candidate": shown["trace_id"].to_list()}
