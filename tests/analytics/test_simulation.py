"""Simulated promotions: what is drawn is what the truth says."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from analytics.simulation.draw import COHORTS, MATURITY, PROMOTED_AT, Size, base_rate, candidate_rate, draw_days
from analytics.simulation.files import MIRROR, write_scenario
from analytics.simulation.scenarios import RATES, SCENARIOS, Scenario

LARGE = Size(days=6, cohorts=2, scale=4)
SMALL = Size(days=2, cohorts=2, scale=0.05)


@cache
def drawn(scenario: Scenario, size: Size = LARGE, seed: int = 3) -> pl.DataFrame:
    """All traces after the promotion."""
    days = [traces for day, traces in draw_days(scenario, seed, size) if day >= PROMOTED_AT]
    return pl.concat(days)


def assert_near(observed: float, expected: float, traces: int) -> None:
    """Within five standard errors of a rate, users' correlation allowed for."""
    assert abs(observed - expected) < 5 * np.sqrt(3 * expected / traces), (observed, expected)


@pytest.mark.parametrize("name", ["aa", "rate-shift", "hidden-regression", "mix-shift"])
def test_rates_are_the_true_ones(name: str) -> None:
    """Each arm fails as often as the truth says; where the mix of requests differs, as often as that mix makes it."""
    scenario = SCENARIOS[name]
    traces = drawn(scenario)
    for row, cohort in enumerate(COHORTS[:2]):
        for arm in (False, True):
            own = traces.filter((pl.col("cohort") == cohort) & (pl.col("is_candidate") == arm))
            for metric in RATES:
                if metric == "task_completion" and scenario.hard_share[0] != scenario.hard_share[1]:
                    continue
                expected = base_rate(metric, row) + (scenario.added.get(metric, 0.0) if arm else 0.0)
                assert_near(float(own[metric].cast(pl.Float64).mean()), expected, own.height)  # type: ignore[arg-type]


def test_a_trap_hides_what_the_strata_show() -> None:
    """An easier mix hides a regression from the raw rate, and the raw rate alone."""
    traces = drawn(SCENARIOS["hidden-regression"])
    raw = dict(traces.group_by("is_candidate").agg(pl.col("task_completion").mean()).iter_rows())
    assert abs(raw[True] - raw[False]) < 0.01
    by_stratum = {
        (hard, arm): rate
        for hard, arm, rate in traces.group_by("is_hard", "is_candidate")
        .agg(pl.col("task_completion").mean())
        .iter_rows()
    }
    assert by_stratum[False, True] > by_stratum[False, False] + 0.01
    assert by_stratum[True, True] > by_stratum[True, False] + 0.02


def test_traces_of_a_user_are_alike() -> None:
    """The variance of a user's failures is more than independent traces have, in the range of real traffic."""
    traces = drawn(SCENARIOS["aa"], Size(days=14, cohorts=2, scale=2))
    by_user = traces.group_by("cohort", "user_id").agg(n=pl.len(), y=pl.col("task_completion").sum())
    rate = by_user["y"].sum() / by_user["n"].sum()
    residual = by_user["y"].to_numpy() - rate * by_user["n"].to_numpy()
    effect = float((residual**2).sum() / (by_user["n"].sum() * rate * (1 - rate)))
    assert 1.1 < effect < 2.0


def test_arms_by_user_and_by_request() -> None:
    """Split by user nobody meets both arms; by request most active users do; shares are those stated."""
    for name, share, both in (("aa", 0.5, 0.0), ("aa-canary", 0.1, 0.0), ("aa-by-request", 0.5, 0.3)):
        users = (
            drawn(SCENARIOS[name]).group_by("cohort", "user_id").agg(arms=pl.col("is_candidate").n_unique(), n=pl.len())
        )
        met_both = float((users["arms"] == 2).mean() or 0.0)
        assert (met_both > both) if both else (met_both == 0.0)
        assert float(drawn(SCENARIOS[name])["is_candidate"].mean() or 0.0) == pytest.approx(share, abs=0.03)


def test_a_slow_path_moves_the_tail_alone() -> None:
    """Three times as many slow traces: the 99th percentile rises by a fifth or more, the median hardly."""
    traces = drawn(SCENARIOS["p99-only"])
    median, tail = (
        dict(traces.group_by("is_candidate").agg(pl.col("latency_ms").quantile(q)).iter_rows()) for q in (0.5, 0.99)
    )
    assert median[True] / median[False] < 1.05
    assert tail[True] / tail[False] > 1.15


