"""Published data and numbers: what the kernel makes of them is what is in print."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from analytics.cells import MetricCells, cells
from analytics.composition import composition
from analytics.metrics import Metric, MetricKind
from analytics.stats.cmh import log_e_cmh
from analytics.stats.contrast import log_ratio, rate_difference
from analytics.stats.horizon import final_p_value
from analytics.stats.mixture import critical_z, log_e_normal
from analytics.stats.multiplicity import e_bh
from analytics.stats.sums import ArmSums, CrossSums, FloatArray, PairSums, TwoArmSums

PUBLISHED = Path(__file__).parents[4] / "shared" / "reference_numbers" / "published_reference_numbers.json"
DAY = datetime(2026, 3, 2)
SUCCESS = Metric("success_rate", MetricKind.RATE, "success", "rate", None)

Arms = tuple[tuple[int, int], tuple[int, int]]
"""Successes and traces of base and candidate."""


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """Published inputs and outputs."""
    if not PUBLISHED.exists():
        pytest.skip(f"the published reference numbers are not at {PUBLISHED}")
    values: dict[str, Any] = json.loads(PUBLISHED.read_text())
    return values


def aggregated(strata: dict[str, Arms], *, within: bool) -> MetricCells:
    """Cells of one cohort, every trace with a user of its own."""
    rows = [
        {"stratum": name, "arm": arm, "success": float(number < successes)}
        for name, arms in strata.items()
        for arm, (successes, n) in zip(("base", "candidate"), arms, strict=True)
        for number in range(n)
    ]
    frame = pl.DataFrame(rows).with_row_index("trace_id").with_columns(
        pl.col("trace_id").cast(pl.String), unit=pl.col("trace_id").cast(pl.String), cohort=pl.lit("all"), end_time=DAY
    )  # fmt: skip
    frame = frame if within else frame.drop("stratum")
    found = cells(frame, frame.clear(), (SUCCESS,), as_of=DAY + timedelta(days=1))
    return found.by_metric["success_rate"]


def kidney(published: dict[str, Any]) -> dict[str, Arms]:
    """Treatment B as the base, A as the candidate."""
    known = published["simpson_kidney_stones"]
    return {size: (tuple(known[size]["B"]), tuple(known[size]["A"])) for size in ("small", "large")}


def test_kidney_stones(published: dict[str, Any]) -> None:
    """Raw, treatment A looks worse; by size of the stone it is better, by the published ratio, and a report says so."""
    known = published["simpson_kidney_stones"]
    data = aggregated(kidney(published), within=True)
    assert data.values[0] == pytest.approx([known["raw"]["B"], known["raw"]["A"]], abs=1e-9)
    assert np.exp(log_ratio(data.sums).effect[0, -1]) == pytest.approx(known["mh_rr"], abs=1e-7)
    contrast = rate_difference(data.sums)
    split = composition(data.strata[0], float(np.sqrt(contrast.variance[0, -1])))
    assert split is not None
    assert split.raw == pytest.approx(known["raw"]["A"] - known["raw"]["B"])
    assert split.raw < 0 < split.within
    assert contrast.effect[0, -1] > 0


def departments(published: dict[str, Any]) -> dict[str, Arms]:
    """Men as the base, women as the candidate; a rejection is what counts."""
    tables = published["cmh_ucb_admissions"]["tables"]
    return {
        name: ((rejected_m, admitted_m + rejected_m), (rejected_f, admitted_f + rejected_f))
        for name, (admitted_m, rejected_m, admitted_f, rejected_f) in zip("ABCDEF", tables, strict=True)
    }


def test_admissions_at_berkeley(published: dict[str, Any]) -> None:
    """Over all departments women seem to be rejected more often beyond doubt; within departments nothing is shown."""
    raw, within = (aggregated(departments(published), within=each) for each in (False, True))
    rates = published["cmh_ucb_admissions"]["raw_rates"]
    assert 1 - raw.values[0] == pytest.approx([rates["male"], rates["female"]])
    assert log_e_cmh(raw.sums)[0, -1] > np.log(1e6)
    # The published test within departments has p = .23.
    assert log_e_cmh(within.sums)[0, -1] < np.log(20)
    assert log_e_cmh(within.sums.swapped())[0, -1] < np.log(20)


def test_the_odds_ratio_at_berkeley_is_not_rejected(published: dict[str, Any]) -> None:
    """E-CMH finds the odds neither above nor below the published common ratio, and well above a third of it."""
    sums = aggregated(departments(published), within=True).sums
    # The odds ratio of rejections, women against men, is that of admissions, men against women.
    log_odds = np.log(published["cmh_ucb_admissions"]["mh_common_or"])
    assert log_e_cmh(sums, np.array([log_odds]))[0, -1] < 0
    assert log_e_cmh(sums.swapped(), np.array([-log_odds]))[0, -1] < 0
    assert log_e_cmh(sums, np.array([log_odds - np.log(3)]))[0, -1] > np.log(1e3)


def test_approval_of_a_prime_minister(published: dict[str, Any]) -> None:
    """The final test of pairs is McNemar's exact one: twice its p-value is the published two-sided one."""
    known = published["mcnemar_agresti_prime_minister"]
    n, higher, lower = (np.array([[float(count)]]) for count in (1_600, known["b"], known["c"]))
    squares = (higher + lower) / 2
    arm = ArmSums(n, n, squares, n, squares, squares)
    nothing = np.zeros_like(n)
    sums = TwoArmSums(
        arm, arm, CrossSums(nothing, nothing, nothing, nothing), PairSums(n, higher, lower, higher + lower)
    )
    assert 2 * final_p_value(sums, 0)[0] == pytest.approx(known["exact_p"], rel=1e-4)


def test_thrombolysis_by_e_values(published: dict[str, Any]) -> None:
    """On e = 1/p, e-BH discovers what Benjamini & Hochberg's procedure does."""
    known = published["benjamini_hochberg_1995"]
    assert e_bh(-np.log(np.array(known["p"])), known["alpha"]).sum() == known["bh_rejections"]


def best_rho(v_opt: float, alpha: float) -> float:
    """The mixture's precision that the reference chooses, one-sided."""
    log = np.log(1 / (2 * alpha))
    return float(v_opt / (2 * log + np.log(1 + 2 * log)))


def test_the_normal_mixture_in_print(published: dict[str, Any]) -> None:
    """Value and bound of the one-sided normal mixture are those of the reference implementation in R."""
    known = published["confseq"]
    value = known["normal_log_mixture_one_sided"]
    ratio = value["v"] / best_rho(value["v_opt"], 0.05)
    found = log_e_normal(np.array(value["s"] / np.sqrt(value["v"])), np.array(ratio))
    assert found == pytest.approx(value["value"], abs=1e-8)
    bound = known["normal_mixture_bound_one_sided"]
    ratio = bound["v"] / best_rho(bound["v_opt"], 0.05)
    z = critical_z(np.array([bound["alpha"]]), np.array([[ratio]]))
    assert z[0] * np.sqrt(bound["v"]) == pytest.approx(bound["value"], abs=1e-4)


@pytest.mark.parametrize(("alpha", "critical"), [(0.05, 2.78), (0.01, 3.35), (0.05 / 12, 3.63), (0.05 / 240, 4.42)])
def test_what_looking_for_ever_costs(alpha: float, critical: float) -> None:
    """At the best ratio for each level the anytime critical values are those known from tables."""
    ratios: FloatArray = np.exp(np.linspace(0, 6, 601))
    values = critical_z(np.full(ratios.shape, alpha), ratios[None])
    assert values.min() == pytest.approx(critical, abs=0.02)
