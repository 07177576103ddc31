"""Alpha spending: group-sequential boundaries for a comparison whose end was declared before it began.

A declared end lets a test spend its whole error by that day. How much may be spent by a share t of the planned duration
is the O'Brien-Fleming-type function of Lan & DeMets (Biometrika 70, 1983); it may run over calendar time, whatever the
information that has come by then (Lan & DeMets, Biometrics 45, 1989). The boundaries follow from the joint
distribution of the z-values, by recursive numerical integration (Armitage, McPherson & Rowe, JRSS-A 132, 1969; Jennison
& Turnbull 2000, chapter 19).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

if TYPE_CHECKING:
    from analytics.stats.sums import FloatArray

LEVELS: FloatArray = np.logspace(-8, np.log10(0.5), 40)
"""The levels at which boundaries are tabulated, ascending; a p-value is never below the first."""

_LOWEST_Z = -6.0
_HIGHEST_Z = 37.0
_LEAST_SPENT = 1e-250
_ROUNDING = 1e-9
_BISECTIONS = 48
_NODES_PER_STEP = 1.25
_FEWEST_NODES, _MOST_NODES = 48, 256
_ROOT_TWO_PI = float(np.sqrt(2 * np.pi))


def obrien_fleming_spent(time: FloatArray, alpha: FloatArray) -> FloatArray:
    """How much of a one-sided alpha may be spent by a share of the planned duration.

    alpha*(t) = 2 - 2 Phi(z_(1 - alpha/2) / sqrt(t)) (Lan & DeMets 1983), alpha from t = 1 on.

    Args:
        time: shares of the planned duration, at least 0.
        alpha: one-sided levels, of a shape that goes with ``time``.
    """
    safe = np.clip(time, np.finfo(np.float64).tiny, 1.0)
    spent = 2 * ndtr(ndtri(alpha / 2) / np.sqrt(safe))
    return np.asarray(np.where(time > 0, spent, 0.0), dtype=np.float64)


def boundaries(times: FloatArray, information: FloatArray, alpha: FloatArray) -> FloatArray:
    """The z-values at which each look rejects, one-sided.

    With I_1 <= I_2 <= ... the information, z_j and z_k of "no difference" have correlation sqrt(I_j / I_k); c_k solves
    P(z_1 < c_1, ..., z_(k-1) < c_(k-1), z_k >= c_k) = alpha*(t_k) - alpha*(t_(k-1)).

    Args:
        times: share of the planned duration at each look, not decreasing, shape (looks,).
        information: at each look, above 0 and not decreasing, in any unit, shape (looks,).
        alpha: one-sided levels, shape (levels,).

    Returns:
        Shape (levels, looks); infinite where nothing may be spent, or where nothing was learned since the look before.
    """
    found = np.full((len(alpha), len(times)), np.inf)
    spent = np.zeros(len(alpha))
    steps = np.sqrt(1 - information[:-1] / information[1:])
    moved = steps[steps > 0]
    nodes = _nodes(float(moved.min(initial=1.0)))
    density: _Density | None = None
    for look, time in enumerate(times):
        step = 1.0 if look == 0 else float(steps[look - 1])
        if step <= 0:
            continue
        allowed = obrien_fleming_spent(np.full(len(alpha), time), alpha) - spent
        # What rounding has left over is nothing to spend.
        may = allowed > np.maximum(_LEAST_SPENT, _ROUNDING * spent)
        tail = _first_tail if density is None else density.tail(step)
        low, high = np.full(len(alpha), _LOWEST_Z), np.full(len(alpha), _HIGHEST_Z)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            above = tail(middle) > allowed
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        found[may, look] = high[may]
        ends = np.where(may, high, _HIGHEST_Z)
        spent = np.where(may, spent + tail(high), spent)
        density = _Density.first(ends, nodes) if density is None else density.moved(step, ends, nodes)
    return found


def _nodes(step: float) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre nodes on [0, 1], close enough to follow a density that a small step has formed."""
    wanted = int(np.ceil(_NODES_PER_STEP * (4.0 - _LOWEST_Z) / step))
    points, weights = np.polynomial.legendre.leggauss(int(np.clip(wanted, _FEWEST_NODES, _MOST_NODES)))
    return (points + 1) / 2, weights / 2


