"""`spanverdict pg`: PostgreSQL's clients, the real ones, ask a store through its server."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.credentials import Credential, Credentials, token_hash
from spanverdict.pg_server import PgServer
from spanverdict.pg_session import parameter_oids
from spanverdict.pg_values import encoder, parameter
from sql.address import StoreAddress
from sql.errors import QueryError
from sql.flight_server import FlightServer
from sql.postgres_types import OIDS, TYPES
from sql.query_limits import QueryLimits
from sql.server_file import ServerFile
from tests.processes import PRODUCT_PATH
from tests.stores import address_of, store_at

pytestmark = pytest.mark.any_store(slow=True)

SECRET, PASSWORD = "server-token", "own-password"
ROOT = Path(__file__).parents[2]
APPS = Path(__file__).parent / "apps"

LIMITS = QueryLimits(rows=65_000, at_once=4)

EVERY_TYPE = r"""
SELECT
    1::SMALLINT AS a, -2 AS b, 3::BIGINT AS c, 4::UTINYINT AS d, 5::UINTEGER AS e, 6::UBIGINT AS f, 7::HUGEINT AS g,
    1.5::FLOAT AS h, -2.5::DOUBLE AS i, true AS j, 'é' AS k, '\x01ab'::BLOB AS l, DATE '2026-01-02' AS m,
    TIME '10:11:12.5' AS n, TIMESTAMP '2026-01-02 03:04:05.000001' AS o, TIMESTAMPTZ '2026-01-02 03:04:05+02' AS p,
    INTERVAL '2 days -03:04:05.5' AS q, -12345.6700::DECIMAL(12, 4) AS r, 0.00012::DECIMAL(8, 5) AS s,
    [1, NULL, 2] AS t, ['a,b', 'c"d\', NULL] AS u, NULL AS v, '{"a":1}'::JSON AS w, {'x': 1} AS x,
    'infinity'::DOUBLE AS y, [TIMESTAMP '2026-01-02'] AS z
"""
SENT = (
    1, -2, 3, 4, 5, Decimal(6), Decimal(7), 1.5, -2.5, True, "é", b"\x01ab", date(2026, 1, 2),
    datetime(2026, 1, 2, 10, 11, 12, 500000).time(), datetime(2026, 1, 2, 3, 4, 5, 1),
    datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC), Decimal("-12345.6700"), Decimal("0.00012"),
    [1, None, 2], ["a,b", 'c"d\\', None], None, float("inf"), [datetime(2026, 1, 2)],
)  # fmt: skip
"""Its values, but for q, w and x, for which clients have types of their own."""


def told(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row without q, w and x."""
    return tuple(value for place, value in enumerate(row) if place not in {16, 22, 23})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreAddress]:
    """A store with a promotion, served; no test changes it. A lake is asked without the server."""
    path = tmp_path_factory.mktemp("pg") / "s.duckdb"
    with store_at(path) as opened:
        now = datetime(2026, 11, 2)
        opened.write(
            {
                "promotions": pa.Table.from_pylist(
                    [
                        {"name": "p", "base": "m0", "candidate": "m1", "design": "parallel", "started_at": now,
                         "ended_at": None, "cohort_by": "plan", "candidate_share": 0.5, "created_at": now,
                         "dataset": None, "planned_end": None, "stratify_by": ["plan"]}
                    ]
                )
            }
        )  # fmt: skip
        flight = FlightServer(opened, "127.0.0.1:0", SECRET, limits=LIMITS)
        ServerFile(os.getpid(), "", "", "", f"127.0.0.1:{flight.port}", SECRET).write(path)
        yield address_of(path)
        flight.shutdown()


@pytest.fixture(scope="module")
def address(store: StoreAddress) -> Iterator[int]:
    """The port of a server for PostgreSQL's clients, in this process."""
    known = Credentials(
        {
            token_hash("reader"): Credential("reader", {}, feedback_only=False, pages=True),
            token_hash("sender"): Credential("sender", {}, feedback_only=False, pages=False),
        }
    )
    server = PgServer(("127.0.0.1", 0), store, known, 60, PASSWORD, LIMITS)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def url(address: int) -> str:
    """How clients name the server."""
    return f"postgresql://anyone:{PASSWORD}@127.0.0.1:{address}/spanverdict"


