"""Rows as table, CSV, JSON, JSON Lines, Parquet and Arrow."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanverdict.output import FORMATS, printable, records, write_rows
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[str], pa.Table]:
    """Answers a query as the product does."""
    path = tmp_path / "types.duckdb"
    store_at(path).close()

    def answer(query: str) -> pa.Table:
        with store_at(path, read_only=True) as store:
            return store.read(query)

    return answer


def written(rows: pa.Table, form: str, folder: Path) -> str:
    """The rows in a text form."""
    write_rows(rows, form, folder / "out")
    return (folder / "out").read_bytes().decode()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("TIMESTAMP_NS '2026-01-02 03:04:05.123456789'", "2026-01-02T03:04:05.123456789"),
        ("TIMESTAMP_NS '2026-01-02 03:04:05.1'", "2026-01-02T03:04:05.1"),
        ("TIMESTAMP_NS '2026-01-02 00:00:00'", "2026-01-02T00:00:00"),
        ("TIMESTAMP '2026-01-02 03:04:05.5'", "2026-01-02T03:04:05.5"),
        ("TIMESTAMPTZ '2026-01-02 03:04:05+02'", "2026-01-02T01:04:05Z"),
        ("DATE '2026-01-10'", "2026-01-10"),
        ("DATE '20000-01-01'", "20000-01-01"),
        ("TIME_NS '10:00:00.000000001'", "10:00:00.000000001"),
        ("INTERVAL '1 month 2 days 3.5 seconds'", "P1M2DT3.5S"),
        ("[TIMESTAMP_NS '2026-01-02 03:04:05.123456789', NULL]", ["2026-01-02T03:04:05.123456789", None]),
        ("{'at': TIMESTAMP_NS '2026-01-02 03:04:05.123456789'}", {"at": "2026-01-02T03:04:05.123456789"}),
        ("MAP {'a': 'nan'::DOUBLE, 'b': 1.5}", {"a": None, "b": 1.5}),
        ("union_value(a := 'x')", "x"),
        ("'nan'::DOUBLE", None),
        ("'-inf'::FLOAT", None),
        ("['nan'::DOUBLE, 1]", [None, 1.0]),
        ("1.10::DECIMAL(18, 3)", 1.1),
        ("3::DECIMAL(18, 3)", 3),
        ("170141183460469231731687303715884105727::HUGEINT", 2**127 - 1),
        ("'\\xAA\\x00'::BLOB", "aa00"),
        ("true", True),
        ("NULL", None),
        ("'héllo'", "héllo"),
    ],
)
def test_values_in_json(ask: Callable[[str], pa.Table], tmp_path: Path, expression: str, value: object) -> None:
    """Every type becomes plain JSON, without loss where JSON can hold it, and null for what is no number."""
    text = written(ask(f"SELECT {expression} AS v"), "json", tmp_path)
    assert json.loads(text, parse_constant=pytest.fail) == [{"v": value}]


def test_all_text_forms_tell_the_same(ask: Callable[[str], pa.Table], tmp_path: Path) -> None:
    """JSON and JSON Lines hold equal records; CSV holds the same values as text, decimals exact, null unlike empty."""
    rows = ask("""
        SELECT 1 AS i, TIMESTAMP_NS '2026-01-02 03:04:05.123456789' AS at, 12345678901234567890.25::DECIMAL(38, 2) AS d,
            NULL AS nothing, '' AS empty, 'a,"b"' AS quoted, true AS yes, [1, NULL] AS list
        UNION ALL SELECT 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    """)
    as_json = json.loads(written(rows, "json", tmp_path))
    assert (
        [json.loads(line) for line in written(rows, "jsonl", tmp_path).splitlines()] == as_json == list(records(rows))
    )
    text = written(rows, "csv", tmp_path)
    assert text.splitlines()[1].startswith('1,2026-01-02T03:04:05.123456789,12345678901234567890.25,,"",')
    parsed = list(csv.DictReader(io.StringIO(text)))
    assert parsed[0]["quoted"] == 'a,"b"'
    assert (parsed[0]["yes"], parsed[0]["list"]) == ("true", "[1, null]")
    assert set(parsed[1].values()) == {"2", ""}


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_binary_forms_round_trip(ask: Callable[[str], pa.Table], tmp_path: Path, form: str) -> None:
    """Parquet and Arrow keep every value and type."""
    rows = ask("""
        SELECT range AS n, TIMESTAMP_NS '2026-01-02 03:04:05.123456789' AS at, 'nan'::DOUBLE AS x, NULL::VARCHAR AS s,
            [1, 2] AS l FROM range(1000)
    """)
    write_rows(rows, form, tmp_path / "out")
    read = pq.read_table(tmp_path / "out") if form == "parquet" else pa.ipc.open_stream(tmp_path / "out").read_all()
    assert read.schema.types[:2] == [pa.int64(), pa.timestamp("ns")]
    assert math.isnan(read["x"][0].as_py())
    assert read.drop_columns(["x"]).equals(rows.drop_columns(["x"]).cast(read.drop_columns(["x"]).schema))


def test_parquet_says_what_it_cannot_hold(ask: Callable[[str], pa.Table], tmp_path: Path) -> None:
    """A type that Parquet does not know is a usage error with the way out, and no file is left."""
    with pytest.raises(click.UsageError, match="Cast it to VARCHAR"):
        write_rows(ask("SELECT INTERVAL 1 DAY AS i"), "parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", FORMATS)
def test_columns_of_one_name_are_all_kept(ask: Callable[[str], pa.Table], tmp_path: Path, form: str) -> None:
    """SQL allows two columns of one name; no form drops one or fails."""
    rows = ask("SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a")
    names = ["a", "a_2", "a_1", "a_3"]
    write_rows(rows, form, tmp_path / "out")
    if form in {"parquet", "arrow"}:
        read = pq.read_table(tmp_path / "out") if form == "parquet" else pa.ipc.open_stream(tmp_path / "out").read_all()
        assert read.column_names == names
        return
    text = (tmp_path / "out").read_text()
    if form in {"json", "jsonl"}:
        parsed = json.loads(text) if form == "json" else [json.loads(text)]
        assert parsed == [dict(zip(names, [1, 2, 3, 4], strict=True))]
    else:
        assert text.replace(",", " ").replace('"', "").split() == [*names, "1", "2", "3", "4"]


@pytest.mark.parametrize("form", FORMATS)
def test_no_rows_are_still_an_answer(ask: Callable[[str], pa.Table], tmp_path: Path, form: str) -> None:
    """An empty result keeps its columns where the form has any."""
    write_rows(ask("SELECT 1 AS n WHERE false"), form, tmp_path / "out")
    expected = {"table": "n\n", "csv": "n\n", "spreadsheet": '"n"\n', "json": "[]\n", "jsonl": ""}
    if form in expected:
        assert (tmp_path / "out").read_text() == expected[form]
    else:
        assert (tmp_path / "out").stat().st_size > 0


def test_a_binary_form_does_not_go_to_a_terminal(
    ask: Callable[[str], pa.Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes are kept off a terminal; a file takes them."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    rows = ask("SELECT 1 AS n")
    for form in ("parquet", "arrow"):
        with pytest.raises(click.UsageError, match="--out"):
            write_rows(rows, form, None)
        write_rows(rows, form, tmp_path / form)


def test_a_file_that_cannot_be_written_is_said(ask: Callable[[str], pa.Table], tmp_path: Path) -> None:
    """Text and binary alike: a usage error that names the file."""
    for form in FORMATS:
        with pytest.raises(click.UsageError, match="gone/out cannot be written: No such file or directory"):
            write_rows(ask("SELECT 1 AS n"), form, tmp_path / "gone" / "out")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [("\x1b[31mred", r"\x1b[31mred"), ("a\rb\x07\x9b", r"a\x0db\x07\x9b"), ("\x00\x7f", r"\x00\x7f"),
     ("\u202egpj.exe", r"\u202egpj.exe"), ("a\u2028b", r"a\u2028b"), ("wörld 日本\n", "wörld 日本\n")],
)  # fmt: skip
def test_control_characters_are_spelled_out(sent: str, shown: str) -> None:
    """What could steer a terminal or reorder a line is shown as its escape; text stays."""
    assert printable(sent) == shown


def test_hostile_content_is_inert_in_a_table(tmp_path: Path) -> None:
    """Escapes, markup and control characters of stored text and names reach neither terminal nor layout."""
    rows = pa.table({"\x1b]0;owned\x07": ["\x1b[2J[bold red]x[/]", "\u2066\u2028"], "n": [1, 2]})
    text = written(rows, "table", tmp_path)
    assert not set(text) & {chr(code) for code in (*range(10), *range(11, 32), 127, *range(128, 160), 0x2028, 0x2066)}
    assert len(text.splitlines()) == 3
    assert r"\x1b[2J[bold red]x[/]" in text


def test_a_table_is_aligned(tmp_path: Path) -> None:
    """Numbers stand to the right, text to the left, long content is not cut in a file."""
    rows = pa.table({"name": ["a", "b" * 500], "n": [1, 1000]})
    lines = written(rows, "table", tmp_path).splitlines()
    assert [len(line) for line in lines] == [506] * 3
    assert lines[1] == "a" + " " * 504 + "1"


HOSTILE = (
    '=HYPERLINK("http://evil.example","x")', "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1",
    "a;=1", 'a",=1', "two\nlines", "two\r\nlines", "\x1b[2J\x9b31m\x07\x00", "\u202egpj.exe", "a\u2028b",
    "<script>alert(1)</script>", "[bold red]x[/]", "|a|b|", "\u4e00" * 50, "x" * 1_000_000, "", "'quoted", "-1",
)  # fmt: skip
CONTROLS = {chr(code) for code in (*range(10), *range(11, 32), 127, *range(128, 160), 0x2028, 0x202E)}


@pytest.fixture
def hostile_rows() -> pa.Table:
    """Rows with every hostile text, also as the name of a column, beside a number below zero."""
    return pa.table({"said": list(HOSTILE), "=1+1\x1b\n": ["x"] * len(HOSTILE), "n": [-1] * len(HOSTILE)})


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
def test_data_stay_what_they_are(hostile_rows: pa.Table, tmp_path: Path, form: str) -> None:
    """CSV (RFC 4180), JSON and JSON Lines in a file give back every text to the character."""
    write_rows(hostile_rows, form, tmp_path / "out")
    text = (tmp_path / "out").read_bytes().decode()
    if form == "csv":
        csv.field_size_limit(2_000_000)
        parsed = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    else:
        parsed = json.loads(text) if form == "json" else [json.loads(line) for line in text.split("\n")[:-1]]
        assert not set(text) & (CONTROLS - {"\n"}), "and JSON can be looked at"
    assert tuple(row["said"] for row in parsed) == HOSTILE
    assert set(parsed[0]) == {"said", "=1+1\x1b\n", "n"}
    assert {str(row["n"]) for row in parsed} == {"-1"}


@pytest.mark.parametrize("form", ["table", "csv", "spreadsheet", "json", "jsonl"])
def test_no_control_reaches_a_terminal(
    hostile_rows: pa.Table, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """On a terminal no form lets a stored text act."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    write_rows(hostile_rows, form, None)
    shown = capsys.readouterr().out
    assert not set(shown) & CONTROLS
    assert "\\x1b" in shown or "\\u001b" in shown


