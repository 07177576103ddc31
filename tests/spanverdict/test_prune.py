"""`spanverdict prune` and `compact`: what is too old goes, whole days of it and nothing else, and reports say so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import Result

from analytics.derive import derive
from analytics.job_options import JobOptions
from analytics.part_files import part_directory
from collector.decode import decode_traces
from collector.rows import span_rows
from spanverdict import pruning
from spanverdict.prune_task import EVERY, PruneTask
from spanverdict.pruning import Limits, Pruner
from spanverdict.retention_config import RetentionConfig, size_in_bytes
from sql.address import StoreAddress, beside
from sql.clock import utc_now
from tests.spanverdict.conftest import MadeOnce
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

Cli = Callable[..., Result]
TODAY = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
DAYS = 6
"""Days of traffic, the last of them yesterday."""

SECRET = "what the user said"
FEEDBACK = "time,name,value,trace_id,id\n" + "".join(
    f"{(TODAY - timedelta(days=day)).isoformat()},thumbs_down,1,{day:032x},{day}\n" for day in range(1, DAYS + 1)
)


def traffic(otlp: Any, day: int, spans: int = 20, first: int = 0) -> Mapping[str, pa.Table]:
    """Spans of a day so many days ago, each of a trace of its own, as they are written to the store."""
    began = int((TODAY - timedelta(days=day)).timestamp()) * 10**9
    given = []
    for number in range(first, first + spans):
        attributes = {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": f"m{number % 2}", "app.cohort": "refunds",
            "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2, "user.id": f"u{number}",
            "gen_ai.input.messages": f"{SECRET} {day} {number}",
        }  # fmt: skip
        begin = began + number * 3600 * 10**9
        event = {"name": "gen_ai.user.message", "time_unix_nano": begin,
                 "attributes": otlp.key_values({"content": SECRET, "role": "user"})}  # fmt: skip
        given.append({
            "trace_id": bytes.fromhex(f"{day if number == 0 else day * 1000 + number:032x}"),
            "span_id": (number + 1).to_bytes(8, "big"), "start_time_unix_nano": begin,
            "end_time_unix_nano": begin + 10**9, "attributes": attributes, "events": [event],
        })  # fmt: skip
    data = otlp.request(*given).SerializeToString()
    return span_rows(decode_traces([data]), [None], utc_now()).tables


@pytest.fixture
def stored(promoted: StoreAddress, made_once: MadeOnce, otlp: Any, cli: Cli, workdir: Path) -> StoreAddress:  # noqa: ARG001 (there already)
    """A store with six days of spans, calls and feedback; made once."""

    def make(address: StoreAddress) -> None:
        (workdir / "feedback.csv").write_text(FEEDBACK)
        assert cli("feedback", "import", "feedback.csv").exit_code == 0
        with store_at(address) as store:
            for day in range(1, DAYS + 1):
                store.write(traffic(otlp, day))
            derive(store, JobOptions())

    return made_once("six-days", make)


def counts(path: StoreAddress) -> dict[str, int]:
    """Rows by table."""
    names = ("spans", "calls", "feedback", "promotions", "reports", "pruned_days")
    with store_at(path, read_only=True) as store:
        return {name: store.read(f"SELECT count(*) AS n FROM {name}")["n"][0].as_py() for name in names}


def retention(workdir: Path, **keys: object) -> Path:
    """A configuration of it."""
    path = workdir / "retention.toml"
    path.write_text("[retention]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items()))
    return path


def listed(result: Result) -> list[dict[str, Any]]:
    """What a command listed as JSON."""
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def test_a_dry_run_tells_what_goes_and_changes_nothing(stored: StoreAddress, cli: Cli) -> None:
    """Of spans older than three days the whole days go, as the dry run had said; nothing else does."""
    before = counts(stored)
    asked = ("prune", "--older-than", "3d", "--format", "json")
    planned = cli(*asked, "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    assert counts(stored) == before
    days = {(TODAY - timedelta(days=day)).date().isoformat() for day in (4, 5, 6)}
    assert {row["day"] for row in listed(planned)} == days
    assert {(row["table"], row["deleted"], row["rows"]) for row in listed(planned)} == {("spans", "rows", 20)}
    assert "Would delete 60 rows and the content of 0, about" in planned.stderr
    parts = part_directory(beside(stored))
    parts.mkdir(parents=True)
    (parts / "kept.parquet").touch()
    done = cli(*asked)
    assert listed(done) == listed(planned)
    assert list(parts.iterdir()) == []
    assert "Deleted 60 rows" in done.stderr
    assert counts(stored) == before | {"spans": before["spans"] - 60, "pruned_days": 3}
    assert listed(cli(*asked)) == []


def test_nothing_is_deleted_that_nobody_asked_for(stored: StoreAddress, cli: Cli, workdir: Path) -> None:
    """Without retention there is nothing to prune; an age or a size that is none is refused."""
    before = counts(stored)
    refused = cli("prune")
    assert (refused.exit_code, "write [retention]" in refused.stderr) == (2, True)
    for age in ("0d", "3", "-1d", "1.5d", "x"):
        assert "is not a number of days or weeks" in cli("prune", "--older-than", age).stderr
    for keys in ({"spans_days": 0}, {"spans_days": 1.5}, {"max_size": "50"}, {"spans": 3}):
        assert cli("prune", "--config", retention(workdir, **keys)).exit_code == 2
    assert counts(stored) == before
    assert [size_in_bytes(text) for text in ("1KB", "1.5 MiB", "2GB")] == [1000, 3 * 2**19, 2 * 10**9]


def test_content_goes_and_rows_stay(stored: StoreAddress, cli: Cli, workdir: Path, otlp: Any) -> None:
    """What was said is gone from attributes and events; counts, costs and users stay; late spans lose theirs too."""
    config = retention(workdir, content_days=3)
    before = counts(stored)
    done = cli("prune", "--config", config, "--format", "json")
    assert [(row["deleted"], row["rows"]) for row in listed(done)] == [("content", 20)] * 3
    secret = "SELECT start_time::DATE::VARCHAR AS day, count(*) AS n FROM spans WHERE concat(attributes, events) LIKE"
    young = {(TODAY - timedelta(days=day)).date().isoformat(): 20 for day in (1, 2, 3)}

    def with_content() -> dict[str, int]:
        with store_at(stored, read_only=True) as store:
            rows = store.read(f"{secret} '%{SECRET}%' GROUP BY ALL").to_pylist()
        return {row["day"]: row["n"] for row in rows}

    assert with_content() == young
    assert counts(stored) == before | {"pruned_days": 3}
    with store_at(stored) as store:
        row = store.read("SELECT * FROM spans ORDER BY start_time LIMIT 1").to_pylist()[0]
        assert (row["input_tokens"], row["user_id"], json.loads(row["events"])[0]["attributes"]) == (
            10, "u0", {"role": "user"},
        )  # fmt: skip
        assert store.write(traffic(otlp, 5))["spans"] == 0
        assert store.write(traffic(otlp, 5, spans=1, first=22))["spans"] == 1
    assert listed(cli("prune", "--config", config, "--format", "json"))[0]["rows"] == 1
    assert with_content() == young
    assert listed(cli("prune", "--config", config, "--format", "json")) == []


@pytest.mark.file_only("a lake has no archive")
def test_files_of_the_archive_go_or_lose_their_content(stored: StoreAddress, cli: Cli, workdir: Path) -> None:
    """Whole files of days that are too old; a file is written anew without what was said, with all its rows."""
    (workdir / "spanverdict.toml").write_text("[archive]\nleast_rows = 1\n")
    assert cli("derive").exit_code == 0
    assert cli("archive", "--before", _day(1)).exit_code == 0
    with store_at(stored) as store:
        rows = store.read("SELECT * EXCLUDE (attributes, events) FROM spans ORDER BY ALL")
    config = retention(workdir, content_days=2, spans_days=4)
    planned = listed(cli("prune", "--config", config, "--dry-run", "--format", "json"))
    assert {(row["held_in"], row["deleted"], row["day"]) for row in planned} == {
        ("archive", "rows", _day(6)), ("archive", "rows", _day(5)),
        ("archive", "content", _day(4)), ("archive", "content", _day(3)),
    }  # fmt: skip
    assert listed(cli("prune", "--config", config, "--format", "json")) == planned
    with store_at(stored) as store:
        left = store.read("SELECT * EXCLUDE (attributes, events) FROM spans ORDER BY ALL")
        first = datetime.fromisoformat(_day(4))
        assert left.equals(rows.filter(pc.greater_equal(rows["start_time"], pa.scalar(first, pa.timestamp("ns")))))
        said = f"SELECT count(*) AS n FROM spans WHERE concat(attributes, events) LIKE '%{SECRET}%'"
        assert store.read(said)["n"].to_pylist() == [40]
        files = store.read("SELECT day::VARCHAR AS day, has_content FROM archived_files ORDER BY day").to_pylist()
        assert [(file["day"], file["has_content"]) for file in files] == [
            (_day(4), False), (_day(3), False), (_day(2), True),
        ]  # fmt: skip
    assert listed(cli("prune", "--config", config, "--format", "json")) == []
    before = left.num_rows
    assert cli("compact").exit_code == 0
    with store_at(stored, read_only=True) as store:
        assert store.read("SELECT count(*) AS n FROM spans")["n"].to_pylist() == [before]


def test_an_interrupted_prune_goes_on(stored: StoreAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever write is the last one before it is killed, the next run does the rest, and the counts add up."""
    monkeypatch.setattr(pruning, "ROWS_AT_ONCE", 5)
    limits = Limits.of_spans(timedelta(days=1), utc_now())

    class Killed(Exception):  # noqa: N818 (stands for a signal)
        pass

    with store_at(stored) as store:
        write = store.write
        for allowed in (1, 2, 0, 4):
            left = iter(range(allowed))

            def dying(tables: Mapping[str, pa.Table], left: Any = left) -> dict[str, int]:
                if next(left, None) is None:
                    raise Killed
                return write(tables)

            monkeypatch.setattr(store, "write", dying)
            with pytest.raises(Killed):
                Pruner(store, stored, utc_now()).prune(limits)
        monkeypatch.setattr(store, "write", write)
        assert Pruner(store, stored, utc_now()).prune(limits)
        told = store.read("SELECT sum(rows)::BIGINT AS n, count(DISTINCT day) AS days FROM pruned_days").to_pylist()
        assert told == [{"n": 20 * (DAYS - 1), "days": DAYS - 1}]
        assert store.read("SELECT count(*) AS n FROM spans")["n"].to_pylist() == [20]


