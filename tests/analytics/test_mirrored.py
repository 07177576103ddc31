"""Mirror results of a gateway: read as it hands them out, compared as pairs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.job import run_report
from analytics.job_options import JobOptions
from analytics.metrics import MetricOverride
from analytics.mirror import MirrorError, read_pairs
from analytics.pricing import Price, PriceBook
from analytics.promotions import EVERYTHING, MIRRORED, Promotion, promotion_row
from analytics.report.model import CheckStatus, MetricResult, Report, Verdict
from collector.decode import decode_traces
from collector.rows import span_rows
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

BEGAN = datetime(2026, 11, 2)
LATER = datetime(2026, 11, 20)
PROMOTION = Promotion("p", "m0", "m1", MIRRORED, EVERYTHING, None, "app.cohort", None)


def result(number: int, **changes: object) -> dict[str, Any]:
    """One result as the gateway's webhook and API have it."""
    moment = BEGAN + timedelta(minutes=10 * number)
    return {
        "id": f"id-{number}", "request_id": f"req-{number}", "experiment": "exp-1", "source_model": "m0",
        "shadow_model": "m1", "source_response": "yes", "shadow_response": "no", "source_latency_ms": 900 + number % 50,
        "shadow_latency_ms": 905 + number * 7 % 50,
        "source_tokens": 120 + number % 9, "shadow_tokens": 121 + number % 7,
        "source_status_code": 200, "shadow_status_code": 200, "shadow_error": "", "prompt_hash": "ab12",
        "created_at": moment.isoformat() + ".123456789Z", **changes,
    }  # fmt: skip


def failed(number: int) -> dict[str, Any]:
    """One whose shadow did not answer: the gateway writes zeros."""
    return result(number, shadow_error="timeout", shadow_status_code=0, shadow_tokens=0, shadow_latency_ms=30_000)


def read(body: object, *, keep_responses: bool = True) -> Any:
    """The rows of a body, as dicts."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_pairs(io.BytesIO(data), "body", LATER, keep_responses=keep_responses).to_pylist()


@pytest.mark.parametrize(
    "body",
    [
        [result(1), result(2)],
        {"results": [result(1), result(2)]},
        {"count": 2, "next": None, "previous": None, "results": [result(1), result(2)]},
        {"status": True, "result": {"results": [result(1), result(2)]}},
        (json.dumps(result(1)) + "\n\n" + json.dumps(result(2)) + "\n").encode(),
        (json.dumps({"results": [result(1)]}) + "\n" + json.dumps({"results": [result(2)]})).encode(),
    ],
    ids=["array", "webhook", "page", "wrapped", "lines", "lines of bodies"],
)
def test_every_form_gives_the_same_rows(body: object) -> None:
    """An array, the API's page, the webhook's body and lines of either say the same."""
    rows = read(body)
    assert [row["request_id"] for row in rows] == ["req-1", "req-2"]
    first = rows[0]
    assert (first["experiment_id"], first["source_total_tokens"], first["shadow_status_code"]) == ("exp-1", 121, 200)
    assert first["shadow_error"] is None
    assert str(first["created_at"]).startswith("2026-11-02 00:10:00.123456")
    assert json.loads(first["attributes"])["shadow_response"] == "no"


def test_unknown_is_never_zero() -> None:
    """A shadow that failed has no count of tokens, whatever number stands there."""
    assert read([failed(1)])[0]["shadow_total_tokens"] is None


def test_responses_may_be_left_out() -> None:
    """Where content is not to be kept, neither model's answer is."""
    assert "response" not in read([result(1)], keep_responses=False)[0]["attributes"]


def test_a_line_ends_where_json_lines_says() -> None:
    """Characters that other readers take for the end of a line may stand in a text."""
    lines = [json.dumps(result(number, shadow_error="a\u2028b\x85c"), ensure_ascii=False) for number in (1, 2)]
    assert [row["shadow_error"] for row in read("\r\n".join(lines).encode())] == ["a\u2028b\x85c"] * 2


def test_the_later_of_two_holds() -> None:
    """A pair that stands twice in a file is stored as it was said last."""
    later = result(1, created_at="2026-11-03T00:00:00Z", shadow_latency_ms=1)
    assert [row["shadow_latency_ms"] for row in read([later, result(1)])] == [1.0]


