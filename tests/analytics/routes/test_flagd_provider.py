"""flagd's own evaluator, through an OpenFeature provider that reads our file."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import Reason

from analytics.errors import InputError
from analytics.routes.formats import read, render

HOSTILE = 'say "no"\n${HOME} ^.*$ {"var": "x"}'
KEYS = 2000


@contextmanager
def client(definitions: str, folder: Path) -> Iterator[OpenFeatureClient]:
    """A client of the definitions, in process."""
    path = folder / "flags.json"
    path.write_text(definitions, "utf-8")
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(path))
    api.set_provider_and_wait(provider, "routes")
    try:
        yield api.get_client("routes")
    finally:
        api.shutdown()


def model(of: OpenFeatureClient, cohort: object, user: str | None = "u1", flag: str = "refunds") -> str:
    """The model for one request; the flag must have been found."""
    attributes = {} if cohort is None else {"cohort": cohort}
    details = of.get_string_details(flag, "no flag", EvaluationContext(user, attributes))
    assert details.reason in (Reason.TARGETING_MATCH, Reason.STATIC, Reason.DEFAULT)
    return details.value


def test_cohorts_go_where_the_plan_says(plans: Any, tmp_path: Path) -> None:
    """Chargeback gets the tuned model, policy_exception and whatever is not known the base; shares hold and stick."""
    base, tuned = plans.base, plans.candidate
    shares = {"chargeback": 1.0, "policy_exception": 0.0, "gift_card": 0.25, HOSTILE: 1.0, "1": 1.0}
    text = render(plans.plan(shares, mirror_rates={"policy_exception": 0.1}), "flagd", plans.settings()).text
    users = [f"user-{number}" for number in range(KEYS)]
    with client(text, tmp_path) as of:
        assert model(of, "chargeback") == model(of, HOSTILE) == model(of, "1") == tuned
        assert model(of, "policy_exception") == model(of, "charge") == model(of, None) == model(of, 1) == base
        assert model(of, "gift_card", None) == base
        drawn = {user for user in users if model(of, "gift_card", user) == tuned}
        mirrored = [user for user in users if model(of, "policy_exception", user, "refunds-mirror") == tuned]
        assert model(of, "gift_card", "u1", "refunds-mirror") == ""
        assert model(of, "gift_card", "u1", "refunds-fallback") == base
    # A hash draws: six standard deviations around the share.
    assert abs(len(drawn) - 0.25 * KEYS) < 6 * (KEYS * 0.25 * 0.75) ** 0.5
    assert abs(len(mirrored) - 0.1 * KEYS) < 6 * (KEYS * 0.1 * 0.9) ** 0.5
    more = render(plans.plan({"gift_card": 0.5}), "flagd", plans.settings()).text
    with client(more, tmp_path) as of:
        assert all(model(of, "gift_card", user) == tuned for user in drawn)


def test_definitions_follow_the_format(plans: Any) -> None:
    """The file is as flagd's schema describes it, in our own reading; a weight that is no number is not."""
    schema = json.loads((Path(__file__).parent / "schemas" / "flagd.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    shares = {"a": 0.25, "b": 1.0, "c": 0.0, HOSTILE: 0.25}
    body = json.loads(render(plans.plan(shares, mirror_rates={"c": 0.1}), "flagd", plans.settings()).text)
    validator.validate(body)
    broken = copy.deepcopy(body)
    broken["flags"]["refunds"]["targeting"]["if"][0] = ["b"]
    assert not validator.is_valid(broken)


def test_a_flag_of_somebody_else_is_not_taken_over(plans: Any) -> None:
    """A flag of our name without our mark is an error that says how to hand it over."""
    theirs = json.dumps({"flags": {"refunds": {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"}}})
    with pytest.raises(InputError, match=r"managedBy.*hand it over"):
        render(plans.plan({"a": 1.0}), "flagd", plans.settings(), theirs)


def test_other_flags_stay_as_they_are(plans: Any) -> None:
    """Other flags, their order, indentation, letters and unknown keys stay."""
    theirs = {"$evaluators": {"x": {"in": ["a", {"var": "b"}]}}, "flags": {"ü": {"state": "DISABLED", "odd": [1]}}}
    present = json.dumps(theirs, indent=4, ensure_ascii=False)
    text = render(plans.plan({"a": 1.0}), "flagd", plans.settings(), present).text
    body = json.loads(text)
    assert list(body) == ["$evaluators", "flags"]
    assert body["flags"].pop("refunds")["metadata"]["managedBy"] == "spanverdict"
    body["flags"].pop("refunds-fallback")
    assert body == theirs
    assert '\n    "flags": {\n        "ü"' in text


def test_targeting_changed_by_hand_is_said(plans: Any) -> None:
    """What cannot be read back is an error that names the flag, not a share of nothing."""
    body = json.loads(render(plans.plan({"a": 0.5}), "flagd", plans.settings()).text)
    body["flags"]["refunds"]["targeting"]["if"][1] = {"fractional": [["candidate", 1], ["third", "x"]]}
    with pytest.raises(InputError, match="'refunds' was changed by hand"):
        read(json.dumps(body), "flagd", "refunds-v2", plans.settings())