def test_each_kind_has_an_age_of_its_own(stored: StoreAddress, cli: Cli) -> None:
    """Outcomes, what is derived, and reports; the newest report of a promotion stays, for later ones build on it."""
    for as_of in (2, 1):
        made = cli("report", "p", "--as-of", (TODAY - timedelta(days=as_of)).isoformat())
        assert made.exit_code in (0, 1, 3)
    now = utc_now()
    with store_at(stored) as store:
        assert store.read("SELECT count(*) AS n FROM reports")["n"].to_pylist() == [2]
        limits = Limits.of(_config(outcomes_days=2, derived_days=4, reports_days=1), now + timedelta(days=2))
        planned = Pruner(store, stored, now).planned(limits)
        assert Pruner(store, stored, now).prune(limits)
        assert Pruner(store, stored, now).planned(limits) == []
    totals: dict[str, int] = {}
    for deletion in planned:
        totals[deletion.table] = totals.get(deletion.table, 0) + deletion.rows
    assert totals["reports"] == 1
    assert counts(stored) | {"pruned_days": 0} == {
        "spans": 20 * DAYS, "calls": 20 * DAYS - totals["calls"], "feedback": DAYS - totals["feedback"],
        "promotions": 1, "reports": 1, "pruned_days": 0,
    }  # fmt: skip
    assert totals["calls"] == 20 * 4
    assert totals["feedback"] == DAYS


