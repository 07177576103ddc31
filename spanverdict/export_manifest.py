"""What an export says of itself: which files it has, and what each of them holds."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from spanverdict.export_target import ExportError, ExportTarget

MANIFEST = "spanverdict-export.manifest"
"""The manifest's name in the root of an export; `import` takes no file of that suffix for data."""

NEWEST = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ExportedFile(_Strict):
    """One file of an export.

    Attributes:
        table: whose rows it holds.
        date: their UTC day, as ISO 8601; None where the table is in one file.
        rows: how many.
        size_bytes: the file's size.
        checksum: BLAKE2b of 16 octets, as hex.
        state: what is other when rows have come or changed since.
    """

    table: str
    date: str | None
    rows: int
    size_bytes: int
    checksum: str
    state: str


class Derived(_Strict):
    """How far calls had been derived when the export of them began."""

    spans_through: datetime
    evaluations_through: datetime
    derived_at: datetime


class Manifest(_Strict):
    """The manifest.

    Attributes:
        export: always ``spanverdict``.
        version: of the manifest.
        format: of the files.
        store_version: of the schema of the store that was exported.
        derived: how far its calls had been derived; None if they are not in it, or some were to be derived anew.
        files: name of the file below the root → what it holds.
    """

    export: Literal["spanverdict"] = "spanverdict"
    version: int = NEWEST
    format: Literal["parquet", "otlp"]
    store_version: int
    derived: Derived | None = None
    files: dict[str, ExportedFile] = {}

    @classmethod
    def of(cls, target: ExportTarget) -> Manifest | None:
        """The manifest of what lies at a place; None if no export does.

        Raises:
            ExportError: it cannot be read, or is of a newer version.
        """
        text = target.read(MANIFEST)
        if text is None:
            return None
        try:
            found = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ExportError(
                f"{MANIFEST} cannot be read ({place}: {first['msg']}): restore it, or export anew into another folder."
            ) from error
        if found.version > NEWEST:
            raise ExportError(f"The export was written by a newer spanverdict (version {found.version}): update it.")
        return found

    def save(self, target: ExportTarget) -> None:
        """Write it, whole or not at all."""
        with target.write(MANIFEST) as file:
            file.write(self.model_dump_json(indent=1).encode())
