"""Validity checks: what forbids a comparison, what only deserves a word, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from analytics.promotions import Promotion
from analytics.report.model import Check, CheckStatus
from analytics.validity import checks

START = datetime(2026, 11, 2)
PASS, WARN, FAIL = CheckStatus.PASS, CheckStatus.WARN, CheckStatus.FAIL


def promotion(candidate_share: float | None = 0.5) -> Promotion:
    """A promotion of m1 beside m0."""
    return Promotion("p", "m0", "m1", "concurrent", START, None, "app.cohort", candidate_share)


def arm_of(arm: str, size: int, *, cohort: str = "eu", users: int | None = None, **columns: Any) -> pl.DataFrame:
    """Traces of one arm, each of a user of its own unless told; a column is a value or a list to repeat."""
    defaults: dict[str, Any] = {
        "prompt_version": "support@3",
        "instrumentation": "openai@2.0",
        "token_rules": "otel",
        "unpriced_calls": 0,
        "unpriced_models": None,
        "missing_root": False,
        "evaluation:Groundedness": 0.0,
    }
    given = {
        name: [value[i % len(value)] for i in range(size)] if isinstance(value, list) else [value] * size
        for name, value in (defaults | columns).items()
    }
    return pl.DataFrame(
        {
            "trace_id": [f"{cohort}-{arm}-{i}" for i in range(size)],
            "start_time": [START + timedelta(minutes=i) for i in range(size)],
            "end_time": [START + timedelta(minutes=i, seconds=3) for i in range(size)],
            "cohort": cohort,
            "arm": arm,
            "unit": [f"{arm}-user-{i % (users or size)}" for i in range(size)],
        },
    ).with_columns(
        pl.Series(name, values, dtype=pl.Float64 if name.startswith("evaluation:") else None)
        for name, values in given.items()
    )


def arms(size: int = 200, *, cohort: str = "eu", users: int | None = None, **candidate: Any) -> pl.DataFrame:
    """Two arms of one size which differ in the candidate's given columns only."""
    base = arm_of("base", size, cohort=cohort, users=users)
    other = arm_of("candidate", size, cohort=cohort, users=users, **candidate)
    return pl.concat([base, other], how="vertical_relaxed")


def grades(traces: pl.DataFrame, base: str | None, candidate: str | None) -> pl.DataFrame:
    """One score of Groundedness per trace, by an evaluator version per arm."""
    by_arm = pl.when(pl.col("arm") == "base").then(pl.lit(base, pl.String)).otherwise(pl.lit(candidate, pl.String))
    return traces.select("trace_id", name=pl.lit("Groundedness"), evaluator_version=by_arm)


def run(traces: pl.DataFrame, evaluations: pl.DataFrame | None = None, share: float | None = 0.5) -> list[Check]:
    """All checks; scores are by one evaluator version unless given."""
    given = grades(traces, "1", "1") if evaluations is None else evaluations
    return list(checks(traces, promotion=promotion(share), evaluations=given))


def one(found: list[Check], name: str, cohort: str | None = "eu") -> Check:
    """The only check of that name and cohort."""
    (check,) = [check for check in found if check.check == name and check.cohort == cohort]
    return check


def test_alike_arms_pass_every_check() -> None:
    """Two arms that differ in nothing pass, and each check is named."""
    found = run(arms())
    assert {check.status for check in found} == {PASS}
    assert [check.check for check in found] == [
        "both_arms", "sample_ratio", "prompt_version", "instrumentation",
        "evaluator_version", "missing_scores", "unpriced", "missing_root", "incomplete_traces",
    ]  # fmt: skip


def test_no_trace_fails_everything() -> None:
    """Without any trace one check fails for all cohorts and says what to look at."""
    (check,) = run(arms().clear())
    assert (check.check, check.cohort, check.status, check.metrics) == ("both_arms", None, FAIL, None)
    assert "m0 or m1" in check.detail


@pytest.mark.parametrize(("present", "empty"), [("base", "candidate"), ("candidate", "base")])
def test_an_arm_without_traces_fails_its_cohort(present: str, empty: str) -> None:
    """A cohort with one arm is not compared, and no other check speaks of it."""
    found = run(pl.concat([arms(cohort="us"), arm_of(present, 5)]))
    (check,) = [check for check in found if check.cohort == "eu"]
    assert (check.check, check.status, check.metrics) == ("both_arms", FAIL, None)
    assert check.detail.startswith(f"The {empty} arm has no trace while the {present} arm has 5")
    assert found[0] is check


def test_a_lopsided_split_fails() -> None:
    """Four hundred users against two hundred are not the intended halves."""
    check = one(run(pl.concat([arm_of("base", 400), arm_of("candidate", 200)])), "sample_ratio")
    assert (check.status, check.metrics) == (FAIL, None)
    assert "400 users met base and 200 the candidate (33.3 % candidate, intended 50.0 %, p < 0.0001)" in check.detail


