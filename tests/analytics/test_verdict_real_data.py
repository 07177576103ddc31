"""Real data: random halves of production traffic, repeated tasks, and the cases of another judge."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of benchmarks/, which is no package."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("reference_data")


@pytest.fixture
def data(shared_fixtures: Path) -> Callable[[str], Path]:
    """Finds a data set, or skips."""

    def find(name: str) -> Path:
        path = shared_fixtures.parent / "reference_data" / name
        if not path.exists():
            pytest.skip(f"the data set is not at {path}")
        return path

    return find


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("service", ["conv", "code"])
@pytest.mark.parametrize("which", [0, 1], ids=["tokens", "cost"])
def test_halves_of_real_heavy_tails_are_seldom_told_apart(
    benchmark: Any, data: Callable[[str], Path], record_property: Any, service: str, which: int
) -> None:
    """At nominal 5 % and 14 peeks, at most 2 % of the cells alarm; a z-test with peeks alarms in over 10 %."""
    metric = (benchmark.TOKENS, benchmark.COST)[which]
    splits = 200
    alarms = benchmark.request_splits(benchmark.azure_values(data("azure_llm"), service)[which], metric, splits)
    record_property("false alarms", alarms.worse)
    record_property("naive", alarms.naive)
    # 2 % and two standard errors of a share of 200.
    assert max(alarms.worse, alarms.better) <= 0.02 + 0.02
    assert alarms.naive > 0.1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_per_cent_more_are_found_in_real_costs(
    benchmark: Any, data: Callable[[str], Path], record_property: Any
) -> None:
    """Of 19,366 requests, inside a family of 240 cells."""
    costs = benchmark.azure_values(data("azure_llm"), "conv")[1]
    found = benchmark.request_splits(costs, benchmark.COST, 100, factor=1.05).family
    record_property("found", found)
    assert found > 0.7


@pytest.mark.parametrize(
    ("column", "rate", "correlation", "unbiased"), [("failed", 0.58, 0.41, 2.24), ("escalated", 0.24, 0.45, 2.35)]
)
def test_repeated_tasks_are_worth_less_than_half(
    benchmark: Any, data: Callable[[str], Path], column: str, rate: float, correlation: float, unbiased: float
) -> None:
    """ICC and design effect of tau-bench's airline tasks, four trials each, from the kernel's own sums."""
    trials = benchmark.tau_trials(data("tau_bench") / "gpt-4o-airline_trials.csv")
    found = benchmark.clustering(trials, column)
    assert found.rate == pytest.approx(rate, abs=0.005)
    assert found.correlation == pytest.approx(correlation, abs=0.005)
    assert found.unbiased == pytest.approx(unbiased, abs=0.005)
    assert found.design_effect == pytest.approx(found.unbiased * 49 / 50)


@pytest.mark.slow
def test_a_split_by_task_fools_who_counts_runs(
    benchmark: Any, data: Callable[[str], Path], record_property: Any
) -> None:
    """One-sided at 5 %, one look: a z-test of runs alarms twice as often as it says, the product does not."""
    trials = benchmark.tau_trials(data("tau_bench") / "gpt-4o-airline_trials.csv")
    alarms = benchmark.task_splits(trials, "failed", 400, by_task=True)
    record_property("naive", alarms.naive)
    assert alarms.naive > 0.1
    assert alarms.worse <= 0.05


def test_the_page_on_kayenta_is_what_is_found_now(
    benchmark: Any, data: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/kayenta.md holds the table that the benchmark prints."""
    benchmark.print_kayenta(data("kayenta") / "classifier_cases.json")
    table = capsys.readouterr().out.strip()
    assert len(table.splitlines()) == 37 + 2
    assert table in (ROOT / "docs" / "kayenta.md").read_text("utf-8")


def test_a_z_test_of_traces_is_what_it_says(benchmark: Any) -> None:
    """The test set beside ours alarms where the last look alone does, and not where the arms are equal."""
    candidate = np.arange(400) % 2 == 0
    days = np.arange(400) * 14 // 400
    noise = np.random.default_rng(1).normal(size=200).repeat(2)
    for shift, alarms in ((0.0, False), (1.0, True)):
        traces = benchmark.frame(noise + shift * candidate, candidate, days, np.arange(400))
        assert benchmark._z_alarms(traces, 14) is alarms
