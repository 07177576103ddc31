"""Real data that nobody here wrote: random splits, injected changes, repeated tasks, and another judge's cases.

    python benchmarks/reference_data.py --data DIR [--only kayenta,azure,tau] [--splits 200]

DIR holds ``kayenta/classifier_cases.json`` (the judge's tests of spinnaker/kayenta), ``azure_llm/`` (Azure public
dataset, LLM inference traces of 2023) and ``tau_bench/gpt-4o-airline_trials.csv`` (one row per task and trial).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import ndtri

from analytics.cells import cells
from analytics.metric_tests import metric_test
from analytics.metrics import Metric, MetricKind
from analytics.stats.contrast import design_effect, log_ratio
from analytics.stats.evidence import MINIMUM_UNITS, Evidence, mean_evidence, rate_evidence
from analytics.stats.family import anytime_p_values
from analytics.stats.sums import ArmSums, CrossSums, TwoArmSums
from analytics.verdict import judge

START = datetime(2026, 3, 1)  # noqa: DTZ001 (the traces frame's times are naive UTC)
LOOKS = 14
ALPHA = 0.05
FAMILY = 240
"""Cells of the family that an injected change has to be found in."""

TOKENS = Metric("output_tokens", MetricKind.MEAN, "value", "tokens", 0.1, "relative")
COST = Metric("cost_per_trace", MetricKind.MEAN, "value", "usd", 0.1, "relative")
FAILED = Metric("failed", MetricKind.RATE, "value", "rate", None)
OUTPUT_PRICE = 4.0
"""What a generated token costs, in tokens of context."""

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the data sets")
    parser.add_argument("--only", default="kayenta,azure,tau", help="names, by commas")
    parser.add_argument("--splits", type=int, default=200, help="random splits of each data set")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if "kayenta" in chosen:
        print_kayenta(options.data / "kayenta" / "classifier_cases.json")
    if "azure" in chosen:
        print_azure(options.data / "azure_llm", options.splits)
    if "tau" in chosen:
        print_tau(options.data / "tau_bench" / "gpt-4o-airline_trials.csv", options.splits)


def frame(values: Floats, candidate: Flags, days: npt.NDArray[np.int64], units: npt.NDArray[Any]) -> pl.DataFrame:
    """Values as the traces frame of one cohort."""
    times = np.datetime64(START, "ns") + (days * 86_400 * 10**9).astype("timedelta64[ns]")
    return pl.DataFrame(
        {
            "trace_id": np.arange(len(values)).astype(str),
            "end_time": times,
            "cohort": np.full(len(values), "all"),
            "arm": np.where(candidate, "candidate", "base"),
            "unit": units.astype(str),
            "value": values,
        },
        schema_overrides={"trace_id": pl.String, "unit": pl.String, "cohort": pl.String, "arm": pl.String},
    )


@dataclass(frozen=True)
class Alarms:
    """Which of several splits alarmed, as shares.

    Attributes:
        worse: "the candidate is worse" was said at some look, at 5 % of one cell.
        better: the same of "better".
        naive: a z-test of traces, one-sided at 5 %, said "worse" at some look.
        family: "worse" was said inside a family of 240.
    """

    worse: float
    better: float
    naive: float
    family: float


def request_splits(values: Floats, metric: Metric, splits: int, *, factor: float = 1.0, seed: int = 6) -> Alarms:
    """Split requests at random into halves, in random order over 14 days, and look every day.

    Args:
        values: one per request.
        metric: what they are.
        splits: how many times.
        factor: what the candidate's values are multiplied by.
        seed: of the splits.
    """
    rng, n = np.random.default_rng(seed), len(values)
    days = np.arange(n) * LOOKS // n
    said = []
    for _ in range(splits):
        candidate, shuffled = rng.random(n) < 0.5, values[rng.permutation(n)]
        shuffled = np.where(candidate, factor, 1.0) * shuffled
        said.append(_alarms(frame(shuffled, candidate, days, np.arange(n)), metric, LOOKS))
    return Alarms(*(float(share) for share in np.mean(said, axis=0)))


def _alarms(traces: pl.DataFrame, metric: Metric, looks: int) -> tuple[bool, bool, bool, bool]:
    data = cells(traces, traces.clear(), (metric,), as_of=START + timedelta(days=looks)).by_metric[metric.name]
    evidence = metric_test(metric, data).evidence
    most = float(evidence.worse.max())
    return (
        most >= -np.log(ALPHA),
        float(evidence.better.max()) >= -np.log(ALPHA),
        _z_alarms(traces, looks),
        most >= -np.log(ALPHA / FAMILY),
    )


def _z_alarms(traces: pl.DataFrame, looks: int) -> bool:
    """Whether a z-test that takes each trace for itself says "worse" at some look."""
    day = ((traces["end_time"].to_numpy() - np.datetime64(START, "ns")) // np.timedelta64(1, "D")).astype(np.int64)
    values, candidate = traces["value"].to_numpy(), (traces["arm"] == "candidate").to_numpy()

    def running(weights: Floats, of: Flags) -> Floats:
        return np.cumsum(np.bincount(day[of], weights=weights[of], minlength=looks))

    means, variance = [], np.zeros(looks)
    for arm in (~candidate, candidate):
        n, y, yy = (running(weights, arm) for weights in (np.ones_like(values), values, values**2))
        means.append(y / n)
        variance += (yy / n - (y / n) ** 2) / n
    return bool(((means[1] - means[0]) / np.sqrt(variance) > -ndtri(ALPHA)).any())


def azure_values(folder: Path, service: str) -> tuple[Floats, Floats]:
    """Generated tokens and costs (in tokens of context) of a service's requests."""
    rows = pl.read_csv(folder / f"AzureLLMInferenceTrace_{service}.csv.gz")
    written = rows["GeneratedTokens"].cast(pl.Float64).to_numpy()
    return written, rows["ContextTokens"].cast(pl.Float64).to_numpy() + OUTPUT_PRICE * written


