"""Periods: stretches of time in which a cohort's traffic was split in one proportion.

While a canary grows, more of the later days' traffic is the candidate's: a day that is bad for everybody then speaks
against it. Within a period it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.pairs import PAIR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from analytics.promotions import Promotion

# Users return, so traces of a day do not go to the arms one by one; a step of a canary is far beyond both bounds.
_CERTAIN_Z = 6.0
_USERS_PER_TRACE = 0.25
_LEAST_LOG_ODDS = 0.4


def with_periods(traces: pl.DataFrame, promotion: Promotion) -> pl.DataFrame:
    """Add ``period``, a number by cohort: it changes where the candidate's share was changed, as stated or as seen.

    A step is seen where a day's share of the candidate differs from that of the cohort's period so far by more than
    chance explains. It is seen in who met which model, not in how that went, so it cannot make a difference between
    equal models.

    Args:
        traces: the comparison window: ``cohort``, ``arm`` and ``start_time``.
        promotion: says when the share was changed.
    """
    if PAIR in traces.columns or traces.is_empty():
        return traces.with_columns(period=pl.lit(0, dtype=pl.Int32))
    stated = pl.sum_horizontal(
        [pl.lit(0, dtype=pl.Int32)]
        + [(pl.col("start_time") >= since).cast(pl.Int32) for since, _ in promotion.share_changes]
    )
    day = pl.col("start_time").dt.date()
    daily = (
        traces.with_columns(stated=stated)
        .group_by("cohort", "stated", day.alias("day"))
        .agg(n=pl.len(), candidate=(pl.col("arm") == "candidate").sum())
        .with_columns(pl.col("cohort").cast(pl.String))
        .sort("cohort", "stated", "day")
    )
    steps = pl.DataFrame(
        [
            (cohort, since)
            for (cohort, _), rows in daily.group_by("cohort", "stated", maintain_order=True)
            for since in _steps(rows["day"].to_list(), rows["n"].to_list(), rows["candidate"].to_list())
        ],
        schema={"cohort": pl.String, "step": pl.Date},
        orient="row",
    )
    if steps.is_empty():
        return traces.with_columns(period=stated)
    of_day = (
        daily.select("cohort", "day")
        .unique()
        .join(steps, on="cohort", how="left")
        .group_by("cohort", "day")
        .agg(seen=(pl.col("step") <= pl.col("day")).sum().cast(pl.Int32))
        .with_columns(pl.col("cohort").cast(traces.schema["cohort"]))
    )
    return (
        traces.with_columns(day=day)
        .join(of_day, on=["cohort", "day"], how="left", maintain_order="left")
        .with_columns(period=stated + pl.col("seen"))
        .drop("day", "seen")
    )


def _steps(days: Sequence[date], n: Sequence[int], candidate: Sequence[int]) -> Iterator[date]:
    """The days on which the share stepped."""
    total = ours = 0
    for day, count, met in zip(days, n, candidate, strict=True):
        if total and _stepped(total, ours, count, met):
            yield day
            total = ours = 0
        total, ours = total + count, ours + met


def _stepped(n: int, ours: int, n_day: int, ours_day: int) -> bool:
    """Whether a day's share differs from that before it beyond chance, and by enough to matter."""
    pooled = (ours + ours_day) / (n + n_day)
    if not 0 < pooled < 1:
        return False
    users, users_day = n * _USERS_PER_TRACE, n_day * _USERS_PER_TRACE
    error = np.sqrt(pooled * (1 - pooled) * (1 / users + 1 / users_day))
    share, share_day = (ours + 0.5) / (n + 1), (ours_day + 0.5) / (n_day + 1)
    log_odds = np.log(share_day / (1 - share_day)) - np.log(share / (1 - share))
    return bool(abs(ours_day / n_day - ours / n) > _CERTAIN_Z * error and abs(log_odds) > _LEAST_LOG_ODDS)