def test_nothing_mirrored_is_no_fault() -> None:
    """A job that fetches results meets nights without any."""
    assert read([]) == []


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "body: it is not JSON: expecting property name"),
        (b"\xff", "body is not UTF-8"),
        ([1], "body, result 1: not a JSON object"),
        ([result(1), result(2, request_id=None)], "body, result 2: request_id is missing"),
        ([result(1, created_at="yesterday")], "created_at is 'yesterday', not an ISO 8601 time"),
        ([result(1, created_at="9999-12-31T00:00:00Z")], "not an ISO 8601 time"),
        ([result(1, source_tokens=-1)], "source_total_tokens is '-1', not a whole number of 0 or more"),
        ([result(1, shadow_latency_ms="fast")], "shadow_latency_ms is 'fast', not a number"),
        ([result(1, source_model=["m"])], "source_model is"),
        (json.dumps(result(1)).encode() + b'\n{"request_id": NaN}', "body, line 2: it is not JSON: NaN is not a value"),
        (b"[" * 2_000, "nested"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(body: object, sentence: str) -> None:
    """The source, the result and the field are named, and that nothing was imported."""
    with pytest.raises(MirrorError, match="nothing was imported") as error:
        read(body)
    assert sentence in str(error.value)


KEYS = ("results", "request_id", "created_at", "source_model", "shadow_model", "shadow_tokens")
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=12,
)


@given(VALUES | st.binary(max_size=40))
@settings(max_examples=60)
def test_any_body_is_rows_or_a_sentence(body: object) -> None:
    """Whatever comes is read or refused, never anything else."""
    refused = None
    try:
        assert all(row["request_id"] for row in read(body))
    except MirrorError as error:
        refused = str(error)
    assert refused is None or refused.endswith("nothing was imported.")


@dataclass
class Gateway:
    """A store with mirrored requests."""

    store: OpenedStore
    otlp: Any

    def mirror(self, *results: dict[str, Any]) -> int:
        """Import results; how many were new or changed."""
        rows = read_pairs(io.BytesIO(json.dumps(results).encode()), "body", LATER, keep_responses=True)
        return self.store.write({"mirror_pairs": rows})["mirror_pairs"]

    def trace(self, *numbers: int, cohort: str = "refunds", users: int = 10_000) -> None:
        """Store the spans of the source's requests, as the gateway emits them."""
        spans = [
            {
                "trace_id": (number + 1).to_bytes(16, "big"), "span_id": (number + 1).to_bytes(8, "big"),
                "start_time_unix_nano": 1_793_577_600_000_000_000 + number * 600 * 10**9,
                "end_time_unix_nano": 1_793_577_601_000_000_000 + number * 600 * 10**9,
                "attributes": {"agentcc.request_id": f"req-{number}", "gen_ai.request.model": "m0",
                               "gen_ai.operation.name": "chat", "app.cohort": cohort, "user.id": f"u{number % users}"},
            }
            for number in numbers
        ]  # fmt: skip
        data = self.otlp.request(*spans).SerializeToString()
        self.store.write(span_rows(decode_traces([data]), [None], BEGAN).tables)

    def report(self, options: JobOptions | None = None) -> Report:
        """The report on the promotion p."""
        return run_report(self.store, "p", options or JobOptions(), as_of=LATER, now=LATER)


@pytest.fixture
def gateway(tmp_path: Path, otlp: Any) -> Iterator[Gateway]:
    """A store with the promotion."""
    with store_at(tmp_path / "s.duckdb") as store:
        store.write({"promotions": promotion_row(PROMOTION, BEGAN)})
        yield Gateway(store, otlp)


def metric(report: Report, name: str, cohort: str = "refunds") -> MetricResult:
    """One metric of one cohort."""
    found = next(each for each in report.cohorts if each.cohort == cohort)
    return next(each for each in found.metrics if each.metric == name)


@pytest.mark.any_store
def test_importing_again_changes_nothing(gateway: Gateway) -> None:
    """A pair is known by request, experiment and shadow: corrected it replaces, in another experiment it is another."""
    assert gateway.mirror(result(1), result(2, experiment=None)) == 2
    assert gateway.mirror(result(1), result(2, experiment=None)) == 0
    assert gateway.mirror(result(1, shadow_latency_ms=7)) == 1
    assert gateway.mirror(result(1, experiment="exp-2")) == 1
    stored = gateway.store.read("SELECT request_id, shadow_latency_ms FROM mirror_pairs ORDER BY ALL").to_pylist()
    assert [row["request_id"] for row in stored] == ["req-1", "req-1", "req-2"]
    assert stored[0]["shadow_latency_ms"] == 7


