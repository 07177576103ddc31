"""A hash of everything that the verdicts of a report rest on."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.values import PLACE

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROWS = 65_536
_ORDER = ("cohort", "unit", "end_time", "trace_id", "arm")


def fingerprint(given: object, frames: Iterable[pl.DataFrame]) -> str:
    """Hash what was given, the traces, and the release that judged them.

    The hash does not depend on the order of rows, on how a frame lies in memory or on the number of threads. A piece of
    a column is hashed at a time, so that no copy of a frame is made.

    Args:
        given: what was given beside the traces; its ``repr`` counts.
        frames: the traces.
    """
    digest = hashlib.sha256(repr((given, version("spanverdict"))).encode())
    for frame in frames:
        rows = _in_order(frame)
        digest.update(f"{rows.height} traces\n".encode())
        for column in rows.get_columns():
            if column.name != PLACE:
                digest.update(f"{column.name} {_kind(column)}\n".encode())
                for piece in _pieces(column):
                    digest.update(piece)
    return digest.hexdigest()


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    if PLACE in frame.columns and frame[PLACE].is_sorted():
        return frame
    return frame.sort([name for name in _ORDER if name in frame.columns])


def _kind(column: pl.Series) -> str:
    if _is_coded(column) or column.dtype == pl.String:
        return "text"
    return "whole numbers" if column.dtype.is_integer() else str(column.dtype)


def _is_coded(column: pl.Series) -> bool:
    return isinstance(column.dtype, (pl.Enum, pl.Categorical))


def _pieces(column: pl.Series) -> Iterable[memoryview | bytes]:
    """The values in bytes that only equal values have."""
    absent = column.null_count()
    if absent == len(column):
        yield b"nothing"
        return
    if _is_coded(column):
        # Codes depend on what else was read; their texts and the order of these do not.
        texts = column.drop_nulls().unique().cast(pl.String).sort()
        yield repr(texts.to_list()).encode()
        column = column.cast(pl.Enum(texts)).to_physical()
    elif column.dtype.is_temporal():
        column = column.to_physical()
    elif column.name == "unit" and column.dtype.is_integer():
        column = _numbered(column)
    for start in range(0, len(column), _ROWS):
        piece = column[start : start + _ROWS]
        if absent:
            yield piece.is_null().cast(pl.UInt8).to_numpy().data
        if piece.dtype == pl.String:
            _, lengths, texts_of = piece.fill_null("").to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()
            yield from (memoryview(lengths), memoryview(texts_of))
        else:
            wide = piece if piece.dtype.is_float() else piece.cast(pl.Int64)
            yield np.ascontiguousarray(wide.fill_null(0).to_numpy()).data


def _numbered(units: pl.Series) -> pl.Series:
    """The units' numbers among those that are there: a unit of no arm moves them all."""
    numbers = units.to_numpy()
    there = np.zeros(int(numbers.max()) + 1, dtype=np.bool_)
    there[numbers] = True
    return pl.Series(units.name, (np.cumsum(there) - 1)[numbers])
