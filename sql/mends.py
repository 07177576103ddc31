"""What to write instead, for the questions that the database refuses most often."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping

_NO_TABLE = re.compile(r'Table with name "?(?P<name>[^"\s]+)"? does not exist!?')
_NO_COLUMN = re.compile(
    r'Referenced column "(?P<name>[^"]+)" not found in FROM clause!?'
    r'|(?:Table|Values list) "[^"]+" does not have a column named "(?P<of_table>[^"]+)"'
)
_ZONE = re.compile(r"TIMESTAMP_NS and type TIMESTAMP WITH TIME ZONE|TIMESTAMP WITH TIME ZONE and type TIMESTAMP_NS")
_NO_TIME = re.compile(r"Could not convert string '(?P<text>[^']*)' to INT64")
_SHOWN = 3


def with_mend(said: str, query: str, tables: Mapping[str, Collection[str]]) -> str:
    """A refusal of the database with what to write instead, where that can be told; else as it was.

    Args:
        said: the database's sentence.
        query: what was asked.
        tables: the names of tables and views → their columns.
    """
    if missing := _NO_TABLE.search(said):
        nearest = near(missing["name"], tables)
        return f"{missing[0].rstrip('!')}; {_proposed(nearest)}SHOW TABLES lists them all."
    if missing := _NO_COLUMN.search(said):
        return f"{missing[0].rstrip('!')}; {_column(missing['name'] or missing['of_table'], query, tables)}"
    if _ZONE.search(said):
        return (
            f"{said.rstrip('.')}. Times of the store are UTC and have no zone: write"
            " now() AT TIME ZONE 'UTC' for now, or $since with --param since=1h."
        )
    if _NO_TIME.search(said):
        return f"{said.rstrip('.')}. A time is written '2026-11-02 14:30' (UTC), or $since with --param since=7d."
    return said


def near(name: str, known: Collection[str]) -> list[str]:
    """Known names that are like one, or hold it or one of its words; the nearest first.

    Args:
        name: what was written.
        known: what there is.
    """
    name = name.lower()
    words = {word.removesuffix("s") for word in name.split("_")}
    like = difflib.get_close_matches(name, known, n=_SHOWN)
    holding = [other for other in known if words & {word.removesuffix("s") for word in other.split("_")}]
    holding.sort(key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())
    return list(dict.fromkeys([*like, *holding]))[:_SHOWN]


def _column(name: str, query: str, tables: Mapping[str, Collection[str]]) -> str:
    if not name.isidentifier():
        return f"a text stands in single quotes, '{name}': double ones name a column."
    asked = [table for table in tables if re.search(rf"\b{re.escape(table)}\b", query, re.IGNORECASE)]
    nearest = near(name, list(dict.fromkeys(column for table in asked for column in tables[table])))
    having = [table for table, columns in sorted(tables.items()) if name.lower() in columns and table not in asked]
    elsewhere = f"it is a column of {_listed(having[:_SHOWN], 'and')}; " if having else ""
    described = " and ".join(f"DESCRIBE {table}" for table in asked[:1]) or "DESCRIBE spans"
    return f"{elsewhere}{_proposed(nearest)}{described} lists the columns."


def _proposed(names: list[str]) -> str:
    return f"did you mean {_listed(names, 'or')}? " if names else ""


def _listed(names: list[str], last: str) -> str:
    return f" {last} ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
