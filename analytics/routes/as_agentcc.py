r"""The configuration of FutureAGI's Agent Command Center (``agentcc-gateway``): conditional routes by metadata.

Its own code decides how this is written (agentcc-gateway/internal, read 2026-11). The first conditional route that
matches, by ascending priority, names one provider and model (routing/conditional.go). Weights of ``targets`` are not
looked at after that, and a ``targets`` entry for the asked model passes all conditional routes over when failover is on
(server/handlers.go). A share is therefore a condition on the end of the request id, a ULID whose last characters are
random (middleware/requestid.go). Before the file is parsed, ``$name`` and ``${name}`` are replaced by environment
variables (config/config.go), operators such as ``$eq`` included: a dollar sign is written as ``\x24``.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import quote

from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from analytics.errors import InputError
from analytics.routes.model import (
    PARTS,
    GatewaySettings,
    Guardrails,
    ModelTarget,
    Present,
    Rendered,
    RoutePlan,
    fallback_note,
    gateway_fallback,
    groups,
    parts,
)
from analytics.routes.yaml_text import documents, found_at, plain, put, replace_ours, text_of, written

MARK = "spanverdict/"
"""What the names of our routes begin with."""

FIRST_PRIORITY = 1000
"""Routes of others, with lower numbers, come first."""

_WHERE = "The Agent Command Center's configuration"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32, of which ULIDs are made."""

_DIGITS = 3
_ENDS = tuple("".join(end) for end in product(_ALPHABET, repeat=_DIGITS))
_ESCAPED_DOLLAR = re.compile(r"(?<!\\)((?:\\\\)*)\\x24")


def read(text: str, promotion: str, settings: GatewaySettings) -> Present:
    """What a configuration says of a promotion.

    Raises:
        InputError: it is not a configuration of the gateway.
    """
    stand_in = _stand_in(text)
    config = plain(_config(text, stand_in)[0])
    prefix = _prefix(promotion)
    shares: dict[str, float] = {}
    default: float | None = None
    stepped_by = None
    for route in (config.get("routing") or {}).get("conditional_routes") or []:
        name = str(route.get("name", ""))
        if not (name.startswith(prefix) and _asks(route, settings.model_name.replace("$", stand_in))):
            continue
        kind, _, report = name.removeprefix(prefix).partition("@")
        stepped_by = report or stepped_by
        if kind.startswith("default"):
            share = _condition_share(route, stand_in)
            default = share if default is None else default
            continue
        for cohort in _condition_cohorts(route, stand_in):
            shares.setdefault(cohort, _condition_share(route, stand_in))
    return Present(shares, default, stepped_by, _guardrails(config))


def render(plan: RoutePlan, settings: GatewaySettings, present: str | None) -> Rendered:
    """The configuration with the plan's routes; everything else of the present one as it is.

    Raises:
        InputError: the present text is not such a configuration, or a model's provider is not known.
    """
    stand_in = _stand_in(present or "", plan)
    config = CommentedMap() if present is None else _config(present, stand_in)[0]
    asked = settings.model_name.replace("$", stand_in)
    own = [_in_quotes(written(_escaped(route, stand_in))) for route in _routes(plan, settings)]
    replace_ours(
        config,
        ("routing", "conditional_routes"),
        _WHERE,
        lambda route: isinstance(route, dict) and str(route.get("name", "")).startswith(MARK) and _asks(route, asked),
        own,
    )
    notes = [note for note in (fallback_note(plan),) if note]
    if asked in (found_at(config, ("routing", "targets"), _WHERE) or {}):
        notes.append(
            f"routing.targets has {settings.model_name!r}: with failover the gateway passes conditional routes over "
            "for it; remove it."
        )
    if any(0 < route.candidate_share < 1 for route in plan.all_routes):
        notes.append("Shares are of requests, not of users: a user may get both models.")
    notes += _set_fallback(config, plan, settings, stand_in)
    notes += _set_mirror(config, plan, settings, stand_in)
    text = text_of([config], (present or "").replace(stand_in, ""))
    return Rendered(text.replace(stand_in, r"\x24"), tuple(notes))


def _stand_in(text: str, plan: RoutePlan | None = None) -> str:
    """A character of the private use area that stands for an escaped dollar sign while YAML is read and written."""
    used = text + ("" if plan is None else "".join(route.cohort or "" for route in plan.routes))
    return next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in used)


