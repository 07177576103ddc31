"""A report's traces in parts: the same rows as of the whole, kept from one report to the next, made anew where they must."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analytics import window_traces
from analytics.job import run_report
from analytics.job_options import JobOptions
from analytics.part_files import PartFiles
from analytics.promotions import Promotion, promotion_row
from analytics.report import as_json
from analytics.trace_rows import TraceRows, trace_rows
from collector.decode import decode_traces
from collector.rows import span_rows
from sql.store import Store

AT = datetime(2026, 11, 1)
SECOND = 10**9
BEGIN = int(AT.timestamp() - datetime(1970, 1, 1).timestamp()) * SECOND
DAYS = 6
A_DAY = 40
UNTIL = AT + timedelta(days=DAYS, hours=3)
Spans = Callable[[range], list[dict[str, Any]]]


def _trace(number: int) -> list[dict[str, Any]]:
    """A request of two spans; every tenth goes on beyond midnight, one of them for days, and the last ones are under way."""
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
        self.store = Store(folder / "s.duckdb")
        self.files = PartFiles(folder / "s.duckdb.parts")
        self._otlp = otlp
        promotion = Promotion("p", "m0", "m1", "concurrent", AT + timedelta(days=1), None, "app.cohort", 0.5)
        self.store.write({"promotions": promotion_row(promotion, AT)})
        self.send([span for number in range(DAYS * A_DAY) for span in _trace(number)])

    def send(self, spans: list[dict[str, Any]], *, after: timedelta = timedelta(days=DAYS)) -> None:
        """Let spans arrive."""
        body = self._otlp.request(*spans).SerializeToString()
        self.store.write(span_rows(decode_traces([body]), [None], AT + after).tables)

    def judge(self, number: int, name: str = "JSONValidation", **target: str) -> None:
        """Let a failed evaluation arrive."""
        row = {
            "evaluation_id": f"e{number}", "event_time": AT + timedelta(days=2), "name": name, "label": "fail",
            "carrier": "log", "received_at": AT + timedelta(days=DAYS), **target,
        }  # fmt: skip
        kinds = {"event_time": pa.timestamp("ns"), "received_at": pa.timestamp("us")}
        schema = pa.schema([(key, kinds.get(key, pa.string())) for key in row])
        self.store.write({"evaluations": pa.Table.from_pylist([row], schema)})

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

    monkeypatch.setattr(window_traces, "trace_rows", counted)
    return counts


def test_kept_rows_are_those_of_the_spans(world: World, made: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first report makes all, the second those of the day that is not over; each as without files, whatever fits."""
    plain = world.report(kept=False)
    every = sum(made)
    monkeypatch.setattr(window_traces, "SPANS_AT_ONCE", 7)
    made.clear()
    assert world.report(kept=True) == plain
    assert sum(made) == every == DAYS * A_DAY
    made.clear()
    assert world.report(kept=True) == plain
    assert sum(made) == 0
    later = UNTIL + timedelta(hours=9)
    assert world.report(kept=True, until=later) == world.report(kept=False, until=later)


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.send([{**_trace(45)[1], "span_id": b"lateshow", "end_time_unix_nano": _trace(45)[1]["end_time_unix_nano"] + SECOND}]),
        lambda world: world.judge(1, trace_id=f"{46:032x}", span_id=f"{92:016x}"),
        lambda world: world.judge(2, response_id="r45"),
    ],
    ids=["late span", "failed validation of a span", "of an answer"],
)  # fmt: skip
def test_what_arrives_late_is_seen(world: World, made: list[int], change: Callable[[World], None]) -> None:
    """A span or a failed validation that comes after rows were kept counts, as if nothing had been kept."""
    before = world.report(kept=True)
    change(world)
    made.clear()
    after = world.report(kept=True)
    assert sum(made) >= A_DAY
    assert after == world.report(kept=False) != before


def test_other_questions_have_other_rows(world: World) -> None:
    """Rows that were kept under one configuration serve no other one."""
    world.report(kept=True)
    options = JobOptions(simulated=True, feedback_key="session.id")
    assert world.report(kept=True, options=options) == world.report(kept=False, options=options)


def test_a_damaged_file_is_made_anew(world: World, tmp_path: Path, made: list[int]) -> None:
    """Whatever became of the files, the report is the same; they are for their owner alone."""
    plain = world.report(kept=True)
    kept = sorted((tmp_path / "s.duckdb.parts").iterdir())
    assert len(kept) == DAYS
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    kept[0].write_bytes(b"")
    middle = kept[1].stat().st_size // 2
    data = bytearray(kept[1].read_bytes())
    data[middle] ^= 0xFF
    kept[1].write_bytes(data)
    kept[2].unlink()
    made.clear()
    assert world.report(kept=True) == plain
    assert sum(made) == 3 * A_DAY


def test_a_folder_that_cannot_be_written(world: World, tmp_path: Path) -> None:
    """Rows that cannot be kept are made each time."""
    (tmp_path / "s.duckdb.parts").write_text("a file where the folder should be", encoding="utf-8")
    assert world.report(kept=True) == world.report(kept=False)


def test_files_that_nobody_asks_for_go(world: World, tmp_path: Path) -> None:
    """After some weeks, and all of them at once where asked."""
    import os  # noqa: PLC0415

    world.report(kept=True)
    old, *others = sorted((tmp_path / "s.duckdb.parts").iterdir())
    os.utime(old, (0, 0))
    world.files.drop_unused()
    assert sorted((tmp_path / "s.duckdb.parts").iterdir()) == others
    world.files.clear()
    assert not list((tmp_path / "s.duckdb.parts").iterdir())
