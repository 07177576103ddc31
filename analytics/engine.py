"""Where the parts of a report are worked on: in this process, or by the workers of a distributed engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from analytics.errors import InputError

if TYPE_CHECKING:
    from sql.address import StoreAddress
    from sql.lake_address import LakeAddress

Key = TypeVar("Key")
Given = TypeVar("Given")
Made = TypeVar("Made")

LOCAL = "dask://local"
"""Workers of this machine, a process for each core, for as long as they are needed."""

_FORM = "it is not dask://HOST:PORT, dask+tls://HOST:PORT or dask://local"


class Engine(Protocol):
    """Does the same to many parts."""

    @property
    def reads(self) -> LakeAddress | None:
        """The store that its workers open themselves; None: they are sent what they work on."""
        ...

    def map(self, make: Callable[[Given], Made], parts: Iterable[tuple[Key, Given]]) -> Iterator[tuple[Key, Made]]:
        """What is made of each part, in their order.

        Args:
            make: without effects, as it may be called more than once where a worker dies.
            parts: taken one by one, as there is room for them.

        Raises:
            EngineError: the engine failed.
        """
        ...


class Here:
    """This process, one part after the other."""

    reads = None

    def map(self, make: Callable[[Given], Made], parts: Iterable[tuple[Key, Given]]) -> Iterator[tuple[Key, Made]]:
        """What is made of each part, when it is asked for."""
        return ((key, make(given)) for key, given in parts)


def check_engine(text: str) -> str:
    """The address of an engine, if it is one.

    Raises:
        ValueError: it is not.
    """
    found = re.fullmatch(r"dask(\+tls)?://[^\s/:]+:([0-9]{1,5})", text)
    if text != LOCAL and not (found and int(found[2]) < 2**16):
        raise ValueError(_FORM)
    return text


@contextmanager
def engine_at(address: str | None, store: StoreAddress) -> Iterator[Engine]:
    """Reach an engine.

    Args:
        address: as :func:`check_engine` takes it; None: this process.
        store: where the report's store is.

    Raises:
        EngineError: it cannot be reached, or its workers are not like this process.
        InputError: what is needed to reach it is not installed.
    """
    if address is None:
        yield Here()
        return
    if find_spec("distributed") is None:
        raise InputError(f"{address} needs Dask: install it with `pip install 'spanverdict[engine]'`.")
    from analytics.dask_engine import dask_engine  # noqa: PLC0415 (an extra, and slow to load)

    with dask_engine(address, None if isinstance(store, Path) else store) as engine:
        yield engine
