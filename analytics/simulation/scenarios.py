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

Split = Literal["user", "request", "before_after", "mirrored"]
Drift = Literal["prompt", "system", "tools", "index"]


@dataclass(frozen=True, eq=False)
class Scenario:
    """One scenario.

    Attributes:
        name: what the command line calls it.
        summary: one line for a person.
        split: by what a trace comes to its arm; mirrored: a gateway sends the candidate what the base answers.
        share: the candidate's share of users or requests.
        share_steps: (day after the promotion, the candidate's share from then on), where it changes.
        added: binary metric → how much higher the candidate's rate is, in the affected cohorts.
        affected: number of the cohorts (the first ones) that the change touches; None for all.
        controls: number of cohorts whose traffic stays on the base.
        days_before: days of base traffic before the promotion.
        slow_factor: what the candidate's share of slow-path traces is multiplied by.
        token_factor: what the candidate's output tokens are multiplied by.
        onset_day: day after the promotion on which the change begins.
        hard_share: (base, candidate) share of hard requests; a hard one fails far more often in either arm.
        stratified: the promotion is registered with the requests' difficulty as stratum.
        planned_end: the promotion is registered with the end of the simulation as its declared end.
        drifted: share of the candidate's traces with another version of something, which fail more often.
        drifts: what that is: the prompt, the system instructions, the tools' definitions or the search index.
        drifted_evaluator: the candidate's scores come from a stricter evaluator version.
        lost_scores: share of the candidate's failing scores that never arrive.
        kept: share of the candidate's traces that a tail sampler keeps, beside all with an error or a failing score.
        late_labels: feedback comes towards the end of its time, not at its beginning.
        day_shock: standard deviation of a day's common change of all rates, on the liability scale.
        shock_memory: correlation of the common changes of two days that follow each other.
        steps: traces show their planner, search, tool and answer, not the answer alone.
        empty_searches: by how much the candidate's share of searches that find nothing is higher.
        expected: metric → verdicts, one of which a report has to reach by its last day in the affected cohorts.
        moved: metrics that truly change as well in the affected cohorts, of which a report may say so or not.
        checks: names of the validity checks that have to fail.
    """

    name: str
    summary: str
    split: Split = "user"
    share: float = 0.5
    share_steps: tuple[tuple[int, float], ...] = ()
    added: Mapping[str, float] = field(default_factory=dict)
    affected: int | None = None
    controls: int = 0
    days_before: int = 7
    slow_factor: float = 1.0
    token_factor: float = 1.0
    onset_day: int = 0
    hard_share: tuple[float, float] = (0.3, 0.3)
    stratified: bool = False
    planned_end: bool = False
    drifted: float = 0.0
    drifts: Drift = "prompt"
    drifted_evaluator: bool = False
    lost_scores: float = 0.0
    kept: float = 1.0
    late_labels: bool = False
    day_shock: float = 0.0
    shock_memory: float = 0.0
    steps: bool = False
    empty_searches: float = 0.0
    expected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    moved: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()

    @property
    def design(self) -> str:
        """The design that the promotion is registered with."""
        return "concurrent" if self.split in ("user", "request") else self.split

    @property
    def is_trap(self) -> bool:
        """Whether equal models may look different, or different ones equal."""
        return not self.expected or self.stratified or bool(self.checks)

    def share_on(self, day: int) -> float:
        """The candidate's share on a day after the promotion."""
        return next((share for since, share in reversed(self.share_steps) if day >= since), self.share)

    def is_control(self, row: int, cohorts: int) -> bool:
        """Whether a cohort stays on the base: the second and those behind it, never the first."""
        return 1 <= row <= min(self.controls, cohorts - 1)

    def is_affected(self, row: int, cohorts: int) -> bool:
        """Whether the change touches a cohort."""
        return (self.affected is None or row < self.affected) and not self.is_control(row, cohorts)


