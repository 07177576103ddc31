"""OTLP/JSON becomes protobuf messages, ids from hex."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.otlp_json import OtlpJsonError, parse

TRACE = "5b8efff798038103d269b633813fc60c"
SPAN = "eee19b7ec3c1b174"


def spans(text: str | bytes) -> list[Span]:
    """The spans of a trace request."""
    request = parse(text, ExportTraceServiceRequest())
    return [span for item in request.resource_spans for scope in item.scope_spans for span in scope.spans]


def with_span(**fields: Any) -> str:
    """A request of one span."""
    span = {"traceId": TRACE, "spanId": SPAN, "name": "chat", **fields}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})


def edge(shared_fixtures: Path, name: str) -> list[Span]:
    """The spans of one of the protocol's edge cases."""
    return spans((shared_fixtures / "protocol-edge" / name).read_bytes())


def attributes(span: Span) -> dict[str, Any]:
    """A span's attributes as plain values."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value") or "string_value") for item in span.attributes}


@pytest.mark.parametrize(
    "name", ["01-uppercase-hex.json", "02-int64-as-number.json", "03-int64-as-string.json", "04-unknown-fields.json",
             "06-enum-name-strings.json", "16-null-values.json", "17-duplicate-keys.json"],
)  # fmt: skip
def test_the_protocols_edge_cases_parse(shared_fixtures: Path, name: str) -> None:
    """Hex of either case, integers as numbers or texts, unknown names, empty values: one span with its own ids."""
    (span,) = edge(shared_fixtures, name)
    assert (span.trace_id.hex(), span.span_id.hex()) == (TRACE, SPAN)
    assert (span.name, span.kind) == ("chat m", Span.SPAN_KIND_CLIENT)
    assert span.start_time_unix_nano == 1_767_225_600_000_000_000
    assert span.parent_span_id == b""


def test_integers_are_exact(shared_fixtures: Path) -> None:
    """Integers past 2^53 are not rounded."""
    (span,) = edge(shared_fixtures, "03-int64-as-string.json")
    assert attributes(span) == {"gen_ai.usage.input_tokens": 9_007_199_254_740_993}
    (span,) = edge(shared_fixtures, "02-int64-as-number.json")
    assert attributes(span) == {"gen_ai.usage.input_tokens": 42}


def test_enums_by_name_and_by_number(shared_fixtures: Path) -> None:
    """Names of enum values, which OTLP/JSON does not allow but generic tools write, are read."""
    (span,) = edge(shared_fixtures, "06-enum-name-strings.json")
    assert span.status.code == Status.STATUS_CODE_ERROR
    (span,) = spans(with_span(kind=2, status={"code": 1}))
    assert (span.kind, span.status.code) == (Span.SPAN_KIND_SERVER, Status.STATUS_CODE_OK)


def test_field_names_of_protobuf(shared_fixtures: Path) -> None:
    """Ids under protobuf's own names are hex too, never silently other bytes."""
    (span,) = edge(shared_fixtures, "05-snake-case-keys.json")
    assert (span.trace_id.hex(), span.span_id.hex()) == (TRACE, SPAN)


def test_special_doubles(shared_fixtures: Path) -> None:
    """NaN and the infinities are texts in JSON."""
    (span,) = edge(shared_fixtures, "07-double-special.json")
    values = attributes(span)
    assert math.isnan(values["a"])
    assert (values["b"], values["c"], values["d"]) == (math.inf, -math.inf, 1.0)


def test_nested_values(shared_fixtures: Path) -> None:
    """Arrays, maps and bytes keep their shape."""
    (span,) = edge(shared_fixtures, "11-nested-anyvalue.json")
    kinds = {item.value.WhichOneof("value") for item in span.attributes}
    assert kinds == {"array_value", "bytes_value", None}
    assert attributes(span)["bytes"] == b"\x00\x01\x02"


@pytest.mark.parametrize("name", ["08-empty-request.json", "09-empty-object.json", "10-empty-envelope.json",
                                  "18-logs-posted-to-traces.json"])  # fmt: skip
def test_nothing_inside_is_no_error(shared_fixtures: Path, name: str) -> None:
    """Requests without spans parse to requests without spans."""
    assert edge(shared_fixtures, name) == []


def test_invalid_ids_are_left_to_the_collector(shared_fixtures: Path) -> None:
    """Ids of zeros or of another length are hex: they arrive as sent, to be refused and counted there."""
    found = edge(shared_fixtures, "12-all-zero-ids.json")
    assert [len(span.trace_id) for span in found] == [16, 16, 2, 16]
    assert found[0].trace_id == bytes(16)


