"""A person's YAML is theirs: every line of it is still there, in its order, wherever our entries stand."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.routes.formats import render
from analytics.routes.model import RoutePlan

COMMENTS = st.sampled_from(["", "", "\n", "# on its own\n", "\n# after a gap\n\n", "    # far to the right\n"])
ENDS = st.sampled_from(["", "", "  # at the end"])
VALUES = st.sampled_from(
    ["plain", "'single'", '"double ü"', "yes", "007", "{a: 1}", "[x, y]", ">-\n        folded\n        text"]
)


@st.composite
def gateways(draw: st.DrawFn) -> tuple[str, int]:
    """A LiteLLM configuration with comments in all places, and how far its lists are indented."""
    dash = draw(st.sampled_from([0, 2]))
    pad = " " * dash
    parts = [draw(COMMENTS), "model_list:" + draw(ENDS) + "\n"]
    for number in range(draw(st.integers(1, 3))):
        parts += [draw(COMMENTS), f"{pad}- model_name: other{number}{draw(ENDS)}\n"]
        parts += [f"{pad}  litellm_params:{draw(ENDS)}\n", f"{pad}    model: {draw(VALUES)}\n"]
        parts += [draw(COMMENTS), f"{pad}    rpm: {number}{draw(ENDS)}\n"]
    parts += [draw(COMMENTS)]
    if draw(st.booleans()):
        parts += ["router_settings:" + draw(ENDS) + "\n", f"  num_retries: 2{draw(ENDS)}\n", draw(COMMENTS)]
    if draw(st.booleans()):
        parts += ["general_settings:\n", f"  master_key: os.environ/MASTER{draw(ENDS)}\n", draw(COMMENTS)]
    return "".join(parts), dash


def in_order(lines: list[str], text: str) -> list[str]:
    """The lines that are not in the text, or not in that order, but for runs of spaces."""
    rest = iter([line.split() for line in text.splitlines()])
    return [line for line in lines if line.split() not in rest]


@settings(max_examples=25)
@given(gateways(), st.data())
def test_every_line_is_kept(plans: Any, gateway: tuple[str, int], data: st.DataObject) -> None:
    """Ours put in, changed and made fewer: their lines stay as they are, and nothing else changes in value."""
    present, _ = gateway
    share = st.sampled_from([0.0, 0.25, 1.0])
    before = yaml.safe_load(present)
    text = present
    for _ in range(3):
        plan: RoutePlan = plans.plan(data.draw(st.dictionaries(st.sampled_from("abc"), share)))
        text = render(plan, "litellm", plans.settings(), text).text
        assert in_order([line for line in present.splitlines() if line.strip()], text) == []
        after = yaml.safe_load(text)
        theirs = [entry for entry in after["model_list"] if entry["model_name"].startswith("other")]
        assert theirs == before["model_list"]
        for section, values in before.items():
            if section != "model_list":
                assert values.items() <= after[section].items()
