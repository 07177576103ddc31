"""Ancestry by pointer doubling agrees with walking up one parent at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.span_tree import NO_PARENT, SpanTree


def _ancestors(tree: SpanTree, row: int) -> list[int]:
    above = []
    parent = int(tree.parent[row])
    while parent != NO_PARENT:
        above.append(parent)
        parent = int(tree.parent[parent])
    return above


@st.composite
def _parents_and_marks(draw: st.DrawFn) -> tuple[list[int], list[bool]]:
    size = draw(st.integers(1, 30))
    parents = draw(st.lists(st.integers(-1, size - 1), min_size=size, max_size=size))
    return parents, draw(st.lists(st.booleans(), min_size=size, max_size=size))


@given(_parents_and_marks())
def test_marks_above_and_below_agree_with_a_walk(case: tuple[list[int], list[bool]]) -> None:
    """has_ancestor, has_descendant and topmost equal the plain definition, cycles cut."""
    parents, marks = case
    tree = SpanTree(np.array(parents, dtype=np.int64))
    mark = np.array(marks)
    above = [_ancestors(tree, row) for row in range(len(parents))]
    assert tree.has_ancestor(mark).tolist() == [any(marks[up] for up in line) for line in above]
    below = [any(marks[row] and up in above[row] for row in range(len(parents))) for up in range(len(parents))]
    assert tree.has_descendant(mark).tolist() == below
    for row, line in enumerate(above):
        top = row
        for up in line if marks[row] else []:
            if not marks[up]:
                break
            top = up
        assert tree.topmost(mark)[row] == top


@given(_parents_and_marks(), st.lists(st.integers(0, 9), min_size=30, max_size=30))
def test_nearest_sum_and_maximum_agree_with_a_walk(case: tuple[list[int], list[bool]], numbers: list[int]) -> None:
    """nearest, sum_below and max_at_or_below equal the plain definition, cycles cut."""
    parents, marks = case
    tree = SpanTree(np.array(parents, dtype=np.int64))
    rows = range(len(parents))
    values = np.array(numbers[: len(parents)], dtype=np.int64)
    above = [_ancestors(tree, row) for row in rows]
    nearest = [next((up for up in line if marks[up]), NO_PARENT) for line in above]
    assert tree.nearest(np.array(marks)).tolist() == nearest
    below = [[numbers[row] for row in rows if up in above[row]] for up in rows]
    assert tree.sum_below(values).tolist() == [sum(found) for found in below]
    assert tree.max_at_or_below(values).tolist() == [
        max([numbers[up], *found]) for up, found in zip(rows, below, strict=True)
    ]


@given(_parents_and_marks())
def test_only_one_link_of_a_cycle_is_cut(case: tuple[list[int], list[bool]]) -> None:
    """Links off cycles stay, and each cycle loses the link of its first row alone."""
    parents, _ = case
    first_of_cycles = set()
    for row in range(len(parents)):
        seen = []
        here = row
        while here != NO_PARENT and here not in seen:
            seen.append(here)
            here = parents[here]
        if here != NO_PARENT:
            first_of_cycles.add(min(seen[seen.index(here) :]))
    cut = [NO_PARENT if row in first_of_cycles else parent for row, parent in enumerate(parents)]
    assert SpanTree(np.array(parents, dtype=np.int64)).parent.tolist() == cut


def test_deep_chain_is_followed_to_the_end() -> None:
    """A mark at the top of 100,000 spans in a row is seen from the bottom."""
    size = 100_000
    tree = SpanTree(np.arange(-1, size - 1, dtype=np.int64))
    mark = np.zeros(size, dtype=np.bool_)
    mark[0] = True
    assert tree.has_ancestor(mark).sum() == size - 1
    assert tree.nearest(mark).tolist() == [NO_PARENT] + [0] * (size - 1)
    assert tree.sum_below(np.ones(size, dtype=np.int64))[0] == size - 1
    assert tree.topmost(np.ones(size, dtype=np.bool_))[-1] == 0
