"""Quantiles of each cohort and arm as they are shown, with what their intervals need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.stats.quantile import QuantileSample
from analytics.values import ARMS, shown_quantile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analytics.cells import StratumSums
    from analytics.layout import Axes
    from analytics.level_one import LevelOne
    from analytics.stats.sums import BoolArray, FloatArray

_Samples = tuple[QuantileSample | None, QuantileSample | None]


def weighted_quantile(rows: pl.DataFrame, probability: float) -> float:
    """The quantile of what the traces stand for; ``rows`` have ``value``, ascending, and ``weight``."""
    return float(weighted_quantiles(rows, (probability,))[0])


def weighted_quantiles(rows: pl.DataFrame, probabilities: Sequence[float]) -> FloatArray:
    """Several at once."""
    return QuantileSample(rows["value"].to_numpy(), 1.0, 0.0, _weights(rows, {})).quantiles(probabilities)


def shown_quantiles(level: LevelOne, axes: Axes) -> FloatArray:
    """The quantile of each cohort's arms as observed, (cohorts, arms); NaN without traces."""
    probability = shown_quantile(level.metric)
    result = np.full((len(axes.cohorts), len(ARMS)), np.nan)
    for cohort, arm, rows in _parts(level):
        result[axes.cohorts.index(cohort), ARMS.index(arm)] = weighted_quantile(rows, probability)
    return result


def quantile_samples(level: LevelOne, axes: Axes, strata: Sequence[Sequence[StratumSums]]) -> tuple[_Samples, ...]:
    """The arms' values of each cohort, with the design effect of "above the arm's own quantile".

    Where there are strata each value is weighted so that both arms have the common mix of them; None where they share
    none.
    """
    probability = shown_quantile(level.metric)
    samples: dict[tuple[str, str], QuantileSample] = {}
    for cohort, arm, rows in _parts(level):
        factors = _common_mix(strata[axes.cohorts.index(cohort)], ARMS.index(arm))
        weights = _weights(rows, factors)
        if weights is not None and not weights.any():
            continue
        values = rows["value"].to_numpy()
        above = values > QuantileSample(values, 1.0, 0.0, weights).quantile(probability)
        samples[cohort, arm] = _sample(rows, values, weights, above)
    return tuple((samples.get((cohort, "base")), samples.get((cohort, "candidate"))) for cohort in axes.cohorts)


def _parts(level: LevelOne) -> Iterator[tuple[str, str, pl.DataFrame]]:
    for (cohort, arm), rows in level.values.group_by("cohort", "arm", maintain_order=True):
        yield str(cohort), str(arm), rows


def _sample(rows: pl.DataFrame, values: FloatArray, weights: FloatArray | None, above: BoolArray) -> QuantileSample:
    each = np.ones(len(values)) if weights is None else weights
    unit = rows["unit"].rank("dense").cast(pl.Int64).to_numpy() - 1
    n = np.bincount(unit, weights=each)
    y = np.bincount(unit, weights=each * above)
    total, share = n.sum(), y.sum() / n.sum()
    binomial = total * share * (1 - share)
    # A lone unit, or no value above the quantile, tells nothing about clustering.
    widening = 1.0
    if len(n) > 1 and binomial > 0:
        widening = max(1.0, float(len(n) / (len(n) - 1) * ((y - share * n) ** 2).sum() / binomial))
    return QuantileSample(values, widening, float(total**2 / (n**2).sum()), weights)


def _weights(rows: pl.DataFrame, factors: dict[str, float]) -> FloatArray | None:
    """Each value's weight; None where all count alike."""
    weights = rows["weight"].to_numpy()
    if factors:
        weights = weights * rows["stratum"].replace_strict(factors, default=1.0, return_dtype=pl.Float64).to_numpy()
    return None if (weights == 1.0).all() else weights


def _common_mix(strata: Sequence[StratumSums], arm: int) -> dict[str, float]:
    """What an arm's traces of each stratum are multiplied by to have the mix of both arms together."""
    total = [sum(stratum.n[side] for stratum in strata) for side in range(2)]
    if not strata or not all(total):
        return {}
    # A stratum that one arm lacks cannot be compared.
    shared = [stratum for stratum in strata if min(stratum.n) > 0]
    return {stratum.stratum: 0.0 for stratum in strata} | {
        stratum.stratum: (sum(stratum.n) / sum(total)) / (stratum.n[arm] / total[arm]) for stratum in shared
    }
