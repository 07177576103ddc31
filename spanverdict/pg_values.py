"""Values on PostgreSQL's wire: answers as text or binary, parameters from either.

Source: PostgreSQL 15, src/backend/utils/adt: the output and send functions of each type.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa

from sql.errors import QueryError
from sql.postgres_types import OIDS, TYPES, PostgresType, type_of_arrow

_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 (the store's times are naive UTC)
_BASE = 10_000
"""The base of the digits of a numeric on the wire."""

_SPACES = " \t\n\r\v\f"

_BARE = re.compile(rb'[^\s"\\{},]+')
"""A member of an array that needs no quotes."""

_TEXT_CODE, _BINARY_CODE = 0, 1
_NEGATIVE = 0x4000

Encoder = Callable[[Any], bytes]


def encoder(column: PostgresType, format_code: int) -> Encoder:
    """What writes the values of a column, which are not null.

    Args:
        column: the type that the client was told.
        format_code: 0 for text, 1 for binary, as the client wants it.
    """
    if column.element:
        return _array_encoder(column, format_code)
    if format_code == _BINARY_CODE:
        return _BINARY.get(column.name, _text)
    return _TEXT.get(column.name, _text)


def encoded_columns(batch: pa.RecordBatch, format_codes: Sequence[int]) -> list[list[bytes | None]]:
    """The columns of a batch, each value as bytes.

    Args:
        batch: rows of an answer.
        format_codes: for each column, 0 for text or 1 for binary.

    Raises:
        QueryError: a value cannot be sent.
    """
    columns = []
    for name, column, format_code in zip(batch.schema.names, batch.columns, format_codes, strict=True):
        write = encoder(type_of_arrow(column.type), format_code)
        try:
            columns.append([None if value is None else write(value) for value in _python_values(column)])
        except (ValueError, OverflowError, struct.error, pa.ArrowException) as error:
            raise QueryError(
                f"The column {name} has a value that cannot be sent, such as a time after the year 9999; cast it to"
                " VARCHAR."
            ) from error
    return columns


def _python_values(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    elif (pa.types.is_time64(kind) or pa.types.is_duration(kind)) and kind.unit == "ns":
        column = column.cast(pa.time64("us") if pa.types.is_time64(kind) else pa.duration("us"), safe=False)
    values: list[Any] = column.to_pylist()
    return values


def _text(value: Any) -> bytes:  # noqa: ANN401 (a value of any column)
    return str(value).encode("utf-8", "replace").replace(b"\x00", b"")


def _bool_text(value: bool) -> bytes:
    return b"t" if value else b"f"


def _float_text(value: float) -> bytes:
    if math.isnan(value):
        return b"NaN"
    if math.isinf(value):
        return b"Infinity" if value > 0 else b"-Infinity"
    return repr(value).encode()


def _datetime_text(value: datetime) -> bytes:
    naive = value.replace(tzinfo=None) - (value.utcoffset() or timedelta())
    return naive.isoformat(" ").encode() + (b"+00" if value.tzinfo else b"")


def _json_text(value: Any) -> bytes:  # noqa: ANN401 (as above)
    return (value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)).encode()


def _interval_parts(value: Any) -> tuple[int, int, int]:  # noqa: ANN401 (MonthDayNano, or timedelta)
    if isinstance(value, timedelta):
        return 0, value.days, value.seconds * 1_000_000 + value.microseconds
    months, days, nanoseconds = value
    return months, days, nanoseconds // 1000


def _interval_text(value: Any) -> bytes:  # noqa: ANN401 (as above)
    months, days, micros = _interval_parts(value)
    sign, size = ("-" if micros < 0 else ""), abs(micros)
    hours, rest = divmod(size, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    seconds, rest = divmod(rest, 1_000_000)
    clock = f"{sign}{hours:02}:{minutes:02}:{seconds:02}" + (f".{rest:06}" if rest else "")
    return " ".join([f"{months} mons"] * bool(months) + [f"{days} days"] * bool(days) + [clock]).encode()


def _numeric_binary(value: Any) -> bytes:  # noqa: ANN401 (Decimal, or int)
    """Digits to the base 10,000 (numeric_send)."""
    number = Decimal(value)
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return struct.pack("!hhHh", 0, 0, 0xC000, 0)
    scale = max(-exponent, 0)
    whole, fraction = divmod(int("".join(map(str, digits))) * 10 ** max(exponent, 0), 10**scale)
    before: list[int] = []
    while whole:
        whole, digit = divmod(whole, _BASE)
        before.insert(0, digit)
    padded = str(fraction).zfill(scale) + "0" * (-scale % 4) if scale else ""
    after = [int(padded[at : at + 4]) for at in range(0, len(padded), 4)]
    weight = len(before) - 1
    groups = before + after
    while groups and groups[-1] == 0:
        groups.pop()
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    head = struct.pack("!hhHh", len(groups), weight if groups else 0, _NEGATIVE if sign else 0, scale)
    return head + struct.pack(f"!{len(groups)}h", *groups)


def _microseconds(value: datetime) -> int:
    naive = value.replace(tzinfo=None) - (value.utcoffset() or timedelta())
    return (naive - _EPOCH) // timedelta(microseconds=1)


def _time_binary(value: time) -> bytes:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return struct.pack("!q", seconds * 1_000_000 + value.microsecond)


def _interval_binary(value: Any) -> bytes:  # noqa: ANN401 (as above)
    months, days, micros = _interval_parts(value)
    return struct.pack("!qii", micros, days, months)


_TEXT: dict[str, Encoder] = {
    "bool": _bool_text,
    "bytea": lambda value: b"\\x" + bytes(value).hex().encode(),
    "float4": _float_text,
    "float8": _float_text,
    "interval": _interval_text,
    "json": _json_text,
    "numeric": lambda value: format(Decimal(value), "f").encode(),
    "timestamp": _datetime_text,
    "timestamptz": _datetime_text,
}
"""Others are written as Python does."""

_BINARY: dict[str, Encoder] = {
    "bool": lambda value: b"\x01" if value else b"\x00",
    "bytea": bytes,
    "date": lambda value: struct.pack("!i", (value - _EPOCH.date()).days),
    "float4": lambda value: struct.pack("!f", value),
    "float8": lambda value: struct.pack("!d", value),
    "int2": lambda value: struct.pack("!h", value),
    "int4": lambda value: struct.pack("!i", value),
    "int8": lambda value: struct.pack("!q", value),
    "interval": _interval_binary,
    "json": _json_text,
    "oid": lambda value: struct.pack("!I", value),
    "numeric": _numeric_binary,
    "time": _time_binary,
    "timestamp": lambda value: struct.pack("!q", _microseconds(value)),
    "timestamptz": lambda value: struct.pack("!q", _microseconds(value)),
    "uuid": lambda value: UUID(str(value)).bytes,
}
"""Others are text in either format."""


def _array_encoder(column: PostgresType, format_code: int) -> Encoder:
    element = TYPES[column.element]
    write = encoder(element, format_code)

    def binary(values: Sequence[Any]) -> bytes:
        members = [b"\xff\xff\xff\xff" if one is None else _counted(write(one)) for one in values]
        head = struct.pack("!iiI", bool(members), any(one is None for one in values), element.oid)
        return head + (struct.pack("!ii", len(members), 1) if members else b"") + b"".join(members)

    def text(values: Sequence[Any]) -> bytes:
        return b"{" + b",".join(b"NULL" if one is None else _quoted(write(one)) for one in values) + b"}"

    return binary if format_code == _BINARY_CODE else text


def _counted(value: bytes) -> bytes:
    return struct.pack("!i", len(value)) + value


def _quoted(value: bytes) -> bytes:
    if _BARE.fullmatch(value) and value.upper() != b"NULL":
        return value
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def parameter(oid: int, format_code: int, value: bytes | None) -> Any:  # noqa: ANN401 (JSON values and times)
    """A value that a client binds; times in UTC without an offset, as the store's are.

    Args:
        oid: the type that the client names, 0 for none.
        format_code: 0 for text, 1 for binary.
        value: its bytes; None for null.

    Raises:
        QueryError: it is none of that type, or of a type that no query takes here.
    """
    if value is None:
        return None
    kind = TYPES.get(oid)
    if kind is None and oid and format_code == _BINARY_CODE:
        raise QueryError(f"A parameter is of a type that is not known here, of number {oid}; cast it in the query.")
    name = kind.name if kind else "text"
    try:
        if kind and kind.element and format_code == _TEXT_CODE:
            return _array_from_text(kind, value.decode())
        if format_code == _TEXT_CODE:
            return _FROM_TEXT.get(name, str)(value.decode())
        return _FROM_BINARY.get(name, bytes.decode)(value)
    except (ValueError, struct.error, OverflowError) as error:
        raise QueryError(f"A parameter cannot be read as {name}, in {('text', 'binary')[format_code]}.") from error


def _read(layout: str) -> Callable[[bytes], Any]:
    return lambda value: struct.unpack("!" + layout, value)[0]


def _numeric_from_binary(value: bytes) -> str:
    count, weight, sign, scale = struct.unpack_from("!hhHh", value)
    groups = struct.unpack_from(f"!{count}h", value, 8)
    total = sum((Decimal(group).scaleb(4 * (weight - at)) for at, group in enumerate(groups)), Decimal())
    return format((-total if sign == _NEGATIVE else total).quantize(Decimal(1).scaleb(-scale)), "f")


def _array_from_text(kind: PostgresType, text: str) -> list[Any]:
    r"""An array as PostgreSQL writes it (section 8.15.6): ``{1,NULL,"a\"b"}``, of one dimension."""
    if not (text.startswith("{") and text.endswith("}")):
        raise ValueError("not an array")
    body = text[1:-1]
    members: list[Any] = []
    if not body:
        return []
    for quoted, bare in re.findall(r'(?:"((?:[^"\\]|\\.)*)"|([^,"{}]+))(?:,|\Z)', body, re.DOTALL):
        if not quoted and bare.strip(_SPACES).upper() == "NULL":
            members.append(None)
        else:
            member = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if not bare else bare.strip(_SPACES)
            members.append(parameter(kind.element, _TEXT_CODE, member.encode()))
    return members


def _array_from_binary(value: bytes) -> list[Any]:
    dimensions, _, element = struct.unpack_from("!iiI", value)
    if dimensions == 0:
        return []
    if dimensions > 1:
        raise ValueError("nested")
    (count,) = struct.unpack_from("!i", value, 12)
    at, members = 20, []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", value, at)
        at += 4
        members.append(None if length < 0 else parameter(element, _BINARY_CODE, value[at : at + length]))
        at += max(length, 0)
    return members


_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "bool": lambda text: text.strip().lower() in {"t", "true", "y", "yes", "on", "1"},
    "int2": int,
    "int4": int,
    "int8": int,
    "oid": int,
    "float4": float,
    "float8": float,
}
"""DuckDB reads the others, such as times, where it wants one."""

_FROM_BINARY: dict[str, Callable[[bytes], Any]] = {
    "bool": lambda value: value != b"\x00",
    "int2": _read("h"),
    "int4": _read("i"),
    "int8": _read("q"),
    "oid": _read("I"),
    "float4": _read("f"),
    "float8": _read("d"),
    "date": lambda value: (date(2000, 1, 1) + timedelta(days=_read("i")(value))).isoformat(),
    "timestamp": lambda value: _EPOCH + timedelta(microseconds=_read("q")(value)),
    "timestamptz": lambda value: _EPOCH + timedelta(microseconds=_read("q")(value)),
    "numeric": _numeric_from_binary,
    "uuid": lambda value: str(UUID(bytes=value)),
} | {
    "_" + name: _array_from_binary
    for name in (
        "bool",
        "int2",
        "int4",
        "int8",
        "float4",
        "float8",
        "oid",
        "text",
        "varchar",
        "timestamp",
        "timestamptz",
    )
}
"""The others are text in either format."""

PARAMETER_DEFAULT = OIDS["text"]
"""What clients are told of a parameter whose type nobody names: DuckDB takes a text for any."""
