"""The schema of a store: which version it has, and how it is brought to a newer one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from sql import statements
from sql.archive_views import make_views
from sql.clock import utc_now
from sql.errors import StoreError


def schema_version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The newest migration that a store has; 0 of an empty file.

    Raises:
        StoreError: the file is not a store.
    """
    tables = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_migrations'"
    ).fetchone()
    if not tables or not tables[0]:
        others = connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone()
        if others and others[0]:
            raise StoreError(f"{path} is a DuckDB file but not a spanverdict store; name another with --db.")
        return 0
    row = connection.execute("SELECT max(version) FROM schema_migrations").fetchone()
    return int(row[0]) if row else 0


def migrate(connection: duckdb.DuckDBPyConnection, path: Path, pending: Sequence[tuple[int, str]]) -> None:
    """Run migrations in one transaction, and make the views anew.

    Args:
        connection: the store, opened for writing.
        path: its file.
        pending: the versions and texts of those that it does not have, the oldest first.

    Raises:
        duckdb.Error: one fails; nothing is changed once the connection is closed.
    """
    if not pending:
        return
    connection.begin()
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL)"
    )
    for version, text in pending:
        connection.execute(text)
        connection.execute("INSERT INTO schema_migrations VALUES (?, ?)", [version, utc_now()])
    make_views(connection, path)
    for name in statements.VIEWS:
        connection.execute(statements.view(name))
    connection.commit()
