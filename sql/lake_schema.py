"""The schema of a lake: the same migrations, views and macros as a file's."""

from __future__ import annotations

import duckdb

from sql import statements
from sql.archived_tables import TABLES
from sql.clock import utc_now
from sql.errors import StoreError
from sql.lake_address import LakeAddress
from sql.lake_connection import CATALOG

BULK_TABLES = (
    "live_spans",
    "live_log_records",
    "evaluations",
    "feedback",
    "calls",
    "trace_keys",
    "outcome_matches",
    "new_outcomes",
)
"""Tables that grow without end, and whose rows may be deleted; each insert is a file, whereas few rows of others go
into the catalog, from which upkeep moves only what is never deleted (sql/lake_upkeep.py)."""

_FILE_ONLY = (" USING COMPRESSION zstd",)
"""What a migration says that concerns the storage of DuckDB's own files; Parquet is compressed as a whole."""

MERGED_BYTES = 256 * 2**20
"""How large a file becomes that upkeep merges of small ones, and so how much one such step reads."""

OPTIONS = {
    "parquet_compression": "zstd",
    "parquet_version": "2",
    # Rows of a group are in memory at once where a file is written, and their texts may be long.
    "parquet_row_group_size": "16384",
    "target_file_size": f"{MERGED_BYTES}B",
}
"""How a lake's files are written."""

NEWEST = statements.migrations()[-1][0]
"""The schema version that this spanverdict knows."""


def lake_version(connection: duckdb.DuckDBPyConnection) -> int:
    """The newest migration that a lake has; 0 of an empty one.

    Args:
        connection: a cursor on the lake.
    """
    try:
        (version,) = connection.execute(f"SELECT max(version) FROM {CATALOG}.schema_migrations").fetchall()[0]
    except duckdb.CatalogException:
        return 0
    return int(version or 0)


def check_version(at: int, address: LakeAddress, *, read_only: bool, make: bool) -> None:
    """Whether this version of spanverdict may work with a lake of a schema version.

    Raises:
        StoreError: it may not.
    """
    if at > NEWEST:
        raise StoreError(
            f"{address} was written by a newer spanverdict (schema {at}; this one knows {NEWEST}): update spanverdict."
        )
    if not make and at == 0:
        raise StoreError(f"There is no store at {address} yet; `spanverdict serve` makes one.")
    if read_only and at < NEWEST:
        raise StoreError(
            f"{address} has the older schema {at}: start `spanverdict serve` once to bring it to {NEWEST}."
        )


def bring_up_to_date(connection: duckdb.DuckDBPyConnection) -> None:
    """Run the migrations that a lake does not have, in one transaction; the caller holds the turn to write.

    Args:
        connection: a cursor on the lake.

    Raises:
        duckdb.Error: one fails; the lake is as it was.
    """
    at = lake_version(connection)
    pending = [(version, text) for version, text in statements.migrations() if version > at]
    if not pending:
        return
    connection.begin()
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL)"
        )
        for version, text in pending:
            connection.execute(_for_lake(text))
            connection.execute("INSERT INTO schema_migrations VALUES (?, ?)", [version, utc_now()])
        for table in TABLES.values():
            # Everything is a file already: nothing is moved aside.
            connection.execute(f"CREATE OR REPLACE VIEW {table.archived} AS FROM {table.live} WHERE false")
            connection.execute(f"CREATE OR REPLACE VIEW {table.name} AS FROM {table.live}")
        for name in statements.VIEWS:
            connection.execute(statements.view(name))
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def unset_options(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The statements that give a lake what it lacks of its options.

    DuckLake sets those of a table only once it is committed: who is killed in between leaves a lake without them.

    Args:
        connection: a cursor on the lake.
    """
    known = set(connection.execute(f"SELECT option_name, scope_entry FROM ducklake_options('{CATALOG}')").fetchall())
    every: dict[tuple[str, str | None], str] = {(name, None): f"'{name}', '{value}'" for name, value in OPTIONS.items()}
    every |= {
        ("data_inlining_row_limit", f"main.{table}"): f"'data_inlining_row_limit', 0, table_name => '{table}'"
        for table in BULK_TABLES
    }
    return [f"CALL {CATALOG}.set_option({given})" for option, given in every.items() if option not in known]


def _for_lake(text: str) -> str:
    for words in _FILE_ONLY:
        text = text.replace(words, "")
    return text
