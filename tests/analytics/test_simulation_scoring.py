"""Verdicts held against the truth: what is false, what is missed, what was found and when."""

from __future__ import annotations

from typing import Any

from analytics.simulation.scoring import Cell, Score, score

TRUTH: dict[str, Any] = {
    "promotion": {"at": "2026-11-02T00:00:00Z"},
    "looks": ["2026-11-03T00:00:00Z", "2026-11-04T00:00:00Z"],
    "affected_cohorts": ["a"],
    "expected": {"cost": ["REGRESSED"]},
    "may_move": ["tokens"],
    "failing_checks": ["prompt_version"],
}


def report(day: int, verdicts: dict[tuple[str, str], str], **more: Any) -> dict[str, Any]:
    """A report of some verdicts, 50 and 40 traces an arm and day."""
    names = sorted({cohort for cohort, _ in verdicts})
    return {
        "as_of": f"2026-11-{2 + day:02}T00:00:00Z",
        "checks": [],
        "cohorts": [
            {
                "cohort": name,
                "traces": {"base": 100, "candidate": 80},
                "metrics": [{"metric": m, "verdict": said} for (c, m), said in verdicts.items() if c == name],
            }
            for name in names
        ],
        **more,
    }


def scored(*reports: dict[str, Any], **changes: Any) -> Score:
    """The score of reports, the truth changed."""
    return score(TRUTH | changes, reports)


def test_the_first_look_that_tells_it_counts() -> None:
    """An effect is found on the first day that tells it, also where a later day takes it back."""
    cost = ("a", "cost")
    found = scored(report(1, {cost: "INCONCLUSIVE"}), report(2, {cost: "REGRESSED"}), report(3, {cost: "INCONCLUSIVE"}))
    assert [(effect.cohort, effect.found_on, effect.traces_per_day) for effect in found.effects] == [("a", 2, 40)]
    assert found.median_day == 2
    assert (found.found(), found.found(41)) == ((1, 1), (0, 0))
    assert (found.false_verdicts, found.false_passes) == ((), ())


def test_a_change_that_is_none_is_false_once() -> None:
    """In another cohort, of another metric or in the other direction, at any look; the first look is named."""
    day = {("b", "cost"): "REGRESSED", ("a", "error"): "IMPROVED", ("a", "cost"): "IMPROVED"}
    found = scored(report(1, day), report(2, day))
    assert set(found.false_verdicts) == {Cell(1, *cell, said) for cell, said in day.items()}
    assert [cell.verdict for cell in found.false_passes] == ["IMPROVED"]
    assert found.effects[0].found_on is None
    assert found.median_day is None


def test_what_moves_along_is_neither_false_nor_missed() -> None:
    """A metric that truly changes with the effect may be told, or not."""
    found = scored(report(1, {("a", "tokens"): "REGRESSED", ("a", "cost"): "REGRESSED"}))
    assert found.false_verdicts == ()
    assert [cell.metric for cell in found.moved] == ["tokens"]


def test_no_regression_of_a_regression_is_missed_at_the_last_look_alone() -> None:
    """Before the onset it was right."""
    cost = ("a", "cost")
    assert scored(report(1, {cost: "NO_REGRESSION"}), report(2, {cost: "REGRESSED"})).false_passes == ()
    assert len(scored(report(1, {cost: "NO_REGRESSION"})).false_passes) == 1


def test_verdicts_on_shared_versions_are_held_to_the_truth_too() -> None:
    """They are told apart by name."""
    shared = {"cohorts": report(1, {("b", "cost"): "REGRESSED"})["cohorts"]}
    found = scored(report(1, {("b", "cost"): "INVALID"}, shared_versions=shared))
    assert [cell.cohort for cell in found.false_verdicts] == ["b (shared versions)"]
    assert found.invalid == 1.0


def test_checks_that_have_to_fail_and_do_not() -> None:
    """What fails without need, and what is missing, are both told."""
    checks = [{"check": "sample_ratio", "status": "fail"}, {"check": "unpriced", "status": "warn"}]
    found = scored(report(1, {("a", "cost"): "INVALID"}, checks=checks))
    assert (found.fired, found.not_fired, found.unexpected) == (
        ("sample_ratio",),
        ("prompt_version",),
        ("sample_ratio",),
    )
    assert found.warned == ("unpriced",)