def test_an_intended_canary_passes() -> None:
    """The intended share is what the split is held against."""
    traces = pl.concat([arm_of("base", 900), arm_of("candidate", 100)])
    assert one(run(traces, share=0.1), "sample_ratio").status is PASS
    assert one(run(traces, share=0.5), "sample_ratio").status is FAIL


def test_users_are_counted_not_traces() -> None:
    """A candidate whose users ask twice as often keeps the intended split of users."""
    traces = pl.concat([arm_of("base", 300, users=300), arm_of("candidate", 900, users=300)])
    assert one(run(traces), "sample_ratio").status is PASS


def test_a_user_of_both_arms_counts_once() -> None:
    """Split by request, each user counts in the arm met first, so heavy users do not even the arms out."""
    base = arm_of("base", 900).with_columns(unit=pl.format("user-{}", pl.int_range(900)))
    later = START + timedelta(days=1)
    candidate = arm_of("candidate", 800).with_columns(
        unit=pl.format("user-{}", pl.int_range(800)), start_time=pl.lit(later)
    )
    first_met = arm_of("candidate", 100)
    assert one(run(pl.concat([base, candidate, first_met]), share=0.1), "sample_ratio").status is PASS


def test_an_unstated_share_is_no_pass() -> None:
    """Without an intended share the check warns, once, and names the option."""
    found = run(pl.concat([arms(), arms(cohort="us")]), share=None)
    check = one(found, "sample_ratio", None)
    assert check.status is WARN
    assert "--candidate-share" in check.detail
    assert sum(each.check == "sample_ratio" for each in found) == 1


def test_a_loss_spread_over_cohorts_is_seen_together() -> None:
    """A loss too small to see in any one of ten cohorts fails them all together."""
    traces = pl.concat(
        pl.concat([arm_of("base", 500, cohort=cohort), arm_of("candidate", 430, cohort=cohort)]).with_columns(
            unit=pl.col("unit") + cohort
        )
        for cohort in "abcdefghij"
    )
    found = [check for check in run(traces) if check.check == "sample_ratio"]
    assert [(check.cohort, check.status) for check in found] == [(None, FAIL)]
    assert "over all cohorts" in found[0].detail


@pytest.mark.parametrize(
    ("column", "check", "metrics"),
    [
        ("prompt_version", "prompt_version", None),
        ("instrumentation", "instrumentation", ("input_tokens", "output_tokens", "cost_per_trace")),
        ("token_rules", "instrumentation", ("input_tokens", "output_tokens", "cost_per_trace")),
    ],
)
class TestDeployedFields:
    """Fields that a deployment sets must have the same mix in both arms."""

    def test_another_value_fails(self, column: str, check: str, metrics: tuple[str, ...] | None) -> None:
        """A value of the candidate's own fails the metrics that it touches, and is named."""
        found = one(run(arms(**{column: "other@4"})), check)
        assert (found.status, found.metrics) == (FAIL, metrics)
        assert "other@4 (0.0 % of base, 100.0 % of candidate)" in found.detail

    def test_another_value_among_few_fails(self, column: str, check: str, metrics: tuple[str, ...] | None) -> None:
        """Three traces an arm with no value in common are enough."""
        assert one(run(arms(3, **{column: "other@4"})), check).status is FAIL
        assert metrics is None or "cost_per_trace" in metrics

    def test_a_few_in_a_thousand_pass(self, column: str, check: str, metrics: tuple[str, ...] | None) -> None:
        """A difference on one trace in a hundred moves no verdict."""
        values = ["other@4", *["support@3"] * 99]
        even = arm_of("base", 1000, **{column: "support@3"})
        found = one(run(pl.concat([even, arm_of("candidate", 1000, **{column: values})])), check)
        assert (found.status, found.metrics) == (PASS, metrics)

    def test_a_roll_out_in_both_arms_does_not_fail_few_traces(
        self, column: str, check: str, metrics: tuple[str, ...] | None
    ) -> None:
        """A value that changes in both arms differs by chance in a small cohort: a warning, not a failure."""
        base = arm_of("base", 20, **{column: ["a@1", "a@2"]})
        candidate = arm_of("candidate", 20, **{column: ["a@1", "a@1", "a@2", "a@1", "a@2"]})
        found = one(run(pl.concat([base, candidate])), check)
        assert (found.status, found.metrics) == (WARN, metrics)
        assert "by chance" in found.detail

    def test_a_tenth_in_a_thousand_fails(self, column: str, check: str, metrics: tuple[str, ...] | None) -> None:
        """A tenth of the candidate's traces with another value fails where the traces can show it."""
        values = ["other@4", *["support@3"] * 9]
        even = arm_of("base", 1000, **{column: "support@3"})
        found = one(run(pl.concat([even, arm_of("candidate", 1000, **{column: values})])), check)
        assert (found.status, found.metrics) == (FAIL, metrics)
        assert "differs on 10.0 % of traces" in found.detail

    def test_the_user_is_the_unit(self, column: str, check: str, metrics: tuple[str, ...] | None) -> None:
        """Two users with a thousand traces each are still two users: chance could have done it."""
        base = arm_of("base", 1000, users=2, **{column: ["a@1", "a@1"]})
        candidate = arm_of("candidate", 1000, users=2, **{column: ["a@1", "a@2"]})
        assert one(run(pl.concat([base, candidate])), check).status is WARN
        assert metrics is None or "input_tokens" in metrics