def _config(**keys: int) -> RetentionConfig:
    return RetentionConfig(**keys)


def test_for_the_size_content_goes_first(stored: StoreAddress) -> None:
    """The oldest content, then the oldest spans, never what is younger than two days nor outcomes; then it is told."""
    done: list[pruning.Deletion] = []
    with store_at(stored) as store:
        limits = Limits(None, {}, 1)
        planned = Pruner(store, stored, utc_now()).planned(limits)
        assert not Pruner(store, stored, utc_now(), (), done.append).prune(limits)
        assert store.read("SELECT count(*) AS n FROM feedback")["n"].to_pylist() == [DAYS]
    days = [(TODAY - timedelta(days=day)).date() for day in (6, 5, 4, 3)]
    told = [(deletion.what, deletion.day) for deletion in done]
    assert told == [("content", day) for day in days] + [("rows", day) for day in days]
    assert [(deletion.what, deletion.day) for deletion in planned] == told


def test_reports_say_what_was_deleted(stored: StoreAddress, cli: Cli, workdir: Path) -> None:
    """Fewer traces are not judged in silence; rates of outcomes that are gone are not judged at all."""
    with store_at(stored) as store:
        store.write({"promotions": store.read("SELECT * REPLACE ('q' AS name, $at AS started_at) FROM promotions",
                                              {"at": TODAY - timedelta(days=DAYS)})})  # fmt: skip

    def checks() -> dict[str, list[str]]:
        made = cli("report", "q", "--as-of", TODAY.isoformat(), "--format", "json")
        found: dict[str, list[str]] = {}
        for check in json.loads(made.stdout)["checks"]:
            if check["check"] == "deleted_days":
                found.setdefault(check["status"], []).append(check["detail"])
        return found

    assert checks() == {}
    assert cli("prune", "--config", retention(workdir, content_days=2, spans_days=4, outcomes_days=4)).exit_code == 0
    found = checks()
    assert {detail.split(" were ")[0].split(" was ")[0] for detail in found["warn"]} == {
        f"The content of spans of 2 days ({_day(4)} to {_day(3)}) of the comparison",
        f"Spans of 2 days ({_day(6)} to {_day(5)}) of the comparison",
    }
    assert found["fail"][0].startswith(f"Rows of feedback of 2 days ({_day(6)} to {_day(5)}) of the comparison")


