"""Evidence of real stores: the same however they were filled, and another report where only steps differ."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics.job import run_report
from analytics.job_options import JobOptions
from analytics.pricing import Price, PriceBook
from analytics.promotions import Promotion, promotion_row
from analytics.report import as_json
from analytics.report.from_json import from_dict
from analytics.report.model import Report, Verdict
from analytics.stored_reports import report_id
from collector.decode import decode_traces
from collector.rows import span_rows
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


BEGAN = datetime(2026, 11, 2)
LATER = datetime(2026, 11, 20)
PROMOTION = Promotion("p", "m0", "m1", "concurrent", BEGAN, None, "app.cohort", None)

Span = dict[str, Any]
REQUESTS = 300

Reported = Callable[[list[list[Span]]], Report]


def spans_of(model: str, number: int, tool: str = "refund_lookup") -> list[Span]:
    """One request: an agent, a tool that fails for the candidate now and then, a call, some asked again."""
    trace = hashlib.blake2b(f"{model}-{number}".encode(), digest_size=16).digest()
    start = int((BEGAN + timedelta(minutes=45 * number)).replace(tzinfo=UTC).timestamp()) * 10**9
    lost = model == "m1" and number % 5 == 0
    call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
    used = {**call, "gen_ai.usage.input_tokens": 100 + number % 37, "gen_ai.usage.output_tokens": 20 + number % 11}

    def span(place: int, end: float, attributes: Span, *, failed: bool = False) -> Span:
        made = {
            "trace_id": trace, "span_id": trace[:7] + bytes([place]), "start_time_unix_nano": start + place * 10**8,
            "end_time_unix_nano": start + int(end * 10**9) + number * 1_000, "status": {"code": 2 if failed else 0},
            "attributes": attributes,
        }  # fmt: skip
        return made if place == 0 else {**made, "parent_span_id": trace[:7] + bytes([0])}

    root = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper", "app.cohort": "refunds",
            "user.id": f"u{number % 90}{model}"}  # fmt: skip
    told = [
        span(0, 1.0 + number % 7 / 10, root, failed=lost),
        span(1, 0.2, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}, failed=lost),
    ]
    if number % 9 == 0:
        told.append(span(3, 0.4, used, failed=True))
    return [*told, span(5, 0.9, used)]


def spans(tool: str = "refund_lookup") -> list[Span]:
    """Those of three hundred requests of each model."""
    return [span for number in range(REQUESTS) for model in ("m0", "m1") for span in spans_of(model, number, tool)]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory, otlp: Any) -> Iterator[Reported]:
    """Fills a new store, one request of OTLP for each list of spans, and reports on it."""
    stores: list[OpenedStore] = []
    folder = tmp_path_factory.mktemp("stores")

    def make(batches: list[list[Span]]) -> Report:
        store = store_at(folder / f"{len(stores)}.duckdb")
        stores.append(store)
        store.write({"promotions": promotion_row(PROMOTION, BEGAN)})
        for batch in batches:
            data = otlp.request(*batch).SerializeToString()
            store.write(span_rows(decode_traces([data]), [None], BEGAN + timedelta(days=len(stores))).tables)
        options = JobOptions(prices=PriceBook([Price("m0", 1, 3), Price("m1", 1, 3)]))
        return run_report(store, "p", options, as_of=LATER, now=LATER + timedelta(days=len(stores)))

    yield make
    for store in stores:
        store.close()


@pytest.fixture(scope="module")
def report(reported: Reported) -> Report:
    """That of all requests in one batch."""
    return reported([spans()])


def test_stores_filled_in_any_order_give_the_same_bytes(reported: Reported, report: Report) -> None:
    """In one batch or in many, in order or not, on another day: one document, from which the evidence reads back."""
    shuffled = spans()
    random.Random(3).shuffle(shuffled)  # noqa: S311 (an order, not a secret)
    document = as_json.render(report)
    assert as_json.render(reported([shuffled[:311], shuffled[300:1_000], shuffled[1_000:]])) == document
    assert from_dict(json.loads(document), report.generated_at).evidence == report.evidence


def test_a_store_has_evidence_of_every_kind(report: Report) -> None:
    """Days, curves, usage and chains of what was stored, to the trace."""
    (errors,) = (each for each in report.evidence.over_time if each.metric == "error_rate")
    assert (sum(day.base.n for day in errors.days), sum(day.candidate.n for day in errors.days)) == (REQUESTS, REQUESTS)
    assert errors.days[0].candidate.value == pytest.approx(7 / 32)  # every fifth of the first day's
    assert [(each.quantity, each.n["base"]) for each in report.evidence.distributions] == [
        ("latency", REQUESTS), ("cost", REQUESTS),
    ]  # fmt: skip
    retried = len(range(0, REQUESTS, 9))
    assert [(each.arm, each.chains, each.retried, each.rescued) for each in report.evidence.attempts] == [
        ("base", REQUESTS, retried, retried), ("candidate", REQUESTS, retried, retried),
    ]  # fmt: skip
    base, candidate = report.evidence.usage
    assert base.calls == candidate.calls == (REQUESTS + retried) / REQUESTS
    assert base.cost == pytest.approx((base.input_tokens or 0) * 1e-6 + (base.output_tokens or 0) * 3e-6)
    wasted = report.evidence.attempts[0].extra_cost
    assert wasted == pytest.approx((base.cost or 0) * retried / (REQUESTS + retried), rel=0.05)


def test_steps_alone_make_another_report(reported: Reported, report: Report) -> None:
    """The traces are the same and so is the fingerprint; what is said of their steps is not, nor is the identity."""
    other = reported([spans("refund_search")])
    assert report.overall is Verdict.REGRESSED
    assert report.fingerprint == other.fingerprint
    assert report_id(report) != report_id(other)
    assert "refund_search" in as_json.render(other)
