"""Reports as files, to be opened in a browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from analytics.report import render
from analytics.report.evidence import Evidence
from analytics.report.model import Decision, Report, Verdict
from analytics.trace_view import Message, OutcomeView, SpanView, TraceView
from tests.analytics.report.page.filled import of_many, with_mix
from tests.analytics.report.test_hostile_text import HOSTILE


@pytest.fixture
def incident_page(report: Report, tmp_path: Path) -> str:
    """The address of the incident's page, every part of it filled."""
    return _written(with_mix(report), tmp_path)


@pytest.fixture
def large_page(report: Report, tmp_path: Path) -> str:
    """The address of a page of 50 cohorts and 20 metrics."""
    return _written(of_many(report, 50, 20), tmp_path)


@pytest.fixture
def hostile_page(report: Report, build: Any, tmp_path: Path) -> str:
    """The address of a page that has hostile texts wherever a text from outside can stand."""
    texts = [text[:2_000] for text in HOSTILE.values()]
    shown = report.evidence
    cohorts, traces = [], []
    for number, text in enumerate(texts):
        trace_id = f"{number:032x}"
        metric = build.metric(text, Verdict.REGRESSED, reason=text, exemplars={"candidate": [text, trace_id]})
        cohorts.append(build.cohort(text, Decision.ROLL_BACK, metric, reason=text))
        said = (Message(text, text, "input"),)
        span = SpanView(trace_id[:16], 0, text, text, text, text, 0.0, 1.0, text, 1, 1, 0.1, said)
        outcome = OutcomeView(text, text, True, text, text)  # noqa: FBT003 (a record)
        traces.append(TraceView(trace_id, datetime(2026, 11, 3), 1.0, text, (span,), 0, (outcome,)))
    evidence = Evidence(
        over_time=tuple(replace(shown.over_time[0], cohort=text, metric=text) for text in texts),
        distributions=tuple(replace(shown.distributions[0], cohort=text) for text in texts),
        usage=tuple(replace(shown.usage[0], cohort=text, arm=text) for text in texts),
        attempts=tuple(replace(shown.attempts[0], cohort=text, arm=text) for text in texts),
    )
    promotion = replace(report.promotion, name=texts[0], base=texts[1], candidate=texts[-2], cohort_by=texts[2])
    hostile = replace(report, promotion=promotion, cohorts=tuple(cohorts), evidence=evidence, fingerprint=texts[0])
    return _written(hostile, tmp_path, traces)


def _written(report: Report, folder: Path, traces: Sequence[TraceView] = ()) -> str:
    path = folder / "report.html"
    path.write_text(render(report, "html", traces=traces), "utf-8")
    return path.as_uri()
