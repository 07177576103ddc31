"""Decisions become shares: promoted by steps, rolled back, and kept where nothing is decided."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from analytics.errors import InputError
from analytics.promotions import Promotion
from analytics.report.evidence import Evidence, Usage
from analytics.report.model import CohortResult, Decision, MetricResult, Report, Verdict
from analytics.report.values import ArmValue
from analytics.routes.model import Guardrails, Present, RoutePlan
from analytics.routes.plan import PlanOptions, plan_routes

PROMOTION = Promotion(
    "refunds-v2", "base", "tuned", "concurrent", datetime(2026, 11, 1), None, "app.cohort", 0.5
)  # fmt: skip
IDENTITY = "ab" * 16
PROMOTE, HOLD, ROLL_BACK = Decision.PROMOTE, Decision.HOLD, Decision.ROLL_BACK


def cohort(name: str, decision: Decision, *verdicts: Verdict, pooled: tuple[str, ...] = ()) -> CohortResult:
    """A cohort of 100 traces an arm, with metrics of these verdicts."""
    metrics = tuple(
        MetricResult(
            f"m{number}", verdict, "As it is.", ArmValue(100, 0.1), ArmValue(100, 0.1), 0.0, None, 0.01, "rate"
        )
        for number, verdict in enumerate(verdicts or (Verdict.NO_REGRESSION,))
    )
    return CohortResult(name, decision, "It is so.", {"base": 100, "candidate": 100}, metrics, pooled)


def report(*cohorts: CohortResult, promotion: Promotion = PROMOTION, usage: tuple[Usage, ...] = ()) -> Report:
    """A report of these cohorts."""
    moment = datetime(2026, 11, 15)
    return Report(
        promotion, moment, moment, None, "f00d", 0.05, Verdict.INCONCLUSIVE, (), cohorts, evidence=Evidence(usage=usage)
    )


def shares(plan: RoutePlan) -> dict[str | None, float]:
    """Cohort → the candidate's share; None is the default route."""
    return {route.cohort: route.candidate_share for route in plan.all_routes}


def cost(name: str, arm: str, value: float | None, unpriced: int = 0) -> Usage:
    """What an arm costs a trace."""
    return Usage(name, arm, 100, value, unpriced, None, None, None, None, None)


def test_each_decision_has_its_share() -> None:
    """Promoted: the candidate; rolled back: the base; held: what it has; unknown: the base."""
    found = report(cohort("a", PROMOTE), cohort("b", ROLL_BACK), cohort("c", HOLD), cohort("(none)", PROMOTE))
    plan = plan_routes(found, IDENTITY, Present({"a": 0.1, "b": 0.1, "c": 0.1}, 0.0))
    assert shares(plan) == {"a": 1.0, "b": 0.0, "c": 0.1, None: 0.0}
    assert [route.fallback for route in plan.all_routes] == ["base", None, "base", None]
    assert plan.routes[2].reason == "Keeps what it has: It is so."
    assert (plan.report_id, plan.as_of, plan.stepped_by) == (IDENTITY, found.as_of, None)


def test_a_held_cohort_without_a_file_keeps_what_the_promotion_says() -> None:
    """The share that the promotion states for the report's moment; the designs without a share have their own."""
    held = cohort("c", HOLD)
    changes = ((datetime(2026, 11, 10), 0.2), (datetime(2026, 11, 20), 0.9))
    stated = {
        PROMOTION: 0.5,
        replace(PROMOTION, share_changes=changes): 0.2,
        replace(PROMOTION, design="before_after", candidate_share=None): 1.0,
        replace(PROMOTION, design="mirrored", candidate_share=None): 0.0,
    }
    for promotion, share in stated.items():
        assert shares(plan_routes(report(held, promotion=promotion), IDENTITY))["c"] == share


def test_an_unknown_share_is_not_zero() -> None:
    """Where nobody says what a held cohort has, there is an error with the mend, and no plan."""
    unknown = report(cohort("c", HOLD), promotion=replace(PROMOTION, candidate_share=None))
    with pytest.raises(InputError, match=r"cohort 'c' is to keep .* --current, .* promotion share refunds-v2"):
        plan_routes(unknown, IDENTITY)
    assert shares(plan_routes(unknown, IDENTITY, Present({}, 0.0)))["c"] == 0.0


def test_cohorts_judged_together_are_routed_each() -> None:
    """The members of a pooled cohort have routes of their own, each from where it is."""
    small = cohort("(small cohorts)", HOLD, pooled=("x", "y", "(none)"))
    plan = plan_routes(report(small), IDENTITY, Present({"x": 0.3}, 0.0))
    assert shares(plan) == {"x": 0.3, "y": 0.0, None: 0.0}


