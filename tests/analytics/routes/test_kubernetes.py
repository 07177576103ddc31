"""Routes in Kubernetes: as the resources' definitions say, and picked as Gateway API says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from analytics.errors import InputError
from analytics.routes.formats import read, render

FORMS = ("envoy", "gateway-api")
SCHEMAS = Path(__file__).parent / "schemas"
PRESENT = """# The gateway's routes
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: llm   # shared
---
apiVersion: {api}
kind: {kind}
metadata:
  name: refunds
  labels:
    team: payments
  annotations:
    spanverdict.dev/promotion: refunds-v1
    other: stays
  # about the spec
spec:
  hostnames: ["llm.example"]  # ours
  parentRefs:
    - name: llm
  rules: []
  # the end of the route
---
# another
apiVersion: v1
kind: ConfigMap
metadata: {{name: x}}
data:
  text: |
    kept
"""
KINDS = {
    "envoy": ("aigateway.envoyproxy.io/v1beta1", "AIGatewayRoute"),
    "gateway-api": ("gateway.networking.k8s.io/v1", "HTTPRoute"),
}


def weights(route: dict[str, Any], headers: dict[str, str]) -> dict[str, int]:
    """The backends of the rule that wins: the one with the most header matches (HTTPRouteRule.matches)."""
    matching = [
        (len(match.get("headers", [])), number, rule)
        for number, rule in enumerate(route["spec"]["rules"])
        for match in rule["matches"]
        if all(headers.get(header["name"]) == header["value"] for header in match.get("headers", []))
    ]
    _, _, rule = max(matching, key=lambda each: (each[0], -each[1]))
    return {backend["name"]: backend["weight"] for backend in rule["backendRefs"] if not backend.get("priority")}


@pytest.mark.parametrize("form", FORMS)
def test_cohorts_go_where_the_plan_says(plans: Any, form: str) -> None:
    """Chargeback goes to the tuned backend, policy_exception and what is not known to the base, shares by weight."""
    plan = plans.plan({"chargeback": 1.0, "policy_exception": 0.0, "gift_card": 0.25, 'odd "name" ^.*$': 1.0})
    route = yaml.safe_load(render(plan, form, plans.settings()).text)

    def of(cohort: str | None) -> dict[str, int]:
        headers = {"x-ai-eg-model": "refunds"} | ({} if cohort is None else {"x-cohort": cohort})
        return weights(route, headers)

    assert of("chargeback") == of('odd "name" ^.*$') == {"tuned": 10_000}
    assert of("policy_exception") == of("charge") == of(None) == {"base": 10_000}
    assert of("gift_card") == {"tuned": 2500, "base": 7500}


@pytest.mark.parametrize("form", FORMS)
def test_it_follows_the_definition(plans: Any, form: str) -> None:
    """The resource is as its definition says; a weight that is no whole number is not."""
    validator = jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{form}.schema.json").read_text("utf-8")))
    shares = {f"cohort {number}": (0.0, 1.0, 0.25)[number % 3] for number in range(190)}
    plan = plans.plan(shares, mirror_rates={"cohort 0": 0.1}, stepped_by="ab" * 16)
    route = yaml.safe_load(render(plan, form, plans.settings(namespace="prod")).text)
    validator.validate(route)
    # What a validation rule of the definition counts, which a schema cannot: cohorts of the default route are left out.
    assert sum(len(rule["matches"]) for rule in route["spec"]["rules"]) == {"envoy": 127, "gateway-api": 128}[form]
    assert read(yaml.safe_dump(route), form, "refunds-v2", plans.settings(namespace="prod")).shares.keys() == {
        name for name, share in shares.items() if share or (name == "cohort 0" and form == "gateway-api")
    }
    route["spec"]["rules"][0]["backendRefs"][0]["weight"] = 0.5
    assert not validator.is_valid(route)


def test_an_http_route_mirrors(plans: Any) -> None:
    """Held cohorts are mirrored at their rate; an AIGatewayRoute cannot, and that is told."""
    plan = plans.plan({"late": 0.0, "other": 0.0}, mirror_rates={"late": 0.1})
    route = yaml.safe_load(render(plan, "gateway-api", plans.settings()).text)
    (filtered,) = [rule for rule in route["spec"]["rules"] if "filters" in rule]
    assert filtered["matches"] == [{"headers": [{"type": "Exact", "name": "x-cohort", "value": "late"}]}]
    assert filtered["filters"][0]["requestMirror"]["fraction"] == {"numerator": 1000, "denominator": 10_000}
    assert any("cannot mirror" in note for note in render(plan, "envoy", plans.settings()).notes)


@pytest.mark.parametrize("form", FORMS)
def test_everything_else_stays(plans: Any, form: str) -> None:
    """Other documents, the route's other keys and all comments stay."""
    api, kind = KINDS[form]
    present = PRESENT.format(api=api, kind=kind)
    text = render(plans.plan({"a": 1.0}), form, plans.settings(), present).text
    kept = [line for line in present.splitlines() if "rules:" not in line and "refunds-v1" not in line]
    lines = iter(text.splitlines())
    assert [line for line in kept if line not in lines] == []
    gateway, route, config = yaml.safe_load_all(text)
    assert (gateway["kind"], config["data"]) == ("Gateway", {"text": "kept\n"})
    assert route["metadata"]["annotations"]["spanverdict.dev/promotion"] == "refunds-v2"
    stepped = render(plans.plan({"a": 0.5}, stepped_by="ab" * 16), form, plans.settings(), text).text
    assert render(plans.plan({"a": 1.0}), form, plans.settings(), stepped).text == text


@pytest.mark.parametrize("form", FORMS)
def test_errors_say_the_mend(plans: Any, form: str) -> None:
    """A route of somebody else, a backend or a Gateway that is not known, and too many rules."""
    api, kind = KINDS[form]
    theirs = f"apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: refunds\nspec: {{}}\n"
    with pytest.raises(InputError, match="not ours; to hand its rules over"):
        render(plans.plan({"a": 1.0}), form, plans.settings(), theirs)
    with pytest.raises(InputError, match="gateway ="):
        render(plans.plan({"a": 1.0}), form, plans.settings(gateway=None))
    with pytest.raises(InputError, match="backend ="):
        render(plans.plan({"a": 1.0}), form, plans.settings(models={}))
    with pytest.raises(InputError, match=r"may have 1[56] with 128"):
        render(plans.plan({str(number): number / 100 for number in range(1, 30)}), form, plans.settings())
    text = render(plans.plan({"a": 1.0}), form, plans.settings()).text
    with pytest.raises(InputError, match="changed by hand"):
        read(text.replace("backendRefs", "backends"), form, "refunds-v2", plans.settings())
