"""Where the marks of an axis stand: round numbers, however large or small the values are."""

from __future__ import annotations

import math
from collections.abc import Iterable

from matplotlib.ticker import LogLocator, MaxNLocator

from analytics.report import formatting

# Beyond these, differences of neighbouring marks drown in the arithmetic of the drawing.
_LEAST, _MOST = 1e-12, 1e15


def drawable(values: Iterable[float | None]) -> list[float]:
    """The values that can stand on an axis: known, finite and of a size that can be drawn."""
    return [value for value in values if value is not None and math.isfinite(value) and abs(value) <= _MOST]


def axis_label(value: float, unit: str) -> str:
    """Write a mark's value; three digits are enough for a round number."""
    return formatting.value(value, unit) if unit == "rate" else formatting.size(value, unit)


def reach(values: Iterable[float | None]) -> float:
    """The largest distance from zero; 0 where nothing can be drawn."""
    far = max(map(abs, drawable(values)), default=0.0)
    return far if far >= _LEAST else 0.0


def round_marks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from low to high, as many as ``most`` intervals take."""
    marks = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    room = (high - low) * 1e-6
    return [float(mark) for mark in marks if low - room <= mark <= high + room]


def round_factors(low: float, high: float, most: int) -> list[float]:
    """Round numbers from low to high for a logarithmic axis; both are positive."""
    for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        marks = LogLocator(base=10.0, subs=steps, numticks=100).tick_values(low, high)
        inside = [float(mark) for mark in marks if low <= mark <= high]
        if len(inside) <= most:
            return inside
    return inside[:: math.ceil(len(inside) / most)]
