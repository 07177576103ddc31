"""From the wide traces frame to the kernel's arrays: one cell per cohort and metric, one look per UTC day.

A trace is looked at on the day on which its value is final (its end plus the metric's maturity). The unit of
inference is the ``unit`` column: sums per cohort, unit, arm and look become cumulative sums over units,
which add. Where the arms answered the same things, pairs are summed as well.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.exemplars import exemplars
from analytics.metrics import Metric, MetricKind
from analytics.pairs import PAIR, one_row_per_arm, only_pairs, pair_sums
from analytics.stats.quantile import QuantileSample
from analytics.stats.sums import ArmSums, CrossSums, FloatArray, IndexArray, TwoArmSums

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

ARMS = ("base", "candidate")

FREEZE_BEFORE = 200
"""Pre-period base traces of a cohort from which its thresholds are frozen."""

FREEZE_POOLED = 100
"""Else: traces of both arms at the first look that has them."""

_MEAN_CAP = 0.995
_LOG_LIMITS = (0.05, 0.95)
_SHORTEST_MS = 1e-3
_LARGEST_EXCESS = 2.0
_P99 = 0.99

_Totals = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class MetricCells:
    """One metric over all cohorts.

    Attributes:
        sums: what is tested: 0/1 values, winsorised values, logarithms or log excesses; (cohorts, looks).
        exceedance: for TAIL, "above the frozen quantile"; None for the other kinds.
        first_look: the look from which on each cohort's thresholds are known; the number of looks if never.
        counts: traces with a value, (cohorts, arms).
        values: the arms' observed values in the metric's unit, (cohorts, arms); NaN without traces.
        before: the base arm's value in the pre-period, (cohorts,); NaN where too few traces.
        samples: for TAIL, the arms' values of each cohort; None for an arm without traces.
        exemplars: cohort → arm → trace ids that show the metric at its worst, worst first.
    """

    sums: TwoArmSums
    exceedance: TwoArmSums | None
    first_look: IndexArray
    counts: IndexArray
    values: FloatArray
    before: FloatArray
    samples: tuple[tuple[QuantileSample | None, QuantileSample | None], ...]
    exemplars: Mapping[str, Mapping[str, list[str]]]


@dataclass(frozen=True)
class Cells:
    """All cells of one comparison.

    Attributes:
        cohorts: by name.
        looks: the UTC days on which something became final.
        traces: cohort → arm → traces that had ended.
        by_metric: metric name → its cells.
    """

    cohorts: tuple[str, ...]
    looks: tuple[date, ...]
    traces: Mapping[str, Mapping[str, int]]
    by_metric: Mapping[str, MetricCells]


def cells(traces: pl.DataFrame, pre_period: pl.DataFrame, metrics: tuple[Metric, ...], *, as_of: datetime) -> Cells:
    """Aggregate traces into cells.

    Args:
        traces: the wide traces frame since the promotion; traces of neither arm are left out. A column ``pair``
            tells which rows of the arms belong together; what has a value in one arm only is then left out.
        pre_period: the same from before it; may be empty.
        metrics: what to aggregate.
        as_of: only values that were final by then count (UTC, naive).
    """
    window = _prepared(traces, as_of)
    before = _prepared(pre_period, as_of).filter(pl.col("arm") == "base")
    cohorts = tuple(window["cohort"].unique().sort())
    counted = window.group_by("cohort", "arm").len().rows()
    if PAIR in window.columns:
        window = _prepared(one_row_per_arm(window, metrics), as_of)
    values = {metric.name: _values(window, metric, as_of) for metric in metrics}
    days = {day for frame in values.values() for day in frame["look"].unique()}
    looks = tuple(sorted(days)) or (as_of.date(),)
    axes = _Axes(cohorts, looks)
    totals = {cohort: dict.fromkeys(ARMS, 0) for cohort in cohorts}
    for cohort, arm, count in counted:
        totals[cohort][arm] = count
    by_metric = {
        metric.name: _metric_cells(values[metric.name], _values(before, metric, as_of), metric, axes)
        for metric in metrics
    }
    return Cells(cohorts, looks, totals, by_metric)


@dataclass(frozen=True)
class _Axes:
    """The two axes of every array."""

    cohorts: tuple[str, ...]
    looks: tuple[date, ...]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.cohorts), len(self.looks)

    def rows(self, frame: pl.DataFrame) -> IndexArray:
        """Row numbers of the frame's cohorts."""
        return np.searchsorted(np.array(self.cohorts, dtype=object), frame["cohort"].to_numpy())

    def columns(self, frame: pl.DataFrame) -> IndexArray:
        """Column numbers of the frame's looks."""
        looks = np.array(self.looks, dtype="datetime64[D]")
        return np.searchsorted(looks, frame["look"].to_numpy().astype("datetime64[D]"))

    def per_cohort(self, frame: pl.DataFrame, column: str) -> FloatArray:
        """One value per cohort, NaN where the frame has none."""
        result = np.full(len(self.cohorts), np.nan)
        result[self.rows(frame)] = frame[column].cast(pl.Float64).to_numpy()
        return result

    def per_arm(self, frame: pl.DataFrame, column: str) -> FloatArray:
        """One value per cohort and arm, NaN where the frame has none."""
        result = np.full((len(self.cohorts), len(ARMS)), np.nan)
        arms = (frame["arm"] == "candidate").cast(pl.Int64).to_numpy()
        result[self.rows(frame), arms] = frame[column].cast(pl.Float64).to_numpy()
        return result