def _config(text: str, stand_in: str) -> list[CommentedMap]:
    found = [each for each in documents(_ESCAPED_DOLLAR.sub(rf"\1{stand_in}", text), _WHERE) if each is not None]
    if len(found) > 1 or (found and not isinstance(found[0], CommentedMap)):
        raise InputError(f"{_WHERE} is not one mapping.")
    return found or [CommentedMap()]


def _prefix(promotion: str) -> str:
    return f"{MARK}{quote(promotion, safe='')}/"


def _escaped(value: Any, stand_in: str) -> Any:  # noqa: ANN401 (any YAML)
    if isinstance(value, dict):
        return {key.replace("$", stand_in): _escaped(each, stand_in) for key, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each, stand_in) for each in value]
    return value.replace("$", stand_in) if isinstance(value, str) else value


def _in_quotes(node: Any) -> Any:  # noqa: ANN401
    """The node with keys that hold a stand-in in double quotes, which alone know escapes."""
    if isinstance(node, CommentedMap):
        made = CommentedMap()
        for key, each in node.items():
            made[_key(key)] = _in_quotes(each)
        return made
    if isinstance(node, list):
        for index, each in enumerate(node):
            node[index] = _in_quotes(each)
    return node


def _key(text: str) -> str:
    return text if text.isascii() else DoubleQuotedScalarString(text)


def _routes(plan: RoutePlan, settings: GatewaySettings) -> Iterator[dict[str, Any]]:
    """Ours in order: of each group of cohorts the candidate's share, then the base's; the default route last."""
    prefix = _prefix(plan.promotion)
    priority = FIRST_PRIORITY
    asked = {"field": "model", "op": "$eq", "value": settings.model_name}
    step = "" if plan.stepped_by is None else f"@{plan.stepped_by}"
    sections = [
        (f"{prefix}{number}", group.candidate_share, [_cohort_condition(group.cohorts, settings)])
        for number, group in enumerate(groups(plan.routes, mirrored=False), 1)
    ]
    sections.append((f"{prefix}default", plan.default.candidate_share, []))
    for name, share, conditions in sections:
        of_default = step if not conditions else ""
        for arm, model, drawn in (
            ("candidate", plan.candidate, _drawn(share)),
            ("base", plan.base, [] if share < 1 else None),
        ):
            if drawn is None:
                continue
            target = settings.target(model)
            yield {
                "name": f"{name}/{arm}{of_default}",
                "priority": priority,
                "condition": {"$and": [asked, *conditions, *drawn]},
                "action": {"provider": _provider(target, model), "model_override": target.name},
            }
            priority += 1


def _cohort_condition(cohorts: tuple[str, ...], settings: GatewaySettings) -> dict[str, Any]:
    return {"field": f"metadata.{settings.cohort_key}", "op": "$in", "value": list(cohorts)}


def _drawn(share: float) -> list[dict[str, Any]] | None:
    """The condition that a share of requests meets; None where none does."""
    if share <= 0:
        return None
    if share >= 1:
        return []
    return [{"field": "request_id", "op": "$regex", "value": _below(round(share * len(_ENDS)))}]


def _below(bound: int) -> str:
    """The expression for ids whose last characters, as a number, are below a bound."""
    branches = []
    prefix = ""
    for place in reversed(range(_DIGITS)):
        digit, bound = divmod(bound, len(_ALPHABET) ** place)
        if digit:
            branches.append(f"{prefix}[{_ALPHABET[:digit]}]" + "." * place)
        prefix += _ALPHABET[digit] if digit < len(_ALPHABET) else ""
    return f"(?:{'|'.join(branches)})$"


def _provider(target: ModelTarget, model: str) -> str:
    if target.provider is None:
        raise InputError(
            f'The Agent Command Center needs the provider of {model!r}: say provider under [routes.models."{model}"].'
        )
    return target.provider


