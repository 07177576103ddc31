"""The held-out design: items of a data set that both models ran, compared pair by pair."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from analytics.datasets import DatasetError, read_items
from analytics.feedback_file import read_feedback
from analytics.job import run_report
from analytics.job_options import JobOptions
from analytics.promotions import EVERYTHING, HELD_OUT, Promotion, promotion_row
from analytics.report import render
from analytics.report.model import Check, CheckStatus, Decision, MetricResult, Report, Verdict
from collector.decode import decode_logs, decode_traces
from collector.rows import log_rows, span_rows
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


BEGAN = datetime(2026, 11, 2)
LATER = datetime(2026, 11, 20)
PROMOTION = Promotion("p", "m0", "m1", HELD_OUT, EVERYTHING, None, None, None, "golden")


def nanoseconds(moment: datetime) -> int:
    """A UTC moment as nanoseconds since 1970."""
    return int(moment.replace(tzinfo=UTC).timestamp() * 1e9)


def run_id(*parts: object) -> bytes:
    """The trace id of a run."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()


@dataclass
class Experiment:
    """A store with a data set, to run models on."""

    store: OpenedStore
    folder: Path
    otlp: Any
    spans: list[dict[str, Any]] = field(default_factory=list)

    def items(self, count: int, cohort: Callable[[int], str | None] = lambda _: "refunds") -> None:
        """Import items i0, i1 and so on."""
        path = self.folder / "items.jsonl"
        rows = [
            {"id": f"i{number}", "input": f"question {number}", "cohort": cohort(number)} for number in range(count)
        ]
        path.write_text("\n".join(map(json.dumps, rows)))
        self.store.write({"dataset_items": read_items(path, "golden", BEGAN)})

    def promote(self, promotion: Promotion = PROMOTION) -> None:
        """Register the promotion."""
        self.store.write({"promotions": promotion_row(promotion, BEGAN)})

    def run(
        self, model: str, items: Sequence[int], *, failing: Sequence[int] = (), repeat: int = 0,
        attribute: str = "dataset.item.id", resource: bool = False, begin: datetime = BEGAN,
    ) -> None:  # fmt: skip
        """Run a model once on each item; one trace each."""
        for number in items:
            trace, item = run_id(model, number, repeat, begin), f"i{number}"
            start = nanoseconds(begin) + number * 10**9
            said: dict[str, Any] = {} if resource else {attribute: item}
            if attribute == "metadata":
                said = {"metadata": json.dumps({"dataset_item_id": item, "team": "a"})}
            span = {
                "trace_id": trace, "span_id": trace[:8], "start_time_unix_nano": start,
                "end_time_unix_nano": start + (900 + number * 7 % 100) * 10**6,
                "status": {"code": 2 if number in failing else 0},
                "attributes": {
                    "gen_ai.operation.name": "chat", "gen_ai.request.model": model,
                    "gen_ai.usage.input_tokens": 100 + number % 50, "gen_ai.usage.output_tokens": 20 + number % 11,
                    **said,
                },
            }  # fmt: skip
            self.send(span, resource={attribute: item} if resource else None)

    def send(self, *spans: dict[str, Any], resource: dict[str, Any] | None = None) -> None:
        """Store spans of one resource; those without one of their own are stored together, by ``report``."""
        if resource is None:
            self.spans += spans
            return
        data = self.otlp.request(*spans, resource=resource).SerializeToString()
        self.store.write(span_rows(decode_traces([data]), [None], BEGAN).tables)

    def grade(self, *targets: tuple[bytes, bytes | None, str], version: str = "1") -> None:
        """Store results of the evaluator Groundedness for (trace, span, label)."""
        request = ExportLogsServiceRequest()
        records = request.resource_logs.add().scope_logs.add().log_records
        for trace, span, label in targets:
            record = records.add(event_name="gen_ai.evaluation.result", time_unix_nano=nanoseconds(BEGAN) + 10**13)
            record.trace_id, record.span_id = trace, span or b""
            given = {
                "gen_ai.evaluation.name": "Groundedness", "gen_ai.evaluation.score.label": label,
                "gen_ai.evaluation.evaluator.version": version,
            }  # fmt: skip
            record.attributes.extend(self.otlp.key_values(given))
        self.store.write(log_rows(decode_logs([request.SerializeToString()]), [None], BEGAN).tables)

    def report(self, options: JobOptions | None = None) -> Report:
        """The report on the promotion p."""
        if self.spans:
            data = self.otlp.request(*self.spans).SerializeToString()
            self.store.write(span_rows(decode_traces([data]), [None], BEGAN).tables)
            self.spans = []
        return run_report(self.store, "p", options or JobOptions(), as_of=LATER, now=LATER)


@pytest.fixture
def experiment(tmp_path: Path, otlp: Any) -> Iterator[Experiment]:
    """An empty store."""
    with store_at(tmp_path / "s.duckdb") as store:
        yield Experiment(store, tmp_path, otlp)


def metric(report: Report, name: str, cohort: str = "refunds") -> MetricResult:
    """One metric of one cohort."""
    found = next(result for result in report.cohorts if result.cohort == cohort)
    return next(result for result in found.metrics if result.metric == name)


