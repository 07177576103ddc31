"""Any call, told by any convention and spelled in any way, becomes the same canonical row."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import decode_traces
from collector.rows import span_rows
from tests.collector.dialect import COMMON, FINISH, PROVIDERS, Call, Dialect
from tests.collector.dialects import DIALECTS
from tests.collector.test_stored_attributes import assert_same, both_ways
from tests.conftest import Otlp

NOW = datetime(2026, 11, 22)
COUNTS = st.integers(0, 400_000)
TEXTS = st.text("abcXYZ0123456789-:/._", min_size=3, max_size=20).filter(lambda text: text.strip("0123456789.-"))


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """A model call that can have been: parts are at most their wholes."""
    read, written, rest = draw(COUNTS), draw(COUNTS), draw(COUNTS)
    reasoning, output = sorted((draw(COUNTS), draw(COUNTS)))
    return Call(
        provider=draw(st.sampled_from(sorted(PROVIDERS))),
        request_model=draw(TEXTS),
        response_model=draw(TEXTS),
        response_id=draw(TEXTS),
        finish_reason=draw(st.sampled_from(sorted(FINISH))),
        input_tokens=read + written + rest,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=draw(st.integers(0, written)),
        reasoning_tokens=reasoning,
        temperature=draw(st.sampled_from([0.0, 0.2, 0.7, 1.5])),
        max_tokens=draw(st.integers(1, 100_000)),
        seed=draw(st.integers(1, 2**40)),
        is_streaming=draw(st.booleans()),
        time_to_first_token_ms=draw(st.integers(1, 10**6)) / 8,
        conversation_id=draw(TEXTS),
        user_id=draw(TEXTS),
        prompt_name=draw(TEXTS),
        prompt_version=draw(TEXTS),
        cost=draw(st.integers(1, 10**6)) / 1024,
    )


def spelled(draw: st.DrawFn, value: Any, *, in_json: bool = False) -> Any:
    """A value as some sender would write it: numbers as texts or doubles, objects as JSON or as they are."""
    if isinstance(value, bool):
        return draw(st.sampled_from([value, value, str(value).lower(), str(value)]))
    if isinstance(value, int):
        return draw(st.sampled_from([value, value, str(value), float(value), f'"{value}"']))
    if isinstance(value, float):
        return draw(st.sampled_from([value, value, repr(value)]))
    if isinstance(value, dict | list) and not in_json:
        inner = inside(draw, value)
        return draw(st.sampled_from([inner, json.dumps(inner), json.dumps(inner), json.dumps(json.dumps(inner))]))
    return value


def inside(draw: st.DrawFn, value: Any) -> Any:
    """The members of an object or a list, each as some sender would write it."""
    if isinstance(value, dict):
        return {name: inside(draw, member) for name, member in value.items()}
    if isinstance(value, list):
        return [inside(draw, member) for member in value]
    return spelled(draw, value, in_json=True)


def native(draw: st.DrawFn, attributes: dict[str, Any], call: Call) -> dict[str, Any]:
    """Attributes with providers and finish reasons in the words of providers and instrumentations."""
    reason = draw(st.sampled_from(FINISH[call.finish_reason]))
    provider = draw(st.sampled_from(PROVIDERS[call.provider]))
    changed = dict(attributes)
    for key, value in attributes.items():
        if "finish" in key:
            changed[key] = json.loads(json.dumps(value).replace(call.finish_reason, reason))
        elif key in {"gen_ai.system", "gen_ai.provider.name", "llm.provider", "ai.model.provider"}:
            changed[key] = provider if value == call.provider else value
    return changed


def request_of(attributes: dict[str, Any], dialect: Dialect) -> ExportTraceServiceRequest:
    """A request with one span."""
    request: ExportTraceServiceRequest = Otlp().request({"attributes": attributes}, scope=dialect.scope)
    request.resource_spans[0].scope_spans[0].scope.version = dialect.version
    return request


def canonical(call: Call, dialect: Dialect) -> dict[str, Any]:
    """The columns of a call that a dialect has a place for."""
    columns = {
        **vars(call),
        "gen_ai_span_kind": "LLM",
        "finish_reasons": [call.finish_reason],
        "reported_cost_usd": call.cost,
        **dialect.native,
    }
    return {name: columns[name] for name in (*COMMON, *dialect.told)}


@pytest.mark.parametrize("name", DIALECTS)
@given(st.data())
@settings(max_examples=20)
def test_any_call_in_any_dialect_is_the_same_row(name: str, data: st.DataObject) -> None:
    """What a convention has a place for comes out as it was, whatever the spelling, decoded or from the store."""
    dialect = DIALECTS[name]
    call = data.draw(calls())
    told = native(data.draw, dialect.encode(call), call)
    attributes = {key: spelled(data.draw, value) for key, value in told.items()}
    payload = request_of(attributes, dialect).SerializeToString()
    table = span_rows(decode_traces([payload]), [None], NOW).tables["spans"]
    row = pl.DataFrame(pl.from_arrow(table)).to_dicts()[0]
    for column, value in canonical(call, dialect).items():
        wanted = pytest.approx(value) if isinstance(value, float) else value
        assert row[column] == wanted, (column, row["token_rule"])
    assert_same(*both_ways(payload))
