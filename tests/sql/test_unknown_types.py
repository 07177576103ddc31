"""The columns of a query whose parameters have no values yet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.stores import store_at

pytestmark = pytest.mark.any_store


def test_what_only_a_value_decides_has_no_type(tmp_path: Path) -> None:
    """It is null, whatever stands beside it and however the query ends; what is known stays."""
    query = "SELECT 'x' || $1 AS a, $2 AS b, $2 + 1 AS c, 1 AS c, $3::INTEGER AS d ORDER BY 3; -- an end /* of it */"
    with store_at(tmp_path / "s.duckdb") as store:
        assert store.schema(query).types == [pa.null(), pa.null(), *[pa.int32()] * 3]
        assert store.schema("SELECT $1 AS a, 1 AS b -- an end").types == [pa.null(), pa.int32()]
        for value in ("x", None):
            whole = "SELECT $1 AS a, 1 AS b"
            assert store.schema(whole, {"1": value}) == store.read(whole, {"1": value}).schema
