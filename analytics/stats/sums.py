"""Sufficient statistics of two arms whose unit of inference (a user, a conversation) has several traces.

All arrays have the shape (cells, looks) and are cumulative over the looks. They come from each unit's running totals;
what adds up over partitions of the data are those totals (see ``analytics.level_one``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

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

    def at(self, cells: IndexArray, looks: IndexArray) -> ArmSums:
        """The sums of each chosen cell at one look, shape (chosen,)."""
        return ArmSums(*(getattr(self, f.name)[cells, looks] for f in fields(self)))

    def residual_squares(self, rate: FloatArray) -> FloatArray:
        """Sum over the units of (Y_k - rate N_k) squared."""
        return np.maximum(self.yy - 2 * rate * self.yn + rate**2 * self.nn, 0.0)

    def complement(self) -> ArmSums:
        """The same of 1 less each value."""
        return replace(self, y=self.n - self.y, yn=self.nn - self.yn, yy=self.nn - 2 * self.yn + self.yy)

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

    def at(self, cells: IndexArray, looks: IndexArray) -> CrossSums:
        """The sums of each chosen cell at one look, shape (chosen,)."""
        return CrossSums(*(getattr(self, f.name)[cells, looks] for f in fields(self)))

    def complement(self) -> CrossSums:
        """The same of 1 less each value."""
        yy = self.nn - self.yn - self.ny + self.yy
        return CrossSums(yy, self.nn - self.yn, self.nn - self.ny, self.nn)

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

    def at(self, cells: IndexArray, looks: IndexArray) -> PairSums:
        """The sums of each chosen cell at one look, shape (chosen,)."""
        return PairSums(*(getattr(self, f.name)[cells, looks] for f in fields(self)))

    def swapped(self) -> PairSums:
        """The same with the arms' roles exchanged, or of 1 less each value."""
        return replace(self, higher=self.lower, lower=self.higher)


@dataclass(frozen=True)
class Strata:
    """Counts of each stratum, cumulative, shape (strata, cells, looks): where the arms are compared within strata.

    Attributes:
        base_n: the base arm's traces.
        base_y: its value total.
        candidate_n: the candidate arm's traces.
        candidate_y: its value total.
    """

    base_n: FloatArray
    base_y: FloatArray
    candidate_n: FloatArray
    candidate_y: FloatArray

    def at(self, cells: IndexArray, looks: IndexArray) -> Strata:
        """The counts of each chosen cell at one look, shape (strata, chosen)."""
        return Strata(*(getattr(self, f.name)[:, cells, looks] for f in fields(self)))

    def swapped(self) -> Strata:
        """The same with the arms' roles exchanged."""
        return Strata(self.candidate_n, self.candidate_y, self.base_n, self.base_y)

    def complement(self) -> Strata:
        """The same of 1 less each value."""
        return replace(self, base_y=self.base_n - self.base_y, candidate_y=self.candidate_n - self.candidate_y)


@dataclass(frozen=True)
class BlockSums:
    """Sums of comparisons within blocks, such as a day of a stratum (Mantel & Haenszel 1959; Greenland & Robins 1985).

    In a block with n_a and n_b of n traces in the arms the information is h = n_a n_b / n. Weighing the base arm's
    traces by pi = n_b / n and the candidate's by 1 - pi gives both arms the same mix of blocks, with the total weight
    H = sum h. A unit's residual in an arm is E_k = sum of its values, each less the mean of its block over both arms
    and times the root of pi (1 - pi): a block counts for the variance as it does for the difference, and one that has
    traces of one arm only for neither.

    Attributes:
        information: H.
        base_y: weighted value total of the base arm, so that base_y / H is its mean at the common mix.
        candidate_y: that of the candidate arm.
        base_squares: sum over the units of E_k squared in the base arm.
        candidate_squares: the same of the candidate arm.
        products: sum over the units in both arms of E_ak E_bk.
        spread: sum over blocks of h r (1 - r), with r the block's mean: what independent 0/1 values would vary.
        lost: sum over blocks of h over the number of traces: the part of H that the blocks' own means have taken.
    """

    information: FloatArray
    base_y: FloatArray
    candidate_y: FloatArray
    base_squares: FloatArray
    candidate_squares: FloatArray
    products: FloatArray
    spread: FloatArray
    lost: FloatArray

    def at(self, cells: IndexArray, looks: IndexArray) -> BlockSums:
        """The sums of each chosen cell at one look, shape (chosen,)."""
        return BlockSums(*(getattr(self, f.name)[cells, looks] for f in fields(self)))

    def swapped(self) -> BlockSums:
        """The same data with the arms' roles exchanged."""
        return replace(
            self,
            base_y=self.candidate_y,
            candidate_y=self.base_y,
            base_squares=self.candidate_squares,
            candidate_squares=self.base_squares,
        )

    def complement(self) -> BlockSums:
        """The same of 1 less each value; residuals only change sign."""
        return replace(self, base_y=self.information - self.base_y, candidate_y=self.information - self.candidate_y)


