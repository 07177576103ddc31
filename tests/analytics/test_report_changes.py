"""What became of each regression between two reports, and what else changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from analytics.promotions import Promotion
from analytics.report.model import CohortResult, Decision, MetricResult, Report, Verdict
from analytics.report.values import ArmValue
from analytics.report_changes import Standing, changes

R, B, N, U, X = Verdict.REGRESSED, Verdict.IMPROVED, Verdict.NO_REGRESSION, Verdict.INCONCLUSIVE, Verdict.INVALID
PROMOTION = Promotion("p", "m0", "m1", "concurrent", datetime(2026, 11, 2), None, "app.cohort", None)


def report(**cohorts: dict[str, Verdict]) -> Report:
    """A report with these verdicts by cohort and metric; a regression means roll back."""
    results = []
    for cohort, verdicts in cohorts.items():
        metrics = tuple(
            MetricResult(metric, verdict, "So.", ArmValue(9, 0.1), ArmValue(9, 0.2), 0.1, (0.0, 0.2), 0.01, "rate")
            for metric, verdict in verdicts.items()
        )
        decision = Decision.ROLL_BACK if R in verdicts.values() else Decision.HOLD
        results.append(CohortResult(cohort, decision, "So.", {"base": 9, "candidate": 9}, metrics))
    moment = datetime(2026, 11, 16)
    return Report(PROMOTION, moment, moment, None, "f00d", 0.05, R, (), tuple(results))


@pytest.mark.parametrize(
    ("before", "after", "standing"),
    [
        (N, R, Standing.NEW), (U, R, Standing.NEW), (X, R, Standing.NEW), (None, R, Standing.NEW),
        (R, R, Standing.STILL),
        (R, N, Standing.RESOLVED), (R, B, Standing.RESOLVED),
        (R, U, Standing.UNDECIDED), (R, X, Standing.UNDECIDED), (R, None, Standing.UNDECIDED),
        (N, U, None), (None, N, None), (N, N, None), (X, None, None),
    ],
)  # fmt: skip
def test_what_became_of_a_regression(before: Verdict | None, after: Verdict | None, standing: Standing | None) -> None:
    """Resolved is what data show to be well; where they say nothing any more it is undecided, never resolved."""
    old, new = (report(eu={} if verdict is None else {"error_rate": verdict}) for verdict in (before, after))
    found = changes(old, new)
    assert [change.standing for change in found.regressions] == ([] if standing is None else [standing])
    others = standing is None and before is not after
    assert len(found.verdicts) == int(others)


def test_regressions_come_by_what_became_of_them() -> None:
    """New ones first, then standing, undecided and resolved ones; within that by cohort and the report's order."""
    old = report(eu={"a": R, "b": R, "c": R, "d": N}, us={"a": U})
    new = report(eu={"a": N, "b": R, "c": X, "d": R}, us={"a": R})
    found = changes(old, new)
    told = [(change.standing, change.cohort, change.metric) for change in found.regressions]
    assert told == [
        (Standing.NEW, "eu", "d"), (Standing.NEW, "us", "a"), (Standing.STILL, "eu", "b"),
        (Standing.UNDECIDED, "eu", "c"), (Standing.RESOLVED, "eu", "a"),
    ]  # fmt: skip
    assert {standing: found.count(standing) for standing in Standing} == {
        Standing.NEW: 2, Standing.STILL: 1, Standing.UNDECIDED: 1, Standing.RESOLVED: 1,
    }  # fmt: skip
    assert [(each.cohort, each.before, each.after) for each in found.decisions] == [
        ("us", Decision.HOLD, Decision.ROLL_BACK)
    ]


def test_cohorts_that_come_and_go_are_told() -> None:
    """A cohort that only one of the reports has is a changed decision, and its regression is not lost."""
    found = changes(report(eu={"a": R}), report(us={"a": N}))
    assert [(each.cohort, each.before, each.after) for each in found.decisions] == [
        ("eu", Decision.ROLL_BACK, None), ("us", None, Decision.HOLD),
    ]  # fmt: skip
    assert [(change.cohort, change.standing) for change in found.regressions] == [("eu", Standing.UNDECIDED)]


def test_without_an_earlier_report_every_regression_is_new() -> None:
    """And nothing else has changed."""
    found = changes(None, report(eu={"a": R, "b": N}))
    assert [(change.metric, change.standing) for change in found.regressions] == [("a", Standing.NEW)]
    assert (found.verdicts, found.decisions) == ((), ())


def test_a_report_beside_itself_has_nothing_new() -> None:
    """Nothing changed; what regressed still does."""
    same = report(eu={"a": R, "b": U})
    found = changes(same, replace(same, fingerprint="beef"))
    assert [change.standing for change in found.regressions] == [Standing.STILL]
    assert (found.verdicts, found.decisions) == ((), ())
