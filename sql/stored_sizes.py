"""How much room the tables of a store take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sql.copied_tables import CopiedTable
from sql.lake_catalog import LakeCatalog
from sql.opened_store import OpenedStore

_BLOCK_BYTES = 262_144
"""DuckDB's blocks; small tables share some."""


def stored_bytes(store: OpenedStore, tables: Sequence[CopiedTable]) -> dict[str, int]:
    """The bytes of each table where it is now, compressed; rows that a lake holds in its catalog are not in them.

    Raises:
        StoreError: the store cannot be read.
    """
    if not isinstance(store.address, Path):
        with LakeCatalog(store.address) as catalog:
            files = catalog.files()
        return {table.name: sum(file.size_bytes for file in files.get(table.stored, [])) for table in tables}
    archived = store.read("SELECT table_name, sum(bytes)::BIGINT AS bytes FROM archived_files GROUP BY ALL").to_pylist()
    found = {row["table_name"]: row["bytes"] for row in archived}
    for table in tables:
        (blocks,) = store.read(
            "SELECT count(DISTINCT block) AS number FROM ("
            "SELECT unnest([block_id] || additional_block_ids) AS block"
            f" FROM pragma_storage_info('{table.stored}')) WHERE block >= 0"
        ).to_pylist()
        found[table.name] = found.get(table.name, 0) + blocks["number"] * _BLOCK_BYTES
    return found