def test_links_and_log_records(shared_fixtures: Path) -> None:
    """Ids of links and of log records are hex as well; flags and states arrive."""
    (span,) = spans(with_span(links=[{"traceId": TRACE.upper(), "spanId": SPAN}], parentSpanId=SPAN))
    assert (span.links[0].trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
    logs = parse((shared_fixtures / "opentelemetry-proto" / "logs.json").read_bytes(), ExportLogsServiceRequest())
    record = logs.resource_logs[0].scope_logs[0].log_records[0]
    assert (record.trace_id.hex(), record.span_id.hex()) == (TRACE, SPAN)
    assert len(edge(shared_fixtures, "19-flags-and-trace-state.json")) >= 1


def test_the_official_examples(shared_fixtures: Path) -> None:
    """The examples of opentelemetry-proto parse with the names and ids that stand in them."""
    examples = shared_fixtures / "opentelemetry-proto"
    (span,) = spans((examples / "trace.json").read_bytes())
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN, "eee19b7ec3c1b173")
    assert (span.name, span.kind) == ("I'm a server span", Span.SPAN_KIND_SERVER)
    events = parse((examples / "events.json").read_bytes(), ExportLogsServiceRequest())
    assert events.resource_logs[0].scope_logs[0].log_records[0].event_name
    assert spans((examples / "metrics.json").read_bytes()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "This is not OTLP/JSON"),
        ("{", "This is not OTLP/JSON"),
        ("[]", "This is not OTLP/JSON"),
        ('"text"', "This is not OTLP/JSON"),
        ("null", "This is not OTLP/JSON"),
        (b"\xff\xfe{}", "This is not OTLP/JSON"),
        ("[" * 100_000, "This is not OTLP/JSON"),
        ('{"resourceSpans": 5}', "This is not OTLP/JSON"),
        (with_span(traceId="not hex"), "the id 'not hex' is not hexadecimal"),
        (with_span(spanId="eee19b7ec3c1b17"), "the id 'eee19b7ec3c1b17' is not hexadecimal"),
        (with_span(traceId="5b 8e"), "the id '5b 8e' is not hexadecimal"),
        (with_span(traceId="\u0660\u0660"), "is not hexadecimal"),
        (with_span(traceId=5), "This is not OTLP/JSON"),
        (with_span(traceId=[TRACE]), "This is not OTLP/JSON"),
        (with_span(startTimeUnixNano="soon"), "This is not OTLP/JSON"),
        (with_span(startTimeUnixNano=-1), "This is not OTLP/JSON"),
        (with_span(startTimeUnixNano=2**64), "This is not OTLP/JSON"),
        (with_span(startTimeUnixNano=float("inf")), "This is not OTLP/JSON"),
        (with_span(name={"a": 1}), "This is not OTLP/JSON"),
        (with_span(name="\ud800"), "This is not OTLP/JSON"),
    ],
)
def test_what_is_no_otlp_json_is_said(text: str | bytes, said: str) -> None:
    """Wrong JSON, wrong ids and wrong types are one error that says what is wrong."""
    with pytest.raises(OtlpJsonError, match="This is not OTLP/JSON") as caught:
        spans(text)
    assert said in str(caught.value)


NAMES = (
    "resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "parentSpanId", "name", "kind", "status", "code",
    "startTimeUnixNano", "attributes", "key", "value", "intValue", "doubleValue", "bytesValue", "arrayValue", "values",
    "kvlistValue", "events", "links", "x",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
SPAN_FIELDS = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4)


@given(st.text() | st.binary() | JSON.map(json.dumps) | SPAN_FIELDS.map(lambda fields: with_span(**fields)))
def test_any_text_parses_or_is_refused(text: str | bytes) -> None:
    """Whatever is sent, nothing but OtlpJsonError comes back, and what parses can be sent on."""
    with contextlib.suppress(OtlpJsonError):
        parse(text, ExportTraceServiceRequest()).SerializeToString()


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), st.booleans())
def test_any_id_survives(trace: bytes, span: bytes, upper: bool) -> None:
    """Every id of the right length arrives byte by byte, in either case."""
    texts = [identifier.hex().upper() if upper else identifier.hex() for identifier in (trace, span)]
    (found,) = spans(with_span(traceId=texts[0], spanId=texts[1]))
    assert (found.trace_id, found.span_id) == (trace, span)