def test_traces_without_prompt_versions_are_not_checked() -> None:
    """No version in either arm is a warning that says so; in one arm only it is a failure."""
    bare = arms(prompt_version=None).with_columns(prompt_version=pl.lit(None, pl.String))
    check = one(run(bare), "prompt_version")
    assert (check.status, check.detail.split(":")[0]) == (WARN, "Not checked")
    half = one(run(arms(prompt_version=None)), "prompt_version")
    assert half.status is FAIL
    assert "none recorded" in half.detail or "support@3" in half.detail


@pytest.mark.parametrize(
    ("base", "candidate", "status", "words"),
    [
        ("1", "1", PASS, "same versions"),
        ("1", "2", FAIL, "score both again"),
        ("1", None, FAIL, "score both again"),
        (None, None, WARN, "Not checked"),
    ],
)
def test_evaluator_version(base: str | None, candidate: str | None, status: CheckStatus, words: str) -> None:
    """An evaluator of another version in one arm fails its own fail rate and nothing else."""
    traces = arms()
    check = one(run(traces, grades(traces, base, candidate)), "evaluator_version")
    assert (check.status, check.metrics) == (status, ("groundedness_fail_rate",))
    assert words in check.detail


def test_any_share_of_another_evaluator_version_fails_if_it_is_no_chance() -> None:
    """One candidate score in fifty by another version is no chance among two thousand."""
    traces = arms(2000)
    version = pl.when((pl.col("arm") == "candidate") & (pl.int_range(pl.len()) % 50 == 0))
    scores = traces.select(
        "trace_id",
        name=pl.lit("Groundedness"),
        evaluator_version=version.then(pl.lit("2")).otherwise(pl.lit("1")),
    )
    assert one(run(traces, scores), "evaluator_version").status is FAIL


def test_one_score_by_another_version_is_a_warning() -> None:
    """A single score by another version may be a roll-out's first: it is told, not held against the arms."""
    traces = arms()
    scores = grades(traces, "1", "1").with_columns(
        evaluator_version=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("2")).otherwise("evaluator_version")
    )
    check = one(run(traces, scores), "evaluator_version")
    assert check.status is WARN
    assert "version 2" in check.detail


@pytest.mark.parametrize("evaluations", [None, "elsewhere"])
def test_scores_without_a_trace_are_no_pass(evaluations: str | None) -> None:
    """An evaluator whose scores cannot be traced to both arms is not checked, and that is said."""
    traces = arms()
    stored = None if evaluations is None else grades(traces, "1", "1").with_columns(trace_id=pl.lit(evaluations))
    check = one(list(checks(traces, promotion=promotion(), evaluations=stored)), "evaluator_version")
    assert check.status is WARN
    assert check.detail.startswith("Not checked")


def test_scores_missing_in_one_arm_fail_the_evaluator() -> None:
    """A tenth of the candidate's scores missing fails the fail rate that they would have fed."""
    check = one(run(arms(1000, **{"evaluation:Groundedness": [None, *[0.0] * 9]})), "missing_scores")
    assert (check.status, check.metrics) == (FAIL, ("groundedness_fail_rate",))
    assert "missing on 0.0 % of base and 10.0 % of candidate traces" in check.detail


@pytest.mark.parametrize(
    ("size", "scores"),
    [(1000, [None, *[0.0] * 99]), (20, [None, *[0.0] * 9])],
    ids=["one point", "few traces"],
)
def test_a_little_or_chance_missing_passes(size: int, scores: list[float | None]) -> None:
    """Less than two points, or no more than chance, is no failure."""
    assert one(run(arms(size, **{"evaluation:Groundedness": scores})), "missing_scores").status is PASS


