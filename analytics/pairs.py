"""Pairs of runs: one row per arm of everything that both arms answered, and their sums.

A pair is an item of a data set that both models ran, or a request that both answered. Several runs of one item are
averaged within item and arm, so that an item counts once however often it was run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.metrics import MetricKind
from analytics.stats.sums import PairSums

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analytics.metrics import Metric
    from analytics.stats.sums import FloatArray, IndexArray

PAIR = "pair"
"""The column that tells which rows of the two arms belong together, within a cohort."""

_DESCRIPTIONS = ("trace_id", "unit", "start_time")


def one_row_per_arm(traces: pl.DataFrame, metrics: Sequence[Metric]) -> pl.DataFrame:
    """Average the runs of each pair within its arm.

    Args:
        traces: the wide traces frame with ``pair``; may hold several rows per pair and arm.
        metrics: whose columns are averaged: of a rate the share of runs in which it happened, of anything else the mean
            of the values that are known.

    Returns:
        One row per cohort, pair and arm, with ``trace_id``, ``unit`` and ``start_time`` of the earliest run. Its
        ``end_time`` is that of the pair's last run in either arm: then the pair is complete, and is looked at.
    """
    kinds = {metric.column: metric.kind for metric in metrics if metric.column in traces.columns}
    values = (
        ((pl.col(name).cast(pl.Float64) > 0) if kind is MetricKind.RATE else pl.col(name))
        .cast(pl.Float64)
        .mean()
        .alias(name)
        for name, kind in kinds.items()
    )
    return (
        traces.sort("start_time", "trace_id")
        .group_by("cohort", PAIR, "arm", maintain_order=True)
        .agg(pl.col(_DESCRIPTIONS).first(), pl.col("end_time").max(), *values)
        .with_columns(pl.col("end_time").max().over("cohort", PAIR))
    )


def only_pairs(values: pl.DataFrame) -> pl.DataFrame:
    """The rows of pairs that have a value in both arms."""
    return values.filter(pl.col("arm").n_unique().over("cohort", PAIR) > 1)


def pair_sums(
    values: pl.DataFrame, y: FloatArray, place: IndexArray, cumulative: Callable[..., FloatArray]
) -> PairSums:
    """Sums over the pairs.

    Args:
        values: rows of pairs, two per pair, with ``cohort``, ``pair`` and ``arm``.
        y: each row's value, in [0, 1].
        place: the cell and look of each row, the same for both rows of a pair.
        cumulative: adds up, by cell and look, what it is given at ``places``.
    """
    rows = values.select("cohort", PAIR, "arm").with_columns(y=y, place=place).sort("cohort", PAIR, "arm")
    # "base" sorts before "candidate": the rows of a pair alternate.
    difference = np.diff(rows["y"].to_numpy())[::2]
    places = rows["place"].to_numpy()[::2]
    return PairSums(
        cumulative(np.ones_like(difference), places),
        cumulative(np.maximum(difference, 0.0), places),
        cumulative(np.maximum(-difference, 0.0), places),
        cumulative(difference**2, places),
    )
