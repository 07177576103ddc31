"""Families drawn as sums: they are those of the traces, and the population is the one that is documented."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import numpy as np
import pytest

from analytics.cells import cells
from analytics.simulation.family import COST, LATENCY, Bools, Drawn, FamilySize, draw_family
from analytics.simulation.family_frame import FIRST_DAY, family_metrics, traces_frame
from analytics.simulation.family_sums import METRICS, Adder, family_sums
from analytics.simulation.scenarios import RATES, SCENARIOS, Scenario
from analytics.stats.contrast import design_effect
from analytics.stats.sums import TwoArmSums

SMALL = FamilySize(per_day=(40, 15), days=9)


def assert_equal(one: TwoArmSums, other: TwoArmSums) -> None:
    """Every sum of both arms and of shared users agrees."""
    for part in ("base", "candidate", "cross"):
        mine, theirs = getattr(one, part), getattr(other, part)
        for field in fields(mine):
            assert getattr(mine, field.name) == pytest.approx(getattr(theirs, field.name), rel=1e-9), (part, field.name)


@pytest.mark.parametrize("name", ["aa", "aa-canary", "aa-by-request"])
def test_sums_are_those_of_the_reports(name: str) -> None:
    """The traces as a frame, aggregated as a report aggregates them, give the same sums; late labels too."""
    drawn = draw_family(SCENARIOS[name], 3, SMALL, tuple(RATES))
    metrics = {name: metric for name, metric in family_metrics().items() if name in RATES}
    frame = traces_frame(drawn).drop("stratum")
    found = cells(frame, frame.clear(), tuple(metrics.values()), as_of=FIRST_DAY + timedelta(days=SMALL.days))
    assert len(found.looks) == SMALL.days
    for metric, mine in family_sums(drawn, tuple(RATES)).items():
        assert_equal(mine.sums, found.by_metric[metrics[metric].name].sums)


def test_sums_of_a_part_are_those_of_its_traces() -> None:
    """Traces that are left out are as if they had never been drawn."""
    drawn = draw_family(SCENARIOS["aa-by-request"], 4, SMALL, (LATENCY,))
    kept, per_trace = drawn.hard, ("user", "cohort", "day", "candidate", "hard", "drifted", "lost")
    part = replace(
        drawn,
        **{name: getattr(drawn, name)[kept] for name in per_trace},
        values={name: values[kept] for name, values in drawn.values.items()},
    )
    value = drawn.values[LATENCY]
    assert_equal(Adder(drawn).sums(value, where=kept), Adder(part).sums(value[kept]))


def assert_rate(drawn: Drawn, metric: str, chosen: Bools, expected: float) -> None:
    """The rate of the chosen traces is as expected, but for chance; users who come back are allowed for."""
    failed = drawn.values[metric][chosen]
    assert abs(failed.mean() - expected) < 4 * np.sqrt(2 * expected / len(failed)), metric


def test_rates_are_those_stated() -> None:
    """Both arms have the documented rates; a scenario's change comes on top, in the affected cohorts alone."""
    size = FamilySize(per_day=(1_500,) * 4)
    equal = draw_family(SCENARIOS["aa"], 1, size, tuple(RATES))
    for metric, expected in RATES.items():
        assert_rate(equal, metric, equal.candidate, expected)
        assert_rate(equal, metric, ~equal.candidate, expected)
    changed = draw_family(Scenario("", "", added={"error": 0.01}, affected=2), 1, size, ("error",))
    assert_rate(changed, "error", changed.candidate & (changed.cohort < 2), 0.015)
    assert_rate(changed, "error", changed.candidate & (changed.cohort >= 2), 0.005)


def test_a_users_traces_are_alike() -> None:
    """Design effects of rates are moderate, as those of real traffic split by user are."""
    drawn = draw_family(SCENARIOS["aa"], 2, FamilySize(per_day=(1_500,)))
    for metric, found in family_sums(drawn, tuple(RATES)).items():
        assert 1.0 <= design_effect(found.sums)[0, -1] < 1.9, metric


@pytest.mark.parametrize(("times", "tail", "middle"), [(2, 1.11, 1.007), (3, 1.22, 1.016), (6, 1.58, 1.041)])
def test_a_slow_path_moves_the_tail(times: float, tail: float, middle: float) -> None:
    """More slow traces raise the 99th percentile as documented, and the median hardly."""
    size = FamilySize(per_day=(40_000,), days=5)
    drawn = draw_family(Scenario("", "", slow_factor=times), 5, size, (LATENCY,))
    median, p99 = (
        np.quantile(drawn.values[LATENCY][drawn.candidate], share)
        / np.quantile(drawn.values[LATENCY][~drawn.candidate], share)
        for share in (0.5, 0.99)
    )
    assert p99 == pytest.approx(tail, abs=0.05)
    assert median == pytest.approx(middle, abs=0.02)


def test_families_share_a_day_but_not_with_each_other() -> None:
    """A bad day is bad for all cohorts of a family; another family has other days."""
    shocked = replace(SCENARIOS["aa-shocks"], day_shock=0.5)
    drawn = draw_family(shocked, 6, FamilySize(per_day=(400, 400), families=2), ("escalated",))
    daily = np.bincount(drawn.cohort * 14 + drawn.day, drawn.values["escalated"]).reshape(4, 14)
    correlation = np.corrcoef(daily / np.bincount(drawn.cohort * 14 + drawn.day).reshape(4, 14))
    assert correlation[0, 1] > 0.7
    assert correlation[2, 3] > 0.7
    assert abs(correlation[0, 2]) < 0.7


def test_before_and_after() -> None:
    """Before the promotion the base serves all, afterwards the candidate does, but for cohorts that stay."""
    size = FamilySize(per_day=(60, 60), days=5)
    scenario = replace(SCENARIOS["aa-before-after"], days_before=10, controls=1)
    drawn = draw_family(scenario, 7, size, ("error",))
    assert drawn.days == 15
    assert (drawn.candidate == (drawn.day >= 10) & (drawn.cohort == 0)).all()


def test_a_family_has_twelve_metrics_and_its_seed() -> None:
    """The same seed gives the same evidence, another one other."""
    size = FamilySize(per_day=(60, 200))
    first, again, other = (family_sums(draw_family(SCENARIOS["aa"], seed, size)) for seed in (1, 1, 2))
    assert tuple(first) == METRICS
    for metric in METRICS:
        assert np.array_equal(first[metric].evidence.worse, again[metric].evidence.worse)
    assert not np.array_equal(first["latency_p50"].evidence.worse, other["latency_p50"].evidence.worse)


def test_capped_and_clipped_values() -> None:
    """Cost is capped at the frozen percentile, so no user's total is beyond it times the traces."""
    drawn = draw_family(SCENARIOS["aa"], 8, FamilySize(per_day=(300,)))
    found = family_sums(drawn, ("cost_per_trace",))["cost_per_trace"].sums
    cap = drawn.thresholds.cost_cap[0]
    assert (drawn.values[COST] > cap).mean() == pytest.approx(0.005, abs=0.004)
    assert found.base.mean[0, -1] < drawn.values[COST][~drawn.candidate].mean()
