"""Rows as OTLP JSON Lines, as the OpenTelemetry Collector's file exporter writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from collector.stored_otlp import LINE_RECORDS, log_lines, trace_lines
from spanverdict.export_target import CheckedFile
from sql import statements
from sql.access import Reader
from sql.exported_tables import ExportedTable

_FORMS = {"spans": ("traces", trace_lines), "log_records": ("logs", log_lines)}

_KNOWN_RESOURCES = 10_000
"""Resources that are remembered at once."""


class OtlpForm:
    """OTLP JSON Lines: ``traces/date=YYYY-MM-DD/traces.jsonl`` and ``logs/…/logs.jsonl``, one request a line.

    Args:
        store: where resources are.
    """

    def __init__(self, store: Reader) -> None:
        self._store = store
        self._resources: dict[str, str] = {}

    def file_name(self, table: ExportedTable, date: str | None) -> str:
        """The name of a file below the root, with slashes."""
        name = _FORMS[table.name][0]
        return f"{name}/date={date}/{name}.jsonl"

    def write(
        self, table: ExportedTable, _schema: pa.Schema, batches: Iterator[pa.RecordBatch], to: CheckedFile
    ) -> int:
        """Write rows; returns how many there were."""
        lines = _FORMS[table.name][1]
        rows = 0
        for batch in batches:
            resources = self._resources_of(batch)
            rows += batch.num_rows
            for start in range(0, batch.num_rows, LINE_RECORDS):
                # A line's rows at a time: as Python objects they take many times what they take as columns.
                some = _with_whole_times(batch.slice(start, LINE_RECORDS)).to_pylist()
                for line in lines(some, resources):
                    to.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        return rows

    def _resources_of(self, batch: pa.RecordBatch) -> dict[str, str]:
        wanted = [each for each in pc.unique(batch["resource_id"]).to_pylist() if each not in self._resources]
        if len(self._resources) > _KNOWN_RESOURCES:
            self._resources.clear()
            wanted = pc.unique(batch["resource_id"]).to_pylist()
        if wanted:
            found = self._store.read(statements.read("export_resources"), {"resource_ids": wanted})
            self._resources |= dict(zip(found["resource_id"].to_pylist(), found["attributes"].to_pylist(), strict=True))
        return self._resources


def _with_whole_times(batch: pa.RecordBatch) -> pa.Table:
    """Times as whole nanoseconds: Python's own end at microseconds."""
    table = pa.Table.from_batches([batch])
    for index, field in enumerate(table.schema):
        if field.type == pa.timestamp("ns"):
            table = table.set_column(index, field.name, table[field.name].cast(pa.int64()))
    return table
