"""Queries that reach for more than the store's rows, or for all of the machine: each ends in one clear sentence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from sql.access import RemoteStore
from sql.errors import QueryError
from sql.opened_store import OpenedStore
from tests.stores import lakes, store_at

pytestmark = pytest.mark.any_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedStore]:
    """An open store, which no test changes."""
    with store_at(tmp_path_factory.mktemp("attacks") / "s.duckdb") as opened:
        yield opened


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("COPY (SELECT 1) TO 'stolen.csv'", "Only SELECT is answered; this is COPY"),
        ("ATTACH 'other.duckdb'", "Only SELECT is answered; this is ATTACH"),
        ("INSTALL httpfs", "Only SELECT is answered; this is LOAD"),
        ("LOAD httpfs", "Only SELECT is answered; this is LOAD"),
        ("PRAGMA database_list", "Only SELECT is answered; this is PRAGMA|not answered"),
        ("SET memory_limit = '64GB'", "Only SELECT is answered; this is SET"),
        ("CREATE SECRET s (TYPE s3)", "Only SELECT is answered; this is CREATE"),
        ("SELECT 1; DROP TABLE spans", "one statement at a time"),
        ("SELECT * FROM read_csv('/etc/passwd')", "reads files"),
        ("SELECT * FROM read_text('/etc/passwd')", "reads files"),
        ("SELECT * FROM read_json_auto('/etc/passwd')", "reads files"),
        ("SELECT * FROM glob('/etc/*')", "reads files"),
        ("SELECT * FROM '/etc/passwd.csv'", "disabled by configuration"),
        ("SELECT * FROM 'https://example.com/a.parquet'", "disabled by configuration"),
        ("SELECT * FROM PARQUET_SCAN('s.duckdb.archive/*/*/*.parquet')", "reads files|not read by name"),
        ("FROM parquet_metadata(['x'])", "reads files"),
        ("FROM read_text('s.duckdb')", "reads files"),
        ("FROM main.\"read_blob\"('s.duckdb')", "reads files"),
        ("SELECT count(*) FROM spans, 's.duckdb.archive/spans/day=2026-11-01/a.parquet'", "not read by name"),
        ('SELECT count(*) FROM "s.duckdb.archive/spans/day=2026-11-01/a.parquet"', "not read by name"),
        ("FROM E's.duckdb\\x2earchive/spans/day=2026-11-01/a.parquet'", "not read by name|syntax error"),
        ("DESCRIBE 's.duckdb.archive/../s.duckdb.archive/a.csv'", "not read by name"),
        ("SELECT * FROM read_parquet('https://example.com/a.parquet')", "reads files"),
        ("SELECT * FROM read_parquet('s3://bucket/a.parquet')", "reads files"),
        ("SELECT * FROM duckdb_secrets()", "not answered"),
        ('SELECT * FROM "which_secret"(\'a\', \'s3\')', "not answered"),
        ("SELECT current_setting('temp_directory')", "not answered"),
        ("SELECT * FROM duckdb_settings()", "not answered"),
        ("SELECT * FROM pg_catalog.pg_settings", "not answered"),
        ("SELECT * FROM 'pg_settings' -- x", "not answered"),
        ("SELECT getenv('HOME')", "not answered"),
        ('SELECT * FROM "checkpoint"()', "has effects"),
        ("SELECT * FROM checkpoint /* ( */ ()", "has effects"),
        ("SELECT system.main.write_log('x')", "has effects"),
        ("SELECT sleep_ms(100000)", "has effects"),
        ("FROM query('FROM check' || 'point()')", "takes a text for a query"),
        ("FROM query_table('duckdb_' || 'settings')", "takes a text for a query"),
        ("FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))", "takes a text for a query"),
        ("WITH gone AS (DELETE FROM spans RETURNING *) SELECT * FROM gone", "base table|A CTE needs a SELECT"),
        ("WITH gone AS (DELETE FROM live_spans RETURNING *) SELECT * FROM gone", "read-only|A CTE needs a SELECT"),
        ("INSERT INTO imports SELECT * FROM imports RETURNING *", "Only SELECT is answered; this is INSERT"),
        ("SELECT repeat('x', 4000000000)", "may make texts of 10,000 characters"),
        ("SELECT repeat(repeat('x', 5000), 5000)", "may make texts of 10,000 characters"),
        ("SELECT ('x').repeat(2000000000)", "may make texts of 10,000 characters"),
        ("SELECT lpad('x', 10 ** 9, 'y')", "a plain number"),
        ("WITH RECURSIVE t(s) AS (SELECT 'x' UNION ALL SELECT repeat(s, 1000) FROM t) FROM t", "none in a recursive"),
        ("SELECT format('{:2000000000}', 1)", "without widths"),
        ("SELECT printf('%*d', 2000000000, 1)", "without widths"),
        ("SELECT format(repeat('{:9}', 3), 1)", "without widths"),
    ],
)  # fmt: skip
def test_what_reaches_further_is_refused(store: OpenedStore, query: str, message: str) -> None:
    """Files, the network, extensions, settings, secrets, hidden writes and endless texts: one sentence each."""
    with pytest.raises(QueryError, match=message) as caught:
        store.read(query)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'COPY x TO y; checkpoint()' AS text, repeat('-', 40), lpad('7', 3, '0') -- query(",
        "SELECT format('{:>8.2f} é', 1.5), printf('%5d', 3)",
        "SELECT count(*) AS query FROM spans",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT * FROM t",
        "SHOW TABLES",
    ],
)
def test_what_only_looks_like_an_attack_is_answered(store: OpenedStore, query: str) -> None:
    """Texts, comments, names of columns and small lengths are nobody's harm."""
    assert store.read(query).num_columns > 0


