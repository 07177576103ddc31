"""Outcome files become feedback rows, whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import resource
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import table_file
from analytics.feedback_file import Columns, FeedbackFileError, read_feedback
from analytics.table_file import LONGEST_LINE
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


ARRIVED = datetime(2026, 11, 22, 8, 30)
TRACE = "0af7651916cd43dd8448eb211c80319c"
HEAD = "time,name,value,key\n"
GOOD = "1793000000,a,1,k\n"
LINE = '{"time": 1793000000, "name": "a", "key": "k", "value": %s}'
Rows = list[dict[str, Any]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Rows]:
    """Writes a file and reads it as feedback; event times as nanoseconds since 1970."""

    def reader(name: str, content: str | bytes | pl.DataFrame) -> Rows:
        path = tmp_path / name
        if isinstance(content, pl.DataFrame):
            content.write_parquet(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return rows_of(read_feedback(path, ARRIVED))

    return reader


def rows_of(table: pa.Table) -> Rows:
    """The rows, with event times as nanoseconds since 1970."""
    frame = pl.DataFrame(pl.from_arrow(table))
    return frame.with_columns(pl.col("event_time").dt.epoch("ns")).to_dicts()


def one_time(read: Callable[..., Rows], text: str) -> int:
    """The event time of one row."""
    time: int = read("f.csv", f'time,name,value,key\n"{text}",thumbs_down,1,k\n')[0]["event_time"]
    return time


def nanoseconds(*parts: int) -> int:
    """A UTC moment as nanoseconds since 1970."""
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[misc, arg-type]


def test_three_formats_one_meaning(read: Callable[..., Rows]) -> None:
    """The same outcomes as CSV, JSON Lines and Parquet are the same rows."""
    head = ["time", "name", "value", "label", "trace_id", "key", "source", "comment", "id", "channel"]
    given_rows = [
        ["2026-11-02T10:00:00.5Z", "thumbs_down", "1", None, TRACE, None, "widget", "so, so", "a1", "web"],
        ["1793000000", "escalated", None, "true", None, "T-1", None, 'zwei\nZeilen "ü"', None, None],
    ]  # fmt: skip
    text = io.StringIO()
    csv.writer(text).writerows([head, *given_rows])
    records = [dict(zip(head, row, strict=True)) for row in given_rows]
    lines = "\n".join(json.dumps(record) for record in records)
    from_csv = read("f.csv", text.getvalue())
    assert from_csv == read("f.jsonl", lines)
    assert from_csv == read("f.ndjson", lines + "\n\n")
    assert from_csv == read("f.parquet", pl.DataFrame(records))
    assert from_csv == [
        {
            "event_time": nanoseconds(2026, 11, 2, 10) + 500_000_000, "name": "thumbs_down", "value": 1.0,
            "label": None, "trace_id": TRACE, "span_id": None, "response_id": None, "conversation_id": None,
            "key": None, "source": "widget", "comment": "so, so", "id": "a1", "attributes": '{"channel":"web"}',
            "received_at": ARRIVED,
        },
        {
            "event_time": 1_793_000_000 * 10**9, "name": "escalated", "value": None, "label": "true", "trace_id": None,
            "span_id": None, "response_id": None, "conversation_id": None, "key": "T-1", "source": None,
            "comment": 'zwei\nZeilen "ü"', "id": None, "attributes": "{}", "received_at": ARRIVED,
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01", nanoseconds(2026, 11, 1)),
        ("2026-11-01T10:20", nanoseconds(2026, 11, 1, 10, 20)),
        ("2026-11-01 10:20:30", nanoseconds(2026, 11, 1, 10, 20, 30)),
        ("2026-11-01T10:20:30Z", nanoseconds(2026, 11, 1, 10, 20, 30)),
        ("2026-11-01t10:20:30z", nanoseconds(2026, 11, 1, 10, 20, 30)),
        ("2026-11-01T10:20:30.123456789Z", nanoseconds(2026, 11, 1, 10, 20, 30) + 123_456_789),
        ("2026-11-01T10:20:30+02:00", nanoseconds(2026, 11, 1, 8, 20, 30)),
        ("2026-11-01T10:20:30-0230", nanoseconds(2026, 11, 1, 12, 50, 30)),
        ("2026-11-01 10:20:30.5+02", nanoseconds(2026, 11, 1, 8, 20, 30) + 500_000_000),
        ("1970-01-01", 0),
        ("2261-12-31T23:59:59Z", nanoseconds(2261, 12, 31, 23, 59, 59)),
        ("1793000000", 1_793_000_000_000_000_000),
        ("1793000000.25", 1_793_000_000_250_000_000),
        ("1.793e9", 1_793_000_000_000_000_000),
        (" 1793000000123 ", 1_793_000_000_123_000_000),
        ("1793000000123456", 1_793_000_000_123_456_000),
        ("1793000000123456789", 1_793_000_000_123_456_789),
    ],
)
def test_times(read: Callable[..., Rows], text: str, moment: int) -> None:
    """ISO 8601 with and without offset, dates, and epochs of four units, to the nanosecond."""
    assert one_time(read, text) == moment


@pytest.mark.parametrize(
    "text",
    ["", "now", "nan", "inf", "1e300", "-1793000000", "0", "20261101", "9300000000", "99999999999", "2026-13-01",
     "2026-11-01T25:00Z", "01/02/2026", "1969-12-31", "2262-01-01", "2300-01-01", "1500-01-01",
     "9999-12-31T00:00:00+00:00", "2026-11-01T10:20:30+02:00:00"],
)  # fmt: skip
def test_what_is_no_time_is_refused(read: Callable[..., Rows], text: str) -> None:
    """Nothing that is not surely a time becomes one: no wrapping past 2262, no date without dashes read as seconds."""
    with pytest.raises(FeedbackFileError, match=r"row 1: time .*is not an ISO 8601 time or an epoch number"):
        one_time(read, text)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1.0), ("0", 0.0), ("true", 1.0), ("FALSE", 0.0), ("Yes", 1.0), ("no", 0.0), ("0.25", 0.25), (" -3 ", -3.0)],
)
def test_values(read: Callable[..., Rows], text: str, number: float) -> None:
    """Truths and numbers, in any case, with or without blanks."""
    assert read("f.csv", f"time,name,value,key\n2026-11-01,a,{text},k\n")[0]["value"] == number


@pytest.mark.parametrize("value", ["true", "1", "1.0", '"1"', '"True"'])
def test_json_values(read: Callable[..., Rows], value: str) -> None:
    """A truth in JSON may be a boolean, a number or a text."""
    line = '{"time": 1793000000, "name": "a", "key": "k", "value": ' + value + "}"
    assert read("f.jsonl", line)[0]["value"] == 1.0


@pytest.mark.parametrize(
    ("time", "value"),
    [
        (datetime(2026, 11, 1, 8, 20), True),
        (datetime(2026, 11, 1, 10, 20, tzinfo=timezone(timedelta(hours=2))), 1),
        (nanoseconds(2026, 11, 1, 8, 20), Decimal("1.00")),
        (nanoseconds(2026, 11, 1, 8, 20) // 10**9, 1.0),
        (float(nanoseconds(2026, 11, 1, 8, 20) // 10**9), "yes"),
    ],
)
def test_parquet_types(read: Callable[..., Rows], time: object, value: object) -> None:
    """Parquet's own times, zones, integers, decimals and booleans are read as what they are."""
    row = read("f.parquet", pl.DataFrame({"time": [time], "name": ["a"], "key": ["k"], "value": [value]}))[0]
    assert (row["event_time"], row["value"]) == (nanoseconds(2026, 11, 1, 8, 20), 1.0)


