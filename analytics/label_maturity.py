"""How much of each arm is old enough for a metric, and when the next verdict can be expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil, inf
from typing import cast

import polars as pl

from analytics.metrics import EVALUATION_PREFIX, OUTCOME_PREFIX, Metric
from analytics.report import formatting
from analytics.report.model import Check, CheckStatus, CohortResult, MaturityState, MetricResult, Verdict

ENOUGH_COVERAGE = 0.5
"""Below this share of traces old enough, in either arm, the check warns."""

_ARMS = ("base", "candidate")
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_MOST_NAMED = 5
_FARTHEST = timedelta(days=366)
_LONGEST = timedelta(days=3660)


@dataclass(frozen=True)
class _Arm:
    """One arm of a cohort: how many traces ended, how many are old enough, and when the next ones will be."""

    traces: int
    mature: int
    pending: pl.Series

    @property
    def coverage(self) -> float | None:
        return self.mature / self.traces if self.traces else None


def with_maturity(
    cohorts: Sequence[CohortResult],
    traces: pl.DataFrame,
    metrics: Sequence[Metric],
    *,
    as_of: datetime,
    ends_at: datetime | None,
) -> tuple[CohortResult, ...]:
    """Say of each metric how much of each arm is old enough, and when its next verdict can be expected.

    Args:
        cohorts: as judged.
        traces: the comparison window: ``cohort``, ``arm``, ``start_time`` and ``end_time``.
        metrics: those that were judged.
        as_of: the moment the world is looked at (UTC, naive).
        ends_at: when the comparison ended or will end (UTC, naive), so that no further traces come; None while open.
    """
    ended_traces = traces.filter(pl.col("end_time") <= as_of)
    by_name = {metric.name: metric for metric in metrics}
    arms = {window: _arms(ended_traces, window, as_of) for window in {metric.maturity for metric in metrics}}
    rates = _rates(ended_traces, as_of)
    remaining = timedelta.max if ends_at is None else max(ends_at - as_of, timedelta(0))

    def settled(cohort: str, result: MetricResult) -> MetricResult:
        metric = by_name[result.metric]
        of_cohort = arms[metric.maturity][cohort]
        enough = _enough_at(result, of_cohort, metric.maturity, as_of, rates.get(cohort, 0.0))
        state = MaturityState(
            window_hours=metric.maturity / _HOUR,
            source=metric.maturity_source,
            detail=metric.maturity_detail,
            coverage={arm: of_cohort[arm].coverage for arm in _ARMS},
            next_verdict_at=_next_verdict(enough, of_cohort, metric.maturity, as_of, min(remaining, _FARTHEST)),
        )
        days = None if enough is None else max(1, ceil((enough - as_of) / _DAY))
        return replace(result, maturity=state, days_needed=days)

    return tuple(
        replace(cohort, metrics=tuple(settled(cohort.cohort, result) for result in cohort.metrics))
        for cohort in cohorts
    )


def maturity_checks(traces: pl.DataFrame, metrics: Sequence[Metric], *, as_of: datetime) -> Iterator[Check]:
    """One check for each outcome or evaluator that is waited for.

    Args:
        traces: as for :func:`with_maturity`.
        metrics: those of the report.
        as_of: the moment the world is looked at (UTC, naive).

    Yields:
        A warning where less than half of an arm is old enough in a cohort, with what to wait for; else a pass.
    """
    ended = traces.filter(pl.col("end_time") <= as_of)
    for metric in metrics:
        if not metric.maturity or not metric.column.startswith((EVALUATION_PREFIX, OUTCOME_PREFIX)):
            continue
        by_cohort = sorted(_arms(ended, metric.maturity, as_of).items())
        young = {cohort: half for cohort, arms in by_cohort if (half := _half_old_enough(arms)) is not None}
        where, status = None, CheckStatus.WARN
        if not young:
            status, seen = CheckStatus.PASS, "At least half of both arms is old enough in every cohort"
        elif len(young) == 1:
            (where,) = young
            seen = _seen(dict(by_cohort)[where], young[where])
        else:
            names = ", ".join(sorted(young)[:_MOST_NAMED]) + (", ..." if len(young) > _MOST_NAMED else "")
            when = formatting.instant(_next_hour(max(young.values())))
            seen = (
                f"Less than half of an arm is old enough to be compared in {len(young):,} cohorts ({names}); "
                f"in the last of them half will be at {when}"
            )
        yield Check("label_maturity", where, status, f"{seen}; {_waits(metric)}.", (metric.name,))


def _half_old_enough(arms: Mapping[str, _Arm]) -> datetime | None:
    """When half of either arm will be old enough; None if it is."""
    wanted = {arm: ceil(ENOUGH_COVERAGE * each.traces) - each.mature for arm, each in arms.items()}
    return max((arms[arm].pending[missing - 1] for arm, missing in wanted.items() if missing > 0), default=None)


def _seen(arms: Mapping[str, _Arm], half: datetime) -> str:
    """What of a cohort is old enough, and when half of it will be."""
    shares = [f"{_percent(arms[arm].coverage or 0.0)} of {arm}" for arm in _ARMS]
    return (
        f"{' and '.join(shares)} traces are old enough to be compared; half of both will be at "
        f"{formatting.instant(_next_hour(half))}"
    )


def _waits(metric: Metric) -> str:
    """How long is waited, and why so long."""
    why = f"{metric.maturity_source}: {metric.maturity_detail}" if metric.maturity_detail else metric.maturity_source
    label = formatting.metric_label(metric.name)
    return f"the value of {label} is final {formatting.hours(metric.maturity)} after a trace's end ({why})"


def _arms(traces: pl.DataFrame, window: timedelta, as_of: datetime) -> dict[str, dict[str, _Arm]]:
    """Cohort → arm → its traces by age."""
    due = pl.col("end_time") + pl.lit(window, dtype=pl.Duration("ns"))
    grouped = traces.group_by("cohort", "arm").agg(
        pl.len(),
        mature=(due <= as_of).sum(),
        pending=due.filter(due > as_of).sort().dt.cast_time_unit("us"),
    )
    none = _Arm(0, 0, pl.Series(dtype=pl.Datetime("us")))
    found: dict[str, dict[str, _Arm]] = {}
    counts = grouped.select("cohort", "arm", "len", "mature").rows()
    for (cohort, arm, count, mature), pending in zip(counts, grouped["pending"], strict=True):
        found.setdefault(cohort, dict.fromkeys(_ARMS, none))[arm] = _Arm(count, mature, pending)
    return found


def _rates(traces: pl.DataFrame, as_of: datetime) -> dict[str, float]:
    """Cohort → traces of both arms per hour since its first."""
    first = traces.group_by("cohort").agg(pl.len(), pl.col("start_time").min().dt.cast_time_unit("us"))
    return {cohort: count / hours for cohort, count, start in first.rows() if (hours := (as_of - start) / _HOUR) > 0}


def _next_verdict(
    enough: datetime | None, arms: Mapping[str, _Arm], window: timedelta, as_of: datetime, remaining: timedelta
) -> datetime | None:
    """When both arms have traces that are old enough, or when enough further ones are at the present rate.

    None where the metric is decided, where nothing is on its way, where no amount of traffic would decide, or where the
    comparison ends before.
    """
    if any(not arm.traces for arm in arms.values()):
        return None
    if any(not arm.mature for arm in arms.values()):
        return _next_hour(max(arm.pending[0] for arm in arms.values() if not arm.mature))
    ends = [arm.pending[-1] for arm in arms.values() if len(arm.pending)]
    last = max([as_of + window + remaining, *ends])
    return _next_hour(enough) if enough is not None and enough <= last else None


def _enough_at(
    result: MetricResult, arms: Mapping[str, _Arm], window: timedelta, as_of: datetime, rate: float
) -> datetime | None:
    """When enough further traces are old enough, at the present rate; None where that is not known, or too far off."""
    if result.verdict is not Verdict.INCONCLUSIVE or result.more_traces_needed is None:
        return None
    # Where evaluators score a sample, as many more traces are needed as it takes to get the scores.
    mature = sum(arm.mature for arm in arms.values())
    scored = (result.base.n + result.candidate.n) / mature if mature else 0.0
    if not scored:
        return None
    needed = max(1, ceil(result.more_traces_needed / scored))
    pending = pl.concat([arm.pending for arm in arms.values()]).sort()
    if needed <= len(pending):
        return cast("datetime", pending[needed - 1])
    hours = (needed - len(pending)) / rate if rate else inf
    return as_of + window + hours * _HOUR if hours <= _LONGEST / _HOUR else None


def _next_hour(moment: datetime) -> datetime:
    """The full hour by which a moment has come: a forecast is no more exact."""
    full = moment.replace(minute=0, second=0, microsecond=0)
    return full if full == moment else full + _HOUR


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