def _first_tail(z: FloatArray) -> FloatArray:
    return np.asarray(ndtr(-z), dtype=np.float64)


@dataclass(frozen=True)
class _Density:
    """The density of z over the paths that no look has rejected, times the weights of its nodes; (levels, nodes)."""

    z: FloatArray
    mass: FloatArray

    @staticmethod
    def _spread(ends: FloatArray, nodes: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
        # Beyond 9 there is no mass that a double could hold beside the rest.
        width = np.minimum(ends, 9.0) - _LOWEST_Z
        return _LOWEST_Z + np.multiply.outer(width, nodes[0]), np.multiply.outer(width, nodes[1])

    @classmethod
    def first(cls, ends: FloatArray, nodes: tuple[FloatArray, FloatArray]) -> _Density:
        """After the first look."""
        z, weights = cls._spread(ends, nodes)
        return cls(z, weights * np.exp(-(z**2) / 2) / _ROOT_TWO_PI)

    def tail(self, step: float) -> _Tail:
        """What of it lies at or above a value after a step; ``step`` is the share of new information, as a root."""
        return _Tail(self.z * np.sqrt(1 - step**2), self.mass, step)

    def moved(self, step: float, ends: FloatArray, nodes: tuple[FloatArray, FloatArray]) -> _Density:
        """After another look."""
        z, weights = self._spread(ends, nodes)
        distance = (z[:, :, None] - self.z[:, None, :] * np.sqrt(1 - step**2)) / step
        passed = np.einsum("lij,lj->li", np.exp(-(distance**2) / 2), self.mass)
        return _Density(z, weights * passed / (step * _ROOT_TWO_PI))


@dataclass(frozen=True)
class _Tail:
    """P(not rejected before, z at or above a value), by level."""

    means: FloatArray
    mass: FloatArray
    step: float

    def __call__(self, z: FloatArray) -> FloatArray:
        above = ndtr((self.means - z[:, None]) / self.step)
        return np.asarray((self.mass * above).sum(axis=1), dtype=np.float64)


@dataclass(frozen=True)
class Boundaries:
    """The boundaries of one schedule at all of :data:`LEVELS`.

    Attributes:
        z: shape (levels, looks); never higher at a higher level.
    """

    z: FloatArray

    @classmethod
    def of(cls, times: tuple[float, ...], information: tuple[float, ...]) -> Boundaries:
        """The table of a schedule; it is made once."""
        return _tabulated(times, information)

    def p_value(self, z: FloatArray, look: int) -> FloatArray:
        """The smallest level at which a look by itself would have rejected, shape (cells,) like ``z``.

        Between two levels log p is linear in z squared. For a normal tail it is convex in that, so that the line lies
        above: p-values are not too small (by .1 % at most, where the tails end). Below the last boundary that is above
        0 the p-value is 1.
        """
        ends = self.z[:, look]
        usable = np.isfinite(ends) & (ends > 0)
        if not usable.any():
            return np.ones(z.shape)
        # Levels ascend, boundaries descend; interpolation wants what it looks up to ascend.
        squares, levels = ends[usable][::-1] ** 2, np.log(LEVELS[usable])[::-1]
        square = np.maximum(z, 0.0) ** 2
        return np.where(square >= squares[0], np.exp(np.interp(square, squares, levels)), 1.0)

    def critical(self, level: FloatArray, look: int) -> FloatArray:
        """The z from which on :meth:`p_value` is at most the level at a look, shape (cells,) like ``level``.

        Infinite where none is.
        """
        ends = self.z[:, look]
        usable = np.isfinite(ends) & (ends > 0)
        if not usable.any():
            return np.full(level.shape, np.inf)
        levels, squares = np.log(LEVELS[usable]), ends[usable] ** 2
        critical = np.sqrt(np.interp(np.log(level), levels, squares))
        return np.where(np.log(level) >= levels[0], critical, np.inf)


@lru_cache(maxsize=256)
def _tabulated(times: tuple[float, ...], information: tuple[float, ...]) -> Boundaries:
    z = boundaries(np.array(times), np.array(information), LEVELS)
    # What a level rejects every higher one has to: else the smallest level that rejects would be no p-value.
    return Boundaries(np.maximum.accumulate(z[::-1], axis=0)[::-1])
