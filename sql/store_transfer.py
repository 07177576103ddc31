"""Copies all rows of a store into another one, in slices, and compares the two.

A slice and the note that it is there are one transaction of the target, so that a copy that was killed goes on where it
was. What is compared at the end is read back from both stores, each by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from sql import statements
from sql.clock import utc_now
from sql.copied_tables import PREFILLED, CopiedTable, copied_tables
from sql.errors import StoreError
from sql.opened_store import OpenedStore
from sql.transfer_source import Source
from sql.transfer_target import Target
from sql.write_failures import as_store_errors

SLICE_ROWS = 1_000_000
"""Slices of the live rows have about as many: few files of a lake, and not much to do again after a kill."""

PIECE_BYTES = 128 * 2**20
"""Rows of a slice are stored so much at a time, as it is in memory."""

_BEGIN, _END = datetime(1677, 10, 1), datetime(2262, 4, 11)  # noqa: DTZ001 (the store's times are naive UTC)
"""What is before and after all times that the store can hold, but for hours."""


@dataclass(frozen=True)
class Slice:
    """Rows that are copied in one transaction.

    Attributes:
        table: their table.
        relation: what they are read from: the table that holds what is live, or the view of what is archived.
        since: they are from then on (UTC, naive), where the table has a time.
        until: and before then.
        rows: how many there are.
    """

    table: CopiedTable
    relation: str
    since: datetime
    until: datetime
    rows: int

    @property
    def name(self) -> str:
        """Which slice of its table it is."""
        return f"{self.relation} from {self.since} to {self.until}" if self.table.time else self.relation

    @property
    def query(self) -> str:
        """The query of its rows: without parameters, for the answer to a query with them is whole in memory."""
        if self.table.time is None:
            return f"SELECT * FROM {self.relation}"
        return f"SELECT * FROM {self.relation} WHERE {self.table.within(self.since, self.until)}"


def slices_of(store: OpenedStore, tables: Sequence[CopiedTable]) -> list[Slice]:
    """The slices of a store, in the order in which they are copied; none for what is empty."""
    return [part for table in tables for part in (*_archived_slices(store, table), *_live_slices(store, table))]


def _archived_slices(store: OpenedStore, table: CopiedTable) -> Iterator[Slice]:
    """A slice for each archived day: its file is sorted by trace, so that a part of a day would read all of it."""
    days = store.read(
        "SELECT day::TIMESTAMP AS day, sum(rows)::BIGINT AS rows FROM archived_files WHERE table_name = $table"
        " GROUP BY ALL ORDER BY ALL",
        {"table": table.name},
    ).to_pylist()
    for row in days:
        yield Slice(table, f"archived_{table.name}", row["day"], row["day"] + timedelta(days=1), row["rows"])


def _live_slices(store: OpenedStore, table: CopiedTable) -> Iterator[Slice]:
    if table.time is None:
        (whole,) = store.read(f"SELECT count(*) AS rows FROM {table.stored}").to_pylist()
        if whole["rows"]:
            yield Slice(table, table.stored, _BEGIN, _END, whole["rows"])
        return
    minutes = store.read(
        f"SELECT date_trunc('minute', {table.time})::TIMESTAMP AS minute, count(*) AS rows FROM {table.stored}"
        " GROUP BY ALL ORDER BY ALL"
    )
    starts, counts = _packed(minutes["minute"].to_pylist(), minutes["rows"].to_pylist())
    # The first and the last are open, so that every row is in one.
    bounds = [_BEGIN, *starts[1:], _END]
    for (since, until), rows in zip(itertools.pairwise(bounds), counts, strict=bool(counts)):
        yield Slice(table, table.stored, since, until, rows)


def state_of_copy(target: OpenedStore, source: str) -> str | None:
    """The state of a source that a store is a copy of, whole or not; None if it is none of it.

    Args:
        target: the copy.
        source: the name of the source.
    """
    rows = target.read(
        "SELECT source_state FROM transfers WHERE source = $source ORDER BY begun_at DESC LIMIT 1", {"source": source}
    ).to_pylist()
    return rows[0]["source_state"] if rows else None


def begin(source: Source, target: Target, tables: Sequence[CopiedTable]) -> None:
    """Note in an empty store that it becomes a copy, or make sure that it is an unfinished one of this very source.

    Raises:
        StoreError: it is neither.
    """
    known = target.read("FROM transfers").to_pylist()
    if open_ones := [row for row in known if row["finished_at"] is None]:
        (row,) = open_ones
        if row["source"] != source.name:
            raise StoreError(f"{target.address} is an unfinished copy of {row['source']}, not of {source.name}.")
        if row["source_state"] != source.state:
            raise StoreError(
                f"{source.name} was written since its copy in {target.address} began: begin anew in an empty store."
            )
        return
    for table in tables:
        empty = "number = 0" if table.name in PREFILLED else "false"
        (found,) = target.read(f"SELECT count(*) AS rows FROM {table.name} WHERE NOT ({empty})").to_pylist()
        if found["rows"]:
            whole = f" It is a whole copy of {known[-1]['source']}; --verify compares them." if known else ""
            raise StoreError(
                f"{target.address} is not empty ({table.name} has {found['rows']} rows): name an empty store.{whole}"
            )
    with as_store_errors(target.address), target.transaction() as cursor:
        cursor.execute("INSERT INTO transfers VALUES (?, ?, ?, NULL)", [source.name, source.state, utc_now()])


def copy(
    source: OpenedStore, target: Target, slices: Sequence[Slice], advance: Callable[[int], object] = lambda _rows: None
) -> int:
    """Copy the slices that are not there yet.

    Args:
        source: what is copied.
        target: where to; ``begin`` has passed it.
        slices: all slices of the source.
        advance: is told how many rows were passed since it was called last.

    Returns:
        How many rows were copied now.

    Raises:
        StoreError: the source cannot be read, or the target not written; what was copied before stays.
    """
    noted = {
        (row["table_name"], row["slice"]): row["rows"] for row in target.read("FROM transferred_slices").to_pylist()
    }
    if set(noted.items()) - {((part.table.name, part.name), part.rows) for part in slices}:
        raise StoreError(f"The copy in {target.address} was begun in other slices: begin anew in an empty store.")
    copied = 0
    for part in slices:
        if (part.table.name, part.name) in noted:
            advance(part.rows)
        else:
            _copy_slice(source, target, part, advance)
            copied += part.rows
    return copied


class _Pieces:
    """The rows of a slice, cut into pieces of some MiB: the database's memory limit holds for what it keeps of one.

    Args:
        batches: the rows.
        advance: is told how many rows were passed since it was called last.

    Attributes:
        failure: why the rows ended before their end.
    """

    def __init__(self, batches: pa.RecordBatchReader, advance: Callable[[int], object]) -> None:
        self._batches = batches
        self._advance = advance
        self._next: pa.RecordBatch | None = None
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[pa.RecordBatchReader]:
        while self._read():
            yield pa.RecordBatchReader.from_batches(self._batches.schema, self._piece())

    def _piece(self) -> Iterator[pa.RecordBatch]:
        size = 0
        while self._next is not None and size < PIECE_BYTES:
            batch, self._next = self._next, None
            size += batch.nbytes
            yield batch
            self._advance(batch.num_rows)
            self._read()

    def _read(self) -> bool:
        if self._next is None:
            try:
                self._next = next(self._batches, None)
            except Exception as error:
                # The target would tell it as its own.
                self.failure = error
                raise
        return self._next is not None


def _copy_slice(source: OpenedStore, target: Target, part: Slice, advance: Callable[[int], object]) -> None:
    with source.reader(part.query) as batches, batches:
        pieces = _Pieces(batches, advance)
        try:
            with as_store_errors(target.address), target.transaction() as cursor:
                _store_slice(cursor, part, pieces)
        except StoreError as error:
            if pieces.failure is not None:
                raise pieces.failure from error
            raise


def _store_slice(cursor: duckdb.DuckDBPyConnection, part: Slice, pieces: _Pieces) -> None:
    """Store the rows of a slice and note it, within the caller's transaction."""
    table = part.table.stored
    if table in PREFILLED:
        cursor.execute(f"DELETE FROM {table}").fetchall()
    stored = 0
    for piece in pieces:
        cursor.register("incoming", piece)
        ((rows,),) = cursor.execute(f"INSERT INTO {table} BY NAME FROM incoming").fetchall()
        cursor.unregister("incoming")
        stored += rows
    if stored != part.rows:
        raise StoreError(f"{part.name} has {stored} rows, and {part.rows} were counted: the source changed meanwhile.")
    cursor.execute(
        "INSERT INTO transferred_slices VALUES (?, ?, ?, ?)", [part.table.name, part.name, stored, utc_now()]
    )


