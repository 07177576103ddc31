"""The few Flight SQL protocol messages that are spoken here.

Source: Apache Arrow, format/FlightSql.proto. pyarrow ships Flight but not these messages; their field numbers are
declared here once and protobuf does the encoding.
"""

from __future__ import annotations

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

_PACKAGE = "arrow.flight.protocol.sql"
_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_BOOL = descriptor_pb2.FieldDescriptorProto.TYPE_BOOL
_INT32 = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
_UINT32 = descriptor_pb2.FieldDescriptorProto.TYPE_UINT32

_CATALOG_AND_SCHEMA = (("catalog", 1, _STRING), ("db_schema_filter_pattern", 2, _STRING))
_ONE_TABLE = (("catalog", 1, _STRING), ("db_schema", 2, _STRING), ("table", 3, _STRING))

_LABELS = {
    False: descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
    True: descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED,
}

_REPEATED = frozenset({"table_types", "info"})
"""Fields that hold any number of values."""

_MESSAGES: dict[str, tuple[tuple[str, int, descriptor_pb2.FieldDescriptorProto.Type.ValueType], ...]] = {
    "CommandStatementQuery": (("query", 1, _STRING), ("transaction_id", 2, _BYTES)),
    "TicketStatementQuery": (("statement_handle", 1, _BYTES),),
    "CommandPreparedStatementQuery": (("prepared_statement_handle", 1, _BYTES),),
    "ActionCreatePreparedStatementRequest": (("query", 1, _STRING), ("transaction_id", 2, _BYTES)),
    "ActionCreatePreparedStatementResult": (
        ("prepared_statement_handle", 1, _BYTES),
        ("dataset_schema", 2, _BYTES),
        ("parameter_schema", 3, _BYTES),
    ),
    "ActionClosePreparedStatementRequest": (("prepared_statement_handle", 1, _BYTES),),
    "CommandGetCatalogs": (),
    "CommandGetDbSchemas": _CATALOG_AND_SCHEMA,
    "CommandGetTables": (
        *_CATALOG_AND_SCHEMA,
        ("table_name_filter_pattern", 3, _STRING),
        ("table_types", 4, _STRING),
        ("include_schema", 5, _BOOL),
    ),
    "CommandGetTableTypes": (),
    "CommandGetPrimaryKeys": _ONE_TABLE,
    "CommandGetExportedKeys": _ONE_TABLE,
    "CommandGetImportedKeys": _ONE_TABLE,
    "CommandGetCrossReference": (
        *(("pk_" + name, number, kind) for name, number, kind in _ONE_TABLE),
        *(("fk_" + name, number + 3, kind) for name, number, kind in _ONE_TABLE),
    ),
    "CommandGetSqlInfo": (("info", 1, _UINT32),),
    "CommandGetXdbcTypeInfo": (("data_type", 1, _INT32),),
}
"""Fields of each message: name, number, type. In proto2, alike on the wire, absent is told from empty."""


def _classes() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name="spanverdict/flight_sql.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            label = _LABELS[field in _REPEATED]
            options = descriptor_pb2.FieldOptions(packed=True) if kind == _UINT32 else None
            message.field.add(name=field, number=number, type=kind, label=label, options=options)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES = _classes()


def bound_handle(handle: bytes) -> bytes:
    """What DoPut answers to bound parameters: the handle that stands for the query with them.

    The answer is a bare DoPutPreparedStatementResult, whose only field is a prepared statement's handle.
    """
    return _CLASSES["ActionClosePreparedStatementRequest"](prepared_statement_handle=handle).SerializeToString()


def pack(name: str, **fields: object) -> bytes:
    """Serialize a message inside `google.protobuf.Any`, as Flight SQL sends every command and result."""
    envelope = any_pb2.Any()
    envelope.Pack(_CLASSES[name](**fields))
    return envelope.SerializeToString()


def unpack(data: bytes) -> tuple[str, Message]:
    """The name and content of a packed message.

    Raises:
        ValueError: the bytes are not a packed message that is known here.
    """
    try:
        envelope = any_pb2.Any.FromString(data)
        name = envelope.type_url.rpartition("/")[2].removeprefix(f"{_PACKAGE}.")
        if name not in _CLASSES:
            raise ValueError(f"This Flight SQL command is not supported: {name or 'unknown'}.")
        return name, _CLASSES[name].FromString(envelope.value)
    except DecodeError as error:
        raise ValueError("This is not a Flight SQL command.") from error
