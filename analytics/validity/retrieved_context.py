"""Did both arms answer from as much retrieved context?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

import numpy as np
import polars as pl

from analytics.cells import cells
from analytics.metric_tests import metric_test
from analytics.metrics import Metric, MetricKind
from analytics.report.model import Check, CheckStatus
from analytics.stats.contrast import log_ratio
from analytics.stats.evidence import average, enough_units

TOLERANCE = 0.05
"""A relative difference of the mean number of documents, or of input tokens a call, that moves no verdict."""

LEVEL = 0.01
"""Probability, over all cohorts and looks, that a difference within the tolerance is said to be beyond it."""

_MEASURES = {
    "retrieved_documents": "documents a retrieval",
    "context_tokens": "input tokens a call of traces that retrieve",
}


def retrieved_context(traces: pl.DataFrame, as_of: datetime) -> Iterator[Check]:
    """Compare the arms' means among traces that retrieve; their ratio is tested against one of 5 %, at every look.

    Args:
        traces: the comparison window with ``retrieved_documents``, ``input_tokens`` and ``llm_calls``.
        as_of: the moment the world is looked at (UTC, naive).

    Yields:
        One check per cohort that retrieves, of what differs most.
    """
    if "retrieved_documents" not in traces.columns:
        return
    frame = traces.filter(pl.col("retrieved_documents").is_not_null()).with_columns(
        context_tokens=pl.when(pl.col("llm_calls") > 0).then(pl.col("input_tokens") / pl.col("llm_calls"))
    )
    if frame.is_empty():
        return
    metrics = tuple(Metric(name, MetricKind.MEAN, name, "tokens", TOLERANCE, "relative") for name in _MEASURES)
    counted = cells(frame, frame.clear(), metrics, as_of=as_of)
    level = LEVEL / (len(_MEASURES) * max(1, len(counted.cohorts)))
    seen: dict[str, list[str]] = {cohort: [] for cohort in counted.cohorts}
    for metric in metrics:
        data = counted.by_metric[metric.name]
        sums = metric_test(metric, data).sums
        contrast = log_ratio(sums)
        limit = np.full_like(contrast.effect, math.log1p(TOLERANCE))
        evidence = average(contrast.log_e(limit, 1.0), contrast.log_e(-limit, -1.0))
        most = np.where(enough_units(sums), evidence, 0.0).max(axis=1, initial=0.0)
        for cohort, log_e, (base, candidate) in zip(counted.cohorts, most, data.values, strict=True):
            if math.exp(-log_e) <= level:
                seen[cohort].append(f"{_MEASURES[metric.name]}: {base:,.1f} in base, {candidate:,.1f} in candidate")
    for cohort, differences in seen.items():
        if not differences:
            detail = "Both arms answer from as much retrieved context."
            yield Check("retrieved_context", cohort, CheckStatus.PASS, detail)
            continue
        detail = (
            f"The retrieved context differs by more than 5 % ({'; '.join(differences)}): find out whether index and "
            "settings of retrieval are the same; if they are, the candidate asks for something else."
        )
        yield Check("retrieved_context", cohort, CheckStatus.WARN, detail)
