"""flagd's flag definitions (OpenFeature): a flag whose value is the model, targeted by cohort.

Cohorts are compared strictly (``===``), so that no cohort is a part of another or a number. Shares are flagd's
``fractional`` operation over the targeting key: who had the candidate at a small share has it at a larger one too.
Format: https://flagd.dev/schema/v0/flags.json.
"""

from __future__ import annotations

from typing import Any

from analytics.errors import InputError
from analytics.routes.json_text import parsed, text_of
from analytics.routes.model import (
    PARTS,
    GatewaySettings,
    Present,
    Rendered,
    Route,
    RoutePlan,
    gateway_fallback,
    groups,
    parts,
)

SCHEMA = "https://flagd.dev/schema/v0/flags.json"
MANAGED_BY = "spanverdict"
_WHERE = "The flag definitions"


def read(text: str, promotion: str, settings: GatewaySettings) -> Present:
    """What flag definitions say of a promotion.

    Raises:
        InputError: they are not flag definitions, or our flag was changed to what cannot be read back.
    """
    flag = _flags(parsed(text, _WHERE)).get(settings.model_name)
    if flag is None or _metadata(flag).get("promotion") != promotion:
        return Present()
    shares: dict[str, float] = {}
    rule: Any = flag.get("targeting")
    try:
        while isinstance(rule, dict) and "if" in rule:
            condition, then, rule = rule["if"]
            if condition is True:
                rule = then
            else:
                shares |= dict.fromkeys(_compared(condition), _share(then))
        default = _share(rule)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{_WHERE}: the targeting of {settings.model_name!r} was changed by hand and cannot be read back; restore "
            "it, or remove the flag and say the shares with `spanverdict promotion share`."
        ) from error
    return Present(shares, default, _metadata(flag).get("steppedBy"))


def render(plan: RoutePlan, settings: GatewaySettings, present: str | None) -> Rendered:
    """The flag definitions with the plan's flags; all other flags and keys as they are.

    Raises:
        InputError: the present text is no flag definitions, or has flags of these names that are not ours.
    """
    body = {"$schema": SCHEMA, "flags": {}} if present is None else parsed(present, _WHERE)
    flags = _flags(body)
    notes = []
    for name, flag in _own_flags(plan, settings).items():
        there = flags.get(name)
        if there is not None and _metadata(there).get("managedBy") != MANAGED_BY:
            raise InputError(
                f'{_WHERE}: the flag {name!r} is not ours; give it the metadata "managedBy": "{MANAGED_BY}" to hand it '
                "over, or name another flag with routes.model_name."
            )
        if flag is not None:
            flags[name] = flag
        elif there is not None:
            del flags[name]
    if any(0 < route.candidate_share < 1 for route in plan.all_routes):
        notes.append("Shares go by the targeting key; without one, users get the base.")
    if any(route.mirror_rate for route in plan.all_routes):
        notes.append(f"The flag {settings.model_name}-mirror says where to mirror; the application does it.")
    if gateway_fallback(plan):
        notes.append(f"The flag {settings.model_name}-fallback says where to fall back; the application does it.")
    body["flags"] = flags
    return Rendered(text_of(body, present or ""), tuple(notes))


def _flags(body: dict[str, Any]) -> dict[str, Any]:
    flags = body.get("flags", {})
    if not isinstance(flags, dict) or any(not isinstance(flag, dict) for flag in flags.values()):
        raise InputError(f"{_WHERE}: 'flags' is not an object of flags.")
    return flags


def _metadata(flag: dict[str, Any]) -> dict[str, Any]:
    metadata = flag.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _own_flags(plan: RoutePlan, settings: GatewaySettings) -> dict[str, dict[str, Any] | None]:
    """The flags by name; None for one that is not wanted."""
    metadata = {"managedBy": MANAGED_BY, "promotion": plan.promotion}
    stepped = {} if plan.stepped_by is None else {"steppedBy": plan.stepped_by}
    model: dict[str, Any] = {
        "state": "ENABLED",
        "variants": {
            "base": settings.target(plan.base).name,
            "candidate": settings.target(plan.candidate).name,
        },
        "defaultVariant": "base",
        "targeting": _targeting(plan, settings),
        "metadata": metadata | stepped,
    }
    mirrored = any(route.mirror_rate for route in plan.all_routes)
    fallback = gateway_fallback(plan)
    return {
        settings.model_name: model,
        f"{settings.model_name}-mirror": _mirror(plan, settings, metadata) if mirrored else None,
        f"{settings.model_name}-fallback": None
        if fallback is None
        else {
            "state": "ENABLED",
            "variants": {"model": settings.target(fallback).name},
            "defaultVariant": "model",
            "metadata": metadata,
        },
    }


def _targeting(plan: RoutePlan, settings: GatewaySettings) -> dict[str, Any]:
    rule = _drawn("candidate", "base", parts(plan.default.candidate_share))
    for group in reversed(groups(plan.routes, mirrored=False)):
        drawn = _drawn("candidate", "base", group.parts)
        rule = {"if": [_any_of(group.cohorts, settings), drawn, rule]}
    return _rule(rule)


def _mirror(plan: RoutePlan, settings: GatewaySettings, metadata: dict[str, str]) -> dict[str, Any]:
    def drawn(route: Route) -> Any:  # noqa: ANN401 (a rule or a variant)
        return _drawn("candidate", "none", parts(route.mirror_rate or 0.0))

    rule = drawn(plan.default)
    for route in reversed(plan.routes):
        if route.mirror_rate and route.cohort is not None:
            rule = {"if": [_any_of((route.cohort,), settings), drawn(route), rule]}
    return {
        "state": "ENABLED",
        "variants": {"candidate": settings.target(plan.candidate).name, "none": ""},
        "defaultVariant": "none",
        "targeting": _rule(rule),
        "metadata": metadata,
    }


def _rule(rule: Any) -> dict[str, Any]:  # noqa: ANN401 (a rule or a variant)
    """A rule; targeting cannot be a variant alone."""
    return rule if isinstance(rule, dict) else {"if": [True, rule, None]}


def _any_of(cohorts: tuple[str, ...], settings: GatewaySettings) -> dict[str, Any]:
    equal = [{"===": [{"var": settings.cohort_key}, cohort]} for cohort in cohorts]
    return equal[0] if len(equal) == 1 else {"or": equal}


def _drawn(one: str, other: str, weight: int) -> Any:  # noqa: ANN401 (a rule or a variant)
    """The variant, or the draw among two; the first keeps its users when its weight grows."""
    if weight in (0, PARTS):
        return one if weight else other
    return {"fractional": [[one, weight], [other, PARTS - weight]]}


def _compared(condition: Any) -> list[str]:  # noqa: ANN401 (a rule)
    equal = condition.get("or", [condition])
    return [str(each["==="][1]) for each in equal]


def _share(then: Any) -> float:  # noqa: ANN401 (a rule or a variant)
    if isinstance(then, dict):
        weights = {variant: int(weight) for variant, weight in then["fractional"]}
        return parts(weights["candidate"] / sum(weights.values())) / PARTS
    return {"candidate": 1.0, "base": 0.0, None: 0.0}[then]
