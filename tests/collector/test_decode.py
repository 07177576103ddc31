"""Decoding OTLP bytes into columns and rows."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import decode_logs, decode_traces
from collector.rows import log_rows, span_rows
from collector.wire import MalformedRequestError

NOW = datetime(2026, 11, 22)


def dicts(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as dicts (polars reads nanosecond times, pyarrow's own conversion does not)."""
    return pl.DataFrame(pl.from_arrow(table)).to_dicts()


def rows_of(*requests: ExportTraceServiceRequest) -> Any:
    """The rows of some requests."""
    payloads = [request.SerializeToString() for request in requests]
    return span_rows(decode_traces(payloads), [None] * len(payloads), NOW)


def test_span_fields(otlp: Any) -> None:
    """Ids, times, kind, status, parents, scope and service come out as sent."""
    request = otlp.request(
        {"kind": 2, "trace_id": bytes.fromhex("AB" * 16), "trace_state": "a=b", "flags": 0x101},
        {"parent_span_id": b"\x00\x00\x00\x00\x00\x00\x00\x01", "status": {"code": 2, "message": "no"}},
        service="billing",
        scope="lib",
    )
    first, second = dicts(rows_of(request).tables["spans"])
    assert (first["trace_id"], first["span_id"], first["kind"]) == ("ab" * 16, "0" * 15 + "1", "SERVER")
    assert first["parent_span_id"] is None
    assert first["duration_ns"] == 10**9
    assert (first["trace_state"], first["flags"]) == ("a=b", 0x101)
    assert second["parent_span_id"] == "0" * 15 + "1"
    assert (second["status_code"], second["status_message"]) == ("ERROR", "no")
    assert (second["service_name"], second["scope_name"]) == ("billing", "lib")


def test_invalid_spans_are_counted_for_their_request(otlp: Any) -> None:
    """Spans with zero or short ids, or absurd times, are refused; the rest of the batch is kept."""
    good = otlp.request({})
    bad = otlp.request(
        {"trace_id": bytes(16)}, {"span_id": b"\x01"}, {"start_time_unix_nano": 2**64 - 1}, {"name": "kept"}
    )
    rows = rows_of(good, bad)
    assert rows.rejected.tolist() == [0, 3]
    assert rows.tables["spans"]["name"].to_pylist() == ["span", "kept"]


def test_end_before_start_has_no_duration(otlp: Any) -> None:
    """A span that ends before it starts, or has no end, is stored without a duration."""
    table = rows_of(otlp.request({"end_time_unix_nano": 1}, {"end_time_unix_nano": 0})).tables["spans"]
    assert table["duration_ns"].to_pylist() == [None, None]


def test_repeated_span_in_one_batch_is_stored_once(otlp: Any) -> None:
    """The same span twice in a batch is one row."""
    assert rows_of(otlp.request({}), otlp.request({})).tables["spans"].num_rows == 1


def test_resources_are_distinct_by_content(otlp: Any) -> None:
    """Equal resources share an id; others have their own."""
    rows = rows_of(otlp.request({}), otlp.request({}), otlp.request({}, service="other"))
    assert rows.tables["resources"]["service_name"].to_pylist() == ["app", "other"]


def test_empty_requests_and_envelopes(otlp: Any) -> None:
    """An empty request, and a request with empty envelopes, are valid and hold nothing."""
    envelope = ExportTraceServiceRequest()
    envelope.resource_spans.add().scope_spans.add()
    rows = rows_of(ExportTraceServiceRequest(), envelope, otlp.request({}))
    assert rows.tables["spans"].num_rows == 1
    assert rows.rejected.tolist() == [0, 0, 0]


