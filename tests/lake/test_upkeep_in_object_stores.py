"""Upkeep of a lake whose files are in an object store."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import Result

from sql import lake_upkeep
from sql.lake_address import LakeAddress
from sql.lake_catalog import LakeCatalog
from sql.lake_store import LakeStore
from sql.lake_upkeep import LakeUpkeep
from tests.postgres import ObjectStore

Rows = Callable[..., dict[str, pa.Table]]
NOTHING = timedelta(0)


@pytest.fixture
def lake(object_store: ObjectStore, new_lake: Callable[[Path | str], LakeAddress]) -> LakeAddress:
    """An empty lake in an object store."""
    assert object_store.port
    return new_lake(f"s3://spans/upkeep-{os.urandom(4).hex()}")


def counts(store: LakeStore) -> tuple[int, int]:
    """How many spans there are, and how many different ones."""
    (row,) = store.read("SELECT count(span_id) AS rows, count(DISTINCT span_id) AS ids FROM spans").to_pylist()
    return row["rows"], row["ids"]


def known(address: LakeAddress) -> int:
    """How many files the catalog lists."""
    with LakeCatalog(address) as catalog:
        return sum(len(files) for files in catalog.files().values())


def test_files_are_merged_and_removed(
    object_store: ObjectStore, lake: LakeAddress, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small objects become one, what is replaced goes once nobody needs it, and what no state had too."""
    with LakeStore(lake) as store, LakeUpkeep(lake) as upkeep:
        for number in range(4):
            store.write(rows({"name": f"chat {number}", "span_id": os.urandom(8)}))
        assert len(object_store.keys(lake.data)) == known(lake) >= 4
        merged = upkeep.merge()
        assert (merged.files, merged.into) == (4, 1)
        assert upkeep.tidy(timedelta(hours=1)).files == 0
        assert len(object_store.keys(lake.data)) == known(lake) + 4
        monkeypatch.setattr(lake_upkeep, "ORPHAN_AGE", NOTHING)
        object_store.put(f"{lake.data}main/spans/left-by-a-killed-process.parquet", b"")
        tidied = upkeep.tidy(NOTHING)
        assert (tidied.files, tidied.orphans) == (4, 1)
        assert len(object_store.keys(lake.data)) == known(lake)
        assert counts(store) == (4, 4)


def test_the_command(object_store: ObjectStore, lake: LakeAddress, rows: Rows, cli: Callable[..., Result]) -> None:
    """`spanverdict compact` does it, and says what it did."""
    with LakeStore(lake) as store:
        for _ in range(3):
            store.write(rows({"span_id": os.urandom(8)}))
        result = cli("compact", "--store", str(lake))
        assert result.exit_code == 0, result.stderr
        assert known(lake) < len(object_store.keys(lake.data))
        assert counts(store) == (3, 3)
