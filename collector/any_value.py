"""OTLP attribute lists as columns, and their values as JSON text.

Scalars and arrays of scalars are turned into JSON by vectorised kernels; maps, and what is nested in an array, have no
bound on their depth, so they are walked in Python, once per distinct value of a batch.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import ptars
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

from collector import wire
from collector.literals import EMPTY, FALSE, concatenate, text
from collector.wire_values import KINDS, WireValues

MAX_NESTING = 32
"""Levels of arrays and maps that are kept; what lies deeper is replaced by null."""

_RARE_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
"""What JSON escapes by a letter (RFC 8259, section 7); the backslash comes first."""

_COMMON = frozenset(map(ord, _ESCAPES))

_RADIX_NAMES = 2**15

_ARRAYS = ptars.HandlerPool([wire.ARRAY.file]).get_for_message(wire.ARRAY)

Indices = npt.NDArray[np.int64]


def json_strings(texts: pa.Array) -> pa.Array:
    """Quote and escape texts as JSON strings; null stays null (RFC 8259, section 7)."""
    escaped = _escape(texts)
    return concatenate('"', escaped, '"')


def _escape(texts: pa.Array) -> pa.Array:
    marked = _to_be_escaped(texts)
    if marked is None:
        return texts
    hits, octets = marked
    found = texts.filter(hits)
    for plain, quoted in _ESCAPES.items():
        if ord(plain) in octets:
            found = pc.replace_substring(found, plain, quoted)
    if not octets <= _COMMON:
        rare = pc.match_substring_regex(found, _RARE_CONTROL)
        mended = [
            "".join(f"\\u{ord(c):04x}" if c < " " else c for c in found_text)
            for found_text in found.filter(rare).to_pylist()
        ]
        found = pc.replace_with_mask(found, rare, pa.array(mended, pa.string()))
    return pc.replace_with_mask(texts, hits, found)


def _to_be_escaped(texts: pa.Array) -> tuple[pa.Array, frozenset[int]] | None:
    """Which texts hold a character that JSON escapes, and which characters; None if none does."""
    data = texts.buffers()[2]
    if len(texts) == 0 or data is None:
        return None
    offsets = _offsets_of(texts)
    octets = np.frombuffer(data, np.uint8, offsets[-1] - offsets[0], offsets[0])
    marks = octets < ord(" ")
    marks |= octets == ord('"')
    marks |= octets == ord("\\")
    places = np.flatnonzero(marks)
    if len(places) == 0:
        return None
    hits = np.zeros(len(texts), dtype=bool)
    hits[np.searchsorted(offsets - offsets[0], places, side="right") - 1] = True
    return pa.array(hits), frozenset(np.flatnonzero(np.bincount(octets[places])).tolist())


def plain_value(value: AnyValue, depth: int = 0) -> Any:  # noqa: ANN401 (JSON has many types)
    """An AnyValue as what `json` can write: bytes as base64, NaN and infinities as strings (OTLP/JSON mapping)."""
    kind = value.WhichOneof("value")
    if kind is None or depth >= MAX_NESTING:
        return None
    if kind == "array_value":
        return [plain_value(item, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain_value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode("ascii")
    if kind == "double_value":
        return value.double_value if math.isfinite(value.double_value) else _special_double(value.double_value)
    if kind in {"string_value", "bool_value", "int_value"}:
        return getattr(value, kind)
    return None


def _special_double(number: float) -> str:
    return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")


def _packed_json(packed: bytes, kind: type[ArrayValue | KeyValueList]) -> str:
    """An array or a map that the decoder left as bytes, as JSON text."""
    try:
        value = AnyValue()
        (value.array_value if kind is ArrayValue else value.kvlist_value).ParseFromString(packed)
        return json.dumps(plain_value(value), ensure_ascii=False, separators=(",", ":"))
    except (DecodeError, RecursionError):
        # The envelope was sound; a value that cannot be read is kept as unknown, not guessed.
        return "null"


def _packed_texts(column: pa.BinaryArray, kind: type[ArrayValue | KeyValueList]) -> pa.Array:
    """JSON texts of packed arrays or maps, each distinct one walked once."""
    encoded = column.dictionary_encode()
    texts = [_packed_json(packed, kind) for packed in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)


class _Columns(Mapping[str, pa.Array]):
    """A column for each kind, made when first asked for: most readers look at one kind of value only."""

    def __init__(self, make: Callable[[str], pa.Array]) -> None:
        self._made: dict[str, pa.Array] = {}
        self._make = make

    def __getitem__(self, kind: str) -> pa.Array:
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        return self._made[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)


@dataclass(frozen=True)
class AnyValues:
    """A column of AnyValue: one nullable Arrow column for each kind that a value may have.

    Attributes:
        columns: kind (as in `AnyValue`'s oneof) → its column; those of arrays and maps hold their serialized messages.
    """

    columns: Mapping[str, pa.Array]

    @classmethod
    def from_wire(cls, raw: pa.BinaryArray) -> AnyValues:
        """Take serialized `AnyValue` messages.

        Raises:
            MalformedRequestError: one of them is no such message, or a text among them is not UTF-8.
        """
        columns = _Columns(WireValues.of(raw).column)
        # What cannot be stored must be refused now.
        _ = columns["string_value"]
        return cls(columns)

    @property
    def strings(self) -> pa.Array:
        """The string values."""
        return self.columns["string_value"]

    @property
    def bools(self) -> pa.Array:
        """The boolean values."""
        return self.columns["bool_value"]

    @property
    def ints(self) -> pa.Array:
        """The integer values."""
        return self.columns["int_value"]

    @property
    def doubles(self) -> pa.Array:
        """The double values."""
        return self.columns["double_value"]

    def __len__(self) -> int:
        return len(self.strings)

    def take(self, rows: Indices) -> AnyValues:
        """The values at ``rows``, in that order."""
        chosen = pa.array(rows)
        return AnyValues(_Columns(lambda kind: self.columns[kind].take(chosen)))

    def json_texts(self) -> pa.Array:
        """Every value as JSON text; a value of no kind, or of an unknown one, is ``null``."""
        texts, bare = json_strings(self.strings), self.bare_texts()
        return pc.fill_null(texts if bare is None else pc.coalesce(texts, bare), text("null"))

    def bare_texts(self) -> pa.Array | None:
        """Every value that is not a string as JSON text, null for the rest; None if all are strings."""
        pieces: list[pa.Array] = []
        position = np.full(len(self), -1, dtype=np.int64)
        length = 0
        for kind, as_json in _BARE_TEXTS.items():
            column = self.columns[kind]
            if column.null_count == len(column):
                continue
            valid = column.is_valid()
            pieces.append(as_json(column.filter(valid)))
            rows = np.flatnonzero(valid.to_numpy(zero_copy_only=False))
            position[rows] = np.arange(length, length + len(rows))
            length += len(rows)
        return pa.concat_arrays(pieces).take(pa.array(position, mask=position < 0)) if pieces else None


def _plain_texts(column: pa.Array) -> pa.Array:
    return pc.cast(column, pa.string())


def _map_texts(column: pa.Array) -> pa.Array:
    return _packed_texts(column, KeyValueList)


def _array_texts(column: pa.Array) -> pa.Array:
    """JSON texts of packed arrays, each distinct one once: scalars by kernels, what is nested by a walk."""
    encoded = column.dictionary_encode()
    try:
        lists = _ARRAYS.list_to_record_batch(encoded.dictionary.to_pylist()).column(0)
        values = WireValues.of(lists.flatten())
        members = AnyValues({kind: values.column(kind) for kind in KINDS})
    except ValueError:
        return _packed_texts(column, ArrayValue)
    if members.columns["array_value"].null_count + members.columns["kvlist_value"].null_count < 2 * len(members):
        return _packed_texts(column, ArrayValue)
    offsets = lists.offsets.to_numpy(zero_copy_only=False)
    return json_list(offsets - offsets[0], members.json_texts(), "[", "]").take(encoded.indices)


def _double_json_texts(doubles: pa.Array) -> pa.Array:
    return double_texts(doubles, '"')


def _base64_texts(column: pa.Array) -> pa.Array:
    return pa.array([f'"{base64.b64encode(raw).decode("ascii")}"' for raw in column.to_pylist()], pa.string())


def double_texts(doubles: pa.Array, quote: str = "") -> pa.Array:
    """Doubles as texts; NaN and the infinities, which JSON has no numbers for, by name within quotes."""
    texts = pc.cast(doubles, pa.string())
    finite = pc.is_finite(doubles)
    if pc.all(finite, min_count=0).as_py():
        return texts
    special = [f"{quote}{_special_double(number)}{quote}" for number in doubles.filter(pc.invert(finite)).to_pylist()]
    return pc.replace_with_mask(texts, pc.fill_null(pc.invert(finite), FALSE), pa.array(special, pa.string()))


_BARE_TEXTS: Mapping[str, Callable[[pa.Array], pa.Array]] = {
    "int_value": _plain_texts,
    "bool_value": _plain_texts,
    "double_value": _double_json_texts,
    "array_value": _array_texts,
    "kvlist_value": _map_texts,
    "bytes_value": _base64_texts,
}


@dataclass(frozen=True)
class AttributeLists:
    """The attributes of many owners (spans, resources, events, log records), one row for each attribute.

    Attributes:
        offsets: owner ``i`` has the rows from ``offsets[i]`` to ``offsets[i + 1]``.
        keys: the attribute names.
        values: their values.
    """

    offsets: npt.NDArray[np.int32]
    keys: pa.DictionaryArray
    values: AnyValues

    @classmethod
    def from_list(cls, column: pa.ListArray) -> AttributeLists:
        """Flatten a decoded ``repeated KeyValue`` column."""
        offsets = column.offsets.to_numpy(zero_copy_only=False)
        pairs = column.flatten()
        keys, raw = (
            pairs.field(pairs.type.get_field_index("key")),
            pairs.field(pairs.type.get_field_index("value")),
        )
        return cls(offsets - offsets[0], keys.dictionary_encode(), AnyValues.from_wire(raw))

    @cached_property
    def owners(self) -> Indices:
        """For each attribute row, the owner it belongs to."""
        counts = np.diff(self.offsets)
        return np.repeat(np.arange(len(counts), dtype=np.int64), counts)

    @cached_property
    def rows_by_key(self) -> dict[str, Indices]:
        """Attribute name → its rows, in owner order."""
        codes = self.keys.indices.to_numpy(zero_copy_only=False)
        names = self.keys.dictionary.to_pylist()
        # numpy sorts 16-bit integers by radix.
        sortable = codes.astype(np.int16) if len(names) < _RADIX_NAMES else codes
        order = np.argsort(sortable, kind="stable").astype(np.int64)
        bounds = np.concatenate(([0], np.cumsum(np.bincount(codes, minlength=len(names)))))
        return {name: order[bounds[code] : bounds[code + 1]] for code, name in enumerate(names)}

    def overridden(self, values: Sequence[Mapping[str, str]]) -> AttributeLists:
        """Each owner's attributes with some set to a text, whatever they were.

        Args:
            values: for each owner, the names and texts.
        """
        names = self.keys.cast(pa.string()).to_pylist()
        owners = self.owners.tolist()
        kept = [row for row, name in enumerate(names) if name not in values[owners[row]]]
        added = [(owner, *item) for owner, given in enumerate(values) for item in given.items()]
        order = np.argsort([owners[row] for row in kept] + [owner for owner, _, _ in added], kind="stable")
        keys = pa.array([names[row] for row in kept] + [name for _, name, _ in added], pa.string())
        texts = pa.array([text for _, _, text in added], pa.string())
        columns = {
            kind: pa.concat_arrays(
                [
                    column.take(pa.array(kept, pa.int64())),
                    texts if kind == "string_value" else pa.nulls(len(added), column.type),
                ]
            )
            for kind, column in self.values.columns.items()
        }
        counts = np.bincount([owners[row] for row in kept], minlength=len(values)) + [len(given) for given in values]
        return AttributeLists(
            np.concatenate(([0], np.cumsum(counts))).astype(np.int32),
            keys.take(pa.array(order)).dictionary_encode(),
            AnyValues(columns).take(order),
        )

    def json_objects(self) -> pa.Array:
        """Each owner's attributes as one JSON object; ``{}`` for an owner without any.

        The members of all owners are written into one buffer, each with what closes the one before it (``"``, ``}``)
        and opens its own value, so that an object is a slice of that buffer and nothing is copied twice.
        """
        rows = len(self.values)
        if rows == 0:
            return pa.array(["{}"] * (len(self.offsets) - 1), pa.string())
        texts = self.values.strings.is_valid().to_numpy(zero_copy_only=False)
        bare = self.values.bare_texts()
        absent = ~texts if bare is None else ~(texts | bare.is_valid().to_numpy(zero_copy_only=False))
        follows_text = np.concatenate(([False], texts[:-1]))
        first = np.zeros(rows, dtype=bool)
        first[self.offsets[:-1][np.diff(self.offsets) > 0]] = True
        codes = self.keys.indices.to_numpy(zero_copy_only=False)
        shape = follows_text + 2 * first + 4 * np.where(texts, 1, np.where(absent, 2, 0))
        prefixes = _member_prefixes(self.keys.dictionary).take(pa.array(codes + shape * len(self.keys.dictionary)))
        end = pa.concat_arrays([pa.nulls(rows - 1, pa.string()), pa.repeat(text('"}' if texts[-1] else "}"), 1)])
        parts = [prefixes, _escape(self.values.strings), *([] if bare is None else [bare]), end]
        members = pc.binary_join_element_wise(*parts, EMPTY, null_handling="replace", null_replacement="")
        starts = _offsets_of(members)
        opened = np.append(1 + follows_text, 0)
        bounds = starts[self.offsets] + opened[self.offsets]
        objects = pa.Array.from_buffers(
            pa.string(), len(bounds) - 1, [None, pa.py_buffer(bounds.astype(np.int32)), members.buffers()[2]]
        )
        empty = np.diff(self.offsets) == 0
        return pc.if_else(pa.array(empty), text("{}"), objects) if empty.any() else objects


def _member_prefixes(names: pa.Array) -> pa.Array:
    """What stands before a member's value, for each shape and name: see AttributeLists.json_objects."""
    quoted = concatenate(json_strings(names), ":")
    return pa.concat_arrays(
        [
            concatenate(closing + opening, quoted, value)
            for value in ("", '"', "null")
            for opening in (",", "}{")
            for closing in ("", '"')
        ]
    )


def _offsets_of(texts: pa.Array) -> npt.NDArray[np.int32]:
    offsets: npt.NDArray[np.int32] = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset)
    return offsets


def json_list(offsets: npt.NDArray[np.int32], members: pa.Array, opening: str, closing: str) -> pa.Array:
    """Join each owner's member texts by commas between an opening and a closing bracket."""
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), members)
    return concatenate(opening, pc.binary_join(lists, text(",")), closing)
