"""What may differ in a step between the arms, and whether it differs beyond chance.

Every symptom is a value of each trace of a cell, whether its step ran or not: what a model does decides which steps
run, and a comparison of only those traces would compare different requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.metrics import MetricKind
from analytics.stats.contrast import RATIO_SCALES, mean_difference
from analytics.stats.evidence import (
    EXCESS_SCALES,
    MINIMUM_EVENTS,
    Evidence,
    mean_evidence,
    rate_evidence,
)
from analytics.stats.multiplicity import holm
from analytics.steps import APPLICATION
from analytics.value_sums import value_sums
from analytics.values import tail_share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analytics.metrics import Metric
    from analytics.stats.sums import BoolArray, FloatArray, TwoArmSums
    from analytics.steps import Steps

FAMILY_LEVEL = 0.05
"""Chance of naming any step of a cell in which none differs."""

LARGEST_EXCESS = 2.0
_CAP = 0.995
_AT_ONCE = 16

ADDITIVE = {
    "latency_ms": "own_ms",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cost_usd": "cost_usd",
}
"""Column of the traces frame → the measure of steps that adds up to it."""

_FAILURES = {
    "errors": ("traces with an error", "had an error in {candidate} of traces (base {base})"),
    "empty": ("traces with an empty search", "found nothing in {candidate} of traces (base {base})"),
    "blocked": ("traces blocked", "blocked {candidate} of traces (base {base})"),
    "cut_off": ("traces with output cut off", "had its output cut off in {candidate} of traces (base {base})"),
    "filtered": ("traces with output filtered", "had its output filtered in {candidate} of traces (base {base})"),
    "retries": ("traces with a retry", "was tried again in {candidate} of traces (base {base})"),
    "fallbacks": ("traces with a fallback", "fell back to another model in {candidate} of traces (base {base})"),
}
_AMOUNTS = {
    "own_ms": ("own time per trace", "ms", "took {candidate} of a trace (base {base})"),
    "input_tokens": ("input tokens per trace", "tokens", "read {candidate} a trace (base {base})"),
    "output_tokens": ("output tokens per trace", "tokens", "wrote {candidate} a trace (base {base})"),
    "cost_usd": ("cost per trace", "usd", "cost {candidate} a trace (base {base})"),
}


@dataclass(frozen=True)
class Symptom:
    """One thing that may differ in one step.

    Attributes:
        step: the step.
        measure: the column of the step frame, or the evaluator, that it is of.
        name: how it is called.
        phrase: a part of a sentence with the places ``{base}`` and ``{candidate}``.
        unit: "rate", "ms", "usd", "tokens" or "count".
        kind: how it is tested: RATE, MEAN or TAIL.
        values: of each trace.
        known: which traces have a value.
        fails: whether it is a failure of the step, and not only how much of it there was.
        sign: 1.0 where more of it is worse, -1.0 where less is.
        quantile: of the metric, for a TAIL.
    """

    step: str
    measure: str
    name: str
    phrase: str
    unit: str
    kind: MetricKind
    values: FloatArray
    known: BoolArray
    fails: bool = False
    sign: float = 1.0
    quantile: float | None = None

    def mean(self, weight: FloatArray) -> float:
        """The share or mean by the traces' weights; 0 where no trace with a value has any."""
        weights = np.where(self.known, weight, 0.0)
        total = float(weights.sum())
        # Not a dot product, whose digits depend on the number of threads.
        return float((weights * self.values).sum()) / total if total else 0.0

    def shown_by(self, base: BoolArray) -> BoolArray:
        """Which traces show it: those in which it happened, or in which there was more of it than usual in the base."""
        if self.kind is MetricKind.RATE:
            return self.known & ((self.values > 0) if self.sign > 0 else (self.values <= 0))
        usual = self.values[base & self.known]
        if not len(usual):
            return np.zeros_like(self.known)
        return self.known & (self.sign * self.values > self.sign * np.median(usual))