def test_parquet_keeps_nanoseconds_and_dates(read: Callable[..., Rows]) -> None:
    """A time of nanoseconds keeps them; a date is its midnight."""
    frame = pl.DataFrame({"name": ["a"], "key": ["k"], "value": [1]})
    exact = pl.Series("time", [1_793_000_000_123_456_789]).cast(pl.Datetime("ns"))
    assert read("f.parquet", frame.with_columns(exact))[0]["event_time"] == 1_793_000_000_123_456_789
    day = pl.Series("time", [date(2026, 11, 1)])
    assert read("f.parquet", frame.with_columns(day))[0]["event_time"] == nanoseconds(2026, 11, 1)
    far = pl.Series("time", [date(2300, 1, 1)])
    with pytest.raises(FeedbackFileError, match="between 1970 and 2262"):
        read("f.parquet", frame.with_columns(far))


def test_unknown_columns_are_kept(read: Callable[..., Rows]) -> None:
    """Other columns become attributes as text, whatever their name and type, also names that the reader uses itself."""
    frame = pl.DataFrame({
        "time": [1_793_000_000], "name": ["a"], "key": ["k"], "value": [1],
        "number": [7], "event_time": ["mine"], "attributes": ["also mine"], "list": [[1, 2]], "nested": [{"a": [1]}],
        "none": [None], "category": pl.Series(["q"], dtype=pl.Categorical), "v": [True],
    })  # fmt: skip
    row = read("f.parquet", frame)[0]
    assert json.loads(row["attributes"]) == {
        "number": "7", "event_time": "mine", "attributes": "also mine", "list": "[1,2]",
        "nested": '{"a":[1]}', "category": "q", "v": "true",
    }  # fmt: skip
    assert row["event_time"] == 1_793_000_000 * 10**9
    assert row["value"] == 1.0


