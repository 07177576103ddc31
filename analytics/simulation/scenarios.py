"""Scenarios: what is the same in both arms, what is not, and what a report must and must not say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RATES: Mapping[str, float] = {
    "task_completion": 0.08,
    "groundedness": 0.06,
    "tool_selection_accuracy": 0.05,
    "json_validation": 0.02,
    "thumbs_down": 0.03,
    "escalated": 0.04,
    "reopened": 0.02,
    "error": 0.005,
    "schema_repair": 0.03,
}
"""The base arm's rate of each binary metric, before a cohort's own factor."""

EVALUATORS: Mapping[str, str] = {
    "task_completion": "TaskCompletion",
    "groundedness": "Groundedness",
    "tool_selection_accuracy": "ToolSelectionAccuracy",
    "json_validation": "JSONValidation",
}
"""The binary metrics that evaluators score, and what each evaluator is called."""

OUTCOMES = ("thumbs_down", "escalated", "reopened")
"""The binary metrics that arrive later as feedback."""

SLOW_PATH = 0.012
"""The share of traces that take the slow path."""

Split = Literal["user", "request", "before_after"]


@dataclass(frozen=True, eq=False)
class Scenario:
    """One scenario.

    Attributes:
        name: what the command line calls it.
        summary: one line for a person.
        split: by what a trace comes to its arm.
        share: the candidate's share of users or requests.
        added: binary metric → how much higher the candidate's rate is, in the affected cohorts.
        affected: number of the cohorts (the first ones) that the change touches; None for all.
        slow_factor: what the candidate's share of slow-path traces is multiplied by.
        token_factor: what the candidate's output tokens are multiplied by.
        onset_day: day after the promotion on which the change begins.
        hard_share: (base, candidate) share of hard requests; a hard one fails far more often in either arm.
        drifted_prompt: share of the candidate's traces with another prompt version, which fails more often.
        drifted_evaluator: the candidate's scores come from a stricter evaluator version.
        lost_scores: share of the candidate's failing scores that never arrive.
        day_shock: standard deviation of a day's common change of all rates, on the liability scale.
        expected: metric → verdicts, one of which a report has to reach by its last day in the affected cohorts.
        checks: names of the validity checks that have to fail.
    """

    name: str
    summary: str
    split: Split = "user"
    share: float = 0.5
    added: Mapping[str, float] = field(default_factory=dict)
    affected: int | None = None
    slow_factor: float = 1.0
    token_factor: float = 1.0
    onset_day: int = 0
    hard_share: tuple[float, float] = (0.3, 0.3)
    drifted_prompt: float = 0.0
    drifted_evaluator: bool = False
    lost_scores: float = 0.0
    day_shock: float = 0.0
    expected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    checks: tuple[str, ...] = ()

    @property
    def design(self) -> str:
        """The design that the promotion is registered with."""
        return "before_after" if self.split == "before_after" else "concurrent"


_REGRESSED = ("REGRESSED",)

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("aa", "Both models are the same; users are split in halves."),
        Scenario("aa-canary", "Both models are the same; a tenth of the users meets the candidate.", share=0.1),
        Scenario("aa-by-request", "Both models are the same; requests are split, so a user meets both.", "request"),
        Scenario(
            "aa-shocks", "Both models are the same; some days are worse than others for everybody.", day_shock=0.25
        ),
        Scenario(
            "aa-before-after",
            "Both models are the same; the candidate replaced the base, and feedback comes late.",
            "before_after",
        ),
        Scenario(
            "rate-shift",
            "The candidate completes fewer tasks in the first cohorts.",
            added={"task_completion": 0.03},
            affected=8,
            expected={"task_completion_fail_rate": _REGRESSED},
        ),
        Scenario(
            "json-shift",
            "The candidate's output fails its schema more often in the first cohorts.",
            added={"json_validation": 0.02},
            affected=8,
            expected={"json_validation_fail_rate": _REGRESSED},
        ),
        Scenario(
            "improvement",
            "The candidate completes more tasks in the first cohorts.",
            added={"task_completion": -0.04},
            affected=8,
            expected={"task_completion_fail_rate": ("IMPROVED",)},
        ),
        Scenario(
            "p99-only",
            "The candidate takes the slow path more often; the median stays.",
            affected=8,
            slow_factor=3.0,
            expected={"latency_p99": _REGRESSED},
        ),
        Scenario(
            "cost-inflation",
            "The candidate writes a fifth more in the first cohorts.",
            affected=8,
            token_factor=1.2,
            expected={"cost_per_trace": _REGRESSED, "output_tokens": _REGRESSED},
        ),
        Scenario(
            "late-onset",
            "The candidate begins to complete fewer tasks after a week.",
            added={"task_completion": 0.05},
            affected=8,
            onset_day=7,
            expected={"task_completion_fail_rate": _REGRESSED},
        ),
        Scenario(
            "mix-shift",
            "Trap: both models are the same; the candidate is sent more of the hard requests.",
            hard_share=(0.3, 0.55),
        ),
        Scenario(
            "hidden-regression",
            "Trap: the candidate completes fewer tasks, and is sent fewer of the hard requests.",
            added={"task_completion": 0.03},
            hard_share=(0.45, 0.25),
            expected={"task_completion_fail_rate": _REGRESSED},
        ),
        Scenario(
            "prompt-drift",
            "Trap: both models are the same; some of the candidate's traffic has a newer, worse prompt.",
            drifted_prompt=0.4,
            checks=("prompt_version",),
        ),
        Scenario(
            "evaluator-drift",
            "Trap: both models are the same; the candidate is graded by a stricter evaluator.",
            drifted_evaluator=True,
            checks=("evaluator_version",),
        ),
        Scenario(
            "missing-scores",
            "Trap: the candidate completes fewer tasks, and many of its failing scores never arrive.",
            added={"task_completion": 0.03},
            lost_scores=0.4,
            checks=("missing_scores",),
        ),
    )
}
"""The scenarios, by name."""
