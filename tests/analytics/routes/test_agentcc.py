"""The Agent Command Center's configuration, as the gateway reads it: variables first, then YAML, then conditions."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from analytics.errors import InputError
from analytics.routes.formats import read, render

HOSTILE = 'say "no", it\'s $HOME ${HOME} $$ \\x24\n- x: ^.*$'
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PRESENT = r"""# Our gateway
providers:
  openai: {base_url: "https://api.openai.com", api_format: openai, api_key: "${OPENAI_API_KEY}"}
routing:
  default_strategy: round-robin
  conditional_routes:
    # The enterprise stays where it is.
    - name: enterprise
      priority: 10
      condition: {field: metadata.tier, op: "\x24eq", value: enterprise}
      action: {provider: dedicated}   # for them
    # end of routes
  retry:
    enabled: true
guardrails:
  enabled: true
  rules:
    - {name: pii-detection, stage: pre, mode: sync, action: block}
    - {name: content-moderation, stage: post, action: warn}  # softly
"""


def expanded(text: str) -> str:
    """Go's os.ExpandEnv where no variable is set (config/config.go)."""
    return re.sub(r"\$(?:\{[^}]*\}|[*#$@!?\-0-9]|[A-Za-z0-9_]+)", "", text)


def gateway(text: str) -> dict[str, Any]:
    """The configuration as the gateway has it."""
    config: dict[str, Any] = yaml.safe_load(expanded(text))
    return config


def holds(condition: dict[str, Any], request: dict[str, Any]) -> bool:
    """A condition, evaluated as in routing/conditional.go."""
    if "$and" in condition:
        return all(holds(each, request) for each in condition["$and"])
    value, expected = request.get(condition["field"]), condition["value"]
    match condition["op"]:
        case "$eq":
            return value == expected
        case "$in":
            return value is not None and value in expected
        case "$regex":
            return re.search(expected.replace("$", r"\Z"), str(value)) is not None
    raise AssertionError(condition["op"])


def model(config: dict[str, Any], cohort: str | None, request_id: str = "01JDZ000000000000000000ZZZ") -> str:
    """The model that answers."""
    request = {"model": "refunds", "metadata.cohort": cohort, "request_id": request_id}
    for route in sorted(config["routing"]["conditional_routes"], key=lambda route: route["priority"]):
        if holds(route["condition"], request):
            return str(route["action"]["model_override"])
    raise AssertionError("no route")


def test_cohorts_go_where_the_plan_says(plans: Any) -> None:
    """Chargeback goes to the tuned model, policy_exception to the base, a quarter of gift cards to the tuned one."""
    base, tuned = plans.base, plans.candidate
    shares = {"chargeback": 1.0, "policy_exception": 0.0, "gift_card": 0.25, HOSTILE: 1.0}
    config = gateway(render(plans.plan(shares), "agentcc", plans.settings()).text)
    assert model(config, "chargeback") == model(config, HOSTILE) == tuned
    assert model(config, "policy_exception") == model(config, "charge") == model(config, None) == base
    draw = random.Random(7)  # noqa: S311 (a draw of ids, repeatable)
    ids = ["".join(draw.choices(CROCKFORD, k=26)) for _ in range(4000)]
    drawn = Counter(model(config, "gift_card", each) for each in ids)
    # Six standard deviations around a quarter.
    assert abs(drawn[tuned] - 1000) < 6 * (4000 * 0.25 * 0.75) ** 0.5


def test_everything_else_stays(plans: Any) -> None:
    """Providers, other routes, guardrails and comments stay; guardrails are told with the plan."""
    plan = plans.plan({"chargeback": 1.0, "late": 0.0}, mirror_rates={"late": 0.1})
    result = render(plan, "agentcc", plans.settings(), PRESENT)
    lines = result.text.splitlines()
    assert [line for line in PRESENT.splitlines() if line not in lines] == []
    assert lines.index("    # end of routes") > lines.index("    - name: spanverdict/refunds-v2/1/candidate")
    before, after = yaml.safe_load(PRESENT), yaml.safe_load(result.text)
    assert after["guardrails"] == before["guardrails"]
    ours = after["routing"]
    assert ours["conditional_routes"][0] == before["routing"]["conditional_routes"][0]
    assert ours["mirror"]["rules"][0]["sample_rate"] == 0.1
    told = read(result.text, "agentcc", "refunds-v2", plans.settings()).guardrails
    assert (told.pre, told.post) == (("pii-detection",), ("content-moderation",))
    nothing = render(plans.plan({"chargeback": 1.0, "late": 0.0}), "agentcc", plans.settings(), result.text).text
    assert yaml.safe_load(nothing)["routing"]["mirror"] == {"enabled": False}


def test_what_others_wrote_for_the_model_is_kept_and_said(plans: Any) -> None:
    """A fallback chain of somebody else is kept; targets, which would pass our routes over, are told."""
    present = (
        "routing:\n  model_fallbacks: {refunds: [gpt-9]}\n  targets:\n    refunds: [{provider: openai, weight: 1}]\n"
    )
    result = render(plans.plan({"chargeback": 1.0}), "agentcc", plans.settings(), present)
    assert yaml.safe_load(result.text)["routing"]["model_fallbacks"] == {"refunds": ["gpt-9"]}
    assert [note for note in result.notes if "model_fallbacks" in note]
    assert [note for note in result.notes if "routing.targets" in note]


def test_it_follows_the_format(plans: Any) -> None:
    """The file is as the gateway's configuration is, in our own reading of it; a route without a provider is not."""
    schema = json.loads((Path(__file__).parent / "schemas" / "agentcc.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    plan = plans.plan({"a": 1.0, HOSTILE: 0.25, "late": 0.0}, mirror_rates={"late": 0.1}, stepped_by="ab" * 16)
    config = gateway(render(plan, "agentcc", plans.settings(), PRESENT).text)
    validator.validate(config)
    del config["routing"]["conditional_routes"][1]["action"]["provider"]
    assert not validator.is_valid(config)


def test_a_share_changed_by_hand_is_counted(plans: Any) -> None:
    """An expression of somebody else's says which share of requests it draws; one that cannot be read is an error."""
    text = render(plans.plan({"a": 0.25}), "agentcc", plans.settings()).text
    ours = r"(?:[01234567]..)\x24"
    assert ours in text
    halved = read(text.replace(ours, r"[02468ACEGJMPRTWY]\x24"), "agentcc", "refunds-v2", plans.settings())
    assert halved.shares == {"a": 0.5}
    with pytest.raises(InputError, match="cannot be read"):
        read(text.replace(ours, "("), "agentcc", "refunds-v2", plans.settings())


def test_a_provider_is_needed(plans: Any) -> None:
    """A model without a provider is an error that names the key."""
    with pytest.raises(InputError, match=r'routes\.models\."gpt-base"'):
        render(plans.plan({"a": 0.0}), "agentcc", plans.settings(models={}))
