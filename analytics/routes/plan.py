"""From a report's decisions to a route plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from analytics.errors import InputError
from analytics.promotions import BEFORE_AFTER, CONCURRENT, Promotion
from analytics.report.model import CohortResult, Decision, Report, Verdict
from analytics.report.values import ArmValue
from analytics.routes.model import PARTS, Policy, Present, Route, RoutePlan, parts

NO_COHORT = "(none)"
"""The cohort of traces without one: it takes the default route."""

MOST_UNPRICED = 0.01
"""An arm whose traces have more than this share of unknown costs has no known cost."""

_NOT_WORSE = (Verdict.NO_REGRESSION, Verdict.IMPROVED)
_COST = "cost_per_trace"


@dataclass(frozen=True)
class PlanOptions:
    """How decisions become shares.

    Attributes:
        policy: what a cohort gets that may have either model.
        steps: the shares by which a candidate takes over, ascending, the last 1.
        mirror_rate: the share of a held cohort's requests that the candidate is sent as well; None for none.
        fallback: a third model that answers where the chosen one fails; None takes the other arm where that is safe.
    """

    policy: Policy = "safe"
    steps: tuple[float, ...] = (1.0,)
    mirror_rate: float | None = None
    fallback: str | None = None


def plan_routes(
    report: Report, report_id: str, present: Present | None = None, options: PlanOptions | None = None
) -> RoutePlan:
    """The plan that follows from a report.

    A promoted cohort goes to the candidate, by steps where there are some; one that is rolled back goes to the base;
    all others keep what they have: in the gateway, else by the share that the promotion states. Cohorts that were
    judged together are routed each. What has no cohort, or one that the report does not know, goes to the base.

    Args:
        report: its decisions.
        report_id: its identity.
        present: what the gateway does at present; None where that is not known.
        options: how decisions become shares.

    Raises:
        InputError: a cohort is to keep its share, and nobody says what that is.
    """
    planner = _Planner(report, report_id, present or Present(), options or PlanOptions())
    decided = {name: cohort for cohort in report.cohorts for name in cohort.pooled or (cohort.cohort,)}
    alone = decided.pop(NO_COHORT, None)
    routes = {name: planner.route(name, cohort) for name, cohort in decided.items()}
    for name, share in planner.present.shares.items():
        routes.setdefault(name, planner.kept(name, share))
    whole = alone if not decided and report.promotion.cohort_by is None else None
    default = planner.default() if whole is None else planner.route(None, whole)
    found = (*(routes[name] for name in sorted(routes)), default)
    below = any(route.decision == Decision.PROMOTE and 0 < route.candidate_share < 1 for route in found)
    return RoutePlan(
        promotion=report.promotion.name,
        base=report.promotion.base,
        candidate=report.promotion.candidate,
        policy=planner.options.policy,
        report_id=report_id,
        as_of=report.as_of,
        steps=planner.options.steps,
        stepped_by=report_id if below else None,
        routes=found[:-1],
        default=default,
        guardrails=planner.present.guardrails,
    )


@dataclass(frozen=True)
class _Planner:
    report: Report
    report_id: str
    present: Present
    options: PlanOptions

    def route(self, cohort: str | None, result: CohortResult) -> Route:
        """The route of a cohort that was judged."""
        match result.decision:
            case Decision.PROMOTE:
                share, reason = self._promoted(cohort, result)
            case Decision.ROLL_BACK:
                share, reason = 0.0, f"Rolled back: {result.reason}"
            case _:
                share = self._at_present(cohort)
                reason = f"Keeps what it has: {result.reason}"
        held = result.decision is Decision.HOLD
        return self._route(cohort, share, result.decision.value, reason, mirrored=held)

    def kept(self, cohort: str, share: float) -> Route:
        """The route of a cohort that the gateway knows and the report does not."""
        return self._route(cohort, share, None, "Keeps what it has: the report does not know it.", mirrored=False)

    def default(self) -> Route:
        """The route of everything else."""
        reason = "Requests without a cohort, or of one that was not judged, go to the base."
        return self._route(None, 0.0, None, reason, mirrored=False)

    def _route(self, cohort: str | None, share: float, decision: str | None, reason: str, *, mirrored: bool) -> Route:
        share = parts(share) / PARTS
        fallback = self.options.fallback
        if fallback is None and share > 0:
            fallback = self.report.promotion.base
        elif fallback is None and decision == Decision.PROMOTE:
            fallback = self.report.promotion.candidate
        rate = self.options.mirror_rate if mirrored and share < 1 else None
        return Route(cohort, share, rate, fallback, decision, reason)

    def _promoted(self, cohort: str | None, result: CohortResult) -> tuple[float, str]:
        if self.options.policy == "cost" and all(metric.verdict in _NOT_WORSE for metric in result.metrics):
            cost = {arm: self._cost(result, arm) for arm in ("base", "candidate")}
            if _cheaper_base(cost):
                return 0.0, f"Promoted, but the base costs less: {_told(cost)}."
        share, step = self._next_step(cohort)
        return share, f"Promoted{step}: {result.reason}"

    def _next_step(self, cohort: str | None) -> tuple[float, str]:
        steps = self.options.steps
        if len(steps) == 1:
            return steps[0], ""
        now = self._known_share(cohort) or 0.0
        if self.present.stepped_by == self.report_id and now > 0:
            return now, f", at {now:.4g} by this report already"
        share = next((step for step in steps if parts(step) > parts(now)), 1.0)
        return share, "" if share == 1 else f", from {now:.4g} to the next step, {share:.4g}"

    def _at_present(self, cohort: str | None) -> float:
        share = self._known_share(cohort)
        if share is None:
            name = "everything" if cohort is None else f"cohort {cohort!r}"
            raise InputError(
                f"{name} is to keep what it has, but nobody says what that is: give the gateway's present file with "
                f"--current, or say the candidate's share with `spanverdict promotion share "
                f"{self.report.promotion.name} --candidate-share SHARE`."
            )
        return share

    def _known_share(self, cohort: str | None) -> float | None:
        here = self.present.default_share if cohort is None else self.present.shares.get(cohort)
        if here is None and cohort is not None and self.present.default_share is not None:
            # The gateway has our routes, and this cohort takes the default one.
            here = self.present.default_share
        return declared_share(self.report.promotion, self.report) if here is None else here

    def _cost(self, result: CohortResult, arm: str) -> float | None:
        """The known cost of a trace (USD); None where too much of it is unknown."""
        for usage in self.report.evidence.usage:
            if usage.cohort == result.cohort and usage.arm == arm:
                known = usage.traces > 0 and usage.unpriced / usage.traces <= MOST_UNPRICED
                return usage.cost if known else None
        return next((_covering(metric.base if arm == "base" else metric.candidate, result.traces.get(arm, 0))
                     for metric in result.metrics if metric.metric == _COST), None)  # fmt: skip


def declared_share(promotion: Promotion, report: Report) -> float | None:
    """The share of the candidate that the promotion states for the report's moment; None where it states none."""
    if promotion.design == BEFORE_AFTER:
        return 1.0
    if promotion.design != CONCURRENT:
        # Users saw nothing of the candidate.
        return 0.0
    changes = [share for since, share in sorted(promotion.share_changes) if since <= report.as_of]
    return changes[-1] if changes else promotion.candidate_share


def _covering(value: ArmValue, traces: int) -> float | None:
    """An arm's cost if (nearly) all of its traces have one."""
    return value.value if traces > 0 and value.n >= traces * (1 - MOST_UNPRICED) else None


def _cheaper_base(cost: Mapping[str, float | None]) -> bool:
    """Whether the base is known to be cheaper; an unknown cost is not cheap."""
    base, candidate = cost["base"], cost["candidate"]
    if base is None:
        return False
    return candidate is None or base < candidate


def _told(cost: Mapping[str, float | None]) -> str:
    """Both costs in words."""

    def words() -> Iterator[str]:
        for arm, value in cost.items():
            yield f"{arm} {'unknown' if value is None else f'${value:.6g}'} a trace"

    return ", ".join(words())
