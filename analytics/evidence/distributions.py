"""Quantile curves of latency and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analytics.quantile_samples import weighted_quantiles
from analytics.report.evidence import Distribution
from analytics.values import ARMS, metric_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from analytics.metrics import Metric

PLACES = (0.01, *(number / 20 for number in range(1, 20)), 0.975, 0.99, 0.995)
"""Where the curves are read."""

BEYOND = 5
"""So many traces are to be expected beyond a place, on the side where there are fewer, for the curve to be drawn there:
of as many the number beyond is known to about its half (a Poisson count's standard deviation is its root)."""

_ROUNDING = 1e-6

_QUANTITIES = {"latency": ("latency_ms", "ms"), "cost": ("cost_usd", "usd")}


class _Curve(NamedTuple):
    """One arm's quantiles, and of how many values they are."""

    quantiles: tuple[float | None, ...]
    n: int


_NO_CURVE = _Curve((None,) * len(PLACES), 0)


def distributions(rows: pl.DataFrame, metrics: Sequence[Metric], *, as_of: datetime) -> tuple[Distribution, ...]:
    """Read the quantile curves of both arms.

    Args:
        rows: what was compared, as :func:`analytics.cells.compared_rows` gives it.
        metrics: those that were judged: a quantity is distributed as the first of its metrics has it.
        as_of: only values that were final by then count (UTC, naive).

    Returns:
        By cohort, latency before cost; cohorts without any value are left out.
    """
    found: dict[str, list[Distribution]] = {}
    for quantity, (column, unit) in _QUANTITIES.items():
        metric = next((each for each in metrics if each.column == column), None)
        if metric is None:
            continue
        by_cohort: dict[str, dict[str, _Curve]] = {}
        for cohort, arm, curve in _curves(metric_values(rows, metric, as_of)):
            by_cohort.setdefault(cohort, dict.fromkeys(ARMS, _NO_CURVE))[arm] = curve
        for cohort, curves in by_cohort.items():
            base, candidate = (curves[arm] for arm in ARMS)
            n = {arm: curves[arm].n for arm in ARMS}
            told = Distribution(cohort, quantity, unit, PLACES, base.quantiles, candidate.quantiles, n)
            found.setdefault(cohort, []).append(told)
    return tuple(each for cohort in sorted(found) for each in found[cohort])


def _curves(values: pl.DataFrame) -> Iterator[tuple[str, str, _Curve]]:
    keys = ["value", "unit", "stratum", "weight"] if (values["weight"] != 1.0).any() else ["value"]
    start = 0
    for size in values["cohort"].rle().struct.field("len"):
        of_cohort = values[start : start + size]
        start += size
        for arm in ARMS:
            rows = of_cohort.filter(pl.col("arm") == arm).sort(keys)
            if not rows.is_empty():
                yield str(rows["cohort"][0]), arm, _curve(rows)


def _curve(rows: pl.DataFrame) -> _Curve:
    weights = rows["weight"].to_numpy()
    # Kish's effective number: weights that differ make traces tell less.
    size = float(weights.sum() ** 2 / (weights**2).sum())
    quantiles = weighted_quantiles(rows, PLACES)
    told = tuple(
        float(value) if size * min(place, 1 - place) > BEYOND - _ROUNDING else None
        for place, value in zip(PLACES, quantiles, strict=True)
    )
    return _Curve(told, rows.height)
