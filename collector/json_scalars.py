"""JSON values → single values in protobuf's wire format, by the rules of protobuf's JSON mapping.

A 64-bit integer comes as a text or as a number and stays exact; NaN and the infinities come as texts; bytes come as
base64, of either alphabet, padded or not.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

SHOWN = 40
"""Characters of a wrong value that an error shows."""

PLACE_SHOWN = 120
"""Characters of its place."""

EXACT = 2**53
"""Up to here every whole number is a float of its own."""

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5

_WHOLE = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_URL_SAFE = str.maketrans("-_", "+/")

Encode = Callable[[Any], bytes]
"""One JSON value on the wire, without its tag."""


class FieldError(ValueError):
    """A field does not hold what it should.

    Args:
        value: what it holds; None to say nothing of it.
        complaint: what is wrong with it, to follow the field's name.
    """

    def __init__(self, value: object, complaint: str) -> None:
        super().__init__(complaint)
        self.path: list[str] = []
        """Where it stands, innermost first; whoever it passes through adds a step."""
        self._shown = "" if value is None else f": {_cut(ascii(value), SHOWN)}"

    def __str__(self) -> str:
        place = _cut("".join(reversed(self.path)).removeprefix("."), PLACE_SHOWN) or "it"
        return f"{place} {self.args[0]}{self._shown}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _encoded_varint(number: int) -> bytes:
    octets = bytearray()
    while number > 0x7F:  # noqa: PLR2004 (seven bits an octet)
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


_SMALL = tuple(_encoded_varint(number) for number in range(2048))


def varint(number: int) -> bytes:
    """A non-negative integer of up to 64 bits as a varint."""
    return _SMALL[number] if number < len(_SMALL) else _encoded_varint(number)


def tag(number: int, wire_type: int) -> bytes:
    """What stands before a field's value."""
    return varint(number << 3 | wire_type)


def _string(value: Any) -> bytes:  # noqa: ANN401 (JSON)
    if value.__class__ is not str:
        raise FieldError(value, "is not a text")
    try:
        data: bytes = value.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair: JSON can spell it, UTF-8 cannot.
        data = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    return varint(len(data)) + data


def _boolean(value: Any) -> bytes:  # noqa: ANN401
    if value is True:
        return b"\1"
    if value is False:
        return b"\0"
    raise FieldError(value, "is neither true nor false")


def _integer(value: Any, lowest: int, highest: int) -> int:  # noqa: ANN401
    text = value.__class__ is str and _WHOLE.fullmatch(value)
    if text or (value.__class__ is float and abs(value) <= EXACT and value.is_integer()):
        value = int(value)
    if value.__class__ is not int:
        raise FieldError(value, "is not a whole number")
    if not lowest <= value <= highest:
        raise FieldError(value, "is out of range")
    number: int = value
    return number


def _varint_of(lowest: int, highest: int) -> Encode:
    def encode(value: Any) -> bytes:  # noqa: ANN401
        # Negative numbers, of 32 bits too, are ten octets: their two's complement of 64 bits.
        return varint(_integer(value, lowest, highest) & 2**64 - 1)

    return encode


def _fixed(layout: str, highest: int) -> Encode:
    pack = struct.Struct(layout).pack
    return lambda value: pack(_integer(value, 0, highest))


def _double(value: Any) -> bytes:  # noqa: ANN401
    number = value
    if value.__class__ is str and value in _SPECIAL:
        return struct.pack("<d", _SPECIAL[value])
    if value.__class__ is str and _NUMBER.fullmatch(value):
        number = float(value)
    if number.__class__ not in {int, float}:
        raise FieldError(value, "is not a number")
    try:
        number = float(number)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise FieldError(value, "is out of range")
    return struct.pack("<d", number)


def _bytes(value: Any) -> bytes:  # noqa: ANN401
    if value.__class__ is not str:
        raise FieldError(value, "is not base64")
    text = value.rstrip("=").translate(_URL_SAFE)
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise FieldError(value, "is not base64") from None
    return varint(len(data)) + data


def _hex(value: Any) -> bytes:  # noqa: ANN401
    if value.__class__ is not str:
        raise FieldError(value, "is not hexadecimal")
    odd = len(value) % 2
    try:
        data = bytes.fromhex("0" + value if odd else value)
    except ValueError:
        raise FieldError(value, "is not hexadecimal") from None
    if len(data) * 2 != len(value) + odd:
        # Python passes over blanks.
        raise FieldError(value, "is not hexadecimal")
    # Half an octet too many or too few is no id: neither 16 nor 8 octets may come of it.
    return b"\0" if odd else varint(len(data)) + data


def _enum(field: FieldDescriptor) -> Encode:
    numbers = {value.name: value.number for value in field.enum_type.values} if field.enum_type else {}

    def encode(value: Any) -> bytes:  # noqa: ANN401
        known = numbers.get(value) if value.__class__ is str else None
        return _INT32(value if known is None else known)

    return encode


@dataclass(frozen=True)
class Kind:
    """How the values of one kind of field are written.

    Attributes:
        wire_type: protobuf's, which goes into the tag.
        encoder: gives the encoding of a field's values.
    """

    wire_type: int
    encoder: Callable[[FieldDescriptor], Encode]


_INT32 = _varint_of(-(2**31), 2**31 - 1)

HEX = Kind(_DELIMITED, lambda _field: _hex)
"""Trace and span ids."""

KINDS = {
    FieldDescriptor.TYPE_STRING: Kind(_DELIMITED, lambda _field: _string),
    FieldDescriptor.TYPE_BYTES: Kind(_DELIMITED, lambda _field: _bytes),
    FieldDescriptor.TYPE_BOOL: Kind(_VARINT, lambda _field: _boolean),
    FieldDescriptor.TYPE_ENUM: Kind(_VARINT, _enum),
    FieldDescriptor.TYPE_INT32: Kind(_VARINT, lambda _field: _INT32),
    FieldDescriptor.TYPE_INT64: Kind(_VARINT, lambda _field: _varint_of(-(2**63), 2**63 - 1)),
    FieldDescriptor.TYPE_UINT32: Kind(_VARINT, lambda _field: _varint_of(0, 2**32 - 1)),
    FieldDescriptor.TYPE_FIXED32: Kind(_FIXED32, lambda _field: _fixed("<I", 2**32 - 1)),
    FieldDescriptor.TYPE_FIXED64: Kind(_FIXED64, lambda _field: _fixed("<Q", 2**64 - 1)),
    FieldDescriptor.TYPE_DOUBLE: Kind(_FIXED64, lambda _field: _double),
}
"""The kinds that OTLP uses."""
