"""Daily series of each cohort around the day on which the candidate took over: what a before/after comparison rests on.

A day counts where all of it lies before the change, or after it: a trace belongs to the day on which its value became
final, in both periods alike, so that labels are waited for as long before as after.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.metrics import MetricKind
from analytics.stats.contrast import RATE_SCALES, RATIO_SCALES
from analytics.stats.evidence import EXCESS_SCALES, MINIMUM_EVENTS
from analytics.unit_days import ONE

if TYPE_CHECKING:
    from collections.abc import Collection

    from analytics.metrics import Metric
    from analytics.stats.sums import BoolArray, FloatArray, IndexArray

THINNEST_DAY = 0.25
"""A day with fewer than this share of the usual traces (the median of those before) has no value of its own."""

FEWEST_OF_STRATUM = 20
"""Traces before the change without which a stratum has no usual value."""

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Calendar:
    """The whole days around the change, for a metric that is final so long after a trace.

    Attributes:
        before: days before the change, ascending.
        after: days from it on.
    """

    before: tuple[date, ...]
    after: tuple[date, ...]

    @classmethod
    def of(cls, maturity: timedelta, *, since: datetime, at: datetime, until: datetime) -> Calendar:
        """The days on which traces between ``since`` and ``until`` become final and that are over by then.

        Args:
            maturity: how long after a trace its value is final.
            since: the beginning of the period before (UTC, naive).
            at: when the candidate took over.
            until: the moment the world is looked at.
        """
        begin = datetime.combine((since + maturity).date(), time(), UTC).replace(tzinfo=None)
        days = [begin + number * _DAY for number in range(max(0, (until - begin) // _DAY + 1))]
        first, change = since + maturity, at + maturity
        return cls(
            tuple(day.date() for day in days if first <= day and day + _DAY <= min(change, until)),
            tuple(day.date() for day in days if change <= day and day + _DAY <= until),
        )

    @property
    def days(self) -> tuple[date, ...]:
        """Both, in order."""
        return self.before + self.after

    @property
    def weekdays(self) -> IndexArray:
        """Monday 0 to Sunday 6 of each."""
        return np.array([day.weekday() for day in self.days], dtype=np.intp)


@dataclass(frozen=True)
class DailySeries:
    """One metric of some cohorts by day.

    Attributes:
        x: the day's rate, log mean, mean logarithm or mean log excess; NaN without enough traces; (cohorts, days).
        noise: what its traces alone would make it vary, as known before the change, (cohorts, days).
        slope: how much x moves when something common to all cohorts moves, as known before the change, (cohorts,).
        information: how well a series shows what is common to all: slope^2 / variance of the mean before, (cohorts,).
        scales: sizes of a step worth finding, (sizes, cohorts).
        usual: the value per trace before the change, (cohorts,).
        traces_after: the number of traces after the change, (cohorts,).
        enough: where a rate has events enough, by day after the change, (cohorts, days after).
    """

    x: FloatArray
    noise: FloatArray
    slope: FloatArray
    information: FloatArray
    scales: FloatArray
    usual: FloatArray
    traces_after: FloatArray
    enough: BoolArray


def daily_series(
    sums: pl.DataFrame, metric: Metric, calendar: Calendar, cohorts: tuple[str, ...], stayed: Collection[str]
) -> DailySeries:
    """The daily series of one metric.

    Args:
        sums: the metric's level-one rows of all cohorts, before and after the change.
        metric: the metric.
        calendar: the days.
        cohorts: whose series, by name.
        stayed: cohorts that stayed with the base; of the others the traces of the candidate count after the change.
    """
    before = len(calendar.before)
    n, y, squares = _totals(sums, calendar, cohorts, stayed)
    usual = np.median(n[:, :before], axis=1, keepdims=True) if before else np.zeros((len(cohorts), 1))
    known = (n > 0) & (n >= THINNEST_DAY * usual)
    mean = np.divide(y, n, out=np.full_like(y, np.nan), where=known)
    total_n, total_y = n[:, :before].sum(axis=1), y[:, :before].sum(axis=1)
    spread = squares[:, :before].sum(axis=1) / np.maximum(total_n, 1)
    usual_mean = total_y / np.maximum(total_n, 1)
    enough = np.ones((len(cohorts), len(calendar.after)), dtype=np.bool_)
    x, slope, scales = mean, np.ones(len(cohorts)), np.array(RATIO_SCALES)[:, None] * np.ones(len(cohorts))
    if metric.kind is MetricKind.RATE:
        # Without events the rate is unknown, not 0: the usual half event.
        rate = (total_y + 0.5) / (total_n + 1)
        slope = rate * (1 - rate)
        spread = np.maximum(spread, slope)
        scales = np.multiply.outer(np.array(RATE_SCALES), rate)
        enough = _enough_events(n, y, before)
    elif metric.kind is MetricKind.TAIL:
        slope, scales = usual_mean, np.multiply.outer(np.array(EXCESS_SCALES), usual_mean)
    elif metric.kind is MetricKind.MEAN:
        x = np.log(np.where(mean > 0, mean, np.nan))
        spread = np.divide(spread, usual_mean**2, out=np.zeros_like(spread), where=usual_mean > 0)
    information = np.divide(slope**2 * total_n, spread, out=np.zeros_like(spread), where=spread > 0)
    noise = spread[:, None] / np.maximum(n, 1)
    return DailySeries(x, noise, slope, information, scales, usual_mean, n[:, before:].sum(axis=1), enough)


def _enough_events(n: FloatArray, y: FloatArray, before: int) -> BoolArray:
    """Where the shorter of both periods expects enough of the events so far, by day after the change."""
    n_before, n_after = n[:, :before].sum(axis=1)[:, None], np.cumsum(n[:, before:], axis=1)
    events = y[:, :before].sum(axis=1)[:, None] + np.cumsum(y[:, before:], axis=1)
    expected = events * np.minimum(n_before, n_after) / np.maximum(n_before + n_after, 1)
    # Where nearly all traces have the event, it is those without it that are few.
    without = (n_before + n_after - events) * np.minimum(n_before, n_after) / np.maximum(n_before + n_after, 1)
    return np.asarray(np.minimum(expected, without) >= MINIMUM_EVENTS, dtype=np.bool_)


def _totals(
    sums: pl.DataFrame, calendar: Calendar, cohorts: tuple[str, ...], stayed: Collection[str]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Traces, value totals, and squared deviations of the users' totals from the day's mean, (cohorts, days) each."""
    shape = len(cohorts), len(calendar.days)
    on_base = pl.col("look").is_in(calendar.before) | pl.col("cohort").is_in(list(stayed))
    rows = (
        sums.filter(pl.col("cohort").is_in(cohorts) & pl.col("look").is_in(calendar.days))
        .filter(pl.col("arm") == pl.when(on_base).then(pl.lit("base")).otherwise(pl.lit("candidate")))
        .select("cohort", "stratum", "look", "unit", pl.col("weight", "tested").cast(pl.Float64) / ONE)
    )
    of_users = (
        _standardised(rows, calendar)
        .group_by("cohort", "look", "unit", maintain_order=True)
        .agg(pl.col("weight", "tested").sum())
        .sort("cohort", "look", "unit")
        .with_columns(
            mean=pl.col("tested").sum().over("cohort", "look") / pl.col("weight").sum().over("cohort", "look")
        )
    )
    by_day = of_users.group_by("cohort", "look", maintain_order=True).agg(
        pl.col("weight", "tested").sum(), squares=((pl.col("tested") - pl.col("mean") * pl.col("weight")) ** 2).sum()
    )
    row = {name: number for number, name in enumerate(cohorts)}
    column = {day: number for number, day in enumerate(calendar.days)}
    at_row = np.array([row[name] for name in by_day["cohort"]], dtype=np.intp)
    at_column = np.array([column[day] for day in by_day["look"]], dtype=np.intp)
    found = np.zeros((3, *shape))
    found[:, at_row, at_column] = by_day.select("weight", "tested", "squares").to_numpy().T
    return found[0], found[1], found[2]


