"""Does an effect change after the first days? What is new, or ramped up, may not stay as it was."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.cells import cells
from analytics.metric_tests import metric_test
from analytics.metrics import Metric, MetricKind
from analytics.report import formatting
from analytics.report.model import Check, CheckStatus
from analytics.stats.contrast import Contrast, log_ratio, rate_difference
from analytics.stats.evidence import average, enough_units

if TYPE_CHECKING:
    from analytics.stats.sums import FloatArray, TwoArmSums

FIRST_DAYS = timedelta(days=3)
"""What is compared with the rest."""

LEVEL = 0.05
"""Probability, over all cohorts, metrics and looks, that an effect which stays the same is said to change."""

_CONTRASTS = {MetricKind.RATE: rate_difference, MetricKind.MEAN: log_ratio}


def novelty_checks(
    traces: pl.DataFrame, metrics: Sequence[Metric], *, at: datetime, as_of: datetime
) -> Iterator[Check]:
    """Compare each effect in the first three days with that since.

    Tested is the difference of the two effects, with the sum of their cluster variances (users of both periods make the
    true one smaller), by the normal mixture in both directions at every look since; rates and means alone.

    Args:
        traces: the comparison window.
        metrics: those of the report; one whose values of the first days are not all final waits.
        at: when the comparison began (UTC, naive).
        as_of: the moment the world is looked at (UTC, naive).

    Yields:
        A warning for each cohort and metric whose effect changed; one pass if none did; nothing before there is
        anything to compare.
    """
    cut = at + FIRST_DAYS
    asked = tuple(m for m in metrics if m.kind in _CONTRASTS and as_of >= cut + m.maturity)
    early, late = traces.filter(pl.col("start_time") < cut), traces.filter(pl.col("start_time") >= cut)
    both = early.select("cohort").join(late.select("cohort"), on="cohort", how="semi")["cohort"].unique().implode()
    early, late = (frame.filter(pl.col("cohort").is_in(both)) for frame in (early, late))
    if not asked or early.is_empty() or late.is_empty():
        return
    before, since = (cells(frame, frame.clear(), asked, as_of=as_of) for frame in (early, late))
    level = LEVEL / (len(asked) * len(since.cohorts))
    changed = False
    for metric in asked:
        first = metric_test(metric, before.by_metric[metric.name]).sums
        rest = metric_test(metric, since.by_metric[metric.name]).sums
        log_e, effects = _interaction(metric, first, rest)
        for row, cohort in enumerate(since.cohorts):
            if math.exp(-log_e[row]) > level:
                continue
            changed = True
            yield Check("novelty", cohort, CheckStatus.WARN, _sentence(metric, effects[row]), (metric.name,))
    if not changed:
        detail = "No effect of the first three days differs from that since."
        yield Check("novelty", None, CheckStatus.PASS, detail)


def _interaction(metric: Metric, first: TwoArmSums, rest: TwoArmSums) -> tuple[FloatArray, FloatArray]:
    """The most log evidence at any look that the effects differ, (cohorts,), and both effects, (cohorts, 2)."""
    contrast = _CONTRASTS[metric.kind]
    early, late = contrast(first), contrast(rest)
    last = np.s_[:, -1:]
    difference = Contrast(
        late.effect - early.effect[last],
        late.variance + early.variance[last],
        np.minimum(late.degrees, early.degrees[last]),
        late.scales,
    )
    null = np.zeros_like(difference.effect)
    evidence = average(difference.log_e(null, 1.0), difference.log_e(null, -1.0))
    ready = enough_units(rest) & enough_units(first)[last] & (difference.variance > 0)
    most = np.where(ready, evidence, 0.0).max(axis=1, initial=0.0)
    return most, np.stack([early.effect[:, -1], late.effect[:, -1]], axis=1)


def _sentence(metric: Metric, effects: FloatArray) -> str:
    sign = 1.0 if metric.higher_is == "worse" else -1.0
    early, late = sign * effects
    if metric.kind is MetricKind.RATE:
        shown = [formatting.difference(float(effect), "rate") for effect in (early, late)]
    else:
        shown = [f"{100 * math.expm1(float(effect)):+.1f} %" for effect in (early, late)]
    return (
        f"The effect on {formatting.metric_label(metric.name)} changed, from {shown[0]} in the first three days to "
        f"{shown[1]} since: it may be the novelty or the ramp-up, so do not extrapolate either, and look again later."
    )
