"""From level-one rows to the kernel's sums over units: running totals, their products, pairs, and blocks."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.layout import Layout, floating
from analytics.pairs import pair_sums
from analytics.stats.sums import ArmSums, BlockSums, CrossSums, Strata, TwoArmSums
from analytics.values import ARMS

if TYPE_CHECKING:
    from analytics.layout import Axes
    from analytics.stats.sums import FloatArray
    from analytics.unit_days import UnitDays


@dataclass
class Running:
    """What the parts of a comparison hand on to one another when they are summed one after the other.

    Totals run through the units of all parts, so that parts give the very digits that the whole gives.

    Attributes:
        labels: the largest number of strata and periods in a cohort of the whole.
        weighted: whether a trace of the whole is weighted.
        totals: name → the total so far.
    """

    labels: int
    weighted: bool
    totals: dict[str, float] = field(default_factory=dict)


def two_arm_sums(
    rows: UnitDays, values: pl.Series, axes: Axes, *, within_one: bool, running: Running | None = None
) -> TwoArmSums:
    """Cumulative sums over the units of one column of level-one rows.

    Args:
        rows: of level one, of cohorts and looks that are on the axes.
        values: the sums to take, one for each row, in fixed point.
        axes: the cells and looks.
        within_one: whether the values lie between 0 and 1: of those alone pairs are summed.
        running: where the rows are a part of a whole, whose parts are summed in the order of their cohorts.
    """
    if rows.frame.is_empty():
        return _nothing(axes, running)
    layout = Layout.of(rows, axes)
    running = Running(layout.labels, layout.weighted) if running is None else running
    value = floating(values)
    weights = layout.weights if not layout.weighted else layout.weight_sums(running.totals)
    (base, candidate), cross = weights.arms, weights.cross
    if value.any():
        base_y, candidate_y = (
            side.totals(value, running.totals, f"{name} y") for name, side in zip(ARMS, layout.sides, strict=True)
        )
        base, candidate = (
            replace(of_weights, y=side.cumulative(y[1]), yn=side.product(y, n), yy=side.product(y, y))
            for side, of_weights, n, y in zip(
                layout.sides, weights.arms, weights.totals, (base_y, candidate_y), strict=True
            )
        )
        if layout.mixed:
            (a_n, b_n), product = weights.totals, layout.sides[0].product
            cross = replace(
                cross, yy=product(base_y, candidate_y), yn=product(base_y, b_n), ny=product(a_n, candidate_y)
            )
    pairs = None
    if layout.paired and within_one:
        pairs = pair_sums(rows.frame, value, layout.row_places, layout.cumulative)
    blocks = strata = None
    if not layout.paired and running.labels > 1:
        blocks, strata = _block_sums(layout, value, running, TwoArmSums(base, candidate, cross))
    dilution = layout.dilution() if running.weighted else None
    return TwoArmSums(base, candidate, cross, pairs, blocks, strata, dilution)


def _nothing(axes: Axes, running: Running | None) -> TwoArmSums:
    """The sums of no rows."""
    nothing = np.zeros(axes.shape)
    arm = ArmSums(*([nothing] * len(fields(ArmSums))))
    cross = CrossSums(*([nothing] * len(fields(CrossSums))))
    if running is None:
        return TwoArmSums(arm, arm, cross)
    blocks = strata = None
    if running.labels > 1:
        blocks = BlockSums(*([nothing] * len(fields(BlockSums))))
        strata = Strata(*([np.zeros((running.labels, *axes.shape))] * len(fields(Strata))))
    return TwoArmSums(arm, arm, cross, None, blocks, strata, np.ones(axes.shape) if running.weighted else None)


def _block_sums(table: Layout, value: FloatArray, running: Running, whole: TwoArmSums) -> tuple[BlockSums, Strata]:
    """Sums of comparisons within each day of each stratum and period.

    Until a cohort has a second stratum or period it is one block, as it would be if none ever came: what was seen at a
    look does not depend on what comes later.
    """
    size, labels = table.shape[0] * table.shape[1], running.labels
    block = table.label * size + table.row_places

    def blocked(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(block, weights=values, minlength=labels * size), dtype=np.float64)

    candidate = table.candidate
    a_n, b_n = blocked(np.where(candidate, 0.0, table.weight)), blocked(np.where(candidate, table.weight, 0.0))
    a_y, b_y = blocked(np.where(candidate, 0.0, value)), blocked(np.where(candidate, value, 0.0))
    traces = blocked(table.traces)
    n = a_n + b_n
    safe = np.where(n > 0, n, 1.0)
    share, mean = b_n / safe, (a_y + b_y) / safe
    information = a_n * share

    def cumulative(values: FloatArray) -> FloatArray:
        return np.cumsum(values.reshape(labels, *table.shape).sum(axis=0), axis=1)

    residual = np.sqrt(share * (1 - share))[block] * (value - mean[block] * table.weight)
    base, other = table.sides
    a_e, b_e = (
        side.totals(residual, running.totals, f"{name} e") for name, side in zip(ARMS, table.sides, strict=True)
    )
    within = BlockSums(
        information=cumulative(information),
        base_y=cumulative(share * a_y),
        candidate_y=cumulative((1 - share) * b_y),
        base_squares=base.product(a_e, a_e),
        candidate_squares=other.product(b_e, b_e),
        products=base.product(a_e, b_e) if table.mixed else np.zeros(table.shape),
        spread=cumulative(np.maximum(information * mean * (1 - mean), 0.0)),
        lost=cumulative(information / np.maximum(traces, 1.0)),
    )
    through = [np.cumsum(of.reshape(labels, *table.shape), axis=2) for of in (a_n, a_y, b_n, b_y)]
    is_one = ((through[0] + through[2]) > 0).sum(axis=0) < 2  # noqa: PLR2004 (a comparison within takes two)
    one = _one_block(whole)
    sums = (np.where(is_one, getattr(one, each.name), getattr(within, each.name)) for each in fields(BlockSums))
    return BlockSums(*sums), Strata(*through)


def _one_block(whole: TwoArmSums) -> BlockSums:
    """All traffic so far as one block, which compares the arms as wholes."""
    n = np.maximum(whole.base.n + whole.candidate.n, 1.0)
    share, mean = whole.candidate.n / n, whole.pooled
    both = share * (1 - share)
    return BlockSums(
        information=both * n,
        base_y=share * whole.base.y,
        candidate_y=(1 - share) * whole.candidate.y,
        base_squares=both * whole.base.residual_squares(mean),
        candidate_squares=both * whole.candidate.residual_squares(mean),
        products=both * whole.cross.residual_products(mean),
        spread=np.maximum(both * n * mean * (1 - mean), 0.0),
        lost=np.zeros_like(n),
    )