def finish(source: OpenedStore, target: Target) -> None:
    """Declare a copy whole that was compared with its source.

    Raises:
        StoreError: the target cannot be written.
    """
    (latest,) = source.read(statements.read("last_received_at")).to_pylist()
    if latest["received_at"] is not None:
        target.follow(latest["received_at"])
    with as_store_errors(target.address), target.transaction() as cursor:
        cursor.execute("DELETE FROM transferred_slices").fetchall()
        cursor.execute("UPDATE transfers SET finished_at = ? WHERE finished_at IS NULL", [utc_now()]).fetchall()


def differences(
    source: OpenedStore, target: OpenedStore, advance: Callable[[int], object] = lambda _rows: None
) -> list[str]:
    """Compare two stores: each table, by UTC day where it has a time, by its number of rows and their checksum.

    Args:
        source: what was copied.
        target: the copy.
        advance: is told how many rows of the source were compared since it was called last.

    Returns:
        A sentence for each table or day that is not the same; none if all are.

    Raises:
        StoreError: one of them cannot be read.
    """
    found = []
    for table in copied_tables(source):
        for since, until in _ranges(source, table):
            ours, theirs = (_facts(store, table, since, until) for store in (source, target))
            for day in sorted(ours.keys() | theirs.keys()):
                rows, checksum = ours.get(day, (0, ""))
                rows_there, checksum_there = theirs.get(day, (0, ""))
                where = f"{table.name} of {day}" if table.time else table.name
                if rows != rows_there:
                    found.append(f"{where}: {rows} rows in {source.address}, {rows_there} in {target.address}.")
                elif checksum != checksum_there:
                    found.append(f"{where}: {rows} rows in both, and not the same values.")
            advance(sum(rows for rows, _ in ours.values()))
    return found


