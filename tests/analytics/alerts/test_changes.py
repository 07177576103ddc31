"""What is news, given what was known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.alerts.changes import Known, changes
from analytics.alerts.events import Event
from analytics.alerts.guarded import guard_finds
from analytics.report.model import Check, Report, Verdict

Build = Callable[..., Report]


def follow(*reports: Report) -> list[list[Event]]:
    """The news of each report in turn."""
    known, told = Known(), []
    for number, report in enumerate(reports, start=1):
        events, states = changes(report, known)
        known = Known(number, report.as_of, states)
        told.append(list(events))
    return told


def kinds(events: list[Event]) -> list[tuple[str, str | None, str | None]]:
    """What each event is about, sorted."""
    return sorted((event.change.value, event.cohort, event.metric) for event in events)


def of_metric(report_of: Build, *verdicts: str, kept_from: int | None = None) -> list[list[str]]:
    """The kinds of news about one metric whose verdict goes through these; its alarm is kept from an index on."""
    reports = [
        report_of(
            {"eu": {"cost": verdict}},
            raised=frozenset({("eu", "cost")}) if kept_from is not None and number >= kept_from else frozenset(),
        )
        for number, verdict in enumerate(verdicts)
    ]
    return [[event.change.value for event in events if event.metric == "cost"] for events in follow(*reports)]


def test_the_first_report_tells_what_matters(report_of: Build) -> None:
    """Regressions and decisions to move are told; that there is no verdict yet is not."""
    report = report_of(
        {
            "eu": {"cost": "REGRESSED", "latency_p99": "INCONCLUSIVE", "thumbs_down_rate": "INVALID"},
            "us": {"cost": "INCONCLUSIVE", "latency_p99": "INVALID"},
        }
    )
    assert kinds(follow(report)[0]) == [("decision", "eu", None), ("regressed", "eu", "cost")]


def test_failed_checks_of_the_first_report_are_one_event(report_of: Build, failed_check: Callable[..., Check]) -> None:
    """However many checks failed, and however many metrics they make invalid."""
    checks = tuple(
        failed_check(name, cohort) for name, cohort in [("sample_ratio", None), ("prompt_version", "eu")] * 4
    )
    report = report_of({"eu": {"cost": "INVALID"}, "us": {"cost": "INVALID"}}, failed=checks)
    (event,) = follow(report)[0]
    assert (event.change.value, event.cohort, event.metric) == ("invalid", None, None)
    assert event.sentence.startswith("8 checks failed. prompt_version on eu: prompt_version is off. ")
    assert event.sentence.endswith("And 3 more.")


@pytest.mark.parametrize(
    ("verdicts", "news"),
    [
        (["REGRESSED"] * 3, [["regressed"], [], []]),
        (["INCONCLUSIVE", "REGRESSED", "NO_REGRESSION"], [[], ["regressed"], ["resolved"]]),
        (["REGRESSED", "INVALID", "REGRESSED"], [["regressed"], ["invalid"], []]),
        (["REGRESSED", "INVALID", "IMPROVED"], [["regressed"], ["invalid"], ["resolved"]]),
        (["INVALID", "INVALID", "INCONCLUSIVE", "INVALID"], [[], [], [], ["invalid"]]),
        (["INCONCLUSIVE", "NO_REGRESSION", "INCONCLUSIVE"], [[], ["no_regression"], []]),
        (["INCONCLUSIVE", "IMPROVED", "IMPROVED"], [[], ["improved"], []]),
        (["REGRESSED", "INCONCLUSIVE", "REGRESSED"], [["regressed"], ["resolved"], ["regressed"]]),
    ],
)
def test_a_change_is_told_once(report_of: Build, verdicts: list[str], news: list[list[str]]) -> None:
    """What a verdict was decides whether what it is is news."""
    assert of_metric(report_of, *verdicts) == news


def test_an_alarm_that_the_report_keeps_stays_open(report_of: Build) -> None:
    """While the estimate points the other way and the alarm stands, nothing is resolved, and nothing raised again."""
    verdicts = ["REGRESSED", "INCONCLUSIVE", "REGRESSED", "NO_REGRESSION"]
    assert of_metric(report_of, *verdicts, kept_from=0) == [["regressed"], [], [], ["resolved"]]


def test_decisions_are_told_from_hold_on(report_of: Build) -> None:
    """A cohort begins on hold; each change of its decision is told."""
    told = follow(
        report_of({"eu": {"cost": "INCONCLUSIVE"}}),
        report_of({"eu": {"cost": "NO_REGRESSION"}}),
        report_of({"eu": {"cost": "NO_REGRESSION"}}),
        report_of({"eu": {"cost": "REGRESSED"}}),
    )
    decisions = [[(e.before, e.after) for e in events if e.change == "decision"] for events in told]
    assert decisions == [[], [("hold", "promote")], [], [("promote", "roll_back")]]


def test_a_cohort_that_is_away_for_a_day_is_not_news(report_of: Build) -> None:
    """What was known of it is known when it comes back."""
    both = {"eu": {"cost": "REGRESSED"}, "us": {"cost": "INCONCLUSIVE"}}
    assert [len(events) for events in follow(report_of(both), report_of({"us": both["us"]}), report_of(both))] == [
        2,
        0,
        0,
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verdicts=st.lists(st.sampled_from([verdict.value for verdict in Verdict]), min_size=1, max_size=12))
def test_alarms_are_raised_and_resolved_by_turns(report_of: Build, verdicts: list[str]) -> None:
    """Whatever the verdicts do, no alarm is raised twice without being over in between."""
    told = [
        change for step in of_metric(report_of, *verdicts) for change in step if change in ("regressed", "resolved")
    ]
    assert told == ["regressed", "resolved"] * (len(told) // 2) + ["regressed"] * (len(told) % 2)


def test_an_event_is_known_by_what_changed(report_of: Build) -> None:
    """The same change by the same report is the same event; by another report it is another."""
    report = report_of({"eu": {"cost": "REGRESSED"}, "us": {"cost": "REGRESSED"}})
    first, again = (follow(report)[0] for _ in range(2))
    assert [event.identity("r1") for event in first] == [event.identity("r1") for event in again]
    assert len({event.identity(report_id) for event in first for report_id in ("r1", "r2")}) == 2 * len(first)


def test_a_guard_tells_of_each_cohort_once(report_of: Build) -> None:
    """The gravest guarded regression of each guarded cohort, in the life of the promotion once."""
    cells = {
        "eu": {"cost": "REGRESSED", "latency_p99": "REGRESSED"},
        "us": {"cost": "REGRESSED"},
        "jp": {"cost": "INVALID"},
    }
    events, states = guard_finds(report_of(cells), Known())
    assert [(event.cohort, event.after) for event in events] == [("eu", "roll_back"), ("us", "roll_back")]
    assert guard_finds(report_of(cells), Known(1, None, states))[0] == ()


def test_a_guard_looks_at_what_is_guarded(report_of: Build) -> None:
    """Metrics and cohorts that are not named fire nothing."""
    report = report_of({"eu": {"cost": "REGRESSED"}, "us": {"latency_p99": "REGRESSED"}})
    assert [event.cohort for event in guard_finds(report, Known(), metrics=["latency_p99"])[0]] == ["us"]
    assert [event.cohort for event in guard_finds(report, Known(), cohorts=["eu"])[0]] == ["eu"]
    assert guard_finds(report, Known(), metrics=["cost"], cohorts=["us"])[0] == ()