def _set_fallback(config: CommentedMap, plan: RoutePlan, settings: GatewaySettings, stand_in: str) -> Iterator[str]:
    """Say what the asked model falls back to; a chain that stands there stays."""
    fallback = gateway_fallback(plan)
    if fallback is None:
        return
    path = ("routing", "model_fallbacks", _key(settings.model_name.replace("$", stand_in)))
    own = _escaped([settings.target(fallback).name], stand_in)
    present = found_at(config, path, _WHERE)
    if present is None:
        put(config, path, written(own), _WHERE)
    elif plain(present) != own:
        yield f"routing.model_fallbacks has a chain for {settings.model_name!r} already; it is kept."


def _set_mirror(config: CommentedMap, plan: RoutePlan, settings: GatewaySettings, stand_in: str) -> Iterator[str]:
    """One rule for what the base answers: the gateway does not know cohorts when it mirrors."""
    rates = [route.mirror_rate for route in plan.all_routes if route.mirror_rate]
    experiment = _prefix(plan.promotion).rstrip("/")
    path = ("routing", "mirror", "rules")
    enabled = ("routing", "mirror", "enabled")

    def ours(rule: Any) -> bool:  # noqa: ANN401
        return isinstance(rule, dict) and rule.get("experiment_id") == experiment

    if not rates and not any(ours(rule) for rule in found_at(config, path, _WHERE) or []):
        return
    candidate = settings.target(plan.candidate)
    rule = {
        "source_model": settings.target(plan.base).name,
        "target_provider": _provider(candidate, plan.candidate),
        "target_model": candidate.name,
        "sample_rate": max(rates, default=0.0),
        "experiment_id": experiment,
    }
    replace_ours(config, path, _WHERE, ours, [written(_escaped(rule, stand_in))] if rates else [])
    wanted = bool(rates) or bool(found_at(config, path, _WHERE))
    if found_at(config, enabled, _WHERE) is not wanted:
        put(config, enabled, wanted, _WHERE)
    if rates:
        yield "The gateway mirrors by model: requests of all cohorts that the base answers are mirrored at that rate."


def _leaves(route: dict[str, Any], stand_in: str) -> Iterator[dict[str, Any]]:
    for name in ("$and", stand_in + "and"):
        found = (route.get("condition") or {}).get(name)
        if isinstance(found, list):
            yield from (leaf for leaf in found if isinstance(leaf, dict))


def _asks(route: dict[str, Any], asked: str) -> bool:
    """Whether a route of ours is about the same application, of whatever promotion."""
    for value in (route.get("condition") or {}).values():
        leaves = value if isinstance(value, list) else []
        for leaf in leaves:
            if isinstance(leaf, dict) and leaf.get("field") == "model":
                return bool(leaf.get("value") == asked)
    return False


def _condition_cohorts(route: dict[str, Any], stand_in: str) -> Iterator[str]:
    for leaf in _leaves(route, stand_in):
        if str(leaf.get("field", "")).startswith("metadata."):
            yield from (str(value).replace(stand_in, "$") for value in leaf.get("value") or [])


def _condition_share(route: dict[str, Any], stand_in: str) -> float:
    """The candidate's share in a route: that of its condition on the request id."""
    if not str(route.get("name", "")).partition("@")[0].endswith("/candidate"):
        return 0.0
    for leaf in _leaves(route, stand_in):
        if leaf.get("field") == "request_id":
            matched = _matching(str(leaf.get("value", "")).replace(stand_in, "$"))
            return parts(matched / len(_ENDS)) / PARTS
    return 1.0


def _matching(expression: str) -> int:
    """How many ends of a ULID an expression matches."""
    try:
        found = re.compile(expression)
    except re.error as error:
        raise InputError(f"{_WHERE}: a route of ours has an expression that cannot be read: {error}.") from error
    # Ours match exactly the ends below a bound; what somebody changed is counted.
    bound = bisect_left(_ENDS, True, key=lambda end: found.search(end) is None)  # noqa: FBT003 (the first that does not)
    if _below(bound) == expression:
        return bound
    return len([end for end in _ENDS if found.search(end) is not None])


def _guardrails(config: dict[str, Any]) -> Guardrails:
    rules = [rule for rule in (config.get("guardrails") or {}).get("rules") or [] if isinstance(rule, dict)]
    stages = {stage: tuple(str(rule.get("name", "")) for rule in rules if rule.get("stage") == stage)
              for stage in ("pre", "post")}  # fmt: skip
    return Guardrails(stages["pre"], stages["post"])
