"""From level-one rows to the kernel's sums over units: running totals, their products, pairs, and blocks.

What a unit adds to a sum of products on a day is the product of its running totals less the day before's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.level_one import ONE
from analytics.pairs import PAIR, pair_sums
from analytics.stats.sums import ArmSums, BlockSums, CrossSums, Strata, TwoArmSums

if TYPE_CHECKING:
    from datetime import date

    from analytics.stats.sums import BoolArray, FloatArray, IndexArray

_Totals = tuple["FloatArray", "FloatArray"]


@dataclass(frozen=True)
class Axes:
    """The two axes of every array."""

    cohorts: tuple[str, ...]
    looks: tuple[date, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Cohorts and looks."""
        return len(self.cohorts), len(self.looks)

    def rows(self, frame: pl.DataFrame) -> IndexArray:
        """Row numbers of the frame's cohorts."""
        return np.searchsorted(np.array(self.cohorts, dtype=object), frame["cohort"].to_numpy())

    def columns(self, frame: pl.DataFrame) -> IndexArray:
        """Column numbers of the frame's looks."""
        looks = np.array(self.looks, dtype="datetime64[D]")
        return np.searchsorted(looks, frame["look"].to_numpy().astype("datetime64[D]"))

    def per_cohort(self, frame: pl.DataFrame, column: str) -> FloatArray:
        """One value per cohort, NaN where the frame has none."""
        result = np.full(len(self.cohorts), np.nan)
        result[self.rows(frame)] = frame[column].cast(pl.Float64).to_numpy()
        return result

    def per_arm(self, frame: pl.DataFrame, column: str) -> FloatArray:
        """One value per cohort and arm, NaN where the frame has none."""
        result = np.full((len(self.cohorts), 2), np.nan)
        arms = (frame["arm"] == "candidate").cast(pl.Int64).to_numpy()
        result[self.rows(frame), arms] = frame[column].cast(pl.Float64).to_numpy()
        return result


def two_arm_sums(rows: pl.DataFrame, column: str, axes: Axes, *, within_one: bool) -> TwoArmSums:
    """Cumulative sums over the units of one column of level-one rows.

    Args:
        rows: of level one, in their order, of cohorts and looks that are on the axes.
        column: the sum to take: "tested" or "above".
        axes: the cells and looks.
        within_one: whether the values lie between 0 and 1: of those alone pairs are summed.
    """
    if rows.is_empty():
        nothing = np.zeros(axes.shape)
        arm = ArmSums(*([nothing] * len(fields(ArmSums))))
        return TwoArmSums(arm, arm, CrossSums(*([nothing] * len(fields(CrossSums)))))
    table = _Table.of(rows, column, axes)
    n, y, candidate = table.weight, table.value, table.candidate
    a_n, b_n = table.totals(np.where(candidate, 0.0, n)), table.totals(np.where(candidate, n, 0.0))
    a_y, b_y = table.totals(np.where(candidate, 0.0, y)), table.totals(np.where(candidate, y, 0.0))
    product = table.product

    def arm_sums(n: _Totals, y: _Totals, ours: BoolArray) -> ArmSums:
        return ArmSums(
            table.cumulative(table.appears(ours)),
            table.cumulative(n[1]),
            table.cumulative(y[1]),
            product(n, n),
            product(y, n),
            product(y, y),
        )

    cross = CrossSums(product(a_y, b_y), product(a_y, b_n), product(a_n, b_y), product(a_n, b_n))
    arms = arm_sums(a_n, a_y, ~candidate), arm_sums(b_n, b_y, candidate)
    paired = rows[PAIR].null_count() < rows.height
    pairs = None
    if paired and within_one:
        pairs = pair_sums(rows, y, table.row_places, table.cumulative)
    blocks = strata = None
    if not paired and table.labels > 1:
        blocks, strata = _block_sums(table, TwoArmSums(*arms, cross))
    return TwoArmSums(*arms, cross, pairs, blocks, strata, _dilution(rows, table))