def test_ids_are_in_the_stores_form(read: Callable[..., Rows]) -> None:
    """Trace and span ids in capitals or with dashes, as UUIDs have, find their trace; other keys stay as sent."""
    ids = "0AF76519-16CD-43DD-8448-EB211C80319C,B7AD6B7169203331"
    row = read("f.csv", f"time,name,value,trace_id,span_id,key\n1793000000,a,1,{ids},T-A\n")[0]
    assert row["trace_id"] == TRACE
    assert (row["span_id"], row["key"]) == ("b7ad6b7169203331", "T-A")


@pytest.mark.parametrize("name", ["f[1].csv", "f*.csv", "F.CSV", "f (1).csv", "ü.csv"])
def test_file_names_are_not_patterns(read: Callable[..., Rows], name: str) -> None:
    """A file name is taken as it is, with the brackets that browsers and people put into it."""
    assert len(read(name, "time,name,value,key\n1793000000,a,1,k\n")) == 1


def test_a_star_does_not_read_other_files(tmp_path: Path) -> None:
    """The file named f*.csv is read, not all that the pattern would match."""
    for name in ("f*.csv", "f1.csv"):
        (tmp_path / name).write_text(f"time,name,value,key\n1793000000,{name},1,k\n")
    assert [row["name"] for row in rows_of(read_feedback(tmp_path / "f*.csv", ARRIVED))] == ["f*.csv"]


def test_byte_order_marks_and_line_ends(read: Callable[..., Rows]) -> None:
    """Files saved on Windows read like any other."""
    plain = read("f.csv", "time,name,value,key\n1793000000,a,1,k\n")
    assert read("f.csv", b"\xef\xbb\xbftime,name,value,key\r\n1793000000,a,1,k\r\n") == plain
    assert read("f.jsonl", b'\xef\xbb\xbf{"time":1793000000,"name":"a","value":1,"key":"k"}\r\n') == plain


