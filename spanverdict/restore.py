"""Takes an export in Parquet back into a store: what is there already is not stored again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from spanverdict.export_manifest import ExportedFile, Manifest
from spanverdict.export_parquet import ParquetForm
from spanverdict.export_target import ExportError, ExportTarget
from sql import statements
from sql.access import Access
from sql.errors import RowsRefusedError
from sql.exported_tables import TABLES, ExportedTable

ROWS_AT_ONCE = 10_000
"""Rows of one transaction."""

_PIECE = 2**20
_TIME = pa.timestamp("us")


@dataclass
class RestoreSummary:
    """What came back.

    Attributes:
        files: files that were read.
        rows: rows in them.
        stored: those of them that the store did not have.
    """

    files: int = 0
    rows: int = 0
    stored: int = 0


def restore(
    store: Access, target: ExportTarget, manifest: Manifest, advance: Callable[[int], object] = lambda _rows: None
) -> RestoreSummary:
    """Take an export back.

    Args:
        store: where to.
        target: where the export lies.
        manifest: what it says of itself.
        advance: is told how many rows were passed since it was called last.

    Raises:
        ExportError: a file is missing, damaged or not one of an export; files before it are in.
        StoreError: the store cannot be written.
    """
    files = _files_by_table(manifest)
    newest = store.read(statements.read("export_progress"))["store_version"][0].as_py()
    if manifest.store_version > newest:
        raise ExportError(
            f"The export is of a store with the schema {manifest.store_version}; this spanverdict knows {newest}:"
            " update it."
        )
    through: datetime | None = None
    into_empty = False
    if manifest.derived:
        through = manifest.derived.spans_through
        progress = pa.Table.from_pylist(
            [manifest.derived.model_dump()], pa.schema([(name, _TIME) for name in manifest.derived.model_dump()])
        )
        into_empty = bool(store.write({"restored_progress": progress})["restored_progress"])
    summary = RestoreSummary()
    for table in TABLES:
        added: Mapping[str, pa.Scalar] = {}
        if table.name == "spans":
            added = {"derived_through": pa.scalar(through, _TIME), "into_empty": pa.scalar(into_empty)}
        elif table.stands is not None:
            added = {"stands": pa.scalar(table.stands)}
        for name, file in files.get(table.name, {}).items():
            for rows in _rows(target, name, file):
                summary.stored += _written(store, name, table, _with(rows, added))
                summary.rows += rows.num_rows
                advance(rows.num_rows)
            summary.files += 1
    return summary


def _files_by_table(manifest: Manifest) -> dict[str, dict[str, ExportedFile]]:
    """The files of each table, oldest first.

    Raises:
        ExportError: the manifest names what an export does not have.
    """
    tables = {table.name: table for table in TABLES}
    found: dict[str, dict[str, ExportedFile]] = {}
    for name, file in sorted(manifest.files.items()):
        table = tables.get(file.table)
        if table is None or name != ParquetForm().file_name(table, file.date):
            raise ExportError(f"The manifest names {name}, which is no file of an export that this spanverdict knows.")
        found.setdefault(file.table, {})[name] = file
    return found


def _rows(target: ExportTarget, name: str, file: ExportedFile) -> Iterator[pa.Table]:
    """The rows of a file, some at a time, once it is known to be what was written."""
    if not target.exists(name):
        raise ExportError(f"{name} is missing: the manifest says it has {file.rows} rows.")
    with target.open(name) as opened:
        identity = hashlib.blake2b(digest_size=16)
        while piece := opened.read(_PIECE):
            identity.update(piece)
        if identity.hexdigest() != file.checksum:
            raise ExportError(f"{name} is not what was exported (its checksum is other): restore it from a copy.")
        opened.seek(0)
        try:
            for batch in pq.ParquetFile(opened).iter_batches(ROWS_AT_ONCE):
                yield pa.Table.from_batches([batch])
        except pa.ArrowException as error:
            raise ExportError(f"{name} cannot be read as Parquet: {error}.") from error


def _with(rows: pa.Table, added: Mapping[str, pa.Scalar]) -> pa.Table:
    for name, value in added.items():
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    # A log record's identity is made of what it says, where it is stored.
    return rows.drop_columns([name for name in rows.column_names if name == "log_id"])


def _written(store: Access, name: str, table: ExportedTable, rows: pa.Table) -> int:
    try:
        return store.write({table.restored_by: rows})[table.restored_by]
    except RowsRefusedError as error:
        raise ExportError(f"{name}: {error}") from error
