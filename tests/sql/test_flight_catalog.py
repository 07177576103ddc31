"""What clients of Flight SQL may ask about the store: ADBC's driver, and messages as JDBC's sends them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import adbc_driver_flightsql.dbapi
import pyarrow as pa
import pytest
from adbc_driver_manager import ProgrammingError
from pyarrow import flight

from sql import flight_messages as messages
from sql import statements
from sql.flight_calls import Statement
from sql.flight_server import FlightServer
from sql.query_limits import QueryLimits
from tests.stores import store_at

pytestmark = pytest.mark.any_store


EAST = timezone(timedelta(hours=2))
OPTIONS = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer secret")])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a served store, which no test changes."""
    with store_at(tmp_path_factory.mktemp("catalog") / "s.duckdb") as store:
        server = FlightServer(store, "127.0.0.1:0", "secret", limits=QueryLimits(rows=1000))
        yield f"127.0.0.1:{server.port}"
        server.shutdown()


@pytest.fixture
def adbc(address: str) -> Iterator[Any]:
    """The Arrow project's own driver, connected."""
    options = {"adbc.flight.sql.authorization_header": "Bearer secret"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Cannot disable autocommit")
        connection = adbc_driver_flightsql.dbapi.connect(f"grpc://{address}", db_kwargs=options)
    with connection:
        yield connection


def command(address: str, name: str, **fields: object) -> list[dict[str, Any]]:
    """The rows of a command about the store; its schema is the one that was told before."""
    client = flight.FlightClient(f"grpc://{address}")
    descriptor = flight.FlightDescriptor.for_command(messages.pack(name, **fields))
    info = client.get_flight_info(descriptor, OPTIONS)
    assert client.get_schema(descriptor, OPTIONS).schema == info.schema
    table = client.do_get(info.endpoints[0].ticket, OPTIONS).read_all()
    client.close()
    assert table.schema == info.schema
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def put(client: flight.FlightClient, descriptor: flight.FlightDescriptor, rows: pa.Table) -> None:
    """Send rows for what a descriptor names."""
    writer, _ = client.do_put(descriptor, rows.schema, OPTIONS)
    with writer:
        writer.write_table(rows)


def test_adbc_lists_the_tables(adbc: Any) -> None:
    """adbc_get_objects gives every table and view, and the columns of those that are asked for."""
    (catalog,) = adbc.adbc_get_objects(depth="tables").read_all().to_pylist()
    (schema,) = catalog["catalog_db_schemas"]
    kinds = {table["table_name"]: table["table_type"] for table in schema["db_schema_tables"]}
    assert (catalog["catalog_name"], schema["db_schema_name"]) == ("spanverdict", "main")
    assert {name for name, kind in kinds.items() if kind == "VIEW"} >= set(statements.VIEWS)
    assert kinds["spans"] == "VIEW"
    assert kinds["live_spans"] == "BASE TABLE"

    (catalog,) = adbc.adbc_get_objects(table_name_filter="span_").read_all().to_pylist()
    (table,) = catalog["catalog_db_schemas"][0]["db_schema_tables"]
    columns = [column["column_name"] for column in table["table_columns"]]
    assert columns[:2] == ["trace_id", "span_id"]


def test_adbc_tells_the_schema_of_a_table(adbc: Any) -> None:
    """adbc_get_table_schema gives the types that a query has; what is not there is said."""
    with adbc.cursor() as cursor:
        cursor.execute("SELECT * FROM llm_calls")
        assert adbc.adbc_get_table_schema("llm_calls") == cursor.fetch_arrow_table().schema
    with pytest.raises(ProgrammingError, match="No table found"):
        adbc.adbc_get_table_schema("nowhere")


def test_adbc_tells_who_answers(adbc: Any) -> None:
    """adbc_get_info and the kinds of tables."""
    info = adbc.adbc_get_info()
    assert (info["vendor_name"], info["vendor_arrow_version"]) == ("spanverdict", pa.__version__)
    assert adbc.adbc_get_table_types() == ["BASE TABLE", "VIEW"]


def test_the_limits_hold_for_adbc(adbc: Any) -> None:
    """A client that says nothing of limits has them."""
    with adbc.cursor() as cursor:
        cursor.execute("SELECT range AS n FROM range(2000)")
        with pytest.raises(Exception, match="more than 1,000 rows"):
            cursor.fetch_arrow_table()


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"table_name_filter_pattern": "llm%"}, ["llm_calls"]),
        ({"table_name_filter_pattern": r"trace\_totals"}, ["trace_totals"]),
        ({"table_name_filter_pattern": r"trace\_total"}, []),
        ({"table_name_filter_pattern": "calls", "table_types": ["TABLE"]}, ["calls"]),
        ({"table_name_filter_pattern": "calls", "table_types": ["VIEW"]}, []),
        ({"table_name_filter_pattern": "spans", "catalog": "spanverdict", "db_schema_filter_pattern": "m%"}, ["spans"]),
        ({"catalog": "other"}, []),
        ({"catalog": ""}, []),
        ({"db_schema_filter_pattern": "other"}, []),
    ],
)
def test_tables_by_pattern(address: str, fields: dict[str, object], found: list[str]) -> None:
    """Patterns, kinds, catalog and schema narrow what is listed; an empty catalog is another than none."""
    assert [row["table_name"] for row in command(address, "CommandGetTables", **fields)] == found


