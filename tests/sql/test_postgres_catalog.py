"""PostgreSQL's catalogs over a store's tables, and what is made of queries on them."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sql.errors import QueryError
from sql.postgres_catalog import PostgresCatalog
from sql.postgres_dialect import from_postgres, in_duckdb, read_catalog_query
from sql.postgres_text import numbered_parameters, split_statements
from sql.postgres_types import OIDS, TYPES, oid_named, oid_of_duckdb

CATALOG = PostgresCatalog(
    [{"table_name": "spans", "table_type": "BASE TABLE"}, {"table_name": "llm_calls", "table_type": "VIEW"}],
    [
        {"table_name": "spans", "column_name": "trace_id", "data_type": "VARCHAR"},
        {"table_name": "spans", "column_name": "start_time", "data_type": "TIMESTAMP_NS"},
        {"table_name": "llm_calls", "column_name": "finish_reasons", "data_type": "VARCHAR[]"},
    ],
    [{"table_name": "llm_calls", "definition": "SELECT 1"}],
    {"version": "PostgreSQL 15.0 (here)", "server_version_num": "150000", "search_path": "main"},
)


SEARCH_PATH = """
SELECT trim(s[i]) AS s
FROM
    generate_series(1, array_upper(string_to_array(current_setting('search_path'), ','), 1)) AS i,
    string_to_array(current_setting('search_path'), ',') s
"""
"""As Grafana finds the schemas that need not be named."""


def ask(query: str, **parameters: object) -> list[dict[str, Any]]:
    """The rows of a query in PostgreSQL's SQL on its catalogs."""
    parsed = read_catalog_query(query)
    assert parsed is not None
    rows: list[dict[str, Any]] = CATALOG.read(in_duckdb(parsed), parameters).to_pylist()
    return rows


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT version()", {"version": "PostgreSQL 15.0 (here)"}),
        ("SELECT current_setting('server_version_num')::int/100 AS version", {"version": 1500}),
        ("SELECT setting FROM pg_settings WHERE name = 'search_path'", {"setting": "main"}),
        ("SELECT current_schema(), current_user, user",
         {"current_schema": "main", "current_user": "spanverdict", "user": "spanverdict"}),
        ("SELECT 'spans'::regclass::oid AS o", {"o": 16385}),
        ("SELECT 16385::regclass::text AS t", {"t": "spans"}),
        ("SELECT relkind FROM pg_class WHERE relname OPERATOR(pg_catalog.~) '^(spans)$' COLLATE pg_catalog.default",
         {"relkind": "r"}),
        ("SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class WHERE relkind = ANY('{v,m}')",
         {"relname": "llm_calls"}),
        ("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'llm_calls'::regclass",
         {"attname": "finish_reasons", "format_type": "text[]"}),
        ("SELECT data_type, udt_name FROM information_schema.columns WHERE column_name = 'start_time'",
         {"data_type": "timestamp without time zone", "udt_name": "timestamp"}),
        ("SELECT pg_get_viewdef(oid) FROM pg_class WHERE relkind = 'v'", {"pg_get_viewdef": "SELECT 1"}),
        ("SELECT format('%I.%s', 'Odd name', 'x')::text AS f FROM pg_namespace LIMIT 1", {"f": '"Odd name".x'}),
        (SEARCH_PATH, {"s": "main"}),
        ("SELECT has_table_privilege('spans', 'SELECT') AS r, has_table_privilege('spans', 'INSERT') AS w",
         {"r": True, "w": False}),
        ("WITH t AS (SELECT oid FROM pg_type WHERE oid = any($1::oid[])) SELECT count(*) AS n FROM t", {"n": 2}),
    ],
)  # fmt: skip
def test_what_clients_ask(query: str, answer: dict[str, Any]) -> None:
    """Constructs of psql, drivers and BI tools are answered as PostgreSQL answers them."""
    parameters = {"1": [25, 1009]} if "$1" in query else {}
    assert ask(query, **parameters) == [answer]


