"""Writes the files of an export: one for each table and UTC day, each once, going on where it was interrupted."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import pyarrow as pa

from spanverdict.export_manifest import Derived, ExportedFile, Manifest
from spanverdict.export_target import CheckedFile, ExportError, ExportTarget
from sql import statements
from sql.access import Access, Reader
from sql.errors import QueryError
from sql.exported_tables import TABLES, ExportedTable, hours_query, rows_query, whole_query

ROWS_AT_ONCE = 200_000
"""Hours of a day are asked for together up to so many rows: what is sorted at once is small beside the store."""

SAVE_SECONDS = 1.0
"""How often the manifest is written: so much is done again after a kill."""

FIRST, LAST = datetime(1970, 1, 1), datetime(2262, 1, 1)  # noqa: DTZ001 (the store's times are naive UTC)


class Form(Protocol):
    """A form of files that rows are exported to."""

    def file_name(self, table: ExportedTable, date: str | None) -> str:
        """The name of a file below the root, with slashes."""
        ...

    def write(self, table: ExportedTable, schema: pa.Schema, batches: Iterator[pa.RecordBatch], to: CheckedFile) -> int:
        """Write rows; returns how many there were."""
        ...


@dataclass(frozen=True)
class Partition:
    """What goes into one file.

    Attributes:
        table: whose rows.
        date: their UTC day; None for all rows of a small table.
        rows: how many there were when the export began.
        state: what is other when rows come or change.
        slices: moments that bound what is asked for at once, each up to the next.
    """

    table: ExportedTable
    date: str | None
    rows: int
    state: str
    slices: tuple[datetime, ...] = ()


@dataclass
class ExportSummary:
    """What an export came to.

    Attributes:
        files: files that were written.
        rows: rows in them.
        unchanged: files that were there already, as they are.
        kept: files that hold more than the store has now, and stay.
    """

    files: int = 0
    rows: int = 0
    unchanged: int = 0
    kept: int = 0


def partitions(store: Reader, table: ExportedTable, since: datetime, until: datetime) -> list[Partition]:
    """The files that a table goes into, oldest first; none for what has no rows.

    Args:
        store: what is exported.
        table: one of TABLES.
        since: midnight of the first day.
        until: midnight after the last day.
    """
    if table.time is None:
        whole = store.read(whole_query(table)).to_pylist()[0]
        return [Partition(table, None, whole["rows"], whole["changed"])] if whole["rows"] else []
    hours = store.read(hours_query(table), {"since": since, "until": until}).to_pylist()
    found = []
    for day, of_day in itertools.groupby(hours, lambda hour: hour["hour"].date()):
        rows = 0
        bounds: list[datetime] = []
        state = hashlib.blake2b(digest_size=16)
        total = 0
        for hour in of_day:
            if not bounds or rows + hour["rows"] > ROWS_AT_ONCE:
                bounds.append(hour["hour"])
                rows = 0
            rows, total = rows + hour["rows"], total + hour["rows"]
            state.update(f"{hour['hour']} {hour['rows']} {hour['changed']}\n".encode())
        midnight = datetime.combine(day, datetime.min.time())
        # Whole days, whatever comes into an hour that was empty.
        slices = (midnight, *bounds[1:], midnight + timedelta(days=1))
        found.append(Partition(table, day.isoformat(), total, state.hexdigest(), slices))
    return found


class Exporter:
    """Writes an export, or what is missing of it.

    Args:
        store: what is exported.
        target: where to.
        form: how files are written.
        manifest: what is there already.
        tell: says one line to the person.
        advance: is told how many rows were passed since it was called last.
    """

    def __init__(
        self,
        store: Access,
        target: ExportTarget,
        form: Form,
        manifest: Manifest,
        tell: Callable[[str], None],
        advance: Callable[[int], object] = lambda _rows: None,
    ) -> None:
        self._store = store
        self._target = target
        self._form = form
        self._manifest = manifest
        self._tell = tell
        self._advance = advance
        self._saved_at = time.monotonic()
        self.summary = ExportSummary()

    def run(self, planned: Sequence[Partition]) -> None:
        """Write what is not there as it is now; what was written is kept, whatever ends it.

        Raises:
            StoreError: the store cannot be read any more.
            OSError: a file cannot be written.
        """
        try:
            for partition in planned:
                self._take(partition)
        finally:
            self._manifest.save(self._target)

    def _take(self, partition: Partition) -> None:
        name = self._form.file_name(partition.table, partition.date)
        known = self._manifest.files.get(name)
        if known and self._target.exists(name):
            if partition.rows < known.rows:
                self._tell(f"{name} stays as it is: the store has {partition.rows} of its {known.rows} rows left.")
                self.summary.kept += 1
                self._advance(partition.rows)
                return
            if known.state == partition.state:
                self.summary.unchanged += 1
                self._advance(partition.rows)
                return
        with self._target.write(name) as file, self._rows(partition) as (schema, batches):
            rows = self._form.write(partition.table, schema, batches, file)
        self._manifest.files[name] = ExportedFile(
            table=partition.table.name,
            date=partition.date,
            rows=rows,
            size_bytes=file.size,
            checksum=file.checksum,
            state=partition.state,
        )
        self.summary.files += 1
        self.summary.rows += rows
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            self._manifest.save(self._target)
            self._saved_at = time.monotonic()

    @contextmanager
    def _rows(self, partition: Partition) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        """The columns, and the rows in order, a batch at a time."""
        query = rows_query(partition.table)
        slices: list[tuple[datetime, datetime] | None] = [*itertools.pairwise(partition.slices)]
        batches = self._batches(query, slices or [None])
        try:
            first = next(batches)
            if not isinstance(first, pa.Schema):
                raise QueryError("The store answered without columns.")
            yield first, (batch for batch in batches if isinstance(batch, pa.RecordBatch))
        finally:
            batches.close()

    def _batches(
        self, query: str, slices: Sequence[tuple[datetime, datetime] | None]
    ) -> Generator[pa.Schema | pa.RecordBatch]:
        for bounds in slices:
            given = {"since": bounds[0], "until": bounds[1]} if bounds else {}
            with self._store.reader(query, given) as reader:
                yield reader.schema
                for batch in reader:
                    yield batch
                    self._advance(batch.num_rows)


def begin(store: Reader, manifest: Manifest | None, form: str, what: Collection[str]) -> Manifest:
    """The manifest to go on with: a new one, or that of an export which this one continues.

    Raises:
        ExportError: the export that is there has another form, or is of another version of the store.
    """
    at = store.read(statements.read("export_progress")).to_pylist()[0]
    derived = None
    if "traces" in what and at["spans_through"] is not None:
        derived = Derived(
            spans_through=at["spans_through"],
            evaluations_through=at["evaluations_through"],
            derived_at=at["derived_at"],
        )
    if manifest is None:
        return Manifest(format="otlp" if form == "otlp" else "parquet", store_version=at["store_version"],
                        derived=derived)  # fmt: skip
    if manifest.format != form:
        raise ExportError(f"The export that is there has the format {manifest.format}; choose another folder.")
    if manifest.store_version != at["store_version"]:
        raise ExportError(
            f"The export that is there is of a store with the schema {manifest.store_version}, this one has"
            f" {at['store_version']}; choose another folder."
        )
    if "spans" in what or "traces" in what:
        # Spans without their calls are derived where they come back.
        manifest.derived = derived
    return manifest


def tables_of(what: Collection[str]) -> list[ExportedTable]:
    """The tables of what was asked for."""
    return [table for table in TABLES if table.what in what]