def _day(ago: int) -> str:
    return (TODAY - timedelta(days=ago)).date().isoformat()


@pytest.mark.slow
def test_a_server_prunes_by_itself(stored: StoreAddress, start_server: Callable[..., Any], workdir: Path) -> None:
    """It begins when it starts."""
    config = retention(workdir, spans_days=2)
    server = start_server(stored, "--config", str(config))
    deadline = time.monotonic() + 30
    while server.sql("SELECT count(*) AS n FROM spans")[0]["n"] > 40:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.file_only("a lake is compacted beside its servers")
def test_a_file_is_compacted_without_its_server(
    stored: Path, start_server: Callable[..., Any], cli: Cli, workdir: Path
) -> None:
    """While one runs that is refused; afterwards the file has no free block, and all rows."""
    server = start_server(stored)
    refused = cli("compact")
    assert (refused.exit_code, "A server runs on" in refused.stderr) == (4, True)
    assert server.stop() == 0
    assert cli("prune", "--older-than", "2d").exit_code == 0
    with store_at(stored) as store:
        before = {table: store.read(f"SELECT * FROM {table} ORDER BY ALL") for table in ("spans", "calls", "feedback")}
    inode = stored.stat().st_ino
    done = cli("compact")
    assert done.exit_code == 0, done.stderr
    assert stored.stat().st_ino != inode
    assert stored.stat().st_mode & 0o777 == 0o600
    with store_at(stored) as store:
        assert store.read("SELECT free_blocks FROM pragma_database_size()")["free_blocks"].to_pylist() == [0]
        for table, rows in before.items():
            assert store.read(f"SELECT * FROM {table} ORDER BY ALL").equals(rows)
    assert not list(workdir.glob(".*.tmp*"))


def test_pruning_is_due_once_a_day() -> None:
    """At the start, then a day later; after a failure within the hour."""
    task = PruneTask()
    now = datetime(2026, 11, 27)
    assert task.due(now) == ("prune", "--quiet")
    task.ended(0)
    assert task.due(now + EVERY - timedelta(seconds=1)) is None
    assert task.due(now + EVERY) == ("prune", "--quiet")
    task.ended(4)
    assert task.due(now + EVERY + timedelta(minutes=59)) is None
    assert task.due(now + EVERY + timedelta(hours=1)) == ("prune", "--quiet")