def _ranges(store: OpenedStore, table: CopiedTable) -> list[tuple[datetime, datetime]]:
    """Times that days of a table lie between, with so many rows as are compared at once."""
    if table.time is None:
        return [(_BEGIN, _END)]
    days = store.read(
        f"SELECT date_trunc('day', {table.time})::TIMESTAMP AS day, count(*) AS rows FROM {table.name}"
        " GROUP BY ALL ORDER BY ALL"
    )
    starts, _ = _packed(days["day"].to_pylist(), days["rows"].to_pylist())
    return list(itertools.pairwise([_BEGIN, *starts[1:], _END]))


def _packed(moments: Sequence[datetime], rows: Sequence[int]) -> tuple[list[datetime], list[int]]:
    """Take moments together that have few rows: where each group begins, and how many rows it has."""
    starts: list[datetime] = []
    counts: list[int] = []
    for moment, number in zip(moments, rows, strict=True):
        if not counts or counts[-1] + number > SLICE_ROWS:
            starts.append(moment)
            counts.append(0)
        counts[-1] += number
    return starts, counts


def _facts(store: OpenedStore, table: CopiedTable, since: datetime, until: datetime) -> dict[str, tuple[int, str]]:
    """The number of rows and the checksum of each UTC day; of a table without a time, under the name ""."""
    day = f"date_trunc('day', {table.time})::DATE::VARCHAR" if table.time else "''"
    within = f" WHERE {table.within(since, until)}" if table.time else ""
    rows = store.read(
        f"SELECT {day} AS day, count(*) AS rows, {table.checksum} AS checksum FROM {table.name}{within} GROUP BY ALL"
    ).to_pylist()
    return {row["day"]: (row["rows"], row["checksum"]) for row in rows}
