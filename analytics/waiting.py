"""Whose time a user waited for: every nanosecond of a trace belongs to exactly one of its spans.

Spans overlap, so durations do not add up. On the critical path they do: of the children that run at a moment, the one
that ends last is what the parent waits for; where no child runs, the parent itself works (critical path analysis, as
Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022). What goes on
after a parent has ended is waited for by nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.span_tree import NO_PARENT

if TYPE_CHECKING:
    from analytics.span_tree import Mask, Rows

DEEPEST = 64
"""Levels of a trace that are told apart; what lies below counts for the span above it."""


def waited_for(spans: pl.DataFrame, parent: Rows) -> Rows:
    """The time that users waited for each span itself, its children left out.

    Args:
        spans: ``trace_id``, ``parent_span_id``, ``start_time``, ``end_time``, sorted by trace and start time.
        parent: for each span the row of its parent, ``NO_PARENT`` where it has none.

    Returns:
        Nanoseconds. In a trace with a root they add up to the root's duration (none where a broken clock makes it
        negative), in a trace without one to the time in which any of its spans ran.
    """
    times = spans.select(pl.col("start_time", "end_time").cast(pl.Datetime("ns")).to_physical())
    begun, ended = (times[name].to_numpy().astype(np.int64) for name in ("start_time", "end_time"))
    trace = spans["trace_id"].rle_id().to_numpy().astype(np.int64)
    parent = _under_root(spans["parent_span_id"].is_null().to_numpy(), trace, parent)
    length = np.zeros(len(parent), dtype=np.int64)
    inner = np.zeros(len(parent), dtype=np.int64)
    level = parent == NO_PARENT
    start, end = begun.copy(), np.maximum(begun, ended)
    for _ in range(DEEPEST):
        rows = np.flatnonzero(level)
        if not len(rows):
            break
        above = parent[rows]
        nested = above != NO_PARENT
        start[rows[nested]] = np.maximum(begun[rows], start[above])[nested]
        end[rows[nested]] = np.minimum(ended[rows], end[above])[nested]
        end[rows] = np.maximum(
            start[rows], _until_a_later_end(start[rows], end[rows], np.where(nested, above, -2 - trace[rows]))
        )
        length[rows] = end[rows] - start[rows]
        np.add.at(inner, above[nested], length[rows][nested])
        level = (parent != NO_PARENT) & level[parent]
    return length - inner


def _under_root(is_root: Mask, trace: Rows, parent: Rows) -> Rows:
    """Put spans whose parent is missing, and further roots, below their trace's first root."""
    first = np.full(int(trace.max(initial=-1)) + 1, NO_PARENT, dtype=np.int64)
    roots = np.flatnonzero(is_root)[::-1]
    first[trace[roots]] = roots
    below = np.where(first[trace] == np.arange(len(parent)), NO_PARENT, first[trace])
    return np.where(parent == NO_PARENT, below, parent)


def _until_a_later_end(start: Rows, end: Rows, group: Rows) -> Rows:
    """Cut each span off where one of its group that ends later begins."""
    order = np.lexsort((start, -end, group))
    frame = pl.DataFrame({"group": group[order], "start": start[order], "some": (end > start)[order]})
    cut = frame.select(
        pl.when("some").then("start").cum_min().shift(1).over("group").forward_fill().over("group").alias("cut")
    )["cut"]
    found = end.copy()
    found[order] = np.minimum(end[order], cut.fill_null(np.iinfo(np.int64).max).to_numpy())
    return found
