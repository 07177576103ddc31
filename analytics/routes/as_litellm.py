"""LiteLLM's proxy configuration: deployments of one model group, chosen by tags, weighted.

A request of cohort X carries the tag ``<cohort key>:X`` (``metadata.tags``). Tag filtering keeps the deployments that
have the tag, and those with the tag ``default`` where none has (litellm/router_strategy/tag_based_routing.py); among
those the weights draw (router_strategy/simple_shuffle.py). Mirroring is the deployment parameter ``silent_model``, and
hits every request of its deployment: a rate is a deployment of its own with that weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from ruamel.yaml.comments import CommentedMap

from analytics.errors import InputError
from analytics.routes.model import (
    PARTS,
    GatewaySettings,
    Group,
    Guardrails,
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
"""What the ids of our deployments begin with."""

DEFAULT_TAG = "default"
_WHERE = "The LiteLLM configuration"
_PRE_MODES = frozenset({"pre_call", "during_call"})


def read(text: str, plan_name: str, settings: GatewaySettings) -> Present:
    """What a configuration says of a promotion.

    Raises:
        InputError: it is not a LiteLLM configuration.
    """
    config = plain(_config(text))
    weights: dict[str | None, dict[str, float]] = {}
    stepped_by = None
    for entry in config.get("model_list") or []:
        identity = _identity(entry)
        if not identity.startswith(_prefix(plan_name)) or entry.get("model_name") != settings.model_name:
            continue
        arm = identity.rpartition("/")[2].removesuffix("+mirror")
        stepped_by = entry["model_info"].get("spanverdict_stepped_by", stepped_by)
        for cohort in _cohorts(entry, settings):
            of = weights.setdefault(cohort, {"base": 0, "candidate": 0})
            of[arm] = of.get(arm, 0) + float(entry["litellm_params"].get("weight", 0))
    shares = {cohort: _share(of) for cohort, of in weights.items()}
    default = shares.pop(None, None)
    named = {cohort: share for cohort, share in shares.items() if cohort is not None}
    return Present(named, default, stepped_by, _guardrails(config))


def render(plan: RoutePlan, settings: GatewaySettings, present: str | None) -> Rendered:
    """The configuration with the plan's deployments; everything else of the present one as it is.

    Raises:
        InputError: the present configuration is not one of LiteLLM.
    """
    config = CommentedMap() if present is None else _config(present)
    own_groups = {settings.model_name, _mirror_group(settings), _fallback_group(settings)}
    replace_ours(
        config,
        ("model_list",),
        _WHERE,
        lambda entry: _identity(entry).startswith(MARK) and entry.get("model_name") in own_groups,
        [written(entry) for entry in _deployments(plan, settings)],
    )
    foreign = [
        entry
        for entry in config.get("model_list") or []
        if entry.get("model_name") == settings.model_name and not _identity(entry).startswith(MARK)
    ]
    notes = [note for note in (fallback_note(plan),) if note]
    if foreign:
        notes.append(
            f"model_list has other deployments of {settings.model_name!r}, {len(foreign)}: give them tags, or remove "
            "them; without tags they are never chosen, with the tag default they share the default route."
        )
    untagged = _untagged_groups(config, own_groups)
    if untagged:
        named = ", ".join(map(repr, untagged))
        notes.append(
            f"Tag filtering holds for the whole proxy: requests with tags are refused by {named}; give the deployments "
            "there the tag default."
        )
    if found_at(config, ("router_settings", "enable_tag_filtering"), _WHERE) is not True:
        put(config, ("router_settings", "enable_tag_filtering"), True, _WHERE)  # noqa: FBT003 (the value of a key)
    strategy = found_at(config, ("router_settings", "routing_strategy"), _WHERE)
    if strategy not in (None, "simple-shuffle"):
        notes.append(f"routing_strategy is {strategy}: shares need simple-shuffle, LiteLLM's default.")
    notes += _set_fallback(config, plan, settings)
    return Rendered(text_of([config], present or ""), tuple(notes))


def _config(text: str) -> CommentedMap:
    found = [document for document in documents(text, _WHERE) if document is not None]
    if len(found) > 1 or (found and not isinstance(found[0], CommentedMap)):
        raise InputError(f"{_WHERE} is not one mapping with model_list.")
    config = found[0] if found else CommentedMap()
    if any(not isinstance(entry, dict) for entry in config.get("model_list") or []):
        raise InputError(f"{_WHERE}: model_list has an entry that is not a mapping.")
    return config


def _untagged_groups(config: CommentedMap, own_groups: set[str]) -> list[str]:
    """The model groups of others in which no deployment has a tag."""
    tagged: dict[str, bool] = {}
    for entry in config.get("model_list") or []:
        group = str(entry.get("model_name"))
        has_tag = bool((entry.get("litellm_params") or {}).get("tags"))
        tagged[group] = tagged.get(group, False) or has_tag
    return sorted(group for group, has_tag in tagged.items() if not has_tag and group not in own_groups)


def _prefix(promotion: str) -> str:
    return f"{MARK}{quote(promotion, safe='')}/"


def _identity(entry: Any) -> str:  # noqa: ANN401 (a file's entry)
    info = entry.get("model_info")
    return str(info.get("id", "")) if isinstance(info, dict) else ""


def _cohorts(entry: dict[str, Any], settings: GatewaySettings) -> Iterator[str | None]:
    prefix = f"{settings.cohort_key}:"
    for tag in entry["litellm_params"].get("tags") or []:
        if tag == DEFAULT_TAG:
            yield None
        elif str(tag).startswith(prefix):
            yield str(tag).removeprefix(prefix)


def _share(weights: dict[str, float]) -> float:
    return parts(weights["candidate"] / (sum(weights.values()) or 1.0)) / PARTS


def _deployments(plan: RoutePlan, settings: GatewaySettings) -> Iterator[dict[str, Any]]:
    """Ours, in the order of the file: the cohorts', the default one, then those that mirror and fall back."""
    found = groups(plan.routes)
    prefix = _prefix(plan.promotion)
    for number, group in enumerate(found, 1):
        tags = [f"{settings.cohort_key}:{cohort}" for cohort in group.cohorts]
        yield from _weighted(plan, settings, group, f"{prefix}{number}", tags)
    default = Group(plan.default.candidate_share, plan.default.mirror_rate, ())
    for entry in _weighted(plan, settings, default, f"{prefix}{DEFAULT_TAG}", [DEFAULT_TAG]):
        if plan.stepped_by is not None:
            entry["model_info"]["spanverdict_stepped_by"] = plan.stepped_by
        yield entry
    if any(group.mirror_rate for group in (*found, default)):
        yield _entry(_mirror_group(settings), plan.candidate, settings, f"{prefix}mirror/candidate")
    fallback = gateway_fallback(plan)
    if fallback is not None:
        yield _entry(_fallback_group(settings), fallback, settings, f"{prefix}fallback/model")


