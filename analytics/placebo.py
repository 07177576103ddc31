"""Placebo promotions: the base model's own traffic, split at random, with or without a regression of known size.

Every draw is a hash of the unit (or the trace) and of numbers: the same seed gives the same splits, whatever other
traffic is stored beside it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analytics.metrics import Metric, MetricKind
from analytics.pooling import PoolingRules, pooled
from analytics.stats.evidence import MINIMUM_UNITS
from analytics.values import tail_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.promotions import Promotion
    from analytics.stats.sums import BoolArray, FloatArray, IndexArray

BY_USER = "user"
BY_REQUEST = "request"

_Keys = NDArray[np.uint64]

_PRE_PERIOD_SHARE = 1 / 3
_LEAST_DAYS = 2
_BOTH_ARMS = 0.05
# What no aggregation reads, and sorting would move.
_DESCRIPTIONS = (
    "user_id",
    "conversation_id",
    "services",
    "prompt_version",
    "instrumentation",
    "token_rules",
    "first_model",
    "last_model",
    "unpriced_models",
)


class TooLittleTrafficError(Exception):
    """There is no traffic to split, or too little; the message says of what, and what to do."""


@dataclass(frozen=True)
class Traffic:
    """The base model's traffic, to be split at random.

    Attributes:
        pre_period: its first days, on which thresholds are frozen; all of the base arm.
        window: the days that follow, in the order of trace ids.
        began: when the window begins (UTC, naive).
        days: its days.
        declared_end: when the placebo promotion is declared to end, where the promotion has a declared end: with the
            last whole day of the window (UTC, naive); else None.
        share: of the units that meet the pseudo-candidate.
        split_by: :data:`BY_USER` or :data:`BY_REQUEST`.
        cohorts: of the window, by name.
        cohort_rows: the cohort of each trace of the window, by number.
        unit_keys: a hash of what is split, for each trace of the window.
        trace_keys: a hash of each trace's id.
    """

    pre_period: pl.DataFrame
    window: pl.DataFrame
    began: datetime
    days: int
    declared_end: datetime | None
    share: float
    split_by: str
    cohorts: tuple[str, ...]
    cohort_rows: IndexArray
    unit_keys: _Keys
    trace_keys: _Keys

    def candidates(self, seed: int, split: int) -> BoolArray:
        """Which traces of the window meet the pseudo-candidate in one split."""
        return np.asarray(_uniform(self.unit_keys, seed, split) < self.share, dtype=np.bool_)

    def with_arms(self, candidate: BoolArray) -> pl.DataFrame:
        """The window with the arms of a split."""
        return self.window.with_columns(arm=pl.Series(np.where(candidate, "candidate", "base")))


def base_traffic(traces: pl.DataFrame, promotion: Promotion, pooling: PoolingRules, as_of: datetime) -> Traffic:
    """The base arm's traffic, from before the promotion and since.

    Args:
        traces: the wide traces frame with the pre-period.
        promotion: whose arms, share and end hold.
        pooling: which cohorts are taken together.
        as_of: the moment the world is looked at (UTC, naive).

    Raises:
        TooLittleTrafficError: there are too few days, or too few users.
    """
    last = as_of if promotion.ended_at is None else min(as_of, promotion.ended_at)
    base = traces.filter((pl.col("arm") == "base") & (pl.col("start_time") <= last)).sort("trace_id")
    if base.is_empty():
        raise TooLittleTrafficError(
            f"No trace started with {promotion.base}: a calibration splits the base model's own traffic, so check that "
            "telemetry arrives and that this is the request model which the application sends."
        )
    whole = base.select(first=pl.col("start_time").min().dt.date(), last=pl.col("start_time").max().dt.date())
    first_day, last_day = whole.row(0)
    days = (last_day - first_day).days + 1
    if days < _LEAST_DAYS:
        raise TooLittleTrafficError(
            f"The base traffic is of one day ({first_day}): a calibration freezes thresholds on the first third of the "
            f"days and compares on the others, so wait for {_LEAST_DAYS} days of it."
        )
    before = max(1, round(days * _PRE_PERIOD_SHARE))
    began = datetime.combine(first_day + timedelta(days=before), datetime.min.time())
    ends = datetime.combine(min(last_day + timedelta(days=1), as_of.date()), datetime.min.time())
    since = pl.col("start_time") >= began
    narrow = base.drop(_DESCRIPTIONS, strict=False)
    window, pre_period, _ = pooled(narrow.filter(since), narrow.filter(~since), pooling)
    share, split_by = _share(promotion, as_of), _split_by(traces, promotion)
    _require_units(window, share, began)
    cohorts = tuple(window["cohort"].unique().sort())
    return Traffic(
        pre_period=pre_period,
        window=window,
        began=began,
        days=days - before,
        declared_end=None if promotion.planned_end is None or ends <= began else ends,
        share=share,
        split_by=split_by,
        cohorts=cohorts,
        cohort_rows=np.searchsorted(np.array(cohorts, dtype=object), window["cohort"].to_numpy()),
        unit_keys=_hashes(window["unit" if split_by == BY_USER else "trace_id"]),
        trace_keys=_hashes(window["trace_id"]),
    )


def _share(promotion: Promotion, as_of: datetime) -> float:
    """The share that was meant for the candidate at last; a half where none was stated."""
    changes = [share for since, share in promotion.share_changes if since <= as_of]
    return changes[-1] if changes else promotion.candidate_share or 0.5


def _split_by(traces: pl.DataFrame, promotion: Promotion) -> str:
    """By request where the promotion's own users meet both arms."""
    arms = (
        traces.filter(pl.col("arm").is_not_null() & (pl.col("start_time") >= promotion.at))
        .group_by("unit")
        .agg(pl.len(), both=pl.col("arm").n_unique() > 1)
        .filter(pl.col("len") > 1)
    )
    mixed = arms["both"].mean()
    return BY_REQUEST if isinstance(mixed, float) and mixed > _BOTH_ARMS else BY_USER