def check(report: Report, name: str) -> Check:
    """The one check of that name."""
    (found,) = (each for each in report.checks if each.check == name)
    return found


def test_a_regression_is_found_within_pairs(experiment: Experiment) -> None:
    """Both models fail on the hard items; what the candidate fails besides is found, and only that."""
    experiment.items(300)
    experiment.promote()
    hard = range(60)
    experiment.run("m0", range(300), failing=hard)
    experiment.run("m1", range(300), failing=range(82), begin=BEGAN + timedelta(days=1))
    report = experiment.report()
    found = metric(report, "error_rate")
    assert (found.base.n, found.candidate.n) == (300, 300)
    assert (found.base.value, found.candidate.value) == pytest.approx((60 / 300, 82 / 300))
    assert found.verdict is Verdict.REGRESSED
    assert found.interval is not None
    assert 0 < found.interval[0] < 22 / 300 < found.interval[1]
    others = {result.verdict for result in report.cohorts[0].metrics if result.metric != "error_rate"}
    assert Verdict.REGRESSED not in others
    assert report.cohorts[0].decision is Decision.ROLL_BACK
    assert check(report, "unpaired_items").status is CheckStatus.PASS
    assert "sample_ratio" not in {each.check for each in report.checks}, "there is no split of users to check"
    (errors,) = (each for each in report.evidence.over_time if each.metric == "error_rate")
    assert [(day.day.day, day.base.n, day.candidate.n) for day in errors.days] == [(2, 300, 0), (3, 0, 300)]
    assert [(each.arm, each.chains, each.failed) for each in report.evidence.attempts] == [
        ("base", 300, 60), ("candidate", 300, 82),
    ]  # fmt: skip


def test_equal_runs_show_no_regression_sooner_than_apart(experiment: Experiment) -> None:
    """Where the arms fail on the same items, 300 of them show no regression at a rate at which two arms would not."""
    experiment.items(300)
    experiment.promote()
    experiment.run("m0", range(300), failing=range(60))
    experiment.run("m1", range(300), failing=range(1, 61))
    found = metric(experiment.report(), "error_rate")
    assert (found.effect, found.verdict) == (0.0, Verdict.NO_REGRESSION)


def test_the_cohort_is_the_items(experiment: Experiment) -> None:
    """Cohorts come from the data set, and each has the items of its own."""
    experiment.items(90, lambda number: "hard" if number < 30 else None)
    experiment.promote()
    for model in ("m0", "m1"):
        experiment.run(model, range(90))
    report = experiment.report()
    assert {cohort.cohort: cohort.traces for cohort in report.cohorts} == {
        "hard": {"base": 30, "candidate": 30},
        "(none)": {"base": 60, "candidate": 60},
    }


def test_items_without_a_partner_are_left_out_and_said(experiment: Experiment) -> None:
    """Only what both ran is compared; the check counts the rest by who ran it, and unknown items count for nothing."""
    experiment.items(100)
    experiment.promote()
    experiment.run("m0", [*range(80), 777])
    experiment.run("m1", range(10, 90), failing=range(80, 90))
    report = experiment.report()
    found = metric(report, "error_rate")
    assert (found.base.n, found.candidate.n, found.candidate.value) == (70, 70, 0.0)
    said = check(report, "unpaired_items")
    assert said.status is CheckStatus.WARN
    assert said.detail == (
        "70 of the 100 items of golden were run by both models and are compared; 10 only by m0, 10 only by m1, "
        "10 by neither: run the others too, for the verdicts speak only of what both ran."
    )


def test_without_pairs_nothing_passes(experiment: Experiment) -> None:
    """A candidate that ran other items than the base is not compared at all."""
    experiment.items(60)
    experiment.promote()
    experiment.run("m0", range(30))
    experiment.run("m1", range(30, 60))
    report = experiment.report()
    (only,) = report.checks
    assert (only.check, only.status) == ("unpaired_items", CheckStatus.FAIL)
    assert report.overall is Verdict.INVALID


def test_several_runs_of_an_item_are_averaged(experiment: Experiment) -> None:
    """An item that the base ran three times counts once, with the share of its runs that failed."""
    experiment.items(40)
    experiment.promote()
    experiment.run("m0", range(40), failing=[0])
    experiment.run("m0", range(20), failing=[0, 1], repeat=1)
    experiment.run("m0", range(20), repeat=2)
    experiment.run("m1", range(40))
    report = experiment.report()
    found = metric(report, "error_rate")
    assert (found.base.n, found.candidate.n) == (40, 40)
    assert found.base.value == pytest.approx((2 / 3 + 1 / 3) / 40)
    assert report.cohorts[0].traces == {"base": 80, "candidate": 40}


def test_runs_are_known_by_what_frameworks_send(experiment: Experiment) -> None:
    """Each framework's name for the item is read, also as a key of a JSON attribute, on a span or on the resource."""
    experiment.items(14)
    experiment.promote()
    names = (
        "langfuse.experiment.item.id", "langsmith.reference_example_id", "case_name", "metadata", "dataset_item_id",
        "braintrust.origin.id",
    )  # fmt: skip
    for model in ("m0", "m1"):
        for place, name in enumerate(names):
            experiment.run(model, [2 * place, 2 * place + 1], attribute=name)
        experiment.run(model, [12, 13], resource=True)
    assert check(experiment.report(), "unpaired_items").status is CheckStatus.PASS


