"""A report that was read back renders as the one that was stored."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from analytics.report import FORMATS, as_json, render
from analytics.report.from_json import from_dict
from analytics.report.model import Report


@pytest.mark.parametrize("form", FORMATS)
def test_a_report_read_back_renders_the_same(report: Report, form: str) -> None:
    """Every rendering of the stored document is that of the report, to the byte."""
    again = from_dict(json.loads(as_json.render(report)), report.generated_at)
    assert again.generated_at == report.generated_at
    assert render(again, form, width=120) == render(report, form, width=120)


def test_open_intervals_stay_open(report: Report) -> None:
    """An end that JSON leaves null is infinite again, on its own side."""
    cohort = report.cohorts[0]
    metric = replace(cohort.metrics[0], interval=(-math.inf, 0.25))
    given = replace(report, cohorts=(replace(cohort, metrics=(metric,)),))
    again = from_dict(json.loads(as_json.render(given)), report.generated_at)
    assert again.cohorts[0].metrics[0].interval == (-math.inf, 0.25)


def test_another_schema_version_is_refused(report: Report) -> None:
    """A document of a later release is not misread."""
    with pytest.raises(ValueError, match="schema version 2"):
        from_dict({**as_json.to_dict(report), "schema_version": 2}, report.generated_at)
