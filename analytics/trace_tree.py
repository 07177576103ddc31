"""The order in which a person reads the spans of a trace: each after its parent, siblings by their beginning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """What the place of a span in its trace depends on.

    Attributes:
        span_id: its id, once in its trace.
        parent_span_id: its parent's id; None of a root. A parent that is not there counts as none.
        start_ns: its beginning.
    """

    span_id: str
    parent_span_id: str | None
    start_ns: int


def in_reading_order(nodes: Sequence[Node]) -> list[tuple[int, int]]:
    """Place each span after its parent, depth first.

    Where parents form a cycle, which only broken instrumentation produces, its first span is taken for a root.

    Args:
        nodes: the spans of one trace, in any order.

    Returns:
        For each place (index into ``nodes``, number of ancestors that are there).
    """
    rows = {node.span_id: row for row, node in enumerate(nodes)}
    children: dict[int | None, list[int]] = defaultdict(list)
    by_time = sorted(range(len(nodes)), key=lambda row: (nodes[row].start_ns, nodes[row].span_id))
    for row in by_time:
        parent = rows.get(nodes[row].parent_span_id or "")
        children[None if parent == row else parent].append(row)
    placed: list[tuple[int, int]] = []
    seen: set[int] = set()
    # After the roots come the spans that none of them leads to: those of cycles.
    for root in [*children[None], *by_time]:
        waiting = [(root, 0)]
        while waiting:
            row, depth = waiting.pop()
            if row in seen:
                continue
            seen.add(row)
            placed.append((row, depth))
            waiting += [(child, depth + 1) for child in reversed(children[row])]
    return placed
