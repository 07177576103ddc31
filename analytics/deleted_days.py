"""What retention deleted of the days that a report is about: fewer traces must not pass for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from analytics.metrics import metric_names
from analytics.promotions import Promotion
from analytics.report.model import Check, CheckStatus
from sql import statements
from sql.access import Access

_OUTCOMES = ("evaluations", "feedback")


def deleted_checks(
    store: Access, promotion: Promotion, columns: Iterable[str], *, as_of: datetime
) -> tuple[Check, ...]:
    """One check for each kind of thing that was deleted of the comparison's days; none where nothing was.

    Args:
        store: where deletions are noted.
        promotion: for its time.
        columns: those of the traces frame, for the metrics of outcomes.
        as_of: the moment the world is looked at (UTC, naive).

    Returns:
        A warning where traces, or what was said in them, are missing; a failure of the metrics of outcomes where
        outcomes are, for a rate of them would read "it never happened".
    """
    until = as_of if promotion.ended_at is None else min(promotion.ended_at, as_of)
    rows = store.read(statements.read("pruned_within"), {"since": promotion.arms_since, "until": until}).to_pylist()
    names = tuple(metric_names(columns).values())
    return tuple(check for row in rows for check in _checks(row, names))


def _checks(row: dict[str, Any], outcome_metrics: tuple[str, ...]) -> Iterator[Check]:
    days = f"{row['days']} day{'' if row['days'] == 1 else 's'} ({row['first_day']} to {row['last_day']})"
    if row["table_name"] == "spans" and row["what"] == "rows":
        yield Check(
            "deleted_days",
            None,
            CheckStatus.WARN,
            f"Spans of {days} of the comparison were deleted by retention: what is told is told without what they held."
            " Keep spans for longer than a comparison takes (retention.spans_days).",
        )
    elif row["table_name"] == "spans":
        yield Check(
            "deleted_days",
            None,
            CheckStatus.WARN,
            f"The content of spans of {days} of the comparison was deleted by retention: system prompts, tool schemas"
            " and retrieved documents of those days may be unknown (retention.content_days).",
        )
    elif row["table_name"] in _OUTCOMES:
        yield Check(
            "deleted_days",
            None,
            CheckStatus.FAIL,
            f"Rows of {row['table_name']} of {days} of the comparison were deleted by retention. Keep outcomes for"
            " longer than a comparison takes (retention.outcomes_days).",
            outcome_metrics,
        )