def _standardised(rows: pl.DataFrame, calendar: Calendar) -> pl.DataFrame:
    """The rows with what their strata usually have over their cohort taken off, so that the mix of a day does not show.

    Usual is the base's before the change. A stratum that was hardly there then has nothing to be compared with.
    """
    usual = (
        rows.filter(pl.col("look").is_in(calendar.before))
        .group_by("cohort", "stratum", maintain_order=True)
        .agg(pl.col("weight", "tested").sum())
        .with_columns(over=pl.col("tested") / pl.col("weight"))
        .with_columns(
            over=pl.col("over") - pl.col("tested").sum().over("cohort") / pl.col("weight").sum().over("cohort"),
            strata=pl.len().over("cohort"),
        )
        .filter((pl.col("weight") >= FEWEST_OF_STRATUM) | (pl.col("strata") == 1))
        .select("cohort", "stratum", "over")
    )
    return rows.join(usual, on=["cohort", "stratum"], maintain_order="left").with_columns(
        tested=pl.col("tested") - pl.col("weight") * pl.col("over")
    )


def since_change(calendar: Calendar, looks: tuple[date, ...]) -> IndexArray:
    """For each look the number of the last day after the change that was over by then; -1 before the first."""
    return np.asarray(
        np.searchsorted(
            np.array(calendar.after, dtype="datetime64[D]"), np.array(looks, dtype="datetime64[D]"), side="right"
        )
        - 1,
        dtype=np.intp,
    )