@pytest.fixture
def client(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A client, connected."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def test_values_of_every_type(client: psycopg.Connection[Any]) -> None:
    """The client reads the same values from text and from binary."""
    by_text = client.execute(EVERY_TYPE).fetchone()
    by_bytes = client.cursor(binary=True).execute(EVERY_TYPE).fetchone()
    assert by_text is not None
    assert told(by_text) == SENT
    assert by_bytes == by_text
    assert (by_text[16].total_seconds(), by_text[22], by_text[23]) == (2 * 86400 - 11045.5, '{"a":1}', {"x": 1})


def test_parameters_have_their_types(client: psycopg.Connection[Any]) -> None:
    """Numbers, times, lists and texts that a client binds, in text and in binary; times with a zone are in UTC."""
    noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    for placeholder in ("%t", "%b"):
        query = "SELECT {0} + 1, {0}::DOUBLE, {0}::BOOLEAN, {0}::DECIMAL(4, 2), {0}::TIMESTAMP, {0}::DATE, {0}, {0}"
        given_values = (41, 1.5, True, Decimal("-2.50"), noon, date(2026, 1, 2), "x", None)
        answer = client.execute(query.format(placeholder), given_values).fetchone()
        assert answer == (42, 1.5, True, Decimal("-2.50"), noon.replace(tzinfo=None), date(2026, 1, 2), "x", None)
        found = client.execute(f"SELECT 5 = ANY({placeholder}), 'a\"' = ANY({placeholder})", ([5, None], ['a"', "b"]))
        assert found.fetchone() == (True, True)
    asked = "SELECT name FROM promotions WHERE started_at < %s AND name = %s"
    assert client.execute(asked, ("2026-11-03", "p")).fetchall() == [("p",)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT * FROM nowhere", "Table with name nowhere does not exist"),
        ("DELETE FROM promotions", "Only SELECT is answered; this is DELETE."),
        ("COPY promotions TO STDOUT", "Only SELECT is answered; this is COPY."),
        ("SELECT * FROM read_csv('/etc/passwd')", "reads files and is not answered"),
        ("SELECT * FROM duckdb_settings()", "tells of the server's process"),
        ("SHOW nothing", "nothing does not exist"),
        ("SET client_encoding TO latin1", "UTF-8 alone"),
        ("DECLARE c CURSOR FOR SELECT 1", "Cursors of SQL are not to be had"),
        pytest.param("SELECT range FROM range(70000)", "more than 65,000 rows", marks=pytest.mark.any_store),
        ("SELECT TIMESTAMP '20000-01-01'", "has a value that cannot be sent"),
        ("SELECT 'open", "unterminated"),
    ],
)
def test_what_is_refused_is_one_sentence(client: psycopg.Connection[Any], query: str, said: str) -> None:
    """The guard and the limits of the server hold here, and the connection goes on."""
    with pytest.raises(psycopg.Error) as caught:
        client.execute(query).fetchall()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert client.execute("SELECT 1").fetchone() == (1,)


def test_a_text_of_several_statements(client: psycopg.Connection[Any]) -> None:
    """Transactions and settings are answered, and change nothing."""
    cursor = client.execute("BEGIN; SET statement_timeout = 1; SELECT ';' AS a; SHOW server_version; COMMIT;")
    answers = []
    while True:
        answers.append((cursor.statusmessage, cursor.fetchall() if cursor.description else None))
        if not cursor.nextset():
            break
    assert answers == [
        ("BEGIN", None), ("SET", None), ("SELECT 1", [(";",)]), ("SHOW", [("15.0",)]), ("COMMIT", None),
    ]  # fmt: skip
    with client.pipeline():
        many = [client.execute("SELECT %s::INT", (number,)) for number in range(20)]
    assert ("promotions",) in client.execute("SHOW TABLES").fetchall()
    assert [one.fetchone() for one in many] == [(number,) for number in range(20)]


def test_what_postgres_calls_otherwise(client: psycopg.Connection[Any]) -> None:
    """BI tools write PostgreSQL's functions into queries on the store's own tables."""
    query = """
        SELECT to_char(started_at, 'YYYY-MM') FROM main.promotions
        WHERE started_at >= to_timestamp('2026-11-01 00:00:00', 'YYYY-MM-DD HH24:MI:SS') AND started_at < now()
    """
    rows = client.execute(query.replace("now()", "timestamptz '2026-11-03 00:00:00Z'")).fetchall()
    assert rows == [("2026-11",)]


@pytest.mark.any_store
def test_asyncpg(url: str) -> None:
    """It asks for the types of parameters and of arrays, takes binary alone, and reads in parts."""

    async def ask() -> None:
        connection = await asyncpg.connect(url)
        try:
            row = await connection.fetchrow(EVERY_TYPE)
            assert told(tuple(row.values())) == SENT
            query = "SELECT count(*) FROM promotions WHERE started_at > $1::timestamp AND name = $2"
            assert await connection.fetchval(query, datetime(2026, 11, 1), "p") == 1
            async with connection.transaction():
                parts = [row["n"] async for row in connection.cursor("SELECT range AS n FROM range(10)", prefetch=3)]
            assert parts == list(range(10))
        finally:
            await connection.close()

    asyncio.run(ask())


