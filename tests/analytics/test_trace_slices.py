"""Reports on traces whose messages are larger than the store's memory takes at once."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analytics import trace_slices
from analytics.job import run_report
from analytics.job_options import JobOptions
from analytics.promotions import Promotion, promotion_row
from analytics.report import as_json
from analytics.trace_slices import read_by_traces
from collector.decode import decode_traces
from collector.rows import span_rows
from sql.errors import QueryMemoryError
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

AT = datetime(2026, 10, 20)
UNTIL = datetime(2026, 11, 20)
TRACES = 240
BEGIN = 1_792_500_000_000_000_000
"""In November 2026, in nanoseconds."""


def span(number: int, words: random.Random) -> dict[str, Any]:
    """One request with a hundred kilobytes of messages."""
    text = " ".join(f"{words.getrandbits(64):x}" for _ in range(6_000))
    return {
        "trace_id": (number + 1).to_bytes(16, "big"), "span_id": (number + 1).to_bytes(8, "big"),
        "start_time_unix_nano": BEGIN + number * 600_000_000_000,
        "end_time_unix_nano": BEGIN + number * 600_000_000_000 + 10**9 + number,
        "attributes": {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": f"m{number % 2}", "app.cohort": "eu",
            "user.id": f"u{number}", "app.channel": f"c{number % 3}", "app.request": f"r{number}",
            "gen_ai.input.messages": f'[{{"role": "user", "content": "{text}"}}]',
        },
    }  # fmt: skip


def test_large_messages_are_read_in_parts(tmp_path: Path, otlp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory does not suffice for all traces at once the report is the same, to the byte."""
    words = random.Random(5)  # noqa: S311 (texts, not secrets)
    with store_at(tmp_path / "s.duckdb") as store:
        for begin in range(0, TRACES, 40):
            batch = otlp.request(*(span(number, words) for number in range(begin, begin + 40)))
            store.write(span_rows(decode_traces([batch.SerializeToString()]), [None], AT).tables)
        store.write(
            {"promotions": promotion_row(Promotion("p", "m0", "m1", "concurrent", AT, None, "app.cohort", 0.5), AT)}
        )
        whole = as_json.render(run_report(store, "p", JobOptions(), as_of=UNTIL, now=UNTIL))
    with store_at(tmp_path / "s.duckdb", memory_limit="150MB") as small:
        parts = as_json.render(run_report(small, "p", JobOptions(), as_of=UNTIL, now=UNTIL))
        monkeypatch.setattr(trace_slices, "SLICES", (1,))
        with pytest.raises(QueryMemoryError, match=r"raise server\.memory_limit"):
            run_report(small, "p", JobOptions(), as_of=UNTIL, now=UNTIL)
    assert parts == whole


def test_parts_have_each_trace_once(tmp_path: Path, otlp: Any) -> None:
    """Whatever the number of parts."""
    words = random.Random(5)  # noqa: S311 (texts, not secrets)
    asked = []

    class Forgetful:
        def read(self, query: str, parameters: Mapping[str, Any] | None = None) -> Any:
            asked.append(parameters)
            if parameters and parameters["slices"] < 16:
                raise QueryMemoryError("too much")
            return store.read(query, parameters)

    with store_at(tmp_path / "s.duckdb") as store:
        batch = otlp.request(*(span(number, words) for number in range(30)))
        store.write(span_rows(decode_traces([batch.SerializeToString()]), [None], AT).tables)
        read = read_by_traces(
            Forgetful(), "SELECT trace_id FROM spans WHERE hash(trace_id) % $slices::UBIGINT = $slice::UBIGINT", {}
        )
    assert sorted(read["trace_id"]) == [f"{number + 1:032x}" for number in range(30)]
    assert read.schema == {"trace_id": pl.String}
    assert len(asked) == 18
