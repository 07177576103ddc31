"""The grid of verdicts: cohorts and metrics, the longer side downwards, so that a page stays narrow."""

from __future__ import annotations

from dataclasses import dataclass

from analytics.report import formatting
from analytics.report.findings import metric_names, result_of, worst_first
from analytics.report.model import CohortResult, MetricResult, Report
from analytics.report.text import name


@dataclass(frozen=True)
class Heading:
    """What a row or a column is of: a metric, or a cohort with its decision."""

    label: str
    cohort: CohortResult | None


@dataclass(frozen=True)
class Cell:
    """One comparison, and the id of the part of the page that tells more; None where it was not measured."""

    result: MetricResult
    section: str


@dataclass(frozen=True)
class Grid:
    """The grid: what its rows are called, its columns, and each row's heading with its cells."""

    corner: str
    columns: tuple[Heading, ...]
    rows: tuple[tuple[Heading, tuple[Cell | None, ...]], ...]


def grid(report: Report, sections: dict[tuple[str, str], str]) -> Grid:
    """Lay the grid out.

    Args:
        report: the report.
        sections: (cohort, metric) → the id of the part of the page that tells more of it.
    """
    metrics, cohorts = metric_names(report), worst_first(report)
    by_cohort = [Heading(name(cohort.cohort), cohort) for cohort in cohorts]
    by_metric = [Heading(name(formatting.metric_label(metric)), None) for metric in metrics]
    cells = [[_cell(cohort, metric, sections) for metric in metrics] for cohort in cohorts]
    if len(by_cohort) > len(by_metric):
        rows, columns, corner = by_cohort, by_metric, "Cohort"
    else:
        rows, columns, corner = by_metric, by_cohort, "Metric"
        cells = [list(row) for row in zip(*cells, strict=True)]
    return Grid(corner, tuple(columns), tuple((row, tuple(line)) for row, line in zip(rows, cells, strict=True)))


def _cell(cohort: CohortResult, metric: str, sections: dict[tuple[str, str], str]) -> Cell | None:
    result = result_of(cohort, metric)
    return None if result is None else Cell(result, sections[cohort.cohort, metric])