def test_catalogs_schemas_and_keys(address: str) -> None:
    """There is one catalog with one schema, and no key is declared."""
    assert command(address, "CommandGetCatalogs") == [{"catalog_name": "spanverdict"}]
    assert command(address, "CommandGetDbSchemas") == [{"catalog_name": "spanverdict", "db_schema_name": "main"}]
    assert command(address, "CommandGetDbSchemas", catalog="other") == []
    assert command(address, "CommandGetPrimaryKeys", table="spans") == []
    for name in ("CommandGetExportedKeys", "CommandGetImportedKeys"):
        assert command(address, name, table="spans") == []
    assert command(address, "CommandGetCrossReference", pk_table="spans", fk_table="calls") == []


def test_types(address: str) -> None:
    """The types of columns, as JDBC's getTypeInfo has them; one code where one is asked for."""
    told = {row["type_name"]: row for row in command(address, "CommandGetXdbcTypeInfo")}
    assert next(iter(told)) == "BOOLEAN"
    assert told["VARCHAR"]["literal_prefix"] == "'"
    assert (told["TIMESTAMP"]["sql_data_type"], told["TIMESTAMP"]["datetime_subcode"]) == (9, 3)
    assert [row["type_name"] for row in command(address, "CommandGetXdbcTypeInfo", data_type=-5)] == ["BIGINT"]


@pytest.mark.parametrize(
    ("query", "given", "answer"),
    [
        ("SELECT ? + 1, ?", (41, "x"), (42, "x")),
        ("SELECT $2, $1", (True, 0.5), (0.5, True)),
        ("SELECT count(*) FROM spans WHERE start_time >= ?", (datetime(2026, 11, 1, tzinfo=UTC),), (0,)),
        ("SELECT count(*) FROM spans WHERE start_time >= ?", ("2026-11-01",), (0,)),
        ("SELECT ?::TIMESTAMP", (datetime(2026, 11, 1, 2, tzinfo=EAST),), (datetime(2026, 11, 1),)),
        ("SELECT ?::DATE, ?::DECIMAL(4, 2), ?", (date(2026, 11, 1), Decimal("1.5"), None),
         (date(2026, 11, 1), Decimal("1.50"), None)),
    ],
)  # fmt: skip
def test_adbc_binds_parameters(adbc: Any, query: str, given: tuple[Any, ...], answer: tuple[Any, ...]) -> None:
    """Values of ``?`` and ``$1`` reach the query with their types."""
    with adbc.cursor() as cursor:
        cursor.execute(query, given)
        assert cursor.fetchall() == [answer]


def test_adbc_is_told_the_parameters(adbc: Any) -> None:
    """A prepared query tells how many parameters it has; named ones in the order in which they are bound."""
    with adbc.cursor() as cursor:
        assert cursor.adbc_prepare("SELECT $b, $a").names == ["a", "b"]
        cursor.execute("SELECT $b, $a", pa.record_batch({"b": [1], "a": [2]}))
        assert cursor.fetchall() == [(1, 2)]


@pytest.mark.parametrize(
    ("query", "given", "said"),
    [
        ("SELECT ?", (1, 2), "The query has 1 parameters; 2 were sent."),
        ("SELECT ?", ([1],), "The parameter 1 is list"),
        ("SELECT ?", None, "has no value"),
        ("DELETE FROM spans WHERE trace_id = ?", ("x",), "Only SELECT is answered; this is DELETE."),
    ],
)
def test_wrong_parameters_are_one_sentence(adbc: Any, query: str, given: Any, said: str) -> None:
    """Too many values, too few and kinds that no column has are refused; with parameters, too, nothing is written."""
    with adbc.cursor() as cursor, pytest.raises(Exception, match=re.escape(said)):
        cursor.execute(query, given).fetchall()


def test_many_rows_of_parameters_are_refused(address: str) -> None:
    """One query has one row of values; what a client writes so is no query."""
    client = flight.FlightClient(f"grpc://{address}")
    handle = Statement("SELECT ?").handle()
    for name, rows, said in (
        ("CommandPreparedStatementQuery", [1, 2], "one row"),
        ("ActionClosePreparedStatementRequest", [1], "read-only"),
    ):
        descriptor = flight.FlightDescriptor.for_command(messages.pack(name, prepared_statement_handle=handle))
        with pytest.raises(flight.FlightServerError, match=said):
            put(client, descriptor, pa.table({"1": rows}))
    client.close()


def test_sql_info(address: str) -> None:
    """What is asked for is told, in the union's own types; all of it where nothing is named."""
    told = {row["info_name"]: row["value"] for row in command(address, "CommandGetSqlInfo", info=[0, 3, 8, 504, 99999])}
    assert told == {0: "spanverdict", 3: True, 8: 0, 504: '"'}
    assert len(command(address, "CommandGetSqlInfo")) > len(told)
