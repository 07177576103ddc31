"""From the wide traces frame to the kernel's arrays: one cell per cohort and metric, one look per UTC day.

A trace is looked at on the day on which its value is final (its end plus the metric's maturity). The unit of
inference is the ``unit`` column: sums per cohort, unit, arm and look become cumulative sums over units, which add.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import polars as pl

from analytics.metrics import Metric, MetricKind
from analytics.stats.quantile import QuantileSample
from analytics.stats.sums import ArmSums, BoolArray, CrossSums, FloatArray, IndexArray, TwoArmSums

ARMS = ("base", "candidate")
EXEMPLARS = 3

FREEZE_BEFORE = 200
"""Pre-period base traces of a cohort from which its thresholds are frozen."""

FREEZE_POOLED = 100
"""Else: traces of both arms at the first look that has them."""

_MEAN_CAP = 0.995
_LOG_LIMITS = (0.005, 0.995)
_SHORTEST_MS = 1e-3
_LARGEST_EXCESS = 2.0
_P99 = 0.99

_ARM_COLUMNS = ("units", "n", "y", "nn", "yn", "yy")
_CROSS_COLUMNS = ("cross_yy", "cross_yn", "cross_ny", "cross_nn")


@dataclass(frozen=True)
class MetricCells:
    """One metric over all cohorts.

    Attributes:
        sums: what is tested: 0/1 values, winsorised values, mean logarithms or log excesses; (cohorts, looks).
        exceedance: for TAIL, "above the frozen quantile"; None for the other kinds.
        first_look: the look from which on each cohort's thresholds are known; the number of looks if never.
        counts: traces with a value, (cohorts, arms).
        values: the arms' observed values in the metric's unit, (cohorts, arms); NaN without traces.
        before: the base arm's value in the pre-period, (cohorts,); NaN where too few traces.
        capped: whether a value of the cohort lies above its cap, (cohorts,).
        samples: for TAIL, the arms' values of each cohort; None for an arm without traces.
        exemplars: cohort → arm → trace ids that show the metric at its worst, worst first.
    """

    sums: TwoArmSums
    exceedance: TwoArmSums | None
    first_look: IndexArray
    counts: IndexArray
    values: FloatArray
    before: FloatArray
    capped: BoolArray
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


def cells(
    traces: pl.DataFrame, pre_period: pl.DataFrame, metrics: tuple[Metric, ...], *, as_of: datetime
) -> Cells:
    """Aggregate traces into cells.

    Args:
        traces: the wide traces frame since the promotion; traces of neither arm are left out.
        pre_period: the same from before it; may be empty.
        metrics: what to aggregate.
        as_of: only values that were final by then count (UTC, naive).
    """
    window = _prepared(traces, as_of)
    before = _prepared(pre_period, as_of).filter(pl.col("arm") == "base")
    cohorts = tuple(window["cohort"].unique().sort())
    values = {metric.name: _values(window, metric, as_of) for metric in metrics}
    days = {day for frame in values.values() for day in frame["look"].unique()}
    looks = tuple(sorted(days)) or (as_of.date(),)
    axes = _Axes(cohorts, looks)
    counted = window.group_by("cohort", "arm").len().rows()
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
    """Ended traces of the two arms, in one order whatever order they came in, with a number for each cohort's unit."""
    return (
        frame.filter(pl.col("arm").is_in(ARMS) & (pl.col("end_time") <= as_of))
        .sort("cohort", "unit", "end_time", "trace_id")
        .with_columns(member=pl.struct("cohort", "unit").rle_id())
    )


def _values(frame: pl.DataFrame, metric: Metric, as_of: datetime) -> pl.DataFrame:
    """The final, finite values of one metric: cohort, arm, member, look, trace_id, raw and value."""
    column = pl.col(metric.column) if metric.column in frame.columns else pl.lit(None)
    final = pl.col("end_time") + metric.maturity
    raw = pl.col("raw")
    value = (raw > 0).cast(pl.Float64) if metric.kind is MetricKind.RATE else raw
    return (
        frame.lazy()
        .filter(final <= as_of)
        .select("cohort", "arm", "member", "trace_id", look=final.dt.date(), raw=column.cast(pl.Float64))
        .filter(raw.is_finite())
        .with_columns(value=value)
        .collect()
    )


