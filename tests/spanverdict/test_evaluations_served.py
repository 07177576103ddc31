"""Evaluations as their senders send them, through a running server into the store."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from collector.decode import decode_logs, decode_traces
from collector.otlp_json import to_protobuf
from collector.rows import log_rows, span_rows
from collector.signals import Signal
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

NOW = datetime(2026, 11, 26)
DAY = 24 * 60 * 60 * 10**9
G = "gen_ai.evaluation."


def post(server: Any, signal: str, body: bytes) -> None:
    """Send OTLP/JSON."""
    url = f"http://{server.told.http}/v1/{signal}"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (it is http)
        assert answer.status == 200


def stored(server: Any, columns: str) -> list[tuple[Any, ...]]:
    """The evaluations that stand."""
    rows = server.sql(f"SELECT {columns} FROM evaluations ORDER BY name, coalesce(identifier, '')")
    return [tuple(row.values()) for row in rows]


def test_openlit_sends_a_score_twice(start_server: Callable[..., Any], shared_fixtures: Path, tmp_path: Path) -> None:
    """The span event and the log record of one score are one row, whichever comes first, also after a restart."""
    files = {signal: shared_fixtures / "generated-matrix" / f"evaluation-feedback.{signal}.json"
             for signal in ("traces", "logs")}  # fmt: skip
    server = start_server()
    post(server, "traces", files["traces"].read_bytes())
    assert server.stop() == 0
    server = start_server(server.db)
    for signal in ("logs", "traces"):
        post(server, signal, files[signal].read_bytes())
    expected = [
        ("factuality", 0.9, None, None),
        ("relevance", 0.8, None, None),
        ("thumbs", 1.0, "true", "fb-1"),
        ("tone", None, "formal", None),
    ]
    assert stored(server, "name, score, label, identifier") == expected
    assert server.sql("SELECT count(*) AS n FROM superseded_evaluations") == [{"n": 0}]
    with store_at(tmp_path / "reversed.duckdb") as store:
        logs = decode_logs([to_protobuf(files["logs"].read_bytes(), Signal.LOGS)])
        spans = decode_traces([to_protobuf(files["traces"].read_bytes(), Signal.TRACES)])
        for rows in (log_rows(logs, [None], NOW), span_rows(spans, [None], NOW)):
            store.write({"evaluations": rows.tables["evaluations"]})
        found = store.read("SELECT name, score, label, identifier FROM evaluations ORDER BY name").to_pylist()
    assert [tuple(row.values()) for row in found] == expected


@pytest.fixture
def exporters(server: Any) -> Any:
    """The SDK's tracer and logger that send to a running server."""
    traces, logs = TracerProvider(), LoggerProvider()
    endpoint = f"http://{server.told.grpc}"
    traces.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True)))
    logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(endpoint=endpoint, insecure=True)))
    yield traces.get_tracer("app"), logs.get_logger("judge")
    traces.shutdown()
    logs.shutdown()


def test_the_sdk_sends_an_evaluation_three_days_later(server: Any, exporters: Any) -> None:
    """Before its trace, twice and corrected: one row with the last word and its own time; the earlier is history."""
    tracer, logger = exporters
    ended = time.time_ns() - 10 * DAY
    span = tracer.start_span("chat", start_time=ended - 10**9, attributes={"gen_ai.request.model": "m"})
    context = set_span_in_context(NonRecordingSpan(SpanContext(*span.get_span_context()[:2], is_remote=True)))
    for days, score, label in ((2, 0.9, "pass"), (2, 0.9, "pass"), (3, 0.2, "fail"), (2, 0.9, "pass")):
        logger.emit(
            LogRecord(
                timestamp=ended + days * DAY,
                context=context,
                event_name="gen_ai.evaluation.result",
                attributes={f"{G}name": "Groundedness", f"{G}score.value": score, f"{G}score.label": label},
            )
        )
    assert stored(server, "score") == [(0.2,)]
    span.end(ended)
    (row,) = server.sql(
        "SELECT epoch_ns(e.event_time) - epoch_ns(s.end_time) AS later, e.label, e.score, e.carrier"
        " FROM evaluations e JOIN spans s USING (trace_id, span_id)"
    )
    assert row == {"later": 3 * DAY, "label": "fail", "score": 0.2, "carrier": "log"}
    assert server.sql("SELECT score, label FROM superseded_evaluations") == [{"score": 0.9, "label": "pass"}]
