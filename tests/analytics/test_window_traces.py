"""A report's traces in parts: the rows of the whole, kept from one report to the next and made anew where they must."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from polars.testing import assert_frame_equal

from analytics import part_rows
from analytics.job import run_report
from analytics.job_options import JobOptions
from analytics.part_files import PartFiles
from analytics.promotions import Promotion, promotion_row
from analytics.report import as_json
from analytics.trace_parts import trace_parts
from analytics.trace_rows import TraceRows, trace_rows
from collector.decode import decode_logs, decode_traces
from collector.rows import log_rows, span_rows
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


AT = datetime(2026, 11, 1)
SECOND = 10**9
BEGIN = int(AT.timestamp() - datetime(1970, 1, 1).timestamp()) * SECOND
DAYS = 6
A_DAY = 40
UNTIL = AT + timedelta(days=DAYS, hours=3)


def _trace(number: int) -> list[dict[str, Any]]:
    """A request of two spans; every tenth may go on beyond midnight, one does for days, and the last are under way."""
    began = BEGIN + number * (86_400 // A_DAY) * SECOND
    lasts = {0: 3 * 86_400, 7: 100_000}.get(number, 50_000 if number % 10 == 0 else 2) * SECOND
    trace = (number + 1).to_bytes(16, "big")
    attributes = {
        "app.cohort": "eu" if number % 3 else "us",
        "user.id": f"u{number % 60}",
        "session.id": f"s{number % 50}",
    }
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": f"m{number % 2}",
        "gen_ai.response.id": f"r{number}",
    }
    root = {"trace_id": trace, "span_id": (2 * number + 1).to_bytes(8, "big"), "name": "answer",
            "start_time_unix_nano": began, "end_time_unix_nano": began + lasts, "attributes": attributes}  # fmt: skip
    call = {"trace_id": trace, "span_id": (2 * number + 2).to_bytes(8, "big"), "parent_span_id": root["span_id"],
            "start_time_unix_nano": began + lasts - SECOND, "end_time_unix_nano": began + lasts,
            "attributes": asked}  # fmt: skip
    return [root, call]


class World:
    """A store with a promotion, and reports of it."""

    def __init__(self, folder: Path, otlp: Any) -> None:
        self.store = store_at(folder / "s.duckdb")
        self.files = PartFiles(folder / "s.duckdb.parts")
        self._otlp = otlp
        promotion = Promotion("p", "m0", "m1", "concurrent", AT + timedelta(days=1), None, "app.cohort", 0.5)
        self.store.write({"promotions": promotion_row(promotion, AT)})
        self.send([span for number in range(DAYS * A_DAY) for span in _trace(number)])

    def send(self, spans: list[dict[str, Any]], *, after: timedelta = timedelta(days=DAYS)) -> None:
        """Let spans arrive."""
        body = self._otlp.request(*spans).SerializeToString()
        self.store.write(span_rows(decode_traces([body]), [None], AT + after).tables)

    def judge(self, **target: Any) -> None:
        """Let a failed evaluation arrive, which names its trace and span, or an answer."""
        request = ExportLogsServiceRequest()
        at = BEGIN + 2 * 86_400 * SECOND
        records = request.resource_logs.add().scope_logs.add().log_records
        record = records.add(event_name="gen_ai.evaluation.result", time_unix_nano=at)
        record.trace_id, record.span_id = target.get("trace_id", b""), target.get("span_id", b"")
        given = {"gen_ai.evaluation.name": "JSONValidation", "gen_ai.evaluation.score.label": "fail"}
        given |= {"gen_ai.response.id": target["answer"]} if "answer" in target else {}
        record.attributes.extend(self._otlp.key_values(given))
        arrived = AT + timedelta(days=DAYS)
        self.store.write(log_rows(decode_logs([request.SerializeToString()]), [None], arrived).tables)

    def report(self, *, kept: bool, until: datetime = UNTIL, options: JobOptions | None = None) -> str:
        """The report as JSON."""
        files = self.files if kept else None
        return as_json.render(run_report(self.store, "p", options or JobOptions(), as_of=until, now=until, files=files))


@pytest.fixture
def world(tmp_path: Path, otlp: Any) -> Iterator[World]:
    """A store with six days of traces."""
    made = World(tmp_path, otlp)
    with made.store:
        yield made


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many traces the rows of spans were made of, each time."""
    counts: list[int] = []

    def counted(*args: Any, **more: Any) -> TraceRows:
        rows = trace_rows(*args, **more)
        counts.append(rows.traces.height)
        return rows

    monkeypatch.setattr(part_rows, "trace_rows", counted)
    return counts