@dataclass(frozen=True)
class Tested:
    """A symptom and what its test says.

    Attributes:
        symptom: what was tested.
        log_e: the most evidence that any look gave that it is worse in the candidate.
        beyond_chance: whether it differs, over all symptoms of the cell.
    """

    symptom: Symptom
    log_e: float
    beyond_chance: bool


def symptoms(steps: Steps, place: pl.DataFrame, metric: Metric) -> Iterator[Symptom]:
    """What may differ in each step that could make a metric worse.

    Whether there is enough of it to test is decided without looking at the arms.

    Args:
        steps: of the cell's traces.
        place: ``trace_id`` and ``place``, the trace's number among the cell's.
        metric: the metric that is worse.
    """
    of_steps = steps.by_trace.join(place, on="trace_id").partition_by("step", as_dict=True)
    judged = steps.judgements.join(place, on="trace_id").sort("step", "name")
    for step in steps.stages:
        rows = of_steps.get((step,))
        if rows is None:
            continue
        part = _Part(step, rows, place.height)
        found = [*part.amounts(metric)]
        if step != APPLICATION:
            found += [*part.failures(), *part.judgements(judged), *part.runs(metric)]
        yield from (symptom for symptom in found if _enough(symptom))


@dataclass(frozen=True)
class _Part:
    """What is known of one step, and of how many traces."""

    step: str
    rows: pl.DataFrame
    traces: int

    def _spread(self, column: str) -> tuple[FloatArray, BoolArray]:
        """A measure for every trace, 0 where the step did not run, and where it is known."""
        values, known = np.zeros(self.traces), np.ones(self.traces, dtype=np.bool_)
        at = self.rows["place"].to_numpy()
        measured = self.rows[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
        values[at] = np.nan_to_num(measured)
        known[at] = np.isfinite(measured)
        return values, known

    def failures(self) -> Iterator[Symptom]:
        for measure, (name, phrase) in _FAILURES.items():
            values, known = self._spread(measure)
            some = np.minimum(values, 1.0)
            yield Symptom(self.step, measure, name, phrase, "rate", MetricKind.RATE, some, known, fails=True)

    def judgements(self, judged: pl.DataFrame) -> Iterator[Symptom]:
        """What evaluators said of the step, in the traces in which they said something."""
        for (evaluator,), said in judged.filter(pl.col("step") == self.step).group_by("name", maintain_order=True):
            values, known = np.zeros(self.traces), np.zeros(self.traces, dtype=np.bool_)
            at = said["place"].to_numpy()
            values[at], known[at] = said["failed"].cast(pl.Float64).to_numpy(), True
            phrase = f"failed {evaluator} in {{candidate}} of traces (base {{base}})"
            name = f"{evaluator} failures"
            yield Symptom(self.step, str(evaluator), name, phrase, "rate", MetricKind.RATE, values, known, fails=True)

    def runs(self, metric: Metric) -> Iterator[Symptom]:
        """How often the step ran and what it found: for what makes answers bad both ways, for what costs only more."""
        rate = metric.kind is MetricKind.RATE
        calls, known = self._spread("calls")
        ran = np.minimum(calls, 1.0)
        phrase = "ran in {candidate} of traces (base {base})"
        for sign, name in ((1.0, "traces that ran it"), (-1.0, "traces that ran it, fewer"))[: 2 if rate else 1]:
            yield Symptom(self.step, "ran", name, phrase, "rate", MetricKind.RATE, ran, known, sign=sign)
        phrase = "was called {candidate} times a trace (base {base})"
        yield Symptom(self.step, "calls", "calls per trace", phrase, "count", MetricKind.MEAN, calls, known)
        documents, told = self._spread("documents")
        phrase = "found {candidate} documents a trace (base {base})"
        name = "documents per trace" + (", fewer" if rate else "")
        sign = -1.0 if rate else 1.0
        yield Symptom(self.step, "documents", name, phrase, "count", MetricKind.MEAN, documents, told, sign=sign)

    def amounts(self, metric: Metric) -> Iterator[Symptom]:
        """What adds up to the metric: time, tokens or cost."""
        measure = ADDITIVE.get(metric.column)
        if measure is None:
            return
        values, known = self._spread(measure)
        name, unit, phrase = _AMOUNTS[measure]
        kind = MetricKind.MEAN
        if metric.kind is MetricKind.TAIL:
            kind, name = MetricKind.TAIL, f"own time in the slowest {tail_in_words(metric)} of traces"
            phrase = f"took {{candidate}} in the slowest {tail_in_words(metric)} of traces (base {{base}})"
        yield Symptom(self.step, measure, name, phrase, unit, kind, values, known, quantile=metric.quantile)


def tail_in_words(metric: Metric) -> str:
    """The share of traces in the tested tail of a metric: "5 %"."""
    return f"{100 * tail_share(metric.quantile or 0.0):.3g} %"


def _enough(symptom: Symptom) -> bool:
    """Whether there is enough of a symptom in both arms together to test it."""
    values = symptom.values[symptom.known]
    some = int((values > 0).sum())
    if symptom.kind is MetricKind.RATE:
        both = symptom.measure == "ran"
        return some >= MINIMUM_EVENTS and (not both or len(values) - some >= MINIMUM_EVENTS)
    return some >= MINIMUM_EVENTS and bool(np.ptp(values) > 0) and (symptom.measure != "calls" or values.max() > 1)


def tested(found: Sequence[Symptom], traces: pl.DataFrame) -> tuple[Tested, ...]:
    """Test every symptom of a cell in the candidate against the base.

    The family of a cell's symptoms is held by Holm's procedure on anytime-valid p-values: where no step differs, one is
    named with a chance of at most :data:`FAMILY_LEVEL`, over all days of looking.

    Args:
        found: the symptoms.
        traces: the cell's, as :func:`analytics.value_sums.value_sums` reads them.
    """
    if not found:
        return ()
    log_e = np.zeros(len(found))
    for kind in MetricKind:
        of_kind = [index for index, symptom in enumerate(found) if symptom.kind is kind]
        for first in range(0, len(of_kind), _AT_ONCE):
            chosen = of_kind[first : first + _AT_ONCE]
            log_e[chosen] = _log_e([found[index] for index in chosen], kind, traces)
    beyond, _ = holm(np.exp(-log_e), np.ones(len(found)), FAMILY_LEVEL)
    return tuple(Tested(*each) for each in zip(found, log_e.tolist(), beyond.tolist(), strict=True))


def _log_e(chosen: Sequence[Symptom], kind: MetricKind, traces: pl.DataFrame) -> FloatArray:
    """The most evidence that any look gave for "worse", at least 0."""
    known = np.array([symptom.known for symptom in chosen])
    values = np.array([_limited(symptom) for symptom in chosen])
    sums = value_sums(traces, values, known)
    evidence = rate_evidence(sums) if kind is MetricKind.RATE else _mean(sums, kind)
    more = np.array([symptom.sign > 0 for symptom in chosen])
    directed = np.where(more[:, None], evidence.worse, evidence.better)
    return np.asarray(directed.max(axis=1, initial=0.0), dtype=np.float64)


def _mean(sums: TwoArmSums, kind: MetricKind) -> Evidence:
    scales = EXCESS_SCALES if kind is MetricKind.TAIL else RATIO_SCALES
    contrast = mean_difference(sums, scales, relative=True)
    return mean_evidence(sums, contrast, np.zeros(len(sums.base.n), dtype=np.intp))


def _limited(symptom: Symptom) -> FloatArray:
    """The tested values; limits on extreme ones are those of both arms together, which cannot tell the arms apart."""
    values = symptom.values
    if symptom.kind is MetricKind.RATE:
        return values
    if symptom.kind is MetricKind.MEAN:
        return np.minimum(values, np.quantile(values[symptom.known], _CAP))
    return excess(values, symptom.quantile or 0.0)


def excess(values: FloatArray, quantile: float) -> FloatArray:
    """Log excess of values over the lower end of the tested tail, among those above 0; at most 2."""
    some = values[values > 0]
    threshold = float(np.quantile(some, 1 - tail_share(quantile))) if len(some) else 1.0
    return np.clip(np.log(np.maximum(values, threshold) / threshold), 0.0, LARGEST_EXCESS)
