"""Reports as files, to be opened in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from analytics.report import render
from analytics.report.model import Report
from tests.analytics.report.page.filled import of_many, with_mix


@pytest.fixture
def incident_page(report: Report, tmp_path: Path) -> str:
    """The address of the incident's page, every part of it filled."""
    return _written(with_mix(report), tmp_path)


@pytest.fixture
def large_page(report: Report, tmp_path: Path) -> str:
    """The address of a page of 50 cohorts and 20 metrics."""
    return _written(of_many(report, 50, 20), tmp_path)


def _written(report: Report, folder: Path) -> str:
    path = folder / "report.html"
    path.write_text(render(report, "html"), "utf-8")
    return path.as_uri()
