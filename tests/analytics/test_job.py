"""The report job over a small store whose truth is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from analytics.feedback_file import read_feedback
from analytics.job import run_report
from analytics.job_options import JobOptions, JobOptionsError
from analytics.metrics import MetricOverride
from analytics.pricing import Price, PriceBook
from analytics.promotions import BEFORE_AFTER, NoPromotionError, Promotion, end_row, promotion_row
from analytics.report import as_json
from analytics.report.model import CheckStatus, CohortResult, Decision, MetricResult, Report, Verdict
from analytics.stored_reports import store_report
from collector.decode import decode_logs, decode_traces
from collector.rows import log_rows, span_rows
from sql.access import RemoteStore
from sql.errors import QueryError
from sql.flight_server import FlightServer
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

BEGAN = datetime(2026, 11, 2)
LATER = datetime(2026, 11, 20)
PROMOTION = Promotion("p", "m0", "m1", "concurrent", BEGAN, None, "app.cohort", None)


def nanoseconds(moment: datetime) -> int:
    """A UTC moment as nanoseconds since 1970."""
    return int(moment.replace(tzinfo=UTC).timestamp()) * 10**9


def trace_id(model: str, number: int, label: str = "") -> str:
    """The trace that :meth:`Incident.traffic` makes."""
    return hashlib.blake2b(f"{model}-{number}-{label}".encode(), digest_size=16).hexdigest()


@dataclass
class Incident:
    """A store to fill and to report on."""

    store: OpenedStore
    folder: Path
    otlp: Any

    def promote(self, promotion: Promotion = PROMOTION) -> None:
        """Register a promotion."""
        self.store.write({"promotions": promotion_row(promotion, BEGAN)})

    def traffic(
        self, model: str, failing: int = 3, traces: int = 200, begin: datetime = BEGAN, label: str = "",
        slow: int = 0, attributes: dict[str, Any] | None = None, resource: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Store one trace every half hour: ``failing`` and ``slow`` of a hundred fail or take ten times as long."""
        spans = []
        for number in range(traces):
            known = bytes.fromhex(trace_id(model, number, label))
            start = nanoseconds(begin + timedelta(minutes=30 * number))
            duration = (800 + number * 37 % 400) * 10**6 * (10 if number * 7 % 100 < slow else 1)
            spans.append({
                "trace_id": known, "span_id": known[:8], "start_time_unix_nano": start,
                "end_time_unix_nano": start + duration, "status": {"code": 2 if number % 100 < failing else 0},
                "attributes": {
                    "gen_ai.operation.name": "chat", "gen_ai.request.model": model,
                    "gen_ai.usage.input_tokens": 100 + number % 7, "gen_ai.usage.output_tokens": 20 + number % 5,
                    "app.cohort": "refunds", "user.id": known.hex(),
                    "gen_ai.response.id": f"response-{known.hex()}", **(attributes or {}),
                },
            })  # fmt: skip
        data = self.otlp.request(*spans, resource=resource).SerializeToString()
        self.store.write(span_rows(decode_traces([data]), [None], BEGAN).tables)

    def feedback(self, *rows: str) -> None:
        """Import outcomes: lines of time, name, value, trace_id, key."""
        path = self.folder / "feedback.csv"
        path.write_text("time,name,value,trace_id,key\n" + "\n".join(rows))
        self.store.write({"feedback": read_feedback(path, LATER)})

    def evaluations(self, *traces: str, moment: datetime, version: str = "1", trace_known: bool = True) -> None:
        """Store a passed result of the evaluator Groundedness per trace, sent as log records."""
        request = ExportLogsServiceRequest()
        records = request.resource_logs.add().scope_logs.add().log_records
        for trace in traces:
            record = records.add(event_name="gen_ai.evaluation.result", time_unix_nano=nanoseconds(moment))
            if trace_known:
                record.trace_id = bytes.fromhex(trace)
            given = {
                "gen_ai.evaluation.name": "Groundedness", "gen_ai.evaluation.score.label": "pass",
                "gen_ai.evaluation.evaluator.version": version, "gen_ai.response.id": f"response-{trace}",
            }  # fmt: skip
            record.attributes.extend(self.otlp.key_values(given))
        self.store.write(log_rows(decode_logs([request.SerializeToString()]), [None], BEGAN).tables)

    def report(self, as_of: datetime = LATER, options: JobOptions | None = None) -> Report:
        """The report of the promotion p."""
        return run_report(self.store, "p", options or JobOptions(), as_of=as_of, now=LATER)


