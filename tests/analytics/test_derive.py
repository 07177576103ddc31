"""The table of calls follows what arrives, whatever arrives when, and whoever derives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

import analytics.derive
from analytics.derive import derive, mark_stale
from analytics.job_options import JobOptions
from analytics.pricing import Price, PriceBook
from collector.decode import decode_logs, decode_traces
from collector.rows import log_rows, span_rows
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


ARRIVAL = datetime(2026, 11, 1)
SECOND = 1_000_000_000
START = 1_793_000_000 * SECOND
OPTIONS = JobOptions(prices=PriceBook([Price("m", 1, 2)]))

Receive = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenedStore]:
    """An empty store."""
    with store_at(tmp_path / "s.duckdb") as opened:
        yield opened


@pytest.fixture
def receive(store: OpenedStore, otlp: Any) -> Receive:
    """Store the spans of a request as if they had arrived a number of minutes after the first ones."""

    def arrive(*spans: dict[str, Any], minutes: int = 0) -> None:
        columns = decode_traces([otlp.request(*spans).SerializeToString()])
        store.write(span_rows(columns, [None], ARRIVAL + timedelta(minutes=minutes)).tables)

    return arrive


def call(span: int, trace: int = 1, parent: int | None = None, second: int = 0, **more: Any) -> dict[str, Any]:
    """A model call of 100 input and 10 output tokens, so many seconds after the first."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m",
                  "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}  # fmt: skip
    return {
        "trace_id": trace.to_bytes(16, "big"),
        "span_id": span.to_bytes(8, "big"),
        **({} if parent is None else {"parent_span_id": parent.to_bytes(8, "big")}),
        "start_time_unix_nano": START + second * SECOND,
        "end_time_unix_nano": START + (second + 1) * SECOND,
        "attributes": attributes | more.pop("attributes", {}),
        **more,
    }


def failed(span: int, **more: Any) -> dict[str, Any]:
    """A model call that ended in an error, without usage."""
    without = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None, "error.type": "RateLimitError"}
    return call(span, status={"code": 2}, attributes=without, **more)


def rows(store: OpenedStore, query: str) -> list[dict[str, Any]]:
    """The answer of a query."""
    found: list[dict[str, Any]] = store.read(query).to_pylist()
    return found


def test_calls_are_derived_once_and_priced(store: OpenedStore, receive: Receive) -> None:
    """What arrived becomes calls with their cost; deriving again finds nothing to do."""
    receive(call(1), call(2, trace=2))
    step = derive(store, OPTIONS)
    assert (step.traces, step.calls) == (2, 2)
    assert [str(row["cost_usd"]) for row in rows(store, "SELECT cost_usd FROM calls")] == ["0.000120000000"] * 2
    assert derive(store, OPTIONS).traces == 0
    assert rows(store, "SELECT spans_left, traces_left FROM derivation_progress") == [
        {"spans_left": 0, "traces_left": 0}
    ]


def test_a_late_span_changes_its_trace(store: OpenedStore, receive: Receive) -> None:
    """A trace is looked at whole again when more of it arrives: the failed call that came late starts the chain."""
    receive(call(2, second=5))
    derive(store, OPTIONS)
    assert rows(store, "SELECT attempts FROM attempt_chains") == [{"attempts": 1}]
    receive(failed(1), minutes=10)
    derive(store, OPTIONS)
    assert rows(store, "SELECT attempts, retries, is_error FROM attempt_chains") == [
        {"attempts": 2, "retries": 1, "is_error": False}
    ]


@pytest.mark.parametrize(("hours", "attempts"), [(2, [2]), (0.5, [1, 1])])
def test_how_far_the_rest_of_a_trace_is_looked_for(
    store: OpenedStore, receive: Receive, hours: float, attempts: list[int]
) -> None:
    """What began about when a late span did is looked at with it; calls further away stay as they are."""
    options = replace(OPTIONS, trace_spread=timedelta(hours=hours))
    receive(failed(1))
    derive(store, options)
    receive(call(2, second=3600), minutes=70)
    derive(store, options)
    found = rows(store, "SELECT attempts FROM attempt_chains ORDER BY ALL")
    assert [row["attempts"] for row in found] == attempts


