"""Exemplars: traces to look at, that show a metric at its worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.metrics import MetricKind

if TYPE_CHECKING:
    from analytics.metrics import Metric

EXEMPLARS = 3


def exemplars(values: pl.DataFrame, metric: Metric) -> dict[str, dict[str, list[str]]]:
    """Find the traces that show a metric at its worst.

    Args:
        values: ``cohort``, ``arm``, ``trace_id`` and ``raw``, the metric's value.
        metric: the metric.

    Returns:
        Cohort → arm → trace ids, worst first; a rate shows only traces that count against it.
    """
    worse = metric.higher_is == "worse"
    counts_against = pl.col("raw") > 0 if worse else pl.col("raw") <= 0
    raw = pl.col("raw")
    last_shown = raw.top_k(EXEMPLARS).min() if worse else raw.bottom_k(EXEMPLARS).max()
    worst = (
        values.filter(counts_against if metric.kind is MetricKind.RATE else pl.lit(value=True))
        .with_columns(last_shown=last_shown.over("cohort", "arm"))
        .filter(raw >= pl.col("last_shown") if worse else raw <= pl.col("last_shown"))
        .sort(["raw", "trace_id"], descending=[worse, False])
        .group_by("cohort", "arm", maintain_order=True)
        .agg(pl.col("trace_id").head(EXEMPLARS))
    )
    found: dict[str, dict[str, list[str]]] = {}
    for cohort, arm, trace_ids in worst.sort("cohort", "arm").rows():
        found.setdefault(cohort, {})[arm] = trace_ids
    return found
