"""What is different between two reports: new, standing and resolved regressions, other verdicts, other decisions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from analytics.report.findings import metric_names
from analytics.report.model import Decision, MetricResult, Report, Verdict


class Standing(StrEnum):
    """What became of a regression."""

    NEW = "new"
    STILL = "still"
    RESOLVED = "resolved"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class MetricChange:
    """One metric of one cohort in two reports.

    Attributes:
        cohort: its cohort.
        metric: its metric.
        before: the earlier result; None where there was none.
        after: the later result; None where it is not measured any more.
    """

    cohort: str
    metric: str
    before: MetricResult | None
    after: MetricResult | None

    @property
    def standing(self) -> Standing | None:
        """What became of a regression; None where neither report has one.

        A regression is resolved by data that show none. Where there are no longer data to say so it is undecided.
        """
        if self.after is not None and self.after.verdict is Verdict.REGRESSED:
            return Standing.STILL if _regressed(self.before) else Standing.NEW
        if not _regressed(self.before):
            return None
        shown = self.after is not None and self.after.verdict in {Verdict.IMPROVED, Verdict.NO_REGRESSION}
        return Standing.RESOLVED if shown else Standing.UNDECIDED

    @property
    def is_other_verdict(self) -> bool:
        """Whether the verdict is another one."""
        return _verdict(self.before) is not _verdict(self.after)


def _regressed(result: MetricResult | None) -> bool:
    return result is not None and result.verdict is Verdict.REGRESSED


def _verdict(result: MetricResult | None) -> Verdict | None:
    return None if result is None else result.verdict


@dataclass(frozen=True)
class DecisionChange:
    """One cohort's decision in two reports; None where the cohort is in the other one alone."""

    cohort: str
    before: Decision | None
    after: Decision | None


@dataclass(frozen=True)
class Changes:
    """What is different between two reports.

    Attributes:
        before: the earlier report; None where there is none, so that every regression is new.
        after: the later report.
        regressions: every regression of either report, new ones first, then standing, undecided and resolved ones.
        verdicts: other cells whose verdict is another one, by cohort and metric.
        decisions: the cohorts whose decision is another one, by cohort.
    """

    before: Report | None
    after: Report
    regressions: tuple[MetricChange, ...]
    verdicts: tuple[MetricChange, ...]
    decisions: tuple[DecisionChange, ...]

    def count(self, standing: Standing) -> int:
        """How many regressions became that."""
        return sum(change.standing is standing for change in self.regressions)


_ORDER = (Standing.NEW, Standing.STILL, Standing.UNDECIDED, Standing.RESOLVED)


def changes(before: Report | None, after: Report) -> Changes:
    """Compare two reports, cell by cell; of cohorts and metrics that only one of them has, too.

    Args:
        before: the earlier report; None where there is none: then every regression is new, and nothing else changed.
        after: the later report.
    """
    earlier, later = ({} if before is None else _cells(before)), _cells(after)
    metrics = tuple(dict.fromkeys((*metric_names(after), *(() if before is None else metric_names(before)))))
    cells = sorted({*earlier, *later}, key=lambda cell: (cell[0], metrics.index(cell[1])))
    all_changes = [MetricChange(*cell, earlier.get(cell), later.get(cell)) for cell in cells]
    regressions = tuple(change for standing in _ORDER for change in all_changes if change.standing is standing)
    if before is None:
        return Changes(None, after, regressions, (), ())
    others = (change for change in all_changes if change.standing is None and change.is_other_verdict)
    had, has = ({cohort.cohort: cohort.decision for cohort in report.cohorts} for report in (before, after))
    decisions = (DecisionChange(cohort, had.get(cohort), has.get(cohort)) for cohort in sorted({*had, *has}))
    changed = tuple(each for each in decisions if each.before is not each.after)
    return Changes(before, after, regressions, tuple(others), changed)


def _cells(report: Report) -> dict[tuple[str, str], MetricResult]:
    return {(cohort.cohort, result.metric): result for cohort in report.cohorts for result in cohort.metrics}
