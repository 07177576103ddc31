"""Rows of files of any content: rows, or one sentence that names the file."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.item_file import ItemFileError, parse_json, read_rows

PIECES = st.sampled_from([b"id", b",", b"\n", b'"', b"{", b"}", b"[", b":", b"1", b"1e999", b"\\ud800", b"\xff", b"\r"])


@given(st.sampled_from([".csv", ".jsonl", ".parquet"]), st.lists(PIECES, max_size=30).map(b"".join))
@settings(max_examples=150)
def test_any_content_is_rows_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, suffix: str, body: bytes) -> None:
    """Whatever the file holds is read or refused in one line; what is read is JSON and text of an encoding."""
    path = tmp_path_factory.mktemp("table") / f"t{suffix}"
    path.write_bytes(body)
    said = None
    try:
        rows = [row for _, row in read_rows(path)]
        parse_json(json.dumps(rows, ensure_ascii=False))
    except ItemFileError as error:
        said = str(error)
    assert said is None or (str(path) in said and "\n" not in said)


def test_a_missing_number_of_a_data_frame_is_none(tmp_path: Path) -> None:
    """NaN, which data frames write for what is missing, is nothing; times and decimals are what JSON can say."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": ["a"], "score": [float("nan")], "more": [{"n": [1, None]}]}), path)
    assert list(read_rows(path)) == [("row 1", {"id": "a", "score": None, "more": {"n": [1, None]}})]


def test_a_number_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    """1e999 is infinite as a float, which JSON cannot say."""
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": 1e999}')
    with pytest.raises(ItemFileError, match=r"line 1: not a JSON object .1e999 is too large"):
        list(read_rows(path))
