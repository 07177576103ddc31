"""The bytes of many `AnyValue` messages → one column for each kind of value.

`AnyValue` (opentelemetry/proto/common/v1/common.proto) is a oneof, so on the wire it is almost always one tag and one
value; its tag and its length tell all there is to know, for all values of a batch at once. Whatever else a sender may
write (unknown fields, two values, lengths in more bytes than they need) is parsed by protobuf and written anew in the
plain form first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.wire import MalformedRequestError

KINDS: Mapping[str, pa.DataType] = {
    "string_value": pa.string(),
    "bool_value": pa.bool_(),
    "int_value": pa.int64(),
    "double_value": pa.float64(),
    "array_value": pa.binary(),
    "kvlist_value": pa.binary(),
    "bytes_value": pa.binary(),
}
"""The kinds of values, and what their columns hold; arrays and maps are left as the bytes of their messages."""

_TAGS = {
    "string_value": 0x0A,
    "bool_value": 0x10,
    "int_value": 0x18,
    "double_value": 0x21,
    "array_value": 0x2A,
    "kvlist_value": 0x32,
    "bytes_value": 0x3A,
}
"""The first byte of each kind: field number and wire type (protobuf encoding, "Message Structure")."""

_LENGTH_DELIMITED = np.zeros(256, dtype=bool)
_LENGTH_DELIMITED[[0x0A, 0x2A, 0x32, 0x3A]] = True

_SHORT = 129
"""Values up to this many bytes have a length of one byte: the tag, the length, and 127 bytes at most."""

_END = 2**31 - 1
"""The end of any binary value (the kernel's own default overflows)."""

_VARINT_BYTES = 10
_LENGTH_BYTES = 5
_CONTINUED = 0x80

_Bytes = npt.NDArray[np.uint8]
_Flags = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WireValues:
    """Serialized values in the plain form: one tag and one value, or nothing.

    Attributes:
        raw: the values, not null.
    """

    raw: pa.BinaryArray

    @classmethod
    def of(cls, raw: pa.BinaryArray) -> WireValues:
        """Take serialized `AnyValue` messages, whatever their form.

        Raises:
            MalformedRequestError: one of them is no such message.
        """
        values = cls(pc.fill_null(raw, b"") if raw.null_count else raw)
        odd = ~values._plain
        if not odd.any():
            return values
        mended = [_mended(value) for value in values.raw.filter(pa.array(odd)).to_pylist()]
        return cls(pc.replace_with_mask(values.raw, pa.array(odd), pa.array(mended, pa.binary())))

    def column(self, kind: str) -> pa.Array:
        """The values of one kind, null where a value is of another.

        Raises:
            MalformedRequestError: a text is not UTF-8.
        """
        chosen = self._tags == _TAGS[kind]
        if not chosen.any():
            return pa.nulls(len(self.raw), KINDS[kind])
        match kind:
            case "string_value":
                return self._strings(chosen)
            case "bool_value":
                return self._bools(chosen)
            case "int_value":
                return self._ints(chosen)
            case "double_value":
                return self._doubles(chosen)
        return self._payloads(chosen)

    @cached_property
    def _offsets(self) -> _Numbers:
        buffer = self.raw.buffers()[1]
        return np.frombuffer(buffer, np.int32, len(self.raw) + 1, 4 * self.raw.offset).astype(np.int64)

    @cached_property
    def _octets(self) -> _Bytes:
        """The data buffer, with room to look a little past its end."""
        data = self.raw.buffers()[2]
        octets = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
        end = int(self._offsets[-1]) + _VARINT_BYTES
        return octets if len(octets) >= end else np.concatenate((octets, np.zeros(end - len(octets), np.uint8)))

    @cached_property
    def _lengths(self) -> _Numbers:
        return np.diff(self._offsets)

    @cached_property
    def _tags(self) -> _Bytes:
        """The first byte of each value, zero for an empty one."""
        tags: _Bytes = self._octets[self._offsets[:-1]]
        tags[self._lengths == 0] = 0
        return tags

    @cached_property
    def _plain(self) -> _Flags:
        """Which values are in the plain form."""
        tags, lengths = self._tags, self._lengths
        second = self._octets[self._offsets[:-1] + 1]
        delimited = _LENGTH_DELIMITED[tags]
        plain: _Flags = delimited & (lengths <= _SHORT) & (second == lengths - 2)
        plain |= lengths == 0
        plain |= (tags == _TAGS["bool_value"]) & (lengths == 2) & (second <= 1)  # noqa: PLR2004 (tag and value)
        plain |= (tags == _TAGS["double_value"]) & (lengths == 1 + 8)
        rows = np.flatnonzero(delimited & (lengths > _SHORT))
        if len(rows):
            plain[rows] = self._length_bytes(rows) > 0
        rows = np.flatnonzero(tags == _TAGS["int_value"])
        plain[rows] = self._integers(rows)[1]
        return plain

    def _length_bytes(self, rows: _Numbers) -> _Numbers:
        """How many bytes the length of long values takes; zero where it does not fit what is there."""
        found = np.zeros(len(rows), dtype=np.int64)
        starts, lengths = self._offsets[rows] + 1, self._lengths[rows]
        for count in range(2, _LENGTH_BYTES + 1):
            content = lengths - 1 - count
            fits = (content >= 1 << 7 * (count - 1)) & (content < 1 << 7 * count)
            for place in range(count):
                more = _CONTINUED if place < count - 1 else 0
                fits &= self._octets[starts + place] == (content >> 7 * place & 0x7F | more)
            found[fits] = count
        return found

    def _integers(self, rows: _Numbers) -> tuple[_Numbers, _Flags]:
        """The varints of rows, and which of them take just the bytes that are there."""
        numbers = np.zeros(len(rows), dtype=np.uint64)
        starts, counts = self._offsets[rows] + 1, self._lengths[rows] - 1
        sound = (counts > 0) & (counts <= _VARINT_BYTES)
        for place in range(min(int(counts.max(initial=0)), _VARINT_BYTES)):
            octets = self._octets[starts + place]
            here = counts > place
            sound &= ~here | ((octets >= _CONTINUED) == (counts > place + 1))
            numbers |= np.where(here, octets & 0x7F, 0).astype(np.uint64) << np.uint64(7 * place)
        return numbers.view(np.int64), sound

    def _payloads(self, chosen: _Flags) -> pa.Array:
        """What stands behind tag and length of the chosen values, null for the others."""
        short = chosen & (self._lengths <= _SHORT)
        pieces = [self._without_header(short, 2)] if short.any() else []
        rows = np.flatnonzero(chosen & ~short)
        counts = self._length_bytes(rows)
        for count in np.unique(counts):
            sized = np.zeros(len(chosen), dtype=bool)
            sized[rows[counts == count]] = True
            pieces.append(self._without_header(sized, 1 + int(count)))
        return pieces[0] if len(pieces) == 1 else pc.coalesce(*pieces)

    def _without_header(self, chosen: _Flags, size: int) -> pa.Array:
        contents = pc.binary_slice(self.raw.filter(pa.array(chosen)), size, _END)
        return _scattered(contents, chosen, self._lengths - size)

    def _strings(self, chosen: _Flags) -> pa.Array:
        payloads = self._payloads(chosen)
        try:
            return pc.cast(payloads, pa.string())
        except pa.ArrowInvalid as error:
            raise MalformedRequestError("a text is not UTF-8") from error

    def _bools(self, chosen: _Flags) -> pa.Array:
        return pa.array(self._octets[self._offsets[:-1] + 1] != 0, mask=~chosen)

    def _ints(self, chosen: _Flags) -> pa.Array:
        numbers = np.zeros(len(chosen), dtype=np.int64)
        rows = np.flatnonzero(chosen)
        numbers[rows] = self._integers(rows)[0]
        return pa.array(numbers, mask=~chosen)

    def _doubles(self, chosen: _Flags) -> pa.Array:
        numbers = np.zeros(len(chosen), dtype=np.float64)
        rows = np.flatnonzero(chosen)
        places = (self._offsets[rows] + 1)[:, None] + np.arange(8)
        numbers[rows] = self._octets[places].view("<f8")[:, 0]
        return pa.array(numbers, mask=~chosen)


def _scattered(contents: pa.BinaryArray, chosen: _Flags, lengths: _Numbers) -> pa.Array:
    """Binary values at the chosen rows, null elsewhere, over the same data buffer."""
    first = np.frombuffer(contents.buffers()[1], np.int32, 1, 4 * contents.offset)[0]
    offsets = np.concatenate(([first], first + np.cumsum(np.where(chosen, lengths, 0)))).astype(np.int32)
    validity = np.packbits(chosen, bitorder="little")
    data = contents.buffers()[2]
    buffers = [pa.py_buffer(validity), pa.py_buffer(offsets), data if data is not None else pa.py_buffer(b"")]
    return pa.Array.from_buffers(pa.binary(), len(chosen), buffers)


def _mended(raw: bytes) -> bytes:
    """A value in the plain form."""
    value = AnyValue()
    try:
        value.ParseFromString(raw)
    except DecodeError as error:
        raise MalformedRequestError("an attribute's value is not an AnyValue message") from error
    kind = value.WhichOneof("value")
    if kind is None or kind not in KINDS:
        return b""
    plain = AnyValue()
    if kind in {"array_value", "kvlist_value"}:
        getattr(plain, kind).CopyFrom(getattr(value, kind))
    else:
        setattr(plain, kind, getattr(value, kind))
    return plain.SerializeToString()
