"""How values, differences and words of a report are written for people."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from analytics.promotions import BEFORE_AFTER, EVERYTHING, HELD_OUT, MIRRORED, Promotion
from analytics.report.model import CohortResult, Decision, MetricResult, StepDifference, Verdict
from analytics.report.text import name, passage
from analytics.report.values import ArmValue

if TYPE_CHECKING:
    from analytics.report.findings import Maturing

UNKNOWN = "unknown"

VERDICT_WORDS = {
    Verdict.REGRESSED: "REGRESSED",
    Verdict.IMPROVED: "improved",
    Verdict.NO_REGRESSION: "no regression",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.INVALID: "invalid",
}

DECISION_WORDS = {
    Decision.PROMOTE: "promote",
    Decision.HOLD: "hold",
    Decision.ROLL_BACK: "roll back",
}

_METRIC_LABELS = {
    "thumbs_down_rate": "thumbs-down rate",
    "escalated_rate": "escalation rate",
    "reopened_rate": "reopened-ticket rate",
    "schema_repair_rate": "schema-repair rate",
    "latency_p50": "p50 latency",
    "latency_p95": "p95 latency",
    "latency_p99": "p99 latency",
    "input_tokens": "input tokens per trace",
    "output_tokens": "output tokens per trace",
    "total_tokens": "tokens per trace",
}
_ACRONYMS = {"json": "JSON", "sql": "SQL", "html": "HTML", "url": "URL", "pii": "PII"}

_TENTH = 0.1
_ONE = 1.0
_HUNDRED = 100.0
_THOUSAND = 1000.0


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _significant(value: float, digits: int) -> str:
    """Write a number with so many significant digits, grouped by thousands, never in powers of ten."""
    if value == 0:
        return "0"
    # Rounding first: 9.9996 with four digits is 10.00, not 10.000.
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def _hundredths(share: float) -> str:
    """Write 100 times a share: one decimal, more below 1 so that small rates stay apart."""
    percent = 100 * share
    size = abs(percent)
    if size == 0 or round(size, 1) == _HUNDRED:
        return f"{percent:.0f}"
    if size >= _ONE:
        return f"{percent:.1f}"
    return f"{percent:.2f}" if size >= _TENTH else _significant(percent, 2)


def _plain(value: float) -> str:
    """Write milliseconds or tokens: whole numbers from 100 on, one decimal below, two digits below 1."""
    size = abs(value)
    if size >= _HUNDRED:
        return f"{value:,.0f}"
    if size == 0:
        return "0"
    return f"{value:.1f}" if size >= _ONE else _significant(value, 2)


def _number(value: float, unit: str, digits: int = 4) -> str:
    if unit == "rate":
        return _hundredths(value)
    if unit in {"ms", "tokens"}:
        return _plain(value)
    if unit == "count":
        return f"{value:,.2f}"
    return _significant(value, digits)


def _signed(value: float, unit: str) -> str:
    written = _number(value, unit, digits=3)
    return f"+{written}" if value > 0 else written


def _symbol(unit: str, *, difference: bool) -> str:
    if unit == "rate":
        return "points" if difference else "%"
    if unit == "count":
        return ""
    return "USD" if unit == "usd" else name(unit)


def value(number: float | None, unit: str) -> str:
    """Write an observed value: "6.1 %", "1,240 ms", "0.01234 USD", "812 tokens", a count as "1.25"."""
    finite = _finite(number)
    return UNKNOWN if finite is None else f"{_number(finite, unit)} {_symbol(unit, difference=False)}".rstrip()


def difference(number: float | None, unit: str) -> str:
    """Write a signed difference; of rates in percentage points: "+3.7 points"."""
    finite = _finite(number)
    return UNKNOWN if finite is None else f"{_signed(finite, unit)} {_symbol(unit, difference=True)}"


def size(number: float | None, unit: str) -> str:
    """Write the size of a difference without a sign: a margin, or the smallest regression that shows."""
    finite = _finite(number)
    return UNKNOWN if finite is None else f"{_number(finite, unit, digits=3)} {_symbol(unit, difference=True)}"


def interval(bounds: tuple[float, float] | None, unit: str) -> str:
    """Write an interval of differences: "+2.4 to +5.1 points"; an open end in words."""
    if bounds is None or any(math.isnan(bound) for bound in bounds):
        return UNKNOWN
    low, high = (_finite(bound) for bound in bounds)
    if low is None and high is None:
        return UNKNOWN
    symbol = _symbol(unit, difference=True)
    if low is None and high is not None:
        return f"at most {_signed(high, unit)} {symbol}"
    if high is None and low is not None:
        return f"at least {_signed(low, unit)} {symbol}"
    return " to ".join(_signed(bound, unit) for bound in bounds) + f" {symbol}"


def effect(result: MetricResult) -> str:
    """Write an effect with its interval: "+3.7 points (+2.4 to +5.1 points)"."""
    return f"{difference(result.effect, result.unit)} ({interval(result.interval, result.unit)})"


def arm(side: ArmValue, unit: str) -> str:
    """Write one arm's value with the traces it rests on: "6.1 % (1,024 traces)"."""
    return f"{value(side.value, unit)} ({count(side.n, 'trace')})"


def both_arms(result: MetricResult) -> str:
    """Write how many traces a metric rests on: "1,102 base and 1,096 candidate traces"."""
    return f"{result.base.n:,} base and {result.candidate.n:,} candidate traces"