def _require_units(window: pl.DataFrame, share: float, began: datetime) -> None:
    units = window["unit"].n_unique()
    least = int(np.ceil(MINIMUM_UNITS / min(share, 1 - share)))
    if units < least:
        users = "user sent" if units == 1 else "users sent"
        raise TooLittleTrafficError(
            f"{units:,} {users} base traffic since {began:%Y-%m-%d}: a placebo promotion with a candidate share of "
            f"{share:g} needs {least:,}, to have {MINIMUM_UNITS} in each arm, so wait for more traffic."
        )


def injected(
    traffic: Traffic, candidate: BoolArray, metric: Metric, sizes: FloatArray, seed: int, split: int
) -> tuple[pl.Series, FloatArray]:
    """A metric's column with the pseudo-candidate made worse by a known size.

    A rate: traces that did not count against it (or did, for a rate of good things) are turned at random, so that the
    candidate's rate is expected to move by the size; whatever users have in common stays. A mean or a median: each
    value is multiplied. A tail: the values above the threshold of its test, in the cohort's whole traffic, are
    multiplied, so that the quantile moves by the factor and the median stays.

    Args:
        traffic: what was split.
        candidate: which traces meet the pseudo-candidate.
        metric: what is made worse.
        sizes: by cohort: the difference of a rate, signed, or the factor of the other kinds; NaN leaves the cohort.
        seed: of the calibration.
        split: its number.

    Returns:
        The column (Float64, null where there is no value), and the sizes with NaN where a size cannot be had.
    """
    column = traffic.window[metric.column].cast(pl.Float64)
    values = column.to_numpy()
    rows = traffic.cohort_rows
    if metric.kind is MetricKind.RATE:
        changed, possible = _turned(values, candidate & ~np.isnan(values), rows, sizes, _draws(traffic, seed, split))
    else:
        touched = candidate
        if metric.kind is MetricKind.TAIL and metric.quantile is not None:
            touched = candidate & (values > _above(traffic, metric, 1 - tail_share(metric.quantile))[rows])
        possible = np.where(sizes > 0, sizes, np.nan)
        changed = np.where(touched & ~np.isnan(possible[rows]), values * possible[rows], values)
    return pl.Series(changed).fill_nan(None), possible


def _draws(traffic: Traffic, seed: int, split: int) -> FloatArray:
    """A number of each trace, alike for every size, so that a larger regression turns what a smaller one turns."""
    return _uniform(traffic.trace_keys, seed, split, 1)


def _turned(
    values: FloatArray, own: BoolArray, rows: IndexArray, sizes: FloatArray, draws: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """A rate's values with so many turned that the rate is expected to move by the sizes."""
    counted = np.bincount(rows[own], minlength=len(sizes))
    events = np.bincount(rows[own], weights=values[own] > 0, minlength=len(sizes))
    rate = np.divide(events, counted, out=np.full(len(sizes), np.nan), where=counted > 0)
    rises = sizes > 0
    room = np.where(rises, 1 - rate, rate)
    share = np.divide(np.abs(sizes), room, out=np.full(len(sizes), np.nan), where=room > 0)
    possible = np.where(share <= 1, sizes, np.nan)
    eligible = own & ((values > 0) != rises[rows])
    turned = eligible & (draws < share[rows]) & ~np.isnan(possible[rows])
    return np.where(turned, np.where(rises[rows], 1.0, 0.0), values), possible


def _above(traffic: Traffic, metric: Metric, quantile: float) -> FloatArray:
    """The quantile of the whole window, by cohort."""
    found = traffic.window.group_by("cohort").agg(
        pl.col(metric.column).cast(pl.Float64).quantile(quantile, interpolation="linear").alias("threshold")
    )
    by_cohort: dict[str, float | None] = dict(found.iter_rows())
    return np.array([np.nan if by_cohort[name] is None else by_cohort[name] for name in traffic.cohorts], dtype=float)


def _hashes(names: pl.Series) -> _Keys:
    """64 bits of each name, the same on every machine."""
    distinct: Sequence[str] = names.unique().to_list()
    known = {name: int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") for name in distinct}
    return np.array([known[name] for name in names], dtype=np.uint64)


def _uniform(keys: _Keys, *numbers: int) -> FloatArray:
    """A number in [0, 1) of each key and all the numbers: SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)."""
    mixed = keys
    for number in numbers:
        mixed = mixed + np.uint64((number + 1) * 0x9E3779B97F4A7C15 % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53, dtype=np.float64)