@pytest.mark.parametrize("terminal", [False, True])
def test_a_table_has_a_line_for_each_row(
    hostile_rows: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    terminal: bool,
) -> None:  # fmt: skip
    """No text draws a row, moves a column or floods a screen; what was cut is said to be."""
    if terminal:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "120")
        write_rows(hostile_rows, "table", None)
        text = capsys.readouterr().out
    else:
        text = written(hostile_rows, "table", tmp_path)
    header, *lines = text.splitlines()
    assert header.split() == ["said", r"=1+1\x1b\n", "n"]
    assert len(lines) == len(HOSTILE) + (0 if terminal else 1)
    assert all(line.endswith(" -1") for line in lines[: len(HOSTILE)])
    assert max(map(len, lines)) < (120 if terminal else 2_100)
    assert terminal or lines[-1].startswith("(… is where a cell had more than 2,000 characters")


def test_a_spreadsheet_takes_text_for_text(hostile_rows: pa.Table, tmp_path: Path) -> None:
    """What would be a formula begins with an apostrophe; numbers are numbers; every field is quoted."""
    write_rows(hostile_rows, "spreadsheet", tmp_path / "out")
    text = (tmp_path / "out").read_bytes().decode()
    assert not set(text) & CONTROLS
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == ["said", "'=1+1\\x1b\n", "n"]
    said = dict(zip(HOSTILE, (row[0] for row in rows), strict=True))
    for formula in HOSTILE[:8]:
        assert said[formula] == "'" + printable(formula)
    assert said["-1"] == "'-1", "a text that looks like a number is still a text"
    assert [said[text] for text in ("a;=1", 'a",=1', "two\nlines")] == ["a;=1", 'a",=1', "two\nlines"]
    assert {row[2] for row in rows} == {"-1"}
    assert max(len(row[0]) for row in rows) == 32_000
    assert all(line.startswith('"') for line in text.splitlines() if not line.startswith(("=1", "lines")))


