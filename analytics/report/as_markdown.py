"""The report as Markdown, made to fit a pull-request comment."""

from __future__ import annotations

from collections.abc import Sequence

from analytics.report import formatting
from analytics.report.calibration_words import footnote
from analytics.report.findings import (
    SHARED_TITLE,
    Finding,
    checks_with,
    findings,
    kept_alarms,
    maturing,
    metric_names,
    not_compared,
    shared_cohorts,
    shown_exemplars,
    undecided,
)
from analytics.report.headline import headline
from analytics.report.markdown_text import LIST_LIMIT, code, code_in_html, escape, folded, limited, table
from analytics.report.model import Check, CheckStatus, CohortResult, Decision, MetricResult, Report, Verdict
from analytics.report.text import SENTENCE_LIMIT, name, sentence
from analytics.report.usage_rows import CohortRows, attempt_rows, usage_rows

COMMENT_LIMIT = 65_536
"""Characters that GitHub takes in a comment. Bytes are counted here, which are never fewer."""

_LEFT_OUT_ROOM = 1_000
_GRID_LIMIT = 12_000
_FOLDED_LIMIT = 6_000
_EXEMPLARS_SHOWN = 3
_STEPS_FOLDED = 5
_GRAVITY = (Decision.ROLL_BACK, Decision.HOLD, Decision.PROMOTE)


def render(report: Report) -> str:
    """Render the report as GitHub-flavoured Markdown with a final newline, short enough for a comment."""
    regressed = findings(report, Verdict.REGRESSED)
    blocks = {
        "the headline": f"**{escape(headline(report))}**",
        "the models": _about(report),
        "the grid": _grid(report),
        "decisions": limited([_decision(cohort) for cohort in _gravest(report)]),
        "findings": _section("Findings", _findings(report, Verdict.REGRESSED, Verdict.IMPROVED)),
        "where regressions begin": "\n\n".join(filter(None, map(_where, regressed[:_STEPS_FOLDED]))),
        "alarms kept": _section("Alarms kept from earlier days", [_kept(found) for found in kept_alarms(report)]),
        "the watch list": _section("Watch list", _watch_list(report)),
        "the comparison on shared versions": _section(SHARED_TITLE, _shared(report)),
        "what is not compared": _section("Not compared", _not_compared(report)),
        "checks that did not pass": _section("Checks that did not pass", _checks(report)),
        "cost and tokens": _by_cohort("Cost and tokens of a trace: base → candidate", usage_rows(report)),
        "attempt chains": _by_cohort("Attempt chains: base → candidate", attempt_rows(report)),
        "labels waited for": _maturing(report),
        "what was too small to see": _undecided(report),
    }
    footer = _footer(report)
    room = COMMENT_LIMIT - len(footer.encode()) - _LEFT_OUT_ROOM
    kept, left_out = [], []
    for title, block in blocks.items():
        needed = len(block.encode()) + 2
        if needed > room:
            left_out.append(title)
        elif block:
            room -= needed
            kept.append(block)
    if left_out:
        kept.append(f"Left out here, as a comment has an end: {', '.join(left_out)}. The HTML report has everything.")
    return "\n\n".join([*kept, footer]) + "\n"


def _gravest(report: Report) -> list[CohortResult]:
    """The cohorts by name; where they are too many to be shown, those to be rolled back first."""
    lines = [_decision(cohort) for cohort in report.cohorts]
    if len("\n".join(lines).encode()) <= LIST_LIMIT:
        return list(report.cohorts)
    return sorted(report.cohorts, key=lambda cohort: _GRAVITY.index(cohort.decision))


def _section(title: str, lines: Sequence[str]) -> str:
    return f"#### {title}\n\n{limited(lines)}" if lines else ""


def _not_compared(report: Report) -> list[str]:
    lines = []
    for found in not_compared(report):
        everywhere = len(found.cohorts) == len(report.cohorts)
        where = "all cohorts" if everywhere else ", ".join(code(cohort) for cohort in found.cohorts)
        what = "all metrics" if found.everything else ", ".join(map(code, found.metrics))
        lines.append(f"- {what} on {where}: {escape(sentence(found.reason))}")
    return lines


def _shared(report: Report) -> list[str]:
    lines = []
    for found in shared_cohorts(report):
        lines.append(f"- {code(found.cohort)}: {found.kept}")
        lines += [
            f"  - {formatting.VERDICT_WORDS[verdict]}: {', '.join(map(code, metrics))}"
            for verdict, metrics in found.verdicts.items()
        ]
        lines += [f"  - {escape(sentence(result.reason))}" for result in found.regressed]
    return lines