@pytest.fixture
def incident(tmp_path: Path, otlp: Any) -> Iterator[Incident]:
    """An empty store."""
    with store_at(tmp_path / "s.duckdb") as store:
        yield Incident(store, tmp_path, otlp)


@pytest.fixture
def regressed(incident: Incident) -> Incident:
    """Base and candidate over four days; the candidate fails ten times as often and is else the same."""
    incident.promote()
    incident.traffic("m0", failing=3)
    incident.traffic("m1", failing=40)
    return incident


def cohort(report: Report, name: str = "refunds") -> CohortResult:
    """One cohort of a report."""
    return next(result for result in report.cohorts if result.cohort == name)


def metric(report: Report, name: str, of: str = "refunds") -> MetricResult:
    """One metric of one cohort."""
    return next(result for result in cohort(report, of).metrics if result.metric == name)


@pytest.mark.any_store
def test_a_known_regression_is_found(regressed: Incident) -> None:
    """The metric that got worse is REGRESSED with its true effect inside the interval; nothing else is."""
    report = regressed.report()
    found = metric(report, "error_rate")
    assert (found.base.n, found.candidate.n) == (200, 200)
    assert (found.base.value, found.candidate.value) == (0.03, 0.40)
    assert found.interval is not None
    assert found.margin is not None
    assert found.margin < found.interval[0] < 0.37 < found.interval[1]
    assert found.exemplars["candidate"], "traces to look at"
    verdicts = {result.metric: result.verdict for result in cohort(report).metrics}
    assert [name for name, verdict in verdicts.items() if verdict is Verdict.REGRESSED] == ["error_rate"]
    assert (report.overall, cohort(report).decision) == (Verdict.REGRESSED, Decision.ROLL_BACK)
    assert report.data_watermark == BEGAN + timedelta(minutes=30 * 199, milliseconds=800 + 199 * 37 % 400)
    json.loads(as_json.render(report), parse_constant=pytest.fail)


def test_nothing_is_said_before_there_is_data(incident: Incident) -> None:
    """Without traffic the report is INVALID and says what to look at; a promotion that is not there is an error."""
    with pytest.raises(NoPromotionError, match="none is registered yet"):
        incident.report()
    incident.promote()
    report = incident.report()
    assert (report.overall, report.cohorts, report.data_watermark) == (Verdict.INVALID, (), None)
    assert any(check.check == "both_arms" and check.status == "fail" for check in report.checks)


def test_the_same_moment_is_the_same_report(regressed: Incident) -> None:
    """Traffic and outcomes after as_of change nothing, not even the fingerprint."""
    moment = BEGAN + timedelta(days=3)
    regressed.feedback(f"2026-11-03,thumbs_down,1,{trace_id('m1', 5)},")
    regressed.evaluations(trace_id("m0", 5), trace_id("m1", 5), moment=moment - timedelta(days=1))
    before = regressed.report(moment)
    assert regressed.report(moment) == before
    regressed.traffic("m1", failing=100, begin=moment + timedelta(hours=1), label="later")
    regressed.feedback(f"2026-11-05T00:00:01,thumbs_down,1,{trace_id('m1', 6)},")
    regressed.evaluations(trace_id("m1", 6), moment=moment + timedelta(seconds=1), version="2")
    assert regressed.report(moment) == before
    assert metric(regressed.report(moment + timedelta(seconds=2)), "groundedness_fail_rate").candidate.n == 2