def test_sqlalchemy_reflects(url: str) -> None:
    """Superset and many others read tables so; keys and indexes there are none."""
    engine = sa.create_engine(url.replace("postgresql", "postgresql+psycopg"), poolclass=sa.NullPool)
    inspector = sa.inspect(engine)
    assert inspector.default_schema_name == "main"
    assert "promotions" in inspector.get_table_names()
    assert {"spans", "llm_calls"} <= set(inspector.get_view_names())
    assert inspector.get_pk_constraint("spans")["constrained_columns"] == []
    assert (inspector.get_foreign_keys("spans"), inspector.get_indexes("spans")) == ([], [])
    assert "SELECT" in inspector.get_view_definition("llm_calls")
    promotions = sa.Table("promotions", sa.MetaData(), autoload_with=engine)
    assert isinstance(promotions.c.stratify_by.type, sa.ARRAY)
    with engine.connect() as connection:
        found = connection.execute(sa.select(promotions.c.name).where(promotions.c.started_at < datetime(2027, 1, 1)))
        assert found.scalars().all() == ["p"]
    engine.dispose()


@pytest.mark.skipif(not shutil.which("psql"), reason="psql is not installed: apt-get install postgresql-client")
def test_psql(url: str) -> None:
    """Queries and the commands that describe: databases, schemas, tables, views, functions, roles, columns."""
    commands = [r"\l", r"\dn", r"\dt", r"\dv", r"\df", r"\du", r"\d+ promotions", r"\d llm_calls"]
    asked = [part for command in [*commands, "TABLE promotions"] for part in ("-c", command)]
    done = subprocess.run(["psql", "-X", url, *asked], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    for expected in ("stratify_by", "text[]", 'View "main.llm_calls"', "{plan}", "(1 row)"):
        assert expected in done.stdout


JDBC = Path("/usr/share/java/postgresql.jar")


@pytest.mark.slow
@pytest.mark.skipif(
    not (JDBC.exists() and shutil.which("java")),
    reason="the JDBC driver is not installed: apt-get install libpostgresql-jdbc-java default-jdk-headless",
)
def test_jdbc(address: int) -> None:
    """What DBeaver and Metabase read tables by: DatabaseMetaData; prepared queries, fetch size, cancelling."""
    command = ["java", "-cp", str(JDBC), str(APPS / "JdbcClient.java"), str(address), PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == [
        "PostgreSQL 15.0 main", "schemas information_schema main pg_catalog", "tables promotions=TABLE llm_calls=VIEW",
        "columns name=text stratify_by=_text", "keys 0 0 0 0", "p 2026-11-02 00:00:00.0 x7", "fetched 50000",
        "cancelled 57014", "",
    ]  # fmt: skip


def test_an_answer_that_is_not_read_to_its_end_frees_its_place(url: str) -> None:
    """A cursor that is closed early, and a client that goes, leave the server's places to others."""
    for _ in range(5):
        with psycopg.connect(url) as client, client.cursor() as cursor:
            row = next(cursor.stream("SELECT range FROM range(60000)"))
            assert row == (0,)


def test_a_query_is_cancelled_and_times_out(client: psycopg.Connection[Any]) -> None:
    """The client's cancel request ends the query on the server."""
    threading.Timer(0.3, client.cancel_safe).start()
    began = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        client.execute("SELECT count(*) FROM range(100000000000)")
    assert time.monotonic() - began < 10
    assert client.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("password", ["", "wrong", "sender"])
def test_passwords_that_are_refused(address: int, password: str) -> None:
    """Only the server's token and tokens that may read are let in, whatever the user is called."""
    dsn = f"host=127.0.0.1 port={address} user={SECRET} dbname=x password='{password}'"
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(dsn)


@pytest.mark.parametrize(
    "password",
    ["reader", PASSWORD, pytest.param(SECRET, marks=pytest.mark.file_only("a lake has no server that owns it"))],
)
def test_passwords_that_are_let_in(address: int, password: str) -> None:
    """A token that may read, as for the pages, the password that was set, and the server's token."""
    with psycopg.connect(f"host=127.0.0.1 port={address} user=x dbname=y password={password}") as client:
        assert client.execute("SELECT count(*) FROM promotions").fetchone() == (1,)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"not PostgreSQL's protocol"),
        (struct.pack("!II", 2**31 - 1, 3 << 16) + b"x" * 20_000, b"not PostgreSQL's protocol"),
        (struct.pack("!II", 9, 1 << 16) + b"\x00", b"not PostgreSQL's protocol"),
        (b"", b""),
    ],
)
def test_what_is_no_client_ends(address: int, sent: bytes, said: bytes) -> None:
    """Other protocols, and messages too long for one who has shown no password."""
    with socket.create_connection(("127.0.0.1", address), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        # What was not read resets the connection.
        while data := _received(connection):
            answer += data
    assert said in answer


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionResetError:
        return b""


@pytest.mark.slow
def test_the_command(store: StoreAddress, tmp_path: Path) -> None:
    """It says where it listens, answers, and ends with 0 at SIGTERM."""
    (tmp_path / "password").write_text(PASSWORD)
    command = [sys.executable, "-m", "spanverdict", "pg", "--db", str(store), "--listen", "127.0.0.1:0",
               "--password-file", "password"]  # fmt: skip
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": PRODUCT_PATH},
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        port = int(line.partition("127.0.0.1:")[2].partition(",")[0])
        with psycopg.connect(
            f"host=127.0.0.1 port={port} user=x dbname=y password={PASSWORD}", autocommit=True
        ) as client:
            assert client.execute("SELECT count(*) FROM promotions").fetchone() == (1,)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        process.stderr.close()


def test_a_lake_that_nobody_could_log_in_to(cli: Any) -> None:
    """Where neither a password nor a token that may read is configured, a lake's server would refuse everybody."""
    refused = cli("pg", "--store", "ducklake:postgresql://db/spans?data=s3://spans/prod", "--listen", "127.0.0.1:0")
    assert (refused.exit_code, "Nobody could log in, for a shared store has no" in refused.output) == (2, True)


@pytest.mark.file_only("a lake is asked without a server")
def test_without_a_server(store: Path, client: psycopg.Connection[Any]) -> None:
    """Queries are refused with what to start, until it runs."""
    (found := store.with_name("s.duckdb.server.json")).rename(store.with_name("away"))
    try:
        with pytest.raises(psycopg.errors.CannotConnectNow, match="start `spanverdict serve`"):
            client.execute("SELECT 1")
    finally:
        store.with_name("away").rename(found)
    assert client.execute("SELECT 1").fetchone() == (1,)


def test_wrong_options_are_said(cli: Any, tmp_path: Path) -> None:
    """Before anything is listened on."""
    (tmp_path / "empty").write_text("\n")
    assert "is empty: write a password into it" in cli("pg", "--password-file", tmp_path / "empty").output
    assert "cannot be read: No such file" in cli("pg", "--password-file", tmp_path / "none").output
    assert "'nowhere' cannot be used" in cli("pg", "--listen", "nowhere").output
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "password").write_text(PASSWORD)
        told = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = cli("pg", "--password-file", tmp_path / "password", "--listen", told)
        assert f"{told} cannot be listened on" in refused.output


