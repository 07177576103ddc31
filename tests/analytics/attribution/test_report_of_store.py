"""From spans in the store to the report's words: where a regression begins."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.job import JobOptions, run_report
from analytics.promotions import Promotion, promotion_row
from analytics.report import render
from analytics.report.model import Report
from collector.decode import decode_traces
from collector.rows import span_rows
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


BEGAN = datetime(2026, 11, 2)
LATER = datetime(2026, 11, 20)
PROMOTION = Promotion("p", "m0", "m1", "concurrent", BEGAN, None, "app.cohort", None)
OTEL = "gen_ai.retrieval.documents"


def request_spans(model: str, number: int, *, empty: bool, convention: str) -> list[dict[str, Any]]:
    """A request that searches and answers; without documents it fails."""
    trace = f"{model}-{number:06}".encode().ljust(16, b"\0")
    begun = int((BEGAN + timedelta(minutes=30 * number)).replace(tzinfo=UTC).timestamp()) * 10**9
    documents: dict[str, Any] = {OTEL: json.dumps([] if empty else [{"id": "a"}, {"id": "b"}])}
    if convention == "openinference":
        documents = {} if empty else {f"retrieval.documents.{n}.document.id": "a" for n in range(2)}
        documents["openinference.span.kind"] = "RETRIEVER"
    else:
        documents["gen_ai.operation.name"] = "retrieval"
    call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": model, "gen_ai.usage.input_tokens": 50,
            "gen_ai.usage.output_tokens": 9, "gen_ai.response.finish_reasons": ["stop"]}  # fmt: skip
    parts: list[tuple[bytes, str, int, int, dict[str, Any]]] = [
        (b"handle00", "handle", 0, 900, {"app.cohort": "refunds", "user.id": f"{model}-{number // 2}"}),
        (b"search00", "search_policy", 0, 100, documents),
        (b"answer00", "chat", 100, 900, call),
    ]
    return [
        {
            "trace_id": trace, "span_id": span, "name": name, "attributes": attributes,
            "parent_span_id": b"" if name == "handle" else b"handle00",
            "start_time_unix_nano": begun + start * 10**6, "end_time_unix_nano": begun + end * 10**6,
            "status": {"code": 2 if name == "handle" and empty else 0},
        }
        for span, name, start, end, attributes in parts
    ]  # fmt: skip


@pytest.fixture(params=["otel", "openinference"])
def report(request: pytest.FixtureRequest, tmp_path: Path, otlp: Any) -> Report:
    """A candidate whose searches find nothing five times as often, which makes its requests fail."""
    with store_at(tmp_path / "s.duckdb") as store:
        store.write({"promotions": promotion_row(PROMOTION, BEGAN)})
        for model, often in (("m0", 20), ("m1", 4)):
            spans = [
                span
                for number in range(240)
                for span in request_spans(model, number, empty=number % often == 0, convention=request.param)
            ]
            data = otlp.request(*spans).SerializeToString()
            store.write(span_rows(decode_traces([data]), [None], BEGAN).tables)
        return run_report(store, "p", JobOptions(), as_of=LATER, now=LATER)


def test_empty_searches_are_where_it_begins(report: Report) -> None:
    """Both conventions' documents are counted, and every form of the report says where it begins."""
    (cohort,) = report.cohorts
    found = next(result for result in cohort.metrics if result.metric == "error_rate").attribution
    assert found is not None
    assert found.begins_at is not None
    assert (found.begins_at.step, found.begins_at.symptom) == (
        "retrieval search_policy",
        "traces with an empty search",
    )
    assert (found.begins_at.base, found.begins_at.candidate) == (0.05, 0.25)
    assert found.summary == (
        "In refunds it begins at retrieval search_policy, which found nothing in 25.0 % of traces (base 5.0 %)."
    )
    for form in ("table", "html", "md", "json"):
        shown = " ".join(render(report, form, width=200).split()).replace("\\", "")
        assert found.summary in shown
