"""Model calls among the spans of a batch: what stands around a call, and what stands behind it.

Reports that were merged share one place: what hangs below any of them hangs below the call.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.span_tree import NO_PARENT, SpanTree

if TYPE_CHECKING:
    from analytics.call_reports import MergedCalls
    from analytics.span_tree import Mask, Rows

# The kind of spans that are no step of the work (none, for spans without any): a request on its way from a
# client's call to a gateway's.
TRANSPORT = "OTHER"
_INHERITED = ("attempt_group", "chain_attributes")


class CallTree:
    """The spans of a batch with their merged calls, each at the row of the report that it stands at.

    Masks and rows are over all spans of the batch; what :meth:`places` returns is over the merged calls.

    Attributes:
        calls: the merged calls.
        report_of: the row that each row was merged into, else itself.
        generating: which rows are calls.
        tree: the ancestry, children of merged reports moved to the call.
    """

    def __init__(self, spans: pl.DataFrame, tree: SpanTree, merged: MergedCalls) -> None:
        self.calls, self.report_of = merged
        self.generating = np.zeros(len(self.report_of), dtype=np.bool_)
        self.generating[self._rows] = True
        has_parent = tree.parent != NO_PARENT
        self.tree = SpanTree(np.where(has_parent, self.report_of[tree.parent], NO_PARENT))
        self._spans = spans
        self._original = tree

    @cached_property
    def _rows(self) -> Rows:
        return self.calls["row"].to_numpy().astype(np.int64)

    def where(self, condition: pl.Expr) -> Mask:
        """Which rows are calls of which the condition holds."""
        found = np.zeros(len(self.report_of), dtype=np.bool_)
        found[self._rows] = self.calls.select(condition.fill_null(value=False).alias("mask"))["mask"].to_numpy()
        return found

    def has_below(self, mark: Mask) -> Mask:
        """Whether a span below each span, or another report of such a one, is marked."""
        return self.tree.has_descendant(mark) | self._original.has_descendant(mark[self.report_of])

    def teller(self, counted: Mask) -> Rows:
        """The counted span that stands for each span: merged with it, alone below it, or above it; else none."""
        rows = np.arange(len(counted), dtype=np.int64)
        below = self.tree.sum_below(counted.astype(np.int64))
        alone = np.where(below == 1, self.tree.sum_below(np.where(counted, rows, 0)), NO_PARENT)
        beside = np.where(below == 0, self.tree.nearest(counted), alone)
        return np.where(self.report_of == rows, beside, self.report_of)

    def unseen(self, tokens: str, counted: Mask) -> pl.Series:
        """The tokens of each span beyond those of the counted spans below it: at least 0, null where not known."""
        stated = self._spans[tokens].cast(pl.Int64)
        told, unknown = stated.fill_null(0).to_numpy().copy(), stated.is_null().to_numpy().copy()
        told[self._rows] = self.calls[tokens].cast(pl.Int64).fill_null(0).to_numpy()
        unknown[self._rows] = self.calls[tokens].is_null().to_numpy()
        below = pl.Series(self.tree.sum_below(np.where(counted, told, 0)))
        known = pl.Series(self.tree.sum_below((counted & unknown).astype(np.int64)) == 0)
        frame = pl.DataFrame({"stated": stated, "below": below, "known": known})
        return frame.select(pl.when("known").then((pl.col("stated") - pl.col("below")).clip(0)).alias(tokens))[tokens]

    def places(self, is_call: Mask, counted: Mask) -> pl.DataFrame:
        """Say of each call where it stands among its wrappers, and what they tell of it.

        A wrapper of a call is an LLM span above it with nothing but transport between them.

        Args:
            is_call: the innermost ones.
            counted: the spans whose tokens count.

        Returns:
            ``row``; ``step_id``, the span that the call was made under, wrappers left out (null for none);
            ``wrapper_id``, ``wrapper_start_time``, ``wrapper_end_time`` of the outermost wrapper (null for
            none); ``call_span_id``: for a wrapper that counts, the last call below it; ``attempt_group`` and
            ``chain_attributes``: the span's own, else the nearest wrapper's that tells them;
            ``hidden_attempts``: how many more attempts gateways tell of than there are spans;
            ``gateway_fallback``: whether one tells that another model answered.
        """
        outermost = self._wrappers.topmost(np.ones(len(self._rows), dtype=np.bool_))
        own = np.arange(len(self._rows))
        wrapper = np.where(outermost == own, NO_PARENT, outermost)
        inherited = {}
        for column in _INHERITED:
            nearest = self._wrappers.nearest(self.calls[column].is_not_null().to_numpy())
            frame = pl.DataFrame({"own": self.calls[column], "nearest": _gather(self.calls[column], nearest)})
            inherited[column] = frame.select(told=pl.coalesce("own", "nearest"))["told"]
        innermost = is_call[self._rows]
        hidden, fallback = self._told_by_gateways(innermost)
        return pl.DataFrame(
            {
                "row": self.calls["row"],
                "step_id": self.calls["parent_span_id"].gather(outermost),
                "wrapper_id": _gather(self.calls["span_id"], wrapper),
                "wrapper_start_time": _gather(self.calls["start_time"], wrapper),
                "wrapper_end_time": _gather(self.calls["end_time"], wrapper),
                "call_span_id": self._last_call_below(innermost, counted),
                **inherited,
                "hidden_attempts": pl.Series(hidden),
                "gateway_fallback": pl.Series(fallback),
            }
        )

    def reports(self, is_call: Mask) -> pl.DataFrame:
        """Name the call that each LLM and embedding span is about: of a wrapper, the last call below it.

        Args:
            is_call: the innermost ones.

        Returns:
            ``trace_id``, ``span_id``, ``response_id`` of the span, and ``call_span_id``.
        """
        in_order = self.calls.select(
            place=pl.struct("end_time", "start_time", "span_id").rank("ordinal").cast(pl.Int64) - 1
        )["place"].to_numpy()
        last = self._wrappers.max_at_or_below(np.where(is_call[self._rows], in_order, NO_PARENT))
        about = np.where(last == NO_PARENT, NO_PARENT, np.argsort(in_order)[last])
        position = np.full(len(self.report_of), NO_PARENT, dtype=np.int64)
        position[self._rows] = np.arange(len(self._rows))
        at = position[self.report_of]
        spans = np.flatnonzero(at != NO_PARENT)
        return (
            self._spans[spans]
            .select("trace_id", "span_id", "response_id")
            .with_columns(call_span_id=_gather(self.calls["span_id"], about[at[spans]]))
            .drop_nulls("call_span_id")
        )

    @cached_property
    def _wrappers(self) -> SpanTree:
        """The calls, each below its nearest wrapper."""
        kind = self._spans["gen_ai_span_kind"]
        is_step = ~self.generating & (kind.is_not_null() & (kind != TRANSPORT)).fill_null(value=False).to_numpy()
        nearest = self.tree.nearest(self.generating | is_step)[self._rows]
        found = nearest != NO_PARENT
        found[found] = self.generating[nearest[found]]
        position = np.full(len(self.report_of), NO_PARENT, dtype=np.int64)
        position[self._rows] = np.arange(len(self._rows))
        above = np.where(found, position[nearest], NO_PARENT)
        kinds = self.calls["gen_ai_span_kind"].to_numpy()
        return SpanTree(np.where(kinds == kinds[above], above, NO_PARENT) if len(above) else above)

    def _last_call_below(self, innermost: Mask, counted: Mask) -> pl.Series:
        """For each counted wrapper the span id of the call below it that ended last."""
        standing_for = self.tree.nearest(counted & self.generating)[self._rows]
        last = _last_of(self.calls, _pairs(innermost, standing_for))
        joined = self.calls.select("row").join(last, left_on="row", right_on="above", how="left", maintain_order="left")
        return joined["span_id"]

    def _told_by_gateways(self, innermost: Mask) -> tuple[Rows, Mask]:
        """Hidden attempts and fallbacks of each call: its own, and what the nearest wrapper tells beyond.

        What a wrapper tells is of the last call below it, the one that answered. Attempts that have spans, or
        that a call tells itself, are not hidden from the wrapper.
        """
        stated = self.calls["gateway_attempts"].cast(pl.Int64).fill_null(0).to_numpy()
        own = np.where(innermost, np.maximum(stated - 1, 0), 0)
        accounted = self._wrappers.sum_below(innermost.astype(np.int64) + own)
        beyond = np.where(innermost, 0, np.maximum(stated - accounted, 0))
        told = self.calls["gateway_fallback"].fill_null(value=False).to_numpy()
        hidden, fallback = own.copy(), innermost & told
        for tells, amount in ((stated > 0, beyond), (told, None)):
            nearest = self._wrappers.nearest(tells & ~innermost)
            last = _last_of(self.calls, _pairs(innermost, nearest))
            at, above = last["position"].to_numpy(), last["above"].to_numpy()
            if amount is None:
                fallback[at] = True
            else:
                hidden[at] += amount[above]
        return hidden, fallback


def _gather(values: pl.Series, positions: Rows) -> pl.Series:
    """The values at positions, null for none."""
    return values.gather(pl.Series(positions).replace(NO_PARENT, None))


def _pairs(innermost: Mask, above: Rows) -> pl.DataFrame:
    """The positions of calls that have something above them, and where that is."""
    found = np.flatnonzero(innermost & (above != NO_PARENT))
    return pl.DataFrame({"above": above[found], "position": found})


def _last_of(calls: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Of the calls with the same span above them the one that ended last: ``above``, ``position``, ``span_id``."""
    ends = calls.select("end_time", "start_time", "span_id", position=pl.row_index().cast(pl.Int64))
    return (
        pairs.join(ends, on="position")
        .sort("end_time", "start_time", "span_id")
        .group_by("above", maintain_order=True)
        .agg(pl.col("position", "span_id").last())
    )
