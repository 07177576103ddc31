"""Tables of any content: batches, or one sentence that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import table_file
from analytics.table_file import TableFileError, read_table

PIECES = st.sampled_from([b"id", b",", b"\n", b'"', b"{", b"}", b"[", b":", b"1", b"1e999", b"\\ud800", b"\xff", b"\r"])
Typed = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    """Writes a file and reads it as JSON cells, whose values it gives; what a line has not is left out."""

    def reader(name: str, content: str | pa.Table | pl.DataFrame) -> list[dict[str, Any]]:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content)
        else:
            pq.write_table(content if isinstance(content, pa.Table) else content.to_arrow(), path)
        rows = [row for batch in read_table(path, typed=True) for row in batch.iter_rows(named=True)]
        return [{name: json.loads(cell) for name, cell in row.items() if cell is not None} for row in rows]

    return reader


@pytest.mark.parametrize("is_typed", [True, False])
@given(st.sampled_from([".csv", ".jsonl", ".parquet"]), st.lists(PIECES, max_size=30).map(b"".join))
@settings(max_examples=75)
def test_any_content_is_rows_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, is_typed: bool, suffix: str, body: bytes
) -> None:
    """Whatever the file holds is read or refused in one line; a typed cell is JSON."""
    path = tmp_path_factory.mktemp("table") / f"t{suffix}"
    path.write_bytes(body)
    said = None
    try:
        for batch in read_table(path, typed=is_typed):
            assert set(batch.dtypes) <= {pl.String}
            for cell in batch.to_dict(as_series=False).values() if is_typed else ():
                json.loads(f"[{','.join(text or 'null' for text in cell)}]", parse_constant=pytest.fail)
    except TableFileError as error:
        said = str(error)
    assert said is None or (str(path) in said and "\n" not in said)


def test_typed_cells(typed: Typed) -> None:
    """Texts, numbers, truths and null differ, and null from none; a cell of CSV is a text."""
    lines = [{"a": "5", "b": None}, {"a": 5}, {"a": True, "b": {"c": [1.5, "1.5"]}}, {"a": '"\n\u2028ü'}]
    assert typed("t.jsonl", "\n".join(map(json.dumps, lines))) == lines
    assert typed("t.csv", 'a,b\n5,\n"x""\ny",true\n') == [{"a": "5", "b": ""}, {"a": 'x"\ny', "b": "true"}]
    assert typed("t.parquet", pa.table({"a": ["5", None], "b": [5, None], "c": [[True], []]})) == [
        {"a": "5", "b": 5, "c": [True]}, {"a": None, "b": None, "c": []},
    ]  # fmt: skip


def test_typed_cells_of_parquet_are_what_json_can_say(typed: Typed) -> None:
    """NaN, which data frames write for what is missing, is nothing; times are texts in UTC, decimals numbers."""
    moment = datetime(2026, 11, 1, 10, 20, tzinfo=timezone(timedelta(hours=2)))
    columns: dict[str, Any] = {
        "id": ["a"], "score": [float("nan")], "more": [{"n": [1, None], "at": date(2026, 11, 1)}], "bytes": [b"b"],
        "at": [moment], "price": [Decimal("1.50")], "day": [date(2026, 11, 1)],
    }  # fmt: skip
    assert typed("t.parquet", pa.table(columns)) == [{
        "id": "a", "score": None, "more": {"n": [1, None], "at": "2026-11-01"}, "bytes": "b",
        "at": "2026-11-01T08:20:00Z", "price": 1.5, "day": "2026-11-01",
    }]  # fmt: skip
    exact = pl.Series("t", [1_793_000_000_123_456_789]).cast(pl.Datetime("ns"))
    assert typed("t.parquet", pl.DataFrame([exact])) == [{"t": "2026-10-26T07:33:20.123456789Z"}]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (float("inf"), "t.parquet, row 2: 'v' holds a number that is too large."),
        ([float("inf")], "t.parquet, row 2: 'v' holds a number that is too large."),
        (b"\xff", "t.parquet, row 2: 'v' holds bytes that are no text."),
        (timedelta(1), "t.parquet, row 2: 'v' holds a value that JSON has no word for."),
    ],
)
def test_what_no_json_says_is_refused(typed: Typed, value: object, sentence: str) -> None:
    """The row and the column are named."""
    with pytest.raises(TableFileError) as caught:
        typed("t.parquet", pa.table({"v": [None, value]}))
    assert str(caught.value).endswith(sentence)


def test_a_parquet_file_is_bounded_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its columns come to counts, not what the disk holds."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": ["x" * 2**20, "y" * 2**20]}), path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 2**16
    monkeypatch.setattr(table_file, "MOST_BYTES", 2**21)
    with pytest.raises(TableFileError, match="has more than 2 MiB, unpacked: split it"):
        list(read_table(path))


def test_a_longer_line_where_the_caller_says_so(tmp_path: Path) -> None:
    """The bound is the caller's, for a line and for a row of several; a quote left open ends at it."""
    line, rows = tmp_path / "t.jsonl", tmp_path / "t.csv"
    line.write_text(json.dumps({"a": "x" * 5 * 2**20}))
    rows.write_text('a\n"' + "x\n" * (5 * 2**19))
    with pytest.raises(TableFileError, match="line 1: it is longer than 4 MiB"):
        list(read_table(line))
    assert [batch.height for batch in read_table(line, longest=8 * 2**20)] == [1]
    with pytest.raises(TableFileError, match="row 1: it is longer than 4 MiB; is a quote left open"):
        list(read_table(rows))
    with pytest.raises(TableFileError, match="row 1: a quote is left open to the end of the file"):
        list(read_table(rows, longest=8 * 2**20))
