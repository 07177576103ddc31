"""Scores and outcomes of a trace, as a person reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from analytics.outcome_words import FAIL_LABELS, KNOWN_OUTCOMES, PASS_LABELS
from analytics.trace_view import OutcomeView


def outcome_view(row: Mapping[str, Any]) -> OutcomeView:
    """One row of ``sql/reads/trace_outcomes.sql`` for a person.

    Whether it is bad is told by its own words: a label that says so, a score beside the threshold that came with it, or
    an outcome that is bad wherever it happens. Thresholds of the configuration are the report's affair.
    """
    return OutcomeView(
        name=row["name"],
        value=_value(row),
        bad=_bad(row),
        source=row["source"],
        comment=row["comment"] or None,
    )


def _value(row: Mapping[str, Any]) -> str:
    if row["error_type"] is not None:
        return f"could not judge: {row['error_type']}"
    number = None if row["value"] is None else f"{row['value']:.4g}"
    return ", ".join(part for part in (row["label"], number) if part) or "nothing said"


def _bad(row: Mapping[str, Any]) -> bool | None:
    if row["error_type"] is not None:
        return None
    label = re.sub(r"[\s-]+", "_", (row["label"] or "").strip().lower())
    if label in FAIL_LABELS or label in PASS_LABELS:
        return label in FAIL_LABELS
    value, threshold = row["value"], row["threshold"]
    if row["kind"] == "feedback":
        known = row["name"] in KNOWN_OUTCOMES and value in (0.0, 1.0)
        return value == 1.0 if known else None
    if value is None or threshold is None or row["higher_is"] not in ("better", "worse"):
        return None
    return bool(value < threshold if row["higher_is"] == "better" else value > threshold)
