"""What a reader must see within seconds: what regressed, for whom, how sure, what it costs, where the traces are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analytics.report import formatting
from analytics.report.evidence import Usage
from analytics.report.findings import DECIDED, Finding, findings, shown_exemplars
from analytics.report.model import Report, Verdict
from analytics.report.text import name

_NAMED = 2


@dataclass(frozen=True)
class Fact:
    """One answer.

    Attributes:
        question: what it answers, in a few words.
        answer: the answer, in a few words.
        more: what it rests on; empty where there is nothing to add.
        grave: whether it speaks against the candidate.
        section: the id of the part of the page that shows it; None where no part does.
    """

    question: str
    answer: str
    more: str
    grave: bool = False
    section: str | None = None


def glance(report: Report) -> tuple[Fact, ...]:
    """The facts, in the order in which a reader asks for them."""
    results = [result for cohort in report.cohorts for result in cohort.metrics]
    regressed = findings(report, Verdict.REGRESSED)
    compared = formatting.count(len(results), "comparison")
    facts = [_what(regressed, compared), _for_whom(report, regressed)]
    facts.append(
        Fact(
            "How sure",
            f"a false alarm at most {100 * report.alpha:g}\u00a0% of the time",
            f"over all {compared} together, however often it is read",
        )
    )
    facts += _cost(report)
    undecided = sum(result.verdict not in DECIDED for result in results)
    if undecided:
        facts.append(
            Fact("Not decided", f"{undecided} of {compared}", "too little data, or not comparable", section="numbers")
        )
    facts += _traces(regressed or findings(report, Verdict.IMPROVED))
    return tuple(facts)


def _what(regressed: Sequence[Finding], compared: str) -> Fact:
    if not regressed:
        return Fact("What regressed", "nothing seen", f"in {compared}", section="grid")
    metrics = list(dict.fromkeys(formatting.metric_label(found.result.metric) for found in regressed))
    return Fact("What regressed", _first(metrics), f"{len(regressed)} of {compared}", grave=True, section="findings")


def _for_whom(report: Report, regressed: Sequence[Finding]) -> Fact:
    if not regressed:
        return Fact("For whom", "no cohort", f"of {len(report.cohorts)}", section="decisions")
    cohorts = list(dict.fromkeys(found.cohort for found in regressed))
    traces = {cohort.cohort: sum(cohort.traces.values()) for cohort in report.cohorts}
    share = sum(traces[cohort] for cohort in cohorts) / (sum(traces.values()) or 1)
    return Fact("For whom", _first(cohorts), f"{formatting.part(share)} of the traces", grave=True, section="decisions")


def _first(names: Sequence[str]) -> str:
    said = ", ".join(map(name, names[:_NAMED]))
    more = len(names) - _NAMED
    return f"{said} and {more} more" if more > 0 else said


def _cost(report: Report) -> Iterator[Fact]:
    if not report.evidence.usage:
        return
    base, candidate = mean_costs(report.evidence.usage)
    unpriced = sum(used.unpriced for used in report.evidence.usage)
    more = [f"{formatting.value(base, 'usd')} with the base"]
    if unpriced:
        more.append(f"{formatting.count(unpriced, 'trace')} without a whole price")
    if base is None or candidate is None:
        yield Fact("Cost of a trace", formatting.UNKNOWN, "no cohort has a known cost in both arms", section="usage")
    else:
        change = f", {100 * (candidate / base - 1):+.1f}\u00a0%" if base else ""
        yield Fact("Cost of a trace", f"{formatting.value(candidate, 'usd')}{change}", "; ".join(more), section="usage")


def mean_costs(usage: Sequence[Usage]) -> tuple[float | None, float | None]:
    """Mean known cost of a trace in either arm, cohorts weighted alike in both: their traces of both arms together."""
    by_cohort: dict[str, dict[str, Usage]] = {}
    for used in usage:
        by_cohort.setdefault(used.cohort, {})[used.arm] = used
    weight, sums = 0, {"base": 0.0, "candidate": 0.0}
    for arms in by_cohort.values():
        costs = {arm: used.cost for arm, used in arms.items() if used.cost is not None}
        if costs.keys() == sums.keys():
            traces = sum(used.traces for used in arms.values())
            weight += traces
            sums = {arm: sums[arm] + traces * cost for arm, cost in costs.items()}
    return (sums["base"] / weight, sums["candidate"] / weight) if weight else (None, None)


def _traces(shown: Sequence[Finding]) -> Iterator[Fact]:
    ids = {trace for found in shown for traces in shown_exemplars(found.result).values() for trace in traces}
    if ids:
        yield Fact(
            "Traces to look at", formatting.count(len(ids), "trace"), "of both arms, by finding", section="findings"
        )