_REGRESSED = ("REGRESSED",)
_WORSE_TASKS = {"task_completion_fail_rate": _REGRESSED}
_CANARY_STEPS = ((4, 0.2), (8, 0.5))

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
            "canary-steps",
            "Both models are the same; the candidate's share rises in steps while good and bad days come and go.",
            share=0.05,
            share_steps=_CANARY_STEPS,
            day_shock=0.25,
        ),
        Scenario(
            "late-labels",
            "Both models are the same; the candidate's share rises in steps and feedback comes late.",
            share=0.05,
            share_steps=_CANARY_STEPS,
            days_before=28,
            late_labels=True,
        ),
        Scenario(
            "aa-before-after",
            "Both models are the same; the candidate replaced the base, days differ, and feedback comes late.",
            "before_after",
            days_before=28,
            day_shock=0.16,
            shock_memory=0.5,
            late_labels=True,
        ),
        Scenario(
            "aa-before-after-controls",
            "Both models are the same; the candidate replaced the base in all but four cohorts, and days differ.",
            "before_after",
            controls=4,
            days_before=28,
            day_shock=0.16,
            shock_memory=0.5,
        ),
        Scenario(
            "before-after-shift",
            "The candidate replaced the base in all but four cohorts, and completes fewer tasks there.",
            "before_after",
            added={"task_completion": 0.05},
            controls=4,
            days_before=28,
            day_shock=0.08,
            shock_memory=0.5,
            expected=_WORSE_TASKS,
        ),
        Scenario(
            "mirrored-aa",
            "Both models are the same; a gateway sends the candidate each request too.",
            "mirrored",
            days_before=0,
        ),
        Scenario(
            "mirrored",
            "A gateway sends the candidate each request too; in the first cohorts it fails and writes more.",
            "mirrored",
            added={"error": 0.02},
            affected=8,
            days_before=0,
            token_factor=1.5,
            expected={"error_rate": _REGRESSED, "total_tokens": _REGRESSED},
        ),
        Scenario(
            "rate-shift",
            "The candidate completes fewer tasks in the first cohorts.",
            added={"task_completion": 0.03},
            affected=8,
            expected=_WORSE_TASKS,
        ),
        Scenario(
            "rate-shift-declared",
            "The candidate completes fewer tasks in the first cohorts; the comparison's end was declared.",
            added={"task_completion": 0.03},
            affected=8,
            planned_end=True,
            expected=_WORSE_TASKS,
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
            moved=("latency_p50", "latency_p95"),
        ),
        Scenario(
            "cost-inflation",
            "The candidate writes a fifth more in the first cohorts.",
            affected=8,
            token_factor=1.2,
            expected={"cost_per_trace": _REGRESSED, "output_tokens": _REGRESSED},
            moved=("total_tokens",),
        ),
        Scenario(
            "late-onset",
            "The candidate begins to complete fewer tasks after a week.",
            added={"task_completion": 0.05},
            affected=8,
            onset_day=7,
            expected=_WORSE_TASKS,
        ),
        Scenario(
            "retrieval-regression",
            "The candidate's searches find nothing more often in the first cohorts, and fewer tasks get completed.",
            affected=8,
            steps=True,
            empty_searches=0.15,
            expected=_WORSE_TASKS,
        ),
        Scenario(
            "mix-shift",
            "Trap: both models are the same; the candidate is sent more of the hard requests.",
            hard_share=(0.3, 0.55),
            stratified=True,
        ),
        Scenario(
            "hidden-regression",
            "Trap: the candidate completes fewer tasks, and is sent fewer of the hard requests.",
            added={"task_completion": 0.03},
            hard_share=(0.45, 0.25),
            stratified=True,
            expected=_WORSE_TASKS,
        ),
        Scenario(
            "prompt-drift",
            "Trap: both models are the same; some of the candidate's traffic has a newer, worse prompt.",
            drifted=0.4,
            checks=("prompt_version",),
        ),
        Scenario(
            "system-drift",
            "Trap: both models are the same; some of the candidate's traffic has other system instructions.",
            drifted=0.4,
            drifts="system",
            checks=("system_prompt",),
        ),
        Scenario(
            "schema-drift",
            "Trap: both models are the same; some of the candidate's traffic is offered a tool of another schema.",
            drifted=0.4,
            drifts="tools",
            checks=("tool_schema",),
        ),
        Scenario(
            "retrieval-drift",
            "Trap: both models are the same; some of the candidate's traffic is answered from a newer search index.",
            drifted=0.4,
            drifts="index",
            steps=True,
            checks=("retrieval",),
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
            expected={"task_completion_fail_rate": ("INVALID", "INCONCLUSIVE", "REGRESSED")},
            checks=("missing_scores",),
        ),
        Scenario(
            "tail-sampling",
            "Trap: both models are the same; of the candidate's traces a sampler keeps those that fail and few others.",
            kept=0.1,
        ),
    )
}
"""The scenarios, by name."""
