"""What a SELECT may not call: functions with effects, that hide a query, read files or tell settings, without bounds.

DuckDB's tokenizer tells names from texts and comments, so that neither quotes nor comments hide a call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import duckdb

from sql.errors import QueryError

_EFFECTS = frozenset(
    {
        "checkpoint",
        "disable_logging",
        "disable_profiling",
        "enable_logging",
        "enable_profiling",
        "force_checkpoint",
        "nextval",
        "pg_sleep",
        "setseed",
        "sleep_ms",
        "truncate_duckdb_logs",
        "write_log",
    }
)
"""They change something or only wait; a read-only transaction does not stop them all."""

_HIDING = frozenset({"json_execute_serialized_sql", "query", "query_table"})
"""They take a text for a query or a table, which nobody has looked at."""

_PRIVATE = frozenset(
    {
        "current_setting",
        "database_list",  # of PRAGMA, which DuckDB before 2.0 takes for a SELECT
        "duckdb_databases",
        "duckdb_logs",
        "duckdb_logs_parsed",
        "duckdb_secrets",
        "duckdb_settings",
        "duckdb_temporary_files",
        "getenv",
        "pg_settings",
        "which_secret",
    }
)
"""Functions and views that tell of the process and the machine, not of what is stored."""

_OF_LAKE = re.compile(r"ducklake_\w+|postgres_\w+|pg_clear_cache|__ducklake_\w+")
"""They change a lake whatever the transaction says, or reach into its catalog."""

_MACROS_OF_LAKE = frozenset(
    {
        "current_snapshot",
        "get_option",
        "last_committed_snapshot",
        "merge_adjacent_files",
        "options",
        "set_commit_message",
        "set_option",
        "settings",
        "snapshots",
        "table_changes",
        "table_deletions",
        "table_info",
        "table_insertions",
    }
)
"""The same by names that DuckLake gives every lake (ducklake_default_functions.cpp)."""

_OF_FILES = re.compile(r"glob|sniff_csv|(?:read|parquet)_\w+")
"""They read files. The database lets nothing in but the archive's, which its views read, and nobody else has to."""

_IN_ARCHIVE = ".archive/"
"""What the path of a file in an archive cannot do without; a path may stand for a table: FROM 's.archive/a.parquet'."""

_COUNT_FROM_THE_END = {"repeat": 1, "lpad": 2, "rpad": 2, "bar": 1}
"""Functions that make a text or list as long as they are told, and where its length stands among the arguments."""

LONGEST_REPETITION = 10_000
"""What the lengths of all of those in one query may come to, multiplied: DuckDB's memory limit does not hold for what
one call makes, and one batch makes 2,048 of them."""

_FORMATTING = frozenset({"format", "printf"})
_WIDE = re.compile(r"\d{4}|\*|\{[^}]*\{")
"""In a format: a width of thousands, or one that comes from an argument."""

_STRING = re.compile(r"'(?:[^']|'')*'")
_WORD_OR_BRACKET = re.compile(r'"(?:[^"]|"")*"|[\w.]+|[()\[\]{},]')

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|([0-7]{1,3}))")

_LONGEST_KEPT = 10_000
"""Characters of the longest query that is known again."""

_IDENTIFIERS = frozenset({duckdb.token_type.identifier, duckdb.token_type.keyword})


@dataclass(frozen=True)
class _Token:
    text: str
    kind: duckdb.token_type

    @property
    def name(self) -> str | None:
        """What it names, without quotes, in lower case; None for what is no name."""
        if self.kind not in _IDENTIFIERS:
            return None
        return self.text.strip('"').replace('""', '"').lower()


def check_calls(query: str) -> None:
    """Refuse a query that calls what it may not.

    Raises:
        QueryError: it does; the message says which and what to do instead.
    """
    (_check_once if len(query) <= _LONGEST_KEPT else _check)(query)


