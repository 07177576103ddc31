"""Live SQL from other processes over Arrow Flight SQL."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import adbc_driver_flightsql.dbapi
import pyarrow as pa
import pytest
from pyarrow import flight

from sql import flight_messages as messages
from sql.access import RemoteStore, open_store
from sql.errors import QueryError, StoreError, StoreUnavailableError
from sql.flight_server import FlightServer
from sql.server_file import ServerFile, server_file
from tests.stores import store_at

pytestmark = pytest.mark.any_store


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a store served in this process."""
    with store_at(tmp_path / "s.duckdb") as store:
        server = FlightServer(store, "127.0.0.1:0", "secret")
        yield f"127.0.0.1:{server.port}"
        server.shutdown()


@pytest.fixture
def remote(served: str) -> Iterator[RemoteStore]:
    """A client of it."""
    client = RemoteStore(served, "secret")
    yield client
    client.close()


def test_rows_and_parameters(remote: RemoteStore) -> None:
    """Queries answer with their types; times travel as parameters."""
    table = remote.read("SELECT 1 AS a, $at::TIMESTAMP AS at", {"at": datetime(2026, 1, 2)})
    assert table.to_pylist() == [{"a": 1, "at": datetime(2026, 1, 2)}]


def test_many_rows_stream(remote: RemoteStore) -> None:
    """A result of many batches arrives whole."""
    assert remote.read("SELECT sum(range) AS s FROM range(300000)")["s"].to_pylist() == [44999850000]
    assert remote.read("SELECT range AS n FROM range(300000)").num_rows == 300000


@pytest.mark.parametrize(
    ("query", "message"),
    [("SELEKT 1", "Parser Error"), ("DELETE FROM spans", "Only SELECT is answered"), ("SELECT error('boom')", "boom"),
     ("SELECT * FROM nowhere", "nowhere")],
)  # fmt: skip
def test_errors_are_sentences(remote: RemoteStore, query: str, message: str) -> None:
    """A refused or failed query is one sentence without a traceback."""
    with pytest.raises(QueryError, match=message) as caught:
        remote.read(query)
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_token_is_refused(served: str) -> None:
    """Without the token nothing is answered."""
    for token in ("", "wrong"):
        client = RemoteStore(served, token)
        with pytest.raises(QueryError, match="token"):
            client.read("SELECT 1")
        client.close()


def test_writes_are_limited(remote: RemoteStore) -> None:
    """Telemetry tables cannot be written this way, and wrong columns are refused without harm."""
    rows = pa.table({"name": ["x"]})
    for name in ("spans", "log_records", "resources", "evaluations", "nothing"):
        with pytest.raises(StoreError, match="Only the writes of the command line"):
            remote.write({name: rows})
    with pytest.raises(StoreError, match="could not be written"):
        remote.write({"feedback": rows})
    assert remote.read("SELECT count(*) AS n FROM feedback")["n"].to_pylist() == [0]


def test_an_adbc_client_can_ask(served: str) -> None:
    """The Arrow project's own Flight SQL driver works: prepared statements, schema, rows."""
    options = {"adbc.flight.sql.authorization_header": "Bearer secret"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Cannot disable autocommit")
        connection = adbc_driver_flightsql.dbapi.connect(f"grpc://{served}", db_kwargs=options)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT 42 AS answer UNION ALL SELECT 43 ORDER BY answer")
        assert cursor.fetch_arrow_table().to_pylist() == [{"answer": 42}, {"answer": 43}]


def test_unknown_commands_are_refused(served: str) -> None:
    """Commands that are not Flight SQL, or not supported, end in one sentence."""
    client = flight.FlightClient(f"grpc://{served}")
    options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer secret")])
    with pytest.raises(flight.FlightServerError, match=r"not a Flight SQL command|not supported"):
        client.get_flight_info(flight.FlightDescriptor.for_command(b"\xff\xff"), options)
    with pytest.raises(flight.FlightServerError, match="not supported"):
        list(client.do_action(flight.Action("Drop", b""), options))
    client.close()


def test_export_requests_are_handed_on(tmp_path: Path) -> None:
    """The body goes to the collector as it is, its answer comes back; what it cannot store is one sentence."""

    def export(body: pa.Buffer) -> bytes:
        if body.to_pybytes() == b"too much":
            raise StoreUnavailableError("The collector is shutting down.")
        return body.to_pybytes()[::-1]

    with store_at(tmp_path / "e.duckdb") as store:
        server = FlightServer(store, "127.0.0.1:0", "secret", export=export)
        client = RemoteStore(f"127.0.0.1:{server.port}", "secret")
        assert client.export(b"abc") == b"cba"
        with pytest.raises(StoreError, match=r"^The collector is shutting down\.$"):
            client.export(b"too much")
        client.close()
        server.shutdown()


def test_a_server_without_a_collector_takes_no_export(remote: RemoteStore) -> None:
    """Where nothing takes requests the action is not there."""
    with pytest.raises(StoreError, match="Export is not supported"):
        remote.export(b"")


@pytest.mark.parametrize("query", ["EXPLAIN ANALYZE DELETE FROM promotions", "DROP TABLE spans"])
def test_preparing_a_write_changes_nothing(served: str, query: str) -> None:
    """Asking for a statement's columns, or preparing it, runs nothing."""
    client = flight.FlightClient(f"grpc://{served}")
    options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer secret")])
    command = messages.pack("CommandStatementQuery", query=query)
    with pytest.raises(flight.FlightServerError, match="answered"):
        client.get_flight_info(flight.FlightDescriptor.for_command(command), options)
    prepare = flight.Action(
        "CreatePreparedStatement", messages.pack("ActionCreatePreparedStatementRequest", query=query)
    )
    with pytest.raises(flight.FlightServerError, match="answered"):
        list(client.do_action(prepare, options))
    client.close()


@pytest.mark.parametrize("handle", [b"[]", b'{"query": 5}', b"\xff", b'{"query": "SELECT 1", "parameters": [1]}'])
def test_forged_tickets_are_refused_in_one_sentence(served: str, handle: bytes) -> None:
    """A ticket that this server did not make is refused without a traceback."""
    client = flight.FlightClient(f"grpc://{served}")
    options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer secret")])
    ticket = flight.Ticket(messages.pack("TicketStatementQuery", statement_handle=handle))
    with pytest.raises(flight.FlightServerError) as caught:
        client.do_get(ticket, options).read_all()
    assert "Traceback" not in str(caught.value)
    client.close()


def test_no_server_and_no_store(tmp_path: Path) -> None:
    """A store that is not there, and a server that does not answer, are said."""
    with (
        pytest.raises(StoreUnavailableError, match="There is no store"),
        open_store(tmp_path / "none.duckdb"),
    ):
        pass
    gone = RemoteStore("127.0.0.1:1", "t")
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        gone.read("SELECT 1")
    gone.close()


@pytest.mark.file_only("a lake is reached without a server")
def test_a_dead_servers_file_is_passed_over(tmp_path: Path) -> None:
    """A server that was killed leaves its file; the store is then opened directly."""
    path = tmp_path / "s.duckdb"
    store_at(path).close()
    ServerFile(
        pid=2**22 - 1, grpc="127.0.0.1:1", http="127.0.0.1:1", sql="127.0.0.1:1", monitoring="127.0.0.1:1", token="t"
    ).write(path)
    assert server_file(path).stat().st_mode & 0o777 == 0o600
    with open_store(path) as store:
        assert store.read("SELECT 1 AS one")["one"].to_pylist() == [1]
