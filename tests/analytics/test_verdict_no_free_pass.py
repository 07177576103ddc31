"""What cannot be judged never lets a candidate pass."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl
import pytest

from analytics.cells import cells
from analytics.metrics import Metric, MetricKind
from analytics.report.model import CohortResult, Decision, Verdict
from analytics.verdict import judge

AT = datetime(2026, 1, 1)
AS_OF = datetime(2026, 1, 20)
Values = Callable[[int], float | None]

TOKENS = Metric("input_tokens", MetricKind.MEAN, "input_tokens", "tokens", 0.1, "relative")
MEDIAN = Metric("latency_p50", MetricKind.QUANTILE, "latency_ms", "ms", 0.1, "relative", quantile=0.5)
COST = Metric("cost_per_trace", MetricKind.MEAN, "cost_usd", "usd", 0.1, "relative")
ERRORS = Metric("error_rate", MetricKind.RATE, "error", "rate", None)
TONE = Metric("tone_fail_rate", MetricKind.RATE, "evaluation:Tone", "rate", None)
SATISFIED = Metric("csat_rate", MetricKind.RATE, "outcome:csat", "rate", None, higher_is="better")


def traces(number: int, values: dict[str, tuple[Values, Values]], *, before: bool = False) -> pl.DataFrame:
    """Traces of one cohort, arms in turn (base alone before the promotion), a user each; columns by arm."""
    rows = []
    for index in range(number):
        arm = int(not before and index % 2)
        end = AT + timedelta(days=(-14 if before else 0) + 14 * index / number)
        row: dict[str, object] = {column: by_arm[arm](index) for column, by_arm in values.items()}
        rows.append(
            {"trace_id": f"{before}{index:06d}", "start_time": end, "end_time": end, "cohort": "all",
             "arm": ("base", "candidate")[arm], "unit": f"u{index}", **row}
        )  # fmt: skip
    schema = {"start_time": pl.Datetime("ns"), "end_time": pl.Datetime("ns"), **dict.fromkeys(values, pl.Float64)}
    return pl.DataFrame(rows, schema_overrides=schema)


def judged(values: dict[str, tuple[Values, Values]], *metrics: Metric, number: int = 4000) -> CohortResult:
    """The cohort's result, with a thousand earlier traces of the base."""
    data = cells(traces(number, values), traces(1000, values, before=True), metrics, as_of=AS_OF)
    return judge(data, metrics).cohorts[0]


@pytest.mark.parametrize("metric", [TOKENS, MEDIAN])
@pytest.mark.parametrize("rare", [None, 300])
def test_limits_from_the_base_do_not_hide_the_candidate(metric: Metric, rare: int | None) -> None:
    """A base that hardly varies gives limits at its own value; a candidate at twice that has still regressed."""

    def base(index: int) -> float:
        return 5000.0 if rare and index % rare == 0 else 100.0

    cohort = judged({metric.column: (base, lambda _: 300.0)}, metric)
    assert cohort.metrics[0].verdict is Verdict.REGRESSED
    assert cohort.decision is Decision.ROLL_BACK


def test_equal_constants_are_nothing_to_hold_for() -> None:
    """Where every trace of both arms has the same value there is nothing to test, and nothing in the way."""
    same: tuple[Values, Values] = (lambda _: 100.0, lambda _: 100.0)
    none: tuple[Values, Values] = (lambda _: 0.0, lambda _: 0.0)
    cohort = judged({TOKENS.column: same, ERRORS.column: none}, TOKENS, ERRORS)
    assert [result.verdict for result in cohort.metrics] == [Verdict.INVALID, Verdict.NO_REGRESSION]
    assert cohort.decision is Decision.PROMOTE


def test_a_cost_out_of_nothing_holds() -> None:
    """From zero no ratio can be formed: the metric is invalid, says so, and the cohort is held."""
    none: tuple[Values, Values] = (lambda _: 0.0, lambda _: 0.0)
    cohort = judged({COST.column: (lambda _: 0.0, lambda _: 0.01), ERRORS.column: none}, COST, ERRORS)
    assert [result.verdict for result in cohort.metrics] == [Verdict.INVALID, Verdict.NO_REGRESSION]
    assert "zero throughout" in cohort.metrics[0].reason
    assert cohort.decision is Decision.HOLD


def test_an_evaluator_without_scores_holds() -> None:
    """A metric without a single value is no pass, however well the others stand."""
    none: tuple[Values, Values] = (lambda _: 0.0, lambda _: 0.0)
    silent: tuple[Values, Values] = (lambda _: None, lambda _: None)
    cohort = judged({TONE.column: silent, ERRORS.column: none}, TONE, ERRORS)
    assert cohort.metrics[0].verdict is Verdict.INVALID
    assert "score" in cohort.metrics[0].reason
    assert cohort.decision is Decision.HOLD


def test_the_margin_of_a_good_rate_rests_on_its_failures() -> None:
    """From 80 to 66 % satisfied is far beyond a margin that rests on the 20 % who were not."""
    cohort = judged(
        {SATISFIED.column: (lambda index: float(index % 10 < 8), lambda index: float(index % 3 < 2))}, SATISFIED
    )
    result = cohort.metrics[0]
    assert result.verdict is Verdict.REGRESSED
    assert result.margin is not None
    assert abs(result.margin) == pytest.approx(0.05, abs=1e-3)
