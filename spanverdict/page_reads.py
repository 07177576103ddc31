"""What the pages show, read from the store: a bounded number of everything, by SQL alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from analytics.report.formatting import DECISION_WORDS, VERDICT_WORDS, difference
from analytics.report.model import Decision, Verdict
from sql import statements
from sql.access import Reader
from sql.opened_store import OpenedStore

PROMOTIONS = 10
"""Promotions on one page."""

REPORTS = 25
"""Past reports on one page."""

MOST_COHORTS = 60
MOST_METRICS = 40
"""Cohorts and metrics of a grid; the report has all."""

MOST_CHANGES = 100
"""Changes of decisions that are listed."""

DECIDING_REPORTS = 100
"""Newest reports in which such changes are looked for."""

_GRAVITY = {Verdict.REGRESSED.value: 0, Verdict.IMPROVED.value: 1}
"""Columns in which such a verdict stands come first."""

READ_SECONDS = 20.0
"""How long the queries of one page may take together."""


class PageStore:
    """The store as one page reads it: never longer than a page may take.

    Args:
        store: the server's own store.
        seconds: how long.
    """

    def __init__(self, store: OpenedStore, seconds: float = READ_SECONDS) -> None:
        self._store = store
        self._deadline = time.monotonic() + seconds

    def read(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Answer one read-only query.

        Raises:
            QueryError: it failed, or took too long.
            StoreUnavailableError: the store is being opened anew.
        """
        return self._store.read(query, parameters, given_up=lambda: time.monotonic() > self._deadline)


@dataclass(frozen=True)
class Word:
    """A verdict or a decision.

    Attributes:
        kind: its class in the style.
        text: how it is written.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Cell:
    """One metric of one cohort: its verdict and its effect, as written."""

    verdict: Word
    effect: str


@dataclass(frozen=True)
class Row:
    """One cohort of a grid.

    Attributes:
        cohort: its name.
        decision: what follows for it.
        cells: by metric.
    """

    cohort: str
    decision: Word
    cells: Mapping[str, Cell]

    def others(self, passed_over: Sequence[str]) -> str:
        """How often each verdict stands among the other metrics, as words."""
        words = [cell.verdict.text for metric, cell in self.cells.items() if metric not in passed_over]
        return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))


@dataclass(frozen=True)
class Grid:
    """A report's verdicts, cohorts by metrics; what regressed first.

    Attributes:
        metrics: their names.
        changed: those of them that regressed or improved in a cohort.
        rows: the cohorts.
    """

    metrics: tuple[str, ...]
    changed: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Made:
    """A stored report.

    Attributes:
        report_id: its identity.
        as_of: the moment it speaks of (UTC, naive).
        overall: its verdict.
        headline: its sentence; None where the release that made it wrote none.
    """

    report_id: str
    as_of: datetime
    overall: Word
    headline: str | None


@dataclass(frozen=True)
class Listed:
    """A promotion on a page.

    Attributes:
        row: its row of the table ``promotions``.
        newest: its newest report; None without one.
        grid: that report's verdicts; None without one.
        reports: how many reports there are.
    """

    row: Mapping[str, Any]
    newest: Made | None
    grid: Grid | None
    reports: int


@dataclass(frozen=True)
class Change:
    """A decision that changed from one report to the next; ``earlier`` is None of the first."""

    report_id: str
    as_of: datetime
    cohort: str
    decision: Word
    earlier: Word | None


def promotions(store: Reader, page: int) -> tuple[list[Listed], int]:
    """One page of the promotions, the newest first, and how many there are."""
    rows = _rows(store, "page_promotions", name=None, most=PROMOTIONS, passed_over=(page - 1) * PROMOTIONS)
    return _listed(store, rows), rows[0]["promotions"] if rows else 0


def promotion(store: Reader, name: str) -> Listed | None:
    """One promotion; None where there is none of that name."""
    found = _listed(store, _rows(store, "page_promotions", name=name, most=1, passed_over=0))
    return found[0] if found else None


def reports(store: Reader, name: str, page: int) -> list[Made]:
    """One page of a promotion's reports, those of the latest moment first."""
    rows = _rows(store, "page_reports", promotion=name, most=REPORTS, passed_over=(page - 1) * REPORTS)
    return [_made(row) for row in rows]


