"""Rows of level one as arrays: where each unit's looks begin, and what their weights add up to.

What a unit adds to a sum of products on a day is the product of its running totals less the day before's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from analytics.pairs import PAIR
from analytics.stats.sums import ArmSums, CrossSums
from analytics.unit_days import ONE
from analytics.values import ARMS

if TYPE_CHECKING:
    from datetime import date

    from analytics.stats.sums import BoolArray, FloatArray, IndexArray
    from analytics.unit_days import UnitDays

_HALF = 32
_LOW = (1 << _HALF) - 1

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
        runs = frame["cohort"].rle().struct
        row = {name: number for number, name in enumerate(self.cohorts)}
        at = [row[name] for name in runs.field("value").to_list()]
        return np.repeat(np.array(at, dtype=np.intp), runs.field("len").to_numpy())

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


def floating(fixed: pl.Series) -> FloatArray:
    """Numbers in fixed point in the metric's unit."""
    return np.asarray(fixed.cast(pl.Float64).to_numpy() / ONE, dtype=np.float64)


@dataclass(frozen=True)
class _Side:
    """The rows of one arm by unit and look: its own rows, or all rows where units are in both arms.

    Attributes:
        rows: the arm's own rows; None for all.
        others: of all rows, which are the other arm's and count as 0; None for the arm's own.
        starts: where in these rows a unit's look begins; None where each row is one.
        first: for each unit's look, which is the first of the unit.
        places: place of each unit's look in the flattened array of cohorts and looks.
        shape: cohorts and looks.
    """

    rows: IndexArray | None
    others: BoolArray | None
    starts: IndexArray | None
    first: IndexArray
    places: IndexArray
    shape: tuple[int, int]

    @classmethod
    def of(cls, table: _Places, ours: BoolArray, *, mixed: bool) -> _Side:
        rows = None if mixed else np.flatnonzero(ours)
        member, place = table.member, table.row_places
        if rows is not None:
            member, place = member[rows], place[rows]
        # The rows are in the order of units and looks, so a unit's rows of one look are neighbours.
        new_member = np.diff(member, prepend=-1) != 0
        starts = np.flatnonzero(new_member | (np.diff(place, prepend=-1) != 0))
        new_member = new_member[starts]
        return cls(
            rows,
            ~ours if mixed else None,
            None if len(starts) == len(member) else starts,
            np.flatnonzero(new_member)[np.cumsum(new_member) - 1],
            place[starts],
            table.shape,
        )

    def totals(self, values: FloatArray, running: dict[str, float], name: str) -> _Totals:
        """A unit's running total at the end of a look and what the look added.

        Args:
            values: one for each row of both arms.
            running: the totals of all units before, by name; is brought up to date.
            name: what is added up.
        """
        own = values[self.rows] if self.others is None else np.where(self.others, 0.0, values)
        added = own if self.starts is None else np.add.reduceat(own, self.starts)
        if not len(added):
            return added, added
        first = added[0]
        added[0] = running.get(name, 0.0) + first
        through = np.cumsum(added)
        added[0] = first
        running[name] = float(through[-1])
        return through - (through - added)[self.first], added

    def daily(self, added: FloatArray) -> FloatArray:
        """Sums by cohort and look, given one value per unit's look."""
        flat = np.bincount(self.places, weights=added, minlength=self.shape[0] * self.shape[1])
        return np.asarray(flat, dtype=np.float64).reshape(self.shape)

    def cumulative(self, added: FloatArray) -> FloatArray:
        """The same through each look."""
        return np.cumsum(self.daily(added), axis=1)

    def product(self, first: _Totals, second: _Totals) -> FloatArray:
        """Sums of products of the units' running totals."""
        return self.cumulative(first[0] * second[0] - (first[0] - first[1]) * (second[0] - second[1]))


class _Places(NamedTuple):
    """Where rows are: the number of their unit, their place in the flattened array of cohorts and looks, its shape."""

    member: IndexArray
    row_places: IndexArray
    shape: tuple[int, int]


class _Weights(NamedTuple):
    """What the rows' weights add up to: the totals of both arms, their sums without values, and their products."""

    totals: tuple[_Totals, _Totals]
    arms: tuple[ArmSums, ArmSums]
    cross: CrossSums


