"""A step in a daily series: shocks, autocorrelation, weekdays and controls, on series whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analytics.stats.before_after import FEWEST_DAYS_BEFORE, Steps, assess_steps, control_series, steps
from analytics.stats.contrast import RATE_SCALES

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.stats.sums import FloatArray

ALPHA = 0.05 / 240


@dataclass(frozen=True)
class World:
    """Cohorts of 8 % failures, with shocks that all share.

    Attributes:
        shock: standard deviation of the day's rate, in rate.
        autocorrelation: of the shocks.
        before: days before the change.
        after: days after it.
        per_day: traces a day.
        effect: what the change adds to the rate.
        controls: cohorts that stay with the base.
        weekend: what Saturday and Sunday add to the rate.
        first_weekday: of the first day.
    """

    shock: float
    autocorrelation: float = 0.5
    before: int = 28
    after: int = 14
    per_day: int = 500
    effect: float = 0.0
    controls: int = 0
    weekend: float = 0.0
    first_weekday: int = 0

    def draw(self, runs: int, seed: int) -> Steps:
        """The steps of so many independent worlds."""
        rng = np.random.default_rng(seed)
        days = self.before + self.after
        common = np.empty((runs, days))
        common[:, 0] = rng.standard_normal(runs)
        for day in range(1, days):
            fresh = np.sqrt(1 - self.autocorrelation**2) * rng.standard_normal(runs)
            common[:, day] = self.autocorrelation * common[:, day - 1] + fresh
        weekday = (np.arange(days) + self.first_weekday) % 7
        rate = np.repeat((0.08 + self.shock * common + self.weekend * (weekday >= 5))[:, None], 1 + self.controls, 1)
        rate[:, 0, self.before :] += self.effect
        x = rng.binomial(self.per_day, np.clip(rate, 0.001, 0.9)) / self.per_day
        usual = x[:, :, : self.before].mean(axis=2)
        slope = usual * (1 - usual)
        series = x[:, 0]
        if self.controls:
            is_control = np.arange(1 + self.controls) > 0
            commons = [control_series(*each, is_control, each[1]) for each in zip(x, slope, strict=True)]
            series = series - slope[:, :1] * np.array(commons)
        noise = np.broadcast_to(slope[:, :1] / self.per_day, series.shape)
        scales = np.multiply.outer(np.array(RATE_SCALES), usual[:, 0])
        return steps(series, noise, weekday, self.before, scales, np.ones((runs, self.after), dtype=np.bool_))


def found(log_e: FloatArray, alpha: float) -> tuple[float, float]:
    """Share of cells that are found by the end, and the median day on which."""
    hit = log_e >= -np.log(alpha)
    day = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.inf)
    return float(np.isfinite(day).mean()), float(np.median(day))


def one(x: FloatArray, before: int, weekday: FloatArray | None = None) -> Steps:
    """The steps of series without noise of their own."""
    days = np.arange(x.shape[1]) % 7 if weekday is None else weekday
    enough = np.ones((len(x), x.shape[1] - before), dtype=np.bool_)
    return steps(x, np.zeros_like(x), days, before, np.full((3, len(x)), 0.1), enough)


def test_step_and_variance_by_hand() -> None:
    """Without autocorrelation the step is the difference of means, with the variance of two means."""
    before, after = np.tile([4.0, -4.0, 2.0, -2.0, 0.0], 2), np.array([3.0, 5.0])
    got = one(np.concatenate([before, after])[None], 10)
    assert got.autocorrelation == pytest.approx([0.0])
    assert got.contrast.effect[0] == pytest.approx([3.0, 4.0])
    spread = before.var(ddof=1)
    assert got.contrast.variance[0] == pytest.approx([spread * (1 / 10 + 1), spread * (1 / 10 + 1 / 2)])
    assert got.contrast.degrees[0] == pytest.approx([9.0, 9.0])


def test_autocorrelation_widens() -> None:
    """Series that wander have a wider step and fewer degrees of freedom; the estimate is near the truth."""
    rng = np.random.default_rng(1)
    x = np.empty((500, 64))
    x[:, 0] = rng.standard_normal(500)
    for day in range(1, 64):
        x[:, day] = 0.5 * x[:, day - 1] + np.sqrt(0.75) * rng.standard_normal(500)
    got = one(x, 56)
    assert np.median(got.autocorrelation) == pytest.approx(0.5, abs=0.05)
    step = got.contrast.effect[:, -1]
    # Averages of eight days vary less than the formula for many days says.
    assert 0.6 < step.std() / np.sqrt(got.contrast.variance[:, -1]).mean() < 1.0


def test_a_day_is_never_surer_than_its_traces() -> None:
    """Series that happen to vary less than their traces must are given the traces' variance, and thin days more."""
    rng = np.random.default_rng(2)
    x = 0.05 + 0.001 * rng.standard_normal((1, 12))
    noise = np.full((1, 12), 0.02**2)
    noise[:, 10:] *= 4
    enough = np.ones((1, 2), dtype=np.bool_)
    got = steps(x, noise, np.arange(12) % 7, 10, np.full((1, 1), 0.1), enough)
    widening = (1 + got.autocorrelation[0]) / (1 - got.autocorrelation[0])
    expected = 0.02**2 * widening * (1 / 10 + 1 / 2) + 3 * 0.02**2 / 2
    assert got.contrast.variance[0, 1] == pytest.approx(expected)


def test_weekdays_are_compared_with_themselves() -> None:
    """Worse weekends do not look like a worse model when the change falls on a Saturday."""
    world = World(0.004, 0.0, weekend=0.06, first_weekday=5)
    got = world.draw(400, 3)
    assert got.matched.mean() > 0.95
    assert found(got.evidence.worse, 0.05)[0] <= 0.05
    assert abs(float(got.contrast.effect[:, 1].mean())) < 0.003


