"""Collects what the SDK exports and writes it as OTLP/JSON lines.

One export request per line, as the OpenTelemetry file exporter writes them: ids in lowercase hex, 64-bit
integers as strings, enums as integers. The same input gives the same bytes.
"""

from __future__ import annotations

import base64
import gzip
import json
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from google.protobuf.message import Message
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

_Item = TypeVar("_Item")

BATCH: Final = 256
_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})

# Stack traces name files; where those lie on the machine that ran the generator is no part of the incident.
_DEPLOYED_AT: Final = (
    (sysconfig.get_path("purelib"), "/app/lib/python/site-packages"),
    (sysconfig.get_path("stdlib"), "/usr/lib/python"),
    (str(Path(__file__).parents[1]), "/app"),
)


class SpanCollector(SpanExporter):
    """Keeps every exported span."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep them."""
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


class LogCollector(LogRecordExporter):
    """Keeps every exported log record."""

    def __init__(self) -> None:
        self.records: list[ReadableLogRecord] = []

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Keep them."""
        self.records.extend(batch)
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is held open."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 (the base class's)
        """Nothing is held back."""
        return True


def write_traces(path: Path, spans: Iterable[ReadableSpan]) -> None:
    """Write spans in the order in which they ended, as concurrent traffic is exported."""
    ordered = sorted(spans, key=lambda span: (span.end_time or 0, span.context.span_id))
    _write_lines(path, (encode_spans(batch) for batch in _batches(ordered)))


def write_logs(path: Path, records: Iterable[ReadableLogRecord]) -> None:
    """Write log records in the order of their time."""
    ordered = sorted(records, key=lambda record: (record.log_record.timestamp or 0, record.log_record.span_id or 0))
    _write_lines(path, (encode_logs(batch) for batch in _batches(ordered)))


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for first in range(0, len(items), BATCH):
        yield items[first : first + BATCH]


def _write_lines(path: Path, requests: Iterable[Message]) -> None:
    # No name and no time in the gzip header: the bytes depend on the content alone.
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as file,
    ):
        for request in requests:
            fields = _to_otlp_json(MessageToDict(request, use_integers_for_enums=True))
            file.write(json.dumps(fields, separators=(",", ":")).encode() + b"\n")


def _to_otlp_json(value: Any, key: str = "") -> Any:  # noqa: ANN401 (any JSON value)
    if isinstance(value, dict):
        return {name: _to_otlp_json(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_to_otlp_json(item, key) for item in value]
    if key in _IDS:
        return base64.b64decode(value).hex()
    if isinstance(value, str) and key == "stringValue":
        for here, there in _DEPLOYED_AT:
            value = value.replace(here, there)
    return value