def test_events_and_links(otlp: Any) -> None:
    """Events and links are JSON arrays; a span without any has null."""
    request = otlp.request({"links": [{"trace_id": b"\x02" * 16, "span_id": b"\x03" * 8}]}, {})
    event = request.resource_spans[0].scope_spans[0].spans[0].events.add(name='say "hi"', time_unix_nano=7)
    event.attributes.extend(otlp.key_values({"n": 1}))
    first, second = dicts(rows_of(request).tables["spans"])
    assert json.loads(first["events"]) == [{"time_unix_nano": 7, "name": 'say "hi"', "attributes": {"n": 1}}]
    assert json.loads(first["links"]) == [{"trace_id": "02" * 16, "span_id": "03" * 8, "attributes": {}}]
    assert (second["events"], second["links"]) == (None, None)


def test_evaluation_on_a_span_event(otlp: Any) -> None:
    """A span event gen_ai.evaluation.result becomes an evaluation of its span; one without a name does not."""
    request = otlp.request({})
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for attributes in (
        {
            "gen_ai.evaluation.name": "Groundedness",
            "gen_ai.evaluation.score.value": 1,
            "gen_ai.evaluation.score.label": "pass",
        },
        {"gen_ai.evaluation.score.value": 0.5},
    ):
        span.events.add(name="gen_ai.evaluation.result", time_unix_nano=5).attributes.extend(
            otlp.key_values(attributes)
        )
    (row,) = dicts(rows_of(request).tables["evaluations"])
    assert (row["name"], row["score"], row["label"], row["carrier"]) == (
        "Groundedness",
        1.0,
        "pass",
        "span_event",
    )
    assert (row["trace_id"], row["span_id"]) == ("01" * 16, "0" * 15 + "1")


def test_log_records(otlp: Any) -> None:
    """A record without a time uses its observed time; invalid ids mean 'not associated'; bodies are JSON."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    record = scope.log_records.add(observed_time_unix_nano=9, trace_id=bytes(16), event_name="e", severity_number=9)
    record.body.CopyFrom(otlp.any_value({"text": ["a", 1]}))
    older = scope.log_records.add(time_unix_nano=3, trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    older.attributes.extend(
        otlp.key_values(
            {
                "event.name": "gen_ai.evaluation.result",
                "gen_ai.evaluation.name": "Tone",
                "gen_ai.response.id": "r",
            }
        )
    )
    rows = log_rows(decode_logs([request.SerializeToString()]), [None], NOW)
    first, second = dicts(rows.tables["log_records"])
    assert pc.cast(rows.tables["log_records"]["event_time"], pa.int64()).to_pylist() == [9, 3]
    assert (first["trace_id"], first["event_name"]) == (None, "e")
    assert json.loads(first["body"]) == {"text": ["a", 1]}
    assert second["event_name"] == "gen_ai.evaluation.result"
    (evaluation,) = dicts(rows.tables["evaluations"])
    assert (evaluation["name"], evaluation["response_id"], evaluation["carrier"]) == ("Tone", "r", "log")


def test_malformed_bytes_are_refused() -> None:
    """Bytes that are not protobuf, or hold invalid UTF-8, raise one error."""
    for payload in (b"\x0a\xff", b"not protobuf at all", b"\x0a\x05\x0a\x03\x0a\x01\xff"):
        with pytest.raises(MalformedRequestError):
            decode_traces([payload])


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(payload: bytes) -> None:
    """No bytes crash the decoder or the rows; they are decoded or refused as malformed."""
    with contextlib.suppress(MalformedRequestError):
        span_rows(decode_traces([payload]), [None], NOW)
    with contextlib.suppress(MalformedRequestError):
        log_rows(decode_logs([payload]), [None], NOW)


@given(st.data())
def test_mutated_requests_are_decoded_or_refused(otlp: Any, data: st.DataObject) -> None:
    """A real request with flipped bytes is decoded or refused as malformed, never anything else."""
    payload = bytearray(
        otlp.request({"attributes": {"a": [1, {"b": "c"}], "gen_ai.usage.input_tokens": "12"}}).SerializeToString()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedRequestError):
        span_rows(decode_traces([bytes(payload)]), [None], NOW)