def _weighted(
    plan: RoutePlan, settings: GatewaySettings, group: Group, identity: str, tags: list[str]
) -> Iterator[dict[str, Any]]:
    """The deployments of one group of cohorts, with the weights of the arms."""
    base = PARTS - group.parts
    mirrored = parts(group.mirror_rate or 0.0) * base // PARTS
    arms = [
        ("candidate", plan.candidate, group.parts, {}),
        ("base", plan.base, base - mirrored, {}),
        ("base+mirror", plan.base, mirrored, {"silent_model": _mirror_group(settings)}),
    ]
    for arm, model, weight, more in arms:
        if weight:
            entry = _entry(settings.model_name, model, settings, f"{identity}/{arm}")
            entry["litellm_params"] |= {"tags": tags, "weight": weight, **more}
            yield entry


def _entry(group: str, model: str, settings: GatewaySettings, identity: str) -> dict[str, Any]:
    target = settings.target(model)
    parameters = {"model": target.name, **target.litellm}
    # A request falls back, and is mirrored, with its tags: where no deployment has them, the default one is taken.
    return {
        "model_name": group,
        "litellm_params": {**parameters, "tags": [DEFAULT_TAG]},
        "model_info": {"id": identity},
    }


def _mirror_group(settings: GatewaySettings) -> str:
    return f"{settings.model_name}-mirror"


def _fallback_group(settings: GatewaySettings) -> str:
    return f"{settings.model_name}-fallback"


def _set_fallback(config: CommentedMap, plan: RoutePlan, settings: GatewaySettings) -> Iterator[str]:
    """Say which group a request falls back to; a chain that somebody else wrote stays."""
    path = ("router_settings", "fallbacks")
    own = [_fallback_group(settings)]

    def ours(chain: Any) -> bool:  # noqa: ANN401 (a file's entry)
        return isinstance(chain, dict) and settings.model_name in chain

    present = [plain(chain[settings.model_name]) for chain in found_at(config, path, _WHERE) or [] if ours(chain)]
    if present and present[0] != own:
        yield f"router_settings.fallbacks has a chain for {settings.model_name!r} already; it is kept."
        return
    chain = [written({settings.model_name: own})] if gateway_fallback(plan) is not None else []
    replace_ours(config, path, _WHERE, ours, chain)


def _guardrails(config: dict[str, Any]) -> Guardrails:
    pre: list[str] = []
    post: list[str] = []
    for guardrail in config.get("guardrails") or []:
        modes = (guardrail.get("litellm_params") or {}).get("mode") or []
        for mode in [modes] if isinstance(modes, str) else modes:
            (pre if mode in _PRE_MODES else post).append(str(guardrail.get("guardrail_name", "")))
    return Guardrails(tuple(pre), tuple(post))
