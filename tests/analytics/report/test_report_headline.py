"""The headline says what to do and why; the exit status says it to the shell."""

from __future__ import annotations

from typing import Any

import pytest

from analytics.report import exit_status, headline
from analytics.report.model import Check, CheckStatus, Composition, Decision, Report, Verdict
from analytics.report.values import ArmValue


def test_names_the_gravest_regression(report: Report) -> None:
    """The regression that is largest in margins leads; the others are counted, the good cohorts named."""
    assert headline(report) == (
        "Hold refunds-v2, roll back policy_exception: groundedness failures on policy_exception rose "
        "from 6.1 % to 9.8 % (+2.4 to +5.1 points), margin 1.5 points; 1 more regression; chargeback may be promoted."
    )


def test_rolls_back_what_regressed_everywhere(build: Any) -> None:
    """Where every cohort must go back, the headline says so."""
    regressed = build.metric("error_rate", Verdict.REGRESSED)
    cohorts = [build.cohort(name, Decision.ROLL_BACK, regressed) for name in ("eu", "us", "uk")]
    assert headline(build.report(*cohorts, overall=Verdict.REGRESSED)) == (
        "Roll back refunds-v2: error rate on eu rose from 10.0 % to 12.0 % (0 to +4.0 points), "
        "margin 2.5 points; 2 more regressions."
    )


def test_promotes(build: Any) -> None:
    """Without improvement the headline only clears the candidate."""
    clear = build.cohort("eu", Decision.PROMOTE, build.metric("error_rate", Verdict.NO_REGRESSION))
    report = build.report(clear, overall=Verdict.NO_REGRESSION)
    assert headline(report) == "Promote refunds-v2: no metric is worse by its margin in any of 1 cohort."


def test_promotes_with_what_improved(build: Any) -> None:
    """The largest improvement is told in numbers, the others are counted."""
    better = build.metric(
        "groundedness_fail_rate",
        Verdict.IMPROVED,
        base=ArmValue(100, 0.12),
        candidate=ArmValue(100, 0.1),
        effect=-0.02,
        interval=(-0.03, -0.01),
    )
    cohorts = [build.cohort(name, Decision.PROMOTE, better) for name in ("eu", "us")]
    assert headline(build.report(*cohorts, overall=Verdict.IMPROVED)) == (
        "Promote refunds-v2: no metric is worse by its margin in any of 2 cohorts, and groundedness failures "
        "on eu fell from 12.0 % to 10.0 % (-3.0 to -1.0 points), margin 2.5 points; 1 more improvement."
    )


def test_waits(build: Any) -> None:
    """Without a verdict the headline says how far it is and who may go ahead."""
    ready = build.cohort("eu", Decision.PROMOTE, build.metric("error_rate", Verdict.NO_REGRESSION))
    waiting = [
        build.cohort(name, Decision.HOLD, build.metric("error_rate", Verdict.INCONCLUSIVE)) for name in ("uk", "us")
    ]
    assert headline(build.report(ready, *waiting)) == (
        "No verdict yet on refunds-v2: 1 of 3 comparisons decided, none a regression; eu may be promoted; "
        "uk and us must wait for more data."
    )


def test_counts_cohorts_that_are_too_many_to_name(build: Any) -> None:
    """More than three cohorts are counted."""
    undecided = build.metric("error_rate", Verdict.INCONCLUSIVE)
    cohorts = [build.cohort(f"c{number}", Decision.HOLD, undecided) for number in range(4)]
    assert headline(build.report(*cohorts)).endswith("none a regression; 4 cohorts must wait for more data.")


@pytest.mark.parametrize(
    ("cohort", "seen"),
    [(None, "both_arms: No trace arrived."), ("eu", "both_arms on eu: No trace arrived.")],
)
def test_says_which_check_forbids_a_verdict(build: Any, cohort: str | None, seen: str) -> None:
    """Where nothing can be compared, the failed check is told."""
    check = Check("both_arms", cohort, CheckStatus.FAIL, "No trace arrived.")
    report = build.report(overall=Verdict.INVALID, checks=(check,))
    assert headline(report) == f"No verdict on refunds-v2: nothing could be compared; {seen}"


def test_says_that_there_are_no_data(build: Any) -> None:
    """Without data and without a failed check the headline says what is missing."""
    report = build.report(overall=Verdict.INVALID)
    assert headline(report).endswith("nothing could be compared, because no metric has data in both arms.")


def test_reads_no_direction_off_values_that_the_adjusted_effect_opposes(build: Any) -> None:
    """Raw values may fall while the adjusted effect rises: then the metric "went"."""
    turned = build.metric("error_rate", Verdict.REGRESSED, candidate=ArmValue(100, 0.08))
    assert "on eu went from 10.0 % to 8.0 %" in headline(build.report(build.cohort("eu", Decision.HOLD, turned)))


def test_what_reads_alike_stayed(build: Any) -> None:
    """Values that differ only beyond what is shown did not rise or fall for a reader."""
    alike = build.metric("error_rate", Verdict.REGRESSED, candidate=ArmValue(100, 0.1000001))
    assert "on eu stayed at 10.0 % (" in headline(build.report(build.cohort("eu", Decision.HOLD, alike)))


def test_says_the_effect_where_it_is_not_the_difference_of_the_values(build: Any) -> None:
    """Within strata the effect differs from what the raw values say: both are told."""
    parts = Composition(raw=0.006, within=0.037, mix=-0.031, reversed=False)
    stratified = build.metric(
        "error_rate", Verdict.REGRESSED, candidate=ArmValue(100, 0.106), effect=0.037, composition=parts
    )
    assert "on eu rose from 10.0 % to 10.6 %, +3.7 points among like traces (" in headline(
        build.report(build.cohort("eu", Decision.HOLD, stratified))
    )


@pytest.mark.parametrize(
    ("verdicts", "strict", "status"),
    [
        ([Verdict.REGRESSED, Verdict.IMPROVED], False, 1),
        ([Verdict.REGRESSED, Verdict.INCONCLUSIVE], True, 1),
        ([Verdict.INCONCLUSIVE, Verdict.INVALID], True, 3),
        ([Verdict.INCONCLUSIVE, Verdict.INVALID], False, 0),
        ([], True, 3),
        ([], False, 0),
        ([Verdict.NO_REGRESSION, Verdict.INCONCLUSIVE], True, 0),
        ([Verdict.IMPROVED], True, 0),
    ],
)
def test_exit_status(build: Any, verdicts: list[Verdict], strict: bool, status: int) -> None:
    """1 for a regression; 3, if asked for, when nothing is decided; else 0."""
    metrics = [build.metric(f"m{number}", verdict) for number, verdict in enumerate(verdicts)]
    assert exit_status(build.report(build.cohort("eu", Decision.HOLD, *metrics)), strict) == status