def test_what_arrives_late_with_earlier_times_counts(regressed: Incident) -> None:
    """Data is placed by its own times: a trace and an outcome received late change the report of that moment."""
    moment = BEGAN + timedelta(days=3)
    before = regressed.report(moment)
    regressed.traffic("m1", failing=100, traces=10, label="late")
    after = regressed.report(moment)
    assert cohort(after).traces["candidate"] == cohort(before).traces["candidate"] + 10
    assert after.fingerprint != before.fingerprint
    regressed.feedback(f"2026-11-03,thumbs_down,1,{trace_id('m1', 5)},")
    assert regressed.report(moment).fingerprint != after.fingerprint


def test_feedback_counts_from_its_event_time_on(regressed: Incident) -> None:
    """A thumb is not known before it was given, and not final before a day has passed."""
    thumbs = [f"2026-11-06T12:00:00Z,thumbs_down,{number % 2},{trace_id('m1', number)}," for number in range(170, 190)]
    regressed.feedback(*thumbs)
    with pytest.raises(StopIteration):
        metric(regressed.report(datetime(2026, 11, 6, 11)), "thumbs_down_rate")
    early = metric(regressed.report(datetime(2026, 11, 6, 12, 30)), "thumbs_down_rate")
    ripe = metric(regressed.report(datetime(2026, 11, 9)), "thumbs_down_rate")
    assert early.candidate.n < ripe.candidate.n == 200
    assert ripe.candidate.value == pytest.approx(10 / 200)
    assert ripe.base.value == 0


def test_unfinished_traces_wait(regressed: Incident) -> None:
    """A trace counts from its end on."""
    end = BEGAN + timedelta(minutes=30 * 10)
    assert cohort(regressed.report(end)).traces == {"base": 10, "candidate": 10}
    assert cohort(regressed.report(end + timedelta(seconds=2))).traces == {"base": 11, "candidate": 11}


def test_an_ended_promotion_excludes_later_traffic(regressed: Incident) -> None:
    """Traffic from the end on is not part of the comparison."""
    ended = BEGAN + timedelta(days=2)
    regressed.store.write({"promotion_ends": end_row("p", ended)})
    report = regressed.report()
    assert report.promotion == replace(PROMOTION, ended_at=ended)
    assert cohort(report).traces == {"base": 96, "candidate": 96}


def test_the_pre_period_is_read_but_not_compared(regressed: Incident) -> None:
    """Base traffic of the four weeks before steadies the tail; older traffic and the candidate's do not enter."""
    without = regressed.report()
    regressed.traffic("m0", begin=BEGAN - timedelta(days=29) - timedelta(minutes=30 * 400), traces=400, label="old")
    regressed.traffic("m1", failing=90, begin=BEGAN - timedelta(days=10), label="rehearsal")
    assert regressed.report() == without
    regressed.traffic("m0", slow=10, begin=BEGAN - timedelta(days=27), traces=1200, label="before")
    report = regressed.report()
    assert cohort(report).traces == {"base": 200, "candidate": 200}
    assert report.fingerprint != without.fingerprint
    assert metric(report, "error_rate").base == metric(without, "error_rate").base
    assert metric(report, "latency_p95") != metric(without, "latency_p95")


def test_other_models_are_not_compared(regressed: Incident) -> None:
    """Traces that called neither model change nothing."""
    before = regressed.report()
    regressed.traffic("m2", failing=100)
    report = regressed.report()
    assert report.cohorts == before.cohorts
    assert report.fingerprint == before.fingerprint