@pytest.mark.parametrize("name", ["app.item", 'Prüf"fall/ä'])
def test_an_attribute_of_ones_own(experiment: Experiment, name: str) -> None:
    """What item_attributes names is read, and nothing else; the name may have any characters."""
    experiment.items(4)
    experiment.promote()
    for model in ("m0", "m1"):
        experiment.run(model, range(4), attribute=name)
    assert check(experiment.report(), "unpaired_items").status is CheckStatus.FAIL
    options = JobOptions(item_attributes=(name,))
    assert check(experiment.report(options), "unpaired_items").status is CheckStatus.PASS


def test_one_trace_of_a_whole_experiment_is_taken_apart(experiment: Experiment) -> None:
    """As Pydantic Evals sends it: a root, a span per case, repeated cases numbered, scores on spans inside."""
    experiment.items(30)
    experiment.promote()
    graded = []
    for model in ("m0", "m1"):
        trace = run_id(model)
        start, step = nanoseconds(BEGAN), 10**9
        experiment.send({
            "trace_id": trace, "span_id": b"rootroot", "name": "evaluate", "start_time_unix_nano": start,
            "end_time_unix_nano": start + 90 * step, "attributes": {"dataset_name": "golden"},
        })  # fmt: skip
        for number in range(30):
            case, call = run_id(trace, number)[:8], run_id(trace, number, "call")[:8]
            common = {
                "trace_id": trace, "start_time_unix_nano": start + number * step,
                "end_time_unix_nano": start + (number + 2) * step, "status": {"code": 0},
            }  # fmt: skip
            experiment.send(
                {**common, "span_id": case, "parent_span_id": b"rootroot", "name": "case",
                 "attributes": {"case_name": f"i{number} [1/2]"}},
                {**common, "span_id": call, "parent_span_id": case, "name": "chat",
                 "attributes": {"gen_ai.operation.name": "chat", "gen_ai.request.model": model,
                                "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}},
            )  # fmt: skip
            graded.append((trace, call, "fail" if model == "m1" and number < 20 else "pass"))
    experiment.grade(*graded)
    report = experiment.report()
    tokens, failed = metric(report, "input_tokens"), metric(report, "groundedness_fail_rate")
    assert (tokens.base.n, tokens.base.value, tokens.candidate.value) == (30, 10.0, 10.0)
    assert (failed.base.value, failed.candidate.value) == pytest.approx((0.0, 20 / 30))
    assert failed.verdict is Verdict.REGRESSED
    assert metric(report, "latency_p50").base.value == pytest.approx(2000.0), "of the case, not of the experiment"


def test_another_version_of_the_evaluator_is_seen(experiment: Experiment) -> None:
    """Arms that were graded by different versions are not compared on that evaluator."""
    experiment.items(40)
    experiment.promote()
    for version, model in enumerate(("m0", "m1")):
        experiment.run(model, range(40))
        graded = [(run_id(model, number, 0, BEGAN), None, "pass") for number in range(40)]
        experiment.grade(*graded, version=str(version))
    found = metric(experiment.report(), "groundedness_fail_rate")
    assert found.verdict is Verdict.INVALID
    assert "evaluator_version" in found.reason


def test_outcomes_of_users_are_no_metric_of_runs(experiment: Experiment) -> None:
    """Feedback on production traffic says nothing of runs that no user met; feedback on runs does."""
    experiment.items(30)
    experiment.promote()
    for model in ("m0", "m1"):
        experiment.run(model, range(30))
    path = experiment.folder / "feedback.csv"

    def told(trace: str) -> None:
        path.write_text(f"time,name,value,trace_id\n2026-11-02T00:05:00Z,thumbs_down,1,{trace}\n")
        experiment.store.write({"feedback": read_feedback(path, LATER)})

    told("ab" * 16)
    names = {result.metric for result in experiment.report().cohorts[0].metrics}
    assert "thumbs_down_rate" not in names
    told(run_id("m1", 3, 0, BEGAN).hex())
    assert metric(experiment.report(), "thumbs_down_rate").candidate.value == pytest.approx(1 / 30)


def test_every_rendering_says_the_data_set(experiment: Experiment) -> None:
    """A report on a data set says so instead of a time and an attribute."""
    experiment.items(30)
    experiment.promote()
    for model in ("m0", "m1"):
        experiment.run(model, range(30))
    report = experiment.report()
    for form in ("table", "md", "html"):
        text = render(report, form, color=False)
        assert "golden" in text
        assert "1970" not in text
    assert json.loads(render(report, "json", color=False))["promotion"]["dataset"] == "golden"


def test_a_data_set_that_is_gone(experiment: Experiment) -> None:
    """A promotion whose data set is not there says which are."""
    experiment.promote()
    with pytest.raises(DatasetError, match="no data set 'golden'; none is imported yet"):
        experiment.report()
