"""What a report shows beside its verdicts: the arms over time, their distributions, usage and attempt chains.

All of it is read from the traces that the verdicts rest on, by the same definitions. Sums are exact, so that neither
the order of rows nor the number of processors changes a digit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.cells import compared_rows
from analytics.evidence.asked import asked_about
from analytics.evidence.attempts import attempts_by_arm
from analytics.evidence.distributions import distributions
from analytics.evidence.over_time import over_time
from analytics.evidence.usage import USED, usage_by_arm
from analytics.pairs import PAIR
from analytics.report.evidence import Evidence
from analytics.trace_chains import CHAIN_SUMS
from analytics.values import KEEP_PROBABILITY, prepared

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import polars as pl

    from analytics.metrics import Metric
    from analytics.report.model import CohortResult

_DESCRIPTIONS = ("trace_id", "start_time", "end_time", "cohort", "stratum", "arm", "unit", PAIR, KEEP_PROBABILITY)


def gather_evidence(
    cohorts: Sequence[CohortResult],
    window: pl.DataFrame,
    metrics: Sequence[Metric],
    *,
    as_of: datetime,
) -> Evidence:
    """Find what is shown beside the verdicts.

    Args:
        cohorts: as they were judged.
        window: the traces frame that they were judged on.
        metrics: those that were judged.
        as_of: the moment the world is looked at (UTC, naive).
    """
    read = tuple(metrics)
    columns = dict.fromkeys((*_DESCRIPTIONS, *(metric.column for metric in read), *USED, *CHAIN_SUMS))
    window = window.select(name for name in columns if name in window.columns)
    rows = compared_rows(window, read, as_of)
    ended = prepared(window, as_of) if PAIR in window.columns else rows
    return Evidence(
        over_time=over_time(asked_about(cohorts), rows, read, as_of=as_of),
        distributions=distributions(rows, read, as_of=as_of),
        usage=usage_by_arm(ended),
        attempts=attempts_by_arm(ended),
    )