def test_pairs_are_compared(gateway: Gateway) -> None:
    """Errors, latency and tokens pair by pair, in the cohort of the source's trace; what pairs cannot tell is said."""
    gateway.trace(*range(400))
    gateway.mirror(*(failed(number) if number % 8 == 0 else result(number) for number in range(400)))
    report = gateway.report(JobOptions(overrides={"groundedness_fail_rate": MetricOverride(margin=0.02)}))
    errors, latency = metric(report, "error_rate"), metric(report, "latency_p50")
    assert (errors.base.value, errors.candidate.value, errors.verdict) == (0.0, 0.125, Verdict.REGRESSED)
    assert (latency.base.n, latency.candidate.n) == (350, 350), "a failure's time is no latency"
    assert metric(report, "total_tokens").base.n == 350
    names = {each.metric for each in report.cohorts[0].metrics}
    assert names == {"error_rate", "latency_p50", "latency_p95", "latency_p99", "total_tokens"}
    checks = {check.check: check for check in report.checks}
    assert checks["unpaired_shadows"].status is CheckStatus.PASS
    assert "cost" in checks["mirrored_metrics"].detail
    assert "not what users would wait" in checks["mirrored_latency"].detail
    assert "Not one of the 400 requests failed at m0" in checks["mirrored_errors"].detail
    evidence = report.evidence
    assert evidence.attempts == (), "no one knows how often the gateway tried"
    assert [(each.traces, each.cost, each.calls, each.unpriced) for each in evidence.usage] == [
        (400, None, None, 400)
    ] * 2
    assert [(each.quantity, each.n) for each in evidence.distributions] == [
        ("latency", {"base": 350, "candidate": 350}),
    ]  # fmt: skip
    days = {each.metric: each.days for each in evidence.over_time}["error_rate"]
    assert (len(days), sum(day.candidate.n for day in days)) == (3, 400)


def test_users_with_many_requests_weigh_less(tmp_path: Path, otlp: Any) -> None:
    """The same failures of a few users are weaker evidence than those of many."""
    p_values = []
    for users in (400, 20):
        with store_at(tmp_path / f"{users}.duckdb") as store:
            store.write({"promotions": promotion_row(PROMOTION, BEGAN)})
            other = Gateway(store, otlp)
            other.trace(*range(400), users=users)
            other.mirror(*(failed(number) if number % 20 == 0 else result(number) for number in range(400)))
            p_values.append(metric(other.report(), "error_rate").p_value or 0.0)
    assert p_values[0] < 1e-3 < p_values[1]


def test_what_has_no_partner_is_counted(gateway: Gateway) -> None:
    """Requests without a pair, which the gateway's buffer may have lost, and pairs without a trace are both told."""
    gateway.trace(*range(60))
    gateway.mirror(*(result(number) for number in range(80) if not 20 <= number < 50))
    (check,) = (each for each in gateway.report().checks if each.check == "unpaired_shadows")
    assert check.status is CheckStatus.WARN
    assert "30 requests of the same time have no pair" in check.detail
    assert "20 of 50 pairs are of requests whose trace is not stored" in check.detail


def test_tokens_told_apart_have_a_cost(gateway: Gateway) -> None:
    """Where both sides' input and output tokens are known the price book prices them."""
    gateway.trace(*range(40))
    apart = {"source_input_tokens": 1_000, "source_output_tokens": 100, "shadow_input_tokens": 1_000,
             "shadow_output_tokens": 200}  # fmt: skip
    gateway.mirror(*(result(number, **apart) for number in range(40)))
    prices = PriceBook([Price(model=name, input_per_mtok=1.0, output_per_mtok=10.0) for name in ("m0", "m1")])
    cost = metric(gateway.report(JobOptions(prices=prices)), "cost_per_trace")
    assert (cost.base.value, cost.candidate.value) == pytest.approx((0.002, 0.003))


def test_without_pairs_nothing_passes(gateway: Gateway) -> None:
    """A promotion of which no pair is stored says how to import them."""
    report = gateway.report()
    assert report.overall is Verdict.INVALID
    assert "spanverdict mirror import" in report.checks[0].detail
