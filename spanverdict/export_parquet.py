"""Rows as Parquet, in folders that every reader takes for partitions by day."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from spanverdict.export_target import CheckedFile
from sql.exported_tables import ExportedTable


class ParquetForm:
    """Parquet: ``TABLE/date=YYYY-MM-DD/TABLE.parquet``, sorted, compressed by zstd."""

    def file_name(self, table: ExportedTable, date: str | None) -> str:
        """The name of a file below the root, with slashes."""
        folder = f"{table.name}/date={date}" if date else table.name
        return f"{folder}/{table.name}.parquet"

    def write(self, table: ExportedTable, schema: pa.Schema, batches: Iterator[pa.RecordBatch], to: CheckedFile) -> int:
        """Write rows; returns how many there were."""
        order = pq.SortingColumn.from_ordering(schema, [(column, "ascending") for column in table.order])
        rows = 0
        with pq.ParquetWriter(to, schema, compression="zstd", sorting_columns=order) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows
