"""What the store holds as JSON → attribute lists and events again, as if they had just been decoded.

JSON forgets some of what OTLP tells apart: octets are base64, a double without a fraction may come back as an integer,
NaN is a text. Readers (collector/read_values.py) take both forms for the same, so that a stored span normalises as it
did when it came.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from collector.any_value import MAX_NESTING, AnyValues, AttributeLists, Indices
from collector.decode import EventColumns
from collector.wire_values import KINDS

_SCALARS: Mapping[type, str] = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


class Members(list[tuple[str, Any]]):
    """The members of a JSON object, repeated names included."""


def _whole(digits: str) -> int | float:
    # A negative zero was a double.
    return -0.0 if digits == "-0" else int(digits)


parsed = json.JSONDecoder(object_pairs_hook=Members, parse_int=_whole).decode
"""JSON text of the store → None, booleans, numbers, texts, lists and Members."""


def any_values(values: Sequence[Any]) -> AnyValues:
    """Parsed JSON values as a column of AnyValue: null has no kind, an integer beyond 64 bits is a double.

    Args:
        values: None, booleans, numbers, texts, lists, and objects as dicts or as Members.
    """
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) == 1 and (kind := _SCALARS.get(kinds.pop())):
        try:
            alike = pa.array(values, KINDS[kind])
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
            # An integer beyond 64 bits, or half of a surrogate pair.
            return _of_mixed(values)
        return AnyValues({name: alike if name == kind else pa.nulls(len(values), KINDS[name]) for name in KINDS})
    return _of_mixed(values)


def _of_mixed(values: Iterable[Any]) -> AnyValues:
    columns: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    length = 0
    for length, value in enumerate(values, 1):
        kind, plain = _kind_and_value(value)
        if kind is not None:
            column = columns[kind]
            column.extend([None] * (length - 1 - len(column)))
            column.append(plain)
    return AnyValues(
        {
            kind: pa.array(column + [None] * (length - len(column)), KINDS[kind])
            if column
            else pa.nulls(length, KINDS[kind])
            for kind, column in columns.items()
        }
    )


def _kind_and_value(value: Any) -> tuple[str | None, Any]:  # noqa: ANN401 (JSON has many types)
    if isinstance(value, str):
        return "string_value", value.encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return "bool_value", value
    if isinstance(value, int):
        return ("int_value", value) if _LOWEST <= value <= _HIGHEST else ("double_value", _as_double(value))
    if isinstance(value, float):
        return "double_value", value
    if isinstance(value, Members | dict):
        return "kvlist_value", _map(value, 1).SerializeToString()
    if isinstance(value, list):
        return "array_value", _list(value, 1).SerializeToString()
    return None, None


def _as_double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _list(items: Sequence[Any], depth: int) -> ArrayValue:
    return ArrayValue(values=[_message(item, depth) for item in items])


def _map(members: Members | dict[str, Any], depth: int) -> KeyValueList:
    pairs = members.items() if isinstance(members, dict) else members
    return KeyValueList(
        values=[
            KeyValue(key=name.encode("utf-8", "replace").decode(), value=_message(value, depth))
            for name, value in pairs
        ]
    )


def _message(value: Any, depth: int) -> AnyValue:  # noqa: ANN401 (JSON has many types)
    if depth >= MAX_NESTING:
        return AnyValue()
    if isinstance(value, Members | dict):
        return AnyValue(kvlist_value=_map(value, depth + 1))
    if isinstance(value, list):
        return AnyValue(array_value=_list(value, depth + 1))
    kind, plain = _kind_and_value(value)
    return AnyValue() if kind is None else AnyValue(**{kind: plain})


def attributes_from_json(texts: pa.Array, keys: Collection[str] | None = None) -> AttributeLists:
    """Attribute lists from stored JSON objects, one object for each owner; null stands for none.

    Args:
        texts: JSON objects, as AttributeLists.json_objects wrote them.
        keys: the names to take; all if None.

    Raises:
        ValueError: a text is not a JSON object.
    """
    return _attribute_lists([_members(text) for text in texts.to_pylist()], keys)


def _members(text: str | None) -> Members:
    members = Members() if text is None else parsed(text)
    if not isinstance(members, Members):
        raise ValueError(f"Stored attributes are a JSON object, not {text[:40] if text else text!r}.")  # noqa: TRY004
    return members


def _attribute_lists(owners: Sequence[Members], keys: Collection[str] | None) -> AttributeLists:
    wanted = [members if keys is None else [pair for pair in members if pair[0] in keys] for members in owners]
    names = pa.array([name for members in wanted for name, _ in members], pa.string())
    offsets = np.concatenate(([0], np.cumsum([len(members) for members in wanted]))).astype(np.int32)
    return AttributeLists(
        offsets, names.dictionary_encode(), any_values([value for members in wanted for _, value in members])
    )


def lengths_from_json(texts: pa.Array) -> Indices:
    """How many members the stored JSON arrays have; null stands for none.

    Raises:
        ValueError: a text is no JSON.
    """
    return np.array([0 if text is None else len(parsed(text)) for text in texts.to_pylist()], np.int64)


def events_from_json(texts: pa.Array, keys: Collection[str] | None = None) -> EventColumns:
    """Span events from the stored JSON arrays, one array for each span; null stands for none.

    Args:
        texts: JSON arrays of ``{"time_unix_nano", "name", "attributes"}``, as the table `spans` has them.
        keys: names of the events' attributes to take; all if None.

    Raises:
        ValueError: a text is no such array.
    """
    by_span = [[] if text is None else [dict(event) for event in parsed(text)] for text in texts.to_pylist()]
    events = [event for of_span in by_span for event in of_span]
    return EventColumns(
        offsets=np.concatenate(([0], np.cumsum([len(of_span) for of_span in by_span]))).astype(np.int32),
        time=np.array([event["time_unix_nano"] for event in events], np.uint64),
        name=pa.array([event["name"] for event in events], pa.string()),
        attributes=_attribute_lists([event["attributes"] for event in events], keys),
    )
