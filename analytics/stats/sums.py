"""Sufficient statistics of two arms whose unit of inference (a user, a conversation) has several traces.

All arrays have the shape (cells, looks) and are cumulative over the looks. Statistics of disjoint sets of
units add.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]


@dataclass(frozen=True)
class ArmSums:
    """One arm's sums over its units k with N_k traces and value total Y_k.

    Attributes:
        units: number of units with at least one trace.
        n: sum of N_k.
        y: sum of Y_k.
        nn: sum of N_k squared.
        yn: sum of Y_k N_k.
        yy: sum of Y_k squared.
    """

    units: FloatArray
    n: FloatArray
    y: FloatArray
    nn: FloatArray
    yn: FloatArray
    yy: FloatArray

    def __add__(self, other: ArmSums) -> ArmSums:
        return ArmSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def at(self, cells: IndexArray, looks: IndexArray) -> ArmSums:
        """The sums of each chosen cell at one look, shape (chosen,)."""
        return ArmSums(*(getattr(self, f.name)[cells, looks] for f in fields(self)))

    def residual_squares(self, rate: FloatArray) -> FloatArray:
        """Sum over the units of (Y_k - rate N_k) squared."""
        return np.maximum(self.yy - 2 * rate * self.yn + rate**2 * self.nn, 0.0)

    @property
    def effective_units(self) -> FloatArray:
        """Kish's effective number of units, S_n^2 / S_nn; 0 without units."""
        return np.divide(self.n**2, self.nn, out=np.zeros_like(self.n), where=self.nn > 0)

    @property
    def mean(self) -> FloatArray:
        """Value per trace, S_y / S_n; 0 without traces (see ``n``)."""
        return np.divide(self.y, self.n, out=np.zeros_like(self.y), where=self.n > 0)


@dataclass(frozen=True)
class CrossSums:
    """Sums over the units that are in both arms (a = base, b = candidate), for a split by request.

    Attributes:
        yy: sum of Y_ak Y_bk.
        yn: sum of Y_ak N_bk.
        ny: sum of N_ak Y_bk.
        nn: sum of N_ak N_bk.
    """

    yy: FloatArray
    yn: FloatArray
    ny: FloatArray
    nn: FloatArray

    def __add__(self, other: CrossSums) -> CrossSums:
        return CrossSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def at(self, cells: IndexArray, looks: IndexArray) -> CrossSums:
        """The sums of each chosen cell at one look, shape (chosen,)."""
        return CrossSums(*(getattr(self, f.name)[cells, looks] for f in fields(self)))

    def residual_products(self, rate: FloatArray) -> FloatArray:
        """Sum over the units of (Y_ak - rate N_ak)(Y_bk - rate N_bk)."""
        return self.yy - rate * (self.yn + self.ny) + rate**2 * self.nn


@dataclass(frozen=True)
class PairSums:
    """Sums over pairs, where both arms answered the same thing with a value in [0, 1].

    Attributes:
        n: number of pairs.
        higher: by how much the candidate's value is higher, over the pairs in which it is.
        lower: by how much it is lower, over the pairs in which it is.
        squares: sum of the squared differences; less than ``higher`` and ``lower`` together where values are averages.
    """

    n: FloatArray
    higher: FloatArray
    lower: FloatArray
    squares: FloatArray

    def __add__(self, other: PairSums) -> PairSums:
        return PairSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def at(self, cells: IndexArray, looks: IndexArray) -> PairSums:
        """The sums of each chosen cell at one look, shape (chosen,)."""
        return PairSums(*(getattr(self, f.name)[cells, looks] for f in fields(self)))


@dataclass(frozen=True)
class TwoArmSums:
    """Both arms and the sums of the units they share.

    Attributes:
        base: the base arm.
        candidate: the candidate arm.
        cross: of units in both arms.
        pairs: of pairs of values in [0, 1], where the arms answered the same things; None where they did not.
    """

    base: ArmSums
    candidate: ArmSums
    cross: CrossSums
    pairs: PairSums | None = None

    def __add__(self, other: TwoArmSums) -> TwoArmSums:
        pairs = None if self.pairs is None or other.pairs is None else self.pairs + other.pairs
        return TwoArmSums(self.base + other.base, self.candidate + other.candidate, self.cross + other.cross, pairs)

    def at(self, cells: IndexArray, looks: IndexArray) -> TwoArmSums:
        """The sums of each chosen cell at one look, shape (chosen,)."""
        pairs = None if self.pairs is None else self.pairs.at(cells, looks)
        arms = self.base.at(cells, looks), self.candidate.at(cells, looks)
        return TwoArmSums(*arms, self.cross.at(cells, looks), pairs)

    def until(self, cells: IndexArray, looks: IndexArray) -> TwoArmSums:
        """The chosen cells with nothing added after each one's look, shape (chosen, looks)."""
        columns = np.minimum(np.arange(self.base.n.shape[1]), looks[:, None])
        return self.at(cells[:, None], columns)

    def swapped(self) -> TwoArmSums:
        """The same data with the arms' roles exchanged."""
        cross = CrossSums(self.cross.yy, self.cross.ny, self.cross.yn, self.cross.nn)
        pairs = self.pairs
        if pairs is not None:
            pairs = PairSums(pairs.n, pairs.lower, pairs.higher, pairs.squares)
        return TwoArmSums(self.candidate, self.base, cross, pairs)

    @property
    def both_arms(self) -> BoolArray:
        """Where both arms have traces."""
        return (self.base.n > 0) & (self.candidate.n > 0)

    @property
    def pooled(self) -> FloatArray:
        """Value per trace over both arms, R0; 0 without traces."""
        n = self.base.n + self.candidate.n
        return np.divide(self.base.y + self.candidate.y, n, out=np.zeros_like(n), where=n > 0)
