"""Holds what reports said of a simulated promotion against its truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

Json = Mapping[str, Any]

_CHANGED = frozenset({"REGRESSED", "IMPROVED"})
_GOOD = frozenset({"IMPROVED", "NO_REGRESSION"})
_SHARED = "shared versions"


@dataclass(frozen=True)
class Cell:
    """One cohort's metric at one look, and what was said of it.

    Attributes:
        day: of the look, counted from the promotion; 1 is after one day.
        cohort: its name; behind it, where the verdict is of the shared versions, that.
        metric: its name.
        verdict: what the report said.
    """

    day: int
    cohort: str
    metric: str
    verdict: str


@dataclass(frozen=True)
class Effect:
    """One true change that a report has to tell.

    Attributes:
        cohort: its name.
        metric: its name.
        traces_per_day: of the smaller arm, over all days.
        found_on: day of the first look with the expected verdict; None if none had it.
    """

    cohort: str
    metric: str
    traces_per_day: float
    found_on: int | None


@dataclass(frozen=True)
class Score:
    """What reports on one simulated promotion are worth.

    Attributes:
        false_verdicts: changes that are none, told at any look, each at the first look that told it.
        false_passes: true changes of which the last look says that nothing regressed.
        moved: changes told of metrics that truly change as well.
        effects: the changes that had to be told.
        fired: checks that failed at any look.
        not_fired: checks that had to fail by the last look and did not.
        unexpected: checks that failed and need not have.
        warned: checks that warned at the last look.
        invalid: share of the cells that the last look calls INVALID, those of shared versions left out.
    """

    false_verdicts: tuple[Cell, ...]
    false_passes: tuple[Cell, ...]
    moved: tuple[Cell, ...]
    effects: tuple[Effect, ...]
    fired: tuple[str, ...]
    not_fired: tuple[str, ...]
    unexpected: tuple[str, ...]
    warned: tuple[str, ...]
    invalid: float

    def found(self, least_per_day: float = 0.0) -> tuple[int, int]:
        """How many effects were told and how many there were, of those with so many traces a day in each arm."""
        large = [effect for effect in self.effects if effect.traces_per_day >= least_per_day]
        return sum(effect.found_on is not None for effect in large), len(large)

    @property
    def median_day(self) -> float | None:
        """The median day on which effects were told, of those that were; None if none was."""
        days = [effect.found_on for effect in self.effects if effect.found_on is not None]
        return median(days) if days else None


def score(truth: Json, reports: Sequence[Json]) -> Score:
    """Score the reports of a replay.

    Args:
        truth: what ``truth.json`` says.
        reports: reports as JSON, by time; at least one.
    """
    told = [cell for report in reports for cell in _cells(truth, report)]
    last = list(_cells(truth, reports[-1]))
    own = [cell for cell in last if cell.cohort == _cohort(cell)]
    first: dict[tuple[str, str, str], Cell] = {}
    for cell in told:
        first.setdefault((cell.cohort, cell.metric, cell.verdict), cell)
    changes = [cell for cell in first.values() if cell.verdict in _CHANGED]
    fired = {check["check"] for report in reports for check in report["checks"] if check["status"] == "fail"}
    at_last = {check["check"] for check in reports[-1]["checks"] if check["status"] == "fail"}
    expected = set(truth["failing_checks"])
    return Score(
        false_verdicts=tuple(cell for cell in changes if not _is_true(truth, cell)),
        false_passes=tuple(cell for cell in last if cell.verdict in _GOOD and _is_missed(truth, cell)),
        moved=tuple(cell for cell in changes if _moves(truth, cell)),
        effects=tuple(_effects(truth, reports[-1], first)),
        fired=tuple(sorted(fired)),
        not_fired=tuple(sorted(expected - at_last)),
        unexpected=tuple(sorted(fired - expected)),
        warned=tuple(sorted({check["check"] for check in reports[-1]["checks"] if check["status"] == "warn"})),
        invalid=sum(cell.verdict == "INVALID" for cell in own) / max(1, len(own)),
    )


def _cells(truth: Json, report: Json) -> Iterator[Cell]:
    began = datetime.fromisoformat(truth["promotion"]["at"])
    day = (datetime.fromisoformat(report["as_of"]) - began).days
    shared = report.get("shared_versions") or {"cohorts": []}
    for part, suffix in ((report["cohorts"], ""), (shared["cohorts"], f" ({_SHARED})")):
        for cohort in part:
            for metric in cohort["metrics"]:
                yield Cell(day, f"{cohort['cohort']}{suffix}", metric["metric"], metric["verdict"])


def _cohort(cell: Cell) -> str:
    return cell.cohort.removesuffix(f" ({_SHARED})")


def _moves(truth: Json, cell: Cell) -> bool:
    return _cohort(cell) in truth["affected_cohorts"] and cell.metric in truth["may_move"]


def _is_true(truth: Json, cell: Cell) -> bool:
    """Whether a change that was told is one."""
    if _moves(truth, cell):
        return True
    return _cohort(cell) in truth["affected_cohorts"] and cell.verdict in truth["expected"].get(cell.metric, ())


def _is_missed(truth: Json, cell: Cell) -> bool:
    """Whether the cell has a true change other than the one that was told."""
    expected = truth["expected"].get(cell.metric)
    return expected is not None and _cohort(cell) in truth["affected_cohorts"] and cell.verdict not in expected


def _effects(truth: Json, last: Json, first: Mapping[tuple[str, str, str], Cell]) -> Iterator[Effect]:
    days = len(truth["looks"])
    traces = {cohort["cohort"]: min(cohort["traces"].values()) / days for cohort in last["cohorts"]}
    for cohort in truth["affected_cohorts"]:
        for metric, verdicts in truth["expected"].items():
            told = [first[cohort, metric, each].day for each in verdicts if (cohort, metric, each) in first]
            yield Effect(cohort, metric, traces.get(cohort, 0.0), min(told, default=None))
