"""Exemplars: traces to look at, that show a metric at its worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.metrics import MetricKind

if TYPE_CHECKING:
    from analytics.metrics import Metric

EXEMPLARS = 3


def worst(values: pl.DataFrame, metric: Metric) -> pl.DataFrame:
    """The traces of each cohort and arm that show a metric at its worst.

    What it gives for the whole it also gives for what it gave for the parts.

    Args:
        values: ``cohort``, ``arm``, ``trace_id`` and ``raw``, the metric's value.
        metric: the metric; a rate shows only traces that count against it.

    Returns:
        The same columns, worst first within cohort and arm; of two alike the smaller trace id first.
    """
    worse = metric.higher_is == "worse"
    raw = pl.col("raw")
    last_shown = raw.top_k(EXEMPLARS).min() if worse else raw.bottom_k(EXEMPLARS).max()
    against = raw > 0 if worse else raw <= 0
    return (
        values.select("cohort", "arm", "trace_id", "raw")
        .filter(against if metric.kind is MetricKind.RATE else pl.lit(value=True))
        # Few remain to be sorted.
        .filter(raw >= last_shown.over("cohort", "arm") if worse else raw <= last_shown.over("cohort", "arm"))
        .sort(["cohort", "arm", "raw", "trace_id"], descending=[False, False, worse, False])
        .group_by("cohort", "arm", maintain_order=True)
        .head(EXEMPLARS)
    )


def by_cohort(rows: pl.DataFrame) -> dict[str, dict[str, list[str]]]:
    """The worst traces as cohort → arm → trace ids."""
    found: dict[str, dict[str, list[str]]] = {}
    for cohort, arm, trace_id in rows.select("cohort", "arm", "trace_id").rows():
        found.setdefault(cohort, {}).setdefault(arm, []).append(trace_id)
    return found
