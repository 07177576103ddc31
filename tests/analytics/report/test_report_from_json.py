"""A report that was read back renders as the one that was stored."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from analytics.report import FORMATS, as_json, render
from analytics.report.from_json import from_dict
from analytics.report.model import Report

METRICS = ["groundedness_fail_rate", "output_tokens", "schema_repair_rate"]
NEWER: dict[str, Any] = {
    "maturity": None, "days_needed": None, "composition": None, "alert_raised_on": None, "attribution": None,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_a_report_read_back_renders_the_same(report: Report, form: str) -> None:
    """Every rendering of the stored document is that of the report, to the byte, however a check orders its metrics."""
    failed, *others = report.checks
    report = replace(report, checks=(replace(failed, metrics=("output_tokens", "cost_per_trace")), *others))
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


@pytest.mark.parametrize("form", FORMATS)
def test_a_document_of_the_first_release_is_read(form: str) -> None:
    """What the first release stored renders in every format, and says what it said then."""
    body = json.loads((Path(__file__).parent / "golden" / "first-release.json").read_text("utf-8"))
    assert "metric_order" not in body
    again = from_dict(body, datetime(2026, 11, 16, 7, 30))
    assert "Rate rose from 0.4 % to 1.9 %." in render(again, form, width=200)
    written = as_json.to_dict(again)
    assert written["metric_order"] == ["cost_per_trace", "latency_p99", "task_completion_fail_rate", *METRICS]
    assert written["cohorts"] == [
        {**cohort, "pooled": [], "metrics": [metric | NEWER for metric in cohort["metrics"]]}
        for cohort in body["cohorts"]
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cohorts": None}, "the document is no report"),
        ({"promotion": "p"}, "the document is no report"),
        ({"overall": "FINE"}, "the document is no report: overall: Input should be 'REGRESSED'"),
        ({"alpha": "a twentieth"}, "the document is no report: alpha: Input should be a valid number"),
        ({"as_of": None}, "the document is no report: as_of: Input should be a valid datetime"),
    ],
)
def test_what_is_no_report_is_said(report: Report, change: dict[str, object], said: str) -> None:
    """A damaged document is refused with its first fault, whatever is wrong with it."""
    with pytest.raises(ValueError, match=said):
        from_dict({**as_json.to_dict(report), **change}, report.generated_at)


@pytest.mark.parametrize("body", [[], "report", None, {}])
def test_what_is_no_document_is_refused(body: Any) -> None:
    """JSON of another kind is refused."""
    with pytest.raises(ValueError, match="schema version None"):
        from_dict(body, datetime(2026, 11, 16))
