"""What Flight SQL clients ask about the store itself: its tables, columns and types, and what the server can do.

Source: Apache Arrow, format/FlightSql.proto, the schemas in the comments of each command and the enum SqlInfo.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from sql import statements
from sql.opened_store import OpenedStore

CATALOG = "spanverdict"
"""What the store is called as a catalog; there is one."""

SCHEMA = "main"

_TEXT = pa.string()
_CATALOGS = pa.schema([pa.field("catalog_name", _TEXT, nullable=False)])
_SCHEMAS = pa.schema([pa.field("catalog_name", _TEXT), pa.field("db_schema_name", _TEXT, nullable=False)])
_TABLE_TYPES = pa.schema([pa.field("table_type", _TEXT, nullable=False)])
_TABLES = pa.schema(
    [
        pa.field("catalog_name", _TEXT),
        pa.field("db_schema_name", _TEXT),
        pa.field("table_name", _TEXT, nullable=False),
        pa.field("table_type", _TEXT, nullable=False),
    ]
)
_TABLES_WITH_COLUMNS = _TABLES.append(pa.field("table_schema", pa.binary(), nullable=False))
_PRIMARY_KEYS = pa.schema(
    [
        pa.field("catalog_name", _TEXT),
        pa.field("db_schema_name", _TEXT),
        pa.field("table_name", _TEXT, nullable=False),
        pa.field("column_name", _TEXT, nullable=False),
        pa.field("key_name", _TEXT),
        pa.field("key_sequence", pa.int32(), nullable=False),
    ]
)
_FOREIGN_KEYS = pa.schema(
    [
        pa.field("pk_catalog_name", _TEXT),
        pa.field("pk_db_schema_name", _TEXT),
        pa.field("pk_table_name", _TEXT, nullable=False),
        pa.field("pk_column_name", _TEXT, nullable=False),
        pa.field("fk_catalog_name", _TEXT),
        pa.field("fk_db_schema_name", _TEXT),
        pa.field("fk_table_name", _TEXT, nullable=False),
        pa.field("fk_column_name", _TEXT, nullable=False),
        pa.field("key_sequence", pa.int32(), nullable=False),
        pa.field("fk_key_name", _TEXT),
        pa.field("pk_key_name", _TEXT),
        pa.field("update_rule", pa.uint8(), nullable=False),
        pa.field("delete_rule", pa.uint8(), nullable=False),
    ]
)

_TYPES = pa.schema(
    [
        pa.field("type_name", _TEXT, nullable=False),
        pa.field("data_type", pa.int32(), nullable=False),
        pa.field("column_size", pa.int32()),
        pa.field("literal_prefix", _TEXT),
        pa.field("literal_suffix", _TEXT),
        pa.field("create_params", pa.list_(pa.field("create_params", _TEXT, nullable=False))),
        pa.field("nullable", pa.int32(), nullable=False),
        pa.field("case_sensitive", pa.bool_(), nullable=False),
        pa.field("searchable", pa.int32(), nullable=False),
        pa.field("unsigned_attribute", pa.bool_()),
        pa.field("fixed_prec_scale", pa.bool_(), nullable=False),
        pa.field("auto_increment", pa.bool_()),
        pa.field("local_type_name", _TEXT),
        pa.field("minimum_scale", pa.int32()),
        pa.field("maximum_scale", pa.int32()),
        pa.field("sql_data_type", pa.int32(), nullable=False),
        pa.field("datetime_subcode", pa.int32()),
        pa.field("num_prec_radix", pa.int32()),
        pa.field("interval_precision", pa.int32()),
    ]
)

_VALUE = pa.dense_union(
    [
        pa.field("string_value", _TEXT),
        pa.field("bool_value", pa.bool_()),
        pa.field("bigint_value", pa.int64()),
        pa.field("int32_bitmask", pa.int32()),
        pa.field("string_list", pa.list_(pa.field("string_data", _TEXT))),
        pa.field("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.field("$data$", pa.int32())))),
    ]
)
_SQL_INFO = pa.schema([pa.field("info_name", pa.uint32(), nullable=False), pa.field("value", _VALUE, nullable=False)])
_MEMBERS: dict[type, int] = {str: 0, bool: 1, int: 2}
"""Which member of the union a Python value is."""

_TRANSACTIONS_NONE = 0
_CASE_INSENSITIVE = 1
_NULLS_AT_END = 3

_INFO: dict[int, str | bool | int] = {
    0: "spanverdict",
    1: version("spanverdict"),
    2: pa.__version__,
    3: True,  # read-only
    4: True,  # SQL
    5: False,  # Substrait
    8: _TRANSACTIONS_NONE,
    9: False,  # CancelQuery: a call that is cancelled ends its query
    500: False,  # DDL of catalogs, schemas, tables
    501: False,
    502: False,
    503: _CASE_INSENSITIVE,
    504: '"',
    505: _CASE_INSENSITIVE,
    506: True,  # every table may be read
    507: _NULLS_AT_END,
}


_NULLABLE = 1
_SEARCHABLE = 3
_DATETIME = 9
"""The verbose code of dates and times, whose concise codes are below."""

_TYPES_OF_COLUMNS: tuple[tuple[str, int, int | None, int | None], ...] = (
    # The name in DuckDB, the code of enum XdbcDataType, the digits or characters, their radix.
    ("BOOLEAN", -7, 1, None),
    ("TINYINT", -6, 3, 10),
    ("SMALLINT", 5, 5, 10),
    ("INTEGER", 4, 10, 10),
    ("BIGINT", -5, 19, 10),
    ("HUGEINT", 2, 38, 10),
    ("DECIMAL", 3, 38, 10),
    ("FLOAT", 7, 24, 2),
    ("DOUBLE", 8, 53, 2),
    ("VARCHAR", 12, None, None),
    ("BLOB", -3, None, None),
    ("DATE", 91, 10, None),
    ("TIME", 92, 15, None),
    ("TIMESTAMP", 93, 26, None),
)


def schema_of(name: str, command: Any) -> pa.Schema | None:  # noqa: ANN401 (a message made at run time)
    """The columns of the answer to a command about the store; None for a command that is none of these."""
    if name == "CommandGetTables" and command.include_schema:
        return _TABLES_WITH_COLUMNS
    return _ANSWERS[name][0] if name in _ANSWERS else None


def answer(store: OpenedStore, name: str, command: Any) -> pa.Table:  # noqa: ANN401 (as above)
    """The answer to such a command.

    Raises:
        QueryError: the store cannot be read.
    """
    schema = schema_of(name, command)
    rows = _ANSWERS[name][1](store, command)
    return rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema)


def _catalogs(_store: OpenedStore, _command: Any) -> Iterable[dict[str, Any]]:  # noqa: ANN401
    return [{"catalog_name": CATALOG}]


def _schemas(_store: OpenedStore, command: Any) -> Iterable[dict[str, Any]]:  # noqa: ANN401
    if _is_asked_for(command):
        yield {"catalog_name": CATALOG, "db_schema_name": SCHEMA}


def _table_types(_store: OpenedStore, _command: Any) -> Iterable[dict[str, Any]]:  # noqa: ANN401
    return [{"table_type": kind} for kind in ("BASE TABLE", "VIEW")]


def _tables(store: OpenedStore, command: Any) -> Iterable[dict[str, Any]]:  # noqa: ANN401
    if not _is_asked_for(command):
        return
    kinds = set(command.table_types)
    # JDBC clients ask for tables by the name that JDBC has for them.
    kinds |= {"BASE TABLE"} if "TABLE" in kinds else set()
    for row in store.read(statements.read("catalog_tables")).to_pylist():
        if kinds and row["table_type"] not in kinds:
            continue
        if command.HasField("table_name_filter_pattern") and not _matches(
            command.table_name_filter_pattern, row["table_name"]
        ):
            continue
        found = {"catalog_name": CATALOG, "db_schema_name": SCHEMA, **row}
        if command.include_schema:
            columns = store.schema(f'SELECT * FROM "{row["table_name"]}"')
            found["table_schema"] = columns.serialize().to_pybytes()
        yield found


def _none(_store: OpenedStore, _command: Any) -> Iterable[dict[str, Any]]:  # noqa: ANN401
    """No key is declared: an index would cost more than the rows (docs/architecture.md)."""
    return []


def _types(_store: OpenedStore, command: Any) -> Iterable[dict[str, Any]]:  # noqa: ANN401
    for name, code, size, radix in sorted(_TYPES_OF_COLUMNS, key=lambda row: row[1]):
        if command.HasField("data_type") and command.data_type != code:
            continue
        quoted = "'" if radix is None and name != "BOOLEAN" else None
        timed = name in {"DATE", "TIME", "TIMESTAMP"}
        yield {
            "type_name": name,
            "data_type": code,
            "column_size": size,
            "literal_prefix": quoted,
            "literal_suffix": quoted,
            "nullable": _NULLABLE,
            "case_sensitive": name == "VARCHAR",
            "searchable": _SEARCHABLE,
            "unsigned_attribute": False if radix else None,
            "fixed_prec_scale": False,
            "auto_increment": False if radix else None,
            "local_type_name": name,
            "sql_data_type": _DATETIME if timed else code,
            "datetime_subcode": code - 90 if timed else None,
            "num_prec_radix": radix,
        }


def _sql_info(_store: OpenedStore, command: Any) -> pa.Table:  # noqa: ANN401
    return _info_table([code for code in _INFO if not command.info or code in command.info])


def _info_table(codes: Sequence[int]) -> pa.Table:
    members: list[list[Any]] = [[] for _ in _VALUE]
    kinds, offsets = [], []
    for code in codes:
        kind = _MEMBERS[type(_INFO[code])]
        kinds.append(kind)
        offsets.append(len(members[kind]))
        members[kind].append(_INFO[code])
    values = pa.UnionArray.from_dense(
        pa.array(kinds, pa.int8()),
        pa.array(offsets, pa.int32()),
        [pa.array(member, field.type) for member, field in zip(members, _VALUE, strict=True)],
        [field.name for field in _VALUE],
    )
    return pa.Table.from_arrays([pa.array(codes, pa.uint32()), values], schema=_SQL_INFO)


def _is_asked_for(command: Any) -> bool:  # noqa: ANN401
    """Whether the one catalog and its one schema are among what a command asks for."""
    if command.HasField("catalog") and command.catalog != CATALOG:
        return False
    return not command.HasField("db_schema_filter_pattern") or _matches(command.db_schema_filter_pattern, SCHEMA)


def _matches(pattern: str, name: str) -> bool:
    r"""Whether a name matches a pattern of LIKE: ``%`` any characters, ``_`` one; ``\\`` takes either for itself."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    expression = "".join(wild.get(part) or re.escape(part.removeprefix("\\")) for part in parts)
    return re.fullmatch(expression, name, re.DOTALL) is not None


_ANSWERS: dict[str, tuple[pa.Schema, Callable[[OpenedStore, Any], Iterable[dict[str, Any]] | pa.Table]]] = {
    "CommandGetCatalogs": (_CATALOGS, _catalogs),
    "CommandGetDbSchemas": (_SCHEMAS, _schemas),
    "CommandGetTables": (_TABLES, _tables),
    "CommandGetTableTypes": (_TABLE_TYPES, _table_types),
    "CommandGetPrimaryKeys": (_PRIMARY_KEYS, _none),
    "CommandGetExportedKeys": (_FOREIGN_KEYS, _none),
    "CommandGetImportedKeys": (_FOREIGN_KEYS, _none),
    "CommandGetCrossReference": (_FOREIGN_KEYS, _none),
    "CommandGetSqlInfo": (_SQL_INFO, _sql_info),
    "CommandGetXdbcTypeInfo": (_TYPES, _types),
}
