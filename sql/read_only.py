"""What may be asked of the store: one SELECT, or the EXPLAIN of one, without effects.

DuckDB's own parser tells what a text is. Parsing alone is not the guard: a statement may hide another one (a CTE that
deletes), so every query also runs in a read-only transaction.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import duckdb

from sql.archived_tables import file_in, lost_file_sentence
from sql.errors import MEMORY_SENTENCE, QueryError, QueryMemoryError
from sql.refused_calls import check_calls

_END = re.compile(r";(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*\Z", re.DOTALL)
_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(?!ANALYZE\b)(?=[A-Z])", re.IGNORECASE)


def check_read_only(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse everything but one SELECT, or the EXPLAIN of one.

    Raises:
        QueryError: the text is not exactly one such statement, or calls what a query may not (sql/refused_calls.py).
    """
    kind = _only_statement(connection, query).type
    if kind == duckdb.StatementType.EXPLAIN:
        code = _without_leading_comments(query)
        explained = _EXPLAIN.match(code)
        if not explained:
            raise QueryError("Plain EXPLAIN is answered; EXPLAIN ANALYZE and EXPLAIN with options are not.")
        kind = _only_statement(connection, code[explained.end() :]).type
    if kind != duckdb.StatementType.SELECT:
        raise QueryError(f"Only SELECT is answered; this is {kind.name}.")
    check_calls(query)


def check_parameters(connection: duckdb.DuckDBPyConnection, query: str, given: Collection[str]) -> None:
    """Refuse values for parameters that a query does not have, and parameters without a value.

    Raises:
        QueryError: there is one; the message names it.
    """
    wanted = set(_only_statement(connection, query).named_parameters)
    for name in sorted(wanted - set(given)):
        raise QueryError(f"The query's parameter ${name} has no value; give it one, such as with --param {name}=7d.")
    for name in sorted(set(given) - wanted):
        known = ", ".join(f"${name}" for name in sorted(wanted)) or "none"
        raise QueryError(f"The query has no parameter ${name}; its parameters are: {known}.")


def parameter_names(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    """The parameters of a query: numbers in their order (of ``?`` and ``$1``), then names in alphabetical order.

    Raises:
        QueryError: the text is not one statement.
    """
    found = set(_only_statement(connection, query).named_parameters)
    return sorted(found, key=lambda name: (0, int(name), "") if name.isdecimal() else (1, 0, name))


def without_end(query: str) -> str:
    """A statement without the semicolon at its end, and the comments after that, so that it can stand in another."""
    return _END.sub("", query)


def _only_statement(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.Statement:
    try:
        parsed = connection.extract_statements(query)
    except duckdb.Error as error:
        raise QueryError(first_line(error)) from error
    if not parsed:
        raise QueryError("The query is empty.")
    if len(parsed) != 1:
        raise QueryError(f"Send one statement at a time; this text holds {len(parsed)}.")
    return parsed[0]


def _without_leading_comments(query: str) -> str:
    previous = None
    while query != previous:
        previous = query
        query = re.sub(r"\A\s*(--[^\n]*(\n|\Z)|/\*.*?\*/)", "", query, flags=re.DOTALL)
    return query


def first_line(error: Exception) -> str:
    """DuckDB's message as one line, without its hints and stack."""
    return str(error).strip().split("\n\n", maxsplit=1)[0].replace("\n", " ")


def unanswered(error: Exception) -> QueryError:
    """Why a query has no answer, as a sentence; where memory did not suffice or a file is lost, with the mend."""
    said = first_line(error)
    if isinstance(error, duckdb.IOException | duckdb.InvalidInputException) and (file := file_in(said)):
        return QueryError(lost_file_sentence(file, said))
    if isinstance(error, duckdb.OutOfMemoryException):
        mend = "raise server.memory_limit of `spanverdict serve` and ask while it runs"
        return QueryMemoryError(f"{MEMORY_SENTENCE}: {mend}. ({said})")
    return QueryError(said)
