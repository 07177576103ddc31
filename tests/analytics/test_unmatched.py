"""Feedback that matches no trace is said, and is no "it never happened"."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from analytics.promotions import Promotion
from analytics.report.model import CheckStatus
from analytics.unmatched import unmatched_checks

AT = datetime(2026, 1, 1)
PROMOTION = Promotion("p", "a", "b", "concurrent", AT, None, "cohort", None)
SPANS = pl.DataFrame(
    {"trace_id": ["t1"], "span_id": ["s1"], "response_id": [None], "conversation_id": [None], "key_value": ["k1"]},
    schema_overrides=dict.fromkeys(("response_id", "conversation_id"), pl.String),
)


def feedback(*targets: dict[str, str], at: datetime = datetime(2026, 1, 2)) -> pl.DataFrame:
    """Rows of one outcome."""
    keys = ("trace_id", "span_id", "response_id", "conversation_id", "key")
    rows = [{"name": "reopened", "event_time": at, **dict.fromkeys(keys), **target} for target in targets]
    return pl.DataFrame(rows, schema_overrides={**dict.fromkeys(keys, pl.String), "event_time": pl.Datetime("ns")})


@pytest.mark.parametrize(
    ("rows", "key", "status", "words"),
    [
        (feedback({"key": "k1"}), "ticket.id", CheckStatus.PASS, "Every reopened"),
        (feedback({"key": "k9"}, {"key": "k8"}), None, CheckStatus.FAIL, "feedback.key_attribute"),
        (feedback({"trace_id": "t9"}), None, CheckStatus.FAIL, "check their ids"),
        (feedback({"trace_id": "t1"}, {"trace_id": "t9"}), None, CheckStatus.WARN, "1 of 2 reopened"),
    ],
)
def test_what_matches_is_told(rows: pl.DataFrame, key: str | None, status: CheckStatus, words: str) -> None:
    """None matched fails the rate, some matched warns, all matched passes; the mend is named."""
    (check,) = unmatched_checks(rows, SPANS, promotion=PROMOTION, as_of=datetime(2026, 2, 1), feedback_key=key)
    assert check.status is status
    assert words in check.detail
    assert check.metrics == (("reopened_rate",) if status is CheckStatus.FAIL else None)


def test_feedback_of_another_time_is_not_counted() -> None:
    """What happened before the promotion, or after the moment looked at, is not this report's."""
    for at in (datetime(2025, 12, 1), datetime(2026, 3, 1)):
        rows = feedback({"trace_id": "t9"}, at=at)
        found = unmatched_checks(rows, SPANS, promotion=PROMOTION, as_of=datetime(2026, 2, 1), feedback_key=None)
        assert list(found) == []
