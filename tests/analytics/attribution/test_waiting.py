"""Every nanosecond of a trace belongs to one of its spans."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analytics.span_tree import SpanTree
from analytics.waiting import waited_for

NOON = datetime(2026, 11, 1, 12)
Spans = list[tuple[str, str | None, int, int]]


def waits(spans: Spans) -> dict[str, int]:
    """Span → milliseconds waited for it."""
    rows = [
        ("t", span, parent, NOON + timedelta(milliseconds=start), NOON + timedelta(milliseconds=end))
        for span, parent, start, end in spans
    ]
    schema = {"trace_id": pl.String, "span_id": pl.String, "parent_span_id": pl.String,
              "start_time": pl.Datetime("ns"), "end_time": pl.Datetime("ns")}  # fmt: skip
    frame = pl.DataFrame(rows, schema=schema, orient="row").sort("start_time", "span_id")
    found = waited_for(frame, SpanTree.of(frame).parent)
    return {span: int(time) // 10**6 for span, time in zip(frame["span_id"], found, strict=True)}


def test_of_children_at_once_the_last_to_end_is_waited_for() -> None:
    """A child that ends before its sibling counts only until the sibling begins."""
    assert waits([("r", None, 0, 10), ("a", "r", 1, 4), ("b", "r", 2, 8)]) == {"r": 3, "a": 1, "b": 6}


def test_nobody_waits_for_what_goes_on_after_the_end() -> None:
    """A child's work past its parent's end is not waited for."""
    assert waits([("r", None, 0, 10), ("a", "r", 8, 20), ("b", "a", 15, 20)]) == {"r": 8, "a": 2, "b": 0}


def test_without_a_root_the_spans_stand_for_themselves() -> None:
    """Gaps between spans whose parent is missing are nobody's."""
    assert waits([("a", "x", 0, 2), ("b", "x", 5, 9)]) == {"a": 2, "b": 4}


def test_backwards_clock_takes_no_time() -> None:
    """A span that ends before it begins took no time."""
    assert waits([("r", None, 0, 10), ("a", "r", 6, 2)]) == {"r": 10, "a": 0}


def test_very_deep_trace_adds_up() -> None:
    """What lies too deep counts for what is above it."""
    chain: Spans = [("s0", None, 0, 1000), *((f"s{n}", f"s{n - 1}", n, 1000 - n) for n in range(1, 100))]
    assert sum(waits(chain).values()) == 1000


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=9))
def test_waits_add_up_to_the_root(drawn: list[tuple[int, int, int]]) -> None:
    """Whatever overlaps, the root's duration is split without rest, and nothing is negative."""
    spans: Spans = [("root", None, 0, 40)]
    spans += [(f"s{n}", spans[above % len(spans)][0], start, end) for n, (above, start, end) in enumerate(drawn)]
    found = waits(spans)
    assert sum(found.values()) == 40
    assert min(found.values()) >= 0
