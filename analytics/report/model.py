"""The report model: what every rendering shows and what the JSON contract holds.

Verdicts, decisions and checks are the product's vocabulary; they are defined here once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from analytics.promotions import Promotion

SCHEMA_VERSION = 1


class Verdict(StrEnum):
    """What the data say about one metric in one cohort."""

    REGRESSED = "REGRESSED"
    IMPROVED = "IMPROVED"
    NO_REGRESSION = "NO_REGRESSION"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"


class Decision(StrEnum):
    """What follows for one cohort's traffic."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


class CheckStatus(StrEnum):
    """The outcome of a validity check."""

    PASS = "pass"  # noqa: S105 (a check's status, not a password)
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class ArmValue:
    """One arm's side of a metric: how many traces it rests on and the observed value (None where undefined)."""

    n: int
    value: float | None


@dataclass(frozen=True)
class MaturityState:
    """How much of each arm is old enough for a metric's value to be final.

    Attributes:
        window_hours: how long after a trace's end the value is final.
        source: who says so: "configured", "learned" or "default".
        detail: what that rests on, as the end of a sentence; empty where there is nothing to say.
        coverage: arm → share of its ended traces that are old enough; None without traces.
        next_verdict_at: when the next verdict can be expected (UTC); None if decided, or if nothing is on its way.
    """

    window_hours: float
    source: str
    detail: str
    coverage: dict[str, float | None]
    next_verdict_at: datetime | None


@dataclass(frozen=True)
class MetricResult:
    """One metric of one cohort.

    Attributes:
        metric: the registered metric's name.
        verdict: what the data say.
        reason: one sentence for a person.
        base: the base arm's traces and value, in ``unit``.
        candidate: the candidate arm's traces and value, in ``unit``.
        effect: candidate minus base, in ``unit``.
        interval: anytime-valid interval of the effect, in ``unit``.
        margin: the non-inferiority margin, in ``unit``, oriented as ``effect``.
        unit: "rate", "ms", "usd" or "tokens".
        more_traces_needed: further traces (both arms together) until no regression could be shown; None if
            decided, or if no amount would do.
        smallest_detectable: smallest regression that this much traffic would have shown, in ``unit``.
        p_value: anytime-valid p-value of "candidate is worse", before the family-wise correction.
        exemplars: arm → trace ids that show the metric at its worst.
        maturity: how much of each arm is old enough, and when to look again; None where it was not asked.
    """

    metric: str
    verdict: Verdict
    reason: str
    base: ArmValue
    candidate: ArmValue
    effect: float | None
    interval: tuple[float, float] | None
    margin: float | None
    unit: str
    more_traces_needed: int | None = None
    smallest_detectable: float | None = None
    p_value: float | None = None
    exemplars: dict[str, list[str]] = field(default_factory=dict)
    maturity: MaturityState | None = None


@dataclass(frozen=True)
class CohortResult:
    """All metrics of one cohort and the decision that follows."""

    cohort: str
    decision: Decision
    reason: str
    traces: dict[str, int]
    metrics: tuple[MetricResult, ...]


@dataclass(frozen=True)
class Check:
    """One validity check.

    Attributes:
        check: its name.
        cohort: the cohort it concerns; None for all.
        status: pass, warn or fail.
        detail: one sentence: what was seen and what to do.
        metrics: the metrics that a failure makes INVALID; None means every metric of the cohort.
    """

    check: str
    cohort: str | None
    status: CheckStatus
    detail: str
    metrics: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Report:
    """A whole report on one promotion.

    Attributes:
        promotion: what was promoted.
        generated_at: when the report was made (UTC).
        as_of: the moment the world is looked at (UTC).
        data_watermark: end of the newest trace in the report (UTC); None without traces.
        fingerprint: hash of everything the verdicts rest on.
        alpha: family-wise error rate of each direction.
        overall: the verdict over all cohorts.
        checks: validity checks, failed ones first.
        cohorts: one result per cohort, by name.
    """

    promotion: Promotion
    generated_at: datetime
    as_of: datetime
    data_watermark: datetime | None
    fingerprint: str
    alpha: float
    overall: Verdict
    checks: tuple[Check, ...]
    cohorts: tuple[CohortResult, ...]