def print_azure(folder: Path, splits: int) -> None:
    """False alarms on random halves, and what is found of 5 % more."""
    print(f"Azure LLM traces, {splits} random halves by request, {LOOKS} looks; +5 % inside a family of {FAMILY}\n")
    print("| service, value | requests | CV | false worse | false better | z-test with peeks | 5 % more found |")
    print("|---|---|---|---|---|---|---|")
    for service in ("conv", "code"):
        for metric, values in zip((TOKENS, COST), azure_values(folder, service), strict=True):
            same = request_splits(values, metric, splits)
            more = request_splits(values, metric, splits, factor=1.05)
            spread = values.std() / values.mean()
            print(
                f"| {service}, {metric.name} | {len(values):,} | {spread:.2f} | {same.worse:.1%} | {same.better:.1%} |"
                f" {same.naive:.1%} | {more.family:.0%} |",
                flush=True,
            )
    print()


@dataclass(frozen=True)
class Clustering:
    """What repeated runs of a task are worth.

    Attributes:
        rate: of failures.
        correlation: of two runs of one task (ICC), from the unbiased design effect.
        design_effect: by which repetition widens the variance, by our own sums.
        unbiased: the same with the factor K / (K - 1) of K tasks.
    """

    rate: float
    correlation: float
    design_effect: float
    unbiased: float


def tau_trials(path: Path) -> pl.DataFrame:
    """Each trial with its task, whether it failed and whether it went to a human."""
    return pl.read_csv(path).select(
        task=pl.col("task_id").cast(pl.String),
        failed=1.0 - pl.col("reward").cast(pl.Float64),
        escalated=pl.col("escalated_to_human").cast(pl.Float64),
    )


def clustering(trials: pl.DataFrame, column: str) -> Clustering:
    """How alike the runs of a task are.

    Args:
        trials: ``task`` and ``column``, as many runs of each task.
        column: 0/1 values.
    """
    tasks = trials.group_by("task").len()
    n, rate = float(tasks["len"][0]), float(trials[column].sum()) / trials.height
    values = trials[column].to_numpy()
    alternate = trials["task"].rank("dense").to_numpy() % 2 == 0
    traces = frame(values, alternate, np.zeros(len(values), dtype=np.int64), trials["task"].to_numpy())
    sums = cells(traces, traces.clear(), (FAILED,), as_of=START + timedelta(days=1)).by_metric[FAILED.name].sums
    design = float(design_effect(sums)[0, -1])
    # The kernel's pooled variance has no small-sample factor; the correlation is that of the unbiased one.
    unbiased = design * tasks.height / (tasks.height - 1)
    return Clustering(rate, (unbiased - 1) / (n - 1), design, unbiased)


def task_splits(trials: pl.DataFrame, column: str, splits: int, *, by_task: bool, seed: int = 6) -> Alarms:
    """Split tasks, or trials, at random into halves and look once.

    Args:
        trials: ``task`` and ``column``.
        column: 0/1 values.
        splits: how many times.
        by_task: all runs of a task are in one arm.
        seed: of the splits.
    """
    rng = np.random.default_rng(seed)
    task = trials["task"].rank("dense").to_numpy().astype(np.int64) - 1
    values, names = trials[column].to_numpy(), trials["task"].to_numpy()
    same_day = np.zeros(len(values), dtype=np.int64)
    said = []
    for _ in range(splits):
        candidate = (rng.random(task.max() + 1) < 0.5)[task] if by_task else rng.random(len(values)) < 0.5
        said.append(_alarms(frame(values, candidate, same_day, names), FAILED, 1))
    return Alarms(*(float(share) for share in np.mean(said, axis=0)))


def print_tau(path: Path, splits: int) -> None:
    """How alike runs of a task are, and what it costs not to know that."""
    trials, splits = tau_trials(path), 5 * splits
    print(f"tau-bench airline, 50 tasks with four runs each, {splits:,} random halves, one look, one-sided 5 %\n")
    print("| outcome | rate | ICC | design effect | split | z-test of runs | ours |")
    print("|---|---|---|---|---|---|---|")
    for column in ("failed", "escalated"):
        found = clustering(trials, column)
        for by_task in (True, False):
            alarms = task_splits(trials, column, splits, by_task=by_task)
            print(
                f"| {column} | {found.rate:.0%} | {found.correlation:.2f} | {found.design_effect:.2f} |"
                f" {'by task' if by_task else 'by run'} | {alarms.naive:.1%} | {alarms.worse:.1%} |",
                flush=True,
            )
    print()


