"""Constants for Arrow kernels.

A Python value handed to a kernel is converted at every call, and that conversion looks for a module that is not
installed, at a tenth of a millisecond each time; constants are converted once.
"""

from __future__ import annotations

from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

NO_TEXT = pa.scalar(None, pa.string())
NO_NUMBER = pa.scalar(None, pa.float64())
NO_INTEGER = pa.scalar(None, pa.int64())
NO_FLAG = pa.scalar(None, pa.bool_())
FALSE = pa.scalar(value=False)
TRUE = pa.scalar(value=True)
EMPTY = pa.scalar("")
ZERO = pa.scalar(0)


@cache
def text(value: str) -> pa.Scalar:
    """A text constant."""
    return pa.scalar(value)


@cache
def integer(value: int, kind: pa.DataType | None = None) -> pa.Scalar:
    """An integer constant, 64 bits wide unless ``kind`` says otherwise."""
    return pa.scalar(value, kind or pa.int64())


def concatenate(*parts: pa.Array | str) -> pa.Array:
    """Join texts and constants element by element; null where any of them is null."""
    return pc.binary_join_element_wise(*(text(part) if isinstance(part, str) else part for part in parts), EMPTY)


LONGEST_NAME = 256
"""Characters kept of a name that is repeated in the row of each of its spans."""


def cut(names: pa.Array) -> pa.Array:
    """Names of at most LONGEST_NAME characters: a long one, repeated for each span, would fill the memory."""
    return pc.utf8_slice_codeunits(names, 0, LONGEST_NAME)


def unless_empty(texts: pa.Array) -> pa.Array:
    """Texts with the empty one as null."""
    return pc.if_else(pc.equal(texts, EMPTY), NO_TEXT, texts)
