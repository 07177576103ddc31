"""One metric's values, trace by trace: which are final, where they are capped, and what of them is tested."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.metrics import Metric, MetricKind
from analytics.pairs import PAIR, only_pairs
from analytics.unit_days import UnitDays

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from analytics.stats.sums import BoolArray

ARMS = ("base", "candidate")

KEEP_PROBABILITY = "keep_probability"
"""The column that tells how likely it was that a trace was kept; null is certain."""

PLACE = "place"
"""The column that holds each trace's place in the order of cohort, unit, end and trace id, where that is known."""

FREEZE_BEFORE = 200
"""Pre-period base traces of a cohort from which its thresholds are frozen."""

_FREEZE_POOLED = 40
_FREEZE_POOLED_TAIL = 100

_MEAN_CAP = 0.995
_LOG_LIMITS = (0.05, 0.95)
_SHORTEST_MS = 1e-3
_LARGEST_EXCESS = 2.0
_P99 = 0.99


def prepared(frame: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """The traces of the two arms that had ended, in a fixed order, with ``stratum``, ``period`` and ``weight``.

    The weight is 1 over the keep probability; one that cannot be is taken as certain.
    """
    absent = {"stratum": pl.String(), "period": pl.Int32(), KEEP_PROBABILITY: pl.Float64()}
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in absent.items() if name not in frame.columns]
    kept = pl.col(KEEP_PROBABILITY).cast(pl.Float64)
    compared = frame.select((pl.col("arm").is_in(ARMS) & (pl.col("end_time") <= as_of)).fill_null(value=False))
    rows = frame if compared.to_series().all() else frame.filter(compared.to_series())
    weighed = rows.with_columns(*missing).with_columns(
        pl.col("stratum").fill_null(""),
        pl.col("period").cast(pl.Int32).fill_null(0),
        weight=pl.when((kept > 0) & (kept < 1)).then(1 / kept).otherwise(1.0),
    )
    if PLACE not in frame.columns:
        return weighed.sort("cohort", "unit", "end_time", "trace_id")
    return weighed if weighed[PLACE].is_sorted() else weighed.sort(PLACE)


def metric_values(frame: pl.DataFrame, metric: Metric, as_of: datetime, *, also: Sequence[str] = ()) -> pl.DataFrame:
    """The final, finite values of one metric.

    Args:
        frame: as :func:`prepared` gives it.
        metric: the metric.
        as_of: only values that were final by then count (UTC, naive).
        also: further columns of the frame to keep.

    Returns:
        ``cohort, stratum, period, arm, unit, trace_id, weight, look, raw, value``, and ``pair`` where the frame has it.
            ``look`` is the UTC day on which the value became final; ``value`` is 0 or 1 for a rate.
    """
    column = pl.col(metric.column) if metric.column in frame.columns else pl.lit(None)
    final = pl.col("end_time") + metric.maturity
    raw = pl.col("raw")
    paired = [PAIR] if PAIR in frame.columns else []
    # The value of a pair's rate is the share of its runs.
    counted = metric.kind is MetricKind.RATE and not paired
    values = (
        frame.lazy()
        .filter(final <= as_of)
        .select(
            "cohort",
            "stratum",
            "period",
            "arm",
            "unit",
            "trace_id",
            "weight",
            *paired,
            *also,
            look=final.dt.date(),
            raw=column.cast(pl.Float64),
        )
        .filter(raw.is_finite())
        .with_columns(value=(raw > 0).cast(pl.Float64) if counted else raw)
        .collect()
    )
    return only_pairs(values) if paired else values