def test_kept_rows_are_those_of_the_spans(world: World, made: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first report makes all rows, the second none, and each is the same as without files, in whatever pieces."""
    plain = world.report(kept=True)
    assert made == [DAYS * A_DAY]
    monkeypatch.setattr(part_rows, "SPANS_AT_ONCE", 7)
    made.clear()
    assert world.report(kept=True) == plain
    assert sum(made) == DAYS * A_DAY
    assert len(made) == 2 * DAYS
    made.clear()
    assert world.report(kept=True) == plain
    assert sum(made) == 0
    other = JobOptions(simulated=True, feedback_key="session.id")
    world.report(kept=True, until=UNTIL + timedelta(hours=9), options=other)
    assert sum(made) == DAYS * A_DAY


def test_what_arrives_late_is_seen(world: World, made: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A span or a failed validation that comes after rows were kept counts, as if nothing had been kept."""
    monkeypatch.setattr(part_rows, "SPANS_AT_ONCE", 100)
    reports = [world.report(kept=True)]
    call = _trace(45)[1]
    late = {**call, "span_id": b"lateshow", "end_time_unix_nano": call["end_time_unix_nano"] + SECOND}
    for change, days in (
        (lambda: world.send([late]), 1),
        (lambda: world.judge(trace_id=(126).to_bytes(16, "big"), span_id=(252).to_bytes(8, "big")), 1),
        # What names no trace may speak of any.
        (lambda: world.judge(answer="r45"), DAYS),
    ):
        made.clear()
        change()
        reports.append(world.report(kept=True))
        assert sum(made) == days * A_DAY
    assert len(set(reports)) == len(reports)
    assert reports[-1] == world.report(kept=False)


def test_traces_that_go_on_belong_to_their_first_day(world: World) -> None:
    """Whatever midnight a trace goes over, it is in one part, whole."""
    window = {"since": AT - timedelta(days=20), "until": UNTIL}
    parts = trace_parts(world.store, pl.DataFrame(), (), **window)
    assert [part.traces for part in parts] == [A_DAY] * DAYS
    assert [f"{1:032x}" in part.elsewhere for part in parts] == [False, True, True, False, False, False]
    assert f"{1:032x}" in parts[0].crossing
    assert all(part.is_over for part in parts)
    assert len({part.digest for part in parts}) == DAYS


ROWS = pl.DataFrame({"trace_id": [f"{number:032x}" for number in range(500)], "names": [["a"], None] * 250})


def test_files_say_what_was_kept_or_nothing(tmp_path: Path) -> None:
    """A file that is damaged, cut or gone is as none; they are for their owner alone."""
    files = PartFiles(tmp_path / "s.duckdb.parts")
    assert files.read("a") is None
    files.write("a", ROWS)
    (path,) = (tmp_path / "s.duckdb.parts").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    kept = files.read("a")
    assert kept is not None
    assert_frame_equal(kept, ROWS)
    data = bytearray(path.read_bytes())
    for damaged in (b"", data[:-9], data[:200] + bytes([data[200] ^ 0xFF]) + data[201:]):
        path.write_bytes(damaged)
        assert files.read("a") is None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Rows that cannot be kept are not there, and nothing else happens."""
    (tmp_path / "s.duckdb.parts").write_text("a file where the folder should be", encoding="utf-8")
    files = PartFiles(tmp_path / "s.duckdb.parts")
    files.write("a", ROWS)
    files.drop_unused()
    assert files.read("a") is None


def test_files_that_nobody_asks_for_go(tmp_path: Path) -> None:
    """After some weeks, and all of them at once where asked."""
    files = PartFiles(tmp_path / "s.duckdb.parts")
    for digest in ("a", "b"):
        files.write(digest, ROWS)
    os.utime(tmp_path / "s.duckdb.parts" / "a.parquet", (0, 0))
    files.drop_unused()
    assert files.read("a") is None
    assert files.read("b") is not None
    files.clear()
    assert not list((tmp_path / "s.duckdb.parts").iterdir())
