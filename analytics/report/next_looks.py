"""Where a reader of a report looks next, as commands."""

from __future__ import annotations

import re
import shlex

from analytics.report import formatting
from analytics.report.findings import findings, shown_exemplars
from analytics.report.model import Report, Verdict
from analytics.report.text import name

_TRACE_ID = re.compile(r"[0-9a-f]{32}")


def next_looks(report: Report) -> list[tuple[str, str]]:
    """What can be looked at next, and how: the traces that prove a regression, plots, the next verdict.

    Commands are for a shell, and name only what can be written in one as it is.
    """
    looks = []
    for found in findings(report, Verdict.REGRESSED):
        traces = [each for each in shown_exemplars(found.result).get("candidate", []) if _TRACE_ID.fullmatch(each)]
        if traces:
            question = f"FROM llm_calls WHERE trace_id = '{traces[0]}'"
            looks.append(("The calls of a trace that shows it:", f'spanverdict sql "{question}"'))
            break
    promotion = report.promotion.name
    if promotion == name(promotion) and not promotion.startswith("-"):
        moment = formatting.iso(report.as_of)
        command = f"spanverdict report {shlex.quote(promotion)} --as-of {moment} --out report.html"
        looks.append(("The same with plots and every number:", command))
    moments = [
        result.maturity.next_verdict_at
        for cohort in report.cohorts
        for result in cohort.metrics
        if result.maturity is not None and result.maturity.next_verdict_at is not None
    ]
    if moments:
        looks.append(("The next verdict can be expected:", f"{formatting.next_verdict(min(moments))} UTC"))
    return looks
