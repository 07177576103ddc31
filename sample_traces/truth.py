"""What a report on the incident has to find: the true value of every metric, and the right verdicts.

Rates are the story's own parameters. Latency, tokens and cost follow from many simulated traces, for they are
sums over calls, retries, tools and repairs.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any, Final

from sample_traces import story
from sample_traces.plan import Draw, draw_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from sample_traces.plan import PlannedTrace
    from sample_traces.story import Arm, CohortStory

SIMULATED_TRACES: Final = 20_000

EQUAL: Final = ("NO_REGRESSION", "INCONCLUSIVE")
UNDECIDED: Final = ("INCONCLUSIVE", "INVALID")

# What the product has to say, and what may not be missed.
MUST: Final[dict[tuple[str, str], str]] = {
    ("chargeback", "task_completion_fail_rate"): "IMPROVED",
    ("policy_exception", "groundedness_fail_rate"): "REGRESSED",
    ("identity_verification", "schema_repair_rate"): "REGRESSED",
    ("identity_verification", "json_validation_fail_rate"): "REGRESSED",
    ("identity_verification", "latency_p99"): "REGRESSED",
}
# Truly worse, but no part of the story: a report may leave it undecided.
CONSEQUENCES: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("identity_verification", "latency_p95"): ("REGRESSED", "INCONCLUSIVE"),
}
DECISIONS: Final[dict[str, tuple[str, ...]]] = {
    "chargeback": ("promote", "hold"),
    "policy_exception": ("roll_back",),
    "identity_verification": ("roll_back",),
    "out_of_domain": ("hold",),
}


def latency_ms(draw: Draw) -> float:
    """Milliseconds of the root span."""
    failed = sum(call.status != 200 for call in draw.calls)
    retries = failed if draw.answered else failed - 1
    tools = sum(call.purpose == "tool" for call in draw.calls)
    return 1000 * (
        story.BEFORE_WORK_S
        + draw.retrieval_s
        + sum(call.latency_s for call in draw.calls)
        + retries * story.RETRY_PAUSE_S
        + tools * story.TOOL_RUN_S
        + story.AFTER_WORK_S
    )


def input_tokens(draw: Draw) -> int:
    """Input tokens of all calls, those read from the cache included."""
    return sum(call.input_tokens for call in draw.calls)


def output_tokens(draw: Draw) -> int:
    """Output tokens of all calls."""
    return sum(call.output_tokens for call in draw.calls)


def cost_usd(draw: Draw, price: story.Price) -> float:
    """USD of all calls at the story's prices."""
    cached = sum(call.cached_tokens for call in draw.calls)
    return (
        (input_tokens(draw) - cached) * price.input_per_mtok
        + cached * price.cache_read_per_mtok
        + output_tokens(draw) * price.output_per_mtok
    ) / 1e6


def make_truth(seed: int, traces: Iterable[PlannedTrace]) -> dict[str, Any]:
    """The content of ``truth.json``; ``traces`` are the planned ones, for their numbers."""
    served = Counter((trace.cohort, trace.arm) for trace in traces if trace.start >= story.PROMOTED_AT)
    return {
        "seed": seed,
        "promotion": {
            "name": story.PROMOTION,
            "base": story.MODELS["base"],
            "candidate": story.MODELS["candidate"],
            "design": "concurrent",
            "at": _iso(story.PROMOTED_AT),
            "ended_at": _iso(story.ENDED_AT),
            "cohort_by": "app.cohort",
            "candidate_share": 0.5,
        },
        "as_of": _iso(story.MATURE_AT),
        "must": [
            {"cohort": cohort, "metric": metric, "verdict": verdict} for (cohort, metric), verdict in MUST.items()
        ],
        "cohorts": {
            cohort.name: {
                "traces": {arm: served[cohort.name, arm] for arm in story.MODELS},
                "undecided": cohort.name == "out_of_domain",
                "decision": list(DECISIONS[cohort.name]),
                "metrics": {
                    metric: {**values, "expected": list(_expected(cohort.name, metric))}
                    for metric, values in _true_values(cohort).items()
                },
            }
            for cohort in story.COHORTS.values()
        },
    }


def _expected(cohort: str, metric: str) -> tuple[str, ...]:
    if cohort == "out_of_domain":
        return UNDECIDED
    if (cohort, metric) in MUST:
        return (MUST[cohort, metric],)
    return CONSEQUENCES.get((cohort, metric), EQUAL)


def _true_values(cohort: CohortStory) -> dict[str, dict[str, Any]]:
    arms = {arm: _values_of_arm(cohort, arm) for arm in story.MODELS}
    return {
        metric: {"unit": unit, "base": base, "candidate": arms["candidate"][metric][1]}
        for metric, (unit, base) in arms["base"].items()
    }


def _values_of_arm(cohort: CohortStory, arm: Arm) -> dict[str, tuple[str, float]]:
    behaviour = cohort.behaviour[arm]
    rates = {
        "task_completion_fail_rate": behaviour.task_failure,
        "groundedness_fail_rate": behaviour.ungrounded,
        "json_validation_fail_rate": behaviour.schema_error,
        **{f"{name}_rate": outcome.rate for name, outcome in story.OUTCOMES.items()},
        "error_rate": story.CALL_ERROR * story.RETRY_ERROR,
        "schema_repair_rate": behaviour.schema_error,
        "retry_rate": story.CALL_ERROR,
        "fallback_rate": 0.0,
    }
    # The same draws for both arms: where the arms behave alike, their true values are one number.
    rng = Random(f"truth/{cohort.name}")
    draws = [draw_trace(rng, cohort, behaviour) for _ in range(SIMULATED_TRACES)]
    latencies = sorted(map(latency_ms, draws))
    price = story.PRICES[arm]
    return {
        **{name: ("rate", round(rate, 4)) for name, rate in rates.items()},
        **{
            f"latency_p{percent}": ("ms", round(latencies[len(latencies) * percent // 100], 0))
            for percent in (50, 95, 99)
        },
        "input_tokens": ("tokens", round(_mean(draws, input_tokens), 1)),
        "output_tokens": ("tokens", round(_mean(draws, output_tokens), 1)),
        "cost_per_trace": ("usd", round(_mean(draws, lambda draw: cost_usd(draw, price)), 8)),
    }


def _mean(draws: list[Draw], value: Callable[[Draw], float]) -> float:
    return sum(map(value, draws)) / len(draws)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