def decisions(store: Reader, name: str) -> list[Change]:
    """How the decisions on a promotion's cohorts changed over its newest reports, the last change first."""
    rows = _rows(store, "page_decisions", promotion=name, most=MOST_CHANGES, most_reports=DECIDING_REPORTS)
    return [
        Change(
            row["report_id"], row["as_of"], row["cohort"], decision_word(row["decision"]),
            None if row["earlier"] is None else decision_word(row["earlier"]),
        )
        for row in rows
    ]  # fmt: skip


def promotion_of_report(store: Reader, report_id: str) -> str | None:
    """Which promotion a report is of; None where there is no such report."""
    rows = _rows(store, "page_report", report_id=report_id)
    return rows[0]["promotion"] if rows else None


def _rows(store: Reader, query: str, **parameters: object) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.read(statements.read(query), parameters).to_pylist()
    return rows


def _listed(store: Reader, rows: Sequence[Mapping[str, Any]]) -> list[Listed]:
    grids = _grids(store, [row["report_id"] for row in rows if row["report_id"] is not None])
    return [
        Listed(
            row,
            None if row["report_id"] is None else _made(row),
            grids.get(row["report_id"]),
            row["reports"] or 0,
        )
        for row in rows
    ]


def _made(row: Mapping[str, Any]) -> Made:
    return Made(row["report_id"], row["as_of"], verdict_word(row["overall"]), row["headline"])


def _grids(store: Reader, report_ids: Sequence[str]) -> dict[str, Grid]:
    if not report_ids:
        return {}
    found: dict[str, list[dict[str, Any]]] = {}
    bounds = {"most_cohorts": MOST_COHORTS, "most_metrics": MOST_METRICS}
    for row in _rows(store, "page_grids", report_ids=report_ids, **bounds):
        found.setdefault(row["report_id"], []).append(row)
    return {report_id: _grid(rows) for report_id, rows in found.items()}


def _grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    worst: dict[str, tuple[int, int]] = {}
    for row in rows:
        place = _GRAVITY.get(row["verdict"], len(_GRAVITY)), row["metric_place"]
        worst[row["metric"]] = min(worst.get(row["metric"], place), place)
    cohorts: dict[int, Row] = {}
    for row in rows:
        cohort = cohorts.setdefault(row["place"], Row(row["cohort"], decision_word(row["decision"]), {}))
        cell = Cell(verdict_word(row["verdict"]), difference(row["effect"], row["unit"]))
        cohorts[row["place"]] = Row(cohort.cohort, cohort.decision, {**cohort.cells, row["metric"]: cell})
    by_gravity = sorted(cohorts.values(), key=lambda row: row.decision.kind != Decision.ROLL_BACK.value)
    metrics = tuple(sorted(worst, key=worst.__getitem__))
    changed = tuple(metric for metric in metrics if worst[metric][0] < len(_GRAVITY))
    return Grid(metrics, changed, tuple(by_gravity))


def verdict_word(verdict: str) -> Word:
    """A stored verdict; one that this release does not know is said as it stands."""
    known = {each.value: Word(each.value, text) for each, text in VERDICT_WORDS.items()}
    return known.get(verdict, Word(Verdict.INVALID.value, verdict))


def decision_word(decision: str) -> Word:
    """A stored decision; one that this release does not know is said as it stands."""
    known = {each.value: Word(each.value, text) for each, text in DECISION_WORDS.items()}
    return known.get(decision, Word(Decision.HOLD.value, decision))
