"""The views over what is live and what is archived.

A view lists its files one by one. They are named relative to the store's folder, which is on the database's search
path, so that a store that is moved together with its archive goes on working, also where it is opened for reading only.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import duckdb

from sql.archived_tables import TABLES, ArchivedTable, archive_directory, unusable_name


def literal(text: str) -> str:
    """A text as it stands in SQL."""
    return "'" + text.replace("'", "''") + "'"


def relative(store: Path, file: str) -> str:
    """The name by which the database knows a file of the archive."""
    return f"{archive_directory(store).name}/{file}"


def let_in(connection: duckdb.DuckDBPyConnection, store: Path) -> None:
    """Let the database read the files of the archive, and no others once external access is switched off.

    Args:
        connection: an open store whose configuration is not locked yet.
        store: its path.
    """
    # The footers of a year's files are read once, not at each query.
    connection.execute("SET GLOBAL parquet_metadata_cache = true")
    if unusable_name(store):
        return
    archive = archive_directory(store.absolute())
    # Where a relative name leads is found by the search path; whether it may be read is asked of the name as it stands.
    connection.execute(f"SET GLOBAL file_search_path = {literal(str(archive.parent))}")
    allowed = f"[{literal(f'{archive}/')}, {literal(f'{archive.name}/')}]"
    connection.execute(f"SET GLOBAL allowed_directories = {allowed}")


def make_views(connection: duckdb.DuckDBPyConnection, store: Path) -> None:
    """Make the views anew over the files that ``archived_files`` lists, within the caller's transaction.

    Raises:
        duckdb.Error: a file is missing or damaged; the message names it.
    """
    for table in TABLES.values():
        connection.execute(f"CREATE OR REPLACE VIEW {table.archived} AS {_archived(connection, store, table)}")
        both = f"FROM {table.live}"
        if _files(connection, table):
            both += f" UNION ALL BY NAME FROM {table.archived}"
        connection.execute(f"CREATE OR REPLACE VIEW {table.name} AS {both}")


def follow_name(connection: duckdb.DuckDBPyConnection, store: Path) -> bool:
    """Make the views anew where they name another folder than the store's: it was renamed, with its archive.

    Args:
        connection: the store, opened for writing.
        store: its path.

    Returns:
        Whether they were made. Where a file is not there they stay, and each query says what is missing.
    """
    here = f"{archive_directory(store).name}/"
    (named,) = connection.execute(
        "SELECT count(*) FROM archived_files, duckdb_views() AS known WHERE known.view_name = 'archived_' || table_name"
        " AND NOT contains(known.sql, ? || file)",
        [here],
    ).fetchall()[0]
    if not named:
        return False
    connection.begin()
    try:
        make_views(connection, store)
    except duckdb.IOException:
        connection.rollback()
        return False
    connection.commit()
    return True


def _archived(connection: duckdb.DuckDBPyConnection, store: Path, table: ArchivedTable) -> str:
    listed = _files(connection, table)
    if not listed:
        return f"FROM {table.live} WHERE false"
    # Files of one schema have the same columns: of a list the first file's are taken, and no other footer is read.
    lists = (
        ", ".join(literal(relative(store, file)) for _, file in same) for _, same in groupby(listed, lambda f: f[0])
    )
    return " UNION ALL BY NAME ".join(f"FROM read_parquet([{files}], hive_partitioning = false)" for files in lists)


def _files(connection: duckdb.DuckDBPyConnection, table: ArchivedTable) -> list[tuple[int, str]]:
    """The schema version and the name of each file, the newest schema first."""
    return connection.execute(
        "SELECT schema_version, file FROM archived_files WHERE table_name = ? ORDER BY schema_version DESC, day, file",
        [table.name],
    ).fetchall()
