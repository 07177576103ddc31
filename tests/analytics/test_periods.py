"""Periods: where the split of the traffic was changed, as stated and as seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from analytics.periods import with_periods
from analytics.promotions import Promotion

AT = datetime(2026, 3, 1)
PROMOTION = Promotion("p", "a", "b", "concurrent", AT, None, "app.cohort", None)


def traffic(shares: list[float], per_day: int, seed: int = 1, per_user: int = 1) -> pl.DataFrame:
    """One cohort's days, each with its own share of candidate users."""
    rng = np.random.default_rng(seed)
    frames = []
    for day, share in enumerate(shares):
        users = rng.random(per_day // per_user) < share
        arms = np.repeat(np.where(users, "candidate", "base"), per_user)
        frames.append(
            pl.DataFrame({"cohort": "c", "arm": arms, "start_time": AT + timedelta(days=day, hours=1), "trace_id": "t"})
        )
    return pl.concat(frames)


def periods(frame: pl.DataFrame, promotion: Promotion = PROMOTION) -> list[int]:
    """The period of each day."""
    found = with_periods(frame, promotion).group_by("start_time").agg(pl.col("period").unique()).sort("start_time")
    return [only for (only,) in found["period"].to_list()]


def test_steps_of_a_canary_are_seen() -> None:
    """Five, twenty, fifty percent are three periods."""
    assert periods(traffic([0.05] * 4 + [0.2] * 4 + [0.5] * 4, 600)) == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_chance_is_no_step(share: float) -> None:
    """A constant share has one period, also where users bring several traces a day."""
    for seed in range(60):
        assert set(periods(traffic([share] * 14, 400, seed, per_user=4))) == {0}


def test_a_stated_change_is_a_period_at_its_time() -> None:
    """Also one too small to be seen, and within a day."""
    promotion = replace(PROMOTION, share_changes=((AT + timedelta(days=2), 0.52),))
    assert periods(traffic([0.5] * 4, 60), promotion) == [0, 0, 1, 1]


def test_rows_stay_as_they_were() -> None:
    """Nothing but the column is added, in the same order."""
    frame = traffic([0.1, 0.5], 500).with_columns(trace_id=pl.int_range(1000).cast(pl.String))
    assert with_periods(frame, PROMOTION).drop("period").equals(frame)
