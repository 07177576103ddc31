"""The report as JUnit XML, so that a pipeline shows verdicts where it shows tests.

Each cohort is a test suite and each metric a test case: REGRESSED is a failure, INVALID an error,
INCONCLUSIVE skipped. A report without any metric is an error: no data is never a pass.

The elements and attributes are those that the readers of Jenkins, GitLab and GitHub have in common, which the schema of
Jenkins' xUnit plugin (junit-10.xsd) writes down; no test takes time.
"""

from __future__ import annotations

# Only written with here; nothing is parsed.
from xml.etree import ElementTree as ET

from analytics.report import formatting
from analytics.report.headline import headline
from analytics.report.model import CohortResult, MetricResult, Report, Verdict
from analytics.report.text import name, sentence

_OUTCOMES = {Verdict.REGRESSED: "failure", Verdict.INVALID: "error", Verdict.INCONCLUSIVE: "skipped"}
_NO_TIME = "0"
_COUNTS = (("failures", Verdict.REGRESSED), ("errors", Verdict.INVALID), ("skipped", Verdict.INCONCLUSIVE))


def render(report: Report) -> str:
    """Render the report as an XML document with a final newline."""
    promotion = name(report.promotion.name)
    root = ET.Element("testsuites", name=promotion, time=_NO_TIME)
    for cohort in report.cohorts:
        _suite(root, report, cohort)
    if not any(cohort.metrics for cohort in report.cohorts):
        _nothing(root, report)
    for total in ("tests", "failures", "errors"):
        root.set(total, str(sum(int(suite.get(total, "0")) for suite in root)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, report: Report, cohort: CohortResult) -> None:
    verdicts = [result.verdict for result in cohort.metrics]
    attributes = {
        "name": f"{name(report.promotion.name)}.{name(cohort.cohort)}",
        "timestamp": formatting.instant(report.as_of).removesuffix("Z"),
        "time": _NO_TIME,
        "tests": str(len(verdicts)),
    } | {attribute: str(verdicts.count(verdict)) for attribute, verdict in _COUNTS}
    suite = ET.SubElement(root, "testsuite", attributes)
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        ("decision", cohort.decision.value),
        ("reason", sentence(cohort.reason)),
        ("fingerprint", sentence(report.fingerprint)),
    ):
        ET.SubElement(properties, "property", name=key, value=value)
    for result in cohort.metrics:
        _case(suite, result)


def _case(suite: ET.Element, result: MetricResult) -> None:
    case = ET.SubElement(suite, "testcase", classname=suite.get("name", ""), name=name(result.metric), time=_NO_TIME)
    kind = _OUTCOMES.get(result.verdict)
    if kind is not None:
        told = ET.SubElement(case, kind, type=result.verdict.value, message=sentence(result.reason))
        told.text = _numbers(result)
    else:
        ET.SubElement(case, "system-out").text = f"{sentence(result.reason)}\n{_numbers(result)}"


def _numbers(result: MetricResult) -> str:
    unit = result.unit
    margin = None if result.margin is None else abs(result.margin)
    lines = [
        f"base: {formatting.arm(result.base, unit)}",
        f"candidate: {formatting.arm(result.candidate, unit)}",
        f"effect: {formatting.effect(result)}",
        f"margin: {formatting.size(margin, unit)}",
        *(f"{name(arm)} traces: {', '.join(map(name, ids))}" for arm, ids in sorted(result.exemplars.items()) if ids),
    ]
    return "\n".join(lines)


def _nothing(root: ET.Element, report: Report) -> None:
    promotion = name(report.promotion.name)
    suite = ET.SubElement(root, "testsuite", name=promotion, tests="1", failures="0", errors="1", time=_NO_TIME)
    case = ET.SubElement(suite, "testcase", classname=promotion, name="data", time=_NO_TIME)
    ET.SubElement(case, "error", type=Verdict.INVALID.value, message=headline(report))
