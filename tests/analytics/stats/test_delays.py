"""Delays with censoring: published curves, and windows of known truth."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.stats.delays import MINIMUM_EVENTS, DelayCurve, delay_curve, learned_window

# Remission in weeks under 6-mercaptopurine (Freireich et al., Blood 21 (1963) 699), the textbooks' example.
FREIREICH = ([6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35])
FREIREICH_CURVE = {6: 0.8571, 7: 0.8067, 10: 0.7529, 13: 0.6902, 16: 0.6275, 22: 0.5378, 23: 0.4482}
# Months, of Kaplan & Meier's own paper (JASA 53 (1958) 457, section 2.2).
KAPLAN_MEIER = ([0.8, 3.1, 5.4, 9.2], [1.0, 2.7, 7.0, 12.1])
KAPLAN_MEIER_CURVE = {0.8: 0.875, 3.1: 0.7, 5.4: 0.525, 9.2: 0.2625}


def curve_of(delays: list[float], ages: list[float]) -> DelayCurve:
    """The curve of plain lists."""
    return delay_curve(np.array(delays, dtype=float), np.array(ages, dtype=float))


@pytest.mark.parametrize(
    ("data", "published"), [(FREIREICH, FREIREICH_CURVE), (KAPLAN_MEIER, KAPLAN_MEIER_CURVE)], ids=["1963", "1958"]
)
def test_published_examples(data: tuple[list[float], list[float]], published: dict[float, float]) -> None:
    """Two worked examples from print come out to the last digit that was printed."""
    curve = curve_of(*data)
    staying = dict(zip(curve.delays.tolist(), (1 - curve.arrived).tolist(), strict=True))
    assert {time: staying[time] for time in published} == pytest.approx(published, abs=5e-5)


def simulated(
    draw: str, median_hours: float, seed: int, traces: int = 4000, share: float = 0.3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four weeks of traces of which a share gets an outcome some time: delays, ages of the others, ages of all."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(0, 28 * 24, traces)
    scale = {
        "exponential": lambda: rng.exponential(median_hours / np.log(2), traces),
        "lognormal": lambda: median_hours * np.exp(1.0 * rng.standard_normal(traces)),
    }[draw]()
    delay = np.where(rng.random(traces) < share, scale, np.inf)
    seen = delay <= age
    return delay[seen], age[~seen], age


TRUE_95 = {"exponential": np.log(20) / np.log(2), "lognormal": np.exp(1.6449)}


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize(("draw", "median_hours"), [("exponential", 40.0), ("lognormal", 40.0)])
def test_the_window_is_the_true_one(
    draw: str, median_hours: float, share: float, record_property: pytest.RecordProperty
) -> None:
    """The learned window is the 95th percentile of the delays; the percentile of those that were seen is too short."""
    truth = median_hours * TRUE_95[draw]
    learned, naive = [], []
    for seed in range(40):
        delays, ages, observed = simulated(draw, median_hours, seed, share=share)
        found = learned_window(delay_curve(delays, ages), observed)
        assert found.window is not None
        learned.append(found.window)
        naive.append(float(np.quantile(delays, 0.95)))
    ours, theirs = float(np.mean(learned)) / truth, float(np.mean(naive)) / truth
    record_property(f"{draw}, {share:.0%}: learned and naive window, share of the true one", f"{ours:.3f} {theirs:.3f}")
    assert 0.95 < ours < 1.05
    assert theirs < ours - 0.03


def test_a_curve_that_still_rises_teaches_nothing() -> None:
    """Delays about as long as what could be observed, or longer: the end of the curve is not the end of the labels."""
    delays, ages, observed = simulated("exponential", 14 * 24, seed=1)
    found = learned_window(delay_curve(delays, ages), observed)
    assert (found.window, found.settled) == (None, False)
    assert found.follow_up > 0


def test_a_few_outcomes_teach_nothing() -> None:
    """Below the least number of outcomes nothing is learned; with it, it is."""
    ages = np.full(5000, 500.0)
    few = learned_window(delay_curve(np.linspace(1, 10, MINIMUM_EVENTS - 1), ages), ages)
    enough = learned_window(delay_curve(np.linspace(1, 10, MINIMUM_EVENTS), ages), ages)
    assert few.window is None
    assert enough.window == pytest.approx(9.6, abs=0.2)


def test_all_at_once_waits_for_nothing() -> None:
    """Where every outcome came with its trace there is nothing to wait for."""
    ages = np.full(100, 300.0)
    assert learned_window(delay_curve(np.zeros(100), ages), ages).window == 0.0


def test_an_evaluator_of_every_trace_is_learned() -> None:
    """Where every trace has had its score, all that came before is known, and the window is the scores'."""
    found = learned_window(delay_curve(np.linspace(1, 30, 1000), np.array([])), np.linspace(30, 300, 1000))
    assert found.window == pytest.approx(28.6, abs=0.2)


def test_traces_too_few_to_follow_teach_nothing() -> None:
    """Fifty outcomes on fewer than fifty traces that existed for long enough."""
    short = np.concatenate([np.full(49, 300.0), np.full(11, 12.0)])
    found = learned_window(delay_curve(np.linspace(1, 10, 50), np.full(10, 12.0)), short)
    assert found.window is None


def test_nothing_observed_is_refused() -> None:
    """Without a trace there is no curve."""
    with pytest.raises(ValueError, match="no trace was observed"):
        curve_of([], [])
