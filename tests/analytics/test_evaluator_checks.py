"""Whether evaluators graded alike: between the arms, inside the window, and before it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from analytics.evaluator_checks import EvaluatorContext, evaluator_checks
from analytics.evaluators import EvaluatorRule
from analytics.maturity import Maturity
from analytics.report.model import Check, CheckStatus

START = datetime(2026, 11, 2)
PASS, WARN, FAIL = CheckStatus.PASS, CheckStatus.WARN, CheckStatus.FAIL
SIZE = 100
TRAITS = {
    "evaluator_version": ("evaluator_version", "1", "2"),
    "evaluator_judge": ("judge_model", "judge-a", "judge-b"),
    "evaluator_threshold": ("passing_threshold", 0.5, 0.7),
    "evaluator_direction": ("passing_direction", "better", "worse"),
    "evaluator_source": ("source", "LLM", "HUMAN"),
}


def traces() -> pl.DataFrame:
    """A hundred scored traces of each arm, one an hour, each of a user of its own."""
    return pl.DataFrame(
        {
            "trace_id": [f"{arm}-{number}" for arm in ("base", "candidate") for number in range(SIZE)],
            "arm": [arm for arm in ("base", "candidate") for _ in range(SIZE)],
            "unit": [f"{arm}-{number}" for arm in ("base", "candidate") for number in range(SIZE)],
            "end_time": [START + timedelta(hours=number) for _ in range(2) for number in range(SIZE)],
            "evaluation:Groundedness": [0.0] * (2 * SIZE),
        }
    )


def scores(frame: pl.DataFrame, **columns: Any) -> pl.DataFrame:
    """A score for each trace, an hour after it; a column is a value or an expression over the traces."""
    given = {name: value if isinstance(value, pl.Expr) else pl.lit(value) for name, value in columns.items()}
    return frame.with_columns(
        event_time=(pl.col("end_time") + timedelta(hours=1)).cast(pl.Datetime("ns")),
        name=pl.lit("Groundedness"),
        **given,
    ).drop("arm", "unit", "end_time")


def found(
    evaluations: pl.DataFrame, context: EvaluatorContext | None = None, frame: pl.DataFrame | None = None
) -> dict[str, Check]:
    """The checks by name."""
    used = traces() if frame is None else frame
    return {check.check: check for check in evaluator_checks("eu", used, evaluations, context or EvaluatorContext())}


def by_arm(base: Any, candidate: Any) -> pl.Expr:
    """One value for each arm."""
    return pl.when(pl.col("arm") == "base").then(pl.lit(base)).otherwise(pl.lit(candidate))


@pytest.mark.parametrize("name", TRAITS)
def test_a_difference_between_the_arms_fails_the_evaluators_metric(name: str) -> None:
    """Version, judge, threshold, direction and source: another one in one arm, and the arms are not compared."""
    column, one, other = TRAITS[name]
    check = found(scores(traces(), **{column: by_arm(one, other)}))[name]
    assert (check.status, check.metrics) == (FAIL, ("groundedness_fail_rate",))
    assert "the arms were not graded alike, so" in check.detail
    assert found(scores(traces(), **{column: one}))[name].status is PASS


@pytest.mark.parametrize("name", TRAITS)
def test_a_change_that_met_both_arms_is_told_with_its_time(name: str) -> None:
    """From the second day on another one grades both arms: the comparison holds, and the report says since when."""
    column, one, other = TRAITS[name]
    later = pl.when(pl.col("end_time") >= START + timedelta(days=2)).then(pl.lit(other)).otherwise(pl.lit(one))
    check = found(scores(traces(), **{column: later}))[name]
    assert check.status is WARN
    assert f"from {one} to {other} since 2026-11-04T01:00:00Z" in check.detail


@pytest.mark.parametrize("name", TRAITS)
def test_a_change_at_the_promotion_is_told(name: str) -> None:
    """Another one graded before the promotion: rates from before are not to be compared with."""
    column, one, other = TRAITS[name]
    before = (
        traces()
        .filter(pl.col("arm") == "base")
        .with_columns(
            trace_id=pl.lit("old-") + pl.col("trace_id"),
            end_time=pl.col("end_time") - timedelta(days=10),
            cohort=pl.lit("eu"),
        )
    )
    graded = pl.concat([scores(traces(), **{column: other}), scores(before, **{column: one}).drop("cohort")])
    check = found(graded, EvaluatorContext(pre_period=before))[name]
    assert check.status is WARN
    assert f"was {one} before the promotion and is {other} since" in check.detail


def test_what_no_score_says_is_not_checked() -> None:
    """Code has no judge: without any word of a trait there is no check of it, but the version is asked for."""
    checks = found(scores(traces()))
    assert set(checks) == {"evaluator_version"}
    assert checks["evaluator_version"].detail == "Not checked: the scores of Groundedness carry no evaluator version."


def test_an_unexpected_version_or_judge_is_told() -> None:
    """The configuration names what is expected, in any spelling of the evaluator."""
    rules = {"groundedness": EvaluatorRule(version="2", judge_model="judge-b")}
    checks = found(scores(traces(), evaluator_version="1", judge_model="judge-b"), EvaluatorContext(rules=rules))
    assert checks["evaluator_version"].status is WARN
    assert "graded with version 1 where the configuration expects 2" in checks["evaluator_version"].detail
    assert checks["evaluator_judge"].status is PASS


def test_labels_against_scores_are_counted() -> None:
    """A label that says the opposite of its score is flagged, with how many there are."""
    contradicted = pl.col("trace_id").is_in(["base-1", "candidate-2", "candidate-3"])
    check = found(scores(traces(), contradicted=contradicted))["evaluator_labels"]
    assert (check.status, check.detail[:38]) == (WARN, "On 3 of 200 scores of Groundedness the")
    assert "evaluator_labels" not in found(scores(traces(), contradicted=False))


def test_runs_that_failed_say_nothing_of_the_evaluator() -> None:
    """What gave no verdict does not count as graded by another version."""
    failed = pl.col("trace_id").str.ends_with("7")
    graded = scores(
        traces(),
        evaluator_version=pl.when(failed).then(pl.lit("broken")).otherwise(pl.lit("1")),
        passed=pl.when(~failed).then(pl.lit(value=True)),
    )
    assert found(graded)["evaluator_version"].status is PASS


def test_traces_too_young_for_the_evaluator_are_no_evidence() -> None:
    """Within the evaluator's usual delay, another version does not count against the arms."""
    late = pl.col("end_time") > START + timedelta(hours=49)
    frame = traces().with_columns(
        pl.when((pl.col("arm") == "base") | ~late).then("evaluation:Groundedness").alias("evaluation:Groundedness")
    )
    graded = scores(
        frame, evaluator_version=pl.when(late & (pl.col("arm") == "base")).then(pl.lit("2")).otherwise(pl.lit("1"))
    )
    waits = {"evaluation:Groundedness": Maturity(timedelta(hours=50), "configured")}
    as_of = START + timedelta(hours=99)
    assert {
        check.status for check in found(graded, EvaluatorContext(maturities=waits, as_of=as_of), frame).values()
    } == {PASS}
    unaware = found(graded, None, frame)
    assert unaware["evaluator_version"].status is FAIL
