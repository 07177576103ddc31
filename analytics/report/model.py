"""The report model: what every rendering shows and what the JSON contract holds.

Verdicts, decisions and checks are the product's vocabulary; they are defined here once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from analytics.promotions import Promotion
from analytics.report.calibration import Calibration
from analytics.report.evidence import Evidence
from analytics.report.values import ArmValue

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
class Composition:
    """How much of a difference between the arms comes from what they were sent (Kitagawa, JASA 50, 1955).

    Attributes:
        raw: candidate minus base over all traces, in the metric's unit.
        within: the part from differences within strata.
        mix: the part from the arms' different shares of the strata; ``within`` and ``mix`` add up to ``raw``.
        reversed: whether the mix turns the sign, or outweighs what differs within strata (Simpson's paradox).
    """

    raw: float
    within: float
    mix: float
    reversed: bool


@dataclass(frozen=True)
class StepDifference:
    """One step of the traces in which the arms differ, for a regressed cell.

    Attributes:
        step: what the step is, such as "planner" or "tool refund_lookup".
        stage: its kind: "planner", "retrieval", "tool", "answer", "repair" or "other".
        symptom: what differs there, such as "error rate" or "repairs per trace".
        base: the base arm's value.
        candidate: the candidate arm's value.
        unit: "rate", "ms", "usd", "tokens" or "count".
        e_value: the evidence that the candidate is worse there.
        beyond_chance: whether that is enough, over all that was compared in the cell.
        share: the step's part of the cell's difference, where steps add up to it; the parts of all steps add up to 1.
    """

    step: str
    stage: str
    symptom: str
    base: float
    candidate: float
    unit: str
    e_value: float
    beyond_chance: bool = True
    share: float | None = None


@dataclass(frozen=True)
class StratumDifference:
    """One stratum's part in a regressed cell: its traces and values by arm, and its share of the difference."""

    stratum: str
    base: ArmValue
    candidate: ArmValue
    share: float | None


@dataclass(frozen=True)
class Attribution:
    """Where a regression begins and who carries it.

    Attributes:
        begins_at: the earliest step that differs beyond chance; None where none does.
        steps: the steps that differ beyond chance, and those that hold a part of the difference, in the order of the
            trace.
        strata: the strata, the one with the largest share of the difference first.
        exemplars: arm → trace ids: of the candidate those that show it best, of the base one that went well for each.
        summary: one sentence for a person; empty where there is nothing to say.
    """

    begins_at: StepDifference | None
    steps: tuple[StepDifference, ...]
    strata: tuple[StratumDifference, ...]
    exemplars: dict[str, list[str]]
    summary: str


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
        days_needed: days until then at the present traffic; None where that is not known.
        composition: for a stratified comparison, what part of the raw difference is the mix; else None. ``effect`` then
            is the difference within strata.
        alert_raised_on: the first day (UTC) whose look showed "worse" over the whole family; it is not taken back.
        attribution: for a regression, where it begins and who carries it.
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
    days_needed: int | None = None
    composition: Composition | None = None
    alert_raised_on: date | None = None
    attribution: Attribution | None = None


@dataclass(frozen=True)
class CohortResult:
    """All metrics of one cohort and the decision that follows.

    Attributes:
        cohort: its name.
        decision: what follows.
        reason: one sentence.
        traces: arm → traces that had ended.
        metrics: its metrics.
        pooled: the small cohorts that were taken together here; empty for a cohort of its own.
    """

    cohort: str
    decision: Decision
    reason: str
    traces: dict[str, int]
    metrics: tuple[MetricResult, ...]
    pooled: tuple[str, ...] = ()


@dataclass(frozen=True)
class WatchItem:
    """A cell worth watching, by today's evidence alone: no alarm.

    Attributes:
        cohort: its cohort.
        metric: its metric.
        e_value: today's evidence that the candidate is worse.
    """

    cohort: str
    metric: str
    e_value: float


@dataclass(frozen=True)
class SharedVersions:
    """The comparison on what both arms shared, where a version drifted in one of them.

    Attributes:
        cohorts: verdicts on the traces whose versions occur in both arms, for the cohorts where a check failed.
        fields: the names of the checks that failed.
        kept: cohort → arm → share of its traces that remain.
    """

    cohorts: tuple[CohortResult, ...]
    fields: tuple[str, ...]
    kept: dict[str, dict[str, float]]


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
        generated_at: when the report was made (UTC). No rendering shows it: the same inputs give the same bytes.
        as_of: the moment the world is looked at (UTC).
        data_watermark: end of the newest trace in the report (UTC); None without traces.
        fingerprint: hash of everything the verdicts rest on.
        alpha: family-wise error rate of each direction.
        overall: the verdict over all cohorts.
        checks: validity checks, failed ones first.
        cohorts: one result per cohort, by name.
        watch_list: cells to keep an eye on, the most evidence first.
        shared: the comparison on shared versions, where versions drifted; else None.
        calibration: the newest calibration of this promotion and configuration; None where there is none.
        evidence: what is shown beside the verdicts.
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
    watch_list: tuple[WatchItem, ...] = ()
    shared: SharedVersions | None = None
    calibration: Calibration | None = None
    evidence: Evidence = field(default_factory=Evidence)