def test_scores_sampled_alike_pass() -> None:
    """An evaluator that scores one trace in ten of both arms misses alike."""
    sampled = {"evaluation:Groundedness": [0.0, *[None] * 9]}
    traces = pl.concat([arm_of("base", 500, **sampled), arm_of("candidate", 500, **sampled)])
    assert one(run(traces), "missing_scores").status is PASS


def test_an_evaluator_without_scores_in_a_cohort_is_left_alone() -> None:
    """Where an evaluator scores nothing, there is nothing to miss."""
    nothing = {"evaluation:Groundedness": None}
    traces = pl.concat([arm_of("base", 50, **nothing), arm_of("candidate", 50, **nothing)])
    assert not [check for check in run(traces) if check.check in {"missing_scores", "evaluator_version"}]


@pytest.mark.parametrize(("calls", "words"), [(1, "1 LLM call has"), (3, "3 LLM calls have")])
def test_an_unpriced_call_fails_cost(calls: int, words: str) -> None:
    """One call without a price makes cost, and only cost, invalid: unknown is not zero."""
    check = one(run(arms(200, unpriced_calls=[calls, *[0] * 199])), "unpriced")
    assert (check.status, check.metrics) == (FAIL, ("cost_per_trace",))
    assert check.detail.startswith(words)
    assert "0.0 % of base and 0.5 % of candidate traces" in check.detail


def test_models_without_a_price_are_named() -> None:
    """The sentence names the models, the first few of many, and the command that says what to write."""
    named = arms(200, unpriced_calls=1, unpriced_models=["b,a", "a", *[None] * 8])
    check = one(run(named), "unpriced")
    assert check.detail.endswith("no price is known for tokens of a, b, so run `spanverdict prices check`.")
    many = arms(200, unpriced_calls=1, unpriced_models=",".join(f"m{number}" for number in range(8)))
    assert "m0, m1, m2, m3, m4 and 3 more, so run" in one(run(many), "unpriced").detail


def test_unknown_token_counts_are_not_the_prices_fault() -> None:
    """Where no token was told, the mend is with the instrumentation."""
    check = one(run(arms(200, unpriced_calls=1)), "unpriced")
    assert "have no known cost" in check.detail
    assert check.detail.endswith("token counts are unknown, so look at what the instrumentation reports.")


def test_missing_roots_in_one_arm_warn() -> None:
    """Roots lost in one arm are told, many forbid to compare what spans tell; lost alike in both they pass."""
    assert one(run(arms(missing_root=[True, *[False] * 24])), "missing_root").status is WARN
    many = one(run(arms(missing_root=[True, *[False] * 9])), "missing_root")
    assert many.status is FAIL
    assert "latency_p50" in (many.metrics or ())
    assert "groundedness_fail_rate" not in (many.metrics or ())
    assert one(run(arms(20, missing_root=[True, *[False] * 9])), "missing_root").status is WARN
    lost = {"missing_root": [True, *[False] * 9]}
    both = pl.concat([arm_of("base", 200, **lost), arm_of("candidate", 200, **lost)])
    assert one(run(both), "missing_root").status is PASS


def test_what_all_cohorts_say_is_said_once_and_failures_come_first() -> None:
    """Equal passes and warnings are merged; a failure stays with its cohort, ahead of the rest."""
    found = run(pl.concat([arms(), arms(cohort="us", unpriced_calls=2)]))
    assert (found[0].check, found[0].cohort, found[0].status) == ("unpriced", "us", FAIL)
    assert one(found, "unpriced", "eu").status is PASS
    assert one(found, "missing_root", None).status is PASS
    assert [check.status for check in found] == sorted((check.status for check in found), key=[FAIL, WARN, PASS].index)


def test_the_order_of_traces_does_not_matter() -> None:
    """Shuffled traces give the same checks."""
    traces = pl.concat([arms(missing_root=[True, *[False] * 9]), arms(cohort="us", prompt_version="x@1")])
    assert run(traces) == run(traces.sample(fraction=1.0, shuffle=True, seed=3), grades(traces, "1", "1"))


def test_losses_are_seen_where_one_arm_follows_the_other() -> None:
    """Before and after no day has both arms; scores lost after the change are found, with strata as without."""
    scores = [None, None, None, 0.0, 0.0, 0.0, 0.0, 1.0]
    later = arm_of("candidate", 1_500, **{"evaluation:Groundedness": scores}).with_columns(
        pl.col("start_time", "end_time") + timedelta(days=7)
    )
    traces = pl.concat([arm_of("base", 1_500), later], how="vertical_relaxed")
    stratified = traces.with_columns(
        stratum=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("easy")).otherwise(pl.lit("hard"))
    )
    changed = replace(promotion(None), design="before_after", at=START + timedelta(days=7))
    for frame in (traces, stratified):
        found = list(checks(frame, promotion=changed, evaluations=None))
        assert one(found, "missing_scores").status is FAIL
