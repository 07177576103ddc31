"""Attribute values as JSON text: the vectorised kernels agree with a walk over the messages."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from collector.any_value import MAX_NESTING
from collector.decode import decode_traces

texts = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = st.one_of(
    texts,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(max_size=8),
    st.none(),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def expected(value: Any) -> Any:
    """What JSON holds of a value: bytes as base64."""
    if isinstance(value, bytes):
        import base64  # noqa: PLC0415 (the oracle stands alone)

        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, dict):
        return {key: expected(item) for key, item in value.items()}
    return value


@given(st.lists(st.dictionaries(texts, values, max_size=5), min_size=1, max_size=4))
def test_attributes_round_trip(otlp: Any, owners: list[dict[str, Any]]) -> None:
    """Every attribute of every span is in its JSON object, with its value."""
    request = otlp.request(*({"attributes": attributes} for attributes in owners))
    objects = decode_traces([request.SerializeToString()]).attributes.json_objects().to_pylist()
    assert [json.loads(text) for text in objects] == [expected(attributes) for attributes in owners]


def test_special_doubles(otlp: Any) -> None:
    """NaN and infinities are strings, as OTLP/JSON writes them, at any depth."""
    attributes = {"a": math.nan, "b": math.inf, "c": [-math.inf], "d": 0.5}
    text = decode_traces([otlp.request({"attributes": attributes}).SerializeToString()]).attributes.json_objects()
    assert json.loads(text[0].as_py()) == {"a": "NaN", "b": "Infinity", "c": ["-Infinity"], "d": 0.5}


def test_control_characters_and_quotes(otlp: Any) -> None:
    """Texts with quotes, backslashes and control characters are valid JSON."""
    hostile = 'a"b\\c\n\t\r\x00\x1f\u2028</script>'
    text = decode_traces([otlp.request({"attributes": {hostile: hostile}}).SerializeToString()])
    assert json.loads(text.attributes.json_objects()[0].as_py()) == {hostile: hostile}


def test_deep_nesting_is_cut(otlp: Any) -> None:
    """Nesting beyond the limit is cut with null instead of crashing or growing without bound."""
    value: Any = "bottom"
    for _ in range(MAX_NESTING + 5):
        value = [value]
    text = decode_traces([otlp.request({"attributes": {"deep": value}}).SerializeToString()])
    found = json.loads(text.attributes.json_objects()[0].as_py())["deep"]
    depth = 0
    while isinstance(found, list):
        found, depth = found[0], depth + 1
    assert found is None
    assert depth == MAX_NESTING
