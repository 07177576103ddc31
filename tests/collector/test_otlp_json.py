"""OTLP/JSON becomes protobuf messages, ids from hex."""

from __future__ import annotations

import base64
import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.otlp_json import OtlpJsonError, to_protobuf
from collector.signals import Signal

TRACE = "5b8efff798038103d269b633813fc60c"
SPAN = "eee19b7ec3c1b174"


def spans(text: str | bytes) -> list[Span]:
    """The spans of a trace request."""
    data = text if isinstance(text, bytes) else text.encode()
    request = ExportTraceServiceRequest.FromString(to_protobuf(data, Signal.TRACES))
    return [span for item in request.resource_spans for scope in item.scope_spans for span in scope.spans]


def logs(text: bytes) -> ExportLogsServiceRequest:
    """A request of log records."""
    return ExportLogsServiceRequest.FromString(to_protobuf(text, Signal.LOGS))


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


def test_field_names_of_protobuf_are_unknown(shared_fixtures: Path) -> None:
    """Keys other than lowerCamelCase are unknown names: such a span has no ids, for the receiver to refuse it."""
    found = edge(shared_fixtures, "05-snake-case-keys.json")
    assert all(span.trace_id == b"" == span.span_id for span in found)


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
    request = logs((shared_fixtures / "opentelemetry-proto" / "logs.json").read_bytes())
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    assert (record.trace_id.hex(), record.span_id.hex()) == (TRACE, SPAN)
    assert len(edge(shared_fixtures, "19-flags-and-trace-state.json")) >= 1


def test_the_official_examples(shared_fixtures: Path) -> None:
    """The examples of opentelemetry-proto parse with the names and ids that stand in them."""
    examples = shared_fixtures / "opentelemetry-proto"
    (span,) = spans((examples / "trace.json").read_bytes())
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN, "eee19b7ec3c1b173")
    assert (span.name, span.kind) == ("I'm a server span", Span.SPAN_KIND_SERVER)
    events = logs((examples / "events.json").read_bytes())
    assert events.resource_logs[0].scope_logs[0].log_records[0].event_name
    assert spans((examples / "metrics.json").read_bytes()) == []


@pytest.mark.parametrize(
    "identifier", ["abc", "5b8", "eee19b7ec3c1b17", "eee19b7ec3c1b1745", TRACE + "0", TRACE[1:], ""]
)
def test_ids_of_another_length_are_no_ids(identifier: str) -> None:
    """An id of another length, of half an octet too, refuses its span alone: it never gets the right length."""
    (span,) = spans(with_span(traceId=identifier, spanId=identifier))
    assert len(span.trace_id) != 16
    assert len(span.span_id) != 8


