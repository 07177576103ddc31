"""Coverage of the arms, and when the next verdict can be expected."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

from analytics.label_maturity import maturity_checks, with_maturity
from analytics.metrics import Metric, MetricKind
from analytics.report.model import CheckStatus, CohortResult, Decision, MaturityState, MetricResult, Verdict
from analytics.report.values import ArmValue

START = datetime(2026, 11, 2)
HOUR = timedelta(hours=1)
DAY = Metric("thumbs_down_rate", MetricKind.RATE, "outcome:thumbs_down", "rate", None, maturity=24 * HOUR,
             maturity_source="learned", maturity_detail="95% of 60 came within it")  # fmt: skip


def traces(base: int, candidate: int, cohort: str = "eu", later: timedelta = timedelta(0)) -> pl.DataFrame:
    """Traces that end every hour from the start on, those of the candidate so much later."""
    ends = [START + number * HOUR for number in range(base)] + [
        START + later + number * HOUR for number in range(candidate)
    ]
    return pl.DataFrame(
        {"cohort": cohort, "arm": ["base"] * base + ["candidate"] * candidate, "start_time": ends, "end_time": ends},
        schema_overrides={"start_time": pl.Datetime("ns"), "end_time": pl.Datetime("ns")},
    )


def state(
    frame: pl.DataFrame, as_of: datetime, needed: int | None = None, scored: tuple[int, int] = (1, 1), *,
    metric: Metric = DAY, verdict: Verdict = Verdict.INCONCLUSIVE, ends_at: datetime | None = None,
) -> MaturityState:  # fmt: skip
    """What is said of one metric that needs so many more traces."""
    result = MetricResult(
        metric.name, verdict, "", ArmValue(scored[0], 0.1), ArmValue(scored[1], 0.1), 0.0, None, None, "rate",
        more_traces_needed=needed,
    )  # fmt: skip
    cohort = CohortResult("eu", Decision.HOLD, "", {"base": 1, "candidate": 1}, (result,))
    (told,) = with_maturity([cohort], frame, [metric], as_of=as_of, ends_at=ends_at)
    found = told.metrics[0].maturity
    assert found is not None
    return found


def test_coverage_is_the_share_that_is_old_enough() -> None:
    """Of forty hours of base and ten of the candidate, those older than a day."""
    found = state(traces(40, 10, later=30 * HOUR), START + 40 * HOUR)
    assert found.coverage == {"base": 17 / 40, "candidate": 0.0}
    assert (found.window_hours, found.source, found.detail) == (24.0, "learned", "95% of 60 came within it")


def test_the_next_verdict_waits_for_the_younger_arm() -> None:
    """Without a trace that is old enough in an arm, the first one of it decides when."""
    assert state(traces(40, 10, later=30 * HOUR), START + 40 * HOUR).next_verdict_at == START + 54 * HOUR


def test_the_next_verdict_waits_for_enough_that_are_on_their_way() -> None:
    """Six more traces: three hours of two arms, a day after their end; of a sampled half, twelve."""
    frame, as_of = traces(40, 40), START + 40 * HOUR
    assert state(frame, as_of, 6, (17, 17)).next_verdict_at == START + 43 * HOUR
    assert state(frame, as_of, 6, (8, 9)).next_verdict_at == START + 46 * HOUR


def test_the_next_verdict_at_the_present_rate() -> None:
    """What is not on its way yet has to come first: two an hour, and a day."""
    frame, as_of = traces(40, 40), START + 40 * HOUR
    expected = as_of + 24 * HOUR + ((100 - 46) / 2) * HOUR
    assert state(frame, as_of, 100, (17, 17)).next_verdict_at == expected
    assert state(frame, as_of, 100, (17, 17), ends_at=as_of).next_verdict_at is None
    assert state(frame, as_of, 100, (17, 17), ends_at=as_of + 26 * HOUR).next_verdict_at is None
    assert state(frame, as_of, 100, (17, 17), ends_at=as_of + 27 * HOUR).next_verdict_at == expected
    assert state(frame, as_of, 10**12, (17, 17)).next_verdict_at is None


@pytest.mark.parametrize("verdict", [Verdict.REGRESSED, Verdict.IMPROVED, Verdict.NO_REGRESSION, Verdict.INVALID])
def test_nothing_is_foretold_of_what_is_decided(verdict: Verdict) -> None:
    """A metric that is decided, or that more traffic does not help, has no next verdict."""
    assert state(traces(40, 40), START + 40 * HOUR, 6, (17, 17), verdict=verdict).next_verdict_at is None


def test_nothing_is_foretold_without_an_arm() -> None:
    """An arm without traces has no coverage and no forecast."""
    found = state(traces(40, 0), START + 40 * HOUR)
    assert found.coverage == {"base": 17 / 40, "candidate": None}
    assert found.next_verdict_at is None


def test_the_check_warns_of_a_young_arm_and_says_what_to_wait_for() -> None:
    """Less than half of the candidate's traces: until when, and why so long."""
    (check,) = maturity_checks(traces(60, 10, later=50 * HOUR), [DAY], as_of=START + 60 * HOUR)
    assert (check.check, check.status, check.metrics) == ("label_maturity", CheckStatus.WARN, ("thumbs_down_rate",))
    assert check.detail == (
        "61.7 % of base and 0.0 % of candidate traces are old enough to be compared; half of both will be at "
        "2026-11-05T06:00:00Z; the value of thumbs-down rate is final 24 hours after a trace's end "
        "(learned: 95% of 60 came within it)."
    )


def test_the_check_passes_once_for_all_cohorts() -> None:
    """Where half of all arms is old enough there is one line; what is final at once has none."""
    frame = pl.concat([traces(60, 60), traces(60, 60, cohort="us")])
    at_once = Metric("error_rate", MetricKind.RATE, "error", "rate", None)
    (check,) = maturity_checks(frame, [DAY, at_once], as_of=START + 60 * HOUR)
    assert (check.cohort, check.status) == (None, CheckStatus.PASS)


def test_cohorts_that_are_young_are_told_together() -> None:
    """Two cohorts whose candidate is too young make one line, with the later of the two times."""
    frame = pl.concat([traces(60, 10, later=40 * HOUR), traces(60, 10, cohort="us", later=50 * HOUR)])
    (check,) = maturity_checks(frame, [DAY], as_of=START + 60 * HOUR)
    assert (check.cohort, check.status) == (None, CheckStatus.WARN)
    assert "in 2 cohorts (eu, us); in the last of them half will be at 2026-11-05T06:00:00Z" in check.detail
