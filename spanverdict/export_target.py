"""Where an export lies: a folder of this machine, or an address that pyarrow has a file system for, such as S3."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
from pyarrow import fs

from analytics.errors import InputError

_OWNER_FILE, _OWNER_FOLDER = 0o600, 0o700


class ExportError(InputError):
    """An export cannot be made, or cannot be taken back; the message names the file."""


class CheckedFile(io.RawIOBase):
    """A file that is written, and what was written of it.

    Args:
        file: where the bytes go; closed by whoever opened it.

    Attributes:
        size: bytes written so far.
    """

    def __init__(self, file: BinaryIO | pa.NativeFile) -> None:
        super().__init__()
        self._file = file
        self._hash = hashlib.blake2b(digest_size=16)
        self.size = 0

    @property
    def checksum(self) -> str:
        """BLAKE2b of 16 octets of what was written, as hex."""
        return self._hash.hexdigest()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        """Pass bytes on."""
        self._hash.update(data)
        self._file.write(data)
        size = memoryview(data).nbytes
        self.size += size
        return size

    def tell(self) -> int:
        """How much was written."""
        return self.size


class ExportTarget:
    """The root of an export; names below it are relative, with slashes.

    Args:
        filesystem: where it lies.
        root: its path there.
    """

    def __init__(self, filesystem: fs.FileSystem, root: str) -> None:
        self._fs = filesystem
        self._root = root.rstrip("/")
        self._is_local = isinstance(filesystem, fs.LocalFileSystem)

    @classmethod
    def at(cls, where: str) -> ExportTarget:
        """The export at a folder, or at an address such as ``s3://bucket/folder?region=…``.

        Raises:
            ExportError: the address names no file system that is known.
        """
        if "://" not in where:
            return cls(fs.LocalFileSystem(), str(Path(where).absolute()))
        try:
            return cls(*fs.FileSystem.from_uri(where))
        except (pa.ArrowException, OSError) as error:
            scheme = where.partition("://")[0]
            raise ExportError(f"This {scheme}:// address cannot be used: {str(error).rstrip('.')}.") from error

    def read(self, name: str) -> bytes | None:
        """The content of a small file; None if there is none."""
        if not self.exists(name):
            return None
        with self._fs.open_input_stream(self._path(name), compression=None) as file:
            return cast("bytes", file.read())

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return bool(self._fs.get_file_info(self._path(name)).type == fs.FileType.File)

    def open(self, name: str) -> pa.NativeFile:
        """Open a file for reading anywhere in it."""
        return self._fs.open_input_file(self._path(name))

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[CheckedFile]:
        """Write a file that is there whole or not at all: beside its place, made sure of, then moved there.

        Raises:
            OSError: it cannot be written; what was there before still is.
        """
        path = self._path(name)
        folder, _, last = path.rpartition("/")
        draft = f"{folder}/.{last}.{os.getpid()}.tmp"
        if self._is_local:
            with _local_draft(Path(folder), Path(draft), Path(path)) as file:
                yield CheckedFile(file)
            return
        try:
            with self._fs.open_output_stream(draft, compression=None) as file:
                yield CheckedFile(file)
        except BaseException:
            with contextlib.suppress(OSError):
                self._fs.delete_file(draft)
            raise
        # A store of objects has one only when all of it has come; the name is taken last all the same.
        self._fs.move(draft, path)

    @property
    def shown(self) -> str:
        """Where it lies, without the keys and settings that its address may have."""
        return self._root if self._is_local else f"{self._fs.type_name}:{self._root}"

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


@contextlib.contextmanager
def _local_draft(folder: Path, draft: Path, path: Path) -> Iterator[BinaryIO]:
    # For the owner alone: an export holds what users said.
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(_OWNER_FOLDER, exist_ok=True)
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_FILE), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    # The names too: that of the file, and of the folders that were made.
    for each in (folder, *(made.parent for made in missing)):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
