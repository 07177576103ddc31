"""The story is deterministic, and its truth holds the four findings that a report must not miss."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from sample_traces import story, texts
from sample_traces.plan import draw_trace, make_plan
from sample_traces.truth import EQUAL, UNDECIDED, latency_ms, make_truth

if TYPE_CHECKING:
    from sample_traces.plan import PlannedTrace

    from .conftest import Sample

SAMPLE = Path(__file__).parents[2] / "sample_traces"


@pytest.fixture(scope="module")
def plan() -> list[PlannedTrace]:
    """The plan of the committed sample."""
    return make_plan(story.DEFAULT_SEED)


def test_the_same_seed_gives_the_same_plan(plan: list[PlannedTrace]) -> None:
    """A plan depends on its seed alone, and another seed gives another one."""
    assert make_plan(story.DEFAULT_SEED) == plan
    assert make_plan(story.DEFAULT_SEED + 1) != plan


def test_a_draw_depends_on_its_generator_alone() -> None:
    """The same generator state gives the same trace."""
    cohort = story.COHORTS["chargeback"]
    generators = (Random("known"), Random("known"))  # noqa: S311 (a simulation)
    first, second = (draw_trace(rng, cohort, cohort.behaviour["base"]) for rng in generators)
    assert first == second


def test_the_committed_truth_is_what_the_story_says(plan: list[PlannedTrace]) -> None:
    """truth.json is what the generator makes of the story."""
    committed = json.loads((SAMPLE / "truth.json").read_text(encoding="utf-8"))
    assert committed == make_truth(story.DEFAULT_SEED, plan)


def test_the_committed_files_are_this_plan(plan: list[PlannedTrace], sample: Sample) -> None:
    """Every planned trace is in the files, started when planned and took as long as its calls."""
    assert {trace.trace_id for trace in plan} == set(sample.traces)
    for trace in plan:
        recorded = sample.traces[trace.trace_id]
        assert recorded.start_ns == pytest.approx(trace.start.timestamp() * 1e9, abs=1e3)
        assert recorded.latency_ms == pytest.approx(latency_ms(trace.draw), abs=0.02)
        assert len(recorded.model_calls) == len(trace.draw.calls)


@pytest.mark.parametrize(
    ("cohort", "metric", "verdict"),
    [
        ("chargeback", "task_completion_fail_rate", "IMPROVED"),
        ("policy_exception", "groundedness_fail_rate", "REGRESSED"),
        ("identity_verification", "schema_repair_rate", "REGRESSED"),
        ("identity_verification", "latency_p99", "REGRESSED"),
    ],
)
def test_the_truth_lists_the_four_findings(sample: Sample, cohort: str, metric: str, verdict: str) -> None:
    """Each finding is a must, is the only right verdict of its cell, and is large."""
    assert {"cohort": cohort, "metric": metric, "verdict": verdict} in sample.truth["must"]
    cell = sample.truth["cohorts"][cohort]["metrics"][metric]
    assert cell["expected"] == [verdict]
    ratio = cell["candidate"] / cell["base"]
    assert ratio < 0.5 if verdict == "IMPROVED" else ratio > 1.8


def test_the_small_cohort_is_left_undecided(sample: Sample) -> None:
    """out_of_domain has a few dozen traces per arm and nothing to find."""
    cohort = sample.truth["cohorts"]["out_of_domain"]
    assert cohort["undecided"]
    assert max(cohort["traces"].values()) <= 40
    assert all(cell["expected"] == list(UNDECIDED) for cell in cohort["metrics"].values())
    assert all(cell["base"] == cell["candidate"] for cell in cohort["metrics"].values())


def test_cells_without_a_finding_are_equal_within_the_margin(sample: Sample) -> None:
    """Where no difference may be reported, the true one is none for rates and below 4 % for the rest."""
    for cohort in sample.truth["cohorts"].values():
        for cell in cohort["metrics"].values():
            if cell["expected"] == list(EQUAL):
                limit = 0 if cell["unit"] == "rate" else 0.04
                assert cell["candidate"] == pytest.approx(cell["base"], rel=limit, abs=1e-12)


@pytest.mark.parametrize("cohort", sorted(story.COHORTS))
def test_a_broken_answer_is_mended_by_its_repair(cohort: str) -> None:
    """A valid answer keeps to the schema, a broken one does not, and its repair mends it."""
    for variant in range(60):
        assert texts.schema_problem(json.loads(texts.answer(cohort, variant, valid=True))) is None
        broken = json.loads(texts.answer(cohort, variant, valid=False))
        assert texts.schema_problem(broken)
        assert texts.schema_problem(broken | json.loads(texts.repair(cohort, variant))) is None
