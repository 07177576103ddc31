"""Columns whose type only the value of a parameter decides, such as ``SELECT $1``.

DuckDB 2.0 tells them as NULL where the parameters have no values yet. DuckDB 1.5 tells them as INTEGER, and clients
that go by that misread the texts that come.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa

_UNKNOWN = '"NULL"'


def as_unknown(
    cursor: duckdb.DuckDBPyConnection, query: str, given: Mapping[str, object], schema: pa.Schema
) -> pa.Schema:
    """The columns of an answer, with the type null where it is not known yet.

    Args:
        cursor: on the store.
        query: the SELECT, without a semicolon at its end.
        given: its parameters; those without a value are None.
        schema: what the database tells.
    """
    if pa.int32() not in schema.types:
        return schema
    kinds = cursor.execute(
        f"SELECT typeof(COLUMNS(*)) FROM (SELECT * FROM ({query}\n) LIMIT 0) RIGHT JOIN (SELECT 1) ON true",
        dict(given),
    ).fetchall()[0]
    for place, (field, kind) in enumerate(zip(schema, kinds, strict=False)):
        if kind == _UNKNOWN:
            schema = schema.set(place, field.with_type(pa.null()))
    return schema
