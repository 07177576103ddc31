"""Which span a result that stands on a span speaks of.

Source: OpenInference, spec/annotations.md. A result stands on the span that it is about, while that is still open;
later it comes on a span of its own, a carrier, which has exactly one link, to the target. Who is whose parent says
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import Indices
from collector.decode import SpanColumns
from collector.literals import FALSE, NO_TEXT, TRUE, text, unless_empty

Marks = npt.NDArray[np.bool_]

_KINDLESS = pa.array(["OTHER", None])


@dataclass(frozen=True)
class Targets:
    """What the results on some spans speak of; one row for each of those spans.

    Attributes:
        trace_id: the judged trace; null where nothing tells it.
        span_id: the judged span; null as well then.
        judging: which of the spans are evaluators' spans or carriers, so that what else they say is of the judging.
    """

    trace_id: pa.Array
    span_id: pa.Array
    judging: Marks

    @classmethod
    def of(cls, spans: SpanColumns, kinds: pa.Array, rows: Indices) -> Targets:
        """Find the targets of what stands on the spans at ``rows``; ``kinds`` are the canonical kinds of all spans.

        An evaluator's span, and a span of no kind, speaks of what its only link names. With several links it does not
        say which; nor does an evaluator's span that begins a trace of its own and has none. Every other span speaks of
        itself, whatever it links.
        """
        index = pa.array(rows)
        kinds = kinds.take(index)
        evaluator = _marks(pc.fill_null(pc.equal(kinds, text("EVALUATOR")), FALSE))
        may_carry = evaluator | _marks(pc.is_in(kinds, _KINDLESS))
        links = np.diff(spans.links.offsets)[rows]
        begins = _marks(pc.is_null(spans.parent_span_id.take(index)))
        linked = may_carry & (links == 1)
        unknown = (may_carry & (links > 1)) | (evaluator & (links == 0) & begins)
        link = pa.array(spans.links.offsets[:-1][rows].astype(np.int64), mask=~linked)
        ids = []
        for own, linked_ids in ((spans.trace_id, spans.links.trace_id), (spans.span_id, spans.links.span_id)):
            found = pc.if_else(pa.array(linked), unless_empty(linked_ids.take(link)), own.take(index))
            ids.append(pc.if_else(pa.array(unknown), NO_TEXT, found))
        # A link to nothing valid names nothing.
        both = pc.and_(ids[0].is_valid(), ids[1].is_valid())
        trace_id, span_id = (pc.if_else(both, column, NO_TEXT) for column in ids)
        return cls(trace_id, span_id, evaluator | (may_carry & (links > 0)))

    def stated(self, trace_id: pa.Array, span_id: pa.Array) -> Targets:
        """The targets where some results name theirs themselves: those that do are about that, and nothing else."""
        found = stated_target(self.trace_id, self.span_id, trace_id, span_id)
        return Targets(*found, self.judging)


def stated_target(
    trace_id: pa.Array, span_id: pa.Array, stated_trace_id: pa.Array, stated_span_id: pa.Array
) -> tuple[pa.Array, pa.Array]:
    """Trace and span of a target, where a result may name it itself, which goes before where the result stands.

    A span that is named alone may be of any trace.
    """
    is_stated = pc.or_(stated_trace_id.is_valid(), stated_span_id.is_valid())
    return pc.if_else(is_stated, stated_trace_id, trace_id), pc.if_else(is_stated, stated_span_id, span_id)


def _marks(flags: pa.Array) -> Marks:
    marks: Marks = pc.if_else(flags, TRUE, FALSE).to_numpy(zero_copy_only=False)
    return marks
