"""A gateway's file changed in one step: it is the old one or the new one, never half of it."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from analytics.errors import InputError

_BOM = "\ufeff"


@dataclass(frozen=True)
class PresentFile:
    """A file as it was read.

    Attributes:
        path: where it is, symbolic links followed.
        data: its bytes; None where there is none.
        text: its text with plain line ends and without a byte order mark; None where there is none.
    """

    path: Path
    data: bytes | None
    text: str | None


def read_file(path: Path) -> PresentFile:
    """Read a file.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    try:
        target = path.resolve(strict=False)
        data = target.read_bytes() if target.exists() else None
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if data is None:
        return PresentFile(target, None, None)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} cannot be read: it is not UTF-8 text.") from error
    return PresentFile(target, data, text.removeprefix(_BOM).replace("\r\n", "\n"))


def replace_file(present: PresentFile, text: str) -> None:
    """Put a text where a file is: written beside it, synced, renamed. Mode, line ends and byte order mark are kept.

    Raises:
        InputError: the file is another than the one that was read, or cannot be written; nothing has changed then.
    """
    data = _as_before(text, present)
    try:
        with _lock(present.path.parent):
            _check_same(present)
            made = _beside(present, data)
            try:
                _check_same(present)
                made.replace(present.path)
            except BaseException:
                made.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError(f"{present.path} cannot be written: {error.strerror}; nothing has changed.") from error


def _check_same(present: PresentFile) -> None:
    now = present.path.read_bytes() if present.path.exists() else None
    if now != present.data:
        raise InputError(f"{present.path} was changed meanwhile; nothing was written, try again.")


def _as_before(text: str, present: PresentFile) -> bytes:
    before = present.data or b""
    if b"\r\n" in before:
        text = text.replace("\n", "\r\n")
    return ((_BOM if before.startswith(_BOM.encode()) else "") + text).encode()


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One of us at a time in a folder; the rename reaches the disk before the next begins."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(present: PresentFile, data: bytes) -> Path:
    """A new file with these bytes in the same folder, with the old one's mode and, where that may be, its owner."""
    handle, name = tempfile.mkstemp(prefix=f".{present.path.name}.", dir=present.path.parent)
    made = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if present.data is not None:
                old = present.path.stat()
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
                with suppress(PermissionError):
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
            else:
                os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    return made
