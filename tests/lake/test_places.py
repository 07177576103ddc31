"""Where a lake's files may lie: in a folder, and in an object store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from sql.lake_address import LakeAddress
from sql.lake_store import LakeStore
from tests.postgres import ObjectStore, Postgres, database

Rows = Callable[..., dict[str, pa.Table]]
NewLake = Callable[[Path | str], LakeAddress]


def names(store: LakeStore) -> list[str]:
    """The names of the spans that a store holds."""
    found: list[str] = store.read("SELECT name FROM spans ORDER BY name")["name"].to_pylist()
    return found


def test_in_a_folder(new_lake: NewLake, tmp_path: Path, rows: Rows) -> None:
    """What is written is in a file of the folder, and another process that attaches the lake reads it."""
    address = new_lake(tmp_path / "lake")
    with LakeStore(address) as writer, LakeStore(address, read_only=True) as reader:
        writer.write(rows({"name": "chat"}))
        assert names(reader) == ["chat"]
    assert len(list((tmp_path / "lake").rglob("main/spans/*.parquet"))) == 1


@pytest.mark.usefixtures("object_store")
def test_in_an_object_store(new_lake: NewLake, rows: Rows) -> None:
    """Two lakes below different prefixes of one bucket have nothing in common."""
    with LakeStore(new_lake("s3://spans/one")) as one, LakeStore(new_lake("s3://spans/two")) as two:
        one.write(rows({"name": "chat"}))
        assert (names(one), names(two)) == (["chat"], [])


def test_the_object_store_goes_and_comes(object_store: ObjectStore, new_lake: NewLake, rows: Rows) -> None:
    """The server for tests keeps its objects while it does not answer."""
    with LakeStore(new_lake("s3://spans/kept")) as store:
        store.write(rows({"name": "chat"}))
    object_store.stop()
    object_store.start()
    with LakeStore(store.address) as again:
        assert names(again) == ["chat"]


def test_a_lake_gets_the_options_that_it_lacks(new_lake: NewLake, postgres: Postgres, tmp_path: Path) -> None:
    """Whoever was killed after the lake was made and before they were set leaves that to the next writer."""
    address = new_lake(tmp_path / "lake")
    given = "SELECT key, value, scope_id FROM ducklake_metadata WHERE key ~ 'parquet|size|inlining' ORDER BY 1, 2, 3"
    before = postgres.execute(given, database(address))
    postgres.execute("DELETE FROM ducklake_metadata WHERE key ~ 'parquet|size' OR scope_id > 20", database(address))
    LakeStore(address, read_only=True).close()
    assert postgres.execute(given, database(address)) != before
    LakeStore(address).close()
    assert postgres.execute(given, database(address)) == before
