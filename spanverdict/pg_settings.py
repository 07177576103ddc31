"""What PostgreSQL's clients set, show, begin and end: answered here, for the store is read one SELECT at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import version

from sql.errors import QueryError

SERVER_VERSION = "15.0"
"""The version of PostgreSQL whose catalogs are shown; clients ask accordingly."""

SETTINGS = {
    "server_version": SERVER_VERSION,
    "server_version_num": "150000",
    "version": f"PostgreSQL {SERVER_VERSION} (spanverdict {version('spanverdict')}, DuckDB's SQL, read-only)",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "application_name": "",
    "bytea_output": "hex",
    "datestyle": "ISO, MDY",
    "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on",
    "extra_float_digits": "3",
    "in_hot_standby": "off",
    "integer_datetimes": "on",
    "intervalstyle": "postgres",
    "is_superuser": "off",
    "lc_collate": "C",
    "lc_monetary": "C",
    "max_identifier_length": "63",
    "max_index_keys": "32",
    "search_path": "main",
    "session_authorization": "spanverdict",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "timezone": "UTC",
    "transaction_isolation": "repeatable read",
    "transaction_read_only": "on",
}
"""Settings by name in lower case."""

REPORTED = (
    "server_version", "server_encoding", "client_encoding", "application_name", "default_transaction_read_only",
    "in_hot_standby", "integer_datetimes", "is_superuser", "session_authorization", "standard_conforming_strings",
)  # fmt: skip
"""Settings that a client is told as a connection begins, beside DateStyle, IntervalStyle and TimeZone."""

_COMMENTS = re.compile(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_WORDS = re.compile(r"[A-Za-z_][\w.]*|\S")

_TAGS = {
    "set": "SET",
    "reset": "RESET",
    "discard": "DISCARD ALL",
    "deallocate": "DEALLOCATE",
    "close": "CLOSE CURSOR",
    "listen": "LISTEN",
    "unlisten": "UNLISTEN",
    "savepoint": "SAVEPOINT",
    "release": "RELEASE",
}
_BEGINS = frozenset({"begin", "start"})
_ENDS = {"commit": "COMMIT", "end": "COMMIT", "rollback": "ROLLBACK", "abort": "ROLLBACK"}
_SHOWN = {"transaction isolation level": "transaction_isolation", "time zone": "timezone"}


@dataclass(frozen=True)
class Command:
    """A statement that is answered without asking the store.

    Attributes:
        tag: what the client is told that was done.
        in_transaction: whether a transaction is open after it; None where that stays as it was.
        shown: the name and value of a setting that it shows.
    """

    tag: str
    in_transaction: bool | None = None
    shown: tuple[str, str] | None = None


def session_command(statement: str) -> Command | None:
    """The command that a statement is; None for a query.

    Settings and transactions change nothing: a query sees the store as it is when the query begins.

    Raises:
        QueryError: it sets or declares what is not to be had.
    """
    words = [word.lower() for word in _WORDS.findall(_COMMENTS.sub("", statement).rstrip("; \n"))[:8]]
    if not words:
        return None
    first = words[0]
    if first in _BEGINS:
        return Command("BEGIN" if first == "begin" else "START TRANSACTION", in_transaction=True)
    if first in _ENDS:
        to_savepoint = first == "rollback" and "to" in words
        return Command(_ENDS[first], in_transaction=None if to_savepoint else False)
    if first in {"declare", "fetch", "move"}:
        raise QueryError("Cursors of SQL are not to be had; the driver's own (fetch size, itersize) read in parts.")
    if first == "show":
        return _show(" ".join(words[1:]))
    if first == "set" and "client_encoding" in words and not {"utf8", "utf", "unicode"} & set(words):
        raise QueryError("Texts are sent in UTF-8 alone: set client_encoding to UTF8.")
    return Command(_TAGS[first]) if first in _TAGS else None


def _show(asked: str) -> Command | None:
    """A setting; None for what DuckDB shows: its tables, or the columns of one."""
    name = _SHOWN.get(asked, asked.strip('"'))
    if name not in SETTINGS:
        return None
    return Command("SHOW", shown=(name, SETTINGS[name]))
