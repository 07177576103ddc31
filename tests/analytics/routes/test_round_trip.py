"""What is written into a gateway's file is read back from it: whatever cohorts are called, in every format."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from analytics.errors import InputError
from analytics.routes.formats import FORMATS, format_of, read, render
from analytics.routes.model import PARTS

HOSTILE = [
    "chargeback",
    "",
    'say "no"',
    "it's",
    "two\nlines",
    "$HOME ${HOME} $$ $eq",
    "^.*$|(?i)[a-z]+\\",
    "yes",
    "null",
    "~",
    "1e3",
    "- item: {a: b} # no comment",
    "!!python/object",
    "*alias &anchor",
    "<script>alert(1)</script>",
    "\x1b[31mred",
    "\\x24 \\u0041 %41",
    "ü ✓ 𝄞",
    "",
    "default",
    "cohort:default",
]

cohorts = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(HOSTILE)
shares = st.sampled_from([0.0, 1.0]) | st.integers(1, PARTS - 1).map(lambda part: part / PARTS)


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=15)
@given(st.dictionaries(cohorts, shares, max_size=8), st.sampled_from([None, "5f" * 16]))
def test_a_plan_is_read_back(plans: Any, form: str, wanted: dict[str, float], stepped_by: str | None) -> None:
    """Cohorts, shares and the step come back; a header's formats leave out what a header cannot hold."""
    gateway = plans.settings()
    plan = plans.plan(wanted, stepped_by=stepped_by)
    text = render(plan, form, gateway).text
    told = read(text, form, plan.promotion, gateway)
    if form in ("envoy", "gateway-api"):
        wanted = {name: share for name, share in wanted.items() if sent_as_it_is(name)}
    assert dict(told.shares) == wanted
    assert (told.default_share, told.stepped_by) == (0.0, stepped_by)
    assert format_of(text, "it") == form
    assert render(plan, form, gateway, text).text == text


def sent_as_it_is(name: str) -> bool:
    """Whether a header can hold a name: visible ASCII, spaces only inside."""
    return len(name) > 0 and name == name.strip() and all(" " <= letter <= "~" for letter in name)


@pytest.mark.parametrize("form", FORMATS)
def test_another_plan_replaces_ours(plans: Any, form: str) -> None:
    """A file with one plan and another plan give what the other plan alone gives."""
    gateway = plans.settings()
    first = render(plans.plan({"a": 0.25, "b": 1.0}, stepped_by="ab" * 16, mirror_rates={"a": 0.1}), form, gateway).text
    second = plans.plan({"b": 0.0, "c": 0.5})
    told = read(render(second, form, gateway, first).text, form, second.promotion, gateway)
    assert (dict(told.shares), told.stepped_by) == ({"b": 0.0, "c": 0.5}, None)


@pytest.mark.parametrize("form", FORMATS)
def test_another_promotion_is_not_ours_to_read(plans: Any, form: str) -> None:
    """Shares of another promotion's models are not taken for this one's."""
    gateway = plans.settings()
    text = render(plans.plan({"a": 0.25}), form, gateway).text
    assert not read(text, form, "refunds", gateway).shares


def test_a_plan_of_another_promotion_is_not_overwritten(plans: Any) -> None:
    """One file holds the plan of one promotion."""
    text = render(plans.plan({"a": 1.0}, promotion="other"), "json", plans.settings()).text
    with pytest.raises(InputError, match="that of 'other'"):
        render(plans.plan({"a": 1.0}), "json", plans.settings(), text)


def test_a_plan_follows_its_schema(plans: Any) -> None:
    """The JSON plan is as routes.schema.json describes it; one without a cohort's models is not."""
    schema = json.loads((files("analytics.routes") / "schema" / "routes.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    plan = plans.plan({"a": 0.25, 'b"\n': 1.0, "c": 0.0}, mirror_rates={"c": 0.1}, stepped_by="ab" * 16)
    body = json.loads(render(plan, "json", plans.settings()).text)
    validator.validate(body)
    del body["routes"][0]["models"]
    assert not validator.is_valid(body)


def test_yaml_of_other_readers_says_the_same(plans: Any) -> None:
    """PyYAML and YAML 1.1, which know more words for true, read the same tags as we do."""
    plan = plans.plan(dict.fromkeys(HOSTILE, 0.5))
    text = render(plan, "litellm", plans.settings()).text
    old = YAML(typ="safe", pure=True)
    old.version = (1, 1)
    tags = {f"cohort:{name}" for name in HOSTILE}
    for config in (yaml.safe_load(text), old.load(text)):
        assert set(config["model_list"][0]["litellm_params"]["tags"]) == tags
