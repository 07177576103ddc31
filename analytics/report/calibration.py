"""What placebo promotions found, as reports and `spanverdict calibrate` show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class CalibrationCell:
    """What placebo promotions found of one metric in one cohort.

    Attributes:
        cohort: its name.
        traces_per_day: traces of both arms in a day.
        false_alarms: share of placebo promotions in which the cell was called REGRESSED.
        injected: the size of the injected regression; None where none could be injected.
        found: share of the injected regressions that were called REGRESSED by the last look.
        median_day: the day on which half of all injected regressions had been found; None where fewer were.
        missed: share of the injected regressions that were called NO_REGRESSION or IMPROVED at the last look.
    """

    cohort: str
    traces_per_day: float
    false_alarms: float
    injected: float | None
    found: float | None
    median_day: int | None
    missed: float | None


@dataclass(frozen=True)
class CalibrationRow:
    """What placebo promotions found of one metric.

    Attributes:
        metric: its name.
        false_alarms: share of placebo promotions in which any cohort's metric was called REGRESSED.
        injected: the size of the injected regression, in ``unit``, the median of the cohorts; None where none could be
            injected.
        found: share of the cells with that injected regression that were called REGRESSED.
        unit: of ``injected``: "rate" (a difference) or "ratio" (a factor).
        margins: how many times its margin each cell was made worse.
        false_improvements: share of placebo promotions in which any cohort's metric was called IMPROVED.
        median_day: the day on which half of all injected regressions had been found; None where fewer were.
        smallest_traffic: traces of both arms in a day of the smallest cohort in which four of five were found.
        missed: share of the cells with that injected regression that were called NO_REGRESSION or IMPROVED.
        cohorts: by cohort.
    """

    metric: str
    false_alarms: float
    injected: float | None
    found: float | None
    unit: str
    margins: float = 1.0
    false_improvements: float = 0.0
    median_day: int | None = None
    smallest_traffic: float | None = None
    missed: float | None = None
    cohorts: tuple[CalibrationCell, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """Placebo promotions on the user's own traffic: what the installed configuration really does.

    Attributes:
        as_of: the moment the world was looked at (UTC).
        splits: how many random splits were judged.
        days: days of traffic in each.
        false_regressed: share of them with any false REGRESSED.
        false_improved: share of them with any false IMPROVED.
        upper_limit: 95 % upper limit (Wilson) of the share with a false REGRESSED.
        metrics: by metric and size of the injected regression.
        traces: traces of both arms in each.
        injections: how many of the splits had regressions injected.
        candidate_share: the share of users, or requests, that met the pseudo-candidate.
        split_by: what was split: "user" or "request".
        seed: of the random splits.
    """

    as_of: datetime
    splits: int
    days: int
    false_regressed: float
    false_improved: float
    upper_limit: float
    metrics: tuple[CalibrationRow, ...]
    traces: int = 0
    injections: int = 0
    candidate_share: float = 0.5
    split_by: str = "user"
    seed: int = 1
