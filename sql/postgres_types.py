"""PostgreSQL's types for the columns of answers: their numbers (OIDs), which clients know by heart.

Source: PostgreSQL 15, src/include/catalog/pg_type.dat.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class PostgresType:
    """A type.

    Attributes:
        oid: its number.
        name: its name in pg_type.
        full_name: its name in SQL.
        size: bytes of a value; -1 where that varies.
        category: the letter of its kind.
        array_oid: the number of arrays of it; 0 for an array.
        element: of an array, the number of its elements' type, else 0.
    """

    oid: int
    name: str
    full_name: str
    size: int
    category: str
    array_oid: int
    element: int = 0


_SCALARS = (
    PostgresType(16, "bool", "boolean", 1, "B", 1000),
    PostgresType(17, "bytea", "bytea", -1, "U", 1001),
    PostgresType(18, "char", '"char"', 1, "Z", 1002),
    PostgresType(19, "name", "name", 64, "S", 1003),
    PostgresType(20, "int8", "bigint", 8, "N", 1016),
    PostgresType(21, "int2", "smallint", 2, "N", 1005),
    PostgresType(23, "int4", "integer", 4, "N", 1007),
    PostgresType(25, "text", "text", -1, "S", 1009),
    PostgresType(26, "oid", "oid", 4, "N", 1028),
    PostgresType(114, "json", "json", -1, "U", 199),
    PostgresType(700, "float4", "real", 4, "N", 1021),
    PostgresType(701, "float8", "double precision", 8, "N", 1022),
    PostgresType(1042, "bpchar", "character", -1, "S", 1014),
    PostgresType(1043, "varchar", "character varying", -1, "S", 1015),
    PostgresType(1082, "date", "date", 4, "D", 1182),
    PostgresType(1083, "time", "time without time zone", 8, "D", 1183),
    PostgresType(1114, "timestamp", "timestamp without time zone", 8, "D", 1115),
    PostgresType(1184, "timestamptz", "timestamp with time zone", 8, "D", 1185),
    PostgresType(1186, "interval", "interval", 16, "T", 1187),
    PostgresType(1700, "numeric", "numeric", -1, "N", 1231),
    PostgresType(2950, "uuid", "uuid", 16, "U", 2951),
)

TYPES = {
    one.oid: one
    for scalar in _SCALARS
    for one in (
        scalar,
        PostgresType(scalar.array_oid, "_" + scalar.name, scalar.full_name + "[]", -1, "A", 0, scalar.oid),
    )
}
"""By their numbers, arrays too."""

OIDS = {one.name: one.oid for one in TYPES.values()}
"""The numbers by name."""

_ALIASES = {"int": "int4", "decimal": "numeric", "float": "float8", "double": "float8"}


def oid_named(name: str) -> int:
    """The number of the type that a cast names, such as ``integer``; 0 for one that is not here."""
    if name.endswith("[]"):
        element = TYPES.get(oid_named(name.removesuffix("[]")))
        return element.array_oid if element else 0
    known = next((one.oid for one in TYPES.values() if name in (one.name, one.full_name)), 0)
    return known or OIDS.get(_ALIASES.get(name, ""), 0)


_OF_DUCKDB = {
    "BOOLEAN": "bool",
    "TINYINT": "int2",
    "SMALLINT": "int2",
    "INTEGER": "int4",
    "BIGINT": "int8",
    "UTINYINT": "int2",
    "USMALLINT": "int4",
    "UINTEGER": "oid",
    "UBIGINT": "numeric",
    "HUGEINT": "numeric",
    "UHUGEINT": "numeric",
    "FLOAT": "float4",
    "DOUBLE": "float8",
    "BLOB": "bytea",
    "DATE": "date",
    "TIME": "time",
    "INTERVAL": "interval",
    "UUID": "uuid",
    "JSON": "json",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
}


def oid_of_duckdb(name: str) -> int:
    """The type of a column that DuckDB names so; what PostgreSQL has nothing for is text, or JSON where it nests."""
    if name.endswith("[]"):
        element = TYPES[oid_of_duckdb(name.removesuffix("[]"))]
        return element.array_oid or OIDS["json"]
    if name in _OF_DUCKDB:
        return OIDS[_OF_DUCKDB[name]]
    if name.startswith(("STRUCT", "MAP", "UNION")):
        return OIDS["json"]
    if name.startswith("DECIMAL"):
        return OIDS["numeric"]
    return OIDS["timestamp" if re.match(r"TIMESTAMP\b|TIMESTAMP_", name) else "text"]


_OF_ARROW = (
    (pa.types.is_boolean, "bool"),
    (pa.types.is_int8, "int2"),
    (pa.types.is_int16, "int2"),
    (pa.types.is_int32, "int4"),
    (pa.types.is_int64, "int8"),
    (pa.types.is_uint8, "int2"),
    (pa.types.is_uint16, "int4"),
    # PostgreSQL's one unsigned type, and what its catalogs number objects by.
    (pa.types.is_uint32, "oid"),
    (pa.types.is_uint64, "numeric"),
    (pa.types.is_decimal, "numeric"),
    (pa.types.is_float32, "float4"),
    (pa.types.is_float64, "float8"),
    (pa.types.is_binary, "bytea"),
    (pa.types.is_large_binary, "bytea"),
    (pa.types.is_date, "date"),
    (pa.types.is_time, "time"),
    (pa.types.is_interval, "interval"),
    (pa.types.is_duration, "interval"),
    (pa.types.is_struct, "json"),
    (pa.types.is_map, "json"),
    (pa.types.is_union, "json"),
)


def type_of_arrow(column: pa.DataType) -> PostgresType:
    """The type in which a column of an answer is sent."""
    if isinstance(column, pa.BaseExtensionType):
        return TYPES[OIDS["json"]] if column.extension_name == "arrow.json" else type_of_arrow(column.storage_type)
    if pa.types.is_timestamp(column):
        return TYPES[OIDS["timestamptz" if column.tz else "timestamp"]]
    if pa.types.is_list(column) or pa.types.is_large_list(column) or pa.types.is_fixed_size_list(column):
        return TYPES[type_of_arrow(column.value_type).array_oid or OIDS["json"]]
    return TYPES[next((OIDS[name] for fits, name in _OF_ARROW if fits(column)), OIDS["text"])]