def said(text: str) -> str:
    """Write what was said in a trace: on its own lines, with nothing in it that acts."""
    return passage(text)


def count(number: int, noun: str) -> str:
    """Write a count with its noun: "1 trace", "1,024 traces"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def mean(number: float | None) -> str:
    """Write a mean of what is counted, without its unit: "812", "1.25"."""
    finite = _finite(number)
    return UNKNOWN if finite is None else _plain(finite)


def hours(span: timedelta) -> str:
    """Write a time in hours: "1 hour", "26 hours", "0.5 hours"."""
    number = span / timedelta(hours=1)
    return "1 hour" if number == 1 else f"{number:,g} hours"


def part(share: float | None) -> str:
    """Write a part of a difference: "84 %", of one that is not known nothing."""
    finite = _finite(share)
    return "" if finite is None else f"{100 * finite:.0f} %"


def chance(step: StepDifference) -> str:
    """Say whether a step differs beyond chance."""
    return "beyond chance" if step.beyond_chance else "may be chance"


def covered(share: float | None) -> str:
    """Write the share of an arm's traces that are old enough."""
    return "no traces" if share is None else f"{100 * share:.0f} %"


def final_after(waited: Maturing) -> str:
    """Write how long a metric's labels are waited for, and who says so: "26 hours (learned)"."""
    return f"{hours(waited.window)} ({waited.source})"


def next_verdict(moment: datetime | None) -> str:
    """Write when a verdict can be expected, in UTC."""
    return "none expected" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def next_verdict_of(result: MetricResult) -> str:
    """Write when a metric's next verdict can be expected."""
    return next_verdict(None if result.maturity is None else result.maturity.next_verdict_at)


def more_traces(result: MetricResult, *, days: bool = True) -> str:
    """Write how much more traffic would settle an undecided metric, and in how many days that comes."""
    if result.more_traces_needed is None:
        return "no amount"
    # Two digits are all that such a forecast is good for.
    traces = f"about {int(float(f'{result.more_traces_needed:.1e}')):,}"
    return traces if result.days_needed is None or not days else f"{traces} ({count(result.days_needed, 'day')})"


def raised(result: MetricResult) -> str:
    """Write since when a metric's alarm stands; empty without one."""
    return "" if result.alert_raised_on is None else f"Alarm since {result.alert_raised_on.isoformat()}."


def mix(result: MetricResult) -> str:
    """Write what part of a raw difference is the arms' mix of strata; empty where it was not asked."""
    parts = result.composition
    if parts is None:
        return ""
    raw, within, by_mix = (difference(part, result.unit) for part in (parts.raw, parts.within, parts.mix))
    warning = " The mix hides what happens within strata: do not read the raw values." if parts.reversed else ""
    return f"Of the raw difference of {raw}, {within} is within strata and {by_mix} is their mix.{warning}"


def pooled(cohort: CohortResult) -> str:
    """Write which small cohorts were taken together; empty for a cohort of its own."""
    return f"Takes together {', '.join(map(name, cohort.pooled))}." if cohort.pooled else ""


def evidence(e_value: float) -> str:
    """Write an e-value: beyond a thousand only its size matters."""
    return f"{e_value:,.0f}" if e_value < _THOUSAND else "over 1,000"


def visible_from(result: MetricResult) -> str:
    """Write the smallest regression that an undecided metric's traffic would have shown."""
    smallest = _finite(result.smallest_detectable)
    if smallest is None or (result.unit == "rate" and smallest >= 1):
        return "none yet"
    return size(smallest, result.unit)


def metric_label(metric: str) -> str:
    """Name a metric as a person would: "groundedness failures", "p99 latency"."""
    if metric in _METRIC_LABELS:
        return _METRIC_LABELS[metric]
    words = [_ACRONYMS.get(word, word) for word in metric.removesuffix("_fail_rate").split("_")]
    return " ".join([*words, "failures"] if metric.endswith("_fail_rate") else words)


def instant(moment: datetime | None) -> str:
    """Write a moment to the second, in UTC: "2026-11-15T22:35:48Z"."""
    return "none" if moment is None else iso(moment.replace(microsecond=0))


def since(promotion: Promotion) -> str:
    """Say from when on traces count: a moment, or "the first that is stored"."""
    return "the first that is stored" if promotion.at == EVERYTHING else instant(promotion.at)


def scope(promotion: Promotion, quoted: Callable[[str], str] = str) -> str:
    """Say over what the models are compared: "since 2026-11-02T00:00:00Z, by app.cohort"."""
    over = {HELD_OUT: f"on the data set {quoted(promotion.dataset or '')}", MIRRORED: "on mirrored requests"}
    said = [over[promotion.design]] if promotion.design in over else []
    if promotion.at != EVERYTHING:
        period = "before and after" if promotion.design == BEFORE_AFTER else "since"
        said.append(f"{period} {instant(promotion.at)}")
    if promotion.planned_end is not None:
        said.append(f"until {instant(promotion.planned_end)} as planned")
    if promotion.cohort_by is not None:
        said.append(f"by {quoted(promotion.cohort_by)}")
    if promotion.stratify_by:
        said.append(f"within each {' and '.join(quoted(attribute) for attribute in promotion.stratify_by)}")
    return ", ".join(said)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with Z; naive moments are UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat().replace("+00:00", "Z")