def _check(query: str) -> None:
    tokens = list(_tokens(query))
    lengths = []
    for index, token in enumerate(tokens):
        name = token.name
        # A text may stand for a table: FROM 'pg_settings'.
        told = name or token.text.strip("'").lower()
        if told in _PRIVATE:
            raise QueryError(f"{told} tells of the server's process and machine and is not answered.")
        if _OF_LAKE.fullmatch(told):
            raise QueryError(f"{told} belongs to the shared store's own upkeep and is not answered.")
        if _IN_ARCHIVE in _unescaped(token.text):
            raise QueryError(
                "The archive's files are not read by name; the views spans and log_records hold their rows."
            )
        if name is None or index + 1 == len(tokens) or tokens[index + 1].text != "(":
            continue
        _check_name(name)
        if name in _COUNT_FROM_THE_END:
            lengths.append(_length(name, _arguments(tokens, index + 2)))
        if name in _FORMATTING:
            _check_format(name, _arguments(tokens, index + 2))
    if lengths and (prod(lengths) > LONGEST_REPETITION or any(token.name == "recursive" for token in tokens)):
        raise QueryError(
            f"repeat, lpad, rpad and bar may make texts of {LONGEST_REPETITION:,} characters, all of a query together,"
            " and none in a recursive one."
        )


# Reports and dashboards ask the same again and again, and the check reads a query in Python; one that is refused is
# checked anew.
_check_once = lru_cache(maxsize=512)(_check)


def _check_name(name: str) -> None:
    if name in _MACROS_OF_LAKE:
        raise QueryError(f"{name} belongs to the shared store's own upkeep and is not answered.")
    if name == "at":
        # FROM spans AT (VERSION => 1): what retention has deleted is there until the snapshot is given up.
        raise QueryError("What a shared store held before is not answered; leave AT (…) out.")
    if name in _EFFECTS:
        raise QueryError(f"The function {name} has effects and is not answered.")
    if _OF_FILES.fullmatch(name):
        raise QueryError(f"The function {name} reads files and is not answered; ask the tables and views.")
    if name in _HIDING:
        raise QueryError(f"The function {name} takes a text for a query and is not answered; write it out.")


def _unescaped(text: str) -> str:
    """A text with what its numbered escapes stand for."""
    return _ESCAPE.sub(
        lambda found: chr(int(found[1] or found[2], 16) if found[1] or found[2] else int(found[3], 8)), text
    )


def _tokens(query: str) -> Iterator[_Token]:
    """The tokens of a query that are no comments."""
    encoded = query.encode()
    found = duckdb.tokenize(query)
    ends = [begin for begin, _ in found[1:]] + [len(encoded)]
    for (begin, kind), end in zip(found, ends, strict=True):
        if kind.name == "comment":
            continue
        text = encoded[begin:end].decode(errors="replace").strip()
        # DuckDB before 2.0 leaves a comment with the token before it.
        alone = (_STRING if kind == duckdb.token_type.string_const else _WORD_OR_BRACKET).match(text)
        yield _Token(alone[0] if alone else text, kind)


def _arguments(tokens: Sequence[_Token], begin: int) -> list[list[_Token]]:
    """The arguments of a call whose first stands at ``begin``."""
    arguments: list[list[_Token]] = [[]]
    depth = 0
    for token in tokens[begin:]:
        if token.text in {")", "]", "}"}:
            if depth == 0:
                break
            depth -= 1
        if depth == 0 and token.text == ",":
            arguments.append([])
            continue
        depth += token.text in {"(", "[", "{"}
        arguments[-1].append(token)
    return arguments


def _length(name: str, arguments: Sequence[Sequence[_Token]]) -> int:
    at = _COUNT_FROM_THE_END[name]
    given = arguments[-at] if at <= len(arguments) else []
    if len(given) != 1 or not given[0].text.isdecimal():
        raise QueryError(f"{name} is answered where its length is a plain number in the query.")
    return max(int(given[0].text), 1)


def _check_format(name: str, arguments: Sequence[Sequence[_Token]]) -> None:
    first = arguments[0]
    if len(first) != 1 or first[0].kind != duckdb.token_type.string_const or _WIDE.search(first[0].text):
        raise QueryError(f"{name} is answered where the format is a text in the query without widths of thousands.")
