"""Rows of feedback, whichever way they come: what is refused, what they become, and what a repeated request adds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql import strict_json
from sql.feedback_rows import FIELDS, LONGEST, FeedbackRowError, attributes_text, feedback_rows
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


NOW = datetime(2026, 11, 22)
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenedStore]:
    """An empty store."""
    with store_at(tmp_path / "s.duckdb") as opened:
        yield opened


def rows(*given_rows: dict[str, str | None], received_at: datetime = NOW, key: str | None = None) -> pa.Table:
    """Checked rows, as one request or file brings them."""
    names = sorted({name for row in given_rows for name in row})
    frame = pl.DataFrame([{name: row.get(name) for name in names} for row in given_rows],
                         schema=dict.fromkeys(names, pl.String))  # fmt: skip
    fields = [name for name in names if name in FIELDS]
    checked = feedback_rows(frame.select(fields), frame.drop(fields))
    return checked.with_columns(
        pl.lit(received_at).cast(pl.Datetime("us")).alias("received_at"),
        pl.lit(key, pl.String).alias("idempotency_key"),
    ).to_arrow(compat_level=pl.CompatLevel.oldest())


def said(seconds: int, value: int, **fields: str) -> dict[str, str | None]:
    """A thumb of one trace, so many seconds after the first."""
    return {
        "time": str(1_793_000_000 + seconds),
        "name": "thumbs_down",
        "value": str(value),
        "trace_id": TRACE,
    } | fields


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"trace_id": "ab"}, "row 2: trace_id 'ab' is not 32 hex digits"),
        ({"trace_id": "0" * 32}, "row 2: trace_id '" + "0" * 32 + "' is not 32 hex digits, or all of them zero"),
        ({"span_id": "g" * 16}, "row 2: span_id 'gggggggggggggggg' is not 16 hex digits"),
        ({"name": "a\0b"}, "row 2: name 'a\\x00b' holds a NUL character"),
        ({"key": "k" * (LONGEST + 1)}, f"row 2: key '{'k' * 60}' has more than {LONGEST} characters"),
        ({"value": "inf"}, "row 2: value 'inf' is not 0/1, true/false or a number"),
        ({"time": " "}, "row 2: time is not an ISO 8601 time"),
    ],
)
def test_the_first_wrong_row_is_told(wrong: dict[str, str | None], sentence: str) -> None:
    """Its number, the field, and what it holds."""
    with pytest.raises(FeedbackRowError) as caught:
        rows(said(0, 1), said(1, 1) | wrong, said(2, 1, name=""))
    assert sentence in str(caught.value)
    assert caught.value.row == 2


def test_attributes_are_the_rows_own() -> None:
    """What else a row says is the same text whatever other rows say, and in whatever order the columns stand."""
    alone = rows(said(0, 1, channel="web"))["attributes"].to_pylist()
    beside = rows(said(0, 1, channel="web"), said(0, 1, agent='"x"', channel=""))["attributes"].to_pylist()
    assert alone == ['{"channel":"web"}'] == beside[:1]
    assert json.loads(beside[1]) == {"agent": '"x"'}


def test_a_row_may_lack_its_time_where_it_is_told_on_arrival() -> None:
    """Then it has none, while a wrong time is refused all the same."""
    frame = pl.DataFrame({"name": ["a"], "value": ["1"], "key": ["k"]})
    assert feedback_rows(frame, pl.DataFrame(), may_lack_time=True)["event_time"].to_list() == [None]
    with pytest.raises(FeedbackRowError, match="time 'soon' is not"):
        feedback_rows(frame.with_columns(time=pl.lit("soon")), pl.DataFrame(), may_lack_time=True)


def test_a_request_sent_again_after_a_correction_says_nothing_new(store: OpenedStore) -> None:
    """Down, up, and down again by the first request: up holds; the same rows by another request are a new word."""
    first, second = NOW + timedelta(seconds=1), NOW + timedelta(seconds=2)
    assert store.write({"feedback": rows(said(0, 1), key="k1")}) == {"feedback": 1}
    assert store.write({"feedback": rows(said(1, 0), received_at=first, key="k2")}) == {"feedback": 1}
    assert store.write({"feedback": rows(said(2, 1), received_at=second, key="k1")}) == {"feedback": 0}
    assert store.read("SELECT value FROM feedback")["value"].to_pylist() == [0.0]
    assert store.read("SELECT value FROM superseded_feedback")["value"].to_pylist() == [1.0]
    assert store.write({"feedback": rows(said(3, 1), received_at=second, key="k3")}) == {"feedback": 1}
    assert store.read("SELECT value FROM feedback")["value"].to_pylist() == [1.0]


@pytest.mark.file_only("a lake's write is of one moment, as each group of requests is a write of its own")
def test_a_request_sent_again_comes_with_the_first(store: OpenedStore) -> None:
    """Loaded in one batch, the repetition still says nothing; what one request says in turn all counts."""
    first, second = NOW + timedelta(seconds=1), NOW + timedelta(seconds=2)
    batch = pa.concat_tables(
        [
            rows(said(0, 1), key="k1"),
            rows(said(1, 0), received_at=first, key="k2"),
            rows(said(2, 1), received_at=second, key="k1"),
        ]
    )
    assert store.write({"feedback": batch}) == {"feedback": 2}
    assert store.read("SELECT value FROM feedback")["value"].to_pylist() == [0.0]
    turns = rows(said(0, 1, id="7"), said(1, 0, id="7"), said(2, 2, id="7"), key="k1")
    assert store.write({"feedback": turns}) == {"feedback": 3}
    assert store.read("SELECT value FROM feedback WHERE value > 1")["value"].to_pylist() == [2.0]


def becomes(store: OpenedStore, table: pa.Table) -> list[tuple[str, bool]]:
    """What the check says of each row."""
    numbered = table.add_column(0, "row_number", pa.array(range(table.num_rows), pa.int64()))
    answer = store.check("feedback", numbered, {"key_path": "/ticket.id"})
    assert answer["row_number"].to_pylist() == list(range(table.num_rows))
    return list(zip(answer["becomes"].to_pylist(), answer["is_matched"].to_pylist(), strict=True))


@pytest.mark.parametrize("stored", [0, 1, 2, 3])
def test_the_check_foretells_the_write(store: OpenedStore, stored: int) -> None:
    """As many rows are new or correct one as are then stored, whatever of them is known already."""
    given_rows = [
        said(0, 1), said(0, 1), said(1, 0), said(1, 0, name="escalated"), said(2, 0), said(-1, 2), said(4, 0, id="7"),
    ]  # fmt: skip
    if stored:
        store.write({"feedback": rows(*given_rows[:stored])})
    told = becomes(store, rows(*given_rows, received_at=NOW + timedelta(seconds=9)))
    written = store.write({"feedback": rows(*given_rows, received_at=NOW + timedelta(seconds=9))})["feedback"]
    assert sum(what != "repeat" for what, _ in told) == written
    again = rows(*given_rows, received_at=NOW + timedelta(seconds=10))
    assert [what for what, _ in becomes(store, again)] == ["repeat"] * len(given_rows)


TEXT = st.text(max_size=6)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(members=st.dictionaries(TEXT, VALUE, max_size=5))
def test_json_members_are_texts_that_say_the_same(members: dict[str, Any]) -> None:
    """A text stays, all else is its JSON, null is none."""
    read = strict_json.parse(json.dumps(members).encode())
    texts = strict_json.texts(read, ())
    assert texts.keys() == members.keys()
    for name, value in members.items():
        if isinstance(value, str) or value is None:
            assert texts[name] == value
        else:
            assert json.loads(texts[name] or "") == value


@given(members=st.dictionaries(TEXT, VALUE, max_size=5))
def test_json_members_keep_their_type(members: dict[str, Any]) -> None:
    """Each is the JSON of the same value; null is one."""
    found = strict_json.typed(strict_json.parse(json.dumps(members)))
    assert {name: json.loads(text) for name, text in found.items()} == members


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (float("inf"), "it holds a number that is too large"),
        ({"a": ["\ud800"]}, "it holds half of a surrogate pair"),
        (json.loads("[" * 33 + "]" * 33), "it is nested deeper than 32 levels"),
        (NOW, "it holds a value that JSON has no word for"),
    ],
)
def test_what_cannot_be_stored_is_not_written(value: object, sentence: str) -> None:
    """One clause says why."""
    with pytest.raises(strict_json.JsonError, match=f"^{sentence}$"):
        strict_json.write(value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'{"a": 1', "it is not JSON: expecting ',' delimiter at character 8"),
        (b'{"a": NaN}', "it is not JSON: NaN is not a value"),
        (b'{"a": {"b": 1, "b": 2}}', "it has the name 'b' twice in one object"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"9" * 5000, "it is not JSON that can be read: a number has too many digits"),
        (b'{"a": "\xff"}', "it is not UTF-8 text: see byte 8"),
        (b"", "it is not JSON: expecting value at character 1"),
        (b'{"a": "\\ud800"}', "'a' holds half of a surrogate pair"),
        (b'{"\\ud800": 1}', "'\\ud800' holds half of a surrogate pair"),
        (b'{"a": ["\\udc00"]}', "'a' holds half of a surrogate pair"),
        (b'{"a": ' + b"[" * 33 + b"]" * 33 + b"}", "'a' is nested deeper than 32 levels"),
        (b'{"plain": [1]}', "plain is an array, not a text or a number"),
        (b'{"plain": {}}', "plain is an object, not a text or a number"),
    ],
)
def test_json_that_could_be_read_in_two_ways_is_refused(text: bytes, sentence: str) -> None:
    """One clause says why, whatever the text holds."""
    with pytest.raises(strict_json.JsonError) as caught:
        strict_json.texts(strict_json.parse(text), {"plain"})
    assert str(caught.value) == sentence


def test_what_was_said_of_one_moment_is_taken_once_and_the_last_of_it_holds(store: OpenedStore) -> None:
    """A file whose times are days has a row and its correction of the same day: importing it again adds nothing."""
    given_rows = [said(0, 1), said(0, 0), *(said(0, value, name="stars") for value in (0, 1, 3))]
    for seconds, stored in enumerate([5, 0, 0]):
        table = rows(*given_rows, received_at=NOW + timedelta(seconds=seconds))
        told = [what for what, _ in becomes(store, table)]
        assert store.write({"feedback": table}) == {"feedback": stored}
        assert sum(what != "repeat" for what in told) == stored
        assert store.read("SELECT value FROM feedback ORDER BY value")["value"].to_pylist() == [0.0, 3.0]
        assert store.read("FROM superseded_feedback").num_rows == 3


@pytest.mark.parametrize("key", [None, "k1"])
def test_a_request_and_its_repetition_loaded_at_one_moment_are_one(store: OpenedStore, key: str | None) -> None:
    """Their rows have the same times: what one request says in turn is not said twice in turn."""
    request = rows(said(0, 1), said(0, 0), key=key)
    assert store.write({"feedback": pa.concat_tables([request, request])}) == {"feedback": 2}
    assert store.read("SELECT value FROM feedback")["value"].to_pylist() == [0.0]
    assert store.read("SELECT value FROM superseded_feedback")["value"].to_pylist() == [1.0]


def test_the_check_calls_an_older_word_that_stands_a_repetition(store: OpenedStore) -> None:
    """The write passes over it, although something else was said in between."""
    store.write({"feedback": rows(said(1, 0))})
    store.write({"feedback": rows(said(2, 1))})
    older = rows(said(0, 1), received_at=NOW + timedelta(seconds=1))
    assert [what for what, _ in becomes(store, older)] == ["repeat"]
    assert store.write({"feedback": older}) == {"feedback": 0}


def test_attributes_are_the_same_whether_rows_come_as_columns_or_as_json() -> None:
    """Else a row from a file and the same row posted would contradict each other."""
    texts = {'a"\n\x1f\x7f': "é\\ \u2028 \U0001f600\x01", "B": "1", "empty": "", "absent": None}
    columns = pl.DataFrame({name: pl.Series([text], dtype=pl.String) for name, text in texts.items()})
    row = pl.DataFrame([said(0, 1)])
    as_json = feedback_rows(row, pl.Series([attributes_text(texts)]))
    assert as_json["attributes"].to_list() == feedback_rows(row, columns)["attributes"].to_list()