class MetricReader:
    """Reads values of metrics from the same traces; what they have in common is made once."""

    def __init__(self, frame: pl.DataFrame, as_of: datetime) -> None:
        """Read from traces.

        Args:
            frame: as :func:`prepared` gives it.
            as_of: only values that were final by then count (UTC, naive).
        """
        self._frame = frame
        self._as_of = as_of
        self._finals: dict[timedelta, tuple[pl.Series, BoolArray]] = {}
        self._rows: dict[tuple[timedelta, bytes], _SameTraces] = {}
        self._of_metric: dict[tuple[timedelta, str], tuple[_SameTraces, pl.Series]] = {}

    def values(self, metric: Metric) -> pl.DataFrame:
        """The final, finite values of a metric, as :func:`metric_values` gives them."""
        if PAIR in self._frame.columns or metric.column not in self._frame.columns:
            return metric_values(self._frame, metric, self._as_of)
        rows, raw = self._found(metric)
        value = (raw > 0).cast(pl.Float64) if metric.kind is MetricKind.RATE else raw
        return rows.traces.with_columns(raw.alias("raw"), value.alias("value"))

    def unit_days(self, metric: Metric) -> UnitDays:
        """The rows of level one of these values, shared with metrics of which the same traces have one."""
        if PAIR in self._frame.columns or metric.column not in self._frame.columns:
            return UnitDays.of(self.values(metric))
        return self._found(metric)[0].unit_days

    def _found(self, metric: Metric) -> tuple[_SameTraces, pl.Series]:
        asked = metric.maturity, metric.column
        if asked not in self._of_metric:
            look, final = self._final(metric.maturity)
            raw = self._frame[metric.column].cast(pl.Float64)
            known = np.isfinite(raw.to_numpy()) & final
            every = bool(known.all())
            key = metric.maturity, b"" if every else known.tobytes()
            chosen = pl.Series(known)
            if key not in self._rows:
                traces = self._frame.select(_KEPT).with_columns(look)
                self._rows[key] = _SameTraces(traces if every else traces.filter(chosen))
            self._of_metric[asked] = self._rows[key], raw if every else raw.filter(chosen)
        return self._of_metric[asked]

    def _final(self, maturity: timedelta) -> tuple[pl.Series, BoolArray]:
        """On which day each trace's value becomes final, and which are."""
        if maturity not in self._finals:
            final = pl.col("end_time") + maturity
            told = self._frame.select(look=final.dt.date(), final=final <= self._as_of)
            self._finals[maturity] = told["look"], told["final"].to_numpy()
        return self._finals[maturity]


class _SameTraces:
    """Traces of which several metrics have a value, and their rows of level one."""

    def __init__(self, traces: pl.DataFrame) -> None:
        self.traces = traces

    @cached_property
    def unit_days(self) -> UnitDays:
        return UnitDays.of(self.traces)


_KEPT = ("cohort", "stratum", "period", "arm", "unit", "trace_id", "weight")


def freeze_pooled(metric: Metric) -> int:
    """Traces of both arms at whose first look thresholds are frozen where the pre-period has too few.

    As many as units are needed in both arms; a tail's own threshold takes more to be anywhere near its quantile.
    """
    return _FREEZE_POOLED_TAIL if metric.kind is MetricKind.TAIL else _FREEZE_POOLED


def shown_quantile(metric: Metric) -> float:
    """The quantile that a metric shows.

    Raises:
        ValueError: it has none.
    """
    if metric.quantile is None:
        raise ValueError(f"metric {metric.name!r} is a {metric.kind} metric and needs a quantile.")
    return metric.quantile


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
            quantile = shown_quantile(metric)
            return 1 - tail_share(quantile), quantile, max(_P99, quantile)


def thresholds(values: pl.DataFrame, before: pl.DataFrame, metric: Metric) -> pl.DataFrame | None:
    """Cohort → frozen thresholds t0, t1, ... and the look from which on they are known (null: the first).

    From both arms together at the first look that has enough, which treats the arms alike and so cannot make a
    difference where there is none. Where the pre-period's base traces suffice they decide: alone for a tail, whose
    threshold is about the base; for limits on extreme values the wider of the two hold, lest limits taken from one
    model hide all of another's values.

    Args:
        values: of the comparison window, as :func:`metric_values` gives them.
        before: of the base arm's pre-period.
        metric: the metric; a rate has no thresholds.
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
        .filter(pl.col("len").cum_sum().over("cohort") >= freeze_pooled(metric))
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


def tested_value(metric: Metric) -> pl.Expr:
    """The per-trace value whose mean is tested, of ``value`` and the thresholds."""
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
            below_p99 = (pl.col("t2") / pl.col("t0")).log() if shown_quantile(metric) < _P99 else pl.lit(None)
            largest = pl.min_horizontal(below_p99, pl.lit(_LARGEST_EXCESS)).fill_nan(_LARGEST_EXCESS)
            excess = (value / pl.col("t0")).log().fill_nan(0.0).clip(lower_bound=0.0)
            return pl.when(pl.col("t0").is_null()).then(0.0).otherwise(pl.min_horizontal(excess, largest))
