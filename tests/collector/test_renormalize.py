"""What an older version of the normaliser wrote is brought to the present one, slice by slice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import collector.renormalize
from collector.decode import decode_traces
from collector.normalize import NORMALIZER_VERSION, NormalizerInput, canonical_columns
from collector.renormalize import renormalize
from collector.rows import span_rows
from sql import statements
from sql.errors import StoreError
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


NOW = datetime(2026, 11, 1)
START = 1_793_000_000_123_456_789
SPANS = 10


@pytest.fixture
def spans(otlp: Any) -> pa.Table:
    """Rows of model calls at times that are no whole microseconds, two at each, every second trace with a failure."""
    request = otlp.request(
        *(
            {
                "trace_id": (1 + number // 2).to_bytes(16, "big"),
                "start_time_unix_nano": START + number // 2,
                "attributes": {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
                               "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": number,
                               "gen_ai.usage.output_tokens": 1, "gen_ai.response.finish_reasons": ["stop"]},
            }
            for number in range(SPANS)
        )
    )  # fmt: skip
    return span_rows(decode_traces([request.SerializeToString()]), [None], NOW).tables["spans"]


@pytest.fixture
def store(tmp_path: Path, spans: pa.Table) -> Iterator[OpenedStore]:
    """A store whose spans an older version wrote: the first four right, the others with nothing read."""
    with store_at(tmp_path / "s.duckdb") as opened:
        opened.write({"spans": spans})
        opened.write(
            {
                "renormalized_spans": opened.read(
                    "SELECT * EXCLUDE (events, links) REPLACE (0::USMALLINT AS normalizer_version, ['stop'] AS"
                    " finish_reasons, if(input_tokens < 4, input_tokens, NULL) AS input_tokens) FROM spans"
                )
            }
        )
        yield opened


def ask(store: OpenedStore, query: str) -> list[dict[str, Any]]:
    """The answer of a query."""
    found: list[dict[str, Any]] = store.read(query).to_pylist()
    return found


def test_history_becomes_what_it_would_be_today(store: OpenedStore, spans: pa.Table) -> None:
    """Every canonical column of every row is what the present version writes."""
    assert renormalize(store) == SPANS
    columns = [name for name in spans.column_names if name not in {"attributes", "events", "links", "received_at"}]
    listed = ", ".join(columns)
    again = store.read(f"SELECT {listed} FROM spans ORDER BY start_time, span_id")
    for name in columns:
        # Times with nanoseconds have no Python value.
        integer = pa.types.is_timestamp(spans[name].type)
        kind = pa.int64() if integer else spans[name].type
        assert again[name].cast(kind).to_pylist() == spans[name].cast(kind).to_pylist(), name
    assert ask(store, f"SELECT count(*) AS n FROM spans WHERE normalizer_version = {NORMALIZER_VERSION}") == [
        {"n": SPANS}
    ]
    assert renormalize(store) == 0


def test_only_traces_with_a_change_are_derived_anew(store: OpenedStore, spans: pa.Table) -> None:
    """Rows that read the same as before cost their trace nothing."""
    del spans
    before = {row["trace_id"] for row in ask(store, "SELECT DISTINCT trace_id FROM stale_traces")}
    assert len(before) == 3
    with_marks = ask(store, "SELECT count(*) AS n FROM stale_traces")[0]["n"]
    renormalize(store)
    marked = ask(store, f"SELECT DISTINCT trace_id FROM (FROM stale_traces OFFSET {with_marks}) ORDER BY trace_id")
    assert [row["trace_id"] for row in marked] == [f"{number:032x}" for number in (3, 4, 5)]


class Failing:
    """A store that can be written a number of times and no more."""

    def __init__(self, store: OpenedStore, writes: int) -> None:
        self._store = store
        self._writes = writes

    def read(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """As the store."""
        return self._store.read(query, parameters)

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """As the store, until it fails."""
        self._writes -= 1
        if self._writes < 0:
            raise StoreError("the machine is gone")
        return self._store.write(tables)


@pytest.mark.parametrize(("rows", "size"), [(3, 2**20), (1000, 1), (2, 100)])
def test_an_interrupted_run_goes_on_where_it_was(
    store: OpenedStore, monkeypatch: pytest.MonkeyPatch, rows: int, size: int
) -> None:
    """Slices of whatever size, cut off after two of them: the next run does the rest, and no row twice."""
    monkeypatch.setattr(collector.renormalize, "SPANS_AT_ONCE", rows)
    monkeypatch.setattr(collector.renormalize, "BYTES_AT_ONCE", size)
    told: list[tuple[int, int]] = []
    with pytest.raises(StoreError, match="the machine is gone"):
        renormalize(Failing(store, 2), lambda done, left: told.append((done, left)))
    assert [left for _, left in told] == [SPANS, SPANS - told[0][0]]
    done = sum(each for each, _ in told)
    assert renormalize(store) == SPANS - done
    assert ask(store, "SELECT sum(input_tokens)::INTEGER AS n FROM spans") == [{"n": sum(range(SPANS))}]


def test_a_row_that_cannot_be_read_keeps_its_columns(store: OpenedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One damaged row is passed over, and the others are normalised."""
    real = NormalizerInput.of_stored

    def damaged(rows: pa.Table) -> NormalizerInput:
        if f"{7:016x}" in rows["span_id"].to_pylist():
            raise ValueError("Stored attributes are a JSON object")
        return real(rows)

    monkeypatch.setattr(NormalizerInput, "of_stored", damaged)
    assert renormalize(store) == SPANS
    found = ask(store, "SELECT span_id, normalizer_version FROM spans WHERE input_tokens IS NULL")
    assert found == [{"span_id": f"{7:016x}", "normalizer_version": NORMALIZER_VERSION}]


def test_the_write_covers_every_canonical_column(otlp: Any) -> None:
    """A column that the normaliser fills and the write forgets would keep what an older version said."""
    columns = canonical_columns(NormalizerInput.of(decode_traces([otlp.request({}).SerializeToString()])))
    text = statements.write("renormalized_spans")
    updated = set(re.findall(r"^ *(?:UPDATE live_spans SET )?(\w+) = incoming\.\1", text, re.MULTILINE))
    compared = set(re.findall(r"spans\.(\w+) IS DISTINCT FROM incoming\.\1", text))
    assert updated == set(columns)
    assert compared == set(columns) - {"normalizer_version"}
