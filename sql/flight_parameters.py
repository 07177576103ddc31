"""The parameters of a prepared query, as a Flight SQL client sends them: one row of Arrow, a column for each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

_PLAIN = (bool, int, float, str, datetime)


def parameter_values(names: Sequence[str], given: pa.Table) -> dict[str, Any]:
    """The values of a query's parameters, by name.

    Columns are matched by name where a query names its parameters and they are all there, else by their order, which
    is how clients send those of ``?`` and ``$1``.

    Args:
        names: the query's parameters.
        given: what the client sent.

    Returns:
        JSON values and times, in UTC without an offset, as the store's are. Dates and decimals are texts,
        which DuckDB reads where it wants one.

    Raises:
        ValueError: there is more or less than one row, too many columns or too few, or a value of another kind.
    """
    if given.num_rows != 1:
        raise ValueError(f"A query takes one row of parameters; {given.num_rows:,} were sent.")
    if given.num_columns != len(names):
        raise ValueError(f"The query has {len(names)} parameters; {given.num_columns} were sent.")
    by_name = set(given.column_names) == set(names)
    return {name: _value(name, given.column(name if by_name else at)) for at, name in enumerate(names)}


def _value(name: str, column: pa.ChunkedArray) -> Any:  # noqa: ANN401 (JSON values and times)
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # Python's times end at microseconds, as do the store's.
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    (value,) = column.to_pylist()
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).replace(tzinfo=None)
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, date | Decimal):
        return str(value)
    raise ValueError(
        f"The parameter {name} is {column.type}; it can be a text, a number, a truth value, a date or time."
    )
