"""Routes in Kubernetes: Envoy AI Gateway's AIGatewayRoute, and Gateway API's HTTPRoute.

Requests are matched by the header that holds the cohort, exactly; of all rules that match, the one with the most header
matches wins, whatever their order (Gateway API, HTTPRouteRule.matches). An AIGatewayRoute, of the version
aigateway.envoyproxy.io/v1beta1, also matches the model asked for, in ``x-ai-eg-model``, and names the model that a
backend is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.comments import CommentedMap

from analytics.errors import InputError
from analytics.routes.model import (
    PARTS,
    GatewaySettings,
    Group,
    Present,
    Rendered,
    RoutePlan,
    fallback_note,
    gateway_fallback,
    groups,
    parts,
)
from analytics.routes.yaml_text import documents, drop, found_at, plain, put, text_of, written

ANNOTATION = "spanverdict.dev/promotion"
"""The annotation of a resource whose rules are ours; its value is the promotion."""

_STEPPED_BY = "spanverdict.dev/stepped-by"
_ARMS = "spanverdict.dev/arms"
_MODEL_HEADER = "x-ai-eg-model"
_LONGEST_VALUE = 4096
_MOST_MATCHES = 64
"""Of one rule of an HTTPRoute, into which an AIGatewayRoute is turned as well."""

_MOST_MATCHES_OF_ALL = 128
"""Of all rules of one HTTPRoute together."""


@dataclass(frozen=True)
class Kind:
    """A kind of route.

    Attributes:
        api_version: of its resources.
        kind: their kind.
        most_rules: of one resource.
        of_ai: whether backends are AIServiceBackends, and the model asked for is seen.
    """

    api_version: str
    kind: str
    most_rules: int
    of_ai: bool


ENVOY = Kind("aigateway.envoyproxy.io/v1beta1", "AIGatewayRoute", 15, of_ai=True)
GATEWAY_API = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", 16, of_ai=False)


def read(text: str, promotion: str, settings: GatewaySettings, kind: Kind) -> Present:
    """What a manifest says of a promotion.

    Raises:
        InputError: it is no manifest, or our route was changed to what cannot be read back.
    """
    found = _find(documents(text, _where(kind)), settings, kind)
    if found is None:
        return Present()
    route = plain(found)
    annotations = (route.get("metadata") or {}).get("annotations") or {}
    if annotations.get(ANNOTATION) != promotion:
        return Present()
    try:
        candidate = json.loads(annotations[_ARMS])["candidate"]
        shares: dict[str, float] = {}
        default: float | None = None
        for rule in route["spec"]["rules"]:
            share = _share(rule, candidate)
            cohorts = [name for match in rule["matches"] for name in _cohort(match, settings)]
            shares |= dict.fromkeys(cohorts, share)
            default = default if cohorts else share
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"{_where(kind)} was changed by hand and cannot be read back; restore it, or remove it."
        ) from error
    return Present(shares, default, annotations.get(_STEPPED_BY))


def render(plan: RoutePlan, settings: GatewaySettings, present: str | None, kind: Kind) -> Rendered:
    """The manifest with the plan's rules; other documents, and the route's other keys, as they are.

    Raises:
        InputError: the present text is no manifest, the route in it is not ours, a backend is not known, or there are
            more rules than a route may have.
    """
    every = [] if present is None else documents(present, _where(kind))
    route = _find(every, settings, kind)
    if route is None:
        route = written(_new(settings, kind))
        every = [document for document in every if document is not None] + [route]
    elif ANNOTATION not in ((route.get("metadata") or {}).get("annotations") or {}):
        raise InputError(
            f"{_where(kind)} {_name(settings)!r} is not ours; to hand its rules over, give it the annotation "
            f'{ANNOTATION}: "{plan.promotion}", or name another with routes.model_name.'
        )
    _annotate(route, plan, settings, kind)
    rules = _fitting(plan, settings, kind)
    if plain(found_at(route, ("spec", "rules"), _where(kind))) != rules:
        put(route, ("spec", "rules"), written(rules), _where(kind))
    return Rendered(text_of(every, present or ""), tuple(_notes(plan, kind)))


def _where(kind: Kind) -> str:
    return f"The {kind.kind}"


def _name(settings: GatewaySettings) -> str:
    """The asked model as a name in Kubernetes: lower case, digits, dashes (RFC 1123)."""
    name = re.sub(r"[^a-z0-9]+", "-", settings.model_name.lower()).strip("-")[:63].strip("-")
    if not name:
        raise InputError(f"routes.model_name is {settings.model_name!r}, of which no name in Kubernetes can be made.")
    return name


def _find(every: list[Any], settings: GatewaySettings, kind: Kind) -> CommentedMap | None:
    group = kind.api_version.partition("/")[0]
    for document in every:
        if document is None:
            continue
        if not isinstance(document, CommentedMap):
            raise InputError(f"{_where(kind)}: a document of the manifest is not a mapping.")
        metadata = document.get("metadata") or {}
        of_kind = document.get("kind") == kind.kind and str(document.get("apiVersion", "")).startswith(f"{group}/")
        space = metadata.get("namespace") or settings.namespace
        if of_kind and metadata.get("name") == _name(settings) and settings.namespace in (None, space):
            return document
    return None


def _new(settings: GatewaySettings, kind: Kind) -> dict[str, Any]:
    if settings.gateway is None:
        raise InputError(
            'The name of the Gateway is not known: say gateway = "…" under [routes], or give a present file.'
        )
    parent = {"name": settings.gateway, "kind": "Gateway", "group": "gateway.networking.k8s.io"}
    space = {} if settings.namespace is None else {"namespace": settings.namespace}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": _name(settings), **space},
        "spec": {"parentRefs": [parent]},
    }


def _annotate(route: CommentedMap, plan: RoutePlan, settings: GatewaySettings, kind: Kind) -> None:
    arms = {
        arm: list(_identity(model, settings, kind))
        for arm, model in (("base", plan.base), ("candidate", plan.candidate))
    }
    wanted = {ANNOTATION: plan.promotion, _ARMS: json.dumps(arms), _STEPPED_BY: plan.stepped_by}
    for name, value in wanted.items():
        path = ("metadata", "annotations", name)
        if value is None:
            drop(route, path, _where(kind))
        elif found_at(route, path, _where(kind)) != value:
            put(route, path, written(value), _where(kind))


def _fitting(plan: RoutePlan, settings: GatewaySettings, kind: Kind) -> list[dict[str, Any]]:
    """The rules; without those that do what the default one does, where all are too many.

    Raises:
        InputError: they are too many nevertheless.
    """
    for shortened in (False, True):
        rules = list(_rules(plan, settings, kind, shortened=shortened))
        matches = sum(len(rule["matches"]) for rule in rules)
        if len(rules) <= kind.most_rules and matches <= _MOST_MATCHES_OF_ALL:
            return rules
    raise InputError(
        f"The plan needs {len(rules)} rules with {matches} cohorts, and one {kind.kind} may have {kind.most_rules} "
        f"with {_MOST_MATCHES_OF_ALL}: bring shares together, take small cohorts together, or use another format."
    )


def _rules(plan: RoutePlan, settings: GatewaySettings, kind: Kind, *, shortened: bool) -> Iterator[dict[str, Any]]:
    default = Group(plan.default.candidate_share, None if kind.of_ai else plan.default.mirror_rate, ())
    for group in groups(plan.routes, mirrored=not kind.of_ai):
        if shortened and (group.parts, group.mirror_rate) == (default.parts, default.mirror_rate):
            continue
        cohorts = [cohort for cohort in group.cohorts if _in_a_header(cohort)]
        for start in range(0, len(cohorts), _MOST_MATCHES):
            some = cohorts[start : start + _MOST_MATCHES]
            yield _rule(plan, settings, kind, group, [_match(cohort, settings, kind) for cohort in some])
    yield _rule(plan, settings, kind, default, [_match(None, settings, kind)])


def _match(cohort: str | None, settings: GatewaySettings, kind: Kind) -> dict[str, Any]:
    headers = []
    if kind.of_ai:
        headers.append({"type": "Exact", "name": _MODEL_HEADER, "value": settings.model_name})
    if cohort is not None:
        headers.append({"type": "Exact", "name": settings.header, "value": cohort})
    return {"headers": headers} if headers else {"path": {"type": "PathPrefix", "value": "/"}}


def _rule(
    plan: RoutePlan, settings: GatewaySettings, kind: Kind, group: Group, matches: list[dict[str, Any]]
) -> dict[str, Any]:
    weights = [(plan.candidate, group.parts), (plan.base, PARTS - group.parts)]
    backends = [{**_backend(model, settings, kind), "weight": weight} for model, weight in weights if weight]
    fallback = gateway_fallback(plan)
    if kind.of_ai and fallback is not None and fallback not in [model for model, weight in weights if weight]:
        backends.append({**_backend(fallback, settings, kind), "weight": 1, "priority": 1})
    rule: dict[str, Any] = {"matches": matches, "backendRefs": backends}
    if group.mirror_rate and not kind.of_ai:
        fraction = {"numerator": parts(group.mirror_rate), "denominator": PARTS}
        mirrored = {"backendRef": _backend(plan.candidate, settings, kind), "fraction": fraction}
        rule["filters"] = [{"type": "RequestMirror", "requestMirror": mirrored}]
    return rule


def _backend(model: str, settings: GatewaySettings, kind: Kind) -> dict[str, Any]:
    target = settings.target(model)
    if target.backend is None:
        raise InputError(f'The backend of {model!r} is not known: say backend = "…" under [routes.models."{model}"].')
    if kind.of_ai:
        return {"name": target.backend, "modelNameOverride": target.name}
    return {"name": target.backend, "port": 80 if target.port is None else target.port}


def _identity(model: str, settings: GatewaySettings, kind: Kind) -> tuple[Any, ...]:
    return tuple(_backend(model, settings, kind).values())


def _in_a_header(cohort: str) -> bool:
    """Whether a header can hold it as it is (RFC 9110, section 5.5): no controls, no spaces around it."""
    return 0 < len(cohort) <= _LONGEST_VALUE and cohort == cohort.strip() and cohort.isprintable() and cohort.isascii()


def _cohort(match: dict[str, Any], settings: GatewaySettings) -> Iterator[str]:
    for header in match.get("headers") or []:
        if header["name"].lower() == settings.header.lower():
            yield str(header["value"])


def _share(rule: dict[str, Any], candidate: list[Any]) -> float:
    """The candidate's part of the weights of the first priority."""
    weights = {"candidate": 0, "others": 0}
    for backend in rule["backendRefs"]:
        if not backend.get("priority", 0):
            identity = [backend["name"], backend.get("modelNameOverride", backend.get("port"))]
            weights["candidate" if identity == candidate else "others"] += backend.get("weight", 1)
    return parts(weights["candidate"] / sum(weights.values())) / PARTS


def _notes(plan: RoutePlan, kind: Kind) -> Iterator[str]:
    for route in plan.routes:
        if route.cohort is not None and not _in_a_header(route.cohort):
            yield f"Cohort {route.cohort!r} cannot stand in a header as it is: it takes the default route."
    if kind.of_ai:
        note = fallback_note(plan)
        if note:
            yield note
        if any(route.mirror_rate for route in plan.all_routes):
            yield "An AIGatewayRoute cannot mirror: nothing is mirrored."
        if gateway_fallback(plan):
            yield "A fallback needs a BackendTrafficPolicy with retries on the route."
    elif gateway_fallback(plan):
        yield "An HTTPRoute has no fallback: none is set."