def test_a_cohort_that_the_report_does_not_know_is_kept() -> None:
    """A cohort without traffic keeps its route, and the guardrails are those that are there."""
    present = Present({"gone": 0.3}, 0.0, None, Guardrails(("pii",), ()))
    plan = plan_routes(report(cohort("a", PROMOTE)), IDENTITY, present)
    assert shares(plan) == {"a": 1.0, "gone": 0.3, None: 0.0}
    assert plan.routes[1].decision is None
    assert plan.guardrails.pre == ("pii",)


def test_one_cohort_of_everything_is_the_default_route() -> None:
    """Without an attribute of cohorts, the one decision is that of the default route."""
    held_out = replace(PROMOTION, design="held_out", cohort_by=None, candidate_share=None)
    plan = plan_routes(report(cohort("(none)", PROMOTE), promotion=held_out), IDENTITY)
    assert shares(plan) == {None: 1.0}


def test_a_report_takes_one_step() -> None:
    """To the next step, once for a report; the next report takes the next; at the end no mark is left."""
    options = PlanOptions(steps=(0.1, 0.5, 1.0))
    found = report(cohort("a", PROMOTE))
    present = Present({"a": 0.0}, 0.0)
    steps = []
    for identity in ("1" * 32, "1" * 32, "2" * 32, "3" * 32, "4" * 32):
        plan = plan_routes(found, identity, present, options)
        steps.append((plan.routes[0].candidate_share, plan.stepped_by))
        present = Present({"a": plan.routes[0].candidate_share}, 0.0, plan.stepped_by)
    first, second = ("1" * 32, "2" * 32)
    assert steps == [(0.1, first), (0.1, first), (0.5, second), (1.0, None), (1.0, None)]


def test_held_cohorts_are_mirrored() -> None:
    """The base's part of a held cohort is mirrored where a rate is configured; others are not."""
    found = report(cohort("a", PROMOTE), cohort("b", ROLL_BACK), cohort("c", HOLD), cohort("d", HOLD))
    plan = plan_routes(found, IDENTITY, Present({"c": 0.1, "d": 1.0}), PlanOptions(mirror_rate=0.05))
    assert [route.mirror_rate for route in plan.all_routes] == [None, None, 0.05, None, None]


def test_a_third_model_may_be_the_fallback() -> None:
    """A configured fallback holds for every route."""
    plan = plan_routes(
        report(cohort("a", PROMOTE), cohort("b", ROLL_BACK)), IDENTITY, None, PlanOptions(fallback="gpt-9")
    )
    assert {route.fallback for route in plan.all_routes} == {"gpt-9"}


@pytest.mark.parametrize(
    ("base", "candidate", "share"),
    [
        ((2.0, 0), (1.0, 0), 1.0),
        ((1.0, 0), (2.0, 0), 0.0),
        ((1.0, 0), (None, 100), 0.0),
        ((None, 100), (2.0, 0), 1.0),
        ((None, 100), (None, 100), 1.0),
        ((1.0, 2), (2.0, 0), 1.0),
        ((2.0, 0), (1.0, 2), 0.0),
        ((2.0, 1), (1.0, 1), 1.0),
    ],
)
def test_the_cheaper_of_two_that_are_not_worse(
    base: tuple[float | None, int], candidate: tuple[float | None, int], share: float
) -> None:
    """By known cost; a cost that is unknown for more than one trace in a hundred is not cheap."""
    usage = (cost("a", "base", *base), cost("a", "candidate", *candidate))
    plan = plan_routes(report(cohort("a", PROMOTE), usage=usage), IDENTITY, None, PlanOptions(policy="cost"))
    assert plan.routes[0].candidate_share == share
    assert plan.routes[0].fallback == ("base" if share else "tuned")


def test_cost_never_moves_what_may_be_worse() -> None:
    """A cheap candidate that is held or rolled back stays out; where a metric is open, cost does not decide."""
    cheap = tuple(cost(name, arm, value) for name in "abc" for arm, value in (("base", 2.0), ("candidate", 1.0)))
    found = report(cohort("a", HOLD), cohort("b", ROLL_BACK, Verdict.REGRESSED), usage=cheap)
    plan = plan_routes(found, IDENTITY, Present({"a": 0.0}), PlanOptions(policy="cost"))
    assert shares(plan) == {"a": 0.0, "b": 0.0, None: 0.0}


def test_cost_is_read_from_the_metric_where_no_usage_is_told() -> None:
    """Reports without evidence have the cost in their metric, of nearly all traces or not at all."""

    def of(base_n: int, name: str) -> Any:
        told = cohort(name, PROMOTE)
        metric = replace(
            told.metrics[0], metric="cost_per_trace", base=ArmValue(base_n, 1.0), candidate=ArmValue(100, 2.0)
        )
        return replace(told, metrics=(metric,))

    plan = plan_routes(report(of(100, "a"), of(50, "b")), IDENTITY, None, PlanOptions(policy="cost"))
    assert shares(plan) == {"a": 0.0, "b": 1.0, None: 0.0}