def test_simulated_traffic_is_left_out_unless_asked_for(regressed: Incident) -> None:
    """What a simulator made is not what users met, and takes part only where the configuration says so."""
    before = regressed.report().cohorts[0].traces
    marked = {"gen_ai.simulator.is_simulator_trace": True}
    regressed.traffic("m1", traces=50, label="simulated", attributes=marked)
    assert regressed.report().cohorts[0].traces == before
    asked = regressed.report(options=JobOptions(simulated=True)).cohorts[0].traces
    assert asked["candidate"] == before["candidate"] + 50


def test_cohorts_are_kept_apart(incident: Incident) -> None:
    """Each value of the attribute is a cohort of its own; traces without it are counted as (none), never dropped."""
    incident.promote()
    for model, failing in (("m0", 3), ("m1", 40)):
        incident.traffic(model, failing=failing)
        incident.traffic(model, failing=3, label="b", attributes={"app.cohort": "limits"})
        incident.traffic(model, failing=3, traces=30, label="c", attributes={"app.cohort": ""})
    report = incident.report()
    assert [result.cohort for result in report.cohorts] == ["(none)", "limits", "refunds"]
    assert [result.traces["base"] for result in report.cohorts] == [30, 200, 200]
    assert metric(report, "error_rate", "refunds").verdict is Verdict.REGRESSED
    assert metric(report, "error_rate", "limits").verdict is not Verdict.REGRESSED


def test_a_cohort_of_the_resource(incident: Incident) -> None:
    """An attribute of the resource makes cohorts as one of the span does."""
    incident.promote(replace(PROMOTION, cohort_by="deployment.environment.name"))
    for place in ("eu", "us"):
        for model in ("m0", "m1"):
            incident.traffic(model, label=place, traces=30, resource={"deployment.environment.name": place})
    assert {result.cohort: result.traces for result in incident.report().cohorts} == {
        "eu": {"base": 30, "candidate": 30},
        "us": {"base": 30, "candidate": 30},
    }


@pytest.mark.parametrize(
    "name",
    ["app.cohort.v2", "app cohort", 'a"b', "a*b", "*", "a/b", "a~b", "ключ", "a\\b", "a[0]", "$", "#", "a\nb", "0"],
)
def test_any_attribute_name_makes_cohorts(incident: Incident, name: str) -> None:
    """Whatever characters an attribute's name has, its values are the cohorts; so for the key of feedback."""
    incident.promote(replace(PROMOTION, cohort_by=name))
    for model in ("m0", "m1"):
        incident.traffic(model, traces=10, attributes={name: "found", "other": "not this"})
    incident.feedback("2026-11-02T12:00:00Z,escalated,1,,found")
    report = incident.report(options=JobOptions(feedback_key=name))
    assert [result.cohort for result in report.cohorts] == ["found"]
    assert metric(report, "escalated_rate", "found").candidate.value == 1.0


def test_feedback_by_key(regressed: Incident) -> None:
    """Outcomes that know an application id find their trace by the configured attribute, and only then."""
    regressed.traffic("m1", traces=1, label="ticket", attributes={"ticket.id": "T-1"})
    regressed.feedback("2026-11-02T12:00:00Z,escalated,1,,T-1")
    assert metric(regressed.report(), "escalated_rate").candidate.value == 0
    found = metric(regressed.report(options=JobOptions(feedback_key="ticket.id")), "escalated_rate").candidate
    assert found.value == pytest.approx(1 / 201)


@pytest.mark.parametrize("trace_known", [True, False])
def test_arms_graded_by_different_versions(regressed: Incident, trace_known: bool) -> None:
    """Two versions of an evaluator, one per arm, make its metric INVALID, also where results name only the response."""
    for model, version in (("m0", "1"), ("m1", "2")):
        graded = [trace_id(model, number) for number in range(200)]
        regressed.evaluations(*graded, moment=datetime(2026, 11, 7), version=version, trace_known=trace_known)
    report = regressed.report()
    found = {check.check: check.status for check in report.checks if check.check == "evaluator_version"}
    assert found == {"evaluator_version": "fail"}
    assert metric(report, "groundedness_fail_rate").base.n == 200
    assert metric(report, "groundedness_fail_rate").verdict is Verdict.INVALID


