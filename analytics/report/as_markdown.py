"""The report as Markdown, made to fit a pull-request comment."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

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
    result_of,
    shared_cohorts,
    shown_exemplars,
    undecided,
)
from analytics.report.headline import headline
from analytics.report.model import Check, CheckStatus, CohortResult, MetricResult, Report, Verdict
from analytics.report.text import name, sentence

# Everything that starts a construct in CommonMark, GitHub's tables, autolinks, emoji or mathematics.
_CONSTRUCTS = re.compile(r"([\\`*_\[\]<>|~#!&${}])")
# GitHub notifies people, links issues and draws emoji after rendering, where a backslash no longer helps.
_REFERENCES = re.compile(r"(?<!\w)(\\?[@#])(?=\w)|(:)(?=[\w+-]*[a-z][\w+-]*:)")
_BARE_HOST = re.compile(r"\bwww\.", re.IGNORECASE)
_BACKTICKS = re.compile(r"`+")

_EXEMPLARS_SHOWN = 3


def render(report: Report) -> str:
    """Render the report as GitHub-flavoured Markdown with a final newline."""
    blocks = [
        f"**{_escape(headline(report))}**",
        _about(report),
        _grid(report),
        _decisions(report),
        _section("Findings", _findings(report, Verdict.REGRESSED, Verdict.IMPROVED)),
        *(_where(found) for found in findings(report, Verdict.REGRESSED)),
        _section("Alarms kept from earlier days", [_kept(found) for found in kept_alarms(report)]),
        _section("Watch list", _watch_list(report)),
        _section(SHARED_TITLE, _shared(report)),
        _section("Not compared", _not_compared(report)),
        _section("Checks that did not pass", _checks(report)),
        _maturing(report),
        _undecided(report),
        _footer(report),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _escape(text: str) -> str:
    """Write text so that Markdown shows it and does nothing else with it."""
    escaped = _CONSTRUCTS.sub(r"\\\1", text)
    escaped = _BARE_HOST.sub(lambda match: match[0][:-1] + "\\.", escaped)
    return _REFERENCES.sub("\\g<0>\u200b", escaped.replace("://", ":\\//"))


def _code(text: str) -> str:
    """Write a name as a code span, which also holds in a table cell."""
    shown = name(text).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(shown)), default=0))
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _code_in_html(text: str) -> str:
    """Write a name as code where Markdown is HTML already."""
    return f"<code>{html.escape(name(text))}</code>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"#### {title}", "", *lines]) if lines else ""


def _not_compared(report: Report) -> list[str]:
    lines = []
    for found in not_compared(report):
        everywhere = len(found.cohorts) == len(report.cohorts)
        where = "all cohorts" if everywhere else ", ".join(_code(cohort) for cohort in found.cohorts)
        what = "all metrics" if found.everything else ", ".join(map(_code, found.metrics))
        lines.append(f"- {what} on {where}: {_escape(sentence(found.reason))}")
    return lines


def _shared(report: Report) -> list[str]:
    lines = []
    for found in shared_cohorts(report):
        lines.append(f"- {_code(found.cohort)}: {found.kept}")
        lines += [
            f"  - {formatting.VERDICT_WORDS[verdict]}: {', '.join(map(_code, metrics))}"
            for verdict, metrics in found.verdicts.items()
        ]
        lines += [f"  - {_escape(sentence(result.reason))}" for result in found.regressed]
    return lines


def _footer(report: Report) -> str:
    calibrated = "" if report.calibration is None else f"{_escape(footnote(report.calibration))} "
    return (
        f"<sub>Intervals hold at every look; family-wise error {report.alpha:g} in each direction. {calibrated}"
        f"Fingerprint {_code(report.fingerprint)}</sub>"
    )


def _about(report: Report) -> str:
    promotion = report.promotion
    return (
        f"{_code(promotion.base)} → {_code(promotion.candidate)} {formatting.scope(promotion, _code)}; "
        f"data to {formatting.instant(report.data_watermark)}"
    )


def _grid(report: Report) -> str:
    if not report.cohorts:
        return "There is no cohort to compare: no trace was found in either arm."
    header = ["metric", *(_code(cohort.cohort) for cohort in report.cohorts)]
    rows = [
        [_code(metric), *(_verdict(result_of(cohort, metric)) for cohort in report.cohorts)]
        for metric in metric_names(report)
    ]
    decisions = ["**decision**", *(f"**{formatting.DECISION_WORDS[c.decision]}**" for c in report.cohorts)]
    return _table(header, [*rows, decisions])


def _verdict(result: MetricResult | None) -> str:
    if result is None:
        return "not measured"
    words = formatting.VERDICT_WORDS[result.verdict]
    return f"**{words}**" if result.verdict is Verdict.REGRESSED else words


def _decisions(report: Report) -> str:
    return "\n".join(_decision(cohort) for cohort in report.cohorts)


def _decision(cohort: CohortResult) -> str:
    traces = " and ".join(
        f"{formatting.count(count, 'trace')} of {_escape(name(arm))}" for arm, count in sorted(cohort.traces.items())
    )
    return (
        f"- {_code(cohort.cohort)}: **{formatting.DECISION_WORDS[cohort.decision]}**, "
        f"{_escape(sentence(cohort.reason))} ({traces or 'no traces'})"
        f"{_escape(_spaced(formatting.pooled(cohort)))}"
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
        f"- {_verdict(result)} {_code(result.metric)} on {_code(found.cohort)}: "
        f"{_escape(sentence(result.reason))} Effect {formatting.difference(result.effect, result.unit)}; "
        f"{formatting.both_arms(result)}."
    )
    line += _spaced(formatting.mix(result), formatting.raised(result))
    if result.verdict is Verdict.REGRESSED and result.attribution is not None and result.attribution.summary:
        line += f" {_escape(sentence(result.attribution.summary))}"
    exemplars = shown_exemplars(result).get("candidate", [])[:_EXEMPLARS_SHOWN]
    if exemplars and result.verdict is Verdict.REGRESSED:
        line += f" For example {', '.join(_code(trace_id) for trace_id in exemplars)}."
    return line


def _kept(found: Finding) -> str:
    result = found.result
    return (
        f"- {_verdict(result)} {_code(result.metric)} on {_code(found.cohort)}: {formatting.raised(result)} "
        f"{_escape(sentence(result.reason))}"
    )


def _watch_list(report: Report) -> list[str]:
    return [
        f"- {_code(item.metric)} on {_code(item.cohort)}: no alarm, but evidence {formatting.evidence(item.e_value)}"
        for item in report.watch_list
    ]


def _where(found: Finding) -> str:
    """The steps and strata of a regression, folded away."""
    where, unit = found.result.attribution, found.result.unit
    if where is None or not (where.steps or where.strata):
        return ""
    steps = [
        [
            _code(step.step),
            _escape(step.symptom),
            formatting.value(step.base, step.unit),
            formatting.value(step.candidate, step.unit),
            formatting.part(step.share),
            formatting.chance(step),
        ]
        for step in where.steps
    ]
    strata = [
        [
            _code(part.stratum),
            formatting.arm(part.base, unit),
            formatting.arm(part.candidate, unit),
            formatting.part(part.share),
        ]
        for part in where.strata
    ]
    tables = [
        _table(header, rows)
        for header, rows in (
            (["step", "what differs", "base", "candidate", "part of the difference", ""], steps),
            (["stratum", "base", "candidate", "part of the difference"], strata),
        )
        if rows
    ]
    summary = f"Where {_code_in_html(found.result.metric)} on {_code_in_html(found.cohort)} begins"
    body = "\n\n".join(tables)
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def _maturing(report: Report) -> str:
    """How much of each arm is old enough, folded away."""
    rows = [
        [
            _code(each.metric),
            formatting.final_after(each),
            formatting.covered(each.coverage["base"]),
            formatting.covered(each.coverage["candidate"]),
            formatting.next_verdict(each.next_verdict_at),
        ]
        for each in maturing(report)
    ]
    if not rows:
        return ""
    table = _table(["metric", "final after", "base old enough", "candidate old enough", "next verdict (UTC)"], rows)
    summary = f"Waiting for labels: {formatting.count(len(rows), 'metric')}"
    return f"<details>\n<summary>{summary}</summary>\n\n{table}\n\n</details>"


def _undecided(report: Report) -> str:
    """The inconclusive metrics, folded away: in a pull request they are for who asks."""
    shown = [found for cohort in report.cohorts for found in undecided(cohort)]
    if not shown:
        return ""
    rows = [
        [
            _code(found.cohort),
            _code(found.result.metric),
            formatting.visible_from(found.result),
            formatting.more_traces(found.result),
            formatting.next_verdict_of(found.result),
        ]
        for found in shown
    ]
    table = _table(
        ["cohort", "metric", "smallest visible regression", "more traces needed", "next verdict (UTC)"], rows
    )
    summary = f"Too small to see: {formatting.count(len(shown), 'inconclusive metric')}"
    return f"<details>\n<summary>{summary}</summary>\n\n{table}\n\n</details>"


def _checks(report: Report) -> list[str]:
    return [_check(check) for check in checks_with(report, CheckStatus.FAIL, CheckStatus.WARN)]


def _check(check: Check) -> str:
    where = "all cohorts" if check.cohort is None else _code(check.cohort)
    return f"- **{check.status}** {_code(check.check)} on {where}: {_escape(sentence(check.detail))}"
