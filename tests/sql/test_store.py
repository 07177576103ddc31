"""The store: opening, migrating, writing once, reading safely."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from collector.decode import decode_logs, decode_traces
from collector.otlp_json import to_protobuf
from collector.rows import log_rows, span_rows
from collector.signals import Signal
from sql import statements
from sql.errors import QueryError, StoreError, StoreUnavailableError
from sql.opened_store import OpenedStore
from sql.priority import NICENESS
from sql.store import Store
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


NOW = datetime(2026, 11, 22)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenedStore]:
    """An empty store."""
    with store_at(tmp_path / "s.duckdb") as opened:
        yield opened


def spans(otlp: Any, *given: dict[str, Any]) -> dict[str, pa.Table]:
    """The rows of one request."""
    return span_rows(decode_traces([otlp.request(*given).SerializeToString()]), [None], NOW).tables


def feedback(**values: Any) -> pa.Table:
    """One feedback row."""
    row = {"event_time": NOW, "name": "thumbs_down", "value": 1.0, "label": None, "trace_id": "a", "span_id": None,
           "response_id": None, "conversation_id": None, "key": None, "source": None, "comment": None, "id": None,
           "attributes": "{}", "received_at": NOW, **values}  # fmt: skip
    kinds: dict[str, pa.DataType] = {
        "event_time": pa.timestamp("us"),
        "received_at": pa.timestamp("us"),
        "value": pa.float64(),
    }
    return pa.Table.from_pylist([row], pa.schema({name: kinds.get(name, pa.string()) for name in row}))


def test_a_repeated_export_adds_nothing(store: OpenedStore, otlp: Any) -> None:
    """The same rows written again, in another order and with new ones between, are stored once."""
    rows = spans(otlp, {}, {})
    assert store.write(rows)["spans"] == 2
    again = spans(otlp, {}, {}, {})
    again["spans"] = again["spans"].take([2, 1, 0])
    assert store.write(again)["spans"] == 1
    assert store.read("SELECT count(*) AS n FROM spans")["n"].to_pylist() == [3]


@pytest.mark.any_store
def test_what_an_export_brings_back_keeps_its_time(store: OpenedStore) -> None:
    """Log records and resources are there once, and were received when they were, also in a lake."""
    logs = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"5"},{"timeUnixNano":"6"}]}]}]}'
    rows = log_rows(decode_logs([to_protobuf(logs, Signal.LOGS)]), [None], NOW).tables
    for name, count in (("resources", 1), ("log_records", 2)):
        assert store.write({f"restored_{name}": rows[name]}) == {f"restored_{name}": count}
        assert store.write({f"restored_{name}": rows[name]}) == {f"restored_{name}": 0}
        assert store.read(f"SELECT received_at FROM {name}")["received_at"].to_pylist() == [NOW] * count


def test_a_failed_write_leaves_nothing(store: OpenedStore, otlp: Any) -> None:
    """Tables of one write are stored together or not at all."""
    with pytest.raises(StoreError, match="could not be written"):
        store.write({**spans(otlp, {}), "feedback": pa.table({"wrong": [1]})})
    assert store.read("SELECT count(*) AS n FROM spans")["n"].to_pylist() == [0]
    assert store.write(spans(otlp, {}))["spans"] == 1


def test_feedback_identity(store: OpenedStore) -> None:
    """Feedback is known by its id, or by its target, name and source; what comes later holds, the earlier is kept."""
    for given in ({"id": "7"}, {}):
        assert store.write({"feedback": feedback(**given)})["feedback"] == 1
        assert store.write({"feedback": feedback(**given)})["feedback"] == 0
        later = {**given, "value": 0.0, "received_at": NOW + timedelta(seconds=1)}
        assert store.write({"feedback": feedback(**later)})["feedback"] == 1
        assert store.write({"feedback": feedback(**given)})["feedback"] == 0
    assert store.read("SELECT value FROM feedback")["value"].to_pylist() == [0.0, 0.0]
    assert store.read("SELECT value FROM superseded_feedback")["value"].to_pylist() == [1.0, 1.0]


@pytest.mark.parametrize("together", [True, False])
def test_the_latest_word_holds_in_whatever_order_it_comes(store: OpenedStore, *, together: bool) -> None:
    """Down, up, up again and down: the last holds and each change is kept, however the rows arrive."""
    said = [(value, NOW + timedelta(days=day)) for day, value in enumerate((1.0, 0.0, 0.0, 2.0))]
    orders = list(itertools.permutations(said))
    rounds = [
        pa.concat_tables(
            feedback(value=order[number][0], event_time=order[number][1], name=f"order {which}")
            for which, order in enumerate(orders)
        )
        for number in range(len(said))
    ]
    for _ in range(2):
        for part in [pa.concat_tables(rounds)] if together else rounds:
            store.write({"feedback": part})
    held = store.read("SELECT name, value FROM feedback").to_pylist()
    assert sorted(row["name"] for row in held) == sorted(f"order {which}" for which in range(24))
    assert {row["value"] for row in held} == {2.0}
    history = store.read("SELECT list(value ORDER BY event_time) AS h FROM superseded_feedback GROUP BY name")["h"]
    assert history.to_pylist() == [[1.0, 0.0]] * 24


def test_reopening_keeps_everything(tmp_path: Path, otlp: Any) -> None:
    """What was written is there after closing and reopening, also read-only."""
    path = tmp_path / "s.duckdb"
    with store_at(path) as store:
        store.write(spans(otlp, {"attributes": {"a": "b"}}))
    with store_at(path, read_only=True) as store:
        assert store.read("SELECT attributes->>'a' AS a FROM spans")["a"].to_pylist() == ["b"]


@pytest.mark.file_only("a lake has no file that a process owns")
def test_a_second_process_is_told_who_holds_the_store(server: Any) -> None:
    """Opening a store that a server owns names the holder."""
    with pytest.raises(StoreUnavailableError, match=f"held by another process.*{server.process.pid}"):
        store_at(server.db)


@pytest.mark.file_only("a lake has no file that a process owns")
def test_missing_store_and_folder(tmp_path: Path) -> None:
    """Reading what is not there, or making a store in no folder, is one clear sentence."""
    with pytest.raises(StoreUnavailableError, match="There is no store at"):
        store_at(tmp_path / "none.duckdb", read_only=True)
    with pytest.raises(StoreUnavailableError, match="does not exist"):
        store_at(tmp_path / "no" / "s.duckdb")


@pytest.mark.file_only("a lake has no file that a process owns")
def test_foreign_files_are_refused(tmp_path: Path) -> None:
    """A DuckDB file of something else, and a file that is no database, are left alone."""
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE mine (a INTEGER)")
    with pytest.raises(StoreError, match="not a spanverdict store"):
        store_at(path)
    text = tmp_path / "text.duckdb"
    text.write_text("hello" * 5000)
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        store_at(text)


@pytest.mark.parametrize(
    "query",
    ["INSERT INTO spans SELECT * FROM spans", "COPY spans TO '/dev/null'", "DELETE FROM spans", "DROP TABLE spans",
     "SET memory_limit = '9GB'", "PRAGMA enable_profiling", "ATTACH '/dev/null' AS x", "INSTALL httpfs", "LOAD httpfs",
     "SELECT 1; SELECT 2", "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'",
     "CALL checkpoint()", "WITH gone AS (SELECT 1) DELETE FROM spans", "", "SELEKT"],
)  # fmt: skip
def test_only_reading_is_answered(store: OpenedStore, query: str) -> None:
    """Whatever is not one SELECT, or reaches for files, is refused."""
    with pytest.raises(QueryError):
        store.read(query)


ATTACKS = (
    "EXPLAIN ANALYZE DELETE FROM promotions",
    "explain /* x */ analyze DROP TABLE spans",
    "-- harmless\nEXPLAIN ANALYZE INSERT INTO promotions SELECT * FROM promotions",
    "EXPLAIN (ANALYZE) DELETE FROM promotions",
    "EXPLAIN DELETE FROM promotions",
    "WITH gone AS (DELETE FROM promotions RETURNING *) SELECT * FROM gone",
    "WITH new AS (INSERT INTO promotions SELECT * FROM promotions RETURNING *) SELECT * FROM new",
    "SELECT * FROM checkpoint()",
    "SELECT nextval('s')",
)


@pytest.mark.parametrize("query", ATTACKS)
def test_disguised_writes_change_nothing(store: OpenedStore, query: str) -> None:
    """Statements that hide a write in a read are refused, when run and when only asked for columns."""
    row = {"name": "p", "base": "a", "candidate": "b", "design": "concurrent", "started_at": NOW, "ended_at": None,
           "cohort_by": "c", "candidate_share": None, "created_at": NOW}  # fmt: skip
    kinds: dict[str, pa.DataType] = {"candidate_share": pa.float64()}
    kinds |= dict.fromkeys(("started_at", "ended_at", "created_at"), pa.timestamp("us"))
    store.write({"promotions": pa.Table.from_pylist([row], pa.schema({n: kinds.get(n, pa.string()) for n in row}))})
    for ask in (store.read, store.schema):
        with pytest.raises(QueryError):
            ask(query)
    assert store.read("SELECT name FROM promotions").to_pylist() == [{"name": "p"}]


def test_explaining_a_select_is_answered(store: OpenedStore) -> None:
    """EXPLAIN of a SELECT is reading."""
    assert store.read("-- why?\nEXPLAIN SELECT * FROM spans").num_rows > 0


def test_a_query_past_its_time_is_stopped(tmp_path: Path) -> None:
    """A query that takes too long ends with an error, and the next one is answered."""
    with store_at(tmp_path / "s.duckdb", query_seconds=0.3) as store:
        with pytest.raises(QueryError, match=r"longer than 0\.3 s, which is the limit"):
            store.read("SELECT count(*) FROM range(3000000) a, range(3000000) b WHERE hash(a.range * b.range) % 7 = 3")
        assert store.read("SELECT 1 AS one")["one"].to_pylist() == [1]


def test_a_lack_of_memory_is_said_with_its_mend(tmp_path: Path) -> None:
    """Who asks too much learns which setting allows more."""
    said = r"not enough memory to answer: raise server\.memory_limit"
    with store_at(tmp_path / "s.duckdb", memory_limit="64MB") as store, pytest.raises(QueryError, match=said):
        store.read("SELECT len(list(repeat(i::VARCHAR, 100))) FROM range(1_000_000) AS t(i)")


@pytest.mark.file_only("a lake has no file that a process owns")
def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    """The store holds what users said: nobody else may read it."""
    with Store(tmp_path / "s.duckdb"):
        assert (tmp_path / "s.duckdb").stat().st_mode & 0o077 == 0


def evaluation(**values: Any) -> pa.Table:
    """One evaluation row."""
    row = {"event_time": NOW, "trace_id": None, "span_id": None, "response_id": None, "conversation_id": None,
           "name": "Tone", "score": 1.0, "label": "pass", "explanation": None, "error_type": None,
           "evaluator_version": None, "source": None, "annotator": None, "identifier": None, "judge_model": None,
           "threshold": None, "higher_is": None, "carrier": "log", "service_name": None, "attributes": "{}",
           "received_at": NOW, **values}  # fmt: skip
    kinds: dict[str, pa.DataType] = {
        "score": pa.float64(),
        "threshold": pa.float64(),
        "event_time": pa.timestamp("us"),
        "received_at": pa.timestamp("us"),
    }
    return pa.Table.from_pylist([row], pa.schema({name: kinds.get(name, pa.string()) for name in row}))


@pytest.mark.parametrize(
    ("other", "rows", "superseded"),
    [
        ({"conversation_id": "c2"}, 2, 0),
        ({"source": "human"}, 2, 0),
        ({"annotator": "HUMAN"}, 2, 0),
        ({"identifier": "reviewer-42"}, 2, 0),
        ({"score": 0.0, "event_time": datetime(2026, 11, 23)}, 1, 1),
        ({"evaluator_version": "2", "event_time": datetime(2026, 11, 23)}, 1, 1),
        ({"event_time": datetime(2026, 11, 23), "carrier": "span_event"}, 1, 0),
        # The most exact target alone counts: one of two copies may name more.
        ({"trace_id": "t", "span_id": "s", "response_id": "r"}, 2, 0),
    ],
)
def test_evaluation_identity(store: OpenedStore, other: dict[str, Any], rows: int, superseded: int) -> None:
    """Another target or judge is another evaluation; another score replaces; the same by another carrier is nothing."""
    given = {"conversation_id": "c1"}
    store.write({"evaluations": evaluation(**given)})
    store.write({"evaluations": evaluation(**{**given, **other})})
    counts = "SELECT (SELECT count(*) FROM evaluations) AS n, (SELECT count(*) FROM superseded_evaluations) AS old"
    assert store.read(counts).to_pylist() == [{"n": rows, "old": superseded}]


@pytest.mark.file_only("no lake is of an older version")
def test_outcomes_of_an_older_version_keep_what_they_are_known_by(tmp_path: Path) -> None:
    """Rows that an older version knew by all they say get their identity: sent again they add nothing."""
    path = tmp_path / "s.duckdb"
    with duckdb.connect(str(path)) as older:
        older.execute("CREATE TABLE schema_migrations (version INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL)")
        for version, text in statements.migrations()[:4]:
            older.execute(text)
            older.execute("INSERT INTO schema_migrations VALUES (?, now()::TIMESTAMP)", [version])
        for day, value in (("2026-11-22", 1.0), ("2026-11-23", 0.0)):
            older.execute(
                """INSERT INTO feedback BY NAME SELECT md5(concat_ws(chr(31), name, '', concat_ws(chr(30), event_time,
                    value::VARCHAR, '', trace_id, '', '', '', '', '', attributes))) AS feedback_id, *
                FROM (SELECT $day::TIMESTAMP AS event_time, 'thumbs_down' AS name, $value::DOUBLE AS value,
                    'a' AS trace_id, '{}' AS attributes, $day::TIMESTAMP AS received_at)""",
                {"day": day, "value": value},
            )
            older.execute(
                """INSERT INTO evaluations BY NAME SELECT md5($day) AS evaluation_id, $day::TIMESTAMP AS event_time,
                    'b' AS trace_id, 'Tone' AS name, $value::DOUBLE AS score, 'log' AS carrier,
                    $day::TIMESTAMP AS received_at""",
                {"day": day, "value": value},
            )
    with store_at(path) as store:
        again = feedback(value=0.0, event_time=datetime(2026, 11, 23))
        assert store.write({"feedback": pa.concat_tables([feedback(), again])})["feedback"] == 0
        judged = {"trace_id": "b", "label": None, "attributes": None}
        assert store.write({"evaluations": evaluation(score=1.0, **judged)})["evaluations"] == 0
        assert store.read("SELECT value FROM feedback")["value"].to_pylist() == [0.0]
        assert store.read("SELECT value FROM superseded_feedback")["value"].to_pylist() == [1.0]
        assert store.read("SELECT score FROM evaluations")["score"].to_pylist() == [0.0]
        assert store.read("SELECT score FROM superseded_evaluations")["score"].to_pylist() == [1.0]


@pytest.mark.file_only("a lake has no journal")
def test_a_journal_of_an_older_version_is_stored(store: OpenedStore) -> None:
    """What an older version acknowledged and did not load lacks the newer columns."""
    older = evaluation(trace_id="t").drop(["annotator", "identifier", "judge_model", "threshold", "higher_is"])
    assert store.write({"evaluations": older})["evaluations"] == 1
    assert store.write({"evaluations": evaluation(trace_id="t")})["evaluations"] == 0


def test_corrected_feedback_replaces(store: OpenedStore) -> None:
    """Of feedback with the same id the later holds, in whatever order it comes."""
    later = datetime(2026, 11, 23)
    store.write({"feedback": feedback(id="7", value=1.0)})
    store.write({"feedback": feedback(id="7", value=0.0, event_time=later)})
    store.write({"feedback": feedback(id="7", value=1.0)})
    assert store.read("SELECT value FROM feedback")["value"].to_pylist() == [0.0]


def test_parameters_are_bound(store: OpenedStore) -> None:
    """Parameters are values, not text."""
    hostile = "x'; DROP TABLE spans; --"
    assert store.read("SELECT $a AS a", {"a": hostile})["a"].to_pylist() == [hostile]
    with pytest.raises(QueryError):
        store.read("SELECT $a AS a")


def test_every_view_and_saved_query_runs(store: OpenedStore, otlp: Any) -> None:
    """All SQL that ships is valid against the schema."""
    store.write(spans(otlp, {"attributes": {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3}}))
    for name in statements.VIEWS:
        store.read(f"SELECT * FROM {name}")
    for name in statements.query_names():
        store.read(statements.query(name))
    assert store.read("SELECT input_tokens FROM llm_calls")["input_tokens"].to_pylist() == [3]
    assert store.read("SELECT spans, llm_spans FROM trace_totals").to_pylist() == [{"spans": 1, "llm_spans": 1}]


def test_the_files_and_the_registry_agree() -> None:
    """Every view and write file is registered, and nothing is registered that is not there."""
    root = Path(statements.__file__).parent
    assert {path.stem for path in (root / "views").glob("*.sql")} == set(statements.VIEWS)
    assert {path.stem for path in (root / "writes").glob("*.sql")} == statements.WRITES - statements.WRITTEN_AS.keys()


@pytest.mark.file_only("a lake has no file that a process owns")
def test_readers_do_not_keep_a_store_from_being_opened_anew(tmp_path: Path) -> None:
    """Reads that run meanwhile end with a clear error or an answer, and the store answers afterwards."""
    stop, seen = threading.Event(), list[str]()

    def read(store: OpenedStore) -> None:
        while not stop.is_set():
            try:
                store.read("SELECT count(*) FROM spans")
            except StoreError:
                seen.append("refused")
            except duckdb.Error as error:
                seen.append(repr(error))

    with store_at(tmp_path / "s.duckdb") as store:
        readers = [threading.Thread(target=read, args=(store,)) for _ in range(4)]
        for reader in readers:
            reader.start()
        for _ in range(5):
            store.reopen()
        stop.set()
        for reader in readers:
            reader.join()
        assert set(seen) <= {"refused"}
        assert store.read("SELECT count(*) FROM spans").num_rows == 1


def test_nobody_is_asked_after_the_answer(store: OpenedStore) -> None:
    """Whether the client has gone is not asked once the answer has ended: Flight has forgotten the call by then."""
    asked, ended = threading.Event(), threading.Event()
    late: list[bool] = []

    def given_up() -> bool:
        asked.set()
        time.sleep(0.2)
        late.append(ended.is_set())
        return False

    with store.reader("SELECT 1", given_up=given_up) as batches:
        batches.read_all()
        assert asked.wait(10)
    ended.set()
    time.sleep(0.5)
    assert late == [False]


def priority_of(thread: int) -> list[int]:
    """Give a thread's nice value; none where it has ended, as threads of other tests' servers do meanwhile."""
    try:
        return [os.getpriority(os.PRIO_PROCESS, thread)]
    except ProcessLookupError:
        return []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no nice value of their own")
def test_the_threads_of_queries_give_way(tmp_path: Path) -> None:
    """The database's own threads stand behind the one that opened it, which loads."""
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    tasks = Path("/proc/self/task")
    before = set(tasks.iterdir())
    with store_at(tmp_path / "s.duckdb") as store:
        store.read("SELECT 1")
        new = [int(task.name) for task in set(tasks.iterdir()) - before]
        assert min(own + NICENESS, 19) in [priority for thread in new for priority in priority_of(thread)]
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
