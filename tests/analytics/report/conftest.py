"""Reports to render: an incident with every kind of verdict, and small ones for single outcomes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from analytics.promotions import Promotion
from analytics.report.calibration import Calibration, CalibrationRow
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
