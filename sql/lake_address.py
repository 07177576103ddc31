"""Where a shared store is: a DuckLake, whose catalog is a PostgreSQL database and whose rows are Parquet files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

SCHEME = "ducklake:"

_FORM = (
    "a shared store is named ducklake:postgresql://USER@HOST:PORT/DATABASE?data=s3://BUCKET/PREFIX, "
    "or ?data=/FOLDER for a folder that every collector sees"
)

_CATALOG_SCHEMES = ("postgresql", "postgres")


@dataclass(frozen=True)
class LakeAddress:
    """The address of a lake. As text it is what was given; no part of it is secret.

    Attributes:
        catalog: the catalog's connection URI, as libpq reads it, without a password.
        data: where the Parquet files are: ``s3://bucket/prefix/`` or an absolute folder, with a slash at its end.
    """

    catalog: str
    data: str

    @classmethod
    def parse(cls, text: str) -> LakeAddress:
        """Read an address such as ``ducklake:postgresql://spans@db:5432/spans?data=s3://bucket/spans``.

        Raises:
            ValueError: it is none, or holds a password; the message says what it should be.
        """
        parts = urlsplit(text.removeprefix(SCHEME))
        if parts.scheme not in _CATALOG_SCHEMES or not parts.path.strip("/"):
            raise ValueError(_FORM)
        settings = parse_qsl(parts.query, keep_blank_values=True)
        if parts.password is not None or any(name == "password" for name, _ in settings):
            raise ValueError("it holds a password, which others would see: set PGPASSWORD, or use ~/.pgpass")
        data = [value for name, value in settings if name == "data"]
        if len(data) != 1 or not _is_place(data[0]):
            raise ValueError(_FORM)
        rest = urlencode([(name, value) for name, value in settings if name != "data"], quote_via=quote)
        catalog = urlunsplit((parts.scheme, parts.netloc, parts.path, rest, ""))
        return cls(catalog, data[0].rstrip("/") + "/")

    def __str__(self) -> str:
        joint = "&" if "?" in self.catalog else "?"
        return f"{SCHEME}{self.catalog}{joint}data={self.data.rstrip('/')}"

    @property
    def folder(self) -> Path | None:
        """The folder of the Parquet files; None where they are in an object store."""
        return None if self.data.startswith("s3://") else Path(self.data)


def _is_place(text: str) -> bool:
    if text.startswith("s3://"):
        return bool(text.removeprefix("s3://").strip("/"))
    # Two processes with different working directories must not take two folders for one.
    return Path(text).is_absolute() and text.strip("/") != ""