def test_days_that_are_missing_leave_no_trace() -> None:
    """A missing day before or after counts neither as a day nor as a value."""
    rng = np.random.default_rng(4)
    whole = rng.standard_normal((1, 20))
    holed = np.insert(whole, [3, 15], np.nan, axis=1)
    got, expected = one(holed, 13), one(whole, 12)
    assert got.days_before == pytest.approx(expected.days_before)
    assert got.contrast.effect[0, -1] == pytest.approx(expected.contrast.effect[0, -1])


def test_controls_take_out_what_is_common() -> None:
    """A common step leaves no step beside the controls; a control's missing day does not show its level."""
    rng = np.random.default_rng(5)
    days = 0.02 * rng.standard_normal(30) + np.repeat([0.0, 0.05], (20, 10))
    level = np.array([0.1, 0.2, 0.4])
    x = level[:, None] + days[None, :]
    x[2, 5] = np.nan
    common = control_series(x, np.ones(3), np.array([False, True, True]), np.ones(3))
    assert x[0] - common == pytest.approx(np.full(30, (x[0] - common)[0]), abs=0.02)
    assert np.isnan(control_series(x, np.ones(3), np.zeros(3, dtype=np.bool_), np.ones(3))).all()


def test_too_few_days_say_nothing() -> None:
    """Below the fewest days there is no evidence; without events enough there is an estimate, but no evidence."""
    rng = np.random.default_rng(6)
    x = np.concatenate([rng.standard_normal((1, FEWEST_DAYS_BEFORE - 1)), np.full((1, 3), 50.0)], axis=1)
    short = one(x, FEWEST_DAYS_BEFORE - 1)
    assert not short.days.any()
    assert (short.evidence.worse == 0).all()
    longer = np.concatenate([rng.standard_normal((1, 20)), np.full((1, 3), 50.0)], axis=1)
    rare = steps(longer, np.zeros_like(longer), np.arange(23) % 7, 20, np.ones((3, 1)), np.zeros((1, 3), np.bool_))
    assert rare.days.all()
    assert (rare.evidence.worse == 0).all()


def test_constant_days_are_certain_of_a_change_and_of_nothing_else() -> None:
    """Days that are all alike: a different one is certain, an equal one says nothing."""
    x = np.full((2, 12), 100.0)
    x[1, 10:] = 150.0
    got = one(x, 10)
    assert not got.varies.any()
    assert (got.evidence.worse[0] == 0).all()
    assert (got.evidence.worse[1] > 100).all()


def test_assessment_agrees_with_the_test() -> None:
    """Ends lie above 0 just where "worse" was shown; the forecast of days is kept when they come."""
    got = World(0.012, effect=0.06, controls=4).draw(300, 7)
    level = np.full(300, ALPHA)
    worse, better = (each.max(axis=1) >= -np.log(ALPHA) for each in (got.evidence.worse, got.evidence.better))
    margin, nothing = np.full(300, 0.02), np.zeros(300)
    told = assess_steps(
        got, rejected=(worse, better), levels=(level, level), margin=margin, at_margin=nothing, alpha=0.05
    )
    assert ((told.low > 0) == worse).all()
    assert (told.high >= told.effect).all()
    assert np.isinf(told.days_needed[told.effect > 0.02]).all()
    equal = World(0.012, controls=4).draw(300, 8)
    none = np.zeros(300, dtype=np.bool_)
    told = assess_steps(
        equal, rejected=(none, none), levels=(level, level), margin=margin, at_margin=nothing, alpha=0.05
    )
    assert (told.high_alone < 0.02).mean() > 0.5
    assert ((told.days_needed == 1) | (told.high_alone >= 0.02)).all()
    wider = assess_steps(
        equal, rejected=(none, none), levels=(level, level), margin=margin, at_margin=nothing + 1e-4, alpha=0.05
    )
    assert (wider.high_alone > told.high_alone).all()


@pytest.mark.parametrize("before", [7, 14, 28])
@pytest.mark.parametrize("controls", [0, 4])
def test_shocks_do_not_alarm(before: int, controls: int) -> None:
    """Equal models under strong shocks that wander: at a nominal 5 % with daily looks at most 5 % alarm, either way."""
    got = World(0.024, before=before, controls=controls).draw(600, 9)
    for log_e in (got.evidence.worse, got.evidence.better):
        assert found(log_e, 0.05)[0] <= 0.05
        assert found(log_e, ALPHA)[0] <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("controls", [0, 4])
@pytest.mark.parametrize("shock", [0.012, 0.024])
def test_error_and_power(shock: float, controls: int, record_testsuite_property: Callable[[str, object], None]) -> None:
    """B1 and B2: 500 a day, 28 days before, shocks with autocorrelation .5, 14 daily looks."""
    world, name = World(shock, controls=controls), f"shocks of {shock}, {controls} controls"
    equal = world.draw(4_000, 10)
    alarms = [found(log_e, 0.05)[0] for log_e in (equal.evidence.worse, equal.evidence.better)]
    record_testsuite_property(f"{name}: false worse and better at a nominal .05", tuple(alarms))
    strict = [found(log_e, ALPHA)[0] for log_e in (equal.evidence.worse, equal.evidence.better)]
    record_testsuite_property(f"{name}: the same at .05/240", tuple(strict))
    assert max(alarms) <= 0.03
    assert max(strict) <= 0.01
    for effect in (0.03, 0.05):
        share, day = found(replace(world, effect=effect).draw(1_000, 11).evidence.worse, ALPHA)
        record_testsuite_property(f"{name}: +{effect} found at .05/240, median day", (share, day))
        if controls and effect == 0.05:
            assert share >= 0.90
            assert day <= 6
