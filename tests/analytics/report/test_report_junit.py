"""A pipeline reads the verdicts as it reads tests."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

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
    """Every suite counts what it holds, and the whole what its suites hold."""
    root = parse(report)
    for element in (root, *root.iter("testsuite")):
        for count, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            if element is not root or count != "skipped":
                assert int(element.get(count, "-1")) == sum(1 for _ in element.iter(tag))


# What the readers of Jenkins (junit-10.xsd of its xUnit plugin), GitLab and GitHub's actions have in common.
CHILDREN = {
    "testsuites": {"testsuite"}, "testsuite": {"properties", "testcase"}, "properties": {"property"}, "property": set(),
    "testcase": {"failure", "error", "skipped", "system-out"},
    "failure": set(), "error": set(), "skipped": set(), "system-out": set(),
}  # fmt: skip
REQUIRED = {
    "testsuite": {"name", "tests", "failures", "errors"}, "testcase": {"name", "classname", "time"},
    "property": {"name", "value"}, "failure": {"type", "message"}, "error": {"type", "message"},
    "skipped": {"message"},
}  # fmt: skip
ALLOWED = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
    "testcase": {"name", "classname", "time"}, "property": {"name", "value"},
    "failure": {"type", "message"}, "error": {"type", "message"}, "skipped": {"type", "message"},
}  # fmt: skip


@pytest.mark.parametrize("empty", [False, True])
def test_readers_of_junit_take_it(report: Report, build: Any, empty: bool) -> None:
    """Only elements and attributes that all of them know, every required one, counts and times as they parse them."""
    root = parse(build.report(overall=Verdict.INVALID) if empty else report)
    assert root.tag == "testsuites"
    for element in root.iter():
        assert {child.tag for child in element} <= CHILDREN[element.tag]
        assert REQUIRED.get(element.tag, set()) <= set(element.attrib) <= ALLOWED.get(element.tag, set())
        for count in {"tests", "failures", "errors", "skipped", "time"} & set(element.attrib):
            assert element.attrib[count].isdecimal()
        if "timestamp" in element.attrib:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", element.attrib["timestamp"])
    for suite in root:
        assert suite.tag == "testsuite"
        tags = [child.tag for child in suite]
        assert tags == sorted(tags, key=("properties", "testcase").index)
    for case in root.iter("testcase"):
        assert len(case) == 1


def test_no_data_is_an_error(build: Any) -> None:
    """A report without a metric is no green run."""
    root = parse(build.report(overall=Verdict.INVALID))
    assert (root.get("tests"), root.get("errors")) == ("1", "1")
    assert len(root.findall(".//error")) == 1