@dataclass(frozen=True)
class TwoArmSums:
    """Both arms and the sums of the units they share.

    Attributes:
        base: the base arm.
        candidate: the candidate arm.
        cross: of units in both arms.
        pairs: of pairs of values in [0, 1], where the arms answered the same things; None where they did not.
        blocks: of comparisons within blocks; None where the arms' traffic is compared as a whole.
        strata: the counts that go with ``blocks``.
        dilution: sum of squared sampling weights over their sum, 1 or more; None where every trace counts once.
    """

    base: ArmSums
    candidate: ArmSums
    cross: CrossSums
    pairs: PairSums | None = None
    blocks: BlockSums | None = None
    strata: Strata | None = None
    dilution: FloatArray | None = None

    def at(self, cells: IndexArray, looks: IndexArray) -> TwoArmSums:
        """The sums of each chosen cell at one look, shape (chosen,)."""
        return TwoArmSums(
            self.base.at(cells, looks),
            self.candidate.at(cells, looks),
            self.cross.at(cells, looks),
            None if self.pairs is None else self.pairs.at(cells, looks),
            None if self.blocks is None else self.blocks.at(cells, looks),
            None if self.strata is None else self.strata.at(cells, looks),
            None if self.dilution is None else self.dilution[cells, looks],
        )

    def until(self, cells: IndexArray, looks: IndexArray) -> TwoArmSums:
        """The chosen cells with nothing added after each one's look, shape (chosen, looks)."""
        columns = np.minimum(np.arange(self.base.n.shape[1]), looks[:, None])
        return self.at(cells[:, None], columns)

    def swapped(self) -> TwoArmSums:
        """The same data with the arms' roles exchanged."""
        return TwoArmSums(
            self.candidate,
            self.base,
            CrossSums(self.cross.yy, self.cross.ny, self.cross.yn, self.cross.nn),
            None if self.pairs is None else self.pairs.swapped(),
            None if self.blocks is None else self.blocks.swapped(),
            None if self.strata is None else self.strata.swapped(),
            self.dilution,
        )

    def complement(self) -> TwoArmSums:
        """The same of 1 less each value: of failures where the values were successes."""
        return TwoArmSums(
            self.base.complement(),
            self.candidate.complement(),
            self.cross.complement(),
            None if self.pairs is None else self.pairs.swapped(),
            None if self.blocks is None else self.blocks.complement(),
            None if self.strata is None else self.strata.complement(),
            self.dilution,
        )

    @property
    def both_arms(self) -> BoolArray:
        """Where both arms have traces, and some block does where they are compared within blocks."""
        both = (self.base.n > 0) & (self.candidate.n > 0)
        return both if self.blocks is None else both & (self.blocks.information > 0)

    @property
    def means(self) -> tuple[FloatArray, FloatArray]:
        """Value per trace of base and candidate, at the blocks' common mix where there are blocks; 0 without traces."""
        if self.blocks is None:
            return self.base.mean, self.candidate.mean
        weight = self.blocks.information
        base, candidate = (
            np.divide(total, weight, out=np.zeros_like(weight), where=weight > 0)
            for total in (self.blocks.base_y, self.blocks.candidate_y)
        )
        return base, candidate

    @property
    def sizes(self) -> tuple[FloatArray, FloatArray]:
        """Traces of base and candidate, at least 1, so scaled that 1/n_a + 1/n_b is 1/H where there are blocks."""
        base, candidate = np.maximum(self.base.n, 1), np.maximum(self.candidate.n, 1)
        coverage = self.coverage
        return base * coverage, candidate * coverage

    @property
    def coverage(self) -> FloatArray:
        """Which part of the arms' traces the blocks make use of, in (0, 1]: H (n_a + n_b) / (n_a n_b); 1 without."""
        base, candidate = np.maximum(self.base.n, 1), np.maximum(self.candidate.n, 1)
        if self.blocks is None:
            return np.ones_like(base)
        whole = (base + candidate) / (base * candidate)
        return np.asarray(np.minimum(np.maximum(self.blocks.information, 1e-9) * whole, 1.0), dtype=np.float64)

    @property
    def pooled(self) -> FloatArray:
        """Value per trace over both arms, R0, at the blocks' common mix where there are blocks; 0 without traces."""
        n = self.base.n + self.candidate.n
        total = self.base.y + self.candidate.y
        if self.blocks is not None:
            base, candidate = self.means
            total = self.base.n * base + self.candidate.n * candidate
        return np.divide(total, n, out=np.zeros_like(n), where=n > 0)
