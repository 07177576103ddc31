"""Whatever stands in a file: it is read, or refused with a sentence, never anything else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.errors import InputError
from analytics.routes.formats import FORMATS, format_of, read, render

KEYS = (
    "model_list litellm_params model_info id tags weight router_settings fallbacks guardrails flags refunds targeting "
    "metadata managedBy if === fractional routing conditional_routes condition $and action name mirror rules kind "
    "apiVersion annotations spec backendRefs spanverdict.dev/promotion promotion routes models default "
    "schema_version"
)
WORDS = st.sampled_from(KEYS.split())
TEXTS = (
    "refunds refunds-v2 spanverdict spanverdict/refunds-v2/1/candidate route_plan AIGatewayRoute HTTPRoute $x "
    "aigateway.envoyproxy.io/v1beta1 gateway.networking.k8s.io/v1"
)
LEAVES = st.sampled_from([None, True, 0, 1, 0.5, "", *TEXTS.split()])
FILES = st.dictionaries(
    WORDS,
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4)),
    max_size=5,
)


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=30)
@given(FILES)
def test_a_file_is_read_or_refused(plans: Any, form: str, body: dict[str, Any]) -> None:
    """JSON is YAML, too: the same text goes through every format, to be read and to be written into."""
    text = json.dumps(body)
    for act in (
        lambda: read(text, form, "refunds-v2", plans.settings()),
        lambda: render(plans.plan({"a": 0.5}, mirror_rates={"a": 0.1}), form, plans.settings(), text),
        lambda: format_of(text, "it"),
    ):
        with suppress(InputError):
            act()


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_any_text_has_a_format_or_none(text: str) -> None:
    """What is no YAML at all is refused as well."""
    with suppress(InputError):
        assert format_of(text, "it") in FORMATS
