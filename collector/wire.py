"""A flat view of the OTLP messages, for the columnar decoder.

The wire format is OTLP's own; only the declarations differ, so that what nests without bound is left as bytes and what
is never read is skipped (protobuf skips undeclared fields):

- an attribute's value, a log record's body and the values of an array are bytes (see collector/wire_values.py);
- profiling's string-table fields, entity references and schema URLs are not declared.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

_VALUE = ".opentelemetry.proto.common.v1.AnyValue"
_BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_UNREAD = {
    "KeyValue": {"key_strindex"},
    "Resource": {"entity_refs", "dropped_attributes_count"},
    "InstrumentationScope": {"attributes", "dropped_attributes_count"},
    "ResourceSpans": {"schema_url"},
    "ScopeSpans": {"schema_url"},
    "ResourceLogs": {"schema_url"},
    "ScopeLogs": {"schema_url"},
    "LogRecord": {"dropped_attributes_count", "flags"},
    "Event": {"dropped_attributes_count"},
    "Link": {"trace_state", "dropped_attributes_count", "flags"},
}
_FILES = (common_pb2, resource_pb2, trace_pb2, logs_pb2, trace_service_pb2, logs_service_pb2)


class MalformedRequestError(ValueError):
    """A request whose bytes are not the protobuf message they should be."""


def _values_as_bytes(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        if field.type_name == _VALUE:
            field.type = _BYTES
            field.ClearField("type_name")


def _drop_unread(message: descriptor_pb2.DescriptorProto) -> None:
    unread = _UNREAD.get(message.name, set())
    kept = [field for field in message.field if field.name not in unread]
    del message.field[:]
    message.field.extend(kept)
    for inner in message.nested_type:
        _drop_unread(inner)


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for module in _FILES:
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for message in file.message_type:
            _drop_unread(message)
            _values_as_bytes(message)
        pool.Add(file)
    return pool


_DESCRIPTORS = _pool()


def _message(name: str) -> Descriptor:
    return _DESCRIPTORS.FindMessageTypeByName(name)


TRACES = _message("opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest")
"""The flat view of ExportTraceServiceRequest."""

LOGS = _message("opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest")
"""The flat view of ExportLogsServiceRequest."""

ARRAY = _message("opentelemetry.proto.common.v1.ArrayValue")
"""The flat view of ArrayValue: its values are bytes."""