def test_the_types_of_parameters() -> None:
    """What the client names goes before a cast, and a cast before text."""
    assert parameter_oids("SELECT $1::int, $2::int[], $3, $4::odd", [20]) == [20, 1007, 25, 25]
    with pytest.raises(QueryError, match=r"up to 1,000 parameters; this one names \$5000"):
        parameter_oids("SELECT $5000", [])


VALUES = {
    "int8": st.integers(-(2**63), 2**63 - 1),
    "int2": st.integers(-(2**15), 2**15 - 1),
    "float8": st.floats(allow_nan=False),
    "text": st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    "bool": st.booleans(),
}


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_values_come_back(data: st.DataObject) -> None:
    """What is written in a type is read back from it, alone and in arrays, in text and in binary."""
    name = data.draw(st.sampled_from(sorted(VALUES)))
    value = data.draw(VALUES[name] | st.lists(VALUES[name] | st.none(), max_size=4))
    kind = TYPES[OIDS["_" + name if isinstance(value, list) else name]]
    for code in (0, 1):
        assert parameter(kind.oid, code, encoder(kind, code)(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20))
def test_decimals_come_back(number: Decimal) -> None:
    """Digits to the base 10,000, whatever zeros they begin or end with."""
    numeric = TYPES[OIDS["numeric"]]
    assert Decimal(parameter(numeric.oid, 1, encoder(numeric, 1)(number))) == number


@given(st.sampled_from(sorted(TYPES)), st.integers(0, 1), st.binary(max_size=40))
@settings(max_examples=80)
def test_any_bytes_are_a_value_or_refused(oid: int, code: int, sent: bytes) -> None:
    """A parameter that is none of its type is a sentence."""
    try:
        parameter(oid, code, sent)
    except QueryError as error:
        assert "parameter" in str(error)  # noqa: PT017 (most bytes are a value)
