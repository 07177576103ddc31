"""Outcomes that come late: the younger arm is not flattered, the past stays as it was, a re-score heals."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from scipy.stats import norm

from analytics.evaluators import EvaluatorRule
from analytics.feedback_file import read_feedback
from analytics.job import run_report
from analytics.job_options import JobOptions
from analytics.metrics import OutcomeRule
from analytics.promotions import Promotion, promotion_row
from analytics.report import render
from analytics.report.model import Check, CheckStatus, MetricResult, Report, Verdict
from analytics.report.values import ArmValue
from collector.decode import decode_logs, decode_traces
from collector.rows import log_rows, span_rows
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


BEGAN = datetime(2026, 11, 2)
RECEIVED = datetime(2026, 12, 31)
PROMOTION = Promotion("p", "m0", "m1", "concurrent", BEGAN, None, "app.cohort", None)
HOUR = timedelta(hours=1)


def nanoseconds(moment: datetime) -> int:
    """A UTC moment as nanoseconds since 1970."""
    return int(moment.replace(tzinfo=UTC).timestamp() * 10**6) * 1000


def trace_id(*parts: object) -> str:
    """An id made of anything."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


@dataclass
class World:
    """A store with a promotion, to send traces and outcomes to."""

    store: OpenedStore
    folder: Path
    otlp: Any

    def traces(self, model: str, cohort: str, starts: dict[str, datetime]) -> None:
        """Store one trace of a second for each id."""
        spans = [
            {
                "trace_id": bytes.fromhex(trace), "span_id": bytes.fromhex(trace)[:8],
                "start_time_unix_nano": nanoseconds(start), "end_time_unix_nano": nanoseconds(start + HOUR / 3600),
                "attributes": {
                    "gen_ai.operation.name": "chat", "gen_ai.request.model": model, "app.cohort": cohort,
                },
            }
            for trace, start in starts.items()
        ]  # fmt: skip
        data = self.otlp.request(*spans).SerializeToString()
        self.store.write(span_rows(decode_traces([data]), [None], RECEIVED).tables)

    def feedback(self, *rows: str, received_at: datetime = RECEIVED) -> None:
        """Import outcomes: lines of time, name, value, trace id."""
        path = self.folder / "feedback.csv"
        path.write_text("time,name,value,trace_id\n" + "\n".join(rows))
        self.store.write({"feedback": read_feedback(path, received_at)})

    def evaluations(self, traces: list[str], moment: datetime, **said: Any) -> None:
        """Send a result per trace as OTLP log records; names are those behind ``gen_ai.evaluation.``."""
        request = ExportLogsServiceRequest()
        records = request.resource_logs.add().scope_logs.add().log_records
        for trace in traces:
            record = records.add(event_name="gen_ai.evaluation.result", time_unix_nano=nanoseconds(moment))
            record.trace_id = bytes.fromhex(trace)
            attributes = {f"gen_ai.evaluation.{name.replace('__', '.')}": value for name, value in said.items()}
            record.attributes.extend(self.otlp.key_values({"gen_ai.evaluation.name": "Groundedness"} | attributes))
        self.store.write(log_rows(decode_logs([request.SerializeToString()]), [None], RECEIVED).tables)

    def report(self, as_of: datetime, **options: Any) -> Report:
        """The promotion's report."""
        return run_report(self.store, "p", JobOptions(**options), as_of=as_of, now=RECEIVED)

    def pair(self, count: int = 30, begin: datetime = BEGAN) -> tuple[list[str], list[str]]:
        """Two arms of one cohort, a trace an hour each."""
        arms = tuple([trace_id(model, number) for number in range(count)] for model in ("m0", "m1"))
        for model, ids in zip(("m0", "m1"), arms, strict=True):
            self.traces(model, "refunds", {one: begin + number * HOUR for number, one in enumerate(ids)})
        return arms[0], arms[1]


@pytest.fixture
def world(tmp_path: Path, otlp: Any) -> Iterator[World]:
    """An empty store with the promotion p."""
    with store_at(tmp_path / "s.duckdb") as store:
        store.write({"promotions": promotion_row(PROMOTION, BEGAN)})
        yield World(store, tmp_path, otlp)


def metric(report: Report, name: str, cohort: str = "refunds") -> MetricResult:
    """One metric of one cohort."""
    (found,) = [
        result for one in report.cohorts if one.cohort == cohort for result in one.metrics if result.metric == name
    ]
    return found


def check(report: Report, name: str) -> Check:
    """The only check of a name."""
    (found,) = [one for one in report.checks if one.check == name]
    return found


