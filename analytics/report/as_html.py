"""The report as one self-contained HTML page: no script, no request to anywhere, light and dark."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from analytics.report import formatting
from analytics.report.calibration_words import footnote
from analytics.report.findings import (
    SHARED_TITLE,
    checks_with,
    findings,
    kept_alarms,
    maturing,
    metric_names,
    result_of,
    shared_cohorts,
    shown_exemplars,
    undecided,
)
from analytics.report.headline import headline
from analytics.report.interval_plot import HEIGHT, WIDTH, interval_plot
from analytics.report.model import CheckStatus, Report, Verdict
from analytics.report.text import name, sentence

_ENVIRONMENT = Environment(
    loader=PackageLoader("analytics.report", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters.update(name=name, sentence=sentence)


def render(report: Report) -> str:
    """Render the report as an HTML document with a final newline."""
    return _ENVIRONMENT.get_template("report.html.jinja").render(
        report=report,
        headline=headline(report),
        metrics=metric_names(report),
        result_of=result_of,
        shown_exemplars=shown_exemplars,
        regressed=findings(report, Verdict.REGRESSED),
        improved=findings(report, Verdict.IMPROVED),
        kept_alarms=kept_alarms(report),
        maturing=maturing(report),
        undecided=[found for cohort in report.cohorts for found in undecided(cohort)],
        not_passed=checks_with(report, CheckStatus.FAIL, CheckStatus.WARN),
        passed=checks_with(report, CheckStatus.PASS),
        shared=shared_cohorts(report),
        shared_title=SHARED_TITLE,
        interval_plot=interval_plot,
        plot_width=WIDTH,
        plot_height=HEIGHT,
        calibrated="" if report.calibration is None else footnote(report.calibration),
        f=formatting,
    )