def test_own_prices_make_costs(regressed: Incident) -> None:
    """Without a price the cost is unknown, never zero; with one it is the tokens' worth."""
    unknown = metric(regressed.report(), "cost_per_trace")
    assert (unknown.verdict, unknown.base.value, unknown.candidate.value) == (Verdict.INVALID, None, None)
    prices = PriceBook([Price("m0", 1.0, 2.0), Price("m1", 2.0, 4.0)])
    known = metric(regressed.report(options=JobOptions(prices=prices)), "cost_per_trace")
    tokens = sum(100 + number % 7 + 2 * (20 + number % 5) for number in range(200)) / 200
    assert known.base.value == pytest.approx(tokens / 1e6)
    assert known.candidate.value == pytest.approx(2 * tokens / 1e6)
    assert known.verdict is Verdict.REGRESSED


def test_margins_are_the_configurations(regressed: Incident) -> None:
    """A margin that allows for the difference turns the verdict; the fingerprint tells that the options differ."""
    wide = JobOptions(overrides={"error_rate": MetricOverride(margin=0.6, margin_kind="absolute")})
    report = regressed.report(options=wide)
    assert metric(report, "error_rate").verdict is Verdict.NO_REGRESSION
    assert metric(report, "error_rate").margin == pytest.approx(0.6)
    assert report.fingerprint != regressed.report().fingerprint
    assert regressed.report(options=JobOptions(alpha=0.01)).alpha == 0.01


@pytest.mark.parametrize(
    ("name", "override", "said"),
    [
        ("latency_p42", MetricOverride(margin=1), "metric 'latency_p42' is not known; known are"),
        ("error_rate", MetricOverride(margin_kind="absolute"), "margin_kind without a margin; give both"),
    ],
)
def test_options_that_cannot_be(regressed: Incident, name: str, override: MetricOverride, said: str) -> None:
    """A metric that does not exist, or a change without sense, is said in one sentence."""
    with pytest.raises(JobOptionsError, match=said):
        regressed.report(options=JobOptions(overrides={name: override}))


def test_a_report_through_the_server_is_the_same(regressed: Incident) -> None:
    """Read over Flight SQL, the report is the same to the last bit, and it can be stored from there, once."""
    regressed.feedback(f"2026-11-03,thumbs_down,1,{trace_id('m1', 5)},")
    direct = regressed.report()
    server = FlightServer(regressed.store, "127.0.0.1:0", "secret")
    remote = RemoteStore(f"127.0.0.1:{server.port}", "secret")
    report = run_report(remote, "p", JobOptions(), as_of=LATER, now=LATER)
    assert report == direct
    for _ in range(2):
        store_report(remote, report)
    remote.close()
    server.shutdown()
    kept = regressed.store.read("SELECT promotion, as_of, overall, fingerprint, body FROM reports").to_pylist()
    assert [(row["promotion"], row["as_of"], row["overall"]) for row in kept] == [("p", LATER, "REGRESSED")]
    assert json.loads(kept[0]["body"])["fingerprint"] == report.fingerprint == kept[0]["fingerprint"]


def test_a_store_that_fails_is_not_hidden(regressed: Incident) -> None:
    """What the store cannot answer reaches the caller as it is."""

    class Failing:
        def read(self, query: str, parameters: Any = None) -> pa.Table:
            if "FROM spans" in query:
                raise QueryError("the disk is gone")
            return regressed.store.read(query, parameters)

        def write(self, tables: Any) -> dict[str, int]:
            raise AssertionError(tables)

    with pytest.raises(QueryError, match="the disk is gone"):
        run_report(Failing(), "p", JobOptions(), as_of=LATER, now=LATER)


