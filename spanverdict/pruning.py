"""Deletes what is older than retention allows, or more than fits: content first, whole UTC days, in slices.

Each slice is one short transaction that also notes what it deleted, so whoever is interrupted goes on where it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from collector.stored_content import changed_without_content
from spanverdict.archive_pruning import (
    ListedFile,
    give_up,
    listed_files,
    remove_replaced,
    rewrite_without_content,
)
from spanverdict.retention_config import RetentionConfig, size_in_bytes
from spanverdict.store_sizes import TableSize, sizes_of
from sql import statements
from sql.access import Access
from sql.address import StoreAddress
from sql.pruned_tables import (
    BY_NAME,
    CONTENT,
    DERIVED,
    GROUPS,
    LOGS,
    OUTCOMES,
    REPORTS,
    SPANS,
    PrunedTable,
    days_query,
    hours_query,
)

ROWS_AT_ONCE = 100_000
"""Rows that one statement deletes, or a single hour's: DuckDB has failed on millions (duckdb#21749)."""

CONTENT_ROWS_AT_ONCE = 2_000
"""Rows that are written at once without their content: for some tens of milliseconds nobody else writes."""

YOUNGEST = timedelta(days=2)
"""What is younger is not deleted for its size."""

ROWS, CONTENT_OF_ROWS = "rows", "content"

_MOMENT = pa.timestamp("us")


@dataclass(frozen=True)
class Limits:
    """Before which time what goes; None: it is kept.

    Attributes:
        content: the content of spans and log records.
        groups: the group of tables (sql/pruned_tables.py) → the time.
        max_bytes: what the store may come to.
    """

    content: datetime | None
    groups: dict[str, datetime | None]
    max_bytes: int | None

    @classmethod
    def of(cls, config: RetentionConfig, now: datetime) -> Limits:
        """What the configuration says at a moment (UTC, naive)."""

        def before(days: int | None) -> datetime | None:
            return None if days is None else midnight(now - timedelta(days=days))

        spans = before(config.spans_days)
        return cls(
            before(config.content_days),
            {
                SPANS: spans,
                LOGS: spans,
                OUTCOMES: before(config.outcomes_days),
                DERIVED: before(config.derived_days),
                REPORTS: before(config.reports_days),
            },
            None if config.max_size is None else size_in_bytes(config.max_size),
        )

    @classmethod
    def of_spans(cls, age: timedelta, now: datetime) -> Limits:
        """Spans and log records that are older, and nothing else."""
        before = midnight(now - age)
        return cls(None, {SPANS: before, LOGS: before}, None)


@dataclass(frozen=True)
class Deletion:
    """What goes of a table and a UTC day.

    Attributes:
        what: ROWS, or CONTENT_OF_ROWS.
        table: the table.
        day: the day.
        rows: how many rows it is.
        size_bytes: how much they take of the archive, or about how much of the file.
        archived: the file of the archive that holds them; None where the table does.
    """

    what: str
    table: str
    day: date
    rows: int
    size_bytes: int
    archived: ListedFile | None = None


def midnight(moment: datetime) -> datetime:
    """The beginning of a moment's day."""
    return datetime.combine(moment.date(), time())


