"""Reports as an alert sees them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analytics.report.model import Check, CheckStatus, Report
from tests.alert_reports import build


@pytest.fixture
def report_of() -> Callable[..., Report]:
    """Builds reports."""
    return build


@pytest.fixture
def failed_check() -> Callable[..., Check]:
    """Builds failed checks."""
    return lambda name, cohort=None: Check(name, cohort, CheckStatus.FAIL, f"{name} is off.")
