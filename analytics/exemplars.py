"""Exemplars: traces to look at, that show a metric at its worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
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
    shown = values.select("cohort", "arm", "trace_id", "raw")
    if metric.kind is MetricKind.RATE:
        shown = shown.filter(pl.col("raw") > 0 if worse else pl.col("raw") <= 0)
    return (
        # Few remain to be sorted.
        shown.filter(_among_the_worst(shown, worse=worse))
        .sort(["cohort", "arm", "raw", "trace_id"], descending=[False, False, worse, False])
        .group_by("cohort", "arm", maintain_order=True)
        .head(EXEMPLARS)
    )


def _among_the_worst(values: pl.DataFrame, *, worse: bool) -> pl.Series:
    """Which values are at least as bad as the last one that is shown of their cohort and arm."""
    bad = values["raw"].to_numpy() if worse else -values["raw"].to_numpy()
    ours = (values["arm"] == "candidate").to_numpy()
    chosen = np.zeros(len(bad), dtype=np.bool_)
    start = 0
    # Cohorts may come in several runs: each shows as many, of which the worst remain.
    for size in values["cohort"].rle().struct.field("len"):
        of_run = slice(start, start + size)
        start += size
        for of_arm in (ours[of_run], ~ours[of_run]):
            found = bad[of_run][of_arm]
            last = np.partition(found, -EXEMPLARS)[-EXEMPLARS] if len(found) > EXEMPLARS else -np.inf
            chosen[of_run] |= of_arm & (bad[of_run] >= last)
    return pl.Series(chosen)


def by_cohort(rows: pl.DataFrame) -> dict[str, dict[str, list[str]]]:
    """The worst traces as cohort → arm → trace ids."""
    found: dict[str, dict[str, list[str]]] = {}
    for cohort, arm, trace_id in rows.select("cohort", "arm", "trace_id").rows():
        found.setdefault(cohort, {}).setdefault(arm, []).append(trace_id)
    return found