def test_an_empty_file_with_a_header_has_no_rows(read: Callable[..., Rows]) -> None:
    """No outcomes are no error."""
    assert read("f.csv", "time,name,value,key\n") == []


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("f.jsonl", LINE % 1 + '\n{"time": 1', "f.jsonl, line 2: it is not JSON: expecting ',' delimiter"),
        ("f.jsonl", LINE % '"\\ud800"', "f.jsonl, line 1: 'value' holds half of a surrogate pair. Nothing"),
        ("f.jsonl", LINE % "NaN", "f.jsonl, line 1: it is not JSON: NaN is not a value. Nothing"),
        ("f.jsonl", '{"key": 1, "key": 2}', "f.jsonl, line 1: it has the name 'key' twice in one object. Nothing"),
        ("f.jsonl", '{"key": 1}', "f.jsonl, row 1: time is not an ISO 8601 time"),
        ("f.jsonl", LINE % "1e999", "f.jsonl, row 1: value 'Infinity' is not"),
        ("f.jsonl", LINE % '{"a": 1}', "f.jsonl, line 1: value is an object, not a text or a number"),
        ("f.jsonl", "[" * 100_000, "f.jsonl, line 1: it is nested too deeply"),
        ("f.jsonl", "1", "f.jsonl, line 1: it is not a JSON object"),
        ("f.csv", "time,name,value,key\n1793000000,a,'1',k\n", "f.csv, row 1: value \"'1'\" is not 0/1"),
        ("f.csv", "time;name;value;key\n1;2;3;4\n", "f.csv: the column 'time' is missing; found time;name;value;key."),
        ("f.csv", HEAD + "1793000000,a," + "9" * 500 + ",k\n", "9" * 60 + "' is not 0/1"),
        ("f.csv", "", "f.csv cannot be read: its first line is empty, where the names of the columns stand."),
        ("f.csv", "\ntime,name,value,key\n", "f.csv cannot be read: its first line is empty"),
        ("f.csv", "time,name,,key\n", "f.csv, line 1: column 3 has no name."),
        ("f.csv", "time,name,value,key,value\n", "f.csv, line 1: two columns have the name 'value'."),
        ("f.csv", 'time,name,"val\nue",key\n', "f.csv, line 1: the names of the columns cannot be read"),
        ("f.csv", HEAD + GOOD + "1793000000,a,1\n", "f.csv, row 2: it has 3 fields, the header 4"),
        ("f.csv", HEAD + GOOD + '1793000000,a,1,"k\n' + GOOD, "f.csv, row 2: a quote is left open"),
        ("f.csv", HEAD + GOOD + "1793000000,a,1,k,x\n", "f.csv, row 2: it has 5 fields, the header 4."),
        ("f.csv", HEAD + GOOD + "1793000000,a\0,1,k\n", "f.csv, line 3: it holds a NUL byte"),
        ("f.csv", (HEAD + GOOD).encode("utf-16"), "f.csv cannot be read: it is UTF-16; save it as UTF-8."),
        ("f.csv", (HEAD + GOOD).encode("utf-16-le"), "f.csv, line 1: it holds a NUL byte"),
        ("f.csv", (HEAD + GOOD).encode() + b"1793000000,\xe9,1,k\n", "f.csv, line 3: it is not UTF-8 text."),
        ("f.csv", (HEAD + GOOD).encode() + b"1793000000,\xc3", "f.csv, line 3: it is not UTF-8 text."),
        ("f.csv", "time,name,value,trace_id\n1793000000,a,1,abc\n", "f.csv, row 1: trace_id 'abc' is not 32 hex"),
        ("f.csv", HEAD + GOOD + "1793000000,a,1," + "k" * LONGEST_LINE + "\n", "line 3: it is longer than 4 MiB"),
        ("f.csv", HEAD + GOOD + '1793000000,a,1,"' + "k\n" * LONGEST_LINE, "read: a row is longer than 4 MiB"),
        ("f.jsonl", LINE % 1 + "\n" + " " * LONGEST_LINE + "{}", "f.jsonl, line 2: it is longer than 4 MiB"),
        ("f.csv.gz", "no gzip", "f.csv.gz cannot be read: it is not whole, or not what its name says."),
        ("f.csv.gz", gzip.compress((HEAD + GOOD * 999).encode())[:-9], "f.csv.gz cannot be read: it is not whole"),
        ("f.jsonl.gz", gzip.compress(b"\n" * 2**20 + b" " * 2**24), f"line {2**20 + 1}: it is longer than 4 MiB"),
        ("f.jsonl.zst", "no zstd", "f.jsonl.zst cannot be read: "),
        ("f.parquet.gz", "x", "f.parquet.gz: name a .csv, .jsonl or .parquet file, the former two perhaps with .gz"),
        ("f.txt", "x", "f.txt: name a .csv, .jsonl or .parquet file"),
        ("gz", "x", "gz: name a .csv, .jsonl or .parquet file"),
        ("f.parquet", "x", "f.parquet cannot be read: "),
    ],
)  # fmt: skip
def test_sentences(read: Callable[..., Rows], name: str, content: str | bytes, sentence: str) -> None:
    """What is wrong is one line that names the file, the row and the value."""
    with pytest.raises(FeedbackFileError) as caught:
        read(name, content)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_compressed_text_is_read_as_it_is(read: Callable[..., Rows]) -> None:
    """By gzip, in several members too, and by zstd."""
    plain = read("f.csv", HEAD + GOOD * 2)
    assert read("f.csv.gz", gzip.compress((HEAD + GOOD).encode()) + gzip.compress(GOOD.encode())) == plain
    assert read("f.CSV.ZST", pa.compress((HEAD + GOOD * 2).encode(), "zstd", asbytes=True)) == plain
    assert read("f.ndjson.gz", gzip.compress((LINE % 1 + "\n").encode() * 2)) == plain


