"""Who called whom: the ancestry of spans, for all traces of a batch at once.

Ancestors are followed by pointer doubling (Hillis and Steele, "Data parallel algorithms", 1986): each round
looks twice as far up, so a tree of depth d takes about log2(d) rounds of array arithmetic, however many
traces there are.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NO_PARENT = -1


class SpanTree:
    """The parents of spans as row numbers.

    A parent that is not among the spans counts as none. Where parents form a cycle, which only broken
    instrumentation produces, the link of the cycle's first row is cut.

    Attributes:
        parent: for each span the row of its parent, ``NO_PARENT`` where it has none.
    """

    def __init__(self, parent: Rows) -> None:
        self.parent = _without_cycles(parent)

    @classmethod
    def of(cls, spans: pl.DataFrame) -> SpanTree:
        """Link the spans of a frame.

        Args:
            spans: ``trace_id``, ``span_id`` and ``parent_span_id``; a span id occurs once in its trace.

        Returns:
            The tree, in the frame's row order.
        """
        rows = spans.select("trace_id", pl.col("span_id").alias("parent_span_id"), parent=pl.row_index())
        linked = spans.select("trace_id", "parent_span_id").join(
            rows, on=["trace_id", "parent_span_id"], how="left", maintain_order="left"
        )
        return cls(linked["parent"].cast(pl.Int64).fill_null(NO_PARENT).to_numpy().astype(np.int64))

    @cached_property
    def _jumps(self) -> list[Rows]:
        """The ancestors 1, 2, 4, 8, … steps up, as far as any span has one."""
        jumps = []
        jump = self.parent
        while (jump != NO_PARENT).any():
            jumps.append(jump)
            jump = _follow(jump, jump)
        return jumps

    def has_ancestor(self, mark: Mask) -> Mask:
        """Whether a proper ancestor of each span is marked."""
        found = np.zeros_like(mark)
        if not self._jumps:
            return found
        has_parent = self.parent != NO_PARENT
        found[has_parent] = mark[self.parent[has_parent]]
        for jump in self._jumps:
            reached = jump != NO_PARENT
            found[reached] |= found[jump[reached]]
        return found

    def has_descendant(self, mark: Mask) -> Mask:
        """Whether a proper descendant of each span is marked."""
        at_or_below = mark.copy()
        for jump in self._jumps:
            up = jump[at_or_below]
            at_or_below[up[up != NO_PARENT]] = True
        found = np.zeros_like(mark)
        up = self.parent[at_or_below]
        found[up[up != NO_PARENT]] = True
        return found

    def nearest(self, mark: Mask) -> Rows:
        """The nearest marked proper ancestor of each span, ``NO_PARENT`` where it has none."""
        found = self.parent.copy()
        while True:
            passed = found != NO_PARENT
            passed[passed] = ~mark[found[passed]]
            if not passed.any():
                return found
            found[passed] = found[found[passed]]

    def sum_below(self, values: Rows) -> Rows:
        """The sum of the values of each span's proper descendants."""
        total = values.astype(np.int64)
        # After k rounds a span holds what lies less than 2^k steps below it, and what lies less than 2^k below
        # the spans 2^k steps down lies less than 2^(k+1) below it.
        for jump in self._jumps:
            reached = jump != NO_PARENT
            gained = np.zeros_like(total)
            np.add.at(gained, jump[reached], total[reached])
            total += gained
        return total - values

    def max_at_or_below(self, values: Rows) -> Rows:
        """The largest value of each span and its descendants."""
        largest = values.astype(np.int64)
        for jump in self._jumps:
            reached = jump != NO_PARENT
            np.maximum.at(largest, jump[reached], largest[reached].copy())
        return largest

    def topmost(self, through: Mask) -> Rows:
        """The highest span reached from each by going up through marked spans only; else itself."""
        own = np.arange(len(self.parent), dtype=np.int64)
        climbs = through & (self.parent != NO_PARENT)
        climbs[climbs] = through[self.parent[climbs]]
        top = np.where(climbs, self.parent, own)
        while True:
            higher = top[top]
            if np.array_equal(higher, top):
                return top
            top = higher


def _follow(first: Rows, then: Rows) -> Rows:
    """Compose two pointers: where ``first`` leads, take ``then`` from there."""
    return np.where(first == NO_PARENT, NO_PARENT, then[first])


def _without_cycles(parent: Rows) -> Rows:
    """Cut the link of the first row of every cycle."""
    rounds = len(parent).bit_length()
    far = parent
    for _ in range(rounds):
        if (far == NO_PARENT).all():
            return parent
        far = _follow(far, far)
    # More steps than there are rows: who still has an ancestor there stands on a cycle or below one, and
    # what it reaches is on the cycle.
    on_cycle = np.unique(far[far != NO_PARENT])
    least = np.arange(len(parent), dtype=np.int64)
    jump = parent
    for _ in range(rounds):
        least[on_cycle] = np.minimum(least[on_cycle], least[jump[on_cycle]])
        jump = _follow(jump, jump)
    cut = parent.copy()
    cut[on_cycle[least[on_cycle] == on_cycle]] = NO_PARENT
    return cut
