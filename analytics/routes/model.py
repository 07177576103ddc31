"""A route plan: which cohort goes to which model, at what share; and what a gateway does at present."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

PARTS = 10_000
"""Shares are whole parts of this: what is written is what is read back."""

Policy = Literal["safe", "cost"]
"""What a cohort that may have either model gets: the candidate, or the one that costs less."""


@dataclass(frozen=True)
class Guardrails:
    """The names of the guardrails that a gateway has; a route plan leaves them as they are.

    Attributes:
        pre: those that see a request before the model does.
        post: those that see the answer.
    """

    pre: tuple[str, ...] = ()
    post: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """Where the requests of one cohort go.

    Attributes:
        cohort: its name; None is the default route, of requests without a cohort or of one that is not known.
        candidate_share: the share of requests that the candidate answers, between 0 and 1; the base answers the rest.
        mirror_rate: the share of the base's requests that the candidate is sent as well; None for none.
        fallback: the model that answers where the chosen one fails; None for none.
        decision: the report's: "promote", "hold", "roll_back"; None where the report has none for it.
        reason: one sentence: why it goes there.
    """

    cohort: str | None
    candidate_share: float
    mirror_rate: float | None
    fallback: str | None
    decision: str | None
    reason: str


@dataclass(frozen=True)
class RoutePlan:
    """What a gateway is to do with the requests of a promotion's application.

    Attributes:
        promotion: its name.
        base: the model that served before.
        candidate: the model that may take over.
        policy: what a cohort gets that may have either.
        report_id: the report that it follows from.
        as_of: the moment which that report speaks of (UTC, naive).
        steps: the shares by which a candidate takes over, ascending, the last 1.
        stepped_by: the report that took the candidate to a share below the last step; None where none is there. A
            report takes one step, however often it is applied.
        routes: the cohorts', by name.
        default: of everything else.
        guardrails: what the present configuration has, unchanged.
    """

    promotion: str
    base: str
    candidate: str
    policy: Policy
    report_id: str
    as_of: datetime
    steps: tuple[float, ...]
    stepped_by: str | None
    routes: tuple[Route, ...]
    default: Route
    guardrails: Guardrails = Guardrails()

    @property
    def all_routes(self) -> tuple[Route, ...]:
        """The cohorts' routes, then the default one."""
        return (*self.routes, self.default)


@dataclass(frozen=True)
class Present:
    """What a gateway's present configuration says of a promotion.

    Attributes:
        shares: cohort → the candidate's share.
        default_share: the candidate's share of everything else; None where it has no route of ours.
        stepped_by: the report that took the last step of shares; None where none did.
        guardrails: those that are configured.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    default_share: float | None = None
    stepped_by: str | None = None
    guardrails: Guardrails = Guardrails()


@dataclass(frozen=True)
class ModelTarget:
    """How a gateway reaches a model.

    Attributes:
        name: what its provider calls it.
        litellm: LiteLLM's parameters (``litellm_params``).
        provider: the Agent Command Center's provider.
        backend: the AIServiceBackend or Service in Kubernetes.
        port: the Service's port.
    """

    name: str
    litellm: Mapping[str, Any] = field(default_factory=dict)
    provider: str | None = None
    backend: str | None = None
    port: int | None = None


@dataclass(frozen=True)
class GatewaySettings:
    """What a gateway knows that a report does not.

    Attributes:
        model_name: the model that applications ask the gateway for.
        cohort_key: the key of metadata or context under which the gateway sees the cohort.
        header: the request header that holds the cohort.
        models: model → how it is reached; a model that is not named is reached by its name.
        gateway: the Gateway in Kubernetes that a route is attached to.
        namespace: where the route is; None leaves it to whoever applies it.
    """

    model_name: str
    cohort_key: str
    header: str
    models: Mapping[str, ModelTarget]
    gateway: str | None = None
    namespace: str | None = None

    def target(self, model: str) -> ModelTarget:
        """How a model is reached."""
        return self.models.get(model, ModelTarget(model))


@dataclass(frozen=True)
class Rendered:
    """A configuration.

    Attributes:
        text: all of it.
        notes: one sentence for each thing of the plan that the format cannot say, or that was left alone.
    """

    text: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Cohorts whose requests are treated alike."""

    candidate_share: float
    mirror_rate: float | None
    cohorts: tuple[str, ...]

    @property
    def parts(self) -> int:
        """The candidate's share in whole parts of :data:`PARTS`."""
        return parts(self.candidate_share)


def parts(share: float) -> int:
    """A share in whole parts of :data:`PARTS`; what is between none and all stays so."""
    whole = round(share * PARTS)
    if 0 < share < 1:
        return min(max(whole, 1), PARTS - 1)
    return whole


def groups(routes: Iterable[Route], *, mirrored: bool = True) -> list[Group]:
    """Cohorts with the same share together, where ``mirrored`` also with the same mirror: the largest share first."""
    together: dict[tuple[int, float], list[str]] = {}
    for route in routes:
        if route.cohort is not None:
            key = (-parts(route.candidate_share), -(route.mirror_rate or 0.0) if mirrored else 0.0)
            together.setdefault(key, []).append(route.cohort)
    return [
        Group(-share / PARTS, -mirror or None, tuple(sorted(cohorts)))
        for (share, mirror), cohorts in sorted(together.items())
    ]


def gateway_fallback(plan: RoutePlan) -> str | None:
    """The fallback of a gateway that knows one for all cohorts: one that is safe for every cohort.

    That is a third model where one is configured, else the base if the candidate answers anything.
    """
    others = {route.fallback for route in plan.all_routes} - {plan.base, plan.candidate, None}
    if others:
        return min(other for other in others if other is not None)
    return plan.base if any(route.candidate_share > 0 for route in plan.all_routes) else None


def fallback_note(plan: RoutePlan) -> str | None:
    """What of the routes' fallbacks a gateway cannot say that knows one for all cohorts."""
    for_all = gateway_fallback(plan)
    if not any(route.fallback not in (None, for_all) for route in plan.all_routes):
        return None
    return f"One fallback for all cohorts: {for_all or 'none'}; the plan has others for cohorts that the base serves."
