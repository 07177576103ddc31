"""What the store holds as JSON normalises as it did when it was decoded."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.conventions.columns import read_keys
from collector.decode import decode_traces
from collector.normalize import STORED_COLUMNS, NormalizerInput, canonical_columns
from collector.otlp_json import to_protobuf
from collector.rows import span_rows
from collector.signals import Signal
from collector.stored_attributes import attributes_from_json
from tests.conftest import Otlp

NOW = datetime(2026, 11, 22)


def both_ways(payload: bytes) -> tuple[dict[str, pa.Array], dict[str, pa.Array]]:
    """The canonical columns of a request's spans as decoded, and as normalised anew from what was stored of them."""
    spans = decode_traces([payload])
    table = span_rows(spans, [None], NOW).tables["spans"]
    fresh = canonical_columns(NormalizerInput.of(spans))
    assert spans.valid.all()
    again = canonical_columns(NormalizerInput.of_stored(table.select(STORED_COLUMNS)))
    return fresh, again


def assert_same(fresh: dict[str, pa.Array], again: dict[str, pa.Array]) -> None:
    """Every column has the same values and type."""
    assert fresh.keys() == again.keys()
    for name, column in fresh.items():
        assert column.type == again[name].type, name
        assert column.to_pylist() == again[name].to_pylist(), name


def payloads(folder: Path) -> list[Path]:
    """Captured trace requests."""
    return sorted([*folder.glob("generated-matrix/*.traces.*"), *folder.glob("langfuse/**/*.otlp.json")])


def test_captured_spans_normalise_alike(shared_fixtures: Path) -> None:
    """Captured spans of every instrumentation normalise from the store as they did when they came."""
    paths = payloads(shared_fixtures)
    assert paths
    for path in paths:
        data = path.read_bytes()
        assert_same(*both_ways(data if path.suffix == ".pb" else to_protobuf(data, Signal.TRACES)))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        ['"26"', "40", "1.5", "NaN", "stop", '["stop", "length"]', "chat", "LLM", "", "null", '{"model": "m"}', "true",
         '{"input": 4, "input_cached_tokens": 9}', "2026-11-22T10:00:00Z", '"2026-11-22T10:00:00.5Z"']
    ),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(sorted(read_keys())), VALUES, max_size=8),
        min_size=1,
        max_size=4,
    )
)
def test_any_span_normalises_alike(spans: list[dict[str, Any]]) -> None:
    """Whatever values the names that are read have, a span normalises from the store as it did when it came."""
    request = Otlp().request(*({"attributes": attributes} for attributes in spans))
    assert_same(*both_ways(request.SerializeToString()))


def test_only_wanted_names_are_taken() -> None:
    """Names that nobody asked for are left out; a name that comes twice stays twice."""
    lists = attributes_from_json(pa.array(['{"a":1,"b":{"c":[1.5,null]},"a":"x"}', None, "{}"]), {"a"})
    assert lists.offsets.tolist() == [0, 2, 2, 2]
    assert lists.json_objects().to_pylist() == ['{"a":1,"a":"x"}', "{}", "{}"]
    whole = attributes_from_json(pa.array(['{"b":{"c":[1.5,null,true,"\\ud83d"]},"n":18446744073709551616}']))
    assert whole.json_objects().to_pylist() == ['{"b":{"c":[1.5,null,true,"?"]},"n":1.8446744073709552e+19}']


@pytest.mark.parametrize("text", ["[]", "1", "{", "null"])
def test_what_is_no_object_is_refused(text: str) -> None:
    """Attributes that are not a JSON object are an error, not an empty list."""
    with pytest.raises(ValueError, match=r"JSON object|Expecting"):
        attributes_from_json(pa.array([text]))


def test_repeated_names_normalise_alike(otlp: Any) -> None:
    """A span that has a name twice normalises from the store as it did when it came."""
    request = ExportTraceServiceRequest()
    request.CopyFrom(otlp.request({"attributes": {"gen_ai.request.model": "one"}}))
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.extend(otlp.key_values({"gen_ai.request.model": "two", "user.id": b"\x01\x02"}))
    fresh, again = both_ways(request.SerializeToString())
    assert_same(fresh, again)
    assert fresh["request_model"].to_pylist() == ["two"]
