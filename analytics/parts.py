"""Comparisons made part by part: some cohorts at a time, so that what is worked on is small, and the whole never is.

Cohorts have nothing to do with one another until all of them are judged.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from analytics.stats.sums import IndexArray

_Sums = TypeVar("_Sums")

ROWS_OF_A_PART = 131_072
"""About so many traces are worked on at a time: columns of as many stay in a processor's cache."""


def cohort_parts(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Slices of whole cohorts, in their order.

    Args:
        rows: sorted by ``cohort``.
    """
    start = size = 0
    for count in rows["cohort"].rle().struct.field("len"):
        if size and size + count > ROWS_OF_A_PART:
            yield rows[start : start + size]
            start, size = start + size, 0
        size += count
    if size:
        yield rows[start : start + size]


def stacked(parts: Sequence[_Sums], columns: IndexArray) -> _Sums:
    """Put arrays of cohorts and looks under one another, in dataclasses or alone.

    Args:
        parts: alike but for the number of cohorts, which is the last axis but one of every array; None stays None.
        columns: which looks to keep.
    """
    first: Any = parts[0]
    if first is None:
        return first  # type: ignore[no-any-return]  # the type of all parts
    if is_dataclass(first):
        values = ([getattr(part, each.name) for part in parts] for each in fields(first))
        return type(first)(*(stacked(each, columns) for each in values))  # type: ignore[return-value]
    return np.ascontiguousarray(np.concatenate([part[..., columns] for part in parts], axis=-2))  # type: ignore[return-value]  # an array