@pytest.mark.parametrize("name", ["JSONValidation", "json_validation", "Schema Validation"])
def test_a_late_evaluation_changes_the_chain(store: OpenedStore, receive: Receive, otlp: Any, name: str) -> None:
    """An answer that a validator fails days later makes the call after it a schema repair."""
    receive(call(1), call(2, second=5))
    derive(store, OPTIONS)
    assert {row["schema_repairs"] for row in rows(store, "SELECT schema_repairs FROM attempt_chains")} == {0}
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(
        event_name="gen_ai.evaluation.result", time_unix_nano=START + 30 * 86_400 * SECOND,
        trace_id=(1).to_bytes(16, "big"), span_id=(1).to_bytes(8, "big"),
    )  # fmt: skip
    label = {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.label": "fail"}
    record.attributes.extend(otlp.key_values(label))
    columns = decode_logs([request.SerializeToString()])
    store.write(log_rows(columns, [None], ARRIVAL + timedelta(days=30)).tables)
    derive(store, OPTIONS)
    assert rows(store, "SELECT attempts, schema_repairs FROM attempt_chains") == [{"attempts": 2, "schema_repairs": 1}]


def test_marked_traces_are_priced_anew(store: OpenedStore, receive: Receive) -> None:
    """After prices change, what is marked takes the new ones; the rest keeps what it had."""
    receive(call(1), call(2, trace=2, second=100))
    derive(store, OPTIONS)
    dearer = JobOptions(prices=PriceBook([Price("m", 2, 4)]))
    assert derive(store, dearer).traces == 0
    since = rows(store, "SELECT max(start_time) AS latest FROM calls")[0]["latest"]
    assert mark_stale(store, since=since) == 1
    assert derive(store, dearer).traces == 1
    costs = [str(row["cost_usd"]) for row in rows(store, "SELECT cost_usd FROM calls ORDER BY start_time")]
    assert costs == ["0.000120000000", "0.000240000000"]
    assert mark_stale(store, model="other") == 0
    assert mark_stale(store, model="m") == 2


def test_many_traces_are_derived_in_parts(
    store: OpenedStore, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the size of a part, every trace is derived; one too large to read is left out and said."""
    monkeypatch.setattr(analytics.derive, "SPANS_AT_ONCE", 3)
    monkeypatch.setattr(analytics.derive, "LARGEST_TRACE", 5)
    monkeypatch.setattr(analytics.derive, "TRACES_AT_ONCE", 2)
    for minute in range(4):
        receive(*(call(10 * minute + n, trace=10 * minute + n) for n in range(1, 5)), minutes=minute)
    receive(*(call(100 + n, trace=99, second=n) for n in range(6)), minutes=9)
    assert derive(store, OPTIONS).calls == 16
    assert rows(store, "SELECT count(*) AS calls FROM calls WHERE trace_id = '" + f"{99:032x}'") == [{"calls": 0}]
    assert mark_stale(store) == 16
    assert derive(store, OPTIONS).traces == 16


def test_a_marked_trace_that_cannot_be_derived_is_done_with(
    store: OpenedStore, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trace that has grown too large since, or whose spans are gone, is not looked for again and again."""
    receive(*(call(n, second=n) for n in range(1, 5)), call(9, trace=2))
    derive(store, OPTIONS)
    monkeypatch.setattr(analytics.derive, "LARGEST_TRACE", 3)
    assert mark_stale(store) == 2
    assert derive(store, OPTIONS).traces == 2
    assert rows(store, "SELECT traces_left FROM derivation_progress") == [{"traces_left": 0}]


def test_a_trace_that_breaks_the_derivation_harms_no_other(
    store: OpenedStore, receive: Receive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever one trace holds, the others are derived; the one at fault is told without what it holds."""
    real = analytics.derive.derived_calls

    def breaking(spans: pl.DataFrame, *given: Any, **options: Any) -> Any:
        if f"{3:032x}" in spans["trace_id"]:
            raise BaseException("secret")  # noqa: TRY002 (as polars panics)
        return real(spans, *given, **options)

    monkeypatch.setattr(analytics.derive, "derived_calls", breaking)
    receive(*(call(n, trace=n) for n in range(1, 6)))
    assert derive(store, OPTIONS).calls == 4
    assert f"{3:032x}" not in {row["trace_id"] for row in rows(store, "SELECT trace_id FROM calls")}
    assert f"trace {3:032x} cannot be derived" in caplog.text
    assert "secret" not in caplog.text


class Overtaken:
    """A store where somebody else derives at an inconvenient moment."""

    def __init__(self, store: OpenedStore, meanwhile: Callable[[], object]) -> None:
        self._store = store
        self._meanwhile: Callable[[], object] | None = meanwhile

    def read(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """As the store."""
        return self._store.read(query, parameters)

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """As the store, after what happens meanwhile."""
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile:
            meanwhile()
        return self._store.write(tables)


def test_who_is_overtaken_starts_anew(store: OpenedStore, receive: Receive) -> None:
    """Of two that derive at once the slower one, which saw less, overwrites nothing."""
    receive(call(2, second=5))

    def meanwhile() -> None:
        receive(failed(1), minutes=10)
        derive(store, OPTIONS)

    derive(Overtaken(store, meanwhile), OPTIONS)
    assert rows(store, "SELECT attempts FROM attempt_chains") == [{"attempts": 2}]
    assert rows(store, "SELECT count(*) AS calls FROM calls") == [{"calls": 2}]


def test_cost_is_conserved_from_calls_to_traces(store: OpenedStore, receive: Receive) -> None:
    """Cost by call is cost by chain is cost by trace, and what has no price stays unknown in each."""
    unpriced = {"gen_ai.request.model": "nobody-knows"}
    receive(
        failed(1),
        call(2, second=5),
        call(3, second=9),
        call(4, trace=2),
        call(5, trace=2, second=9, attributes=unpriced),
    )
    derive(store, OPTIONS)
    by_call = rows(store, "SELECT sum(priced_cost_usd) AS cost FROM calls WHERE is_counted")
    assert by_call == rows(store, "SELECT sum(priced_cost_usd) AS cost FROM attempt_chains")
    assert by_call == rows(store, "SELECT sum(priced_cost_usd) AS cost FROM trace_costs")
    traces = rows(store, "SELECT cost_usd, priced_tokens, unpriced_tokens FROM trace_costs ORDER BY trace_id")
    assert [(str(t["cost_usd"]), t["priced_tokens"], t["unpriced_tokens"]) for t in traces] == [
        ("0.000240000000", 220, 0),
        ("None", 110, 110),
    ]
    assert rows(store, "SELECT request_model, calls, unpriced_tokens FROM unpriced_tokens") == [
        {"request_model": "nobody-knows", "calls": 1, "unpriced_tokens": 110}
    ]