AT = "resourceSpans[0].scopeSpans[0].spans[0]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "it is not an object"),
        ('"text"', "it is not an object"),
        ("null", "it is not an object"),
        (b"\xff\xfe{}", "byte 0 is not UTF-8"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"resourceSpans": 5}', "resourceSpans is not an array: 5"),
        ('{"resourceSpans": [[]]}', "resourceSpans[0] is not an object: []"),
        ('{"x": NaN}', "NaN is a text in JSON, in quotes"),
        ('{"x": -Infinity}', "-Infinity is a text in JSON, in quotes"),
        (with_span(traceId="not hex"), f"{AT}.traceId is not hexadecimal: 'not hex'"),
        (with_span(traceId="5b 8e "), f"{AT}.traceId is not hexadecimal: '5b 8e '"),
        (with_span(traceId="5b8efff798038103d269b633813fc6 c"), f"{AT}.traceId is not hexadecimal"),
        (with_span(traceId="\u0660\u0660"), f"{AT}.traceId is not hexadecimal"),
        (with_span(traceId=5), f"{AT}.traceId is not hexadecimal: 5"),
        (with_span(links=[{}, {"spanId": [TRACE]}]), f"{AT}.links[1].spanId is not hexadecimal: ['5b8e"),
        (with_span(startTimeUnixNano="soon"), f"{AT}.startTimeUnixNano is not a whole number: 'soon'"),
        (with_span(startTimeUnixNano=True), f"{AT}.startTimeUnixNano is not a whole number: True"),
        (with_span(startTimeUnixNano=-1), f"{AT}.startTimeUnixNano is out of range: -1"),
        (with_span(startTimeUnixNano=2**64), f"{AT}.startTimeUnixNano is out of range: 18446744073709551616"),
        (with_span(startTimeUnixNano=1.5), f"{AT}.startTimeUnixNano is not a whole number: 1.5"),
        (with_span(startTimeUnixNano=1e300), f"{AT}.startTimeUnixNano is not a whole number: 1e+300"),
        (with_span(flags=2**32), f"{AT}.flags is out of range"),
        (with_span(droppedLinksCount=-1), f"{AT}.droppedLinksCount is out of range"),
        (with_span(kind="SPAN_KIND_NONE"), f"{AT}.kind is not a whole number: 'SPAN_KIND_NONE'"),
        (with_span(kind=2**31), f"{AT}.kind is out of range"),
        (with_span(status="ERROR"), f"{AT}.status is not an object: 'ERROR'"),
        (with_span(name={"a": 1}), f"{AT}.name is not a text"),
        (with_span(name="x" * 5, events="y" * 500), f"{AT}.events is not an array: 'yyy"),
        (with_span(attributes=[{"key": "k", "value": {"intValue": 2**63}}]), "attributes[0].value.intValue is out of"),
        (with_span(attributes=[{"value": {"boolValue": "true"}}]), "value.boolValue is neither true nor false: 'true'"),
        (with_span(attributes=[{"value": {"doubleValue": "much"}}]), "value.doubleValue is not a number: 'much'"),
        (with_span(attributes=[{"value": {"doubleValue": "inf"}}]), "value.doubleValue is not a number: 'inf'"),
        (with_span(attributes=[{"value": {"doubleValue": 10**400}}]), "value.doubleValue is out of range"),
        (with_span(attributes=[{"value": {"doubleValue": "1e400"}}]), "value.doubleValue is out of range: '1e400'"),
        (with_span(attributes=[{"value": {"bytesValue": "%%%%"}}]), "value.bytesValue is not base64: '%%%%'"),
        (with_span(attributes=[{"value": {"bytesValue": "\u00e9"}}]), "value.bytesValue is not base64"),
    ],
)
def test_what_is_no_otlp_json_is_said(text: str | bytes, said: str) -> None:
    """Wrong JSON, wrong ids and wrong types are one short sentence that names the field."""
    with pytest.raises(OtlpJsonError) as caught:
        spans(text)
    assert str(caught.value).startswith("This is not OTLP/JSON: ")
    assert said in str(caught.value)
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 250


def nested(levels: int) -> str:
    """A span with an attribute of arrays in arrays."""
    value: dict[str, Any] = {"stringValue": "deep"}
    for _ in range(levels):
        value = {"arrayValue": {"values": [value]}}
    return with_span(attributes=[{"key": "k", "value": value}])


def test_nesting_is_bounded() -> None:
    """What protobuf's parsers read goes through; what is nested deeper is refused here."""
    assert len(spans(nested(47))) == 1
    with pytest.raises(OtlpJsonError, match="nested deeper than 100 messages"):
        spans(nested(48))
    with pytest.raises(OtlpJsonError, match="… is nested deeper") as caught:
        spans(nested(250))
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("written", "read"),
    [('"\\ud800"', "\ufffd"), ('"a\\udc00b"', "a\ufffdb"), ('"\\ud83d\\ude00"', "\U0001f600"), ('"\\u0000"', "\0")],
)
def test_half_a_surrogate_pair_is_replaced(written: str, read: str) -> None:
    """What JSON can spell and UTF-8 cannot becomes the replacement character; whole pairs are kept."""
    (span,) = spans(with_span(name="NAME").replace('"NAME"', written))
    assert span.name == read


def test_a_byte_order_mark_is_passed_over() -> None:
    """Files that begin with one are read."""
    assert len(spans(b"\xef\xbb\xbf" + with_span().encode())) == 1


def test_null_is_absent_but_has_its_place_among_values() -> None:
    """A null field or element is left out; in an array of values it is the empty value."""
    values = [{"intValue": 1}, None, {"intValue": 3}]
    (span,) = spans(with_span(
        parentSpanId=None, links=None, events=[None],
        attributes=[{"key": "k", "value": {"arrayValue": {"values": values}}}, {"key": "n", "value": None}],
    ))  # fmt: skip
    assert (span.parent_span_id, len(span.links), len(span.events)) == (b"", 0, 0)
    assert [item.WhichOneof("value") for item in span.attributes[0].value.array_value.values] == [
        "int_value", None, "int_value",
    ]  # fmt: skip