def test_what_judges_is_no_traffic(regressed: Incident, otlp: Any) -> None:
    """A judge's own traces with calls of a compared model, and late carriers in a trace, change nothing else."""
    waits = "SELECT trace_id, latency_ms FROM trace_totals WHERE latency_ms < 5000 ORDER BY trace_id"
    before, waited = as_json.render(regressed.report()), regressed.store.read(waits).to_pylist()
    judged = [trace_id("m0", number) for number in range(200)]
    late = nanoseconds(LATER - timedelta(hours=1))
    spans = []
    for number, trace in enumerate(judged):
        target = {"trace_id": bytes.fromhex(trace), "span_id": bytes.fromhex(trace)[:8]}
        own = (number + 1).to_bytes(16, "big")
        times = {"start_time_unix_nano": late, "end_time_unix_nano": late + 10**9}
        spans += [
            {**times, "trace_id": own, "span_id": b"\x01" * 8, "links": [target],
             "attributes": {"openinference.span.kind": "EVALUATOR"}},
            {**times, "trace_id": own, "span_id": b"\x02" * 8, "parent_span_id": b"\x01" * 8,
             "attributes": {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m0", "app.cohort": "refunds"}},
            {**times, "trace_id": target["trace_id"], "span_id": b"\x03" * 8, "parent_span_id": target["span_id"],
             "attributes": {"logfire.feedback.name": "f"}},
            {**times, "trace_id": target["trace_id"], "span_id": b"\x04" * 8, "links": [target],
             "attributes": {"annotations.0.annotation.name": "f"}},
        ]  # fmt: skip
    regressed.store.write(span_rows(decode_traces([otlp.request(*spans).SerializeToString()]), [None], BEGAN).tables)
    assert as_json.render(regressed.report()) == before
    own = {f"{number + 1:032x}" for number in range(200)}
    assert [row for row in regressed.store.read(waits).to_pylist() if row["trace_id"] not in own] == waited


def test_before_and_after(incident: Incident) -> None:
    """A candidate that took over at one moment is compared by days, beside the cohort that stayed with the base."""
    incident.promote(replace(PROMOTION, design=BEFORE_AFTER))
    earlier = BEGAN - timedelta(days=20)
    incident.traffic("m0", traces=20 * 48, begin=earlier)
    incident.traffic("m1", traces=12 * 48, failing=40)
    incident.traffic("m0", traces=32 * 48, begin=earlier, label="limits", attributes={"app.cohort": "limits"})
    report = incident.report()
    assert [result.cohort for result in report.cohorts] == ["refunds"]
    found = metric(report, "error_rate")
    assert (found.verdict, found.base.n, found.candidate.n) == (Verdict.REGRESSED, 20 * 48, 12 * 48)
    assert "beside the cohorts that stayed" in found.reason
    assert metric(report, "latency_p50").verdict is not Verdict.REGRESSED
    (errors,) = (each for each in report.evidence.over_time if each.metric == "error_rate")
    assert [day.day for day in errors.days] == [(earlier + timedelta(days=number)).date() for number in range(32)]
    assert {(day.base.n, day.candidate.n) for day in errors.days[:20]} == {(48, 0)}
    assert {(day.base.value, day.candidate.n) for day in errors.days[20:]} == {(None, 48)}
    assert [(usage.cohort, usage.arm, usage.traces) for usage in report.evidence.usage] == [
        ("refunds", "base", 20 * 48), ("refunds", "candidate", 12 * 48),
    ]  # fmt: skip
    checks = {check.check: check for check in report.checks}
    assert "sample_ratio" not in checks
    assert (checks["before_after"].status, checks["both_arms"].status) == (CheckStatus.PASS, CheckStatus.PASS)
    assert "What limits did" in checks["before_after"].detail
    too_soon = incident.report(as_of=BEGAN + timedelta(hours=12))
    assert metric(too_soon, "error_rate").verdict is Verdict.INCONCLUSIVE