def test_quoted_texts_of_several_lines(read: Callable[..., Rows]) -> None:
    """Rows are counted, not lines; a quote within quotes is doubled."""
    text = HEAD + '1793000000,a,1,"k\n""1"""\n' + GOOD + "1793000000,a,maybe,k\n"
    with pytest.raises(FeedbackFileError, match="row 3: value 'maybe'"):
        read("f.csv", text)
    assert [row["key"] for row in read("f.csv", text.replace("maybe", "0"))] == ['k\n"1"', "k", "k"]


def test_rows_and_bytes_are_bounded(read: Callable[..., Rows], monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that unpacks to a large one, of any number of rows, ends at the bound."""
    monkeypatch.setattr(table_file, "MOST_BYTES", 2**21)
    with pytest.raises(FeedbackFileError, match=r"f\.jsonl\.gz has more than 2 MiB, unpacked: split it\. Nothing"):
        read("f.jsonl.gz", gzip.compress(b"\n" * 2**22))
    monkeypatch.setattr(table_file, "MOST_ROWS", 2)
    for name, content in (
        ("f.csv", HEAD + GOOD * 3), ("f.jsonl", (LINE % 1 + "\n") * 3),
        ("f.parquet", pl.DataFrame({"time": [1793000000] * 3, "name": "a", "key": "k", "value": 1})),
    ):  # fmt: skip
        with pytest.raises(FeedbackFileError, match="has more than 2 rows: split it"):
            read(name, content)


def test_columns_and_names_are_bounded(read: Callable[..., Rows], monkeypatch: pytest.MonkeyPatch) -> None:
    """A column for each of the names that only one line has would take lines times names of memory."""
    monkeypatch.setattr(table_file, "MOST_COLUMNS", 6)
    lines = [LINE[:-1] % 1 + f', "own{number}": "x"}}\n' for number in range(40)]
    rows = read("f.jsonl", "".join(lines))
    assert [json.loads(row["attributes"]) for row in rows] == [{f"own{number}": "x"} for number in range(40)]
    with pytest.raises(FeedbackFileError, match=r"line 2: it has more than 6 names\. Nothing"):
        read("f.jsonl", lines[0] + LINE[:-1] % 1 + ', "a": 1, "b": 2, "c": 3}')
    with pytest.raises(FeedbackFileError, match=r"f\.csv has 7 columns; 6 are read at most\. Nothing"):
        read("f.csv", "time,name,value,key,a,b,c\n")
    with pytest.raises(FeedbackFileError, match=r"line 1: it is an empty object\. Nothing"):
        read("f.jsonl", "{}\n")


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    """Wherever a file breaks off, it is one sentence."""
    path = tmp_path / "f.parquet"
    pl.DataFrame({"time": [1793000000], "name": "a", "key": "k", "value": 1}).write_parquet(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        with pytest.raises(FeedbackFileError, match=r"f\.parquet cannot be read: .*\. Nothing was imported\.$"):
            read_feedback(path, ARRIVED)


TICKETS = "ticket_id,closed_at,name,reopened\nT-1,2026-11-02,Ann,yes\nT-2,2026-11-03,Bo,no\n"


def test_an_export_is_read_as_it_is(tmp_path: Path) -> None:
    """Fields from other columns, and constants; a column that a constant stands in for is one among others."""
    path = tmp_path / "tickets.csv"
    path.write_text(TICKETS)
    columns = Columns({"time": "closed_at", "key": "ticket_id", "value": "reopened"}, {"name": "reopened"})
    rows = rows_of(read_feedback(path, ARRIVED, columns))
    assert [(row["name"], row["key"], row["value"]) for row in rows] == [("reopened", "T-1", 1), ("reopened", "T-2", 0)]
    assert [row["attributes"] for row in rows] == ['{"name":"Ann"}', '{"name":"Bo"}']
    assert rows[0]["event_time"] == nanoseconds(2026, 11, 2)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (Columns({"time": "closed"}), "the column 'closed', which was to be the time, is missing; found ticket_id,"),
        (Columns({"time": "closed_at"}), "a column 'value' or 'label' is missing"),
        (Columns({"time": "closed_at"}, {"value": "1"}), "at least one key column is needed: trace_id"),
        (
            Columns({"time": "name", "key": "ticket_id"}, {"value": "1", "name": "x"}),
            "row 1: time (column 'name') 'Ann'",
        ),
        (Columns({"time": "closed_at", "key": "ticket_id"}, {"value": "maybe"}), "row 1: value 'maybe' is not 0/1"),
    ],
)
def test_what_a_mapping_lacks(tmp_path: Path, columns: Columns, sentence: str) -> None:
    """The sentence names the column that the file has, or has not."""
    path = tmp_path / "tickets.csv"
    path.write_text(TICKETS)
    with pytest.raises(FeedbackFileError) as caught:
        read_feedback(path, ARRIVED, columns)
    assert sentence in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["f.csv", "f.jsonl"])
def test_a_line_of_two_gigabytes_takes_no_memory(tmp_path: Path, name: str) -> None:
    """It ends at the bound, with the number of the line."""
    path = tmp_path / name
    with path.open("wb") as file:
        file.write((HEAD + GOOD if name == "f.csv" else LINE % 1 + "\n").encode())
        for _ in range(2048):
            file.write(b"x" * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FeedbackFileError, match=r"line [23]: it is longer than 4 MiB"):
        read_feedback(path, ARRIVED)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_the_first_wrong_row_is_named(read: Callable[..., Rows]) -> None:
    """Of several wrong rows the first is told, whatever is wrong with it."""
    text = "time,name,value,key\n1793000000,a,1,k\n1793000000,a,1,\n1793000000,,1,k\nsoon,a,1,k\n"
    with pytest.raises(FeedbackFileError, match="row 2: key"):
        read("f.csv", text)


def test_a_column_that_has_no_text(read: Callable[..., Rows]) -> None:
    """A list where a time should stand is a wrong column, bytes that are no text are one sentence."""
    frame = pl.DataFrame({"name": ["a"], "key": ["k"], "value": [1]})
    with pytest.raises(FeedbackFileError, match=r"the column 'time' holds .*list.*, not a text or a number\."):
        read("f.parquet", frame.with_columns(time=pl.Series([[1_793_000_000]])))
    with pytest.raises(FeedbackFileError, match=r"f\.parquet cannot be read"):
        read("f.parquet", frame.with_columns(time=pl.Series([b"\xff\xfe"])))


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
RECORD = st.fixed_dictionaries({
    "time": st.datetimes(datetime(1970, 1, 1), datetime(2261, 12, 31)).map(datetime.isoformat),
    "name": TEXT.map(lambda text: text + "x"),
    "value": st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.sampled_from(["true", "No", "1"]),
    "key": TEXT.map(lambda text: "k" + text),
    "comment": st.none() | TEXT,
    "other column": st.none() | TEXT.filter(bool),
})  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(records=st.lists(RECORD, min_size=1, max_size=8))
def test_csv_and_json_lines_agree(tmp_path: Path, records: list[dict[str, str | None]]) -> None:
    """Random rows say the same in both formats, and are stored as they were read."""
    with (tmp_path / "f.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(records)
    (tmp_path / "f.jsonl").write_text("\n".join(json.dumps(record) for record in records), "utf-8")
    from_csv = rows_of(read_feedback(tmp_path / "f.csv", ARRIVED))
    from_json = rows_of(read_feedback(tmp_path / "f.jsonl", ARRIVED))
    for row in (*from_csv, *from_json):
        kept = json.loads(row.pop("attributes"))
        row["other"] = kept.get("other column")
    assert from_csv == from_json
    assert [row["name"].strip() for row in from_csv] == [str(record["name"]).strip() for record in records]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(content=st.binary(max_size=200) | TEXT.map(lambda text: f"time,name,value,key\n{text}".encode()),
       suffix=st.sampled_from([".csv", ".jsonl", ".parquet"]))  # fmt: skip
def test_random_bytes_are_refused_in_words(tmp_path: Path, content: bytes, suffix: str) -> None:
    """Whatever a file holds, it is read or refused with a sentence; nothing else escapes."""
    path = tmp_path / f"f{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(FeedbackFileError):
        assert read_feedback(path, ARRIVED)["event_time"].null_count == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(place=st.integers(0, 10**6), wrong=st.integers(0, 255))
def test_damaged_parquet_is_refused_in_words(tmp_path: Path, place: int, wrong: int) -> None:
    """One wrong byte in a Parquet file gives rows or a sentence, never a crash."""
    path = tmp_path / "f.parquet"
    pl.DataFrame({"time": [1_793_000_000], "name": ["a"], "key": ["k"], "value": [1]}).write_parquet(path)
    data = bytearray(path.read_bytes())
    data[place % len(data)] = wrong
    path.write_bytes(data)
    with contextlib.suppress(FeedbackFileError):
        read_feedback(path, ARRIVED)


def test_rows_fit_the_store(tmp_path: Path) -> None:
    """What is read can be written, once: by id where there is one, else by its target, name and source."""
    (tmp_path / "f.csv").write_text(
        "time,name,value,key,id,source\n1793000000,a,1,k,1,s\n1793000001,a,0,k,1,s\n1793000000,a,1,k,,s\n1793000000,a,1,k,,s\n"
    )
    rows = read_feedback(tmp_path / "f.csv", ARRIVED)
    with store_at(tmp_path / "s.duckdb") as store:
        assert store.write({"feedback": rows}) == {"feedback": 3}
        assert store.write({"feedback": rows}) == {"feedback": 0}
        assert store.read("SELECT count(*) AS n FROM feedback")["n"].to_pylist() == [2]
