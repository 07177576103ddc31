"""How much room a store's rows take, whether they are in a file or in a lake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sql.access import Access
from sql.address import StoreAddress
from sql.lake_address import LakeAddress
from sql.lake_catalog import LakeCatalog, used_bytes
from sql.pruned_tables import CONTENT_COLUMNS, PrunedTable, size_query

BLOCK_BYTES = 2**18
"""A block of DuckDB's file."""


@dataclass(frozen=True)
class TableSize:
    """How large a table is.

    Attributes:
        rows: how many rows it has.
        size_bytes: about how much they take, without what the archive holds.
        content_bytes: about how much of it the columns take that hold content.
    """

    rows: int
    size_bytes: int
    content_bytes: int


class StoreSizes(Protocol):
    """What is known of a store's size."""

    def used_bytes(self) -> int:
        """What the store's rows take; room that is free and will be used again, or given back, does not count."""
        ...

    def table(self, table: PrunedTable) -> TableSize:
        """The size of a table."""
        ...

    def settle(self) -> None:
        """Have what was deleted count as free."""
        ...


class _FileSizes:
    """The sizes of a file, and of its archive."""

    def __init__(self, store: Access) -> None:
        self._store = store

    def used_bytes(self) -> int:
        query = (
            "SELECT used_blocks * block_size + (SELECT coalesce(sum(bytes), 0) FROM archived_files) AS used"
            " FROM pragma_database_size()"
        )
        return int(self._store.read(query)["used"][0].as_py())

    def table(self, table: PrunedTable) -> TableSize:
        (row,) = self._store.read(size_query(table)).to_pylist()
        return TableSize(row["rows"], row["blocks"] * BLOCK_BYTES, row["content_blocks"] * BLOCK_BYTES)

    def settle(self) -> None:
        # Blocks become free when deletions reach the file.
        with self._store.held():
            pass


class _LakeSizes:
    """The sizes of a lake's files, as its catalog tells them: of a file with deleted rows the share of the others."""

    def __init__(self, address: LakeAddress) -> None:
        self._address = address

    def used_bytes(self) -> int:
        with LakeCatalog(self._address) as catalog:
            return used_bytes(catalog.files())

    def table(self, table: PrunedTable) -> TableSize:
        with LakeCatalog(self._address) as catalog:
            files = catalog.files().get(table.held, [])
            columns = catalog.column_bytes(table.held)
        stored = sum(file.size_bytes for file in files)
        used = sum(file.used_bytes for file in files)
        content = sum(columns.get(name, 0) for name in CONTENT_COLUMNS)
        return TableSize(
            sum(file.rows - file.deleted for file in files), used, min(content * used // max(stored, 1), used)
        )

    def settle(self) -> None:
        """Nothing is to be done: deletions count at once."""


def sizes_of(store: Access, address: StoreAddress) -> StoreSizes:
    """What tells a store's sizes.

    Args:
        store: the store, open.
        address: where it is.
    """
    return _FileSizes(store) if isinstance(address, Path) else _LakeSizes(address)