@dataclass(frozen=True)
class _Table:
    """Level-one rows as arrays.

    Attributes:
        weight: sum of the traces' weights, their number where none is weighted; (rows,).
        value: sum of the values; (rows,).
        traces: number of traces; (rows,).
        candidate: whether the row is the candidate arm's; (rows,).
        row_places: place of the row's cohort and look in the flattened array; (rows,).
        label: number of the row's stratum and period within its cohort; (rows,).
        labels: the largest number of them in a cohort.
        starts: where in the rows a unit's look begins; (unit looks,).
        first: for each unit's look, which is the first of the unit; (unit looks,).
        shape: cohorts and looks.
    """

    weight: FloatArray
    value: FloatArray
    traces: FloatArray
    candidate: BoolArray
    row_places: IndexArray
    label: IndexArray
    labels: int
    starts: IndexArray
    first: IndexArray
    shape: tuple[int, int]

    @classmethod
    def of(cls, rows: pl.DataFrame, column: str, axes: Axes) -> _Table:
        cohort, look = axes.rows(rows), axes.columns(rows)
        member = rows.select(pl.struct("cohort", "unit").rle_id()).to_series().to_numpy()
        # The rows are in the order of units and looks, so a unit's rows of one look are neighbours.
        new_member = np.diff(member, prepend=member[0] + 1) != 0
        starts = np.flatnonzero(new_member | (np.diff(look, prepend=-1) != 0))
        new_member = new_member[starts]
        label = rows.select(pl.struct("stratum", "period").rank("dense").over("cohort") - 1).to_series()
        return cls(
            weight=_floating(rows["weight"]),
            value=_floating(rows[column]),
            traces=rows["n"].cast(pl.Float64).to_numpy(),
            candidate=(rows["arm"] == "candidate").to_numpy(),
            row_places=cohort * axes.shape[1] + look,
            label=label.cast(pl.Int64).to_numpy(),
            labels=int(label.max()) + 1,  # type: ignore[arg-type]  # a rank is a number
            starts=starts,
            first=np.flatnonzero(new_member)[np.cumsum(new_member) - 1],
            shape=axes.shape,
        )

    def totals(self, values: FloatArray) -> _Totals:
        """A unit's running total at the end of a look and what the look added."""
        added = np.add.reduceat(values, self.starts)
        through = np.cumsum(added)
        return through - (through - added)[self.first], added

    def appears(self, ours: BoolArray) -> FloatArray:
        """1 where a unit has its first trace in an arm, else 0."""
        through, added = self.totals(np.where(ours, self.traces, 0.0))
        return np.asarray((added > 0) & (through == added), dtype=np.float64)

    def daily(self, added: FloatArray, at: IndexArray | None = None) -> FloatArray:
        """Sums by cohort and look, given one value per unit's look or per place."""
        places = self.row_places[self.starts] if at is None else at
        flat = np.bincount(places, weights=added, minlength=self.shape[0] * self.shape[1])
        return np.asarray(flat, dtype=np.float64).reshape(self.shape)

    def cumulative(self, added: FloatArray, at: IndexArray | None = None) -> FloatArray:
        """The same through each look."""
        return np.cumsum(self.daily(added, at), axis=1)

    def product(self, first: _Totals, second: _Totals) -> FloatArray:
        """Sums of products of the units' running totals."""
        return self.cumulative(first[0] * second[0] - (first[0] - first[1]) * (second[0] - second[1]))


def _floating(fixed: pl.Series) -> FloatArray:
    return np.asarray(fixed.cast(pl.Float64).to_numpy() / ONE, dtype=np.float64)


def _dilution(rows: pl.DataFrame, table: _Table) -> FloatArray | None:
    """Sum of squared weights over that of weights, of the arm where it is larger; None where no trace is weighted."""
    squared = _floating(rows["weight_squared"])
    if (table.weight == table.traces).all():
        return None

    def ratio(ours: BoolArray) -> FloatArray:
        weights = table.cumulative(np.where(ours, table.weight, 0.0), table.row_places)
        squares = table.cumulative(np.where(ours, squared, 0.0), table.row_places)
        return np.divide(squares, weights, out=np.ones_like(squares), where=weights > 0)

    return np.maximum(ratio(table.candidate), ratio(~table.candidate))


def _block_sums(table: _Table, whole: TwoArmSums) -> tuple[BlockSums, Strata]:
    """Sums of comparisons within each day of each stratum and period.

    Until a cohort has a second stratum or period it is one block, as it would be if none ever came: what was seen at a
    look does not depend on what comes later.
    """
    size = table.shape[0] * table.shape[1]
    block = table.label * size + table.row_places

    def blocked(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(block, weights=values, minlength=table.labels * size), dtype=np.float64)

    candidate = table.candidate
    a_n, b_n = blocked(np.where(candidate, 0.0, table.weight)), blocked(np.where(candidate, table.weight, 0.0))
    a_y, b_y = blocked(np.where(candidate, 0.0, table.value)), blocked(np.where(candidate, table.value, 0.0))
    traces = blocked(table.traces)
    n = a_n + b_n
    safe = np.where(n > 0, n, 1.0)
    share, mean = b_n / safe, (a_y + b_y) / safe
    information = a_n * share

    def cumulative(values: FloatArray) -> FloatArray:
        return np.cumsum(values.reshape(table.labels, *table.shape).sum(axis=0), axis=1)

    residual = np.sqrt(share * (1 - share))[block] * (table.value - mean[block] * table.weight)
    a_e = table.totals(np.where(candidate, 0.0, residual))
    b_e = table.totals(np.where(candidate, residual, 0.0))
    within = BlockSums(
        information=cumulative(information),
        base_y=cumulative(share * a_y),
        candidate_y=cumulative((1 - share) * b_y),
        base_squares=table.product(a_e, a_e),
        candidate_squares=table.product(b_e, b_e),
        products=table.product(a_e, b_e),
        spread=cumulative(np.maximum(information * mean * (1 - mean), 0.0)),
        lost=cumulative(information / np.maximum(traces, 1.0)),
    )
    through = [np.cumsum(of.reshape(table.labels, *table.shape), axis=2) for of in (a_n, a_y, b_n, b_y)]
    is_one = ((through[0] + through[2]) > 0).sum(axis=0) < 2  # noqa: PLR2004 (a comparison within takes two)
    one = _one_block(whole)
    sums = (np.where(is_one, getattr(one, field.name), getattr(within, field.name)) for field in fields(BlockSums))
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
