"""Feedback as JSON: what a body may be, and that whatever it holds it is packed or refused with a sentence."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.feedback import FeedbackError, checked_key, decode_feedback, encode_feedback, feedback_rows_of
from collector.redact import content_policy
from collector.wire import MalformedRequestError

NOW = datetime(2026, 11, 22, 8)
ROW = {"name": "thumbs_down", "value": True, "key": "T-1"}


def packed(value: Any, key: str | None = None) -> pa.Table:
    """The rows of a body, unpacked again."""
    return decode_feedback([encode_feedback(json.dumps(value).encode(), key)]).table


def test_a_row_rows_and_rows_in_an_object_are_the_same() -> None:
    """Three forms of a body; the key of the request stands in every row."""
    assert packed(ROW) == packed([ROW]) == packed({"feedback": [ROW]})
    assert packed([ROW, ROW], "k")["idempotency_key"].to_pylist() == ["k", "k"]
    assert packed([]).num_rows == 0


def test_a_time_is_the_arrival_where_none_is_said() -> None:
    """In any of the forms of a time; others stay as they are."""
    columns = decode_feedback([encode_feedback(json.dumps([ROW, ROW | {"time": "2026-11-02"}]).encode())])
    rows, _ = feedback_rows_of(columns, NOW)
    assert rows.tables["feedback"]["event_time"].cast("timestamp[us]").to_pylist() == [NOW, datetime(2026, 11, 2)]
    assert rows.tables["feedback"]["received_at"].to_pylist() == [NOW, NOW]
    assert rows.arrived == {None: (2, 0)}


@pytest.mark.parametrize(
    ("body", "sentence", "row", "field"),
    [
        (b"1", "it is neither a row (an object), an array of rows", None, None),
        (b"{", "it is not JSON", None, None),
        (b"[1]", "row 1: it is not an object", 1, None),
        (b"{}", "row 1: name is missing", 1, "name"),
        (b'{"a": 1}', "row 1: name is missing", 1, "name"),
        (b'{"feedback": [], "source": "x"}', "beside the array 'feedback' stands 'source'", None, None),
        (b'{"feedback": {}}', "row 1: name is missing", 1, "name"),
        (json.dumps([ROW, ROW | {"value": "maybe"}]).encode(), "row 2: value 'maybe' is not 0/1", 2, "value"),
        (json.dumps([ROW, ROW | {"key": ["a"]}]).encode(), "row 2: key is an array, not a text or a number", 2, "key"),
        (b'[{"name": "\\ud800"}]', "row 1: 'name' holds half of a surrogate pair", 1, "name"),
        (b"[" + b"{}," * 1_000_000 + b"{}]", "it holds more than 1,000,000 arrays and objects", None, None),
        (b"[" + b"{}," * 100_000 + b"{}]", "it holds 100,001 rows; send at most 100,000 at once", None, None),
    ],
)
def test_refused_bodies(body: bytes, sentence: str, row: int | None, field: str | None) -> None:
    """The sentence names the row and the field, and so does the error."""
    with pytest.raises(FeedbackError) as caught:
        encode_feedback(body)
    assert sentence in str(caught.value)
    assert (caught.value.row, caught.value.field) == (row, field)
    assert len(str(caught.value)) < 300


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["time", "name", "value", "label", "trace_id", "span_id", "key", "id", "comment", "x", "feedback"]
)


@given(
    body=st.binary(max_size=60) | st.lists(st.dictionaries(NAMES, VALUE)).map(lambda rows: json.dumps(rows).encode())
)
def test_any_body_is_packed_or_refused_in_words(body: bytes) -> None:
    """Nothing else escapes, and what is packed has rows that fit the store."""
    with contextlib.suppress(FeedbackError):
        table = decode_feedback([encode_feedback(body)]).table
        assert table["name"].null_count == 0


@given(payload=st.binary(max_size=200))
def test_what_was_not_packed_here_is_malformed(payload: bytes) -> None:
    """Whoever may queue bytes may not stop the thread that unpacks them."""
    with pytest.raises(MalformedRequestError):
        decode_feedback([payload])


@pytest.mark.parametrize(("given_key", "key"), [("abc", "abc"), (' "8e03978e-40d5" ', "8e03978e-40d5")])
def test_idempotency_keys(given_key: str, key: str) -> None:
    """A quoted string, as the draft has it, or the bare text, as most send it."""
    assert checked_key([given_key]) == key
    assert checked_key([]) is None


@pytest.mark.parametrize("keys", [[""], ["a", "a"], ["x" * 256], ["a b"], ["ä"], ['a"b']])
def test_what_is_no_idempotency_key(keys: list[str]) -> None:
    """Empty, twice, too long, or not of printable ASCII."""
    with pytest.raises(FeedbackError, match="Idempotency-Key"):
        checked_key(keys)


def test_content_policy_applies_to_what_people_wrote() -> None:
    """Labels, comments and attributes are searched for patterns and kept by their kind; keys stay."""
    policy = content_policy(
        {"prompts": "drop"}, truncate_characters=100, hash_key=None, attributes=["question"], patterns=["email"],
        custom_patterns={}, unmasked=["page"],
    )  # fmt: skip
    assert policy is not None
    mail = "joe@example.org"
    table, counts = policy.apply_to_feedback(
        packed(
            ROW | {"label": mail, "comment": f"ask {mail}", "key": mail, "question": "who?", "page": mail, "o": mail}
        )
    )
    (row,) = table.to_pylist()
    assert (row["label"], row["comment"], row["key"]) == ("[redacted:email]", "ask [redacted:email]", mail)
    assert json.loads(row["attributes"]) == {"o": "[redacted:email]", "page": mail}
    assert counts == {"masked:email": 3, "dropped": 1}


def test_names_of_each_row_cost_no_more_than_they_say() -> None:
    """A column for every name would be 4,000 rows of 80,000 columns, gigabytes of memory from a megabyte."""
    rows = [ROW | {f"a{row}_{name}": 1 for name in range(20)} for row in range(4000)]
    table = packed(rows)
    assert json.loads(table["attributes"][3999].as_py()) == {f"a3999_{name}": "1" for name in range(20)}
    assert table.nbytes < 4_000_000
