"""A report in one sentence, and as an exit status."""

from __future__ import annotations

from collections.abc import Sequence

from analytics.report import formatting
from analytics.report.findings import DECIDED, Finding, checks_with, findings
from analytics.report.model import CheckStatus, CohortResult, Decision, MetricResult, Report, Verdict
from analytics.report.text import name, sentence

EXIT_DONE = 0
EXIT_REGRESSED = 1
EXIT_UNDECIDED = 3

_NAMED_COHORTS = 3


def exit_status(report: Report, fail_on_undecided: bool) -> int:
    """What the command returns to the shell.

    Args:
        report: the report.
        fail_on_undecided: whether a report in which nothing could be decided is a failure.

    Returns:
        1 if any metric regressed; 3 if nothing at all could be compared (no data is no pass), or, if asked for, if
        every metric is inconclusive or invalid; else 0.
    """
    verdicts = {result.verdict for cohort in report.cohorts for result in cohort.metrics}
    if Verdict.REGRESSED in verdicts or report.overall is Verdict.REGRESSED:
        return EXIT_REGRESSED
    if report.overall is Verdict.INVALID or (fail_on_undecided and not verdicts & DECIDED):
        return EXIT_UNDECIDED
    return EXIT_DONE


def headline(report: Report) -> str:
    """Say in one sentence what to do and why, as plain inert text."""
    regressed = findings(report, Verdict.REGRESSED)
    if regressed:
        return _regressed(report, regressed)
    promotion = name(report.promotion.name)
    if report.overall in {Verdict.NO_REGRESSION, Verdict.IMPROVED}:
        return f"Promote {promotion}: {_cleared(report)}."
    if report.overall is Verdict.INVALID:
        return f"No verdict on {promotion}: {_why_invalid(report)}"
    return f"No verdict yet on {promotion}: {_undecided(report)}."


def _regressed(report: Report, regressed: Sequence[Finding]) -> str:
    everywhere = all(cohort.decision is Decision.ROLL_BACK for cohort in report.cohorts)
    worse = _named([cohort for cohort in report.cohorts if cohort.decision is Decision.ROLL_BACK])
    said = [change(regressed[0])]
    more = len(regressed) - 1
    if more:
        said.append(formatting.count(more, "more regression"))
    ready = _named([c for c in report.cohorts if c.decision is Decision.PROMOTE])
    if ready:
        said.append(f"{ready} may be promoted")
    promotion = name(report.promotion.name)
    do = f"Roll back {promotion}" if everywhere else f"Hold {promotion}, roll back {worse}"
    return f"{do}: {'; '.join(said)}."


def change(finding: Finding) -> str:
    """Say how a metric changed: "p99 latency on eu rose from 1.2 ms to 2.4 ms (+0.7 to +1.6 ms)"."""
    result = finding.result
    unit = result.unit
    before, after = (formatting.value(side.value, unit) for side in (result.base, result.candidate))
    moved = f"{_verb(result)} from {before} to {after}"
    if before == after and result.base.value is not None:
        moved = f"stayed at {after}"
    said = f"{name(formatting.metric_label(result.metric))} on {name(finding.cohort)} {moved}"
    if result.composition is not None:
        said += f", {formatting.difference(result.effect, unit)} among like traces"
    if result.interval is not None:
        said += f" ({formatting.interval(result.interval, unit)})"
    if result.margin is not None:
        said += f", margin {formatting.size(abs(result.margin), unit)}"
    return said


def _verb(result: MetricResult) -> str:
    if result.base.value is None or result.candidate.value is None:
        return "went"
    raw = result.candidate.value - result.base.value
    # An effect adjusted for days or users may oppose the raw values; then no direction is read off them.
    if result.effect is not None and raw * result.effect < 0:
        return "went"
    return "rose" if raw > 0 else "fell"


def _cleared(report: Report) -> str:
    cohorts = formatting.count(len(report.cohorts), "cohort")
    improved = findings(report, Verdict.IMPROVED)
    if not improved:
        return f"no metric is worse by its margin in any of {cohorts}"
    said = f"no metric is worse by its margin in any of {cohorts}, and {change(improved[0])}"
    more = len(improved) - 1
    return f"{said}; {formatting.count(more, 'more improvement')}" if more else said


def _why_invalid(report: Report) -> str:
    failed = checks_with(report, CheckStatus.FAIL)
    if failed:
        where = "" if failed[0].cohort is None else f" on {name(failed[0].cohort)}"
        return f"nothing could be compared; {failed[0].check}{where}: {sentence(failed[0].detail)}"
    return "nothing could be compared, because no metric has data in both arms."


def _undecided(report: Report) -> str:
    results = [result for cohort in report.cohorts for result in cohort.metrics]
    decided = sum(result.verdict in DECIDED for result in results)
    said = f"{decided} of {formatting.count(len(results), 'comparison')} decided, none a regression"
    ready = _named([c for c in report.cohorts if c.decision is Decision.PROMOTE])
    waiting = _named([c for c in report.cohorts if c.decision is Decision.HOLD])
    if ready:
        said += f"; {ready} may be promoted"
    return f"{said}; {waiting} must wait for more data" if waiting else said


def _named(cohorts: Sequence[CohortResult]) -> str:
    if len(cohorts) > _NAMED_COHORTS:
        return f"{len(cohorts)} cohorts"
    names = [name(cohort.cohort) for cohort in cohorts]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
