"""What can be counted in the files agrees with the known truth, within sampling error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from sample_traces import story

if TYPE_CHECKING:
    from collections.abc import Callable

    from sample_traces.story import Arm

    from .conftest import Sample, Trace

ARMS: tuple[Arm, ...] = ("base", "candidate")
# Users come back, and differ: design effects of the story stay below this.
DESIGN_EFFECT = 1.4

CELLS = [(cohort, arm) for cohort in story.COHORTS for arm in ARMS]


def _failed(trace: Trace, evaluator: str) -> bool | None:
    labels = trace.scores.get(evaluator)
    return "fail" in labels if labels else None


def _cost(trace: Trace) -> float:
    price = next(story.PRICES[arm] for arm in ARMS if story.MODELS[arm] == trace.model)
    cached = trace.cached_tokens()
    return (
        (trace.tokens(0) - cached) * price.input_per_mtok
        + cached * price.cache_read_per_mtok
        + trace.tokens(1) * price.output_per_mtok
    ) / 1e6


RATES: dict[str, Callable[[Trace], bool | None]] = {
    "task_completion_fail_rate": lambda trace: _failed(trace, "TaskCompletion"),
    "groundedness_fail_rate": lambda trace: _failed(trace, "Groundedness"),
    "json_validation_fail_rate": lambda trace: _failed(trace, "JSONValidation"),
    "schema_repair_rate": lambda trace: "fail" in trace.scores["JSONValidation"],
    "thumbs_down_rate": lambda trace: trace.outcomes.get("thumbs_down") == 1,
    "escalated_rate": lambda trace: "escalated" in trace.outcomes,
    "reopened_rate": lambda trace: "reopened" in trace.outcomes,
    "error_rate": lambda trace: trace.root.raw["status"].get("code") == 2,
    "retry_rate": lambda trace: trace.failed_calls > 0,
}
MEANS: dict[str, Callable[[Trace], float]] = {
    "input_tokens": lambda trace: trace.tokens(0),
    "output_tokens": lambda trace: trace.tokens(1),
    "cost_per_trace": _cost,
}


def _traces(sample: Sample, cohort: str, arm: Arm) -> list[Trace]:
    return [t for t in sample.served() if t.cohort == cohort and t.model == story.MODELS[arm]]


@pytest.mark.parametrize(("cohort", "arm"), CELLS)
def test_counts_are_those_of_the_truth(sample: Sample, cohort: str, arm: Arm) -> None:
    """The files hold as many traces as the truth says."""
    assert len(_traces(sample, cohort, arm)) == sample.truth["cohorts"][cohort]["traces"][arm]


@pytest.mark.parametrize("rate", sorted(RATES))
@pytest.mark.parametrize(("cohort", "arm"), CELLS)
def test_observed_rates_agree_with_the_truth(sample: Sample, cohort: str, arm: Arm, rate: str) -> None:
    """Every rate lies within four standard errors of its true value."""
    values = [value for t in _traces(sample, cohort, arm) if (value := RATES[rate](t)) is not None]
    true = sample.truth["cohorts"][cohort]["metrics"][rate][arm]
    error = math.sqrt(DESIGN_EFFECT * true * (1 - true) / len(values))
    assert sum(values) / len(values) == pytest.approx(true, abs=4 * error)


@pytest.mark.parametrize("mean", sorted(MEANS))
@pytest.mark.parametrize(("cohort", "arm"), CELLS)
def test_observed_means_agree_with_the_truth(sample: Sample, cohort: str, arm: Arm, mean: str) -> None:
    """Tokens and cost per trace lie within four standard errors of their true values."""
    values = [MEANS[mean](trace) for trace in _traces(sample, cohort, arm)]
    average = sum(values) / len(values)
    error = math.sqrt(sum((value - average) ** 2 for value in values)) / len(values)
    assert average == pytest.approx(sample.truth["cohorts"][cohort]["metrics"][mean][arm], abs=4 * error)


@pytest.mark.parametrize("percent", [50, 95, 99])
@pytest.mark.parametrize(("cohort", "arm"), [cell for cell in CELLS if cell[0] != "out_of_domain"])
def test_observed_quantiles_agree_with_the_truth(sample: Sample, cohort: str, arm: Arm, percent: int) -> None:
    """As many traces are slower than the true quantile as should be."""
    latencies = [trace.latency_ms for trace in _traces(sample, cohort, arm)]
    true = sample.truth["cohorts"][cohort]["metrics"][f"latency_p{percent}"][arm]
    slower = sum(latency > true for latency in latencies) / len(latencies)
    share = 1 - percent / 100
    assert slower == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / len(latencies)))


def test_a_user_has_one_model_while_both_serve(sample: Sample) -> None:
    """Arms are assigned by user, about half of them each."""
    models: dict[str, set[str]] = {}
    for trace in sample.served():
        models.setdefault(trace.root.attributes["user.id"], set()).add(trace.model)
    assert all(len(used) == 1 for used in models.values())
    candidates = sum(used == {story.MODELS["candidate"]} for used in models.values())
    assert candidates / len(models) == pytest.approx(0.5, abs=0.02)


def test_the_week_before_knows_the_base_model_only(sample: Sample) -> None:
    """Before the promotion every model call is the base model's."""
    promoted_ns = int(story.PROMOTED_AT.timestamp()) * 10**9
    earlier = [trace for trace in sample.traces.values() if trace.start_ns < promoted_ns]
    assert len(earlier) > 2000
    assert {trace.model for trace in earlier} == {story.MODELS["base"]}


def test_arms_share_prompts_and_services(sample: Sample) -> None:
    """Within a cohort both arms have the same prompt and, within two points, the same mix of services."""
    for cohort in story.COHORTS:
        if cohort == "out_of_domain":
            continue
        arms = {arm: _traces(sample, cohort, arm) for arm in ARMS}
        prompts = {
            arm: {(t.root.attributes["gen_ai.prompt.name"], t.root.attributes["gen_ai.prompt.version"]) for t in traces}
            for arm, traces in arms.items()
        }
        assert prompts["base"] == prompts["candidate"]
        for service in story.SERVICES:
            shares = [sum(t.root.service == service for t in arms[arm]) / len(arms[arm]) for arm in ARMS]
            assert shares[0] == pytest.approx(shares[1], abs=0.02)
