"""The stores of tests: files, or lakes with the option ``--lake``.

A test names its store by a path. Where lakes are tested, the path stands for a lake of its own.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sql.address import StoreAddress
from sql.lake_address import LakeAddress
from sql.lake_store import LakeStore
from sql.opened_store import OpenedStore
from sql.store import Store
from tests.postgres import Postgres, database


@dataclass
class Lakes:
    """The lakes of a test run.

    Attributes:
        postgres: where their catalogs are.
    """

    postgres: Postgres
    _made: dict[Path, LakeAddress] = field(default_factory=dict)
    _kept: dict[str, LakeAddress] = field(default_factory=dict)

    def at(self, path: Path) -> LakeAddress:
        """The lake that a path stands for; an empty one the first time."""
        path = path.absolute()
        if path not in self._made:
            self._made[path] = self.postgres.lake(path.with_suffix(".lake"))
        return self._made[path]

    def keep(self, name: str, path: Path, folder: Path) -> None:
        """Keep what a path's lake holds, for others to begin with."""
        self._kept[name] = self.postgres.lake(folder / name, like=self.at(path))

    def again(self, name: str, path: Path) -> None:
        """Let a path stand for a lake that begins with what was kept."""
        there = self.at(path)
        self.postgres.drop(there)
        if there.folder:
            shutil.rmtree(there.folder)
        self.postgres.lake(there.data, like=self._kept[name], name=database(there))

    def missing(self, path: Path) -> LakeAddress:
        """A lake that nobody made."""
        return LakeAddress(self.postgres.uri("no_such_lake"), f"{path.absolute()}/")

    def knows(self, name: str) -> bool:
        """Whether a lake was kept."""
        return name in self._kept

    def forget(self) -> None:
        """Remove the lakes of tests that are over."""
        for address in self._made.values():
            self.postgres.drop(address)
        self._made.clear()


_LAKES: list[Lakes] = []

_EMPTY: list[bytes] = []
"""An empty store as a file, once one was made: to make one takes three times as long as to open it."""


def use_lakes(lakes: Lakes) -> None:
    """Let paths stand for lakes from here on."""
    _LAKES.append(lakes)


def lakes() -> Lakes | None:
    """The lakes of this run; None where stores are files."""
    return _LAKES[-1] if _LAKES else None


def address_of(path: StoreAddress) -> StoreAddress:
    """The address of the store that a path names."""
    found = lakes()
    return found.at(path) if found and isinstance(path, Path) else path


def missing_at(path: Path) -> StoreAddress:
    """The address of a store that is not there."""
    found = lakes()
    return found.missing(path) if found else path


def store_at(path: StoreAddress, **options: Any) -> OpenedStore:
    """Open the store that a path names, made if absent."""
    address = address_of(path)
    if isinstance(address, LakeAddress):
        return LakeStore(address, **options)
    if not options.get("read_only") and address.parent.is_dir() and not address.exists():
        _begin(address)
    return Store(address, **options)


def _begin(path: Path) -> None:
    """Put an empty store there."""
    if _EMPTY:
        path.touch(0o600)
        path.write_bytes(_EMPTY[0])
    else:
        Store(path).close()
        _EMPTY.append(path.read_bytes())
