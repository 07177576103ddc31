"""What a report shows beside its verdicts: the arms over time, their distributions, usage and attempt chains.

None of it takes part in a verdict; all of it helps a person to see why one was given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from analytics.report.values import ArmValue


@dataclass(frozen=True)
class DayValues:
    """Both arms on one day (UTC): the traces that began on it and whose value is final.

    An arm without such traces, or whose labels are not final yet, has the value None.
    """

    day: date
    base: ArmValue
    candidate: ArmValue


@dataclass(frozen=True)
class OverTime:
    """One metric of one cohort, day by day; for the cells that a reader will ask about.

    Attributes:
        cohort: its cohort.
        metric: its metric.
        unit: of the values: that of the cell's result.
        days: the days on which traces of either arm began, in order.
    """

    cohort: str
    metric: str
    unit: str
    days: tuple[DayValues, ...]


@dataclass(frozen=True)
class Distribution:
    """Quantile curves of both arms.

    Attributes:
        cohort: its cohort.
        quantity: what is distributed: "latency" or "cost" (per trace).
        unit: "ms" or "usd".
        probabilities: where the curves are read, ascending, between 0 and 1.
        base: the base arm's quantiles; None where the arm has too few traces for the place.
        candidate: the candidate arm's.
        n: arm → values: as many as the metrics of that quantity rest on.
    """

    cohort: str
    quantity: str
    unit: str
    probabilities: tuple[float, ...]
    base: tuple[float | None, ...]
    candidate: tuple[float | None, ...]
    n: dict[str, int]


@dataclass(frozen=True)
class Usage:
    """What one arm of a cohort used, per trace.

    Attributes:
        cohort: its cohort.
        arm: "base" or "candidate".
        traces: traces that had ended.
        cost: mean known cost of a trace (USD); None where no trace has a known one.
        unpriced: traces whose cost is unknown or known in part.
        input_tokens: mean; None where no trace reports them. So are the others.
        cache_read_tokens: mean of the input tokens that were read from a cache.
        output_tokens: mean.
        reasoning_tokens: mean of the output tokens that were reasoning.
        calls: mean number of model calls.
        n: mean → the traces it rests on: those that tell it.
    """

    cohort: str
    arm: str
    traces: int
    cost: float | None
    unpriced: int
    input_tokens: float | None
    cache_read_tokens: float | None
    output_tokens: float | None
    reasoning_tokens: float | None
    calls: float | None
    n: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempts:
    """How one arm's attempt chains of a cohort went.

    Attributes:
        cohort: its cohort.
        arm: "base" or "candidate": the model that started the trace's work.
        chains: attempt chains of the arm's traces.
        attempts: mean attempts per chain.
        retried: chains with a retry.
        repaired: chains with a schema repair.
        fell_back: chains with a fallback to another model.
        rescued: chains that a later attempt brought to a good end.
        failed: chains without a good end.
        extra_cost: known cost of all attempts but the last of each chain, as a mean over chains (USD); None where of
            no chain with several attempts it is known.
        unpriced: chains with several attempts of which that cost is not known in whole; with any, ``extra_cost`` is the
            least that it can be.
        retry_rate: share of chains with a retry; where a sampler's weights are in use, of what the traces stand for. So
            are the others.
        repair_rate: with a schema repair.
        fallback_rate: with a fallback.
        rescue_rate: rescued.
        failure_rate: failed.
    """

    cohort: str
    arm: str
    chains: int
    attempts: float | None
    retried: int
    repaired: int
    fell_back: int
    rescued: int
    failed: int
    extra_cost: float | None
    unpriced: int = 0
    retry_rate: float | None = None
    repair_rate: float | None = None
    fallback_rate: float | None = None
    rescue_rate: float | None = None
    failure_rate: float | None = None


@dataclass(frozen=True)
class Evidence:
    """What a report shows beside its verdicts; each part by cohort, then by metric or arm."""

    over_time: tuple[OverTime, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    usage: tuple[Usage, ...] = ()
    attempts: tuple[Attempts, ...] = ()