def test_a_late_onset() -> None:
    """Before the onset the arms are alike."""
    traces = drawn(replace(SCENARIOS["late-onset"], onset_day=4))
    onset = int((PROMOTED_AT + timedelta(days=4)).timestamp()) * 10**9
    early, late = traces.filter(pl.col("start_ns") < onset), traces.filter(pl.col("start_ns") >= onset)
    for part, low, high in ((early, -0.015, 0.015), (late, 0.03, 0.07)):
        rates = dict(part.group_by("is_candidate").agg(pl.col("task_completion").mean()).iter_rows())
        assert low < rates[True] - rates[False] < high


def test_shares_rise_in_steps_and_nobody_goes_back() -> None:
    """Each step has its share of the traffic, and a user who met the candidate stays with it."""
    scenario = SCENARIOS["canary-steps"]
    traces = drawn(scenario, Size(days=10, cohorts=2, scale=2)).with_columns(
        day=(pl.col("start_ns") - int(PROMOTED_AT.timestamp()) * 10**9) // (86_400 * 10**9)
    )
    for first, last, share in ((0, 3, 0.05), (4, 7, 0.2), (8, 9, 0.5)):
        step = traces.filter(pl.col("day").is_between(first, last))
        assert float(step["is_candidate"].mean() or 0.0) == pytest.approx(share, abs=0.03)  # type: ignore[arg-type]
    moves = (
        traces.sort("start_ns").group_by("user_id").agg(back=(pl.col("is_candidate").cast(pl.Int8).diff() < 0).any())
    )
    assert not moves["back"].any()


def test_controls_stay_on_the_base() -> None:
    """All but the controls change over at once; a single cohort is none."""
    scenario, size = SCENARIOS["before-after-shift"], Size(days=2, cohorts=6, scale=0.2)
    arms = dict(drawn(scenario, size).group_by("cohort").agg(pl.col("is_candidate").mean()).iter_rows())
    assert [arms[cohort] for cohort in COHORTS[:6]] == [1, 0, 0, 0, 0, 1]
    assert not scenario.is_control(0, 1)
    before = [day for day, _ in draw_days(scenario, 1, SMALL) if day < PROMOTED_AT]
    assert len(before) == 28


@pytest.mark.parametrize("name", ["mirrored-aa", "mirrored"])
def test_both_models_answer_the_same_requests(name: str) -> None:
    """The candidate's answers are spread as the base's, resemble them, and differ by what the scenario says."""
    scenario = SCENARIOS[name]
    traces = drawn(scenario)
    assert not traces["is_candidate"].any()
    length, again = (np.log(traces[column].to_numpy()) for column in ("output_tokens", "mirrored_output_tokens"))
    assert np.std(again) == pytest.approx(np.std(length), rel=0.02)
    assert np.mean(again) - np.mean(length) == pytest.approx(np.log(scenario.token_factor), abs=0.03)
    assert np.corrcoef(length, again)[0, 1] == pytest.approx(0.6, abs=0.03)
    answered = traces.filter(~pl.col("mirrored_error"))
    for quantile in (0.5, 0.95):
        took, beside = (answered[column].quantile(quantile) for column in ("latency_ms", "mirrored_latency_ms"))
        assert beside == pytest.approx(took, rel=0.05)
    for row, cohort in enumerate(COHORTS[:2]):
        own = traces.filter(pl.col("cohort") == cohort)
        rate = base_rate("error", row) + scenario.added.get("error", 0.0)
        assert_near(float(own["mirrored_error"].sum()) / own.height, rate, own.height)


def test_a_tail_sampler_keeps_what_fails_and_weights_bring_back_the_rest() -> None:
    """Counted as they are, kept traces fail far more often; by the inverse of their probability, as often as all."""
    traces = drawn(SCENARIOS["tail-sampling"])
    candidate = traces.filter("is_candidate")
    kept = candidate.filter("is_kept")
    assert traces.filter(~pl.col("is_candidate"))["is_kept"].all()
    assert candidate.filter(pl.col("error") | pl.col("task_completion"))["is_kept"].all()
    truth = float(candidate["task_completion"].sum()) / candidate.height
    weights = 1 / kept["keep_probability"].to_numpy()
    failed = kept["task_completion"].to_numpy()
    assert failed.mean() > 2 * truth
    assert float((weights * failed).sum() / weights.sum()) == pytest.approx(truth, rel=0.05)


