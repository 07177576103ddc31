"""Rows for an agent: so many, so long, as JSON or as a Markdown table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from analytics.report.formatting import count
from spanverdict.mcp_text import PART_CHARACTERS, json_text
from spanverdict.output import records
from sql.access import Reader
from sql.errors import QueryError
from sql.read_only import without_end

MOST_ROWS = 1_000
"""Rows of one answer that may be asked for."""

CELL_CHARACTERS = 2_000
"""Characters of one text in an answer."""

_NOT_A_TABLE = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*EXPLAIN\b", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class FirstRows:
    """The first rows of a query.

    Attributes:
        rows: they.
        has_more: whether the query has others.
    """

    rows: pa.Table
    has_more: bool


def first_rows(store: Reader, query: str, parameters: Mapping[str, Any] | None, most: int) -> FirstRows:
    """Answer a query with its first rows; the database reads no more than it needs for them.

    Args:
        store: where to ask.
        query: one SELECT, or the EXPLAIN of one.
        parameters: values of its named parameters.
        most: how many rows.

    Raises:
        QueryError: the query is refused or fails.
    """
    given = dict(parameters or {})
    if _NOT_A_TABLE.match(query):
        answer = store.read(query, given)
        return FirstRows(answer.slice(0, most), answer.num_rows > most)
    try:
        answer = store.read(f"SELECT * FROM (\n{without_end(query)}\n) LIMIT {most + 1}", given)
    except QueryError:
        # Of the bare text it can be said what is wrong with it: two statements, or one that writes.
        store.read(f"EXPLAIN {query}", given)
        raise
    return FirstRows(answer.slice(0, most), answer.num_rows > most)


def written(found: FirstRows, form: str) -> tuple[str, str]:
    """Rows as text, as far as they fit one answer, and a sentence that says how many there are.

    Args:
        found: the rows.
        form: "json" or "markdown".
    """
    given = [{name: _cut(cell) for name, cell in row.items()} for row in records(found.rows)]
    lines = [json_text(row) if form == "json" else _line([_cell(value) for value in row.values()]) for row in given]
    kept = _fitting(lines)
    said = f"{count(len(kept), 'row')}."
    if found.has_more or len(kept) < len(lines):
        said = f"The first {said[:-1]}; there are more: ask for fewer columns, aggregate, or use LIMIT and OFFSET."
    if lines and not kept:
        said = "The first row is too long for an answer: ask for fewer columns."
    if form == "json":
        return "[" + ",\n ".join(kept) + "]", said
    names = found.rows.column_names
    return "\n".join((_line([_cell(name) for name in names]), _line(["---"] * len(names)), *kept)), said


def _fitting(lines: Sequence[str]) -> list[str]:
    kept: list[str] = []
    left = PART_CHARACTERS
    for line in lines:
        left -= len(line) + 2
        if left < 0:
            break
        kept.append(line)
    return kept


def _cut(value: Any) -> Any:  # noqa: ANN401 (cells have any type)
    if isinstance(value, str) and len(value) > CELL_CHARACTERS:
        return f"{value[:CELL_CHARACTERS]}… ({len(value) - CELL_CHARACTERS:,} more characters)"
    return value


def _cell(value: Any) -> str:  # noqa: ANN401 (cells have any type)
    text = "" if value is None else value if isinstance(value, str) else json_text(value)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\r", "\\r").replace("\n", "\\n")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
