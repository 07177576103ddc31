"""What a person reads of a message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from analytics.alerts.changes import Known, changes
from analytics.alerts.lines import MOST_LINES, lines
from analytics.alerts.message import MOST_EVENTS, failed_run_message, guard_message, report_message
from analytics.report.model import Report

Build = Callable[..., Report]

NOW = datetime(2026, 11, 10, 8, 30)


def test_what_becomes_invalid_in_a_cohort_is_one_paragraph(report_of: Build) -> None:
    """A failed check takes every metric with it; that is one piece of news for a person."""
    metrics = [f"metric_{number}" for number in range(12)]
    _, states = changes(report_of({"eu": dict.fromkeys(metrics, "INCONCLUSIVE")}), Known())
    invalid = report_of({"eu": dict.fromkeys(metrics, "INVALID")})
    events, _ = changes(invalid, Known(1, NOW, states))
    assert len(events) == 12
    said = lines(report_message(invalid, "r1", events, NOW))
    assert said.title == "refunds-v2: 12 invalid"
    (paragraph,) = said.events
    assert paragraph.startswith("Invalid on eu: metric 0, metric 1, ")
    assert "can no longer be judged. Because of metric_0." in paragraph
    assert said.left_out == ""


def test_the_gravest_comes_first_and_the_rest_is_counted(report_of: Build) -> None:
    """However much changed, a message is short, and says how much it leaves out."""
    cells = {f"cohort {number:02}": {"a": "REGRESSED", "b": "REGRESSED", "c": "IMPROVED"} for number in range(60)}
    report = report_of(cells)
    events, _ = changes(report, Known())
    message = report_message(report, "r1", events, NOW)
    assert (len(message.events), message.events_left_out) == (MOST_EVENTS, 240 - MOST_EVENTS)
    assert {event.change.value for event in message.events} == {"regressed"}
    said = lines(message)
    assert len(said.events) == MOST_LINES
    assert said.left_out == f"And {240 - MOST_LINES} more changes."
    assert said.what_to_do.startswith("Take refunds-v2 back on 60 cohorts")


def test_a_cohort_that_is_ready_is_said(report_of: Build) -> None:
    """And that nothing has to be done where nothing has."""
    report = report_of({"eu": {"cost": "NO_REGRESSION"}})
    events, states = changes(report, Known())
    assert lines(report_message(report, "r1", events, NOW)).what_to_do == (
        "eu may be promoted: `spanverdict routes` writes the plan."
    )
    assert report_message(report, "r1", (), NOW).what_to_do == "Nothing has to be done."
    assert changes(report, Known(1, NOW, states))[0] == ()


def test_a_guard_names_the_cohorts(report_of: Build) -> None:
    """Its headline says what to roll back and where to."""
    report = report_of({"eu": {"cost": "REGRESSED"}})
    events, _ = changes(report, Known())
    said = lines(guard_message(report, "r1", events[:1], NOW))
    assert said.headline == "Roll back refunds-v2 on eu: a guarded metric regressed."
    assert said.what_to_do.startswith("Send eu back to m0")
    assert said.origin == "m1 against m0, as of 2026-11-10T00:00:00Z, report r1"


def test_a_failed_run_has_no_report(report_of: Build) -> None:
    """It says which schedule failed, and names no report."""
    events, _ = changes(report_of({"eu": {"cost": "REGRESSED"}}), Known())
    message = failed_run_message("nightly", None, events[0], NOW)
    said = lines(message)
    assert said.headline == "The scheduled report of its promotions by nightly failed."
    assert said.origin == ""
    assert message.report is None
