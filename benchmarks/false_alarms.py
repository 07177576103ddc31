"""Rows A1 to A4: how often equal models are told apart, in whole families of cells looked at every day."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import our_tests
from criteria import Found, Options, markdown, percent, spread
from ordinary_tests import ORDINARY, naive_z
from scipy.special import ndtri

from analytics.metrics import MetricKind
from analytics.simulation.family import draw_family
from analytics.simulation.family_sums import MetricSums, family_sums
from analytics.simulation.scenarios import SCENARIOS
from analytics.stats.sums import ArmSums, CrossSums, FloatArray, TwoArmSums

ALPHA = 0.05
DESIGNS = {
    "aa": "halves by user",
    "aa-canary": "10 % canary by user",
    "aa-by-request": "halves by request",
    "aa-shocks": "common day shocks",
}
"""Scenario → what the tables call it."""

_MOST_ALARMS = 7 / 300
_SEED = 1
_LOOKS = 14

Alarms = Mapping[str, tuple[bool, bool]]


def one_family(scenario: str, seed: int) -> tuple[Alarms, tuple[float, float]]:
    """What each method makes of one family, and the shares of cells that alarm at 5 % by themselves."""
    sums = family_sums(draw_family(SCENARIOS[scenario], [_SEED, list(DESIGNS).index(scenario), seed]))
    evidence = [metric.evidence for metric in sums.values()]
    alarms = {method.name: method.alarms(sums, ALPHA) for method in ORDINARY}
    of_metrics = [our_tests.p_values(metric) for metric in sums.values()]
    alarms |= {name: our_tests.alarms([each[name] for each in of_metrics], ALPHA) for name in of_metrics[0]}
    alarms[our_tests.WATCH_LIST] = our_tests.watched(evidence)
    alone = [
        float(np.mean(np.concatenate([getattr(one, side).max(axis=1) for one in evidence]) >= -np.log(ALPHA)))
        for side in ("worse", "better")
    ]
    return alarms, (alone[0], alone[1])


@lru_cache
def _families(options: Options, scenario: str) -> tuple[dict[str, tuple[int, int]], tuple[float, float]]:
    """Per method, families with a false "worse" and with a false "better"; and the cells' own alarm rates."""
    found = spread(partial(one_family, scenario), range(options.families), options.jobs)
    methods = found[0][0]
    counts = {
        name: (sum(alarms[name][0] for alarms, _ in found), sum(alarms[name][1] for alarms, _ in found))
        for name in methods
    }
    alone = np.mean([shares for _, shares in found], axis=0)
    return counts, (float(alone[0]), float(alone[1]))


def table(options: Options) -> str:
    """Share of families with any false alarm in fourteen daily looks, by method and design."""
    designs = {name: _families(options, name) for name in DESIGNS}
    methods = next(iter(designs.values()))[0]

    def cell(counts: Mapping[str, tuple[int, int]], method: str) -> str:
        return " / ".join(f"{100 * count / options.families:.1f}" for count in counts[method])

    rows = [[method, *(cell(counts, method) for counts, _ in designs.values())] for method in methods]
    alone = [" / ".join(f"{100 * share:.2f}" for share in shares) for _, shares in designs.values()]
    rows.append([f"{our_tests.ANYTIME}, single cells at 5 %", *alone])
    return markdown(("method", *DESIGNS.values()), rows)


def a1(options: Options) -> list[Found]:
    """False "regressed" in families of equal models."""
    return _false_alarms(options, "A1", "REGRESSED", 0)


def a2(options: Options) -> list[Found]:
    """False "improved" in families of equal models."""
    return _false_alarms(options, "A2", "IMPROVED", 1)


def _false_alarms(options: Options, code: str, verdict: str, side: int) -> list[Found]:
    bar, found = int(_MOST_ALARMS * options.families), []
    for method, words in ((our_tests.ANYTIME, "open-ended"), (our_tests.SPLIT, "end declared")):
        counts = {called: _families(options, name)[0][method][side] for name, called in DESIGNS.items()}
        found.append(
            Found(
                code,
                f"families of 240 equal cells with a false {verdict} in 14 daily looks, of {options.families}; {words}",
                f"at most {bar} in each design",
                "; ".join(f"{called} {count}" for called, count in counts.items()),
                all(count <= bar for count in counts.values()),
            )
        )
    return found


def a3(options: Options) -> list[Found]:
    """Whether the families can fool a test at all."""
    counts = {called: _families(options, name)[0]["naive z, Holm each report"] for name, called in DESIGNS.items()}
    shares = {called: count[0] / options.families for called, count in counts.items()}
    return [
        Found(
            "A3",
            "the same families: a naive z-test with Holm at each report alarms",
            "at least 50.0 % (halves by user)",
            "; ".join(f"{called} {percent(share)}" for called, share in shares.items()),
            shares[DESIGNS["aa"]] >= 0.5,
        )
    ]


def _halves(values: FloatArray, rng: np.random.Generator, splits: int) -> MetricSums:
    """Random halves of the same values, one cell for each split, in the order in which they came."""
    n = len(values)
    looks = np.arange(n) * _LOOKS // n
    starts = np.searchsorted(looks, np.arange(_LOOKS))
    arms = {True: np.empty((splits, 3, _LOOKS)), False: np.empty((splits, 3, _LOOKS))}
    for split in range(splits):
        shuffled, candidate = values[rng.permutation(n)], rng.random(n) < 0.5
        for arm, held in arms.items():
            ours = (candidate == arm).astype(np.float64)
            for row, each in enumerate((ours, ours * shuffled, ours * shuffled**2)):
                held[split, row] = np.cumsum(np.add.reduceat(each, starts))

    def sums(arm: bool) -> ArmSums:
        count, total, squares = arms[arm][:, 0], arms[arm][:, 1], arms[arm][:, 2]
        return ArmSums(count, count, total, count, total, squares)

    nothing = np.zeros((splits, _LOOKS))
    both = TwoArmSums(sums(arm=False), sums(arm=True), CrossSums(nothing, nothing, nothing, nothing))
    return MetricSums(MetricKind.MEAN, both, (arms[False][:, 2], arms[True][:, 2]))


def azure_tokens(path: Path) -> FloatArray:
    """The generated tokens of a file of the Azure LLM inference traces, capped at the 99.5th percentile."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        tokens = np.array([float(row["GeneratedTokens"]) for row in csv.DictReader(lines)])
    return np.minimum(tokens, np.quantile(tokens, 0.995))


def a4(options: Options) -> list[Found]:
    """Random halves of real, heavy-tailed costs."""
    criterion = "random halves of the Azure LLM traces' generated tokens, 14 looks, nominal 5 % a cell: alarms"
    paths = sorted(options.data.rglob("AzureLLMInferenceTrace_*.csv.gz")) if options.data else []
    if not paths:
        return [Found("A4", criterion, "at most 2.0 %", "no data: name their folder with --data", None)]
    said, shares = [], []
    for path in paths:
        metric = _halves(azure_tokens(path), np.random.default_rng(_SEED), max(options.runs, 1_000))
        ours = float((metric.evidence.worse >= -np.log(ALPHA)).any(axis=1).mean())
        naive = float((naive_z(metric) >= -ndtri(ALPHA)).any(axis=1).mean())
        shares.append(ours)
        said.append(f"{path.name.removesuffix('.csv.gz').split('_')[-1]} {percent(ours)} (naive z {percent(naive)})")
    return [Found("A4", criterion, "at most 2.0 %", "; ".join(said), max(shares) <= 0.02)]
