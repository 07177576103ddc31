"""Small cohorts are taken together, by what was known before, and compared within themselves."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

from analytics.pooling import SMALL_COHORTS, PoolingRules, pooled

AT = datetime(2026, 3, 1)


def traces(per_day: dict[str, int], days: int, start: datetime = AT, stratum: str | None = None) -> pl.DataFrame:
    """So many traces a day of each cohort."""
    rows = [
        (cohort, start + timedelta(days=day, minutes=minute))
        for cohort, count in per_day.items()
        for day in range(days)
        for minute in range(count)
    ]
    frame = pl.DataFrame(rows, schema={"cohort": pl.String, "start_time": pl.Datetime("ns")}, orient="row")
    return frame.with_columns(stratum=pl.lit(stratum, dtype=pl.String))


def test_nothing_is_pooled_unless_asked_for() -> None:
    """Without a bound all stays as it is."""
    window = traces({"a": 1, "b": 2}, 3)
    assert pooled(window, window.clear(), PoolingRules()).window.equals(window)


def test_small_cohorts_go_together_by_traffic_before() -> None:
    """What a cohort brings later does not decide."""
    before = traces({"small": 3, "tiny": 1, "large": 40}, 10, AT - timedelta(days=10))
    window = traces({"small": 90, "tiny": 1, "large": 2}, 4)
    found = pooled(window, before, PoolingRules(below=10))
    assert dict(found.members) == {SMALL_COHORTS: ("small", "tiny")}
    assert set(found.window["cohort"].unique()) == {SMALL_COHORTS, "large"}
    inside = found.window.filter(cohort=SMALL_COHORTS)
    assert set(inside["stratum"].unique()) == {"small", "tiny"}
    assert found.window.filter(cohort="large")["stratum"].null_count() == 8
    assert set(found.pre_period["cohort"].unique()) == {SMALL_COHORTS, "large"}


def test_a_new_cohort_is_judged_by_its_first_day() -> None:
    """Without traffic before, the first day's traces of both arms decide, also when more come later."""
    window = pl.concat([traces({"new": 4, "newer": 3}, 1), traces({"new": 50, "newer": 50}, 3, AT + timedelta(days=1))])
    found = pooled(window, window.clear(), PoolingRules(below=10))
    assert dict(found.members) == {SMALL_COHORTS: ("new", "newer")}


def test_a_comparison_that_begins_late_in_a_day_has_no_small_first_day() -> None:
    """The first 24 hours of a new cohort decide, not what is left of the day on which it came."""
    evening = traces({"new": 4, "other": 4}, 1, AT + timedelta(hours=22))
    window = pl.concat([evening, traces({"new": 50, "other": 1}, 1, AT + timedelta(days=1))])
    found = pooled(window, window.clear(), PoolingRules(below=10, parents={"other": "new"}))
    assert dict(found.members) == {"new": ("new", "other")}
    assert not pooled(window, window.clear(), PoolingRules(below=5)).members


def test_what_is_taken_together_stays_so() -> None:
    """A small cohort of before that comes back late belongs from the start, so that no day before changes."""
    before = traces({"small": 3, "tiny": 1, "late": 2}, 10, AT - timedelta(days=10))
    window = pl.concat([traces({"small": 3, "tiny": 1}, 4), traces({"late": 2}, 2, AT + timedelta(days=2))])
    early, all_of_it = (pooled(each, before, PoolingRules(below=10)) for each in (window.head(8), window))
    assert early.members == all_of_it.members
    assert early.pre_period.equals(all_of_it.pre_period)
    assert early.pre_period["cohort"].unique().to_list() == [SMALL_COHORTS]


def test_parents_are_named_and_may_have_traffic_of_their_own() -> None:
    """A parent with traces is a stratum beside its children."""
    window = traces({"gift_card": 2, "payments": 60, "lone": 3}, 2, stratum="hard")
    found = pooled(window, window.clear(), PoolingRules(below=10, parents={"gift_card": "payments"}))
    assert dict(found.members) == {"payments": ("gift_card", "payments")}
    assert sorted(found.window.filter(cohort="payments")["stratum"].unique()) == ["gift_card / hard", "payments / hard"]
    assert found.window.filter(cohort="lone")["stratum"].unique().to_list() == ["hard"]


@pytest.mark.parametrize("below", [1.0, 1e9])
def test_no_trace_is_lost(below: float) -> None:
    """Whatever is pooled, the rows stay."""
    window = traces({"a": 5, "b": 9, "c": 1}, 3)
    found = pooled(window, window.clear(), PoolingRules(below=below))
    assert found.window["start_time"].equals(window["start_time"])
