"""What of a store is copied into another one (`spanverdict migrate`), and how two stores are known to hold the same.

Everything is copied but what describes the place: where its files are, which backups it has, what it is a copy of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sql.archived_tables import TABLES
from sql.opened_store import OpenedStore

_OF_THE_PLACE = frozenset(
    {"schema_migrations", "archived_files", "replaced_files", "backups", "transfers", "transferred_slices"}
)

PREFILLED = ("derivations", "matchings")
"""Tables in which a new store has a row; its number is 0 until something is derived."""

_TIMES = {
    "spans": "start_time",
    "log_records": "event_time",
    "evaluations": "event_time",
    "superseded_evaluations": "event_time",
    "feedback": "event_time",
    "superseded_feedback": "event_time",
    "outcome_matches": "event_time",
    "new_outcomes": "event_time",
    "open_outcomes": "event_time",
    "calls": "start_time",
    "trace_keys": "start_time",
    "mirror_pairs": "created_at",
    "ingest_loads": "loaded_at",
}
"""Tables that grow with the traffic, and the column by which they are copied in slices and compared by UTC day."""

_LIVE = {table.live: table.name for table in TABLES.values()}

_TEXTS = {
    # Of a document its digest: the texts of a whole vector of rows would need the memory of all of them at once.
    "JSON": "md5({}::VARCHAR)",
    "VARCHAR[]": "md5(to_json({})::VARCHAR)",
    # The length before the text tells where it ends.
    "VARCHAR": "strlen({0})::VARCHAR || ':' || {0}",
    # DuckDB's compression takes the two zeros for one.
    "DOUBLE": "CASE WHEN {0} = 0 THEN '0' ELSE {0}::VARCHAR END",
    "TIMESTAMP_NS": "epoch_ns({}::TIMESTAMP_NS)::VARCHAR",
    "TIMESTAMP": "epoch_us({})::VARCHAR",
}


@dataclass(frozen=True)
class CopiedTable:
    """A table that is copied.

    Attributes:
        name: what is read: all its rows, wherever they are.
        stored: the table of the database that holds them.
        time: the column whose UTC day they are compared by; None for tables that are compared as a whole.
        columns: name and type of each column.
    """

    name: str
    stored: str
    time: str | None
    columns: tuple[tuple[str, str], ...]

    def within(self, since: datetime, until: datetime) -> str:
        """The condition, as SQL, of rows from a moment on and before another one (UTC, naive)."""
        return f"{self.time} >= TIMESTAMP '{since}' AND {self.time} < TIMESTAMP '{until}'"

    @property
    def checksum(self) -> str:
        """An aggregate, as SQL: a sum over all rows, in any order, which any value of any column changes.

        Each row is its columns' texts, from which they can be told again, and its number the lower half of their MD5
        (RFC 1321). The texts are those of the values, so that it is the same in every version of the database.
        """
        texts = [
            f"coalesce({_TEXTS.get(kind, '{}::VARCHAR').format(_quoted(name))}, '-')" for name, kind in self.columns
        ]
        return f"coalesce(sum(md5_number_lower(concat_ws(' ', {', '.join(texts)}))), 0)::VARCHAR"


def copied_tables(store: OpenedStore) -> list[CopiedTable]:
    """The tables that are copied, by name."""
    rows = store.read(
        "SELECT table_name, list({'name': column_name, 'kind': data_type} ORDER BY column_index) AS columns"
        " FROM duckdb_columns() JOIN duckdb_tables() USING (database_name, schema_name, table_name)"
        " WHERE database_name = current_database() GROUP BY table_name ORDER BY table_name"
    ).to_pylist()
    found = []
    for row in rows:
        stored = row["table_name"]
        if stored not in _OF_THE_PLACE:
            name = _LIVE.get(stored, stored)
            columns = tuple((column["name"], column["kind"]) for column in row["columns"])
            found.append(CopiedTable(name, stored, _TIMES.get(name), columns))
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
