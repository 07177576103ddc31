"""A store with rows in each of its tables, and in each column what is easily changed on its way."""

from __future__ import annotations

from pathlib import Path

import duckdb

from sql.copied_tables import PREFILLED, copied_tables
from sql.store import Store

ROWS = 12

_VALUES = {
    "VARCHAR": "['', 'a, b', 'it''s \"é\" ' || chr(10), 'a' || chr(0), '1:a 2:b', 'NULL', '-']",
    "JSON": """['{"b": 1.50,  "a":[null,"\\u0000"]}', '[]', '"x"', '{"a":1,"a":2}']::JSON[]""",
    "VARCHAR[]": "[[], ['a, b', 'c'], ['a', 'b, c'], [NULL, ''], ['''']]",
    "DOUBLE": "['nan', '-inf', '0.0', '1e-310', '0.30000000000000004', '0.3']::DOUBLE[]",
    "TIMESTAMP_NS": "[('2026-11-0' || (1 + n % 7) || ' 00:00:00.00000000' || n % 10)::TIMESTAMP_NS]",
    "TIMESTAMP": "['2026-11-02 03:04:05.000006', '2026-11-01']::TIMESTAMP[]",
    "DATE": "['2026-11-02', '1999-12-31']::DATE[]",
    "DECIMAL(18,12)": "['0.000000000001', '-123456.123456789012']::DECIMAL(18, 12)[]",
    "BOOLEAN": "[true, false]",
    "UBIGINT": "[18446744073709551615, 0]::UBIGINT[]",
    "BIGINT": "[9223372036854775807, -9223372036854775808, 0]::BIGINT[]",
    "INTEGER": "[2147483647, -1]",
    "UINTEGER": "[4294967295, 0]::UINTEGER[]",
    "USMALLINT": "[65535, 0]::USMALLINT[]",
}


def fill_every_table(path: Path) -> None:
    """Make a store, or add to one."""
    with Store(path) as store:
        tables = copied_tables(store)
    with duckdb.connect(str(path)) as database:
        for table in tables:
            nullable = dict(
                database.execute(
                    "SELECT column_name, is_nullable FROM duckdb_columns() WHERE table_name = ?", [table.stored]
                ).fetchall()
            )
            values = ", ".join(
                f"({_VALUES[kind]})[1 + (n + {place}) % len({_VALUES[kind]})]"
                if not nullable[name]
                else f"CASE WHEN (n + {place}) % 4 > 0 THEN ({_VALUES[kind]})[1 + n % len({_VALUES[kind]})] END"
                for place, (name, kind) in enumerate(table.columns)
            )
            if table.stored in PREFILLED:
                database.execute(f"UPDATE {table.stored} SET number = 7")
            else:
                database.execute(f"INSERT INTO {table.stored} SELECT {values} FROM range({ROWS}) AS rows(n)")


def contents(path: Path) -> dict[str, list[str]]:
    """The rows of each table of a file, as text that tells all values apart."""
    with Store(path, read_only=True) as store:
        tables = copied_tables(store)
    found = {}
    with duckdb.connect(str(path), read_only=True) as database:
        database.execute(f"SET file_search_path = '{path.absolute().parent}'")
        for table in tables:
            columns = ", ".join(f'"{name}"' for name, _ in table.columns)
            rows = database.execute(f"SELECT ({columns}) FROM {table.name}").fetchall()
            found[table.name] = sorted(map(repr, rows))
    return found
