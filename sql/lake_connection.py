"""A connection to a lake: the extensions, the catalog attached, the object store's keys, and nothing else in reach."""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb

from sql.archive_views import literal
from sql.errors import StoreUnavailableError
from sql.lake_address import LakeAddress
from sql.priority import behind_ingest
from sql.read_only import first_line

CATALOG = "lake"
"""The name by which the database knows the lake."""

_EXTENSIONS = ("ducklake", "postgres_scanner")

_OBJECT_STORE_EXTENSION = "httpfs"

_NOTHING_ELSE_LOADED = {
    # That what is loaded is signed by DuckDB is checked each time, for others package it: 0.4 s of each command.
    "allow_unsigned_extensions": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
}

INLINED_ROWS = 100
"""Inserts of at most as many rows go into the catalog and not into a file of their own, but for telemetry."""

_COMMIT_ATTEMPTS = 100
"""How often DuckLake tries a commit again that another one came before; it does not change what is committed."""

_CONNECT_SECONDS = 5


def connect(
    address: LakeAddress, config: Mapping[str, Any], *, read_only: bool, make: bool, snapshot: int | None = None
) -> duckdb.DuckDBPyConnection:
    """Attach a lake, made if absent where ``make`` says so, to a database in memory; at a snapshot if one is named.

    Raises:
        StoreUnavailableError: the extensions are not installed, or the catalog or the data cannot be reached.
    """
    names = _EXTENSIONS if address.folder else (*_EXTENSIONS, _OBJECT_STORE_EXTENSION)
    paths = [_extension(name) for name in names]
    temporary = {"temp_directory": str(Path(tempfile.gettempdir()) / f"spanverdict-{os.getpid()}")}
    with behind_ingest():
        connection = duckdb.connect(":memory:", config={**temporary, **_NOTHING_ELSE_LOADED, **config})
    try:
        for path in paths:
            connection.execute(f"LOAD {literal(str(path))}")
        if address.folder is None:
            connection.execute(_s3_secret())
        connection.execute(f"SET GLOBAL ducklake_max_retry_count = {_COMMIT_ATTEMPTS}")
        options = [f"DATA_PATH {literal(address.data)}", f"DATA_INLINING_ROW_LIMIT {INLINED_ROWS}"]
        if read_only:
            options.append("READ_ONLY")
        if not make:
            options.append("CREATE_IF_NOT_EXISTS false")
        if snapshot is not None:
            options.append(f"SNAPSHOT_VERSION {snapshot}")
        joint = "&" if "?" in address.catalog else "?"
        catalog = f"ducklake:postgres:{address.catalog}{joint}connect_timeout={_CONNECT_SECONDS}"
        connection.execute(f"ATTACH {literal(catalog)} AS {CATALOG} ({', '.join(options)})")
        # The footers of files, which never change, are read once.
        connection.execute("SET GLOBAL parquet_metadata_cache = true")
    except duckdb.Error as error:
        connection.close()
        raise StoreUnavailableError(_sentence(address, error)) from error
    return connection


def cursor_on(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A cursor to which the lake's tables are known by their bare names, which a cursor does not inherit."""
    cursor = connection.cursor()
    try:
        cursor.execute(f"USE {CATALOG}")
    except duckdb.Error:
        cursor.close()
        raise
    return cursor


def lock(connection: duckdb.DuckDBPyConnection, address: LakeAddress) -> None:
    """Let nothing into reach but the lake's own data, for good."""
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute(f"SET GLOBAL allowed_directories = [{literal(address.data)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _extension(name: str) -> Path:
    """The file of an extension, as its package ships it for one version of DuckDB."""
    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    folder = Path(package.origin).parent if package and package.origin else None
    found = sorted(folder.glob(f"extensions/v{duckdb.__version__}/*.duckdb_extension")) if folder else []
    if not found:
        raise StoreUnavailableError(
            f"A shared store needs DuckDB's extension {name} for DuckDB {duckdb.__version__}:"
            " install it with `pip install 'spanverdict[lake]'`, which brings the DuckDB that it is made for."
        )
    return found[0]


def _s3_secret() -> str:
    """The statement that gives the object store's keys, from the environment variables that S3 clients share."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        raise StoreUnavailableError(
            "The keys of the object store are not set: give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    given = {"KEY_ID": key, "SECRET": secret, "REGION": region}
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        given["SESSION_TOKEN"] = token
    options = [f"{name} {literal(value)}" for name, value in given.items()]
    if endpoint:
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise StoreUnavailableError(
                f"The object store's address {endpoint!r} is not a URL such as https://s3:9000."
            )
        options += [
            f"ENDPOINT {literal(parts.netloc)}",
            f"USE_SSL {str(parts.scheme == 'https').lower()}",
            # What is not Amazon's has one name for all buckets.
            "URL_STYLE 'path'",
        ]
    return f"CREATE SECRET (TYPE s3, {', '.join(options)})"


def _sentence(address: LakeAddress, error: duckdb.Error) -> str:
    """Why a lake cannot be opened, without what a message quotes of the keys."""
    said = first_line(error)
    if "does not match existing data path" in said or "DATA_PATH" in said:
        return f"{address} names another place for the data than its catalog does: {said.rstrip('.')}."
    if re.search(r'database "[^"]*" does not exist', said):
        return f"There is no database for the catalog of {address}: make it, then start `spanverdict serve`."
    if "does not exist" in said and "ducklake" in said.lower():
        return f"There is no store at {address}; `spanverdict serve` makes one."
    return f"{address} cannot be opened: {said.rstrip('.')}."
