"""What there is to be told of: events, and the words they are told in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analytics.alerts.change import Change
from analytics.report import formatting
from analytics.report.findings import Finding, shown_exemplars
from analytics.report.headline import change as how_it_changed
from analytics.report.model import MetricResult, Verdict
from analytics.report.text import name, sentence

SHOWN_EXEMPLARS = 3


@dataclass(frozen=True)
class Event:
    """One piece of news.

    Attributes:
        change: its kind.
        promotion: the promotion; None for a failed run of everything.
        cohort: the cohort; None where it concerns all.
        metric: the metric; None where it concerns the cohort as a whole.
        before: the verdict, decision or state that was known; None where none was.
        after: the one that it is now.
        sentence: what happened, as plain inert text.
        facts: the figures behind it, as JSON holds them; empty where there are none.
    """

    change: Change
    promotion: str | None
    cohort: str | None
    metric: str | None
    before: str | None
    after: str | None
    sentence: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def identity(self, report_id: str | None) -> str:
        """The event's identity, 32 hex digits: what changed, from what to what, by which report."""
        parts = (self.change, self.promotion, self.cohort, self.metric, self.before, self.after, report_id)
        return hashlib.sha256(repr(tuple(None if p is None else str(p) for p in parts)).encode()).hexdigest()[:32]


def facts_of(result: MetricResult) -> dict[str, Any]:
    """A metric's figures: arms, effect, interval and margin in ``unit``, and the traces to look at; null if unknown."""
    return {
        "unit": result.unit,
        "base": {"n": result.base.n, "value": _finite(result.base.value)},
        "candidate": {"n": result.candidate.n, "value": _finite(result.candidate.value)},
        "effect": _finite(result.effect),
        "interval": None if result.interval is None else [_finite(bound) for bound in result.interval],
        "margin": _finite(result.margin),
        "alert_raised_on": None if result.alert_raised_on is None else result.alert_raised_on.isoformat(),
        "begins_at": None if result.attribution is None else result.attribution.summary or None,
        "exemplars": {arm: list(ids[:SHOWN_EXEMPLARS]) for arm, ids in sorted(shown_exemplars(result).items())},
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def verdict_sentence(change: Change, cohort: str, result: MetricResult) -> str:
    """Say what became of one metric of one cohort."""
    said = how_it_changed(Finding(cohort, result))
    if change is Change.REGRESSED:
        return f"Regressed: {said}."
    if change is Change.GUARD:
        return f"Guard: {said}."
    if change is Change.IMPROVED:
        return f"Improved: {said}."
    what = f"{name(formatting.metric_label(result.metric))} on {name(cohort)}"
    if change is Change.RESOLVED:
        return f"Resolved: {what} is {_now(result)}; {said}."
    if change is Change.INVALID:
        return f"Invalid: {what} can no longer be judged. {sentence(result.reason)}"
    return f"No regression: {said}."


def _now(result: MetricResult) -> str:
    return "no longer regressed" if result.verdict is Verdict.INCONCLUSIVE else formatting.VERDICT_WORDS[result.verdict]
