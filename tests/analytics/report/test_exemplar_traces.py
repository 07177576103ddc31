"""The traces that a report shows: some of each finding and arm, bounded in number, as of the report's moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from analytics.exemplar_traces import MOST_TRACES, exemplar_traces
from analytics.report import as_html
from analytics.report.model import Decision, Verdict
from collector.decode import decode_traces
from collector.rows import span_rows
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


BEGAN = int(datetime(2026, 11, 5, tzinfo=UTC).timestamp()) * 10**9
LATER = int(datetime(2026, 12, 24, tzinfo=UTC).timestamp()) * 10**9


@pytest.fixture
def store(tmp_path: Path, otlp: Any) -> Iterator[OpenedStore]:
    """A store with the traces 1 to 99, of which 7 goes on long after the report."""
    spans = [
        {"trace_id": number.to_bytes(16, "big"), "start_time_unix_nano": BEGAN, "end_time_unix_nano": BEGAN + 10**9}
        for number in range(1, 100)
    ]
    spans.append({"trace_id": (7).to_bytes(16, "big"), "start_time_unix_nano": LATER, "name": "too late"})
    with store_at(tmp_path / "s.duckdb") as opened:
        opened.write(
            span_rows(decode_traces([otlp.request(*spans).SerializeToString()]), [None], datetime(2027, 1, 1)).tables
        )
        yield opened


def identity(number: int) -> str:
    """The id of a trace."""
    return f"{number:032x}"


def test_each_finding_shows_traces_of_both_arms(store: OpenedStore, build: Any) -> None:
    """First one of each arm of every finding, then a second; each once, those that are gone left out."""
    worst = build.metric("error_rate", Verdict.REGRESSED, exemplars={
        "candidate": [identity(1), identity(2), identity(3)], "base": [identity(4), identity(500), identity(5)],
    })  # fmt: skip
    better = build.metric("cost", Verdict.IMPROVED, exemplars={"candidate": [identity(1), identity(7)]})
    calm = build.metric("retry_rate", Verdict.NO_REGRESSION, exemplars={"candidate": [identity(9)]})
    report = build.report(build.cohort("a", Decision.HOLD, worst, better, calm))
    shown = exemplar_traces(store, report)
    assert [view.trace_id for view in shown] == [identity(number) for number in (1, 4, 2, 7)]
    assert [len(view.spans) for view in shown] == [1, 1, 1, 1]
    page = as_html.render(report, shown)
    assert page.count('class="waterfall"') == 4
    assert "too late" not in page


def test_a_report_of_many_findings_stays_a_file(store: OpenedStore, build: Any) -> None:
    """However much was found, so many traces are shown at most."""
    found = [
        build.metric(f"m{number}", Verdict.REGRESSED, exemplars={"candidate": [identity(number)]})
        for number in range(1, 90)
    ]
    report = build.report(build.cohort("a", Decision.HOLD, *found))
    assert len(exemplar_traces(store, report)) == MOST_TRACES
    assert exemplar_traces(store, replace(report, cohorts=())) == []
