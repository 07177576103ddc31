"""What a reader sees first is what the report says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from analytics.report.evidence import Evidence, Usage
from analytics.report.glance import Fact, glance, mean_costs
from analytics.report.model import Decision, Report, Verdict


def facts(report: Report) -> dict[str, Fact]:
    """The facts by what they answer."""
    return {fact.question: fact for fact in glance(report)}


def usage(cohort: str, arm: str, traces: int, cost: float | None, unpriced: int = 0) -> Usage:
    """An arm of a cohort."""
    return Usage(cohort, arm, traces, cost, unpriced, None, None, None, None, None)


def test_answers_in_the_order_of_the_questions(report: Report) -> None:
    """What, for whom, how sure, at what cost, what is open, and where the traces are."""
    told = facts(report)
    assert list(told) == [
        "What regressed", "For whom", "How sure", "Cost of a trace", "Not decided", "Traces to look at",
    ]  # fmt: skip
    assert told["What regressed"] == Fact(
        "What regressed",
        "groundedness failures, schema-repair rate",
        "2 of 10 comparisons",
        grave=True,
        section="findings",
    )
    assert (told["For whom"].answer, told["For whom"].more) == ("policy_exception", "47 % of the traces")
    assert told["How sure"].answer == "a false alarm at most 5\u00a0% of the time"
    assert told["Not decided"].answer == "3 of 10 comparisons"
    assert told["Traces to look at"].answer == "2 traces"


def test_nothing_worse_is_no_proof_of_equality(build: Any) -> None:
    """Where nothing regressed it says what was seen and how much is open, and names no cohort."""
    told = facts(build.report(build.cohort("eu", Decision.HOLD, build.metric("m", Verdict.INCONCLUSIVE))))
    assert (told["What regressed"].answer, told["What regressed"].grave) == ("nothing seen", False)
    assert told["For whom"].answer == "no cohort"
    assert told["Not decided"].answer == "1 of 1 comparison"
    assert "Cost of a trace" not in told
    assert "Traces to look at" not in told


def test_costs_are_compared_at_the_same_mix_of_cohorts() -> None:
    """An arm that met more of a dear cohort is not dearer for that."""
    used = [
        usage("cheap", "base", 900, 1.0), usage("cheap", "candidate", 100, 1.0),
        usage("dear", "base", 100, 5.0), usage("dear", "candidate", 900, 5.0),
    ]  # fmt: skip
    assert mean_costs(used) == (3.0, 3.0)


def test_an_unknown_cost_is_not_zero(report: Report) -> None:
    """A cohort without a known cost in an arm takes no part; where none has one, the cost is unknown."""
    known = [usage("a", "base", 10, 1.0), usage("a", "candidate", 10, 1.5)]
    unknown = [usage("b", "base", 90, 9.0), usage("b", "candidate", 90, None, unpriced=90)]
    assert mean_costs(known + unknown) == (1.0, 1.5)
    told = facts(replace(report, evidence=Evidence(usage=tuple(known + unknown))))["Cost of a trace"]
    assert (told.answer, told.more) == (
        "1.500 USD, +50.0\u00a0%", "1.000 USD with the base; 90 traces without a whole price"
    )  # fmt: skip
    assert mean_costs(unknown) == (None, None)
    assert facts(replace(report, evidence=Evidence(usage=tuple(unknown))))["Cost of a trace"].answer == "unknown"


def test_many_names_are_counted(build: Any) -> None:
    """Two are named, the others counted."""
    worse = [build.cohort(f"c{n}", Decision.ROLL_BACK, build.metric("m", Verdict.REGRESSED)) for n in range(4)]
    assert facts(build.report(*worse))["For whom"].answer == "c0, c1 and 2 more"