@dataclass(frozen=True)
class Layout:
    """The rows of level one as arrays, which all metrics with these rows share.

    Attributes:
        weight: sum of the traces' weights, their number where none is weighted; (rows,).
        squared: sum of their squares; (rows,).
        traces: number of traces; (rows,).
        candidate: whether the row is the candidate arm's; (rows,).
        row_places: place of the row's cohort and look in the flattened array; (rows,).
        label: number of the row's stratum and period within its cohort; (rows,).
        labels: the largest number of them in a cohort.
        mixed: whether a unit is in both arms.
        paired: whether rows of the arms belong together.
        weighted: whether a trace is weighted.
        sides: the rows of base and candidate.
        shape: cohorts and looks.
    """

    weight: FloatArray
    squared: FloatArray
    traces: FloatArray
    candidate: BoolArray
    row_places: IndexArray
    label: IndexArray
    labels: int
    mixed: bool
    paired: bool
    weighted: bool
    sides: tuple[_Side, _Side]
    shape: tuple[int, int]

    @classmethod
    def of(cls, rows: UnitDays, axes: Axes) -> Layout:
        """The layout, which is kept with the rows."""
        return rows.made(axes, lambda: cls._of(rows.frame, axes))

    @classmethod
    def _of(cls, frame: pl.DataFrame, axes: Axes) -> Layout:
        places = axes.rows(frame) * axes.shape[1] + axes.columns(frame)
        new = frame.select(pl.col("cohort", "unit") != pl.col("cohort", "unit").shift(1))
        new_member = (new["cohort"] | new["unit"]).fill_null(value=True).to_numpy()
        member = np.cumsum(new_member) - 1
        label = pl.repeat(0, frame.height, dtype=pl.Int64, eager=True)
        if any((frame[name] != frame[name].head(1)).any() for name in ("stratum", "period")):
            label = frame.select(pl.struct("stratum", "period").rank("dense").over("cohort") - 1).to_series()
        candidate = (frame["arm"] == "candidate").to_numpy()
        begins = np.flatnonzero(new_member)
        ours, all_rows = np.add.reduceat(candidate, begins, dtype=np.intp), np.diff(begins, append=len(member))
        mixed = bool(((ours > 0) & (ours < all_rows)).any())
        weight, traces = floating(frame["weight"]), frame["n"].cast(pl.Float64).to_numpy()
        table = _Places(member, places, axes.shape)
        return cls(
            weight=weight,
            squared=floating(frame["weight_squared"]),
            traces=traces,
            candidate=candidate,
            row_places=places,
            label=label.cast(pl.Int64).to_numpy(),
            labels=int(label.max() or 0) + 1,  # type: ignore[arg-type]  # a rank is a number
            mixed=mixed,
            paired=frame[PAIR].null_count() < frame.height,
            weighted=bool((weight != traces).any()),
            sides=(_Side.of(table, ~candidate, mixed=mixed), _Side.of(table, candidate, mixed=mixed)),
            shape=axes.shape,
        )

    @cached_property
    def weights(self) -> _Weights:
        """What the weights add up to where none differs from 1: whole numbers, which no total before them moves."""
        return self.weight_sums({})

    def weight_sums(self, running: dict[str, float]) -> _Weights:
        """What the weights add up to, given the totals of the parts before."""
        nothing = np.zeros(self.shape)
        totals, arms = [], []
        for name, side in zip(ARMS, self.sides, strict=True):
            traces = side.totals(self.traces, {}, name)
            n = side.totals(self.weight, running, f"{name} n")
            totals.append(n)
            appears = np.asarray((traces[1] > 0) & (traces[0] == traces[1]), dtype=np.float64)
            units, of_looks = side.cumulative(appears), side.cumulative(n[1])
            arms.append(ArmSums(units, of_looks, nothing, side.product(n, n), nothing, nothing))
        both = self.sides[0].product(totals[0], totals[1]) if self.mixed else nothing
        return _Weights((totals[0], totals[1]), (arms[0], arms[1]), CrossSums(nothing, nothing, nothing, both))

    @cached_property
    def _arms(self) -> IndexArray:
        """The place of each row in the flattened array of cohorts and arms."""
        return np.asarray(2 * (self.row_places // self.shape[1]) + self.candidate, dtype=np.intp)

    def sums_by_arm(self, values: pl.Series) -> FloatArray:
        """Exact sums of whole numbers over the rows of each cohort's arms, (cohorts, arms)."""
        size = 2 * self.shape[0]
        if values.dtype == pl.Int64:
            numbers = values.to_numpy()
            # Halves of so few bits that their sums are exact in floating point.
            high, low = (
                np.bincount(self._arms, weights=half, minlength=size) for half in (numbers >> _HALF, numbers & _LOW)
            )
            sums = [float((int(top) << _HALF) + int(rest)) for top, rest in zip(high, low, strict=True)]
            return np.array(sums).reshape(-1, 2)
        placed = pl.DataFrame({"arm": self._arms, "value": values.cast(pl.Int128)})
        told = placed.group_by("arm").agg(pl.col("value").sum().cast(pl.Float64))
        found = np.zeros(size)
        found[told["arm"].to_numpy()] = told["value"].to_numpy()
        return found.reshape(-1, 2)

    @cached_property
    def traces_by_arm(self) -> FloatArray:
        """How many traces each cohort's arms have, (cohorts, arms)."""
        counts = np.bincount(self._arms, weights=self.traces, minlength=2 * self.shape[0])
        return np.asarray(counts, dtype=np.float64).reshape(-1, 2)

    def cumulative(self, values: FloatArray, at: IndexArray | None = None) -> FloatArray:
        """Sums by cohort and through each look, given one value per row or per place."""
        places = self.row_places if at is None else at
        flat = np.bincount(places, weights=values, minlength=self.shape[0] * self.shape[1])
        return np.cumsum(np.asarray(flat, dtype=np.float64).reshape(self.shape), axis=1)

    def dilution(self) -> FloatArray:
        """Sum of squared weights over that of weights, of the arm where it is larger."""

        def ratio(ours: BoolArray) -> FloatArray:
            weights = self.cumulative(np.where(ours, self.weight, 0.0))
            squares = self.cumulative(np.where(ours, self.squared, 0.0))
            return np.divide(squares, weights, out=np.ones_like(squares), where=weights > 0)

        return np.maximum(ratio(self.candidate), ratio(~self.candidate))