class Pruner:
    """Finds what is to go, and lets it go.

    Args:
        store: the store.
        address: where it is; the archive is beside a file, and a lake has none.
        now: the present (UTC, naive).
        extra: attributes that hold content, as the configuration names them.
        tell: is told each deletion that was done.
    """

    def __init__(
        self,
        store: Access,
        address: StoreAddress,
        now: datetime,
        extra: tuple[str, ...] = (),
        tell: Callable[[Deletion], object] = lambda _deletion: None,
    ) -> None:
        self._store = store
        self._address = address
        self._stored = sizes_of(store, address)
        self._now = now
        self._extra = extra
        self._tell = tell
        self._sizes: dict[str, TableSize] = {}

    def planned(self, limits: Limits) -> list[Deletion]:
        """What would go now, by age first, then for the size; nothing is changed."""
        by_age = self._by_age(limits)
        if limits.max_bytes is None:
            return by_age
        left = self._stored.used_bytes() - sum(deletion.size_bytes for deletion in by_age)
        return by_age + self._for_size(left - limits.max_bytes, by_age)

    def prune(self, limits: Limits) -> bool:
        """Let go of it, and of files of the archive that an earlier run let go of.

        Returns:
            Whether the store is then as small as it has to be.

        Raises:
            StoreError: the store cannot be read or written; what went before is gone.
        """
        if isinstance(self._address, Path):
            remove_replaced(self._store, self._address)
        for deletion in self._by_age(limits):
            self._do(deletion)
        self._stored.settle()
        if limits.max_bytes is None:
            return True
        while (used := self._stored.used_bytes()) > limits.max_bytes:
            self._sizes.clear()
            planned = self._for_size(used - limits.max_bytes, [])
            for deletion in planned:
                self._do(deletion)
            self._stored.settle()
            if not planned or self._stored.used_bytes() >= used:
                # Blocks that a query of before still reads are not free yet: to go on would be to delete too much.
                return False
        return True

    def _by_age(self, limits: Limits) -> list[Deletion]:
        rows = list(self._old_rows(limits.groups))
        gone = set(map(_place, rows))
        content = self._old_content(limits.content)
        return [*(each for each in content if _place(each) not in gone), *rows]

    def _old_content(self, before: datetime | None) -> list[Deletion]:
        if before is None:
            return []
        live = [
            Deletion(CONTENT_OF_ROWS, table.name, row["day"], row["rows"], self._size(table, row["rows"], content=True))
            for table in CONTENT
            for row in self._content_days(table.name, before)
        ]
        archived = [
            Deletion(CONTENT_OF_ROWS, file.table, file.day, file.rows, file.size_bytes, file)
            for file in listed_files(self._store)
            if file.has_content and file.day < before.date()
        ]
        return sorted([*live, *archived], key=lambda deletion: deletion.day)

    def _content_days(self, table: str, before: datetime) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._store.read(
            statements.read(f"content_days_{table}"), {"until": before}
        ).to_pylist()
        return rows

    def _old_rows(self, groups: dict[str, datetime | None]) -> Iterator[Deletion]:
        for group, before in groups.items():
            if before is None:
                continue
            for file in listed_files(self._store) if group in (SPANS, LOGS) else ():
                if file.table == group and file.day < before.date():
                    yield Deletion(ROWS, file.table, file.day, file.rows, file.size_bytes, file)
            for row in self._store.read(days_query(GROUPS[group]), {"until": before}).to_pylist():
                size = self._size(BY_NAME[row["table_name"]], row["rows"])
                yield Deletion(ROWS, row["table_name"], row["day"], row["rows"], size)

    def _for_size(self, too_much: int, gone: Sequence[Deletion]) -> list[Deletion]:
        """What goes so that the store takes about so many bytes less: the oldest content, then the oldest rows.

        Args:
            too_much: how many bytes.
            gone: what has gone before.
        """
        before = midnight(self._now - YOUNGEST)
        rows = sorted(self._old_rows({SPANS: before, LOGS: before}), key=lambda deletion: deletion.day)
        planned: list[Deletion] = []
        for deletion in (*self._old_content(before), *rows):
            if too_much <= 0:
                break
            earlier = [each for each in (*gone, *planned) if _place(each) == _place(deletion)]
            if any(each.what in (deletion.what, ROWS) for each in earlier):
                continue
            # Of rows whose content has gone only the rest is left.
            too_much -= deletion.size_bytes - sum(each.size_bytes for each in earlier)
            planned.append(deletion)
        return planned

    def _size(self, table: PrunedTable, rows: int, *, content: bool = False) -> int:
        """About how many bytes some rows of a table take, or their content, by their share of it."""
        if table.name not in self._sizes:
            self._sizes[table.name] = self._stored.table(table)
        size = self._sizes[table.name]
        return (size.content_bytes if content else size.size_bytes) * rows // max(size.rows, 1)

    def _do(self, deletion: Deletion) -> None:
        if deletion.archived and isinstance(self._address, Path):
            self._do_archived(deletion, deletion.archived, self._address)
        elif deletion.what == ROWS:
            self._delete_rows(deletion)
        else:
            self._delete_content(deletion)
        self._tell(deletion)

    def _do_archived(self, deletion: Deletion, file: ListedFile, path: Path) -> None:
        # Noted first: a report must never miss rows without a word.
        self._note(deletion, file.received_through)
        if deletion.what == ROWS:
            give_up(self._store, path, file)
        else:
            rewrite_without_content(self._store, path, file, self._extra)

    def _delete_rows(self, deletion: Deletion) -> None:
        group = next(name for name, tables in GROUPS.items() if deletion.table in {table.name for table in tables})
        for since, until in self._slices(group, deletion.day):
            row = {"since": since, "until": until, "pruned_at": self._now}
            self._store.write({f"pruned_{group}": pa.Table.from_pylist([row], pa.schema(dict.fromkeys(row, _MOMENT)))})

    def _slices(self, group: str, day: date) -> Iterator[tuple[datetime, datetime]]:
        """Spans of time of a day that have rows which are few enough, or an hour's."""
        since = datetime.combine(day, time())
        given = {"since": since, "until": since + timedelta(days=1)}
        hours = self._store.read(hours_query(GROUPS[group]), given).to_pylist()
        rows = 0
        bounds: list[datetime] = []
        for hour in hours:
            if not bounds or rows + hour["rows"] > ROWS_AT_ONCE:
                bounds.append(hour["hour"])
                rows = 0
            rows += hour["rows"]
        if bounds:
            yield from itertools.pairwise([since, *bounds[1:], given["until"]])

    def _delete_content(self, deletion: Deletion) -> None:
        since = datetime.combine(deletion.day, time())
        until = since + timedelta(days=1)
        for row in self._content_days(deletion.table, until):
            if row["day"] != deletion.day:
                continue
            arrived = {"received_after": row["received_after"], "received_through": row["received_through"]}
            for begin, end in self._slices(deletion.table, deletion.day):
                given = {"since": begin, "until": end, **arrived}
                with self._store.reader(statements.read(f"content_{deletion.table}"), given) as reader:
                    for batch in reader:
                        self._rewrite(deletion.table, pa.Table.from_batches([batch]))
            self._note(replace(deletion, rows=row["rows"]), row["received_through"])

    def _note(self, deletion: Deletion, received_through: datetime) -> None:
        note = {"table_name": deletion.table, "day": deletion.day, "what": deletion.what, "rows": deletion.rows,
                "received_through": received_through, "pruned_at": self._now}  # fmt: skip
        self._store.write({"pruned_days": pa.Table.from_pylist([note], _NOTE)})

    def _rewrite(self, table: str, rows: pa.Table) -> None:
        changed = changed_without_content(table, rows, self._extra)
        write = "pruned_span_content" if table == "spans" else "pruned_log_content"
        # In a lake it is the commit that takes its time, whatever is in it.
        most = CONTENT_ROWS_AT_ONCE if isinstance(self._address, Path) else changed.num_rows
        for begin in range(0, changed.num_rows, most):
            self._store.write({write: changed.slice(begin, most)})


def _place(deletion: Deletion) -> tuple[str, date, bool]:
    return deletion.table, deletion.day, deletion.archived is not None


_NOTE = pa.schema(
    {
        "table_name": pa.string(),
        "day": pa.date32(),
        "what": pa.string(),
        "rows": pa.int64(),
        "received_through": _MOMENT,
        "pruned_at": _MOMENT,
    }
)


def totals(deletions: Sequence[Deletion]) -> tuple[int, int]:
    """Rows that went, and rows whose content went."""
    rows = sum(deletion.rows for deletion in deletions if deletion.what == ROWS)
    return rows, sum(deletion.rows for deletion in deletions if deletion.what == CONTENT_OF_ROWS)