def _metric_cells(values: pl.DataFrame, before: pl.DataFrame, metric: Metric, axes: _Axes) -> MetricCells:
    thresholds = _thresholds(values, before, metric)
    first = np.full(len(axes.cohorts), 0 if thresholds is None else len(axes.looks))
    joined, capped = values, np.zeros(len(axes.cohorts), dtype=np.bool_)
    if thresholds is not None:
        known = thresholds.filter(pl.col("cohort").is_in(axes.cohorts))
        first[axes.rows(known)] = axes.columns(known.with_columns(pl.col("look").fill_null(axes.looks[0])))
        joined = values.join(thresholds.drop("look"), on="cohort", how="left", maintain_order="left")
        if metric.kind is MetricKind.MEAN:
            above = joined.filter(pl.col("value") > pl.col("t0"))
            capped[axes.rows(above)] = True
    shown = values.group_by("cohort", "arm").agg(pl.len(), value=_shown(metric))
    counts = np.nan_to_num(axes.per_arm(shown, "len")).astype(np.intp)
    earlier = before.group_by("cohort").agg(pl.len(), value=_shown(metric))
    earlier = earlier.filter((pl.col("len") >= FREEZE_BEFORE) & pl.col("cohort").is_in(axes.cohorts))
    return MetricCells(
        sums=_sums(joined.with_columns(y=_tested(metric)), axes),
        exceedance=(
            _sums(joined.with_columns(y=(pl.col("value") > pl.col("t1")).cast(pl.Float64).fill_null(0.0)), axes)
            if metric.kind is MetricKind.TAIL
            else None
        ),
        first_look=first,
        counts=counts,
        values=axes.per_arm(shown, "value"),
        before=axes.per_cohort(earlier, "value"),
        capped=capped,
        samples=_samples(values, metric, axes) if metric.kind is MetricKind.TAIL else (),
        exemplars=_exemplars(values, metric),
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
            # The excess begins where five times as many values lie above: p95 for p99, p75 for p95.
            return 1 - 5 * (1 - quantile), quantile, max(_P99, quantile)


def _thresholds(values: pl.DataFrame, before: pl.DataFrame, metric: Metric) -> pl.DataFrame | None:
    """Cohort → frozen thresholds t0, t1, ... and the look from which on they are known (null: from the beginning).

    From the pre-period's base traces where they suffice. Else from both arms together at the first look that has
    enough, which treats the arms alike and so cannot make a difference where there is none.
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
        values.join(earlier, on="cohort", how="anti")
        .group_by("cohort", "look")
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
    return pl.concat([earlier, pooled.select(earlier.columns)])


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


def _sums(frame: pl.DataFrame, axes: _Axes) -> TwoArmSums:
    """Cumulative sums over the units from the per-trace values ``y``.

    What a unit adds to a sum of products on a day is the product of its running totals less the day before's.
    """
    ours = pl.col("arm") == "candidate"
    totals = ("a_n", "a_y", "b_n", "b_y")
    daily = (
        frame.group_by("cohort", "member", "look", maintain_order=True)
        .agg(
            a_n=(~ours).sum().cast(pl.Float64),
            a_y=pl.col("y").filter(~ours).sum(),
            b_n=ours.sum().cast(pl.Float64),
            b_y=pl.col("y").filter(ours).sum(),
        )
        .sort("member", "look")
        .with_columns(pl.col(name).cum_sum().over("member").alias(f"{name}_to") for name in totals)
        .with_columns((pl.col(f"{name}_to") - pl.col(name)).alias(f"{name}_from") for name in totals)
    )

    def added(first: str, second: str) -> pl.Expr:
        after = pl.col(f"{first}_to") * pl.col(f"{second}_to")
        return (after - pl.col(f"{first}_from") * pl.col(f"{second}_from")).sum()

    def arm(letter: str) -> dict[str, pl.Expr]:
        n, y = f"{letter}_n", f"{letter}_y"
        is_new = (pl.col(n) > 0) & (pl.col(f"{n}_from") == 0)
        sums = (is_new.sum(), pl.col(n).sum(), pl.col(y).sum(), added(n, n), added(y, n), added(y, y))
        return {f"{letter}_{name}": total for name, total in zip(_ARM_COLUMNS, sums, strict=True)}

    crossed = (added("a_y", "b_y"), added("a_y", "b_n"), added("a_n", "b_y"), added("a_n", "b_n"))
    by_look = daily.group_by("cohort", "look", maintain_order=True).agg(
        **arm("a"), **arm("b"), **dict(zip(_CROSS_COLUMNS, crossed, strict=True))
    )
    place = axes.rows(by_look), axes.columns(by_look)

    def cumulative(column: str) -> FloatArray:
        dense = np.zeros(axes.shape)
        dense[place] = by_look[column].cast(pl.Float64).to_numpy()
        return np.cumsum(dense, axis=1)

    return TwoArmSums(
        ArmSums(*(cumulative(f"a_{name}") for name in _ARM_COLUMNS)),
        ArmSums(*(cumulative(f"b_{name}") for name in _ARM_COLUMNS)),
        CrossSums(*(cumulative(name) for name in _CROSS_COLUMNS)),
    )


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


def _exemplars(values: pl.DataFrame, metric: Metric) -> dict[str, dict[str, list[str]]]:
    """Cohort → arm → the worst traces; a rate shows only traces that count against it."""
    worse = metric.higher_is == "worse"
    counts_against = pl.col("raw") > 0 if worse else pl.col("raw") <= 0
    worst = (
        values.filter(counts_against if metric.kind is MetricKind.RATE else pl.lit(value=True))
        .sort(["raw", "trace_id"], descending=[worse, False])
        .group_by("cohort", "arm", maintain_order=True)
        .agg(pl.col("trace_id").head(EXEMPLARS))
    )
    found: dict[str, dict[str, list[str]]] = {}
    for cohort, arm, trace_ids in worst.sort("cohort", "arm").rows():
        found.setdefault(cohort, {})[arm] = trace_ids
    return found
