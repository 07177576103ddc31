"""What a question about a lake may not reach: its catalog, other files, other buckets, the network; and no writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import pyarrow as pa
import pytest

from sql.errors import QueryError, StoreError
from sql.lake_address import LakeAddress
from sql.lake_store import LakeStore
from tests.postgres import ObjectStore, Postgres

Rows = Callable[..., dict[str, pa.Table]]


@pytest.fixture(scope="module")
def store(postgres: Postgres, made_object_store: ObjectStore) -> Iterator[LakeStore]:
    """A lake in an object store, whose bucket holds another lake's prefix, too."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in made_object_store.environment.items():
            patched.setenv(name, value)
        address = postgres.lake("s3://spans/asked")
        with LakeStore(address) as opened:
            yield opened
    postgres.drop(address)


@pytest.mark.parametrize(
    "query",
    [
        "FROM ducklake_snapshots('lake')",
        "FROM ducklake_list_files('lake', 'live_spans')",
        "SELECT * FROM ducklake_table_info('lake')",
        "CALL ducklake_expire_snapshots('lake', older_than => now())",
        "FROM ducklake_cleanup_old_files('lake', cleanup_all => true)",
        "FROM ducklake_merge_adjacent_files('lake')",
        "FROM lake.snapshots()",
        "FROM snapshots()",
        "FROM lake.set_option('parquet_compression', 'gzip')",
        'FROM lake.main."Merge_Adjacent_Files"()',
        "FROM merge_adjacent_files()",
        "FROM set_commit_message('somebody', 'else')",
        "FROM lake.settings()",
        "FROM lake.table_deletions('live_spans', 0, 1)",
        "CALL lake.set_option('parquet_compression', 'zstd')",
        "FROM postgres_query('__ducklake_metadata_lake', 'SELECT 1')",
        "CALL postgres_execute('__ducklake_metadata_lake', 'DROP TABLE spanverdict_stamps')",
        "FROM postgres_scan('host=127.0.0.1', 'public', 'ducklake_metadata')",
        "FROM postgres_attach('host=127.0.0.1')",
        "ATTACH 'postgres:host=127.0.0.1' AS other",
        "FROM __ducklake_metadata_lake.public.ducklake_metadata",
        "FROM __ducklake_metadata_lake.ducklake_metadata",
        "SELECT * FROM duckdb_secrets()",
        "CREATE SECRET (TYPE s3, KEY_ID 'a', SECRET 'b')",
        "FROM which_secret('s3://spans/x', 's3')",
        "FROM read_parquet('s3://spans/asked/main/spans/*.parquet')",
        "FROM read_parquet('s3://spans/other/x.parquet')",
        "FROM 's3://other/x.parquet'",
        "FROM read_text('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM glob('s3://spans/*')",
        "FROM read_csv('http://127.0.0.1:1/x.csv')",
        "FROM 'https://example.org/x.csv'",
        "INSTALL spatial",
        "LOAD spatial",
        "SET enable_external_access = true",
        "DETACH lake",
        "USE memory",
        "COPY spans TO 's3://spans/asked/x.parquet'",
        "DELETE FROM live_spans",
    ],
)
def test_what_reaches_further_is_refused(store: LakeStore, query: str) -> None:
    """Each ends in one sentence."""
    with pytest.raises(QueryError) as caught:
        store.read(query)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "past", ["AT (VERSION => {})", "at(version => {})", '"AT" (VERSION => {})', "AT /* */ (VERSION => {})"]
)
def test_what_retention_deleted_is_in_no_answer(lake: LakeAddress, rows: Rows, past: str) -> None:
    """The lake keeps it for readers that began before; a question that asks for an earlier state is refused."""
    with LakeStore(lake) as store:
        store.write(rows({"name": "deleted"}))
        before = store.snapshot()
        moment = pa.timestamp("us")
        whole = {"since": datetime(1970, 1, 1), "until": datetime(2100, 1, 1), "pruned_at": datetime(2026, 11, 27)}
        store.write({"pruned_spans": pa.Table.from_pylist([whole], pa.schema(dict.fromkeys(whole, moment)))})
        assert store.read("SELECT count(*) AS n FROM spans")["n"].to_pylist() == [0]
        with LakeStore(lake, read_only=True, snapshot=before) as earlier:
            assert earlier.read("SELECT count(*) AS n FROM spans")["n"].to_pylist() == [1]
        with pytest.raises(QueryError):
            store.read(f"SELECT name FROM live_spans {past.format(before)}")


def test_a_reader_cannot_write(store: LakeStore, rows: Rows, object_store: ObjectStore) -> None:  # noqa: ARG001 (its keys)
    """A lake that is attached for reading refuses every named write, and stays as it is."""
    with LakeStore(store.address, read_only=True) as reader:
        with pytest.raises(StoreError, match=r"read.only|read-only"):
            reader.write(rows({}))
        assert reader.read("SELECT count(*) AS n FROM spans")["n"].to_pylist() == [0]
