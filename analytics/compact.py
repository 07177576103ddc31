"""The traces frame with numbers for texts, in the order in which sums are taken.

Millions of traces say the same few words. As codes they take a quarter of the room, and are grouped and compared
several times as fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.pairs import PAIR
from analytics.values import ARMS, PLACE

if TYPE_CHECKING:
    from collections.abc import Iterable

_ORDERED = ("cohort", "stratum")
_AS_THEY_ARE = frozenset({"trace_id", "unit", "arm", PAIR})
# Of these the unit, the arm and the cost were made, or they are shown nowhere.
_SPENT = (
    "user_id", "conversation_id", "first_model", "last_model", "priced_tokens", "unpriced_tokens", "tool_errors",
)  # fmt: skip
_MOSTLY_DISTINCT = 0.5
_PARTS = 32


def lean(traces: pl.DataFrame) -> pl.DataFrame:
    """A part of the traces without what no comparison reads, with codes for what many traces say alike.

    Whole numbers take as many bytes as this part needs: parts come together by ``vertical_relaxed``.
    """
    traces = traces.drop(_SPENT, strict=False)
    texts = [name for name, kind in traces.schema.items() if kind == pl.String and name not in _AS_THEY_ARE]
    whole = (traces[name].shrink_dtype() for name, kind in traces.schema.items() if kind == pl.Int64)
    return traces.with_columns(pl.col(texts).cast(pl.Categorical), *whole)


def compact(traces: pl.DataFrame) -> pl.DataFrame:
    """The same traces with codes for texts, in their order.

    Cohort, stratum and arm become an Enum, whose order is that of the texts; the unit its number in the order of the
    texts; any other text but the trace id a Categorical. What no
    comparison reads any more is left out. Small whole numbers take one or two bytes.

    Args:
        traces: the wide traces frame; its texts may be Categorical.
    """
    kinds = (pl.String, pl.Categorical)
    traces = traces.drop(_SPENT, strict=False)
    texts = [name for name, kind in traces.schema.items() if kind in kinds and name not in _AS_THEY_ARE]
    return traces.with_columns(
        *(traces[name].cast(_enum(traces[name])) for name in _ORDERED if name in texts),
        *(pl.col(name).cast(pl.Categorical) for name in texts if name not in _ORDERED),
        *(_narrow(traces[name]) for name, kind in traces.schema.items() if kind == pl.Int64),
        pl.col("arm").cast(pl.Enum(ARMS)),
        _numbered(traces["unit"]),
    )


def in_order(*frames: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    """Compact frames by cohort, unit, end and trace id, with the place of each trace in this order.

    Args:
        frames: as :func:`compact` made them; cohorts and strata may have been renamed since.
    """
    recoded = [name for name in _ORDERED if any(frame[name].dtype == pl.String for frame in frames)]
    kinds = {name: _enum(pl.concat(frame[name].cast(pl.String) for frame in frames)) for name in recoded}

    coded = (frame.with_columns(pl.col(name).cast(kinds[name]) for name in recoded) for frame in frames)
    return tuple(_sorted(frame).drop(PLACE, strict=False).with_row_index(PLACE) for frame in coded)


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    keys = ["unit", "end_time"] if frame["trace_id"].is_sorted() else ["unit", "end_time", "trace_id"]
    # Rows are moved within a few cohorts at a time, which takes half as long as from end to end.
    code = pl.col("cohort").to_physical().cast(pl.Int64)
    parts = frame.with_columns(part=code * _PARTS // (code.max() + 1)).partition_by(
        "part", maintain_order=True, as_dict=True, include_key=False
    )
    ordered = [parts.pop(part).sort("cohort", *keys, maintain_order=True) for part in sorted(parts)]
    return pl.concat(ordered, rechunk=True) if ordered else frame


def by_cohort(traces: pl.DataFrame) -> Iterable[tuple[str, pl.DataFrame]]:
    """The rows of each cohort, by name.

    Args:
        traces: with ``cohort``; where they are sorted by it, slices of them.
    """
    if PLACE not in traces.columns or not traces[PLACE].is_sorted():
        traces = traces.sort("cohort", maintain_order=True)
    start = 0
    runs = traces["cohort"].rle()
    for size, name in zip(runs.struct.field("len"), runs.struct.field("value"), strict=True):
        yield str(name), traces[start : start + size]
        start += size


def _enum(texts: pl.Series) -> pl.Enum:
    """Its texts in order; "" is what stands for no stratum."""
    return pl.Enum(pl.concat([texts.unique().drop_nulls().cast(pl.String), pl.Series([""])]).unique().sort())


def _narrow(numbers: pl.Series) -> pl.Series:
    """Small whole numbers in one or two bytes; of more bytes sums might not fit."""
    narrow = numbers.shrink_dtype()
    return narrow if narrow.dtype in (pl.Int8, pl.Int16) else numbers


def _numbered(units: pl.Series) -> pl.Series:
    """Each unit's number in the order of their names."""
    if not len(units):
        return units.cast(pl.String).cast(pl.UInt32)
    if units.dtype == pl.String and units.to_frame().select(pl.all().approx_n_unique()).item() > _MOSTLY_DISTINCT * len(
        units
    ):
        return (units.rank("dense") - 1).cast(pl.UInt32).alias(units.name)
    coded = units.cast(pl.Categorical)
    codes, distinct = coded.to_physical().to_numpy(), coded.unique()
    numbers = np.zeros(int(codes.max()) + 1, dtype=np.uint32)
    in_order = distinct.to_physical().gather(distinct.cast(pl.String).arg_sort())
    numbers[in_order.to_numpy()] = np.arange(len(distinct), dtype=np.uint32)
    return pl.Series(units.name, numbers[codes])
