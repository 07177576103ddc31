"""Serialized values, in whatever form a sender writes them, give what protobuf reads."""

from __future__ import annotations

import pyarrow as pa
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from collector.wire import MalformedRequestError
from collector.wire_values import KINDS, WireValues

INT64 = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.one_of(
    st.builds(AnyValue, string_value=st.text(max_size=20)),
    st.builds(AnyValue, string_value=st.integers(100, 20_000).map(lambda size: "é" * size)),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, int_value=INT64),
    st.builds(AnyValue, double_value=st.floats(allow_nan=False)),
    st.builds(AnyValue, bytes_value=st.binary(max_size=300)),
    st.just(AnyValue()),
)
VALUES = st.one_of(
    SCALARS,
    st.builds(lambda values: AnyValue(array_value=ArrayValue(values=values)), st.lists(SCALARS, max_size=3)),
    st.builds(
        lambda value: AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=value)])),
        SCALARS,
    ),
)
UNKNOWN = b"\x98\x06\x07"
"""Field 99, a varint: no such field of AnyValue is known."""


def non_minimal(raw: bytes) -> bytes:
    """A length or a number in one byte more than it needs."""
    end = next((place for place in range(1, len(raw)) if raw[place] < 0x80), None)
    if raw[:1] in {b"\x21", b""} or end is None or end > 8:
        return raw
    return raw[:end] + bytes((raw[end] | 0x80, 0)) + raw[end + 1 :]


FORMS = st.sampled_from(
    [
        lambda raw: raw,
        lambda raw: raw + UNKNOWN,
        lambda raw: UNKNOWN + raw,
        lambda raw: AnyValue(int_value=7).SerializeToString() + raw,
        non_minimal,
    ]
)


def plain(value: AnyValue) -> object:
    """What a column holds of a value."""
    kind = value.WhichOneof("value")
    if kind in {"array_value", "kvlist_value"}:
        return kind, getattr(value, kind).SerializeToString()
    return kind if kind is None else (kind, getattr(value, kind))


def columns_of(raw: list[bytes], skipped: int = 0) -> dict[str, pa.Array]:
    """The columns of serialized values."""
    values = WireValues.of(pa.array(raw, pa.binary()).slice(skipped))
    return {kind: values.column(kind) for kind in KINDS}


@given(st.lists(st.tuples(VALUES, FORMS), max_size=12), st.integers(0, 3))
def test_every_form_gives_what_protobuf_reads(given_values: list[tuple[AnyValue, object]], skipped: int) -> None:
    """One kind for each value, its value exact, whatever the form and wherever the array begins."""
    raw = [form(value.SerializeToString()) for value, form in given_values]  # type: ignore[operator]
    columns = columns_of(raw, skipped)
    for kind, column in columns.items():
        column.validate(full=True)
        assert column.type == KINDS[kind]
    for row, expected in enumerate(raw[skipped:]):
        found = [(kind, column[row].as_py()) for kind, column in columns.items() if column[row].is_valid]
        wanted = plain(AnyValue.FromString(expected))
        assert found == ([] if wanted is None else [wanted])


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_any_bytes_are_read_as_protobuf_reads_them_or_refused(raw: list[bytes]) -> None:
    """Bytes that protobuf does not take are refused, and only those."""
    try:
        wanted = [plain(AnyValue.FromString(item)) for item in raw]
    except DecodeError:
        with pytest.raises(MalformedRequestError):
            columns_of(raw)
        return
    columns = columns_of(raw)
    for row, expected in enumerate(wanted):
        found = [(kind, column[row].as_py()) for kind, column in columns.items() if column[row].is_valid]
        assert str(found) == str([] if expected is None else [expected])
