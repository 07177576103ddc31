"""docs/data-model.md names what is in the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from sql import statements
from tests.stores import store_at

pytestmark = pytest.mark.any_store


DOC = Path(__file__).parents[2] / "docs" / "data-model.md"


def test_every_column_and_view_is_documented(tmp_path: Path) -> None:
    """Each table, each of its columns and each view is named in the documentation."""
    text = DOC.read_text("utf-8")
    with store_at(tmp_path / "s.duckdb") as store:
        columns = store.read("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal").to_pylist()
    tables = {row["table_name"] for row in columns} - set(statements.VIEWS)
    wanted = tables | {row["column_name"] for row in columns if row["table_name"] in tables} | set(statements.VIEWS)
    assert len(tables) == 40
    assert sorted(name for name in wanted if f"`{name}`" not in text) == []
