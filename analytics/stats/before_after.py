"""Before and after: a step in a daily series on the day on which the candidate took over from the base.

All traffic changes model at one moment, so whatever else happens on a day happens to one arm only: the day is the unit.
A series has one value a day; its spread and autocorrelation before the change say how far the average of some days
strays by itself. Series of cohorts that stayed with the base take out what happened to all (difference in differences).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import fdtrc, ndtri

from analytics.stats.bounds import bound, critical_t
from analytics.stats.contrast import Contrast
from analytics.stats.evidence import Evidence, best_look
from analytics.stats.mixture import log_e_mixture, t_to_z

if TYPE_CHECKING:
    from analytics.stats.sums import BoolArray, FloatArray, IndexArray

FEWEST_DAYS_BEFORE = 7
"""Days before the change without which a series says nothing of its own spread."""

DAYS_FOR_WEEKDAYS = 14
"""Days before the change from which on weekdays are looked at, and from which on a series can be a control."""

LARGEST_AUTOCORRELATION = 0.8

MOST_DAYS = 366
"""Days after the change beyond which no forecast is made."""

_WEEK = 7
_WEEKDAY_LEVEL = 0.10
_POWER_Z = float(ndtri(0.90))
_LEAST_SPREAD = float(np.finfo(np.float64).eps)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Steps:
    """The step of each series at every look, and what it rests on.

    Attributes:
        contrast: after less before, shape (cells, looks); a look is a day after the change.
        days_before: days with a value before the change, shape (cells,).
        days_after: days with a value from the change to each look, shape (cells, looks).
        autocorrelation: of successive days, as used, shape (cells,).
        matched: whether each weekday is compared with itself, shape (cells,).
        long_run: the variance of a day's value for averages of many days, shape (cells,).
        varies: whether days differ at all, shape (cells,).
        days: where there are days enough to estimate the step, shape (cells, looks).
        usable: where there are events enough as well, so that it can be tested, shape (cells, looks).
    """

    contrast: Contrast
    days_before: IndexArray
    days_after: IndexArray
    autocorrelation: FloatArray
    matched: BoolArray
    long_run: FloatArray
    varies: BoolArray
    days: BoolArray
    usable: BoolArray

    @property
    def evidence(self) -> Evidence:
        """Log e-values of "after is higher" and "after is lower", 0 where a look says nothing."""
        null = np.zeros_like(self.contrast.effect)
        return Evidence(
            np.where(self.usable, self.contrast.log_e(null, 1.0), 0.0),
            np.where(self.usable, self.contrast.log_e(null, -1.0), 0.0),
        )

    def at(self, cells: IndexArray, looks: IndexArray) -> Contrast:
        """The contrast of each chosen cell at one look, shape (chosen,)."""
        of = self.contrast
        return Contrast(
            of.effect[cells, looks], of.variance[cells, looks], of.degrees[cells, looks], of.scales[:, cells, looks]
        )


@dataclass(frozen=True)
class StepAssessment:
    """What can be said of each step at the last look, on the scale of the series; shape (cells,).

    Attributes:
        effect: the estimate.
        low: lower end at the level of the family-wise test.
        high: upper end at the level of the family-wise test.
        low_alone: lower end at the level of one cell.
        high_alone: upper end at the level of one cell.
        days_needed: further days until that could be shown, if the estimate stays; infinite if none would do.
        detectable: the step that so many days would have shown with 90 % probability.
    """

    effect: FloatArray
    low: FloatArray
    high: FloatArray
    low_alone: FloatArray
    high_alone: FloatArray
    days_needed: FloatArray
    detectable: FloatArray


def control_series(x: FloatArray, information: FloatArray, is_control: BoolArray, slope: FloatArray) -> FloatArray:
    """What happened to all cohorts on each day, seen in those that stayed with the base.

    Args:
        x: daily values, NaN where there is none, shape (cells, days).
        information: weights of the cells' series, as known before the change, shape (cells,).
        is_control: which cells stayed with the base, shape (cells,).
        slope: how much a cell's value moves when something common moves, as known before the change, shape (cells,).

    Returns:
        The controls' average of deviations from their own mean over all days, per unit of slope, shape (days,); NaN on
        days without any, and throughout without controls.
    """
    chosen = is_control & (information > 0) & (slope > 0)
    known = np.isfinite(x[chosen])
    weight = np.where(known, information[chosen][:, None], 0.0)
    values = np.where(known, x[chosen], 0.0)
    # A series' own level must not show when it is absent on a day.
    level = values.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    moved = (values - level) / slope[chosen][:, None]
    total = weight.sum(axis=0)
    common = np.divide((weight * moved).sum(axis=0), total, out=np.full(x.shape[1], np.nan), where=total > 0)
    return np.asarray(common, dtype=np.float64)


def steps(
    x: FloatArray,
    noise: FloatArray,
    weekday: IndexArray,
    before: int,
    scales: FloatArray,
    enough: BoolArray,
) -> Steps:
    """The step of each series from the days before the change to those after it.

    With T0 and T1 days before and after, and s and rho the standard deviation and lag-one autocorrelation of the days
    before, the variance of the step is s^2 (1 + rho)/(1 - rho) (1/T0 + 1/T1), with (T0 - 1)(1 - rho)/(1 + rho) degrees
    of freedom: averages of a first-order autoregression have that variance over many days, a smaller one over few
    (Box, Jenkins & Reinsel, Time Series Analysis, chapter 2). What a day's traces would vary by alone is never left
    out: it is the least that s^2 can be, and where days after the change have fewer traces than those before, the
    difference is added.

    Where the days before differ between weekdays (an F-test at 10 %), each weekday is compared with its own average:
    1/T0 becomes the sum of w_d^2 / T0_d over the weekdays d, with w_d their share of the days after, and T0 - 1 becomes
    T0 - 7.

    Args:
        x: daily values, NaN where there is none, shape (cells, days).
        noise: variance of each value if the day were like any other and its traces independent, shape (cells, days).
        weekday: 0 to 6 of each day, shape (days,).
        before: number of days before the change.
        scales: sizes of a step worth finding, shape (sizes, cells).
        enough: where there are events enough for averages of days to be near normal, shape (cells, looks).
    """
    days = x.shape[1]
    known = np.isfinite(x)
    earlier, later = known[:, :before], known[:, before:]
    count = earlier.sum(axis=1)
    of_weekday = np.zeros((_WEEK, days))
    of_weekday[weekday, np.arange(days)] = 1.0
    per_weekday = earlier @ of_weekday[:, :before].T

    values = np.where(known, x, 0.0)
    overall = values[:, :before].sum(axis=1) / np.maximum(count, 1)
    by_weekday = (values[:, :before] @ of_weekday[:, :before].T) / np.maximum(per_weekday, 1)
    matched = _differs_by_weekday(values[:, :before], earlier, overall, by_weekday, of_weekday[:, :before])
    expected = np.where(matched[:, None], by_weekday @ of_weekday, overall[:, None])
    residual = np.where(known, values - expected, 0.0)
    fitted = np.where(matched, _WEEK, 1)
    freedom = np.maximum(count - fitted, 0)

    usual = np.where(known, noise, 0.0)
    noise_before = usual[:, :before].sum(axis=1) / np.maximum(count, 1)
    spread = np.maximum((residual[:, :before] ** 2).sum(axis=1) / np.maximum(freedom, 1), noise_before)
    rho = _autocorrelation(residual[:, :before], earlier, matched)
    widening = (1 + rho) / (1 - rho)

    after = np.cumsum(later, axis=1)
    some = np.maximum(after, 1)
    step = np.cumsum(residual[:, before:], axis=1) / some
    shares = np.cumsum(later[:, None, :] * of_weekday[None, :, before:], axis=2) / some[:, None, :]
    of_averages = (shares**2 / np.maximum(per_weekday, 1)[:, :, None]).sum(axis=1)
    past = np.where(matched[:, None], of_averages, 1 / np.maximum(count, 1)[:, None])
    thinner = np.maximum(np.cumsum(usual[:, before:], axis=1) / some - noise_before[:, None], 0.0)
    long_run = spread * widening
    variance = long_run[:, None] * (past + 1 / some) + thinner / some
    degrees = np.broadcast_to((freedom / widening)[:, None], step.shape)
    varies = spread > _LEAST_SPREAD * np.maximum(overall**2, _LEAST_SPREAD)
    # Days that were all the same tell for certain that others are not; rounding is no difference.
    variance = np.where(varies[:, None], variance, 0.0)
    step = np.where(varies[:, None] | (np.abs(step) > _ROUNDING * np.abs(overall[:, None])), step, 0.0)
    estimated = (count >= FEWEST_DAYS_BEFORE)[:, None] & (after > 0)
    sizes = np.broadcast_to(scales[:, :, None], (len(scales), *step.shape))
    return Steps(
        Contrast(step, variance, degrees, sizes),
        count,
        after,
        rho,
        matched,
        long_run,
        varies,
        estimated,
        estimated & enough,
    )


def _differs_by_weekday(
    values: FloatArray, known: BoolArray, overall: FloatArray, by_weekday: FloatArray, of_weekday: FloatArray
) -> BoolArray:
    """Whether the weekdays' averages differ more than days of a weekday do, where there are days enough to see it."""
    per_weekday = known @ of_weekday.T
    count = per_weekday.sum(axis=1)
    enough = (count >= DAYS_FOR_WEEKDAYS) & (per_weekday >= DAYS_FOR_WEEKDAYS // _WEEK).all(axis=1)
    between = (per_weekday * (by_weekday - overall[:, None]) ** 2).sum(axis=1) / (_WEEK - 1)
    within = np.where(known, values - by_weekday @ of_weekday, 0.0)
    freedom = np.maximum(count - _WEEK, 1)
    left = (within**2).sum(axis=1) / freedom
    ratio = np.divide(between, left, out=np.zeros_like(between), where=left > 0)
    return np.asarray(enough & (fdtrc(_WEEK - 1, freedom, ratio) < _WEEKDAY_LEVEL), dtype=np.bool_)


def _autocorrelation(residual: FloatArray, known: BoolArray, matched: BoolArray) -> FloatArray:
    """Lag-one autocorrelation, bounded to [0, :data:`LARGEST_AUTOCORRELATION`], shape (cells,).

    In a series of T days the estimate is too low, by about (1 + 4 rho)/T where their average was taken out (Marriott &
    Pope, Biometrika 41, 1954); averages of weekdays take out nothing that next days share, which leaves 3 rho/T.
    """
    both = known[:, 1:] & known[:, :-1]
    products = np.where(both, residual[:, 1:] * residual[:, :-1], 0.0).sum(axis=1) / np.maximum(both.sum(axis=1), 1)
    length = np.maximum(known.sum(axis=1), 1)
    squares = (residual**2).sum(axis=1) / length
    raw = np.divide(products, squares, out=np.zeros_like(products), where=squares > 0)
    corrected = raw + (np.where(matched, 0.0, 1.0 + np.maximum(raw, 0.0)) + 3 * np.maximum(raw, 0.0)) / length
    return np.asarray(np.clip(corrected, 0.0, LARGEST_AUTOCORRELATION), dtype=np.float64)


def assess_steps(
    found: Steps,
    *,
    rejected: tuple[BoolArray, BoolArray],
    levels: tuple[FloatArray, FloatArray],
    margin: FloatArray,
    at_margin: FloatArray,
    alpha: float,
) -> StepAssessment:
    """Assess the steps at the last look.

    Args:
        found: the steps, oriented so that higher is worse.
        rejected: where the family-wise procedure showed "worse" and "better", shape (cells,) each.
        levels: at which it tested the two, shape (cells,) each.
        margin: the step that is still acceptable, on the scale of the series, shape (cells,).
        at_margin: how much larger the variance of the step would be if it were as large as the margin, shape (cells,):
            the rate of what hardly ever happens varies more once it does.
        alpha: level of one cell.
    """
    cells, looks = found.contrast.effect.shape
    last = found.at(np.arange(cells), np.full(cells, looks - 1))
    alone = np.full_like(margin, alpha)
    wider = replace(last, variance=last.variance + at_margin)
    usable = found.days[:, -1]
    downwards = replace(found, contrast=replace(found.contrast, effect=-found.contrast.effect))
    low = _agreeing(bound(last, levels[0], 1.0), found, found.evidence.worse, rejected[0], levels[0])
    high = -_agreeing(-bound(last, levels[1], -1.0), downwards, found.evidence.better, rejected[1], levels[1])
    deviation = np.sqrt(last.variance)
    detectable = critical_t(last, levels[0]) * deviation + _POWER_Z * deviation
    return StepAssessment(
        effect=last.effect,
        low=np.where(usable, low, -np.inf),
        high=np.where(usable, high, np.inf),
        low_alone=np.where(usable, bound(wider, alone, 1.0), -np.inf),
        high_alone=np.where(usable, bound(wider, alone, -1.0), np.inf),
        days_needed=_days_needed(found, last, margin, alpha),
        detectable=np.where(usable, detectable, np.inf),
    )


def _agreeing(low: FloatArray, found: Steps, log_e: FloatArray, rejected: BoolArray, level: FloatArray) -> FloatArray:
    """Lower ends that lie above 0 just where the test rejected, if need be by the look with the most evidence."""
    result = np.where(rejected, low, np.minimum(low, 0.0))
    cells = np.flatnonzero(rejected & (low <= 0))
    looks = best_look(log_e[cells])
    last = np.full_like(cells, found.contrast.effect.shape[1] - 1)
    shown = bound(found.at(cells, looks), level[cells], 1.0)
    result[cells] = np.minimum(shown, found.at(cells, last).effect)
    return result


def _days_needed(found: Steps, last: Contrast, margin: FloatArray, alpha: float) -> FloatArray:
    """Further days until the upper end falls below the margin, if the estimate stays; infinite if none would do.

    Days before the change do not become more, so that there is a limit to what days after it can show.
    """
    days, past = found.days_after[:, -1], 1 / np.maximum(found.days_before, 1)
    distance, known = margin - last.effect, found.days[:, -1] & found.varies
    result = np.full(margin.shape, np.inf)
    ahead = 1
    while ahead <= MOST_DAYS:
        deviation = np.sqrt(np.where(known, found.long_run * (past + 1 / (days + ahead)), 1.0))
        z = t_to_z(distance / deviation, last.degrees)
        reached = known & (log_e_mixture(z, (last.scales / deviation) ** 2) >= -np.log(alpha))
        result = np.where(np.isinf(result) & reached, ahead, result)
        # A forecast is no more exact than a tenth.
        ahead += max(1, ahead // 10)
    return result
