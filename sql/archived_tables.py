"""Which tables have an archive, and where its files are: Parquet in a folder beside the store, one for each UTC day."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path


@dataclass(frozen=True)
class ArchivedTable:
    """A table whose closed days are moved into files.

    Attributes:
        name: the view over what is live and what is archived.
        time: the column whose UTC day a row belongs to.
        identity: what identifies a row.
        order: how the rows of a file are sorted.
        unchanged: a column that a later write may change, and that tells so; None if rows never change.
        incoming_identity: what identifies a row that is yet to be stored, as expressions.
    """

    name: str
    time: str
    identity: tuple[str, ...]
    order: tuple[str, ...]
    unchanged: str | None
    incoming_identity: Mapping[str, str]

    @property
    def live(self) -> str:
        """The table that holds what is not archived."""
        return f"live_{self.name}"

    @property
    def archived(self) -> str:
        """The view over the files alone."""
        return f"archived_{self.name}"


TABLES: Mapping[str, ArchivedTable] = {
    table.name: table
    for table in (
        ArchivedTable(
            "spans",
            "start_time",
            ("start_time", "span_id", "trace_id"),
            ("trace_id", "start_time", "span_id"),
            "normalizer_version",
            {name: name for name in ("start_time", "span_id", "trace_id")},
        ),
        ArchivedTable(
            "log_records",
            "event_time",
            ("event_time", "log_id"),
            ("trace_id", "event_time", "log_id"),
            None,
            {
                "event_time": "event_time",
                "log_id": "log_identity(event_time, trace_id, span_id, event_name, severity_number, severity_text,"
                " body, attributes, scope_name, scope_version, resource_id)",
            },
        ),
    )
}
"""The tables that have an archive, by name."""

_FILE = re.compile(r"(?:spans|log_records)/day=\d{4}-\d\d-\d\d/[0-9a-f]{16}\.parquet")
_NAMED = re.compile(r"[^'\"\s]*\.archive/(" + _FILE.pattern + r")")
_UNUSABLE = re.compile(r"[*?\[\],]")


def archive_directory(store: Path) -> Path:
    """Where the files of a store are."""
    return store.with_name(store.name + ".archive")


def unusable_name(store: Path) -> str | None:
    """Why no archive can be kept beside a store; None if one can.

    DuckDB takes some characters of a path for a pattern, or for the end of it.
    """
    path = Path(store).absolute()
    if _UNUSABLE.search(path.name) or "," in str(path.parent):
        return (
            f"{path} has one of the characters * ? [ ] , in its name, which the paths of an archive cannot have; its"
            " days stay in the store."
        )
    return None


def new_file(table: str, day: date) -> str:
    """A name that no file has yet, relative to the archive's folder."""
    return f"{table}/day={day.isoformat()}/{secrets.token_hex(8)}.parquet"


def is_file_name(text: str) -> bool:
    """Whether a text is the name of an archive's file, relative to its folder."""
    return _FILE.fullmatch(text) is not None


def file_in(message: str) -> str | None:
    """The file of an archive that a message of the database names; None if it names none."""
    found = _NAMED.search(message)
    return found[1] if found else None


def lost_file_sentence(file: str, said: str) -> str:
    """What is told of a file that is missing or cannot be read.

    Args:
        file: its name, relative to the archive's folder.
        said: what the database says.
    """
    return (
        f"The archived file {file} is missing or damaged: restore it from a copy into the store's archive folder, or"
        f" give its rows up with `spanverdict archive --forget {file}`. ({said})"
    )
