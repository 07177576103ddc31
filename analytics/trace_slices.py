"""Reads of whole attributes, in as many parts as the store's memory asks for.

DuckDB parses JSON a vector of 2,048 rows at a time: with messages of tens of kilobytes one vector takes hundreds of
megabytes. Of a part of the traces a vector has that many rows fewer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import polars as pl

from sql.access import Access
from sql.errors import QueryMemoryError

Answer = TypeVar("Answer")

SLICES = (1, 4, 16, 64)
"""Into how many parts traces are divided, one after the other, until memory suffices."""


def read_by_traces(store: Access, question: str, parameters: Mapping[str, Any]) -> pl.DataFrame:
    """Answer a question about traces, where memory does not suffice for all at once a part of the traces at a time.

    Args:
        store: where they are.
        question: a SELECT whose rows are each of one trace; it keeps to those traces whose
            ``hash(trace_id) % $slices`` is ``$slice``.
        parameters: its other parameters.

    Raises:
        QueryMemoryError: memory does not suffice for the smallest parts either.
        QueryError: the store could not answer.
    """
    return pl.concat(
        by_slices(lambda slice_: pl.DataFrame(pl.from_arrow(store.read(question, {**parameters, **slice_}))))
    )


def by_slices(ask: Callable[[Mapping[str, int]], Answer]) -> list[Answer]:
    """Ask once, and where memory does not suffice of 4, 16 and 64 parts of the traces.

    Args:
        ask: given the parameters ``slices`` and ``slice``.

    Raises:
        QueryMemoryError: memory does not suffice for the smallest parts either.
    """
    for slices in SLICES[:-1]:
        with contextlib.suppress(QueryMemoryError):
            return [ask({"slices": slices, "slice": part}) for part in range(slices)]
    return [ask({"slices": SLICES[-1], "slice": part}) for part in range(SLICES[-1])]