def _prepared(frame: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Ended traces of the two arms in a fixed order, with numbers for cohorts and their units."""
    return (
        frame.filter(pl.col("arm").is_in(ARMS) & (pl.col("end_time") <= as_of))
        .sort("cohort", "unit", "end_time", "trace_id")
        .with_columns(cohort_row=pl.col("cohort").rle_id(), member=pl.struct("cohort", "unit").rle_id())
    )


def _values(frame: pl.DataFrame, metric: Metric, as_of: datetime) -> pl.DataFrame:
    """The final, finite values of one metric, in the order of members and time."""
    column = pl.col(metric.column) if metric.column in frame.columns else pl.lit(None)
    final = pl.col("end_time") + metric.maturity
    raw = pl.col("raw")
    paired = [PAIR] if PAIR in frame.columns else []
    # The value of a pair's rate is the share of its runs.
    counted = metric.kind is MetricKind.RATE and not paired
    value = (raw > 0).cast(pl.Float64) if counted else raw
    values = (
        frame.lazy()
        .filter(final <= as_of)
        .select(
            "cohort",
            "cohort_row",
            "arm",
            "member",
            "trace_id",
            *paired,
            look=final.dt.date(),
            raw=column.cast(pl.Float64),
        )
        .filter(raw.is_finite())
        .with_columns(value=value)
        .collect()
    )
    return only_pairs(values) if paired else values


def _metric_cells(values: pl.DataFrame, before: pl.DataFrame, metric: Metric, axes: _Axes) -> MetricCells:
    thresholds = _thresholds(values, before, metric)
    first = np.full(len(axes.cohorts), 0 if thresholds is None else len(axes.looks))
    joined = values
    if thresholds is not None:
        known = thresholds.filter(pl.col("cohort").is_in(axes.cohorts))
        first[axes.rows(known)] = axes.columns(known.with_columns(pl.col("look").fill_null(axes.looks[0])))
        joined = values.join(thresholds.drop("look"), on="cohort", how="left", maintain_order="left")
    shown = values.group_by("cohort", "arm").agg(pl.len(), value=_shown(metric))
    counts = np.nan_to_num(axes.per_arm(shown, "len")).astype(np.intp)
    earlier = before.group_by("cohort").agg(pl.len(), value=_shown(metric))
    earlier = earlier.filter((pl.col("len") >= FREEZE_BEFORE) & pl.col("cohort").is_in(axes.cohorts))
    above = (pl.col("value") > pl.col("t1")).fill_null(value=False)
    return MetricCells(
        sums=_sums(joined, _tested(metric), axes, within_one=metric.kind is MetricKind.RATE),
        exceedance=_sums(joined, above, axes, within_one=True) if metric.kind is MetricKind.TAIL else None,
        first_look=first,
        counts=counts,
        values=axes.per_arm(shown, "value"),
        before=axes.per_cohort(earlier, "value"),
        samples=_samples(values, metric, axes) if metric.kind is MetricKind.TAIL else (),
        exemplars=exemplars(values, metric),
    )


def _quantile(metric: Metric) -> float:
    if metric.quantile is None:
        raise ValueError(f"metric {metric.name!r} is a {metric.kind} metric and needs a quantile.")
    return metric.quantile


def _shown(metric: Metric) -> pl.Expr:
    """The value that a report shows: the mean of all values as they are, or the quantile."""
    if metric.kind in (MetricKind.RATE, MetricKind.MEAN):
        return pl.col("value").mean()
    return pl.col("value").quantile(_quantile(metric), interpolation="linear")


def tail_share(quantile: float) -> float:
    """The share of values in the tested tail: above p95 for p99, above p75 for p95."""
    return 5 * (1 - quantile)


def _threshold_quantiles(metric: Metric) -> tuple[float, ...]:
    match metric.kind:
        case MetricKind.RATE:
            return ()
        case MetricKind.MEAN:
            return (_MEAN_CAP,)
        case MetricKind.QUANTILE:
            return _LOG_LIMITS
        case MetricKind.TAIL:
            quantile = _quantile(metric)
            return 1 - tail_share(quantile), quantile, max(_P99, quantile)


def _thresholds(values: pl.DataFrame, before: pl.DataFrame, metric: Metric) -> pl.DataFrame | None:
    """Cohort → frozen thresholds t0, t1, ... and the look from which on they are known (null: the first).

    From both arms together at the first look that has enough, which treats the arms alike and so cannot make a
    difference where there is none. Where the pre-period's base traces suffice they decide: alone for a tail, whose
    threshold is about the base; for limits on extreme values the wider of the two hold, lest limits taken from one
    model hide all of another's values.
    """
    quantiles = _threshold_quantiles(metric)
    if not quantiles:
        return None
    frozen = {
        f"t{index}": pl.col("value").quantile(probability, interpolation="linear")
        for index, probability in enumerate(quantiles)
    }
    earlier = (
        before.group_by("cohort")
        .agg(pl.len(), **frozen)
        .filter(pl.col("len") >= FREEZE_BEFORE)
        .select("cohort", *frozen, look=pl.lit(None, dtype=pl.Date))
    )
    first = (
        values.group_by("cohort", "look")
        .len()
        .sort("cohort", "look")
        .filter(pl.col("len").cum_sum().over("cohort") >= FREEZE_POOLED)
        .group_by("cohort")
        .agg(freeze=pl.col("look").min())
    )
    pooled = (
        values.join(first, on="cohort")
        .filter(pl.col("look") <= pl.col("freeze"))
        .group_by("cohort")
        .agg(**frozen, look=pl.col("freeze").first())
    )
    alone = pl.concat([earlier, pooled.join(earlier, on="cohort", how="anti").select(earlier.columns)])
    if metric.kind is MetricKind.TAIL:
        return alone
    lower = {"t0"} if metric.kind is MetricKind.QUANTILE else set()
    both = earlier.join(pooled, on="cohort", suffix="_pooled").select(
        "cohort",
        *(
            (pl.min_horizontal if name in lower else pl.max_horizontal)(name, f"{name}_pooled").alias(name)
            for name in frozen
        ),
        look="look_pooled",
    )
    return pl.concat([both, alone.join(both, on="cohort", how="anti")])


def _tested(metric: Metric) -> pl.Expr:
    """The per-trace value whose mean is tested."""
    value = pl.col("value")
    match metric.kind:
        case MetricKind.RATE:
            return value
        case MetricKind.MEAN:
            return pl.min_horizontal(value, "t0")
        case MetricKind.QUANTILE:
            limited = pl.min_horizontal(pl.max_horizontal(value, "t0"), "t1")
            return limited.clip(lower_bound=_SHORTEST_MS).log()
        case MetricKind.TAIL:
            # p95 is about the values up to p99; what lies beyond is p99's business.
            below_p99 = (pl.col("t2") / pl.col("t0")).log() if _quantile(metric) < _P99 else pl.lit(None)
            largest = pl.min_horizontal(below_p99, pl.lit(_LARGEST_EXCESS)).fill_nan(_LARGEST_EXCESS)
            excess = (value / pl.col("t0")).log().fill_nan(0.0).clip(lower_bound=0.0)
            return pl.when(pl.col("t0").is_null()).then(0.0).otherwise(pl.min_horizontal(excess, largest))


def _sums(frame: pl.DataFrame, tested: pl.Expr, axes: _Axes, *, within_one: bool) -> TwoArmSums:
    """Cumulative sums over the units, and over pairs if there are any, of one expression per trace.

    What a unit adds to a sum of products on a day is the product of its running totals less the day before's. Pairs
    are summed of values between 0 and 1 alone, which ``within_one`` says they are.
    """
    if frame.is_empty():
        nothing = np.zeros(axes.shape)
        arm = ArmSums(*([nothing] * len(fields(ArmSums))))
        return TwoArmSums(arm, arm, CrossSums(*([nothing] * len(fields(CrossSums)))))
    member, look = frame["member"].to_numpy(), axes.columns(frame)
    # The frame is in the order of members and time, so a member's traces of one look are neighbours.
    new_member = np.diff(member, prepend=member[0] + 1) != 0
    starts = np.flatnonzero(new_member | (np.diff(look, prepend=-1) != 0))
    new_member = new_member[starts]
    first = np.flatnonzero(new_member)[np.cumsum(new_member) - 1]

    def totals(values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """A member's running total at the end of a look and what the look added."""
        added = np.add.reduceat(values, starts)
        through = np.cumsum(added)
        return through - (through - added)[first], added

    candidate = (frame["arm"] == "candidate").to_numpy()
    y = frame.select(tested.cast(pl.Float64)).to_series().to_numpy()
    a_n, a_y = totals((~candidate).astype(np.float64)), totals(np.where(candidate, 0.0, y))
    b_n, b_y = totals(candidate.astype(np.float64)), totals(np.where(candidate, y, 0.0))
    places = frame["cohort_row"].to_numpy().astype(np.intp) * axes.shape[1] + look
    place = places[starts]

    def cumulative(added: FloatArray, at: IndexArray = place) -> FloatArray:
        dense = np.bincount(at, weights=added, minlength=axes.shape[0] * axes.shape[1])
        return np.cumsum(dense.reshape(axes.shape), axis=1)

    def product(first: _Totals, second: _Totals) -> FloatArray:
        return cumulative(first[0] * second[0] - (first[0] - first[1]) * (second[0] - second[1]))

    def arm_sums(n: _Totals, y: _Totals) -> ArmSums:
        appears = ((n[1] > 0) & (n[0] == n[1])).astype(np.float64)
        plain = cumulative(appears), cumulative(n[1]), cumulative(y[1])
        return ArmSums(*plain, product(n, n), product(y, n), product(y, y))

    cross = CrossSums(product(a_y, b_y), product(a_y, b_n), product(a_n, b_y), product(a_n, b_n))
    pairs = pair_sums(frame, y, places, cumulative) if PAIR in frame.columns and within_one else None
    return TwoArmSums(arm_sums(a_n, a_y), arm_sums(b_n, b_y), cross, pairs)


def _samples(
    values: pl.DataFrame, metric: Metric, axes: _Axes
) -> tuple[tuple[QuantileSample | None, QuantileSample | None], ...]:
    """The arms' values of each cohort, with the design effect of "above the arm's own quantile"."""
    above = pl.col("value") > pl.col("value").quantile(_quantile(metric), interpolation="linear").over("cohort", "arm")
    share = pl.col("above").sum() / pl.col("n").sum()
    residual = pl.col("above") - share * pl.col("n")
    correction = pl.len() / (pl.len() - 1)
    designs = (
        values.with_columns(above=above)
        .group_by("cohort", "arm", "member")
        .agg(n=pl.len(), above=pl.col("above").sum())
        .group_by("cohort", "arm")
        .agg(
            design=correction * (residual**2).sum() / (pl.col("n").sum() * share * (1 - share)),
            effective=pl.col("n").sum() ** 2 / (pl.col("n") ** 2).sum(),
        )
    )
    design, effective = axes.per_arm(designs, "design"), axes.per_arm(designs, "effective")
    ordered = {
        (cohort, arm): part["value"].to_numpy()
        for (cohort, arm), part in values.sort("value").group_by("cohort", "arm", maintain_order=True)
    }

    def sample(row: int, column: int) -> QuantileSample | None:
        observed = ordered.get((axes.cohorts[row], ARMS[column]))
        if observed is None:
            return None
        # A lone unit, or no value above the quantile, tells nothing about clustering.
        widening = design[row, column] if np.isfinite(design[row, column]) else 1.0
        return QuantileSample(observed, max(1.0, float(widening)), float(effective[row, column]))

    return tuple((sample(row, 0), sample(row, 1)) for row in range(len(axes.cohorts)))
