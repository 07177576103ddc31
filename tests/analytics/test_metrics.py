"""The metric registry: what is found in a frame, and what a configuration may change."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from analytics.metrics import OUTCOME_MATURITY, MetricKind, MetricOverride, metrics_for

BUILT_IN = {
    "error": "error_rate",
    "schema_repairs": "schema_repair_rate",
    "retries": "retry_rate",
    "fallbacks": "fallback_rate",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cost_usd": "cost_per_trace",
}


def frame(*columns: str) -> pl.DataFrame:
    """One trace with these columns."""
    return pl.DataFrame({column: [1.0] for column in (*columns, *BUILT_IN, "latency_ms")})


def test_every_built_in_metric_is_there() -> None:
    """The columns of the traces frame give rates, latency quantiles, tokens and cost."""
    names = {metric.name for metric in metrics_for(frame(), {})}
    assert names == {*BUILT_IN.values(), "latency_p50", "latency_p95", "latency_p99"}


@pytest.mark.parametrize(
    ("evaluator", "name"),
    [
        ("TaskCompletion", "task_completion_fail_rate"),
        ("JSONValidation", "json_validation_fail_rate"),
        ("Answer relevancy", "answer_relevancy_fail_rate"),
        ("groundedness", "groundedness_fail_rate"),
        ("tool-selection.v2", "tool_selection_v2_fail_rate"),
    ],
)
def test_evaluators_become_fail_rates(evaluator: str, name: str) -> None:
    """An evaluator's name is written in snake case."""
    metric = metrics_for(frame(f"evaluation:{evaluator}"), {})[0]
    assert (metric.name, metric.kind, metric.column) == (name, MetricKind.RATE, f"evaluation:{evaluator}")


def test_evaluators_that_differ_in_spelling_stay_apart() -> None:
    """Two spellings of one name give two metrics."""
    found = metrics_for(frame("evaluation:Grounded", "evaluation:grounded"), {})
    assert [metric.name for metric in found[:2]] == ["grounded_fail_rate", "grounded_fail_rate_2"]


def test_known_outcomes_have_their_maturity() -> None:
    """Thumbs take a day, a reopened ticket a week."""
    found = metrics_for(frame("outcome:thumbs_down", "outcome:reopened"), {})
    maturity = {metric.name: metric.maturity for metric in found}
    assert maturity["thumbs_down_rate"] == timedelta(days=1)
    assert maturity["reopened_rate"] == timedelta(days=7)


def test_other_outcomes_need_a_direction() -> None:
    """An outcome of the user's own is a metric only once it is said whether more is worse."""
    traces = frame("outcome:upsell")
    assert "upsell_rate" not in {metric.name for metric in metrics_for(traces, {})}
    found = metrics_for(traces, {"upsell_rate": MetricOverride(higher_is="better")})
    assert found[0].name == "upsell_rate"
    assert found[0].higher_is == "better"
    assert found[0].maturity == OUTCOME_MATURITY["upsell"] == timedelta(days=1)


def test_overrides_change_what_they_name_only() -> None:
    """Margin, weight and maturity are replaced; the rest stays."""
    override = MetricOverride(margin=0.03, margin_kind="absolute", maturity=timedelta(hours=6), weight=3.0)
    found = {metric.name: metric for metric in metrics_for(frame(), {"error_rate": override})}
    assert (found["error_rate"].margin, found["error_rate"].weight) == (0.03, 3.0)
    assert found["error_rate"].higher_is == "worse"
    assert found["retry_rate"].margin is None


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("eror_rate", MetricOverride(margin=0.1), "metric 'eror_rate' is not known"),
        ("error_rate", MetricOverride(margin=-0.1), "make it a number above 0"),
        ("error_rate", MetricOverride(margin=float("nan")), "make it a number above 0"),
        ("error_rate", MetricOverride(margin=0.1, margin_kind="percent"), "margin_kind is 'percent'"),
        ("error_rate", MetricOverride(margin_kind="relative"), "margin_kind without a margin"),
        ("error_rate", MetricOverride(higher_is="up"), "higher_is is 'up'"),
        ("error_rate", MetricOverride(weight=0.0), "weight is 0.0"),
        ("error_rate", MetricOverride(maturity=timedelta(days=-1)), "make it 0 or more"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(name: str, override: MetricOverride, message: str) -> None:
    """A misspelt metric or a value that makes no sense names itself and the mend."""
    with pytest.raises(ValueError, match=message):
        metrics_for(frame(), {name: override})


def test_nothing_is_unknown_before_the_first_trace() -> None:
    """A configured evaluator whose first score is still to come is no mistake."""
    none = frame().clear()
    assert metrics_for(none, {"groundedness_fail_rate": MetricOverride(margin=0.1)})
    assert metrics_for(frame(), {"thumbs_down_rate": MetricOverride(margin=0.1)})