@pytest.mark.parametrize("query", ["SELECT 1", "SELECT * FROM spans", "SELECT version() FROM spans", "SELECT pg_", ""])
def test_other_queries_are_the_servers(query: str) -> None:
    """What reads a table of the store, or nothing, is not for the catalogs."""
    assert read_catalog_query(query) is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT * FROM pg_catalog.pg_nothing", "in part only"),
        ("SELECT * FROM pg_class, read_csv('/etc/passwd')", "reads files"),
        ("SELECT pg_sleep(10)", "pg_sleep has effects"),
        ("SELECT getenv('HOME'), version()", "getenv"),
        ("SELECT relname OPERATOR(pg_catalog.@@) 'x' FROM pg_class", "operator @@ is not known"),
    ],
)
def test_what_is_not_there_is_said(query: str, said: str) -> None:
    """Catalogs that are not here and functions with effects end in a sentence."""
    with pytest.raises(QueryError, match=said):
        ask(query)


def test_a_query_on_the_catalogs_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of all with all is stopped."""
    monkeypatch.setattr("sql.postgres_catalog._SECONDS", 0.3)
    with pytest.raises(QueryError, match="took longer"):
        ask("SELECT count(*) FROM " + ", ".join(f"pg_type t{number}" for number in range(8)) + " WHERE " + " AND ".join(
            f"t{number}.typname > 'a'" for number in range(8)))  # fmt: skip


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("SELECT to_timestamp('2026', 'YYYY')", "SELECT STRPTIME('2026', '%Y')"),
        ("SELECT * FROM spans WHERE t > now() - interval '1 day'",
         "SELECT * FROM spans WHERE t > CAST(CURRENT_TIMESTAMP AS TIMESTAMP) - INTERVAL '1' DAY"),
        ("SELECT timestamptz '2026-01-01Z'", "SELECT CAST(CAST('2026-01-01Z' AS TIMESTAMPTZ) AS TIMESTAMP)"),
        ("SELECT 1", None),
        ("SELECT FROM WHERE", None),
    ],
)  # fmt: skip
def test_postgres_means(query: str, meant: str | None) -> None:
    """What DuckDB calls otherwise, or compares with nothing of the store, is put in its words."""
    assert from_postgres(query) == meant


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("SELECT ';' AS a; SELECT 2 -- ; no\n;;", ["SELECT ';' AS a", " SELECT 2 -- ; no\n"]),
        ("SELECT $$;$$", ["SELECT $$;$$"]),
        (" ; -- nothing", []),
        ("", []),
        ("SELECT 'open; ", ["SELECT 'open; "]),
    ],
)
def test_statements_are_parted(text: str, statements: list[str]) -> None:
    """At semicolons that are neither in texts nor in comments."""
    assert split_statements(text) == statements


def test_parameters_are_found() -> None:
    """By their signs outside of texts, with the type of a cast."""
    found = numbered_parameters("SELECT $2::int[], '$9', $1 + $10::\"text\", $1::float8 -- $4")
    assert found == {1: "float8", 2: "int[]", 10: "text"}


def test_types_have_their_numbers() -> None:
    """Names of casts and of DuckDB's types; arrays too."""
    named = {
        name: oid_named(name) for name in ("int", "integer", "bigint", "float8", "text[]", "int[]", "odd", "odd[]")
    }
    assert list(named.values()) == [23, 23, 20, 701, 1009, 1007, 0, 0]
    duckdb = ("DECIMAL(18,3)", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "STRUCT(a INTEGER)", "JSON", "INTEGER[][]")
    assert [TYPES[oid_of_duckdb(name)].name for name in duckdb] == [
        "numeric", "timestamp", "timestamptz", "json", "json", "json",
    ]  # fmt: skip
    assert OIDS["_text"] == 1009


WORDS = st.sampled_from(
    ["SELECT", "pg_class", "FROM", "pg_catalog.", "version()", "(", ")", "'", '"', "::regclass", "[]", ";", "$1", "--",
     "/*", "$$", "{", "OPERATOR(", "ANY", "WITH", "a", ",", "*", "\x00", "é"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=60))
@example("(" * 900 + "pg_x")
@settings(max_examples=40, deadline=None)
def test_any_text_is_read_or_not(text: str) -> None:
    """Whatever a client sends is a query on the catalogs, or none, or is refused by a sentence."""
    split_statements(text)
    numbered_parameters(text)
    from_postgres(text)
    parsed = read_catalog_query(text)
    if parsed is not None:
        with contextlib.suppress(QueryError):
            CATALOG.read(in_duckdb(parsed), {})
