"""Feedback that matches no trace: it must be seen, for a rate of it would read "it never happened"."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from analytics.metrics import OUTCOME_PREFIX, metric_names
from analytics.promotions import Promotion
from analytics.report.model import Check, CheckStatus
from analytics.targets import unmatched_outcomes

_OTHER_KEYS = ("trace_id", "span_id", "response_id", "conversation_id")


def unmatched_checks(
    feedback: pl.DataFrame, spans: pl.DataFrame, *, promotion: Promotion, as_of: datetime, feedback_key: str | None
) -> Iterator[Check]:
    """One check for each name of feedback since the promotion began.

    Args:
        feedback: ``name``, ``event_time`` and the target columns of ``match_targets``.
        spans: as for ``match_targets``.
        promotion: for its beginning.
        as_of: the moment the world is looked at (UTC, naive).
        feedback_key: the attribute that ``key`` is matched with; None matches none.

    Yields:
        A failure where no row of a name matches, which makes its rate invalid; a warning where some do not.
    """
    since = feedback.filter(pl.col("event_time").is_between(promotion.at, as_of))
    for (name,), rows in since.sort("name").group_by("name", maintain_order=True):
        missed = unmatched_outcomes(rows, spans)
        detail = f"{missed:,} of {rows.height:,} {name} outcomes since the promotion match no trace"
        keyed = rows.filter(pl.all_horizontal(pl.col(key).is_null() for key in _OTHER_KEYS)).height
        if keyed and feedback_key is None:
            mend = f"{keyed:,} have only a key: name its span attribute as feedback.key_attribute in the configuration."
        else:
            mend = "check their ids, and whether the traces arrived."
        if missed == rows.height:
            yield Check(
                "unmatched_outcomes",
                None,
                CheckStatus.FAIL,
                f"{detail}; {mend}",
                tuple(metric_names([f"{OUTCOME_PREFIX}{name}"]).values()),
            )
        elif missed:
            yield Check("unmatched_outcomes", None, CheckStatus.WARN, f"{detail}; {mend}")
        else:
            yield Check("unmatched_outcomes", None, CheckStatus.PASS, f"Every {name} outcome matches a trace.")