def test_a_search_that_finds_nothing_fails_the_task() -> None:
    """Searches come back empty as often as the scenario says, and the tasks' rates are those of the truth."""
    scenario = SCENARIOS["retrieval-regression"]
    traces = drawn(scenario)
    empty = dict(traces.group_by("is_candidate").agg((pl.col("documents") == 0).mean()).iter_rows())
    assert empty[False] == pytest.approx(0.05, abs=0.01)
    assert empty[True] == pytest.approx(0.05 + scenario.empty_searches, abs=0.01)
    for row, cohort in enumerate(COHORTS[:2]):
        for arm, rate in (
            (False, base_rate("task_completion", row)),
            (True, candidate_rate(scenario, "task_completion", row)),
        ):
            own = traces.filter((pl.col("cohort") == cohort) & (pl.col("is_candidate") == arm))
            assert_near(float(own["task_completion"].sum()) / own.height, rate, own.height)


def test_late_labels_come_late_and_in_time() -> None:
    """Half of the feedback takes more than half of its time, and none takes all of it."""
    late, usual = (drawn(SCENARIOS[name], SMALL) for name in ("late-labels", "aa"))
    for name, within in MATURITY.items():
        whole, column = within.total_seconds(), f"{name}_delay_s"
        assert float(late[column].median() or 0.0) > whole / 2 > float(usual[column].median() or 0.0)  # type: ignore[arg-type]
        assert float(late[column].max() or whole) < whole  # type: ignore[arg-type]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The spans of a file."""
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        yield from json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("schema-drift", "gen_ai.tool.definitions"),
        ("system-drift", "gen_ai.system_instructions"),
        ("retrieval-drift", "db.collection.name"),
        ("prompt-drift", "gen_ai.prompt.version"),
    ],
)
def test_what_drifts_is_on_the_spans(name: str, attribute: str, tmp_path: Path) -> None:
    """Two versions in the candidate's arm, one in the base's; parents are spans of the same trace."""
    write_scenario(tmp_path, SCENARIOS[name], 1, SMALL)
    versions: dict[str, set[str]] = {"sim-base": set(), "sim-candidate": set()}
    spans = list(lines(tmp_path / "otlp" / "2026-11-02.traces.jsonl.gz"))
    attributes = {span["spanId"]: {one["key"]: one["value"] for one in span["attributes"]} for span in spans}
    models = {
        span["traceId"]: attributes[span["spanId"]]["gen_ai.request.model"]["stringValue"]
        for span in spans
        if "gen_ai.request.model" in attributes[span["spanId"]]
    }
    for span in spans:
        assert "parentSpanId" not in span or span["parentSpanId"] in attributes
        if attribute in attributes[span["spanId"]]:
            versions[models[span["traceId"]]].add(attributes[span["spanId"]][attribute]["stringValue"])
    assert len(versions["sim-base"]) == 1
    assert len(versions["sim-candidate"]) == 2


@pytest.mark.parametrize("name", ["aa-by-request", "missing-scores", "mirrored", "retrieval-drift", "late-labels"])
def test_the_same_seed_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    """Files of one seed are equal byte for byte, of another seed not; every line is JSON."""
    folders = {seed: tmp_path / str(seed) for seed in (1, 2)}
    again = tmp_path / "again"
    for seed, folder in folders.items():
        assert write_scenario(folder, SCENARIOS[name], seed, SMALL) > 0
    write_scenario(again, SCENARIOS[name], 1, SMALL)
    files = sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [(folders[1] / file).read_bytes() == (again / file).read_bytes() for file in files] == [True] * len(files)
    assert (MIRROR in {file.name for file in files}) == (name == "mirrored")
    assert (folders[2] / "feedback.csv").read_bytes() != (again / "feedback.csv").read_bytes()
    told = json.loads((again / "truth.json").read_text("utf-8"))
    assert told["scenario"] == name
    assert set(told["expected"]) == set(SCENARIOS[name].expected)
