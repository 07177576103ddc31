"""Reports to render: an incident with every kind of verdict, and small ones for single outcomes."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from statistics import NormalDist
from typing import Any

import pytest

from analytics.promotions import Promotion
from analytics.report.calibration import Calibration, CalibrationRow
from analytics.report.evidence import Attempts, DayValues, Distribution, Evidence, OverTime, Usage
from analytics.report.model import (
    Attribution,
    Check,
    CheckStatus,
    CohortResult,
    Decision,
    MaturityState,
    MetricResult,
    Report,
    StepDifference,
    StratumDifference,
    Verdict,
)
from analytics.report.values import ArmValue

PROMOTION = Promotion(
    name="refunds-v2",
    base="gpt-4o-mini-2024-07-18",
    candidate="ft:gpt-4o-mini-2024-07-18:northwind-pay:refunds-v2:B7xQ2kLm",
    design="concurrent",
    at=datetime(2026, 11, 2),
    ended_at=None,
    cohort_by="app.cohort",
    candidate_share=0.5,
)


BEGINS = Attribution(
    begins_at=StepDifference(
        "retrieval policies", "retrieval", "traces with an empty search", 0.052, 0.143, "rate", 4.1e6
    ),
    steps=(
        StepDifference("retrieval policies", "retrieval", "traces with an empty search", 0.052, 0.143, "rate", 4.1e6),
        StepDifference(
            "answer", "answer", "calls per trace", 1.02, 1.31, "count", 1.2, beyond_chance=False, share=0.25
        ),
    ),
    strata=(
        StratumDifference("easy", ArmValue(700, 0.031), ArmValue(690, 0.082), 0.8),
        StratumDifference("hard", ArmValue(402, 0.112), ArmValue(406, 0.125), 0.2),
        StratumDifference("(none)", ArmValue(0, None), ArmValue(3, 0.0), None),
    ),
    exemplars={
        "candidate": ["4bf92f3577b34da6a3ce929d0e0e4736"],
        "base": ["00f067aa0ba902b7d8448eb211c80319"],
    },
    summary="In policy_exception it begins at retrieval policies, which found nothing in 14.3 % of traces (base 5.2 %);"
    " such traces account for 90 % of the difference; easy carries 80 % of it with 63 % of the traces.",
)


FORTNIGHT = tuple(date(2026, 11, 2) + timedelta(days=number) for number in range(14))
PLACES = (0.01, *(number / 20 for number in range(1, 20)), 0.975, 0.99, 0.995)


def fail_rates(per_day: int, rate: float, number: int) -> ArmValue:
    """An arm's day: some traces more or fewer, a rate that goes up and down."""
    n = per_day + number % 5 - 2
    return ArmValue(n, max(0, round(n * rate * (1 + 0.3 * math.sin(1.7 * number)))) / n)


def over_time(cohort: str, metric: str, per_day: int, base: float, candidate: float) -> OverTime:
    """A rate of both arms over the fortnight; the newest labels are not final, and one day nobody judged."""
    days = [
        DayValues(day, fail_rates(per_day, base, number), fail_rates(per_day, candidate, number + 2))
        for number, day in enumerate(FORTNIGHT)
    ]
    days[6] = DayValues(FORTNIGHT[6], days[6].base, ArmValue(0, None))
    days[-1] = DayValues(FORTNIGHT[-1], ArmValue(0, None), ArmValue(0, None))
    return OverTime(cohort, metric, "rate", tuple(days))


def curve(median: float, spread: float, n: int, digits: int) -> tuple[float | None, ...]:
    """Quantiles of a lognormal distribution, where five traces lie beyond."""
    return tuple(
        round(median * math.exp(spread * NormalDist().inv_cdf(place)), digits)
        if n * min(place, 1 - place) >= 5
        else None
        for place in PLACES
    )