@dataclass(frozen=True)
class Judged:
    """One of Kayenta's cases and what is said of it here, looked at as each value comes.

    Attributes:
        name: the case's.
        sizes: values of experiment and control.
        theirs: Kayenta's label.
        ours: the report's verdict.
        mean: anytime-valid p-value of a change of the mean, of uncapped values.
        above_zero: the same of a change in how often the value is above 0.
        because: why the two judges differ; empty where they agree.
    """

    name: str
    sizes: tuple[int, int]
    theirs: str
    ours: str
    mean: float
    above_zero: float
    because: str


def kayenta_cases(path: Path) -> Iterator[Judged]:
    """Judge each case as two arms of values."""
    for case in json.loads(path.read_text("utf-8")):
        arms = case["control"], case["experiment"]
        direction = "better" if "Direction.Decrease" in case["call"] else "worse"
        metric = Metric("value", MetricKind.MEAN, "value", "tokens", 0.1, "relative", higher_is=direction)
        verdict = _report_verdict(arms, metric)
        sums = _running(arms, np.asarray)
        of_mean = mean_evidence(sums, log_ratio(sums), np.zeros(1, dtype=np.intp))
        of_counts = rate_evidence(_running(arms, lambda values: values > 0))
        yield Judged(
            name=case["name"].removeprefix("Mann-Whitney "),
            sizes=(len(arms[1]), len(arms[0])),
            theirs=case["expected"] or "no label",
            ours=verdict,
            mean=_two_sided(of_mean),
            above_zero=_two_sided(of_counts),
            because=_because(case, verdict, min(map(len, arms))),
        )


def _report_verdict(arms: tuple[list[float], list[float]], metric: Metric) -> str:
    values = np.array([*arms[0], *arms[1]], dtype=np.float64)
    candidate = np.arange(len(values)) >= len(arms[0])
    days = np.array([place for arm in arms for place in range(len(arm))], dtype=np.int64)
    traces = frame(values, candidate, days, np.arange(len(values)))
    as_of = START + timedelta(days=int(days.max(initial=0)) + 1)
    cohorts = judge(cells(traces, traces.clear(), (metric,), as_of=as_of), (metric,), alpha=ALPHA).cohorts
    return cohorts[0].metrics[0].verdict.value if cohorts else "no cohort"


def _running(arms: tuple[list[float], list[float]], of: Callable[[Floats], npt.NDArray[Any]]) -> TwoArmSums:
    """Sums of one cell after each value, every value a unit of its own."""
    looks = max(1, *map(len, arms))

    def arm(values: list[float]) -> ArmSums:
        there = np.arange(looks) < len(values)
        padded = np.zeros(looks)
        padded[: len(values)] = of(np.array(values, dtype=np.float64))
        n, y, yy = (np.cumsum(one, dtype=np.float64)[None] for one in (there, padded, padded**2))
        return ArmSums(n, n, y, n, y, yy)

    nothing = np.zeros((1, looks))
    return TwoArmSums(arm(arms[0]), arm(arms[1]), CrossSums(nothing, nothing, nothing, nothing))


def _two_sided(evidence: Evidence) -> float:
    """Twice the smaller of both directions' p-values, at most 1."""
    return min(1.0, 2 * float(min(anytime_p_values(log_e)[0, -1] for log_e in (evidence.worse, evidence.better))))


def _because(case: dict[str, Any], ours: str, smaller: int) -> str:
    """Why the judges differ, in words, given how many values the smaller arm has."""
    theirs = case["expected"]
    if "Replace" in case["call"] and not smaller:
        return "Kayenta puts zeros for what is missing; unknown is not zero"
    if theirs in (None, "Nodata"):
        return ""
    if theirs == "Pass" and ours == "IMPROVED":
        return "a change for the better; Kayenta was not asked about that direction"
    if theirs == "Pass" and ours == "REGRESSED":
        return "told to overlook a mean up to five times as large; here the margin is 10 %"
    if ours in ("REGRESSED", "IMPROVED"):
        return ""
    if smaller < MINIMUM_UNITS:
        return f"{smaller} values are too few to pass or to fail"
    if theirs == "Pass":
        return "a difference that is not found is not yet shown to be small"
    return "the evidence does not suffice"


def print_kayenta(path: Path) -> None:
    """Each case with both judges' words."""
    cases = list(kayenta_cases(path))
    print("| case | values | Kayenta | report | p, mean | p, above 0 | why |")
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        sizes = f"{case.sizes[0]}, {case.sizes[1]}"
        print(
            f"| {case.name} | {sizes} | {case.theirs} | {case.ours} | {case.mean:.2g} | {case.above_zero:.2g} |"
            f" {case.because} |"
        )
    print()


if __name__ == "__main__":
    main()
