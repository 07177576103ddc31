"""A pipeline reads the verdicts as it reads tests."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

from analytics.report import render
from analytics.report.model import Report, Verdict


def parse(report: Report) -> ET.Element:
    """The report's JUnit document."""
    return ET.fromstring(render(report, "junit"))  # noqa: S314 (our own output)


def test_each_verdict_has_its_outcome(report: Report) -> None:
    """REGRESSED is a failure, INVALID an error, INCONCLUSIVE skipped, the rest pass."""
    root = parse(report)
    outcomes = {
        (case.get("classname"), case.get("name")): [child.tag for child in case if child.tag != "system-out"]
        for case in root.iter("testcase")
    }
    assert outcomes["refunds-v2.policy_exception", "groundedness_fail_rate"] == ["failure"]
    assert outcomes["refunds-v2.out_of_domain", "cost_per_trace"] == ["error"]
    assert outcomes["refunds-v2.out_of_domain", "latency_p99"] == ["skipped"]
    assert outcomes["refunds-v2.chargeback", "task_completion_fail_rate"] == []
    assert outcomes["refunds-v2.chargeback", "latency_p99"] == []


def test_counts_agree_with_the_cases(report: Report) -> None:
    """Every suite and the whole count what they hold."""
    root = parse(report)
    for element in (root, *root.iter("testsuite")):
        for count, tag in (
            ("tests", "testcase"),
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            assert int(element.get(count, "-1")) == sum(1 for _ in element.iter(tag))


def test_no_data_is_an_error(build: Any) -> None:
    """A report without a metric is no green run."""
    root = parse(build.report(overall=Verdict.INVALID))
    assert (root.get("tests"), root.get("errors")) == ("1", "1")
    assert len(root.findall(".//error")) == 1
