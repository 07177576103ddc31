"""A store's tables as PostgreSQL's catalogs tell of them, for clients that take the server for PostgreSQL.

They lie in a database of their own in memory, which has nothing of the store but the names and types of its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import duckdb
import pyarrow as pa

from sql.errors import QueryError
from sql.postgres_types import TYPES, oid_of_duckdb
from sql.query_watch import QueryWatch
from sql.read_only import check_read_only, first_line

_FIRST_OID = 16_384
"""Where PostgreSQL begins to number what users make."""

_SECONDS = 10.0
"""How long a query on the catalogs may take."""

_FILES = ("tables", "empty_tables", "functions")


class PostgresCatalog:
    """PostgreSQL's catalogs over the tables of a store.

    Args:
        tables: rows of table_name and table_type.
        columns: rows of table_name, column_name and data_type, in the order of the columns.
        views: rows of table_name and definition.
        settings: what SHOW and current_setting tell; ``version`` is what version() tells.
    """

    def __init__(
        self,
        tables: Sequence[Mapping[str, str]],
        columns: Sequence[Mapping[str, str]],
        views: Sequence[Mapping[str, str]],
        settings: Mapping[str, str],
    ) -> None:
        self._connection = duckdb.connect(config={"memory_limit": "256MB", "threads": 1})
        attributes = _attributes(columns)
        definitions = {row["table_name"]: row["definition"] for row in views}
        given = {
            "types": [asdict(one) for one in TYPES.values()],
            "relations": [
                {
                    "oid": _FIRST_OID + number,
                    "table_name": row["table_name"],
                    "kind": "v" if row["table_type"] == "VIEW" else "r",
                    "definition": definitions.get(row["table_name"]),
                    "columns": sum(one["table_name"] == row["table_name"] for one in attributes),
                }
                for number, row in enumerate(sorted(tables, key=lambda row: row["table_name"]))
            ],
            "attributes": attributes,
            "settings": [{"name": name, "setting": value} for name, value in settings.items()],
        }
        for name, rows in given.items():
            self._connection.register("given", pa.Table.from_pylist(rows))
            self._connection.execute(f"CREATE TABLE {name} AS FROM given")
            self._connection.unregister("given")
        for name in _FILES:
            self._connection.execute(files("sql").joinpath("postgres", f"{name}.sql").read_text("utf-8"))
        self._make_settings(settings)
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def read(self, query: str, parameters: Mapping[str, Any]) -> pa.Table:
        """Answer a query on the catalogs.

        Args:
            query: one SELECT, in DuckDB's SQL (sql/postgres_dialect.py).
            parameters: values of its parameters.

        Raises:
            QueryError: it fails, such as for a catalog or a function that is not here.
        """
        with self._connection.cursor() as cursor:
            watch = QueryWatch(cursor, _SECONDS)
            watch.start()
            try:
                check_read_only(cursor, query)
                return cursor.sql(query, params=dict(parameters)).to_arrow_table()
            except duckdb.InterruptException as error:
                raise watch.failure(error) from error
            except duckdb.Error as error:
                raise QueryError(f"PostgreSQL's catalogs are here in part only: {first_line(error)}") from error
            finally:
                watch.end()

    def _make_settings(self, settings: Mapping[str, str]) -> None:
        """Functions of constants: table functions, such as generate_series, take no subqueries."""
        cases = " ".join(f"WHEN {_quoted(name)} THEN {_quoted(value)}" for name, value in settings.items())
        told = f"CASE lower(asked) {cases} END"
        self._connection.execute(f"CREATE MACRO told_setting(asked) AS {told}, (asked, missing) AS {told}")
        self._connection.execute(f"CREATE MACRO version() AS {_quoted(settings['version'])}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _attributes(columns: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    counted: dict[str, int] = {}
    rows = []
    for row in columns:
        table = row["table_name"]
        counted[table] = counted.get(table, 0) + 1
        rows.append(
            {
                "table_name": table,
                "column_name": row["column_name"],
                "type_oid": oid_of_duckdb(row["data_type"]),
                "position": counted[table],
            }
        )
    return rows