def _footer(report: Report) -> str:
    calibrated = "" if report.calibration is None else f"{escape(footnote(report.calibration))} "
    return (
        f"<sub>Intervals hold at every look; family-wise error {report.alpha:g} in each direction. {calibrated}"
        f"Fingerprint {code(report.fingerprint, SENTENCE_LIMIT)}</sub>"
    )


def _about(report: Report) -> str:
    promotion = report.promotion
    return (
        f"{code(promotion.base)} → {code(promotion.candidate)} {formatting.scope(promotion, code)}; "
        f"data to {formatting.instant(report.data_watermark)}"
    )


def _grid(report: Report) -> str:
    """Verdicts by metric and cohort, the longer of both downwards; of very many cohorts the gravest."""
    if not report.cohorts:
        return "There is no cohort to compare: no trace was found in either arm."
    cohorts, metrics = list(report.cohorts), list(metric_names(report))
    shown = _cells(cohorts, metrics)
    if len(shown.encode()) > _GRID_LIMIT:
        cohorts.sort(key=lambda cohort: _GRAVITY.index(cohort.decision))
    while len(shown.encode()) > _GRID_LIMIT:
        if len(cohorts) >= len(metrics):
            cohorts = cohorts[: len(cohorts) // 2]
        else:
            metrics = metrics[: len(metrics) // 2]
        shown = _cells(cohorts, metrics)
    parts = [
        f"{len(few)} of {formatting.count(len(all_of), noun)}"
        for few, all_of, noun in ((cohorts, report.cohorts, "cohort"), (metrics, metric_names(report), "metric"))
        if len(few) < len(all_of)
    ]
    return f"{shown}\n\nShown are {' and '.join(parts)}." if parts else shown


def _cells(cohorts: Sequence[CohortResult], metrics: Sequence[str]) -> str:
    if len(cohorts) > len(metrics):
        header = ["cohort", "**decision**", *map(code, metrics)]
        return table(
            header, [[code(cohort.cohort), _decided(cohort), *_verdicts(cohort, metrics)] for cohort in cohorts]
        )
    header = ["metric", *(code(cohort.cohort) for cohort in cohorts)]
    columns = [_verdicts(cohort, metrics) for cohort in cohorts]
    rows = [[code(metric), *(column[place] for column in columns)] for place, metric in enumerate(metrics)]
    return table(header, [*rows, ["**decision**", *map(_decided, cohorts)]])


def _verdicts(cohort: CohortResult, metrics: Sequence[str]) -> list[str]:
    results = {result.metric: result for result in cohort.metrics}
    return [_verdict(results.get(metric)) for metric in metrics]


def _decided(cohort: CohortResult) -> str:
    return f"**{formatting.DECISION_WORDS[cohort.decision]}**"


def _verdict(result: MetricResult | None) -> str:
    if result is None:
        return "not measured"
    words = formatting.VERDICT_WORDS[result.verdict]
    return f"**{words}**" if result.verdict is Verdict.REGRESSED else words


def _decision(cohort: CohortResult) -> str:
    traces = " and ".join(
        f"{formatting.count(count, 'trace')} of {escape(name(arm))}" for arm, count in sorted(cohort.traces.items())
    )
    return (
        f"- {code(cohort.cohort)}: **{formatting.DECISION_WORDS[cohort.decision]}**, "
        f"{escape(sentence(cohort.reason))} ({traces or 'no traces'})"
        f"{escape(_spaced(formatting.pooled(cohort)))}"
    )


def _spaced(*sentences: str) -> str:
    """Further sentences of a line, those that say something."""
    return "".join(f" {each}" for each in sentences if each)


def _findings(report: Report, *verdicts: Verdict) -> list[str]:
    shown = findings(report, *verdicts)
    # findings() orders by gravity within all; a regression is worse news than any improvement is good.
    return [_finding(found) for verdict in verdicts for found in shown if found.result.verdict is verdict]


def _finding(found: Finding) -> str:
    result = found.result
    line = (
        f"- {_verdict(result)} {code(result.metric)} on {code(found.cohort)}: "
        f"{escape(sentence(result.reason))} Effect {formatting.difference(result.effect, result.unit)}; "
        f"{formatting.both_arms(result)}."
    )
    line += _spaced(formatting.mix(result), formatting.raised(result))
    if result.verdict is Verdict.REGRESSED and result.attribution is not None and result.attribution.summary:
        line += f" {escape(sentence(result.attribution.summary))}"
    exemplars = shown_exemplars(result).get("candidate", [])[:_EXEMPLARS_SHOWN]
    if exemplars and result.verdict is Verdict.REGRESSED:
        line += f" For example {', '.join(code(trace_id) for trace_id in exemplars)}."
    return line


def _kept(found: Finding) -> str:
    result = found.result
    return (
        f"- {_verdict(result)} {code(result.metric)} on {code(found.cohort)}: {formatting.raised(result)} "
        f"{escape(sentence(result.reason))}"
    )


def _watch_list(report: Report) -> list[str]:
    return [
        f"- {code(item.metric)} on {code(item.cohort)}: no alarm, but evidence {formatting.evidence(item.e_value)}"
        for item in report.watch_list
    ]


def _where(found: Finding) -> str:
    """The steps and strata of a regression, folded away."""
    where, unit = found.result.attribution, found.result.unit
    if where is None or not (where.steps or where.strata):
        return ""
    steps = [
        [
            code(step.step),
            escape(name(step.symptom)),
            formatting.value(step.base, step.unit),
            formatting.value(step.candidate, step.unit),
            formatting.part(step.share),
            formatting.chance(step),
        ]
        for step in where.steps
    ]
    strata = [
        [
            code(part.stratum),
            formatting.arm(part.base, unit),
            formatting.arm(part.candidate, unit),
            formatting.part(part.share),
        ]
        for part in where.strata
    ]
    tables = [
        table(header, rows)
        for header, rows in (
            (["step", "what differs", "base", "candidate", "part of the difference", ""], steps),
            (["stratum", "base", "candidate", "part of the difference"], strata),
        )
        if rows
    ]
    summary = f"Where {code_in_html(found.result.metric)} on {code_in_html(found.cohort)} begins"
    return folded(summary, "\n\n".join(tables))


def _by_cohort(summary: str, shown: CohortRows) -> str:
    """Both arms of each cohort, folded away."""
    return _folded_table(summary, ["cohort", *shown.titles], [[code(cohort), *cells] for cohort, cells in shown.rows])


def _folded_table(summary: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table folded away, as far as it fits; nothing without rows."""
    if not rows:
        return ""
    used = 0
    kept: list[Sequence[str]] = []
    for row in rows:
        used += len(" | ".join(row).encode()) + 5
        if kept and used > _FOLDED_LIMIT:
            break
        kept.append(row)
    left = len(rows) - len(kept)
    more = f"\n\n… and {left:,} more" if left else ""
    return folded(summary, table(header, kept) + more)


def _maturing(report: Report) -> str:
    """How much of each arm is old enough, folded away."""
    rows = [
        [
            code(each.metric),
            formatting.final_after(each),
            formatting.covered(each.coverage["base"]),
            formatting.covered(each.coverage["candidate"]),
            formatting.next_verdict(each.next_verdict_at),
        ]
        for each in maturing(report)
    ]
    header = ["metric", "final after", "base old enough", "candidate old enough", "next verdict (UTC)"]
    return _folded_table(f"Waiting for labels: {formatting.count(len(rows), 'metric')}", header, rows)


def _undecided(report: Report) -> str:
    """The inconclusive metrics, folded away: in a pull request they are for who asks."""
    shown = [found for cohort in report.cohorts for found in undecided(cohort)]
    rows = [
        [
            code(found.cohort),
            code(found.result.metric),
            formatting.visible_from(found.result),
            formatting.more_traces(found.result),
            formatting.next_verdict_of(found.result),
        ]
        for found in shown
    ]
    header = ["cohort", "metric", "smallest visible regression", "more traces needed", "next verdict (UTC)"]
    return _folded_table(f"Too small to see: {formatting.count(len(shown), 'inconclusive metric')}", header, rows)


def _checks(report: Report) -> list[str]:
    return [_check(check) for check in checks_with(report, CheckStatus.FAIL, CheckStatus.WARN)]


def _check(check: Check) -> str:
    where = "all cohorts" if check.cohort is None else code(check.cohort)
    return f"- **{check.status}** {code(check.check)} on {where}: {escape(sentence(check.detail))}"
