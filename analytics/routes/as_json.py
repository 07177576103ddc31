"""The route plan as JSON, for gateways and scripts of one's own; its schema is ``schema/routes.schema.json``."""

from __future__ import annotations

from typing import Any

from analytics.errors import InputError
from analytics.report.formatting import iso
from analytics.routes.json_text import parsed, text_of
from analytics.routes.model import GatewaySettings, Guardrails, Present, Rendered, Route, RoutePlan

SCHEMA_VERSION = 1
KIND = "route_plan"
_WHERE = "The route plan"


def read(text: str, promotion: str) -> Present:
    """What a plan says.

    Raises:
        InputError: it is no route plan, or one of another schema version.
    """
    body = _plan(text)
    if body["promotion"]["name"] != promotion:
        return Present()
    try:
        candidate = body["promotion"]["candidate"]
        shares = {route["cohort"]: _share(route, candidate) for route in body["routes"]}
        default = _share(body["default"], candidate)
        guardrails = {stage: tuple(names) for stage, names in body["guardrails"].items()}
        return Present(shares, default, body["stepped_by"], Guardrails(guardrails["pre"], guardrails["post"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{_WHERE} was changed by hand and cannot be read back; restore it, or remove it.") from error


def render(plan: RoutePlan, settings: GatewaySettings, present: str | None) -> Rendered:
    """The plan, and what else stands in the present file.

    Raises:
        InputError: the present file is no route plan, or that of another promotion.
    """
    others = {} if present is None else _plan(present)
    whose = others["promotion"]["name"] if others else plan.promotion
    if whose != plan.promotion:
        raise InputError(f"{_WHERE} in the file is that of {whose!r}; name another file.")
    body = {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "promotion": {"name": plan.promotion, "base": plan.base, "candidate": plan.candidate},
        "policy": plan.policy,
        "report_id": plan.report_id,
        "as_of": iso(plan.as_of),
        "model_name": settings.model_name,
        "cohort_key": settings.cohort_key,
        "header": settings.header,
        "steps": list(plan.steps),
        "stepped_by": plan.stepped_by,
        "guardrails": {"pre": list(plan.guardrails.pre), "post": list(plan.guardrails.post)},
        "routes": [_route(route, plan) for route in plan.routes],
        "default": _route(plan.default, plan),
    }
    return Rendered(text_of({**others, **body}, present or ""))


def is_plan(body: dict[str, Any]) -> bool:
    """Whether an object says that it is a route plan."""
    return body.get("kind") == KIND


def _plan(text: str) -> dict[str, Any]:
    body = parsed(text, _WHERE)
    if not is_plan(body) or not isinstance(body.get("promotion"), dict) or "name" not in body["promotion"]:
        raise InputError(f"{_WHERE}: the file is not one.")
    if body.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{_WHERE} has schema version {body.get('schema_version')}; this release reads {SCHEMA_VERSION}."
        )
    return body


def _route(route: Route, plan: RoutePlan) -> dict[str, Any]:
    shares = [(plan.candidate, route.candidate_share), (plan.base, 1 - route.candidate_share)]
    mirror = None if not route.mirror_rate else {"model": plan.candidate, "rate": route.mirror_rate}
    return {
        "cohort": route.cohort,
        "models": [{"model": model, "share": round(share, 4)} for model, share in shares if share > 0],
        "mirror": mirror,
        "fallback": route.fallback,
        "decision": route.decision,
        "reason": route.reason,
    }


def _share(route: dict[str, Any], candidate: str) -> float:
    return float(sum(each["share"] for each in route["models"] if each["model"] == candidate))