def evidence() -> Evidence:
    """A fortnight's evidence for the incident."""
    sizes = {"chargeback": (1204, 1187), "out_of_domain": (34, 34), "policy_exception": (1102, 1096)}
    return Evidence(
        over_time=(
            over_time("chargeback", "task_completion_fail_rate", 86, 0.221, 0.094),
            over_time("policy_exception", "groundedness_fail_rate", 79, 0.061, 0.098),
            over_time("policy_exception", "schema_repair_rate", 79, 0.004, 0.019),
        ),
        distributions=tuple(
            Distribution(
                cohort,
                quantity,
                unit,
                PLACES,
                curve(median, spread, base, digits),
                curve(median * ratio, spread * 1.1, candidate, digits),
                {"base": base, "candidate": candidate},
            )
            for cohort, (base, candidate) in sizes.items()
            for quantity, unit, median, spread, ratio, digits in (
                ("latency", "ms", 1450.0, 0.45, 0.97, 1),
                ("cost", "usd", 0.00104, 0.4, 1.02, 7),
            )
            if quantity == "latency" or cohort != "out_of_domain"
        ),
        usage=tuple(
            Usage(
                cohort,
                arm,
                traces,
                cost=None if cohort == "out_of_domain" else 0.0012346 if arm == "base" else 0.0012401,
                unpriced=traces if cohort == "out_of_domain" else 3 if arm == "candidate" else 0,
                input_tokens=1840.2 if arm == "base" else 1836.9,
                cache_read_tokens=512.4 if arm == "base" else None,
                output_tokens=212.4 if arm == "base" else 214.1,
                reasoning_tokens=None,
                calls=2.04 if arm == "base" else 2.11,
                n={
                    "cost": 0 if cohort == "out_of_domain" else traces - (3 if arm == "candidate" else 0),
                    "input_tokens": traces,
                    "cache_read_tokens": traces if arm == "base" else 0,
                    "output_tokens": traces,
                    "reasoning_tokens": 0,
                    "calls": traces,
                },
            )
            for cohort, both in sizes.items()
            for arm, traces in zip(("base", "candidate"), both, strict=True)
        ),
        attempts=tuple(
            Attempts(
                cohort,
                arm,
                chains=2 * traces,
                attempts=1.01 if arm == "base" else 1.03,
                retried=traces // 90,
                repaired=repaired,
                fell_back=traces // 400,
                rescued=traces // 120,
                failed=traces // 300,
                extra_cost=None if cohort == "out_of_domain" else 0.0000121 if arm == "base" else 0.0000388,
                unpriced=1 if cohort == "policy_exception" else 0,
                retry_rate=(traces // 90) / (2 * traces),
                repair_rate=repaired / (2 * traces),
                fallback_rate=(traces // 400) / (2 * traces),
                rescue_rate=(traces // 120) / (2 * traces),
                failure_rate=(traces // 300) / (2 * traces),
            )
            for cohort, both in sizes.items()
            for arm, traces in zip(("base", "candidate"), both, strict=True)
            for repaired in (21 if (cohort, arm) == ("policy_exception", "candidate") else traces // 250,)
        ),
    )


def incident() -> Report:
    """A promotion with something to say in every way a report can say it."""
    return Report(
        promotion=PROMOTION,
        generated_at=datetime(2026, 11, 16, 7, 30, 5, 250_000),
        as_of=datetime(2026, 11, 16),
        data_watermark=datetime(2026, 11, 15, 23, 58, 12),
        fingerprint="5d41402abc4b2a76b9719d911017c592",
        alpha=0.05,
        overall=Verdict.REGRESSED,
        checks=(
            Check(
                "unpriced",
                "out_of_domain",
                CheckStatus.FAIL,
                "3 LLM calls have no known price (2.9 % of base and 5.9 % of candidate traces): "
                "add the model to [prices].",
                ("cost_per_trace",),
            ),
            Check(
                "prompt_version",
                None,
                CheckStatus.WARN,
                "Not checked: the traces carry no prompt version; record one so that prompt drift can be "
                "told from the model.",
            ),
            Check("both_arms", None, CheckStatus.PASS, "Both arms have traces."),
            Check(
                "sample_ratio",
                None,
                CheckStatus.PASS,
                "Users arrive in the intended proportion (50.0 % candidate).",
            ),
        ),
        cohorts=(
            CohortResult(
                "chargeback",
                Decision.PROMOTE,
                "One metric improved and none is worse by its margin.",
                {"base": 1204, "candidate": 1187},
                (
                    MetricResult(
                        "task_completion_fail_rate",
                        Verdict.IMPROVED,
                        "Fail rate fell from 22.1 % to 9.4 % (-17.0 to -8.5 percentage points).",
                        ArmValue(1204, 0.2209),
                        ArmValue(1187, 0.0936),
                        -0.1273,
                        (-0.1702, -0.0851),
                        0.0552,
                        "rate",
                        p_value=1.0,
                        exemplars={"base": ["0af7651916cd43dd8448eb211c80319c"], "candidate": []},
                        maturity=MaturityState(6.0, "configured", "", {"base": 0.984, "candidate": 0.971}, None),
                    ),
                    MetricResult(
                        "latency_p99",
                        Verdict.NO_REGRESSION,
                        "The tail is inside the margin of 20 %.",
                        ArmValue(1204, 4120.4),
                        ArmValue(1187, 4098.1),
                        -22.3,
                        (-310.0, 261.5),
                        824.1,
                        "ms",
                        p_value=0.8,
                    ),
                    MetricResult(
                        "cost_per_trace",
                        Verdict.NO_REGRESSION,
                        "Mean cost is inside the margin of 10 %.",
                        ArmValue(1204, 0.0012346),
                        ArmValue(1187, 0.0012401),
                        0.0000055,
                        (-0.0000402, 0.0000511),
                        0.00012346,
                        "usd",
                        p_value=0.7,
                    ),
                ),
            ),
            CohortResult(
                "out_of_domain",
                Decision.HOLD,
                "There is too little traffic to say.",
                {"base": 34, "candidate": 34},
                (
                    MetricResult(
                        "task_completion_fail_rate",
                        Verdict.INCONCLUSIVE,
                        "34 traces an arm cannot show a difference of the margin's size.",
                        ArmValue(34, 0.2353),
                        ArmValue(34, 0.2059),
                        -0.0294,
                        (-0.3912, 0.3324),
                        0.0588,
                        "rate",
                        more_traces_needed=2874,
                        smallest_detectable=0.3618,
                        p_value=1.0,
                        maturity=MaturityState(
                            6.0,
                            "configured",
                            "",
                            {"base": 0.91, "candidate": 0.42},
                            datetime(2026, 11, 19, 7, tzinfo=UTC),
                        ),
                    ),
                    MetricResult(
                        "latency_p99",
                        Verdict.INCONCLUSIVE,
                        "The tail of 34 traces an arm is not known.",
                        ArmValue(34, 3900.0),
                        ArmValue(34, 5210.0),
                        1310.0,
                        (float("-inf"), 9100.0),
                        780.0,
                        "ms",
                        more_traces_needed=None,
                        smallest_detectable=None,
                        p_value=0.6,
                    ),
                    MetricResult(
                        "cost_per_trace",
                        Verdict.INVALID,
                        "A check failed: unpriced.",
                        ArmValue(33, None),
                        ArmValue(32, None),
                        None,
                        None,
                        None,
                        "usd",
                    ),
                ),
            ),
            CohortResult(
                "policy_exception",
                Decision.ROLL_BACK,
                "Two metrics regressed.",
                {"base": 1102, "candidate": 1096},
                (
                    MetricResult(
                        "task_completion_fail_rate",
                        Verdict.NO_REGRESSION,
                        "Fail rate is inside the margin.",
                        ArmValue(1102, 0.1806),
                        ArmValue(1096, 0.1797),
                        -0.0009,
                        (-0.0401, 0.0383),
                        0.0451,
                        "rate",
                        p_value=1.0,
                    ),
                    MetricResult(
                        "groundedness_fail_rate",
                        Verdict.REGRESSED,
                        "Fail rate rose from 6.1 % to 9.8 % (+2.4 to +5.1 percentage points).",
                        ArmValue(1102, 0.0612),
                        ArmValue(1096, 0.0982),
                        0.0370,
                        (0.0241, 0.0512),
                        0.0153,
                        "rate",
                        p_value=0.000012,
                        exemplars={
                            "candidate": [
                                "4bf92f3577b34da6a3ce929d0e0e4736",
                                "809d9e2f1c5b4a7e8d6c3b2a19087f6e",
                            ],
                            "base": ["00f067aa0ba902b7d8448eb211c80319"],
                        },
                        attribution=BEGINS,
                    ),
                    MetricResult(
                        "schema_repair_rate",
                        Verdict.REGRESSED,
                        "Rate rose from 0.4 % to 1.9 %.",
                        ArmValue(1102, 0.0041),
                        ArmValue(1096, 0.0192),
                        0.0151,
                        (0.0032, 0.0270),
                        0.01,
                        "rate",
                        p_value=0.0002,
                    ),
                    MetricResult(
                        "output_tokens",
                        Verdict.NO_REGRESSION,
                        "Mean tokens are inside the margin of 10 %.",
                        ArmValue(1102, 212.4),
                        ArmValue(1096, 214.1),
                        1.7,
                        (-5.2, 8.6),
                        21.2,
                        "tokens",
                        p_value=0.5,
                    ),
                ),
            ),
        ),
        calibration=Calibration(
            as_of=datetime(2026, 11, 15),
            splits=200,
            days=14,
            false_regressed=0.005,
            false_improved=0.0,
            upper_limit=0.0278,
            metrics=(
                CalibrationRow("task_completion_fail_rate", 0.005, 0.015, 0.21, "rate", missed=0.01),
                CalibrationRow("task_completion_fail_rate", 0.005, 0.03, 0.84, "rate", 2.0, median_day=9),
                CalibrationRow("latency_p99", 0.0, 1.2, 0.36, "ratio"),
                CalibrationRow("latency_p99", 0.0, 1.4, 0.92, "ratio", 2.0, median_day=6, smallest_traffic=204.5),
            ),
            traces=28_412,
            injections=20,
        ),
        evidence=evidence(),
    )


class Build:
    """Makes small reports: plain numbers, and whatever a test changes about them."""

    @staticmethod
    def metric(name: str, verdict: Verdict, **changes: Any) -> MetricResult:
        """A rate with plain numbers and any field changed."""
        fields: dict[str, Any] = {
            "metric": name,
            "verdict": verdict,
            "reason": "As it is.",
            "base": ArmValue(100, 0.10),
            "candidate": ArmValue(100, 0.12),
            "effect": 0.02,
            "interval": (0.0, 0.04),
            "margin": 0.025,
            "unit": "rate",
        }
        return MetricResult(**(fields | changes))

    @staticmethod
    def cohort(name: str, decision: Decision, *metrics: MetricResult, reason: str = "So it follows.") -> CohortResult:
        """A cohort of a hundred traces an arm."""
        return CohortResult(name, decision, reason, {"base": 100, "candidate": 100}, metrics)

    @staticmethod
    def report(
        *cohorts: CohortResult,
        overall: Verdict = Verdict.INCONCLUSIVE,
        checks: tuple[Check, ...] = (),
        promotion: Promotion = PROMOTION,
    ) -> Report:
        """A report around the cohorts."""
        moment = datetime(2026, 11, 16)
        return Report(promotion, moment, moment, None, "f00d", 0.05, overall, checks, cohorts)


@pytest.fixture(name="report")
def incident_report() -> Report:
    """The incident."""
    return incident()


@pytest.fixture
def build() -> Build:
    """Makes small reports."""
    return Build()
