"""What retention may delete: which tables belong together, by which time they are old, and how rows of a time go.

What stands for ever is not among them: promotions, data sets, prices, the ledger of what came in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sql.archived_tables import TABLES as ARCHIVED


@dataclass(frozen=True)
class PrunedTable:
    """A table of which old rows may be deleted.

    Attributes:
        name: the table, or the view over what is live and what is archived.
        time: the column that tells how old a row is; a row without it stays.
        stays: a condition under which an old row stays all the same, for others build on it; the group's write has it
            too.
    """

    name: str
    time: str
    stays: str = "FALSE"

    @property
    def held(self) -> str:
        """The table that holds the rows: of what has an archive the live one, whose files are another matter."""
        return ARCHIVED[self.name].live if self.name in ARCHIVED else self.name


def _newest(table: str, column: str, of: str) -> str:
    return f"{column} = (SELECT max({column}) FROM {table} AS known WHERE known.{of} = {table}.{of})"


SPANS, LOGS, OUTCOMES, DERIVED, REPORTS = "spans", "log_records", "outcomes", "derived", "reports"

GROUPS: Mapping[str, tuple[PrunedTable, ...]] = {
    SPANS: (PrunedTable("spans", "start_time"),),
    LOGS: (PrunedTable("log_records", "event_time"),),
    OUTCOMES: (
        PrunedTable("evaluations", "event_time"),
        PrunedTable("superseded_evaluations", "event_time"),
        PrunedTable("feedback", "event_time"),
        PrunedTable("superseded_feedback", "event_time"),
        PrunedTable("outcome_matches", "event_time"),
        PrunedTable("open_outcomes", "event_time"),
        PrunedTable("new_outcomes", "event_time"),
    ),
    DERIVED: (PrunedTable("calls", "start_time"), PrunedTable("trace_keys", "start_time")),
    REPORTS: (
        PrunedTable("reports", "generated_at", _newest("reports", "generated_at", "promotion")),
        PrunedTable("calibrations", "generated_at", _newest("calibrations", "generated_at", "promotion")),
        PrunedTable("schedule_runs", "finished_at", _newest("schedule_runs", "slot", "schedule")),
        PrunedTable("alert_deliveries", "ended_at"),
        PrunedTable("alert_events", "recorded_at"),
        PrunedTable(
            "alert_announcements",
            "announced_at",
            f"{_newest('alert_announcements', 'number', 'stream')}"
            " OR announcement_id IN (SELECT announcement_id FROM alert_deliveries)",
        ),
    ),
}
"""The tables that go together: the write ``pruned_GROUP`` deletes their rows of a time."""

CONTENT = (GROUPS[SPANS][0], GROUPS[LOGS][0])
"""The tables whose content may go while their rows stay; they have an archive."""

BY_NAME: Mapping[str, PrunedTable] = {table.name: table for tables in GROUPS.values() for table in tables}


CONTENT_COLUMNS = ("attributes", "events", "body")
"""Their columns that hold content."""


def days_query(tables: Sequence[PrunedTable]) -> str:
    """How many rows each table holds of each UTC day before ``$until``, the oldest day first."""
    parts = (
        f"SELECT {number} AS place, '{table.name}' AS table_name, {table.time}::DATE AS day, count(*) AS rows"
        f" FROM {table.held} WHERE {table.time} < $until::TIMESTAMP AND NOT ({table.stays}) GROUP BY ALL"
        for number, table in enumerate(tables)
    )
    return f"SELECT table_name, day, rows FROM ({' UNION ALL '.join(parts)}) ORDER BY day, place"


def hours_query(tables: Sequence[PrunedTable]) -> str:
    """How many rows the tables have together in each hour from ``$since`` and before ``$until``."""
    parts = (
        f"SELECT date_trunc('hour', {table.time})::TIMESTAMP AS hour, count(*) AS rows FROM {table.held}"
        f" WHERE {table.time} >= $since::TIMESTAMP AND {table.time} < $until::TIMESTAMP GROUP BY ALL"
        for table in tables
    )
    return f"SELECT hour, sum(rows)::BIGINT AS rows FROM ({' UNION ALL '.join(parts)}) GROUP BY hour ORDER BY hour"


def size_query(table: PrunedTable) -> str:
    """Blocks of the file that a table has, all of them and those of the columns that hold content; and its rows."""
    return (
        "SELECT count(DISTINCT block_id) AS blocks, count(DISTINCT block_id) FILTER (column_name IN"
        f" {CONTENT_COLUMNS}) AS content_blocks, (SELECT count(*) FROM {table.held}) AS rows"
        f" FROM pragma_storage_info('{table.held}') WHERE persistent AND block_id >= 0"
    )