ENDLESS = {
    "a recursion without end": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
    "a cartesian product": "SELECT count(*) FROM range(9000000) a, range(9000000) b WHERE hash(a.range * b.range) = 3",
    "a query for a month": "SELECT sum(sqrt(a.range * b.range)) FROM range(10000000000) a, range(100) b",
    "a sort of everything": "SELECT a.range FROM range(100000000) a, range(100) b ORDER BY hash(a.range * b.range)",
}


def test_what_has_no_end_is_stopped_and_ingest_goes_on(
    start_server: Callable[..., Any], otlp: Any, tmp_path: Path
) -> None:
    """Queries without end, or for too many rows or too much memory, are stopped, and spans are acknowledged."""
    config = tmp_path / "limits.toml"
    config.write_text("server = {query_seconds = 0.6, result_rows = 50000, result_mib = 2, memory_limit = '128MB'}\n")
    server = start_server(None, "--config", str(config))
    attacked = threading.Event()
    waited: list[float] = []

    def send() -> None:
        with grpc.insecure_channel(server.told.grpc) as channel:
            stub = TraceServiceStub(channel)
            while not attacked.is_set():
                number = len(waited) + 1
                began = time.monotonic()
                stub.Export(otlp.request({"trace_id": number.to_bytes(16, "big")}), timeout=10)
                waited.append(time.monotonic() - began)

    sender = threading.Thread(target=send)
    sender.start()
    remote = RemoteStore(server.told.sql, server.told.token)
    try:
        for query in ENDLESS.values():
            with (
                pytest.raises(QueryError, match=r"longer than 0\.6 s|not enough memory"),
                remote.question(query) as rows,
            ):
                list(rows)
        for query, message in {
            "SELECT range FROM range(60000)": "more than 50,000 rows",
            "SELECT repeat('x', 1000) AS x FROM range(40000)": "more than 2 MiB",
            "SELECT list(a.range) FROM range(40000000) a": "not enough memory|longer than",
        }.items():
            with pytest.raises(QueryError, match=message), remote.question(query) as rows:
                list(rows)
        assert remote.read("SELECT range FROM range(60000)").num_rows == 60000, "our own jobs have no such limit"
    finally:
        attacked.set()
        sender.join()
        remote.close()
    assert len(waited) > (2 if lakes() else 20), "spans were acknowledged meanwhile"
    assert max(waited) < 2
    assert server.sql("SELECT count(*) AS n FROM spans") == [{"n": len(waited)}]