RESOLVED = {"resolved": OutcomeRule("better")}
MEAN_DELAY = 30.0
TRUE_RATE, WORSE_RATE = 0.6, 0.2


def simulate(world: World, *, cohorts: int, worse: int, arm: int, before: int) -> None:
    """A roll-out over six days: base as ever, the candidate mostly in the last days; tickets resolved a day later."""
    rng = np.random.default_rng(1)
    rows: list[str] = []

    def send(model: str, cohort: str, hours: Any, rate: float) -> None:
        ids = [trace_id(model, cohort, number) for number in range(len(hours))]
        world.traces(model, cohort, {one: BEGAN + float(hour) * HOUR for one, hour in zip(ids, hours, strict=True)})
        for one, hour in zip(ids, hours, strict=True):
            if rng.random() < rate:
                moment = BEGAN + float(hour + rng.exponential(MEAN_DELAY)) * HOUR
                rows.append(f"{moment.isoformat()}Z,resolved,1,{one}")

    for number in range(cohorts + worse):
        cohort = f"alike-{number:03}" if number < cohorts else f"worse-{number - cohorts:03}"
        send("m0", cohort, np.concatenate([rng.uniform(-27 * 24, -1, before), rng.uniform(0, 144, arm)]), TRUE_RATE)
        rate = TRUE_RATE if number < cohorts else WORSE_RATE
        send("m1", cohort, 144 * rng.random(arm) ** 0.25, rate)
    world.feedback(*rows)


def naive_alarms(world: World, as_of: datetime) -> list[str]:
    """Cohorts of which a dashboard's z-test on what has come so far says that the arms differ, at 5 %."""
    counted = world.store.read(
        """
        SELECT json_extract_string(spans.attributes, '/app.cohort') AS cohort,
            count(*) FILTER (request_model = 'm0') AS n0, count(*) FILTER (request_model = 'm1') AS n1,
            count(feedback.trace_id) FILTER (request_model = 'm0') AS y0,
            count(feedback.trace_id) FILTER (request_model = 'm1') AS y1
        FROM spans LEFT JOIN feedback ON feedback.trace_id = spans.trace_id AND feedback.event_time < $as_of
        WHERE start_time BETWEEN $began AND $as_of
        GROUP BY cohort ORDER BY cohort
        """,
        {"as_of": as_of, "began": BEGAN},
    ).to_pylist()
    alarms = []
    for row in counted:
        pooled = (row["y0"] + row["y1"]) / (row["n0"] + row["n1"])
        error = sqrt(pooled * (1 - pooled) * (1 / row["n0"] + 1 / row["n1"]))
        z = (row["y1"] / row["n1"] - row["y0"] / row["n0"]) / error
        if 2 * norm.sf(abs(z)) < 0.05:
            alarms.append(row["cohort"])
    return alarms


def our_alarms(report: Report) -> list[str]:
    """Cohorts of which the report says that the rate of resolved tickets changed."""
    changed = (Verdict.REGRESSED, Verdict.IMPROVED)
    return [one.cohort for one in report.cohorts if metric(report, "resolved_rate", one.cohort).verdict in changed]


