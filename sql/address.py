"""Where a store is: a file of this machine, or a lake that many machines share."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from sql.lake_address import SCHEME, LakeAddress

StoreAddress = Path | LakeAddress


def store_address(text: str | Path | LakeAddress) -> StoreAddress:
    """Read the address of a store.

    Args:
        text: ``ducklake:…`` for a lake (sql/lake_address.py), else the path of a file.

    Raises:
        ValueError: it is the address of a lake with a mistake; the message says which.
    """
    if isinstance(text, Path | LakeAddress):
        return text
    return LakeAddress.parse(text) if text.startswith(SCHEME) else Path(text)


def beside(address: StoreAddress) -> Path:
    """The path that names of files beside a store begin with; nothing that matters is lost with them.

    A lake has no folder of this machine: what is kept for it here is a cache of the user's.
    """
    if isinstance(address, Path):
        return address
    name = hashlib.sha256(str(address).encode()).hexdigest()[:16]
    return _cache_directory() / "spanverdict" / f"lake-{name}"


def _cache_directory() -> Path:
    """The user's cache directory (XDG Base Directory Specification 0.8); without a home, that of temporary files."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return Path(tempfile.gettempdir())