VALUES = st.one_of(st.none(), st.floats(), st.text(), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.binary(),
                   st.datetimes(), st.decimals(allow_nan=False, allow_infinity=False, places=3, max_value=10**9),
                   st.lists(st.floats()))  # fmt: skip


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_any_row_is_strict_json(values: list[Any]) -> None:
    """Whatever is in a row, its record is JSON by the standard (no NaN) and keeps integers and text exact."""
    rows = pa.table({str(index): [value] for index, value in enumerate(values)})
    record = next(records(rows))
    again = json.loads(json.dumps(record, allow_nan=False))
    for index, value in enumerate(values):
        kept = again[str(index)]
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            assert kept is None
        elif isinstance(value, str | int | bool | float):
            assert kept == value
        elif isinstance(value, bytes):
            assert bytes.fromhex(kept) == value
        elif isinstance(value, datetime):
            assert datetime.fromisoformat(kept) == value
        elif isinstance(value, Decimal):
            assert kept == pytest.approx(float(value))


@given(st.integers(0, 2**63 - 1))
def test_nanoseconds_are_exact(nanoseconds: int) -> None:
    """A time of nanoseconds is told to the last digit."""
    rows = pa.table({"at": pa.array([nanoseconds], pa.timestamp("ns"))})
    seconds, _, fraction = next(records(rows))["at"].partition(".")
    whole = int((datetime.fromisoformat(seconds) - datetime(1970, 1, 1)).total_seconds())
    assert whole * 10**9 + int(fraction.ljust(9, "0")) == nanoseconds
