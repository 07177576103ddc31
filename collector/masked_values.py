"""Patterns in values of any kind: texts, and the texts inside arrays and maps however deep."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

from collector.any_value import MAX_NESTING, AnyValues
from collector.masking import Marks, Masked, Masker

_PACKED: dict[str, type[ArrayValue | KeyValueList]] = {"array_value": ArrayValue, "kvlist_value": KeyValueList}


def mask_values(values: AnyValues, masker: Masker) -> tuple[AnyValues, dict[str, Marks]]:
    """Search every text in a column of values; keys of maps are texts too.

    Returns:
        The values with finds replaced, and for each pattern that was found in which of them.
    """
    columns = dict(values.columns)
    found: dict[str, Marks] = {}
    for kind, mask in _MASKS.items():
        column = columns[kind]
        if column.null_count == len(column):
            continue
        present = column.is_valid().to_numpy(zero_copy_only=False)
        masked, marks = mask(column.filter(pa.array(present)), masker)
        if not marks:
            continue
        place = np.cumsum(present) - 1
        columns[kind] = masked.take(pa.array(place, mask=~present))
        for name, one in marks.items():
            found.setdefault(name, np.zeros(len(column), dtype=bool))[present] |= one
    return (AnyValues(columns) if found else values), found


def _texts(column: pa.Array, masker: Masker) -> tuple[pa.Array, dict[str, Marks]]:
    masked = masker.mask(column)
    return masked.texts, masked.found


def _arrays(column: pa.Array, masker: Masker) -> tuple[pa.Array, dict[str, Marks]]:
    return _packed(column, masker, ArrayValue)


def _maps(column: pa.Array, masker: Masker) -> tuple[pa.Array, dict[str, Marks]]:
    return _packed(column, masker, KeyValueList)


_MASKS: dict[str, Callable[[pa.Array, Masker], tuple[pa.Array, dict[str, Marks]]]] = {
    "string_value": _texts,
    "array_value": _arrays,
    "kvlist_value": _maps,
}


def _packed(
    column: pa.Array, masker: Masker, kind: type[ArrayValue | KeyValueList]
) -> tuple[pa.Array, dict[str, Marks]]:
    """Arrays or maps, which the decoder leaves as bytes: walk each distinct one, and write those anew that change."""
    encoded = column.dictionary_encode()
    messages = [_parsed(packed, kind) for packed in encoded.dictionary.to_pylist()]
    texts: list[str] = []
    owners: list[int] = []
    for owner, message in enumerate(messages):
        found_texts = [getattr(holder, field) for holder, field in _places(message)] if message is not None else []
        texts += found_texts
        owners += [owner] * len(found_texts)
    masked: Masked = masker.mask(pa.array(texts, pa.string()))
    if not masked.found:
        return column, {}
    changed = masked.changed
    owner_of = np.array(owners)
    written = encoded.dictionary.to_pylist()
    results = iter(masked.texts.to_pylist())
    rewritten = set(owner_of[changed].tolist())
    for owner, message in enumerate(messages):
        # The places are collected before any is written to.
        for holder, field in list(_places(message)) if message is not None else ():
            setattr(holder, field, next(results))
        if owner in rewritten and message is not None:
            written[owner] = message.SerializeToString()
    marks = {
        name: (np.bincount(owner_of[one], minlength=len(messages)) > 0)[encoded.indices.to_numpy(zero_copy_only=False)]
        for name, one in masked.found.items()
    }
    return pa.array(written, column.type).take(encoded.indices), marks


def _parsed(packed: bytes, kind: type[ArrayValue | KeyValueList]) -> ArrayValue | KeyValueList | None:
    try:
        return kind.FromString(packed)
    except (DecodeError, RecursionError):
        # It is stored as null (collector.any_value).
        return None


def _places(message: ArrayValue | KeyValueList, depth: int = 0) -> Iterator[tuple[object, str]]:
    """Every text in an array or a map, as its holder and the name of the field; deeper ones are not stored."""
    if depth >= MAX_NESTING:
        return
    if isinstance(message, KeyValueList):
        for pair in message.values:
            yield pair, "key"
            yield from _places_of(pair.value, depth)
    else:
        for value in message.values:
            yield from _places_of(value, depth)


def _places_of(value: AnyValue, depth: int) -> Iterator[tuple[object, str]]:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        yield value, "string_value"
    elif kind in _PACKED:
        yield from _places(getattr(value, kind), depth + 1)
