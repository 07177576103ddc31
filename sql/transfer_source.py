"""The store that is copied: a file that nobody writes meanwhile, or one snapshot of a lake that others write on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sql.address import StoreAddress
from sql.errors import StoreUnavailableError
from sql.journal import pending
from sql.journaled_writer import JournaledWriter
from sql.lake_address import LakeAddress
from sql.lake_store import LakeStore
from sql.opened_store import OpenedStore
from sql.store import Store
from sql.transfer_target import MEMORY_LIMIT, QUERY_SECONDS, refuse_server

_SNAPSHOT = "snapshot "


@dataclass(frozen=True)
class Source:
    """An open store whose rows do not change.

    Attributes:
        store: the store.
        name: its address, by which it is known again.
        state: what is other once it has changed: of a lake its snapshot.
    """

    store: OpenedStore
    name: str
    state: str

    def written_since(self) -> bool:
        """Whether somebody has written to a lake after the snapshot that is copied."""
        if not self.state.startswith(_SNAPSHOT):
            return False
        assert isinstance(self.store.address, LakeAddress)  # noqa: S101 (a file has another state)
        with LakeStore(self.store.address, read_only=True) as now:
            return self.state != f"{_SNAPSHOT}{now.snapshot()}"


@contextlib.contextmanager
def source_to_copy(address: StoreAddress, begun: str | None = None) -> Iterator[Source]:
    """Open a store to copy from.

    Args:
        address: where it is.
        begun: the state at which a copy of it has begun: a lake is opened at that snapshot.

    Raises:
        StoreUnavailableError: it is not there, cannot be opened, or a server runs on it.
    """
    if isinstance(address, Path):
        refuse_server(address)
        if not address.exists():
            raise StoreUnavailableError(f"There is no store at {address}; name the one to copy with --store.")
        if pending(address):
            # A server that was killed has left what only its journal holds.
            with Store(address) as left:
                JournaledWriter(left).close()
        with Store(address, read_only=True, memory_limit=MEMORY_LIMIT, query_seconds=QUERY_SECONDS) as file:
            yield Source(file, name_of(address), _state(address))
        return
    with LakeStore(address, read_only=True) as now:
        state = begun or f"{_SNAPSHOT}{now.snapshot()}"
    with _at(address, state) as lake:
        yield Source(lake, name_of(address), state)


def _at(address: LakeAddress, state: str) -> LakeStore:
    try:
        return LakeStore(
            address,
            read_only=True,
            memory_limit=MEMORY_LIMIT,
            query_seconds=QUERY_SECONDS,
            snapshot=int(state.removeprefix(_SNAPSHOT)),
        )
    except StoreUnavailableError as error:
        raise StoreUnavailableError(
            f"The {state} of {address}, at which its copy began, cannot be read any more: begin anew in an empty"
            f" store. ({error})"
        ) from error


def name_of(address: StoreAddress) -> str:
    """The address by which a store is known again, from whichever folder it is named."""
    return str(address.resolve() if isinstance(address, Path) else address)


def _state(path: Path) -> str:
    """The size and time of a file, and of its log where it has one."""
    files = [file for file in (path, path.with_name(path.name + ".wal")) if file.exists()]
    return ", ".join(f"{file.stat().st_size} bytes of {file.stat().st_mtime_ns}" for file in files)
