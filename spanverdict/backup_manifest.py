"""What a backup says of itself: when it was made, what it holds, and the checksum of each of its files."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from analytics.errors import InputError

MANIFEST = "spanverdict-backup.manifest"

NEWEST = 1


class BackupError(InputError):
    """A backup cannot be made, or cannot be restored; the message names the file."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BackupFile(_Strict):
    """One file of a backup.

    Attributes:
        size_bytes: its size.
        checksum: BLAKE2b of 16 octets, as hex.
    """

    size_bytes: int
    checksum: str


class Contents(_Strict):
    """What a store held when it was backed up."""

    store_version: int
    spans: int
    first_span_at: datetime | None
    last_span_at: datetime | None
    log_records: int
    feedback: int
    evaluations: int
    promotions: int
    reports: int

    def sentence(self) -> str:
        """For a person."""
        days = ""
        if self.first_span_at and self.last_span_at:
            days = f" of {self.first_span_at:%Y-%m-%d} to {self.last_span_at:%Y-%m-%d}"
        return (
            f"{self.spans:,} spans{days}, {self.log_records:,} log records, {self.feedback:,} rows of feedback,"
            f" {self.evaluations:,} evaluations, {self.promotions:,} promotions, {self.reports:,} reports"
        )


class BackupManifest(_Strict):
    """The manifest.

    Attributes:
        backup: always ``spanverdict``.
        version: of the manifest.
        store: the name of the store's file, which is also how the names of the others begin.
        made_at: the moment of which the backup is (UTC).
        contents: what the store held.
        files: name of the file below the backup's folder, with slashes → what it is.
    """

    backup: Literal["spanverdict"] = "spanverdict"
    version: int = NEWEST
    store: str
    made_at: datetime
    contents: Contents
    files: dict[str, BackupFile]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files.values())

    @classmethod
    def read(cls, folder: Path) -> BackupManifest:
        """The manifest of a backup.

        Raises:
            BackupError: there is none, it cannot be read, is of a newer version, or names what a backup does not have.
        """
        path = folder / MANIFEST
        try:
            found = cls.model_validate_json(path.read_text("utf-8"))
        except FileNotFoundError as error:
            raise BackupError(
                f"{folder} is no backup: it has no {MANIFEST}; name a folder that `spanverdict backup` made."
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise BackupError(f"{path} cannot be read ({place}: {first['msg']}): use another backup.") from error
        except UnicodeDecodeError as error:
            raise BackupError(f"{path} cannot be read, for it is no text: use another backup.") from error
        if found.version > NEWEST:
            raise BackupError(f"{folder} was made by a newer spanverdict (version {found.version}): update it.")
        for name in found.files:
            parts = PurePosixPath(name).parts
            if not parts or not parts[0].startswith(found.store) or {"..", "/"} & {*parts, found.store}:
                raise BackupError(f"{path} names {name}, which is no file of a backup.")
        if found.store not in found.files:
            raise BackupError(f"{path} does not name the store's file: use another backup.")
        return found


def described(path: Path) -> BackupFile:
    """Read a file and say what it is.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return BackupFile(size_bytes=path.stat().st_size, checksum=checksum)
