"""What a write that fails means: these rows, this moment, or the whole database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import duckdb

from sql.address import StoreAddress
from sql.errors import RowsRefusedError, StoreFailedError, StoreMemoryError
from sql.read_only import first_line

_FATAL = (
    duckdb.IOException,
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.ConnectionException,
    # A full disk at COMMIT comes as this. No row brings it about: there is one writer, and no index.
    duckdb.TransactionException,
)


@contextlib.contextmanager
def as_store_errors(address: StoreAddress) -> Iterator[None]:
    """Tell what the database says of a write meanwhile as one of the store's errors.

    Args:
        address: the store.

    Raises:
        StoreFailedError: the database can no longer be written, for example because the disk is full.
        RowsRefusedError: these rows cannot be written.
        StoreMemoryError: they could not be written now.
    """
    try:
        yield
    except _FATAL as error:
        raise StoreFailedError(f"{address} can no longer be written: {first_line(error).rstrip('.')}.") from error
    except duckdb.OutOfMemoryException as error:
        raise StoreMemoryError(f"There was not enough memory to write: {first_line(error)}") from error
    except duckdb.Error as error:
        raise RowsRefusedError(f"These rows could not be written: {first_line(error)}") from error
