"""Simulated promotions: what is drawn is what the truth says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analytics.simulation.draw import COHORTS, PROMOTED_AT, Size, base_rate, draw_days
from analytics.simulation.files import write_scenario
from analytics.simulation.scenarios import RATES, SCENARIOS, Scenario

LARGE = Size(days=6, cohorts=2, scale=4)
SMALL = Size(days=2, cohorts=2, scale=0.05)


@cache
def drawn(scenario: Scenario, size: Size = LARGE, seed: int = 3) -> pl.DataFrame:
    """All traces after the promotion."""
    days = [traces for day, traces in draw_days(scenario, seed, size) if day >= PROMOTED_AT]
    return pl.concat(days)


def assert_near(observed: float, expected: float, traces: int) -> None:
    """Within five standard errors of a rate, users' correlation allowed for."""
    assert abs(observed - expected) < 5 * np.sqrt(3 * expected / traces), (observed, expected)


@pytest.mark.parametrize("name", ["aa", "rate-shift", "hidden-regression", "mix-shift"])
def test_rates_are_the_true_ones(name: str) -> None:
    """Each arm fails as often as the truth says; where the mix of requests differs, as often as that mix makes it."""
    scenario = SCENARIOS[name]
    traces = drawn(scenario)
    for row, cohort in enumerate(COHORTS[:2]):
        for arm in (False, True):
            own = traces.filter((pl.col("cohort") == cohort) & (pl.col("is_candidate") == arm))
            for metric in RATES:
                if metric == "task_completion" and scenario.hard_share[0] != scenario.hard_share[1]:
                    continue
                expected = base_rate(metric, row) + (scenario.added.get(metric, 0.0) if arm else 0.0)
                assert_near(float(own[metric].cast(pl.Float64).mean()), expected, own.height)  # type: ignore[arg-type]


def test_a_trap_hides_what_the_strata_show() -> None:
    """An easier mix hides a regression from the raw rate, and the raw rate alone."""
    traces = drawn(SCENARIOS["hidden-regression"])
    raw = dict(traces.group_by("is_candidate").agg(pl.col("task_completion").mean()).iter_rows())
    assert abs(raw[True] - raw[False]) < 0.01
    by_stratum = {
        (hard, arm): rate
        for hard, arm, rate in traces.group_by("is_hard", "is_candidate")
        .agg(pl.col("task_completion").mean())
        .iter_rows()
    }
    assert by_stratum[False, True] > by_stratum[False, False] + 0.01
    assert by_stratum[True, True] > by_stratum[True, False] + 0.02


def test_traces_of_a_user_are_alike() -> None:
    """The variance of a user's failures is more than independent traces have, in the range of real traffic."""
    traces = drawn(SCENARIOS["aa"], Size(days=14, cohorts=2, scale=2))
    by_user = traces.group_by("cohort", "user_id").agg(n=pl.len(), y=pl.col("task_completion").sum())
    rate = by_user["y"].sum() / by_user["n"].sum()
    residual = by_user["y"].to_numpy() - rate * by_user["n"].to_numpy()
    effect = float((residual**2).sum() / (by_user["n"].sum() * rate * (1 - rate)))
    assert 1.1 < effect < 2.0


def test_arms_by_user_and_by_request() -> None:
    """Split by user nobody meets both arms; by request most active users do; shares are those stated."""
    for name, share, both in (("aa", 0.5, 0.0), ("aa-canary", 0.1, 0.0), ("aa-by-request", 0.5, 0.3)):
        users = (
            drawn(SCENARIOS[name]).group_by("cohort", "user_id").agg(arms=pl.col("is_candidate").n_unique(), n=pl.len())
        )
        met_both = float((users["arms"] == 2).mean() or 0.0)
        assert (met_both > both) if both else (met_both == 0.0)
        assert float(drawn(SCENARIOS[name])["is_candidate"].mean() or 0.0) == pytest.approx(share, abs=0.03)


def test_a_slow_path_moves_the_tail_alone() -> None:
    """Three times as many slow traces: the 99th percentile rises by a fifth or more, the median hardly."""
    traces = drawn(SCENARIOS["p99-only"])
    median, tail = (
        dict(traces.group_by("is_candidate").agg(pl.col("latency_ms").quantile(q)).iter_rows()) for q in (0.5, 0.99)
    )
    assert median[True] / median[False] < 1.05
    assert tail[True] / tail[False] > 1.15


def test_a_late_onset() -> None:
    """Before the onset the arms are alike."""
    traces = drawn(replace(SCENARIOS["late-onset"], onset_day=4))
    onset = int((PROMOTED_AT + timedelta(days=4)).timestamp()) * 10**9
    early, late = traces.filter(pl.col("start_ns") < onset), traces.filter(pl.col("start_ns") >= onset)
    for part, low, high in ((early, -0.015, 0.015), (late, 0.03, 0.07)):
        rates = dict(part.group_by("is_candidate").agg(pl.col("task_completion").mean()).iter_rows())
        assert low < rates[True] - rates[False] < high


@pytest.mark.parametrize("name", ["aa-by-request", "prompt-drift", "missing-scores"])
def test_the_same_seed_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    """Files of one seed are equal byte for byte, of another seed not; every line is JSON."""
    folders = {seed: tmp_path / str(seed) for seed in (1, 2)}
    again = tmp_path / "again"
    for seed, folder in folders.items():
        assert write_scenario(folder, SCENARIOS[name], seed, SMALL) > 0
    write_scenario(again, SCENARIOS[name], 1, SMALL)
    files = sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [(folders[1] / file).read_bytes() == (again / file).read_bytes() for file in files] == [True] * len(files)
    assert (folders[2] / "feedback.csv").read_bytes() != (again / "feedback.csv").read_bytes()
    told = json.loads((again / "truth.json").read_text("utf-8"))
    assert told["scenario"] == name
    assert set(told["expected"]) == set(SCENARIOS[name].expected)