@pytest.mark.parametrize("written", ["-_8", "-_8=", "+/8=", "+/8"])
def test_base64_of_either_alphabet(written: str) -> None:
    """Bytes are read from the standard and the URL-safe alphabet, padded or not."""
    (span,) = spans(with_span(attributes=[{"key": "k", "value": {"bytesValue": written}}]))
    assert span.attributes[0].value.bytes_value == b"\xfb\xff"


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
    """Whatever is sent, nothing but OtlpJsonError comes back, and what parses is a message."""
    with contextlib.suppress(OtlpJsonError):
        spans(text)


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), st.booleans())
def test_any_id_survives(trace: bytes, span: bytes, upper: bool) -> None:
    """Every id of the right length arrives byte by byte, in either case."""
    texts = [identifier.hex().upper() if upper else identifier.hex() for identifier in (trace, span)]
    (found,) = spans(with_span(traceId=texts[0], spanId=texts[1]))
    assert (found.trace_id, found.span_id) == (trace, span)


ANY_VALUES = st.recursive(
    st.builds(AnyValue)
    | st.builds(AnyValue, string_value=st.text())
    | st.builds(AnyValue, bool_value=st.booleans())
    | st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1))
    | st.builds(AnyValue, double_value=st.floats(allow_nan=False))
    | st.builds(AnyValue, bytes_value=st.binary()),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: AnyValue(array_value=ArrayValue(values=items)))
        | st.dictionaries(st.text(), inner, max_size=3).map(
            lambda items: AnyValue(
                kvlist_value=KeyValueList(values=[KeyValue(key=key, value=value) for key, value in items.items()])
            )
        )
    ),
    max_leaves=8,
)
ATTRIBUTES = st.lists(st.builds(KeyValue, key=st.text(), value=ANY_VALUES), max_size=3)
NANOS = st.integers(0, 2**64 - 1)
COUNTS = st.integers(0, 2**32 - 1)
SPAN_IDS, TRACE_IDS = (st.binary(min_size=size, max_size=size) for size in (8, 16))
SPANS = st.builds(
    Span, trace_id=TRACE_IDS, span_id=SPAN_IDS, parent_span_id=SPAN_IDS, name=st.text(), kind=st.integers(-5, 9),
    start_time_unix_nano=NANOS, end_time_unix_nano=NANOS, flags=COUNTS, dropped_links_count=COUNTS,
    trace_state=st.text(), attributes=ATTRIBUTES,
    status=st.builds(Status, code=st.integers(0, 2), message=st.text()),
    events=st.lists(st.builds(Span.Event, name=st.text(), time_unix_nano=NANOS, attributes=ATTRIBUTES), max_size=2),
    links=st.lists(st.builds(Span.Link, trace_id=TRACE_IDS, span_id=SPAN_IDS, flags=COUNTS), max_size=2),
)  # fmt: skip
RECORDS = st.builds(
    LogRecord, trace_id=TRACE_IDS, span_id=SPAN_IDS, time_unix_nano=NANOS, observed_time_unix_nano=NANOS,
    severity_number=st.integers(0, 24), body=ANY_VALUES, attributes=ATTRIBUTES, event_name=st.text(),
)  # fmt: skip


def with_hex_ids(value: Any) -> Any:
    """Protobuf's JSON as OTLP's: ids in hex."""
    if isinstance(value, dict):
        ids = {"traceId", "spanId", "parentSpanId"}
        return {k: base64.b64decode(v).hex() if k in ids else with_hex_ids(v) for k, v in value.items()}
    return [with_hex_ids(item) for item in value] if isinstance(value, list) else value


@given(st.lists(SPANS, max_size=3), st.lists(RECORDS, max_size=3), st.booleans())
def test_any_message_survives(found: list[Span], records: list[LogRecord], integers: bool) -> None:
    """A message, written as JSON by protobuf with hex ids and enums by number or by name, is the same when read."""
    traces, others = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    traces.resource_spans.add().scope_spans.add().spans.extend(found)
    others.resource_logs.add().scope_logs.add().log_records.extend(records)
    for request, signal in ((traces, Signal.TRACES), (others, Signal.LOGS)):
        value = with_hex_ids(MessageToDict(request, use_integers_for_enums=integers))
        assert type(request).FromString(to_protobuf(json.dumps(value).encode(), signal)) == request
