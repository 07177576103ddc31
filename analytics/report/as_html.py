"""The report as one self-contained HTML page: no request to anywhere, whole without its one small script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined

from analytics.report import charts, formatting
from analytics.report.calibration_words import footnote
from analytics.report.evidence import Distribution, OverTime
from analytics.report.findings import (
    SHARED_TITLE,
    Finding,
    checks_with,
    findings,
    kept_alarms,
    maturing,
    shared_cohorts,
    shown_exemplars,
    undecided,
    worst_first,
)
from analytics.report.glance import glance
from analytics.report.grid import grid
from analytics.report.headline import headline
from analytics.report.model import CheckStatus, Report, Verdict
from analytics.report.text import name, sentence
from analytics.trace_view import TraceView

_OfCohort = TypeVar("_OfCohort", Distribution, OverTime)

SHOWN_WHOLE = 30
"""How many findings are shown with charts and traces, the gravest first; of the others the numbers are there."""

# So many cohorts are unfolded: more would hide one another.
_UNFOLDED = 2
_SCRIPT = files("analytics.report").joinpath("templates", "report", "sort.js").read_text("utf-8")
_ALLOWED = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()

_ENVIRONMENT = Environment(
    loader=PackageLoader("analytics.report", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters.update(name=name, sentence=sentence)


def render(report: Report, traces: Sequence[TraceView] = ()) -> str:
    """Render the report as an HTML document with a final newline.

    Args:
        report: the report.
        traces: those of its exemplars that are to be shown with their spans and messages.
    """
    changed = findings(report, Verdict.REGRESSED) + findings(report, Verdict.IMPROVED)
    shown = changed[:SHOWN_WHOLE]
    at_findings = {(found.cohort, found.result.metric) for found in shown}
    return _ENVIRONMENT.get_template("report/page.html.jinja").render(
        report=report,
        headline=headline(report),
        glance=glance(report),
        grid=grid(report, _sections(report, shown)),
        shown=shown,
        not_shown=len(changed) - len(shown),
        shown_exemplars=shown_exemplars,
        traces={view.trace_id: view for view in traces},
        cohorts=worst_first(report),
        over_time={(found.cohort, found.metric): found for found in report.evidence.over_time},
        other_days=_by_cohort(
            report, [days for days in report.evidence.over_time if (days.cohort, days.metric) not in at_findings]
        ),
        distributions=_by_cohort(report, report.evidence.distributions),
        unfolded=len(report.cohorts) <= _UNFOLDED,
        kept_alarms=kept_alarms(report),
        maturing=maturing(report),
        undecided=[found for cohort in report.cohorts for found in undecided(cohort)],
        not_passed=checks_with(report, CheckStatus.FAIL, CheckStatus.WARN),
        passed=checks_with(report, CheckStatus.PASS),
        shared=shared_cohorts(report),
        shared_title=SHARED_TITLE,
        calibrated="" if report.calibration is None else footnote(report.calibration),
        charts=charts,
        f=formatting,
        severity={verdict: place for place, verdict in enumerate(Verdict)},
        script=_SCRIPT,
        script_hash=_ALLOWED,
    )


def _by_cohort(report: Report, shown: Sequence[_OfCohort]) -> dict[str, list[_OfCohort]]:
    found: dict[str, list[_OfCohort]] = {cohort.cohort: [] for cohort in report.cohorts}
    for each in shown:
        found.setdefault(each.cohort, []).append(each)
    return found


def _sections(report: Report, shown: Sequence[Finding]) -> dict[tuple[str, str], str]:
    """Where on the page each comparison is told of: at its finding, else in the row of its numbers."""
    rows = {
        (cohort.cohort, result.metric): f"row-{place}-{row}"
        for place, cohort in enumerate(worst_first(report), 1)
        for row, result in enumerate(cohort.metrics, 1)
    }
    return rows | {(found.cohort, found.result.metric): f"finding-{place}" for place, found in enumerate(shown, 1)}
