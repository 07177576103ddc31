"""Values are written with the digits that mean something, in the words people use."""

from __future__ import annotations

import math
from datetime import datetime

import pytest

from analytics.promotions import Promotion
from analytics.report import formatting


@pytest.mark.parametrize(
    ("number", "unit", "written"),
    [
        (0.0612, "rate", "6.1 %"),
        (0.0, "rate", "0 %"),
        (1.0, "rate", "100 %"),
        (0.9999, "rate", "100 %"),
        (0.9994, "rate", "99.9 %"),
        (0.00412, "rate", "0.41 %"),
        (0.000123, "rate", "0.012 %"),
        (1234.6, "ms", "1,235 ms"),
        (12.34, "ms", "12.3 ms"),
        (0.1234, "ms", "0.12 ms"),
        (212.0, "tokens", "212 tokens"),
        (0.0, "tokens", "0 tokens"),
        (0.012341, "usd", "0.01234 USD"),
        (12.3456, "usd", "12.35 USD"),
        (9.99996, "usd", "10.00 USD"),
        (1234567.0, "usd", "1,235,000 USD"),
        (2.5, "score", "2.500 score"),
        (None, "rate", "unknown"),
        (math.nan, "ms", "unknown"),
        (math.inf, "usd", "unknown"),
    ],
)
def test_value(number: float | None, unit: str, written: str) -> None:
    """A value has its unit and sensible digits; the undefined is unknown."""
    assert formatting.value(number, unit) == written


@pytest.mark.parametrize(
    ("number", "unit", "written"),
    [
        (0.037, "rate", "+3.7 points"),
        (-0.1273, "rate", "-12.7 points"),
        (-0.0009, "rate", "-0.090 points"),
        (0.0, "rate", "0 points"),
        (1310.4, "ms", "+1,310 ms"),
        (0.000005512, "usd", "+0.00000551 USD"),
        (None, "tokens", "unknown"),
    ],
)
def test_difference(number: float | None, unit: str, written: str) -> None:
    """A difference has its sign, and that of rates is in points."""
    assert formatting.difference(number, unit) == written


@pytest.mark.parametrize(
    ("bounds", "written"),
    [
        ((0.0241, 0.0512), "+2.4 to +5.1 points"),
        ((-math.inf, 0.01), "at most +1.0 points"),
        ((-0.01, math.inf), "at least -1.0 points"),
        ((-math.inf, math.inf), "unknown"),
        ((math.nan, 0.1), "unknown"),
        (None, "unknown"),
    ],
)
def test_interval(bounds: tuple[float, float] | None, written: str) -> None:
    """An interval names its unit once; an open end is said in words."""
    assert formatting.interval(bounds, "rate") == written


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("groundedness_fail_rate", "groundedness failures"),
        ("json_validation_fail_rate", "JSON validation failures"),
        ("latency_p99", "p99 latency"),
        ("thumbs_down_rate", "thumbs-down rate"),
        ("cost_per_trace", "cost per trace"),
        ("my_own_rate", "my own rate"),
    ],
)
def test_metric_label(metric: str, label: str) -> None:
    """Metrics have the names people use."""
    assert formatting.metric_label(metric) == label


@pytest.mark.parametrize(
    ("design", "planned_end", "stratify_by", "said"),
    [
        ("concurrent", None, (), "since 2026-11-02T00:00:00Z, by app.cohort"),
        ("before_after", None, (), "before and after 2026-11-02T00:00:00Z, by app.cohort"),
        (
            "concurrent",
            datetime(2026, 11, 16),
            ("a", "b"),
            "since 2026-11-02T00:00:00Z, until 2026-11-16T00:00:00Z as planned, by app.cohort, within each a and b",
        ),
        ("mirrored", None, (), "on mirrored requests, since 2026-11-02T00:00:00Z, by app.cohort"),
    ],
)
def test_scope(design: str, planned_end: datetime | None, stratify_by: tuple[str, ...], said: str) -> None:
    """What is compared is said with its period, its cohorts and its strata."""
    promotion = Promotion(
        "p", "m0", "m1", design, datetime(2026, 11, 2), None, "app.cohort", None, None, planned_end, stratify_by
    )
    assert formatting.scope(promotion) == said