@pytest.mark.parametrize(
    ("cohorts", "worse"),
    [(10, 2), pytest.param(100, 20, marks=pytest.mark.slow)],
    ids=["small", "large"],
)
def test_the_younger_arm_raises_no_alarm(
    world: World, cohorts: int, worse: int, record_property: pytest.RecordProperty
) -> None:
    """Equal arms, the candidate younger, labels late: a naive comparison alarms, ours only where it is truly worse."""
    simulate(world, cohorts=cohorts, worse=worse, arm=200, before=1200 // (cohorts + worse))
    early, late = BEGAN + timedelta(days=6), BEGAN + timedelta(days=11)
    naive = [name for name in naive_alarms(world, early) if name.startswith("alike")]
    first, last = (world.report(moment, outcomes=RESOLVED) for moment in (early, late))
    ours = [name for name in our_alarms(first) + our_alarms(last) if name.startswith("alike")]
    figures = f"naive {len(naive)} of {cohorts}, ours {len(ours)} of {cohorts}"
    record_property("false alarms on equal arms of unequal age", figures)
    assert len(naive) >= 0.7 * cohorts, figures
    assert len(ours) <= 0.05 * cohorts, figures
    found = [name for name in our_alarms(last) if name.startswith("worse")]
    assert len(found) >= 0.9 * worse
    state = metric(first, "resolved_rate", "alike-000").maturity
    assert state is not None
    assert state.source == "learned"
    assert state.window_hours == pytest.approx(MEAN_DELAY * np.log(20), rel=0.2)
    assert (state.coverage["base"] or 0) > 2 * (state.coverage["candidate"] or 0)
    assert check(first, "label_maturity").status is CheckStatus.WARN
    assert {one.status for one in last.checks if one.check == "label_maturity"} == {CheckStatus.PASS}
    # What the report foretells comes true: at that time there is something to compare.
    young = [one for one in first.cohorts if metric(first, "resolved_rate", one.cohort).candidate.n == 0]
    for one in young[:1]:
        told = metric(first, "resolved_rate", one.cohort).maturity
        assert told is not None
        assert told.next_verdict_at is not None
        then = metric(world.report(told.next_verdict_at, outcomes=RESOLVED), "resolved_rate", one.cohort)
        assert then.candidate.n > 0


def test_a_window_is_frozen_before_the_comparison(world: World) -> None:
    """What comes from the promotion on, however much and however late, does not move a learned window."""
    simulate(world, cohorts=1, worse=0, arm=50, before=600)
    moments = [BEGAN + timedelta(days=days) for days in (6, 20)]
    before = [metric(world.report(one, outcomes=RESOLVED), "resolved_rate", "alike-000").maturity for one in moments]
    ids = [trace_id("m0", "alike-000", number) for number in range(600)]
    world.feedback(*(f"2026-11-03T00:00:00Z,resolved,1,{one}" for one in ids))
    after = metric(world.report(moments[1], outcomes=RESOLVED), "resolved_rate", "alike-000").maturity
    assert all(one is not None and one.source == "learned" for one in before)
    assert {one.window_hours for one in (*before, after) if one is not None} == {before[0].window_hours}  # type: ignore[union-attr]


def test_a_window_may_be_given_or_left_fixed(world: World) -> None:
    """A given window holds; a fixed one without hours is the default; both say so."""
    base, candidate = world.pair()
    world.feedback(f"2026-11-02T12:00:00Z,reopened,1,{base[0]}", f"2026-11-02T12:00:00Z,reopened,1,{candidate[0]}")
    as_of = BEGAN + timedelta(days=12)
    given = metric(world.report(as_of, outcomes={"Reopened": OutcomeRule(maturity=48 * HOUR)}), "reopened_rate")
    fixed = metric(world.report(as_of, outcomes={"reopened": OutcomeRule(learn=False)}), "reopened_rate")
    unsaid = metric(world.report(as_of), "reopened_rate").maturity
    assert given.maturity is not None
    assert (given.maturity.window_hours, given.maturity.source) == (48, "configured")
    assert fixed.maturity is not None
    assert (fixed.maturity.window_hours, fixed.maturity.source, fixed.maturity.detail) == (168, "default", "")
    assert unsaid is not None
    assert (unsaid.window_hours, unsaid.source) == (168, "default")
    assert unsaid.detail == "only 0 came on base traces before the promotion, learning needs 50"


def test_an_evaluation_three_days_late_is_used(world: World) -> None:
    """A result with a time three days after its trace counts four days after it, and not yet two days after."""
    base, candidate = world.pair()
    world.evaluations(base + candidate, BEGAN + timedelta(days=3), score__value=0.2)
    early = world.report(BEGAN + timedelta(days=2))
    assert not [one for one in early.cohorts[0].metrics if one.metric == "groundedness_fail_rate"]
    used = metric(world.report(BEGAN + timedelta(days=4)), "groundedness_fail_rate")
    assert (used.base.n, used.candidate.n, used.base.value) == (30, 30, 1.0)


def test_a_late_evaluation_is_unknown_not_missing(world: World) -> None:
    """Scores of base have come and the candidate's are still to come: no alarm before they are due, one after."""
    base = [trace_id("m0", number) for number in range(200)]
    candidate = [trace_id("m1", number) for number in range(200)]
    world.traces("m0", "refunds", {one: BEGAN + number * HOUR / 4 for number, one in enumerate(base)})
    start = BEGAN + timedelta(hours=50)
    world.traces("m1", "refunds", {one: start + number * HOUR / 4 for number, one in enumerate(candidate)})
    world.evaluations(base + candidate[:1], BEGAN + timedelta(days=4), score__label="pass")
    rule = {"evaluator_rules": {"Groundedness": EvaluatorRule(maturity=72 * HOUR)}}
    soon, later = BEGAN + timedelta(hours=122, minutes=6), BEGAN + timedelta(days=9)
    assert check(world.report(soon), "missing_scores").status is not CheckStatus.PASS
    assert check(world.report(soon, **rule), "missing_scores").status is CheckStatus.PASS
    assert check(world.report(later, **rule), "missing_scores").status is CheckStatus.FAIL


def test_a_report_of_the_past_does_not_change(world: World) -> None:
    """A correction sent later, of an outcome or of an evaluation, leaves the report of an earlier moment as it was."""
    base, candidate = world.pair()
    world.feedback(*(f"2026-11-02T20:00:00Z,thumbs_down,1,{one}" for one in base[:3] + candidate[:9]))
    world.evaluations(base + candidate, BEGAN + timedelta(days=2), score__value=0.9)
    moment = BEGAN + timedelta(days=5)
    before = world.report(moment)
    world.feedback(*(f"2026-11-07T12:00:00Z,thumbs_down,0,{one}" for one in candidate[:9]))
    world.evaluations(candidate, BEGAN + timedelta(days=6), score__value=0.1)
    assert world.report(moment) == before
    after = world.report(BEGAN + timedelta(days=7))
    assert metric(after, "groundedness_fail_rate").candidate.value == 1.0
    # Taken back after the maturity: what was final stays.
    thumbs = [metric(report, "thumbs_down_rate").candidate for report in (before, after)]
    assert thumbs[0] == thumbs[1] == ArmValue(30, 0.3)


def test_what_is_corrected_in_time_counts_as_corrected(world: World) -> None:
    """Two words of one identity within the maturity: the later one is the outcome."""
    base, candidate = world.pair()
    world.feedback(*(f"2026-11-02T{hour},thumbs_down,1,{base[0]}" for hour in ("01:00:00Z",)))
    world.feedback(f"2026-11-02T01:00:00Z,thumbs_down,1,{candidate[0]}")
    world.feedback(f"2026-11-02T02:00:00Z,thumbs_down,0,{candidate[0]}")
    found = metric(world.report(BEGAN + timedelta(days=5)), "thumbs_down_rate")
    assert (found.base.value, found.candidate.value) == (pytest.approx(1 / 30), 0.0)


def test_a_rescore_heals(world: World) -> None:
    """Arms graded by two judges are not compared, until the one arm is scored again by the other's judge."""
    base, candidate = world.pair()
    common = {"score__value": 0.9, "evaluator__version": "1"}
    world.evaluations(base, BEGAN + timedelta(days=2), **common, judge__model="judge-a")
    world.evaluations(candidate, BEGAN + timedelta(days=2), **common, judge__model="judge-b")
    drifted = world.report(BEGAN + timedelta(days=3))
    assert check(drifted, "evaluator_judge").status is CheckStatus.FAIL
    assert metric(drifted, "groundedness_fail_rate").verdict is Verdict.INVALID
    world.evaluations(base, BEGAN + timedelta(days=4), **common, judge__model="judge-b")
    healed = world.report(BEGAN + timedelta(days=5))
    assert check(healed, "evaluator_judge").status is CheckStatus.PASS
    assert metric(healed, "groundedness_fail_rate").base.n == 30
    assert "evaluator_judge failed" not in metric(healed, "groundedness_fail_rate").reason


def test_every_carrier_is_heard(world: World) -> None:
    """An evaluator's escalation is a rate; a ticket system's Groundedness is a score; spellings are one."""
    base, candidate = world.pair()
    world.evaluations(candidate[:6], BEGAN + timedelta(hours=20), name="Escalated", score__value=1.0)
    world.feedback(*(f"2026-11-04T00:00:00Z,groundedness,0.2,{one}" for one in base[:10]))
    world.evaluations(candidate[:10], BEGAN + timedelta(days=2), name="GROUNDEDNESS", score__value=0.8)
    report = world.report(BEGAN + timedelta(days=5))
    escalated, grounded = metric(report, "escalated_rate"), metric(report, "groundedness_fail_rate")
    assert (escalated.base.n, escalated.base.value, escalated.candidate.value) == (30, 0.0, pytest.approx(0.2))
    assert (grounded.base.n, grounded.base.value, grounded.candidate.value) == (10, 1.0, 0.0)


def test_maturity_is_in_every_rendering(world: World) -> None:
    """How much of each arm is old enough and when to look again stands in what people read and in the JSON."""
    base, _ = world.pair(count=60)
    world.feedback(f"2026-11-02T01:00:00Z,thumbs_down,1,{base[0]}")
    report = world.report(BEGAN + timedelta(hours=50))
    state = metric(report, "thumbs_down_rate").maturity
    assert state is not None
    assert state.coverage == {"base": pytest.approx(26 / 50), "candidate": pytest.approx(26 / 50)}
    assert "Waiting for labels" in render(report, "table", width=120)
    assert "24 hours (default)" in render(report, "md")
    assert "Waiting for labels" in render(report, "html")
    assert '"window_hours": 24.0' in render(report, "json")
