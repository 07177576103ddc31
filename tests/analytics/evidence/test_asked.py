"""Which cells are shown day by day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from analytics.evidence.asked import MOST_CELLS, asked_about
from analytics.report.model import CohortResult, Verdict

Judged = Callable[..., CohortResult]


def names(*cohorts: CohortResult) -> list[tuple[str, str]]:
    """The chosen cells by name."""
    return [(cohort.cohort, result.metric) for cohort, result in asked_about(cohorts)]


def test_findings_and_alarms_are_asked_about(judged: Judged) -> None:
    """What regressed, improved or once raised an alarm, in the report's order; nothing else."""
    alarmed = {"verdict": Verdict.NO_REGRESSION, "alert_raised_on": date(2026, 3, 4)}
    found = names(
        judged("a", error_rate=Verdict.INCONCLUSIVE, cost_per_trace=Verdict.IMPROVED, latency_p95=alarmed),
        judged("b", error_rate=Verdict.NO_REGRESSION),
        judged("c", latency_p50=Verdict.REGRESSED, error_rate=Verdict.INVALID),
    )
    assert found == [("a", "cost_per_trace"), ("a", "latency_p95"), ("c", "latency_p50")]


def test_no_report_is_without_a_picture(judged: Judged) -> None:
    """Where nothing was found each cohort shows its largest effect in margins, judged before not judged."""
    effects: dict[str, Any] = {
        "error_rate": {"effect": 0.004},
        "cost_per_trace": {"effect": -0.0009, "margin": 0.001},
        "latency_p50": {"effect": 90.0, "margin": 100.0, "verdict": Verdict.INVALID},
        "latency_p95": {"effect": None, "margin": None},
    }
    nothing = {"verdict": Verdict.INVALID, "effect": None, "margin": None}
    found = names(
        judged("a", **effects), judged("b", error_rate=nothing, latency_p50=nothing), judged("without metrics")
    )
    assert found == [("a", "cost_per_trace"), ("b", "error_rate")]


def test_a_report_has_no_more_than_it_can_show(judged: Judged) -> None:
    """Of too many cells regressions come before improvements, those with the most evidence first."""
    many = [
        judged(
            f"c{number:03}",
            error_rate={"verdict": Verdict.REGRESSED, "p_value": 1e-6 * (number + 1)},
            latency_p50={"verdict": Verdict.IMPROVED, "effect": -0.01 * (number + 1)},
        )
        for number in range(MOST_CELLS - 10)
    ]
    found = names(*many)
    assert len(found) == MOST_CELLS
    assert [cohort for cohort, metric in found if metric == "error_rate"] == [each.cohort for each in many]
    improved = [cohort for cohort, metric in found if metric == "latency_p50"]
    assert improved == [each.cohort for each in many[-10:]]
