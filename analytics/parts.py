"""Comparisons made part by part: some cohorts at a time, so that what is worked on is small, and the whole never is.

Cohorts have nothing to do with one another until all of them are judged.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import polars as pl

    from analytics.stats.sums import IndexArray

_Sums = TypeVar("_Sums")
_Part = TypeVar("_Part")
_Made = TypeVar("_Made")

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


def ahead(parts: Iterable[_Part], make: Callable[[_Part], _Made]) -> Iterator[_Made]:
    """What is made of each part, in their order, while its reader works on the one before."""
    with ThreadPoolExecutor(1) as worker:
        waiting = deque[Future[_Made]]()
        for part in parts:
            waiting.append(worker.submit(make, part))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def stacked(parts: Sequence[_Sums], columns: IndexArray) -> _Sums:
    """Put arrays of cohorts and looks under one another, in dataclasses or alone.

    Args:
        parts: alike but for the number of cohorts, which is the last axis but one of every array; None stays None.
        columns: which looks to keep.
    """
    return cast("_Sums", _stacked(parts, columns))


def _stacked(parts: Sequence[Any], columns: IndexArray) -> object:
    first = parts[0]
    if first is None:
        return None
    if is_dataclass(first) and not isinstance(first, type):
        values = ([getattr(part, each.name) for part in parts] for each in fields(first))
        return replace(
            first, **{each.name: _stacked(of, columns) for each, of in zip(fields(first), values, strict=True)}
        )
    return np.ascontiguousarray(np.concatenate([part[..., columns] for part in parts], axis=-2))
